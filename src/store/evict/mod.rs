//! Which items go when a class is full.

mod pieces;
pub(crate) mod policy;
pub(crate) mod search;
