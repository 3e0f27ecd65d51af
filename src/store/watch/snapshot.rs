//! Plain numbers copied out of the store for reports; no formatting.

use crate::store::outcome::{Busy, ClassId};
use crate::store::slab::Beliefs;

/// The store as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// The memory limit in bytes.
    pub limit_bytes: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages that no class owns.
    pub pages_free: u64,
    /// Bytes of the pages that hold the index.
    pub index_bytes: u64,
    /// Buckets of the index over all stripes.
    pub index_buckets: u64,
    /// Bytes of the linked items: header, key, value and what else an item carries.
    pub item_bytes: u64,
    /// Linked items.
    pub items: u64,
    /// Items ever linked.
    pub items_total: u64,
    /// Live items removed to make room.
    pub evictions: u64,
    /// Dead items whose memory was taken again on the way to an eviction.
    pub reclaimed: u64,
    /// Dead items removed that nobody had fetched.
    pub expired_unfetched: u64,
    /// Evicted items that nobody had fetched.
    pub evicted_unfetched: u64,
    /// Evicted items with hits still counted.
    pub evicted_active: u64,
    /// Dead items removed in the background.
    pub crawler_reclaimed: u64,
    /// Items looked at in the background.
    pub crawler_items_checked: u64,
    /// Pages moved between classes, or from or to the pool.
    pub slabs_moved: u64,
    /// Whether pages are being moved at this moment, or are to be.
    pub moving: bool,
    /// Items relocated by page moves.
    pub rescues: u64,
    /// Further parts of long items relocated by page moves.
    pub chunk_rescues: u64,
    /// Items that page moves had no free chunk for.
    pub move_no_memory: u64,
    /// Chunks that kept pages from being moved.
    pub move_busy: u64,
    /// Why a page could not be moved, the last time that happened.
    pub last_busy: Option<Busy>,
    /// Gets of items that were evicted recently.
    pub ghost_hits: u64,
    /// Flushes of which the memory is not back yet.
    pub flushes_pending: u32,
}

/// One slab class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSnapshot {
    /// Its number.
    pub id: ClassId,
    /// Bytes of a chunk.
    pub chunk_size: u32,
    /// Chunks cut from one page.
    pub chunks_per_page: u32,
    /// Pages owned.
    pub pages: u64,
    /// Chunks in use, by items or parts of large ones.
    pub chunks_used: u64,
    /// Linked items whose first chunk is of this class.
    pub items: u64,
    /// Bytes of those items.
    pub item_bytes: u64,
    /// Of the items, those in the small queue (memcached's HOT).
    pub items_small: u64,
    /// Seconds since the last access of the item that would go next.
    pub age: u64,
    /// Live items evicted.
    pub evicted: u64,
    /// Of those, items with an expiry.
    pub evicted_nonzero: u64,
    /// Seconds since its last access of the item evicted last.
    pub evicted_time: u64,
    /// Of the evicted, items nobody had fetched.
    pub evicted_unfetched: u64,
    /// Of the evicted, items with hits still counted.
    pub evicted_active: u64,
    /// Stores that found no memory.
    pub out_of_memory: u64,
    /// Dead items whose memory was taken again on the way to an eviction.
    pub reclaimed: u64,
    /// Dead items removed that nobody had fetched.
    pub expired_unfetched: u64,
    /// Dead items removed in the background.
    pub crawler_reclaimed: u64,
    /// Items looked at in the background.
    pub crawler_items_checked: u64,
    /// Items promoted out of the small queue.
    pub promoted: u64,
    /// Gets of items recently evicted from this class.
    pub ghost_hits: u64,
    /// What the eviction policy has learned of it.
    pub beliefs: Beliefs,
}

impl ClassSnapshot {
    /// Chunks of all its pages.
    #[must_use]
    pub fn chunks_total(&self) -> u64 {
        self.pages * u64::from(self.chunks_per_page)
    }
}
