//! What a reader sees of an item: under its stripe's lock, and after it.

pub(crate) mod pin;
pub(crate) mod view;

/// Values up to this length are copied out under the stripe lock, longer ones are pinned. Copying
/// 16 KiB takes about a microsecond, no longer than the lock may be held.
pub const COPY_MAX: u32 = 16 << 10;
