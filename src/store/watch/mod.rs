//! What can be seen of a store: its numbers, what it holds, and whether its invariants hold.

mod describe;
mod report;
pub(crate) mod snapshot;
mod validate;
