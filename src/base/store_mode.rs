//! How a value meets what is there: the same for every protocol and in the store.

/// Which condition a store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreMode {
    /// Store whatever is there. With a CAS id: only over that version.
    #[default]
    Set,
    /// Store only if nothing is there.
    Add,
    /// Store only over something.
    Replace,
    /// Append to the old value; flags and expiry stay.
    Append,
    /// Put the new bytes before the old value; flags and expiry stay.
    Prepend,
}
