//! A page's record: who owns it and which of its chunks are free.

use crate::base::clock::Expiry;
use crate::store::outcome::ClassId;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// A page's number; page n begins at n times the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageId(pub(crate) u32);

/// The class number of a page that nobody owns.
const NOBODY: u8 = u8::MAX;

/// No slot: a page has fewer than 2^16 chunks.
const NO_SLOT: u32 = u32::MAX;

/// One page's record. The class's lock guards all fields; they are atomics so that scanners may
/// read a stale value without it.
///
/// Chunks `0..bump` have been handed out at least once; of those, `free_count` are free and form a
/// list from `free_head` on, linked through the chunks' second word.
pub(crate) struct Page {
    class: AtomicU8,
    draining: AtomicBool,
    listed: AtomicBool,
    bump: AtomicU32,
    free_head: AtomicU32,
    free_count: AtomicU32,
    /// No item in the page dies before this tick. May be too early, never too late.
    expires: AtomicU64,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            class: AtomicU8::new(NOBODY),
            draining: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            bump: AtomicU32::new(0),
            free_head: AtomicU32::new(NO_SLOT),
            free_count: AtomicU32::new(0),
            expires: AtomicU64::new(u64::MAX),
        }
    }
}

impl Page {
    /// The owner. Meaningless for a page without one.
    #[inline]
    pub(crate) fn class(&self) -> ClassId {
        ClassId(self.class.load(Ordering::Relaxed))
    }

    /// The owner, if there is one.
    pub(crate) fn owner(&self) -> Option<ClassId> {
        let class = self.class();
        (class.0 != NOBODY).then_some(class)
    }

    /// Makes it `class`'s, with no chunk handed out.
    pub(crate) fn assign(&self, class: ClassId) {
        self.class.store(class.0, Ordering::Relaxed);
        self.bump.store(0, Ordering::Relaxed);
        self.free_head.store(NO_SLOT, Ordering::Relaxed);
        self.free_count.store(0, Ordering::Relaxed);
        self.expires.store(u64::MAX, Ordering::Relaxed);
        // See `Slabs::note_expiry`.
        fence(Ordering::SeqCst);
    }

    /// Takes it from its class: no class owns it.
    pub(crate) fn release(&self) {
        self.class.store(NOBODY, Ordering::Relaxed);
        self.bump.store(0, Ordering::Relaxed);
    }

    /// Whether the page is being emptied.
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Release);
    }

    /// Whether it is on its class's list of pages with a free chunk.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    pub(super) fn set_listed(&self, listed: bool) {
        self.listed.store(listed, Ordering::Relaxed);
    }

    /// How many chunks have ever been handed out.
    #[inline]
    pub(crate) fn bump(&self) -> u32 {
        self.bump.load(Ordering::Acquire)
    }

    pub(crate) fn set_bump(&self, slot: u32) {
        self.bump.store(slot, Ordering::Release);
    }

    /// The first free chunk among those that were handed out before.
    pub(crate) fn free_head(&self) -> Option<u32> {
        let slot = self.free_head.load(Ordering::Relaxed);
        (slot != NO_SLOT).then_some(slot)
    }

    /// Removes the first free chunk, whose successor is `next`.
    pub(crate) fn pop_free(&self, next: u32) {
        self.free_head.store(next, Ordering::Relaxed);
        self.free_count.store(
            self.free_count.load(Ordering::Relaxed) - 1,
            Ordering::Relaxed,
        );
    }

    /// Puts `slot` in front of the free chunks and returns its successor.
    pub(crate) fn push_free(&self, slot: u32) -> u32 {
        let next = self.free_head.load(Ordering::Relaxed);
        self.free_head.store(slot, Ordering::Relaxed);
        self.free_count.store(
            self.free_count.load(Ordering::Relaxed) + 1,
            Ordering::Relaxed,
        );
        next
    }

    /// Free chunks of the `chunks` that the page has.
    pub(crate) fn free_in(&self, chunks: u32) -> u32 {
        chunks - self.bump() + self.free_count.load(Ordering::Relaxed)
    }

    /// Notes that an item in the page dies at `expiry`; see `Slabs::note_expiry`.
    #[inline]
    pub(super) fn note_expiry(&self, expiry: Expiry) {
        // Mostly only read: after the first items of a page nothing dies earlier.
        if expiry.tick() < self.expires.load(Ordering::Relaxed) {
            self.expires.fetch_min(expiry.tick(), Ordering::Relaxed);
        }
    }

    /// The earliest tick at which something in it may be dead.
    pub(crate) fn expires(&self) -> u64 {
        self.expires.load(Ordering::Relaxed)
    }

    /// Starts a new reckoning of [`expires`](Self::expires), before a walk over the items.
    pub(crate) fn forget_expiries(&self) {
        self.expires.store(u64::MAX, Ordering::Relaxed);
        // See `Slabs::note_expiry`.
        fence(Ordering::SeqCst);
    }
}
