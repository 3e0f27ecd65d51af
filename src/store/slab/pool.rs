//! The pool: pages that no class owns.
//!
//! ```text
//!   fresh ──▶ in use ◀──▶ free ──limit lowered──▶ cold ──▶ in use
//! ```
//!
//! How many may be in use is decided outside, see [`limit`](super::limit).

use crate::store::slab::page::PageId;

/// What the pool's lock guards.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Pages given back, to be used again first.
    free: Vec<PageId>,
    /// Pages whose memory went back to the system.
    cold: Vec<PageId>,
    /// Pages from here on have never been used.
    fresh: u32,
    /// Pages in use.
    used: u32,
    /// Pages whose memory is on its way back to the system.
    leaving: u32,
}

impl Pool {
    /// A page that was used before, the warmest first.
    pub(super) fn take_known(&mut self) -> Option<PageId> {
        let page = self.free.pop().or_else(|| self.cold.pop())?;
        self.used += 1;
        Some(page)
    }

    /// A page that was never used. There is one.
    pub(super) fn take_fresh(&mut self) -> PageId {
        self.used += 1;
        self.fresh += 1;
        PageId(self.fresh - 1)
    }

    /// A page is not in use any more.
    pub(super) fn put(&mut self, page: PageId) {
        self.used -= 1;
        self.free.push(page);
    }

    /// A free page whose memory is to go back to the system. It is in no list meanwhile.
    pub(super) fn start_leaving(&mut self) -> Option<PageId> {
        let page = self.free.pop()?;
        self.leaving += 1;
        Some(page)
    }

    /// The memory of a page has gone.
    pub(super) fn has_left(&mut self, page: PageId) {
        self.leaving -= 1;
        self.cold.push(page);
    }

    /// Pages in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Pages that have ever been used.
    pub(super) fn fresh(&self) -> u32 {
        self.fresh
    }

    /// Pages that have memory. Until the system has it, memory that goes back is held.
    pub(super) fn held(&self) -> usize {
        self.used as usize + self.free.len() + self.leaving as usize
    }

    /// With nothing on its way to the system, a page is used, free, cold or fresh.
    pub(super) fn assert_complete(&self) {
        let known = self.used as usize + self.free.len() + self.cold.len();
        assert_eq!(known, self.fresh as usize, "a page is in two lists or none");
    }
}
