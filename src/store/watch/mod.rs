//! What can be seen of a store: its numbers, and whether its invariants hold.

pub(crate) mod counters;
mod report;
pub(crate) mod snapshot;
mod validate;
