//! The store's numbers, summed up for reports.

use crate::base::clock::Now;
use crate::store::Store;
use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::slab::INDEX;
use crate::store::watch::counters::ClassSums;
use crate::store::watch::snapshot::{ClassSnapshot, StoreSnapshot};
use std::sync::atomic::Ordering;

impl Store {
    /// The store as a whole.
    #[must_use]
    pub fn snapshot(&self) -> StoreSnapshot {
        let mut now = ClassSums::default();
        let mut since = ClassSums::default();
        let baseline = self.baseline.lock();
        for (number, baseline) in baseline.iter().enumerate() {
            let sums = self.sums(ClassId(number as u8));
            now.merge(sums);
            since.merge(sums.since(*baseline));
        }
        drop(baseline);
        let page_size = self.slabs.geometry.page_size() as u64;
        StoreSnapshot {
            limit_bytes: self.limit.load(Ordering::Relaxed),
            page_size,
            pages_free: u64::from(self.slabs.pages_free()),
            index_bytes: self.slabs.page_count(INDEX) * page_size,
            index_buckets: self
                .stripes
                .iter()
                .map(|s| u64::from(s.lock().index.buckets()))
                .sum(),
            item_bytes: now.bytes,
            items: now.items,
            items_total: since.linked,
            evictions: since.evicted,
            reclaimed: since.reclaimed,
            expired_unfetched: since.expired_unfetched,
            evicted_unfetched: since.evicted_unfetched,
            evicted_active: since.evicted_active,
            crawler_reclaimed: since.crawler_reclaimed,
            crawler_items_checked: since.crawler_checked,
            slabs_moved: since.pages_lost,
            moving: self.is_moving()
                || self.is_over_limit()
                || self.slabs.lacks_reserve()
                || self.has_order(),
            rescues: since.rescued,
            chunk_rescues: since.chunks_rescued,
            move_no_memory: since.move_no_memory,
            move_busy: since.move_busy,
            last_busy: *self.last_busy.lock(),
            ghost_hits: since.ghost_hits,
            flushes_pending: self.flushes_pending(),
        }
    }

    /// The classes that own pages, by number.
    #[must_use]
    pub fn classes(&self, now: Now) -> Vec<ClassSnapshot> {
        let owners = self.slabs.table.item_classes();
        owners
            .filter(|&class| self.slabs.page_count(class) > 0)
            .map(|class| self.class(class, now))
            .collect()
    }

    /// Counters start again from zero; what is a state (items, bytes, pages) stays.
    pub fn reset_counters(&self) {
        let mut baseline = self.baseline.lock();
        for (number, baseline) in baseline.iter_mut().enumerate() {
            *baseline = self.sums(ClassId(number as u8));
        }
    }

    /// Whether a page is being emptied. If its move cannot be looked at, it is at work.
    fn is_moving(&self) -> bool {
        let mover = self.mover.try_lock();
        mover.is_none_or(|mover| mover.drain.is_some())
    }

    fn sums(&self, class: ClassId) -> ClassSums {
        let mut sums = ClassSums::default();
        for lane in &self.tallies {
            sums.add(lane.class(class.0));
        }
        sums
    }

    fn class(&self, class: ClassId, now: Now) -> ClassSnapshot {
        let number = usize::from(class.0);
        let sums = self.sums(class);
        let since = sums.since(self.baseline.lock()[number]);
        let state = self.slabs.lock(class);
        let (pages, used, small) = (
            state.pages.len() as u64,
            self.slabs.used_locked(&state, class),
            state.ring.len(),
        );
        let hand = state.pages.get(state.hand.0).copied();
        drop(state);
        let age = hand.and_then(|page| {
            let headers = self
                .slabs
                .slots_used(page, class)
                .map(|slot| self.slabs.header(self.slabs.chunk_in(page, class, slot)));
            headers
                .filter(|header| header.is_linked_item() && header.has(state::LINKED))
                .map(|header| header.idle_seconds(now))
                .max()
        });
        ClassSnapshot {
            id: class,
            chunk_size: self.slabs.table.size(class),
            chunks_per_page: self.slabs.chunks_per_page(class),
            pages,
            chunks_used: used,
            items: sums.items,
            item_bytes: sums.bytes,
            items_small: small.min(sums.items),
            age: age.unwrap_or(0),
            evicted: since.evicted,
            evicted_nonzero: since.evicted_nonzero,
            evicted_time: self.evicted_idle[number].load(Ordering::Relaxed),
            evicted_unfetched: since.evicted_unfetched,
            evicted_active: since.evicted_active,
            out_of_memory: since.out_of_memory,
            reclaimed: since.reclaimed,
            expired_unfetched: since.expired_unfetched,
            crawler_reclaimed: since.crawler_reclaimed,
            crawler_items_checked: since.crawler_checked,
            promoted: since.promoted,
            ghost_hits: since.ghost_hits,
            beliefs: self.slabs.demand(class).beliefs(self.slabs.allocated()),
        }
    }
}
