//! How many pages may be in use, and handing out and taking back those that no class owns.
//!
//! The limit changes at run time. Address space is reserved for more pages than it allows at the
//! start, so it can rise; when it falls, pages in use become free and free ones cold: their memory
//! goes back to the system. A page's place does not matter for that.

use crate::store::slab::pool::Pool;
use crate::store::slab::{INDEX, Page, PageId, Slabs};
use std::sync::atomic::Ordering;

/// Pages, at most, that items keep when the index alone fills a lowered limit: it becomes smaller
/// only as they go, and a cache that can store nothing is of no use.
const ITEM_PAGES_MIN: u32 = 16;

impl Slabs {
    /// An unowned page, if the limit allows one more beside those that are kept free.
    pub(crate) fn take_page(&self) -> Option<PageId> {
        self.take_but(self.reserve.load(Ordering::Relaxed))
    }

    /// An unowned page, if the limit allows one more: for what cannot wait.
    pub(crate) fn take_last_page(&self) -> Option<PageId> {
        self.take_but(0)
    }

    /// Keeps this many pages free for what cannot wait.
    pub(crate) fn keep_free(&self, pages: u32) {
        self.reserve.store(pages, Ordering::Relaxed);
    }

    /// Whether a page that is to be kept free is in use.
    pub(crate) fn lacks_reserve(&self) -> bool {
        self.pages_free() < self.reserve.load(Ordering::Relaxed)
    }

    fn take_but(&self, reserve: u32) -> Option<PageId> {
        let mut pool = self.pool.lock();
        if pool.used() + reserve >= self.page_limit() {
            return None;
        }
        pool.take_known().or_else(|| self.take_fresh(&mut pool))
    }

    fn take_fresh(&self, pool: &mut Pool) -> Option<PageId> {
        (pool.fresh() < self.record_count()).then(|| {
            let page = pool.take_fresh();
            // With it, whoever sees the number also sees the page's record.
            self.pages_touched.store(pool.fresh(), Ordering::Release);
            page
        })
    }

    /// Gives back a page that no class owns.
    pub(crate) fn return_page(&self, page: PageId) {
        self.pool.lock().put(page);
    }

    /// Pages that nobody owns and the limit allows.
    pub(crate) fn pages_free(&self) -> u32 {
        let used = self.pool.lock().used();
        self.page_limit().saturating_sub(used)
    }

    /// Pages that have an owner; with all mappings at rest.
    pub(crate) fn pages_used(&self) -> u32 {
        let pool = self.pool.lock();
        pool.assert_complete();
        pool.used()
    }

    /// Number of pages there have been so far; those from here on have no owner.
    pub(crate) fn page_total(&self) -> u32 {
        self.pages_touched.load(Ordering::Acquire)
    }

    /// Pages that may be in use.
    pub(crate) fn page_limit(&self) -> u32 {
        let index = u32::try_from(self.page_count(INDEX)).unwrap_or(u32::MAX);
        let least = (self.geometry.pages / 64).clamp(2, ITEM_PAGES_MIN);
        let limit = self.limit.load(Ordering::Relaxed);
        limit.max(index.saturating_add(least))
    }

    /// Allows `pages` pages from now on. False if the reserved address space is too small.
    pub(crate) fn set_page_limit(&self, pages: u32) -> bool {
        if pages > self.reserved {
            return false;
        }
        if pages > self.geometry.pages {
            let more = self.reserved - self.geometry.pages;
            self.more_pages
                .get_or_init(|| (0..more).map(|_| Page::default()).collect());
        }
        self.limit.store(pages, Ordering::Relaxed);
        true
    }

    /// Pages that have a record.
    fn record_count(&self) -> u32 {
        self.more_pages
            .get()
            .map_or(self.geometry.pages, |_| self.reserved)
    }

    /// Whether more memory is held than the limit allows.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.is_over(&self.pool.lock())
    }

    fn is_over(&self, pool: &Pool) -> bool {
        pool.held() > self.page_limit() as usize
    }

    /// Gives the memory of one free page back to the system, if the limit does not cover it.
    pub(crate) fn decommit_surplus(&self) -> bool {
        let surplus = {
            let mut pool = self.pool.lock();
            let over = self.is_over(&pool);
            over.then(|| pool.start_leaving()).flatten()
        };
        let Some(page) = surplus else {
            return false;
        };
        // Without the lock: it is a system call.
        let start = (page.0 as usize) << self.geometry.page_shift;
        self.arena.decommit(start, self.geometry.page_size());
        self.pool.lock().has_left(page);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::slab::slabs_of;

    #[test]
    fn a_raised_limit_gives_more_pages_up_to_what_is_reserved() {
        let slabs = slabs_of(1 << 20, 4 << 20);
        let start = slabs.page_limit();
        let mut taken = 0;
        while slabs.take_page().is_some() {
            taken += 1;
        }
        assert_eq!(taken, start);
        assert!(!slabs.set_page_limit(start * 4 + 1));
        assert!(slabs.set_page_limit(start * 4));
        while let Some(page) = slabs.take_page() {
            assert_eq!(slabs.page(page).owner(), None);
            taken += 1;
        }
        assert_eq!(taken, start * 4);
        assert_eq!(slabs.pages_used(), taken);
    }

    #[test]
    fn a_lowered_limit_makes_free_pages_cold_and_cold_ones_serve_again() {
        let slabs = slabs_of(1 << 20, 4 << 20);
        let pages: Vec<PageId> = std::iter::from_fn(|| slabs.take_page()).collect();
        slabs.arena.store(0, 7);
        assert!(slabs.set_page_limit(4));
        assert!(slabs.is_over_limit() && !slabs.decommit_surplus());
        for &page in &pages {
            slabs.return_page(page);
        }
        while slabs.decommit_surplus() {}
        assert!(!slabs.is_over_limit());
        assert_eq!((slabs.pages_free(), slabs.pages_used()), (4, 0));
        assert!(slabs.set_page_limit(pages.len() as u32));
        let again = std::iter::from_fn(|| slabs.take_page()).count();
        assert_eq!(again, pages.len());
    }
}
