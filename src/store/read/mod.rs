//! What a reader sees of an item: under its stripe's lock, and after it.

pub(crate) mod pin;
pub(crate) mod view;
