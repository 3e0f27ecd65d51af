//! Page moves by order of the operator: `slabs reassign`.

use crate::store::outcome::{ClassId, MoveRefusal};
use crate::store::pages::mover::{Mover, Order, POOL, Reason};
use crate::store::pages::policy::richest;
use crate::store::seat::Seat;
use crate::store::slab::{PageId, Slabs};
use crate::store::supply::Supply;
use crate::store::supply::moves::page_to_give;
use crate::store::table::Table;

/// Any class, as the source of an order.
const ANY: i32 = -1;

/// Pages of the source that are tried, a step each, before an order is given up.
const TRIES: u8 = 8;

impl Supply {
    /// Takes the order that a page of class `source` become `target`'s; -1 is any class, 0 the
    /// pool.
    pub(crate) fn order_move(
        &self,
        slabs: &Slabs,
        source: i32,
        target: i32,
    ) -> Result<(), MoveRefusal> {
        let mut order = self.order.lock();
        if order.is_some() {
            return Err(MoveRefusal::Busy);
        }
        if source == target {
            return Err(MoveRefusal::SameClass);
        }
        let target = class_numbered(slabs, target);
        let source = match source {
            ANY => richest(slabs, target),
            _ => class_numbered(slabs, source),
        };
        let (Some(source), Some(target)) = (source, target) else {
            return Err(MoveRefusal::BadClass);
        };
        let pages = match source {
            POOL => u64::from(slabs.pages_free()),
            _ => slabs.page_count(source),
        };
        if pages < 2 {
            return Err(MoveRefusal::NoSpare);
        }
        *order = Some(Order {
            source,
            target,
            tries_left: TRIES,
        });
        Ok(())
    }

    /// Whether there is an order that has not been carried out.
    pub(crate) fn has_order(&self) -> bool {
        self.order.lock().is_some()
    }

    /// Begins to carry out an order. False if there is none.
    pub(super) fn follow_order(&self, seat: Seat<'_>, mover: &mut Mover) -> bool {
        let Some(order) = *self.order.lock() else {
            return false;
        };
        let table = seat.table;
        if order.source == POOL {
            let page = table.slabs.take_last_page();
            seat.tallies(POOL).pages_lost.add(u64::from(page.is_some()));
            let last = Order {
                tries_left: 1,
                ..order
            };
            self.carry_out(&table.slabs, last, page);
            return true;
        }
        let page = page_by_order(table, order);
        if !page.is_some_and(|page| self.begin(table, mover, page, Reason::Order(order))) {
            self.carry_out(&table.slabs, order, None);
        }
        true
    }

    /// Gives the page to the order's target; without one, the order is tried again, or given up.
    pub(super) fn carry_out(&self, slabs: &Slabs, order: Order, page: Option<PageId>) {
        let tries_left = match page {
            Some(page) => {
                match order.target {
                    POOL => slabs.return_page(page),
                    class => slabs.adopt(class, page),
                }
                0
            }
            None => order.tries_left - 1,
        };
        let again = Order {
            tries_left,
            ..order
        };
        *self.order.lock() = (tries_left > 0).then_some(again);
    }
}

fn class_numbered(slabs: &Slabs, number: i32) -> Option<ClassId> {
    let number = u8::try_from(number).ok()?;
    (usize::from(number) < slabs.sizes.len()).then_some(ClassId(number))
}

/// The page of the order's source to be emptied: first the one with the least in it, if the class
/// has room for that elsewhere, then others.
fn page_by_order(table: &Table, order: Order) -> Option<PageId> {
    // Its last page stays: what is in use may be the very item that needs it.
    if table.slabs.page_count(order.source) < 2 {
        return None;
    }
    let failures = TRIES - order.tries_left;
    if failures == 0 && table.slabs.spare_pages(order.source) > 0 {
        return table.slabs.emptiest_page(order.source, None);
    }
    page_to_give(table, order.source, failures.into())
}

#[cfg(test)]
mod tests {
    use super::{ANY, POOL, TRIES};
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::Automove;
    use crate::base::settings::StoreSettings;
    use crate::store::pages::surplus::KEPT;
    use crate::store::{
        Busy, ClassId, Deleted, Fetch, Fetched, HashedKey, Lane, MoveRefusal, Store, StoreOutcome,
        StoreRequest,
    };
    use std::sync::Arc;

    const SMALL: usize = 100;
    const LARGE: usize = 9_000;

    struct World {
        store: Arc<Store>,
        lane: Lane,
        now: Now,
    }

    impl World {
        fn new(automove: Automove) -> Self {
            Self::open(automove, true)
        }

        fn open(automove: Automove, reassign: bool) -> Self {
            let settings = StoreSettings {
                memory_limit: 4 << 20,
                hash_seed: Some(3),
                automove,
                reassign,
                ..StoreSettings::default()
            };
            let store = Store::new(&settings, 1).unwrap();
            let lane = store.lane(0);
            let now = Now::at_second(5);
            Self { store, lane, now }
        }

        fn put(&mut self, number: usize, len: usize) -> ClassId {
            let name = format!("{number}-{len}");
            let key = hashed(&self.lane, &name);
            let request = StoreRequest::default();
            let stored = self
                .lane
                .put(&key, &request, &value(number, len), self.now)
                .unwrap();
            assert_eq!(stored.outcome, StoreOutcome::Stored);
            stored.class
        }

        /// The class of values of `len` bytes.
        fn class(&self, len: usize) -> ClassId {
            let table = &self.store.table.slabs.sizes;
            table
                .fitting(len + 16 + format!("9999-{len}").len())
                .unwrap()
        }

        /// Whether the item is there; with the right value, if it is.
        fn has(&mut self, number: usize, len: usize) -> bool {
            let name = format!("{number}-{len}");
            let key = hashed(&self.lane, &name);
            let mut read = vec![];
            let found = self.lane.fetch(&key, Fetch::default(), self.now, |item| {
                item.copy_value(&mut read)
            });
            let hit = matches!(found, Fetched::Hit(()));
            assert!(!hit || read == value(number, len), "{name} has changed");
            hit
        }

        fn delete(&mut self, number: usize, len: usize) {
            let name = format!("{number}-{len}");
            let key = hashed(&self.lane, &name);
            let deleted = self.lane.delete(&key, None, self.now);
            assert!(matches!(deleted, Deleted::Deleted(_)));
        }

        fn pages(&self, class: ClassId) -> u64 {
            self.store.table.slabs.page_count(class)
        }

        fn order(&self, source: ClassId, target: ClassId) -> Result<(), MoveRefusal> {
            self.store.order_move(source.0.into(), target.0.into())
        }

        fn settle(&mut self) {
            while self.lane.maintain(self.now) {}
        }

        /// Lets seconds pass, with what the server does each of them.
        fn pass(&mut self, seconds: u64) {
            for _ in 0..seconds {
                self.now = self.now.plus_seconds(1);
                self.settle();
            }
        }
    }

    fn hashed<'a>(lane: &Lane, name: &'a str) -> HashedKey<'a> {
        lane.hashed(Key::new(name.as_bytes()).unwrap())
    }

    fn value(number: usize, len: usize) -> Vec<u8> {
        vec![b'a' + (number % 26) as u8; len]
    }

    #[test]
    fn an_ordered_page_moves_and_its_items_live_on() {
        let mut world = World::new(Automove::Balanced);
        for number in 0..10_000 {
            world.put(number, SMALL);
        }
        for number in (0..10_000).step_by(2) {
            world.delete(number, SMALL);
        }
        let (small, large) = (world.class(SMALL), world.put(0, LARGE));
        let before = (world.pages(small), world.pages(large));
        assert_eq!(world.order(small, large), Ok(()));
        assert!(world.store.snapshot().moving);
        world.settle();
        let after = (world.pages(small), world.pages(large));
        assert_eq!(after, (before.0 - 1, before.1 + 1));
        for number in 0..10_000 {
            assert_eq!(world.has(number, SMALL), number % 2 == 1, "{number}");
        }
        let snapshot = world.store.snapshot();
        assert_eq!((snapshot.slabs_moved, snapshot.evictions), (1, 0));
        assert!(snapshot.rescues > 100 && snapshot.move_no_memory == 0);
        assert!(!snapshot.moving && snapshot.last_busy.is_none());
        world.store.validate();
    }

    #[test]
    fn items_that_find_no_other_chunk_take_those_of_the_least_wanted() {
        let mut world = World::new(Automove::Balanced);
        let small = world.class(SMALL);
        let chunks = u64::from(world.store.table.slabs.chunks_per_page(small));
        for number in 0..4 * chunks as usize {
            world.put(number, SMALL);
        }
        let wanted = (0..4 * chunks as usize).step_by(3);
        for number in wanted.clone() {
            assert!(world.has(number, SMALL));
        }
        world.lane.seat().empty_magazines();
        let free = world.store.table.slabs.pages_free();
        assert_eq!(world.order(small, POOL), Ok(()));
        world.settle();
        let snapshot = world.store.snapshot();
        assert_eq!(u64::from(free) + 1, snapshot.pages_free);
        assert!(snapshot.move_no_memory > 0 && snapshot.rescues > 0);
        assert!((chunks..chunks + 20).contains(&snapshot.evictions));
        assert_eq!(snapshot.items, 4 * chunks - snapshot.evictions);
        for number in wanted {
            assert!(world.has(number, SMALL), "{number}");
        }
        let left = (0..4 * chunks as usize).filter(|&number| world.has(number, SMALL));
        assert_eq!(left.count() as u64, snapshot.items);
        world.store.validate();
    }

    #[test]
    fn further_parts_of_long_items_are_moved_too() {
        let mut world = World::new(Automove::Balanced);
        for number in 0..20 {
            world.put(number, 100_000);
        }
        for number in (0..20).step_by(2) {
            world.delete(number, 100_000);
        }
        for _ in 0..14 {
            assert_eq!(world.store.order_move(ANY, 0), Ok(()));
            world.settle();
        }
        for number in (1..20).step_by(2) {
            assert!(world.has(number, 100_000));
        }
        let snapshot = world.store.snapshot();
        assert_eq!((snapshot.slabs_moved, snapshot.evictions), (14, 0));
        assert!(snapshot.chunk_rescues > 0);
        world.store.validate();
    }

    #[test]
    fn any_source_is_the_class_with_most_to_spare_and_the_pool_is_one_too() {
        let mut world = World::new(Automove::Balanced);
        for number in 0..3_000 {
            world.put(number, SMALL);
        }
        for number in 0..60 {
            world.put(number, LARGE);
        }
        for number in 0..50 {
            world.delete(number, LARGE);
        }
        let (small, large) = (world.class(SMALL), world.class(LARGE));
        let before = (world.pages(small), world.pages(large));
        assert_eq!(world.store.order_move(ANY, small.0.into()), Ok(()));
        world.settle();
        assert_eq!(world.pages(small), before.0 + 1);
        assert_eq!(world.pages(large), before.1 - 1);

        let free = world.store.snapshot().pages_free;
        assert_eq!(world.order(POOL, small), Ok(()));
        world.settle();
        assert_eq!(world.pages(small), before.0 + 2);
        let snapshot = world.store.snapshot();
        assert_eq!((snapshot.pages_free, snapshot.slabs_moved), (free - 1, 2));
        world.store.validate();
    }

    #[test]
    fn orders_that_make_no_sense_or_come_too_soon_are_refused() {
        let mut world = World::new(Automove::Balanced);
        let order = |source, target| world.store.order_move(source, target);
        assert_eq!(order(-1, -1), Err(MoveRefusal::SameClass));
        assert_eq!(order(7, 7), Err(MoveRefusal::SameClass));
        assert_eq!(order(-1, 7), Err(MoveRefusal::BadClass));
        assert_eq!(order(-2, 7), Err(MoveRefusal::BadClass));
        assert_eq!(order(7, -1), Err(MoveRefusal::BadClass));
        let classes = world.store.table.slabs.sizes.len() as i32;
        assert_eq!(order(7, classes), Err(MoveRefusal::BadClass));
        assert_eq!(order(classes - 1, 7), Err(MoveRefusal::NoSpare));
        let small = world.put(1, SMALL);
        assert_eq!(world.order(small, POOL), Err(MoveRefusal::NoSpare));
        assert_eq!(world.order(POOL, small), Ok(()));
        assert_eq!(world.order(small, small), Err(MoveRefusal::Busy));
        world.settle();
        assert_eq!(world.order(small, small), Err(MoveRefusal::SameClass));
    }

    #[test]
    fn a_page_with_an_item_that_is_sent_or_comes_in_stays_and_others_are_tried() {
        let mut world = World::new(Automove::Balanced);
        let large = world.class(LARGE);
        let chunks = world.store.table.slabs.chunks_per_page(large) as usize;
        let mut pins = vec![];
        for number in 0..3 * chunks {
            world.put(number, LARGE);
            let name = format!("{number}-{LARGE}");
            let key = hashed(&world.lane, &name);
            let how = Fetch::default();
            let Fetched::Hit(pin) = world.lane.fetch(&key, how, world.now, |item| item.pin())
            else {
                panic!("it was just stored");
            };
            pins.push(pin);
        }
        world.order(large, POOL).unwrap();
        world.settle();
        let snapshot = world.store.snapshot();
        assert_eq!((snapshot.slabs_moved, snapshot.moving), (0, false));
        assert_eq!(snapshot.last_busy, Some(Busy::Sending));
        let busy = snapshot.move_busy;
        assert!(busy >= u64::from(TRIES) * chunks as u64, "{busy}");

        // One of three pages is free to go.
        pins.truncate(2 * chunks);
        world.order(large, POOL).unwrap();
        world.settle();
        assert_eq!(world.store.snapshot().slabs_moved, 1);
        assert!(world.store.snapshot().move_busy > busy);
        pins.clear();
        world.store.validate();
    }

    #[test]
    fn a_value_on_its_way_in_keeps_its_page() {
        let mut world = World::new(Automove::Balanced);
        let large = world.class(LARGE);
        let chunks = world.store.table.slabs.chunks_per_page(large) as usize;
        let mut uploads = vec![];
        for number in 0..2 * chunks {
            let name = format!("{number}-{LARGE}");
            let key = hashed(&world.lane, &name);
            let request = StoreRequest::default();
            let upload = world.lane.begin(&key, &request, LARGE as u32, world.now);
            uploads.push((number, upload.unwrap()));
        }
        world.order(large, POOL).unwrap();
        world.settle();
        let snapshot = world.store.snapshot();
        assert_eq!(snapshot.slabs_moved, 0);
        assert_eq!(snapshot.last_busy, Some(Busy::Arriving));
        for (number, mut upload) in uploads {
            let bytes = value(number, LARGE);
            world.lane.fill(&mut upload, &bytes, world.now).unwrap();
            world.lane.commit(upload, world.now).unwrap();
            assert!(world.has(number, LARGE));
        }
        world.store.validate();
    }

    /// Fills the store with small items that nobody asks for again, then stores large ones.
    fn pages_after_a_change_of_sizes(automove: Automove, reassign: bool) -> u64 {
        let mut world = World::open(automove, reassign);
        for number in 0..40_000 {
            world.put(number, SMALL);
        }
        for number in 0..3_000 {
            world.put(number, LARGE);
        }
        world.store.validate();
        world.pages(world.class(LARGE))
    }

    #[test]
    fn pages_move_by_themselves_as_readily_as_they_may() {
        let by_need = pages_after_a_change_of_sizes(Automove::ByNeed, true);
        assert!(by_need <= 2, "{by_need} pages");
        assert_eq!(
            pages_after_a_change_of_sizes(Automove::Eager, false),
            by_need
        );
        let balanced = pages_after_a_change_of_sizes(Automove::Balanced, true);
        assert!(balanced > 10, "{balanced} pages");
        let eager = pages_after_a_change_of_sizes(Automove::Eager, true);
        assert!(eager >= balanced, "{eager} pages, {balanced} when balanced");
    }

    #[test]
    fn pages_that_are_not_needed_for_a_window_go_to_the_pool() {
        let mut world = World::new(Automove::Balanced);
        world.store.set_automove_window_s(5);
        for number in 0..10_000 {
            world.put(number, SMALL);
        }
        let small = world.class(SMALL);
        let full = world.pages(small);
        let free = world.store.snapshot().pages_free;
        world.pass(6);
        for number in (0..10_000).filter(|number| number % 4 > 0) {
            world.delete(number, SMALL);
        }
        world.pass(2);
        assert_eq!(world.pages(small), full, "not before a window is over");
        world.pass(10);
        // A quarter of the items, a page for what comes next, and what rounding leaves.
        let left = world.pages(small);
        assert!(left <= full / 4 + 2, "{left} of {full} pages");
        let snapshot = world.store.snapshot();
        assert_eq!(snapshot.pages_free, free + full - left);
        assert_eq!((snapshot.slabs_moved, snapshot.evictions), (full - left, 0));
        for number in (0..10_000).step_by(4) {
            assert!(world.has(number, SMALL));
        }
        world.store.validate();
        world.pass(20);
        assert_eq!(world.pages(small), left, "it comes to rest");
    }

    #[test]
    fn a_class_that_is_being_filled_again_keeps_its_pages() {
        let mut world = World::new(Automove::Balanced);
        world.store.set_automove_window_s(5);
        for round in 0..6 {
            for number in 0..10_000 {
                world.put(number, SMALL);
            }
            world.pass(1 + round % 2);
            for number in 0..10_000 {
                world.delete(number, SMALL);
            }
            world.pass(1);
        }
        assert_eq!(world.store.snapshot().slabs_moved, 0);
    }

    #[test]
    fn with_moves_by_need_only_free_pages_stay() {
        let mut world = World::new(Automove::ByNeed);
        world.store.set_automove_window_s(3);
        for number in 0..10_000 {
            world.put(number, SMALL);
        }
        for number in 0..10_000 {
            world.delete(number, SMALL);
        }
        world.pass(20);
        assert_eq!(world.store.snapshot().slabs_moved, 0);
        world.store.set_automove(Automove::Balanced);
        world.pass(20);
        assert_eq!(world.pages(world.class(SMALL)), KEPT);
    }
}
