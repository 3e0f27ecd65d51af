//! What can be seen of a store: its numbers, and whether its invariants hold.

mod report;
pub(crate) mod snapshot;
mod validate;
