//! The store's numbers, summed up for reports.

use crate::base::clock::Now;
use crate::store::Store;
use crate::store::counters::ClassSums;
use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::slab::INDEX;
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
            let sums = self.table.sums(ClassId(number as u8));
            now.merge(sums);
            since.merge(sums.since(*baseline));
        }
        drop(baseline);
        let page_size = self.table.slabs.geometry.page_size() as u64;
        StoreSnapshot {
            limit_bytes: self.limit.load(Ordering::Relaxed),
            page_size,
            pages_free: u64::from(self.table.slabs.pages_free()),
            index_bytes: self.table.slabs.page_count(INDEX) * page_size,
            index_buckets: self
                .table
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
            moving: self.supply.is_moving()
                || self.is_over_limit()
                || self.table.slabs.lacks_reserve()
                || self.supply.has_order(),
            rescues: since.rescued,
            chunk_rescues: since.chunks_rescued,
            move_no_memory: since.move_no_memory,
            move_busy: since.move_busy,
            last_busy: self.supply.last_busy(),
            ghost_hits: since.ghost_hits,
            flushes_pending: self.flushes_pending(),
        }
    }

    /// The classes that own pages, by number.
    #[must_use]
    pub fn classes(&self, now: Now) -> Vec<ClassSnapshot> {
        let owners = self.table.slabs.sizes.item_classes();
        owners
            .filter(|&class| self.table.slabs.page_count(class) > 0)
            .map(|class| self.class(class, now))
            .collect()
    }

    /// Counters start again from zero; what is a state (items, bytes, pages) stays.
    pub fn reset_counters(&self) {
        let mut baseline = self.baseline.lock();
        for (number, baseline) in baseline.iter_mut().enumerate() {
            *baseline = self.table.sums(ClassId(number as u8));
        }
    }

    fn class(&self, class: ClassId, now: Now) -> ClassSnapshot {
        let number = usize::from(class.0);
        let sums = self.table.sums(class);
        let since = sums.since(self.baseline.lock()[number]);
        let state = self.table.slabs.lock(class);
        let (pages, used, small) = (
            state.pages.len() as u64,
            self.table.slabs.used_locked(&state, class),
            state.ring.len(),
        );
        let hand = state.pages.get(state.hand.0).copied();
        drop(state);
        let age = hand.and_then(|page| {
            let headers = self.table.slabs.slots_used(page, class).map(|slot| {
                self.table
                    .slabs
                    .header(self.table.slabs.chunk_in(page, class, slot))
            });
            headers
                .filter(|header| header.is_linked_item() && header.has(state::LINKED))
                .map(|header| header.idle_seconds(now))
                .max()
        });
        ClassSnapshot {
            id: class,
            chunk_size: self.table.slabs.sizes.size(class),
            chunks_per_page: self.table.slabs.chunks_per_page(class),
            pages,
            chunks_used: used,
            items: sums.items,
            item_bytes: sums.bytes,
            items_small: small.min(sums.items),
            age: age.unwrap_or(0),
            evicted: since.evicted,
            evicted_nonzero: since.evicted_nonzero,
            evicted_time: self.table.evicted_idle(class),
            evicted_unfetched: since.evicted_unfetched,
            evicted_active: since.evicted_active,
            out_of_memory: since.out_of_memory,
            reclaimed: since.reclaimed,
            expired_unfetched: since.expired_unfetched,
            crawler_reclaimed: since.crawler_reclaimed,
            crawler_items_checked: since.crawler_checked,
            promoted: since.promoted,
            ghost_hits: since.ghost_hits,
            beliefs: self
                .table
                .slabs
                .demand(class)
                .beliefs(self.table.slabs.allocated()),
        }
    }
}
