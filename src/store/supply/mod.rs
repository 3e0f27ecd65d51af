//! Where chunks come from: one ladder, tried from the top.
//!
//! ```text
//!   magazine ─▶ class ─▶ free page ─▶ page of a class that can spare one ─▶ eviction ─▶ any page
//!   the lane's  its free  the pool's   a share of moving it, each request    see evict   emptied
//!               chunks                                                                   at once
//! ```
//!
//! What a page move needs comes from here as well: chunks for the items that move.

pub(crate) mod moves;
pub(crate) mod orders;

use crate::base::clock::Now;
use crate::base::settings::{Automove, StoreSettings};
use crate::store::evict::search::make_room;
use crate::store::evict::small::flush_fresh;
use crate::store::locks::{Rank, Ranked};
use crate::store::outcome::{Busy, ClassId};
use crate::store::pages::mover::{Mover, Order};
use crate::store::seat::Seat;
use crate::store::slab::magazine::magazine_size;
use crate::store::slab::{ChunkRef, INDEX, Slabs};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// A class that is growing gets pages ahead of its need, at most one of so many: evicting a single
/// long item frees many chunks, and must not end the growth.
const PAGES_AHEAD: u64 = 32;

/// In [`Supply::drained_for`], that no class's requests are to go on with the page.
const FOR_NOBODY: u8 = 0;

/// The page move that is under way, and what may be done for a chunk.
pub(crate) struct Supply {
    mover: CachePadded<Ranked<Mover>>,
    /// The number of the class whose requests do a share of the page move that is under way.
    drained_for: AtomicU8,
    /// What the operator has ordered to be moved.
    order: Ranked<Option<Order>>,
    last_busy: Ranked<Option<Busy>>,
    evict: bool,
    /// Whether pages may move other than by need; how readily they do so by themselves, and the
    /// seconds it takes to see that a class does not need what it has.
    reassign: bool,
    automove: AtomicU32,
    automove_window_s: AtomicU32,
}

impl Supply {
    /// For a store with these settings.
    pub(crate) fn new(settings: &StoreSettings) -> Self {
        Self {
            mover: CachePadded::new(Ranked::new(Rank::Mover, Mover::default())),
            drained_for: AtomicU8::new(FOR_NOBODY),
            order: Ranked::new(Rank::Order, None),
            last_busy: Ranked::new(Rank::Note, None),
            evict: settings.evict,
            reassign: settings.reassign,
            automove: AtomicU32::new(settings.automove.level()),
            automove_window_s: AtomicU32::new(settings.automove_window_s),
        }
    }

    /// A free chunk of `class`, evicting if need be.
    #[inline]
    pub(crate) fn take_chunk(&self, seat: Seat<'_>, class: ClassId, now: Now) -> Option<ChunkRef> {
        let at_hand = seat.take_chunk(class);
        at_hand.or_else(|| self.refill(seat, class, now))
    }

    /// Fills the magazine of `class` and returns one chunk.
    fn refill(&self, seat: Seat<'_>, class: ClassId, now: Now) -> Option<ChunkRef> {
        let slabs = &seat.table.slabs;
        flush_fresh(seat, class);
        let want = magazine_size(slabs.sizes.size(class));
        // The magazine's own, which is empty: filling it does not allocate.
        let mut got = std::mem::take(&mut seat.magazines().of(class).free);
        slabs.take(class, want, &mut got);
        if got.is_empty() && slabs.take_index_hunger() {
            self.feed_index(seat, now);
        }
        if self.evict {
            if self.wants_page(slabs, class, got.is_empty())
                && self.share_page_move(seat, class, want, now)
                && got.is_empty()
            {
                slabs.take(class, want, &mut got);
            }
            if got.is_empty() {
                make_room(seat, class, (want, u64::MAX), now, &mut got);
            }
        }
        if got.is_empty() && self.force_page(seat, class, now) {
            slabs.take(class, want, &mut got);
        }
        let first = got.pop();
        let mut magazines = seat.magazines();
        let free = &mut magazines.of(class).free;
        // What was freed meanwhile is there already.
        let room = want.saturating_sub(free.len()).min(got.len());
        let surplus = got.split_off(room);
        if free.is_empty() {
            *free = got;
        } else {
            free.append(&mut got);
        }
        drop(magazines);
        for chunk in surplus {
            slabs.return_chunk(chunk);
        }
        first
    }

    /// Whether a request of `class` should do its share of a page move.
    fn wants_page(&self, slabs: &Slabs, class: ClassId, is_out: bool) -> bool {
        is_out
            || self.drained_for.load(Ordering::Relaxed) == class.0
            || slabs.demand(class).is_growing() && {
                let ahead = u64::from(slabs.page_limit()) / PAGES_AHEAD;
                slabs.spare_pages(class) <= ahead.max(1)
            }
    }

    /// Makes room for the index: a page of its own. True if there is reason to try again.
    pub(crate) fn feed_index(&self, seat: Seat<'_>, now: Now) -> bool {
        let slabs = &seat.table.slabs;
        if let Some(spare) = slabs.take_one(INDEX) {
            // Somebody else has fed it.
            slabs.return_chunk(spare);
            return true;
        }
        self.force_page(seat, INDEX, now)
    }

    /// When pages move by themselves, as far as they may at all.
    pub(crate) fn automove(&self) -> Automove {
        Automove::from_level(self.automove.load(Ordering::Relaxed)).unwrap_or_default()
    }

    pub(crate) fn set_automove(&self, automove: Automove) {
        self.automove.store(automove.level(), Ordering::Relaxed);
    }

    /// Seconds that a class must have had pages to spare before it gives them away.
    pub(crate) fn automove_window_s(&self) -> u32 {
        self.automove_window_s.load(Ordering::Relaxed)
    }

    pub(crate) fn set_automove_window_s(&self, seconds: u32) {
        self.automove_window_s.store(seconds, Ordering::Relaxed);
    }

    /// [`automove`](Self::automove), where pages may move.
    fn readiness(&self) -> Automove {
        if self.reassign {
            self.automove()
        } else {
            Automove::ByNeed
        }
    }

    /// Why a page could not be moved, the last time that happened.
    pub(crate) fn last_busy(&self) -> Option<Busy> {
        *self.last_busy.lock()
    }

    /// Whether a page is being emptied. If its move cannot be looked at, it is at work.
    pub(crate) fn is_moving(&self) -> bool {
        let mover = self.mover.try_lock();
        mover.is_none_or(|mover| mover.drain.is_some())
    }

    /// The chunks that the page move has for items that move, and whether one is under way; with
    /// all lanes at rest.
    pub(crate) fn spares(&self) -> Option<Vec<ChunkRef>> {
        let mover = self.mover.lock();
        let drain = mover.drain.as_ref();
        drain.map(|drain| drain.spares.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::pages::readings::Readings;
    use crate::store::{Arith, ClassId, Fetch, Fetched, Lane, Store, StoreMode, StoreRequest};
    use std::sync::Arc;

    /// A store of 8 MiB that is used cache-aside, with the background's work in between.
    struct Cache {
        lane: Lane,
        now: Now,
        requests: u64,
    }

    impl Cache {
        fn new() -> Self {
            let settings = StoreSettings {
                memory_limit: 8 << 20,
                hash_seed: Some(5),
                ..StoreSettings::default()
            };
            let store = Store::new(&settings, 1).unwrap();
            Self {
                lane: store.lane(0),
                now: Now::at_second(5),
                requests: 0,
            }
        }

        /// Asks for an item, and stores it if it is not there. True if it was.
        fn ask(&mut self, name: &str, len: usize) -> bool {
            self.requests += 1;
            if self.requests.is_multiple_of(1000) {
                while self.lane.maintain(self.now) {}
            }
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            let found = self.lane.fetch(&key, Fetch::default(), self.now, |_| ());
            let hit = matches!(found, Fetched::Hit(()));
            if !hit {
                let request = StoreRequest::default();
                let value = vec![b'v'; len];
                self.lane.put(&key, &request, &value, self.now).unwrap();
            }
            hit
        }
    }

    #[test]
    fn pages_go_to_the_class_whose_ghosts_return() {
        let mut cache = Cache::new();
        let mut hits = 0;
        // 6 MB that are wanted again and again, beside values that nobody wants twice.
        for round in 0..40 {
            hits = 0;
            for number in 0..3_000 {
                // Not in the same order each time: no policy does well in a loop.
                let wanted = number * (2 * round + 7) % 3_000;
                hits += u64::from(cache.ask(&format!("wanted-{wanted}"), 2_000));
                cache.ask(&format!("once-{round}-{number}"), 4_000);
            }
        }
        assert!(hits > 2_850, "{hits} of 3000");
        cache.lane.store().validate();
    }

    #[test]
    fn a_class_is_in_use_while_its_items_are_counted_or_refuse_to_be_replaced() {
        let mut cache = Cache::new();
        cache.ask("number", 3);
        let key = cache.lane.hashed(Key::new(b"number").unwrap());
        let request = StoreRequest::default();
        let set = |lane: &mut Lane, now| lane.put(&key, &request, b"100", now).unwrap().class;
        let class = set(&mut cache.lane, cache.now);
        let add = StoreRequest {
            mode: StoreMode::Add,
            ..StoreRequest::default()
        };
        let count = Arith {
            delta: 1,
            ..Arith::default()
        };
        let is_unused = |cache: &mut Cache, ask: &dyn Fn(&mut Lane, Now)| {
            for number in 0..20_000 {
                cache.ask(&format!("other-{number}"), 2_000);
                ask(&mut cache.lane, cache.now);
            }
            cache.lane.store().table.slabs.is_out_of_use(class)
        };
        let counted = |lane: &mut Lane, now| {
            lane.arith(&key, &count, now).unwrap();
        };
        let refused = |lane: &mut Lane, now| {
            lane.put(&key, &add, b"1", now).unwrap();
        };
        assert!(!is_unused(&mut cache, &counted));
        assert!(!is_unused(&mut cache, &refused));
        assert!(is_unused(&mut cache, &|_, _| ()));
    }

    #[test]
    fn after_small_items_as_many_large_ones_fit_as_ever() {
        let fill = |cache: &mut Cache, name: &str, count: usize, len: usize| {
            for number in 0..count {
                cache.ask(&format!("{name}{number}"), len);
            }
            for second in 0..30 {
                cache.now = Now::at_second(100 + second);
                while cache.lane.maintain(cache.now) {}
            }
            cache.lane.store().snapshot()
        };
        let mut cache = Cache::new();
        let tiny = fill(&mut cache, "t", 200_000, 1);
        let after = fill(&mut cache, "large", 5_000, 4_000);
        let fresh = fill(&mut Cache::new(), "large", 5_000, 4_000);
        assert!(
            after.index_bytes * 4 < tiny.index_bytes,
            "{tiny:?} {after:?}"
        );
        let few = fresh.items - fresh.items / 50;
        assert!(after.items > few, "{} of {}", after.items, fresh.items);
        cache.lane.store().validate();
    }

    #[test]
    fn the_index_makes_room_for_a_lowered_limit() {
        let mut cache = Cache::new();
        for number in 0..200_000 {
            cache.ask(&format!("t{number}"), 1);
        }
        let store = Arc::clone(cache.lane.store());
        assert!(store.snapshot().index_bytes > 2 << 20, "more than is left");
        assert!(store.set_memory_limit(2 << 20));
        for second in 0..30 {
            cache.now = Now::at_second(100 + second);
            while cache.lane.maintain(cache.now) {}
        }
        let slabs = &store.table.slabs;
        let used = u64::from(slabs.pages_used()) * slabs.geometry.page_size() as u64;
        assert!(used <= 2 << 20, "{used}");
        store.validate();
    }

    #[test]
    fn each_piece_of_a_long_item_pulls_for_its_own_class() {
        let mut cache = Cache::new();
        const LEN: usize = 200_000;
        for round in 0..20 {
            for number in 0..50 {
                cache.ask(&format!("long-{}", number * (2 * round + 7) % 50), LEN);
            }
        }
        let slabs = &cache.lane.store().table.slabs;
        let pulls = |&class: &ClassId| slabs.demand(class).pull() > 0;
        let classes: Vec<ClassId> = slabs.sizes.item_classes().filter(pulls).collect();
        let [last, whole] = classes[..] else {
            panic!("two classes have pieces: {classes:?}");
        };
        assert_eq!(whole, slabs.sizes.largest());
        let part = slabs.demand(last).pull() as f64 / slabs.demand(whole).pull() as f64;
        let bytes = f64::from(slabs.sizes.size(last)) / LEN as f64;
        assert!((part / bytes - 1.0).abs() < 0.2, "{part}, {bytes}");
    }
}
