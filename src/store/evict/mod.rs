//! Which items go when a class is full.

pub(crate) mod ghosts;
mod pieces;
mod policy;
pub(crate) mod search;
pub(crate) mod small;
