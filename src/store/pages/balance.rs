//! Which class gives a page to which: by what the ghosts of each say, and by age.
//!
//! A ghost that is found again is a hit that more memory would have given. Counted lately and per
//! page, these are a class's *pull*: what one more page would be worth to it. What one page less
//! would cost is about as much, but not for a class that has just what it needs: a part of its hits
//! counts too. The background moves pages from where they cost the least to the greatest pull,
//! slowly, for these are estimates from small numbers.
//!
//! Pull says nothing of a class too small to remember its ghosts, as when the load changes to
//! values of another size. So a class also gets a page, at once and instead of evicting, from one
//! that is out of use, or whose items stay much longer and whose pull is not worth more.

use crate::base::settings::Automove;
use crate::store::Store;
use crate::store::item::state;
use crate::store::lane::Lane;
use crate::store::outcome::ClassId;
use crate::store::pages::drain::Reason;
use crate::store::pages::mover::Mover;
use crate::store::slab::{ChunkRef, Epitaph, Experience, GHOST_HIT};
use std::cmp::Reverse;
use std::sync::atomic::Ordering;

/// A class takes a page of another whose items stay this many times longer,
const AGE_RATIO: u64 = 4;

/// and whose pull, this many times, is not more than its own and [`PULL_FLOOR`].
///
/// With 1 instead of 4 pages go to and fro between classes: on a trace with sizes from bytes to
/// hundreds of kilobytes 1 to 7 % more misses.
const CARE: u64 = 4;

/// A pull that is hardly one: a ghost hit for a page.
const PULL_FLOOR: u64 = GHOST_HIT;

/// For balance, a page moves to a class whose pull is this many times what it costs the giver.
const PULL_RATIO: u64 = 2;

/// Givers are alike if what it costs them differs by less than one part in so many of the gain.
const GIVERS_ALIKE: u64 = 8;

/// Pages that the store allocates before the next one moves for balance. With 64 instead of 8
/// recorded traces miss 0.5 to 1.5 % more.
const PAGES_BETWEEN: u64 = 8;

/// Moves that may be made up for when the background was late.
const MOVES_OWED: u64 = 32;

impl Store {
    /// What has been counted in a class.
    fn experience(&self, class: ClassId) -> Experience {
        let mut sums = Experience {
            store_missed: self.missed.load(Ordering::Relaxed),
            store_created: self.created.load(Ordering::Relaxed),
            ..Experience::default()
        };
        for lane in &self.tallies {
            let tallies = lane.class(class.0);
            let replaced = tallies.replaced.get();
            sums.used += tallies.used.get();
            sums.replaced += replaced;
            sums.created += tallies.linked.get().saturating_sub(replaced);
            sums.proven += tallies.proven.get();
            sums.failed += tallies.failed.get();
        }
        sums
    }

    /// Learns from the ghost of an item that somebody has asked for.
    pub(crate) fn learn_from_request(&self, epitaph: Epitaph) {
        let demand = self.slabs.demand(epitaph.class());
        demand.learn(epitaph);
        if demand.revive(epitaph).is_near {
            demand.add_pull(GHOST_HIT);
        }
    }

    /// Whether a new item whose ghost was found goes to the main queue at once: if it was asked for
    /// and not long ago. Popular to write is not popular to read.
    pub(crate) fn belongs_to_main(&self, chunk: ChunkRef, epitaph: Epitaph) -> bool {
        let demand = self.slabs.demand(epitaph.class());
        if !epitaph.is_asked() {
            demand.learn(epitaph);
            return false;
        }
        let revival = demand.revive(epitaph);
        if revival.is_near && self.slabs.header(chunk).has(state::CHAINED) {
            self.share_pull(chunk, epitaph.class());
        }
        revival.is_recent
    }

    /// Gives other classes their part of the pull that the ghost of a long item counted for the
    /// class of its `head`.
    ///
    /// All classes with a chunk of it would have had to be larger for a hit: each gets the part
    /// that it has of the bytes, so that the short last piece of a long item asks for as much of
    /// its class as of the others. A ghost does not know the pieces; the new item has the same.
    fn share_pull(&self, chunk: ChunkRef, head: ClassId) {
        let slabs = &self.slabs;
        let chunks = || {
            std::iter::successors(Some(chunk), |&chunk| {
                let next = slabs.next(chunk, slabs.header(chunk));
                (!next.is_none()).then_some(next)
            })
            .map(|chunk| slabs.class_of(chunk))
        };
        let size = |class: ClassId| u64::from(slabs.table.size(class));
        let total: u64 = chunks().map(size).sum();
        for class in chunks().filter(|&class| class != head) {
            let part = GHOST_HIT * size(class) / total;
            slabs.demand(class).add_pull(part);
            slabs.demand(head).take_pull(part);
        }
    }
}

impl Lane {
    /// The class that should give `taker` a page before that evicts its own items.
    pub(crate) fn sparing_class(&self, taker: ClassId) -> Option<ClassId> {
        let slabs = &self.store.slabs;
        let (ratio, bound) = match self.store.readiness() {
            Automove::ByNeed => return None,
            Automove::Balanced => (AGE_RATIO, slabs.pull_per_page(taker) + PULL_FLOOR),
            Automove::Eager => (1, u64::MAX),
        };
        let is_unused = |class: ClassId| slabs.is_out_of_use(class);
        let age = |class: ClassId| slabs.eviction_age(class);
        let best = self
            .givers(taker)
            .filter(|&class| {
                is_unused(class) || slabs.pull_per_page(class).saturating_mul(CARE) <= bound
            })
            .max_by_key(|&class| (is_unused(class), age(class)))?;
        let gives = is_unused(best) || age(best) > age(taker).saturating_mul(ratio);
        gives.then_some(best)
    }

    /// Lets all demands fade, if it is time.
    pub(crate) fn fade_demands(&self) {
        let store = &*self.store;
        if !store.slabs.is_time_to_fade() {
            return;
        }
        let in_use = store.slabs.table.item_classes();
        for class in in_use.filter(|&class| store.slabs.page_count(class) > 0) {
            store.slabs.demand(class).fade(store.experience(class));
        }
    }

    /// Classes that have a page to give to `taker`, and keep one.
    fn givers(&self, taker: ClassId) -> impl Iterator<Item = ClassId> {
        let slabs = &self.store.slabs;
        let others = slabs.table.item_classes().filter(move |&c| c != taker);
        others.filter(|&class| slabs.page_count(class) > 1)
    }

    /// The class that would lose the least with a page and the one that would gain the most, if a
    /// page should move.
    fn unbalanced(&self) -> Option<(ClassId, ClassId)> {
        let slabs = &self.store.slabs;
        let pull = |&class: &ClassId| slabs.pull_per_page(class);
        let taker = slabs.table.item_classes().max_by_key(pull)?;
        let gain = pull(&taker);
        // Small differences are chance: of givers about alike, the one whose items stay longest.
        let about = gain / GIVERS_ALIKE + 1;
        let loss = |&class: &ClassId| {
            let age = slabs.age_without_page(class);
            (slabs.grip_per_page(class) / about, Reverse(age))
        };
        let giver = self.givers(taker).min_by_key(loss)?;
        let is_worth_it = gain > slabs.grip_per_page(giver) * PULL_RATIO + PULL_FLOOR;
        is_worth_it.then_some((giver, taker))
    }

    /// Begins to move a page from the class with the least pull to that with the greatest, if it
    /// is time and worth it. True if it did.
    pub(crate) fn balance(&self, mover: &mut Mover) -> bool {
        let store = &*self.store;
        let slabs = &store.slabs;
        let step = PAGES_BETWEEN << slabs.geometry.page_shift;
        let allocated = slabs.allocated();
        if allocated < mover.balances_at {
            return false;
        }
        let Some((giver, taker)) = self.unbalanced() else {
            // No debts from times without reason: gets alone, of what is not there, move no page.
            mover.balances_at = allocated + step;
            return false;
        };
        let earliest = allocated.saturating_sub(step * MOVES_OWED);
        mover.balances_at = mover.balances_at.max(earliest) + step;
        let page = store.page_to_give(giver, mover.failures);
        page.is_some_and(|page| self.begin_drain(mover, page, Reason::Balance(taker)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{Arith, Fetch, Fetched, StoreMode, StoreRequest};

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
            cache.lane.store().slabs.is_out_of_use(class)
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
    fn each_piece_of_a_long_item_pulls_for_its_own_class() {
        let mut cache = Cache::new();
        const LEN: usize = 200_000;
        for round in 0..20 {
            for number in 0..50 {
                cache.ask(&format!("long-{}", number * (2 * round + 7) % 50), LEN);
            }
        }
        let slabs = &cache.lane.store().slabs;
        let pulls = |&class: &ClassId| slabs.demand(class).pull() > 0;
        let classes: Vec<ClassId> = slabs.table.item_classes().filter(pulls).collect();
        let [last, whole] = classes[..] else {
            panic!("two classes have pieces: {classes:?}");
        };
        assert_eq!(whole, slabs.table.largest());
        let part = slabs.demand(last).pull() as f64 / slabs.demand(whole).pull() as f64;
        let bytes = f64::from(slabs.table.size(last)) / LEN as f64;
        assert!((part / bytes - 1.0).abs() < 0.2, "{part}, {bytes}");
    }
}
