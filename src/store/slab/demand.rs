//! What a class's evictions, hits and ghosts tell: how long its small queue should be, what one hit
//! is worth, whether anybody reads, how long items stay, and what one more page would be worth.
//!
//! All are estimates that any thread may read or change without a lock; an update that gets lost
//! now and then does no harm.
//!
//! # The length of the small queue
//!
//! No part of a class is reserved for either queue: what the small one does not hold is main. Its
//! wanted length follows the *gets* that miss on a ghost. A ghost of the small queue says that a
//! longer one would have had the item, a ghost of the main queue that a shorter one would, each
//! only if the room that the other queue has would have sufficed; near ones say more. As in ARC, a
//! ghost of the queue that evicts less says more. The wanted length never runs far ahead of what
//! is, so that both directions begin at once when the load changes.
//!
//! Without gets there are no ghosts to learn from. If a class is written to and nobody reads, then
//! the main queue yields to what comes, down to a quarter at once and slowly below.

use crate::store::outcome::ClassId;
use crate::store::slab::epitaph::{DATES_KNOWN, Epitaph, Queue};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A class turns over once in this many dates, and up to twice as many: an evicted item's date has
/// six bits.
const DATES: u64 = 16;

/// Turnovers after which a ghost no longer takes its item to the main queue. Within a percent the
/// same from 1 to 4.
const RECENT_TURNS: u64 = 2;

/// What one ghost hit adds to the pulls of its item's classes.
pub(crate) const GHOST_HIT: u64 = 1 << 16;

/// Each fading takes one part in this many off a pull. With 16 pages follow noise, and real traces
/// miss up to 1 % more.
const FADING: u64 = 64;

/// Less memory is taken to cost at least one in so many of the hits. On a mix of sizes that are
/// each read once, 83 to 168 pages move without this, 80 to 111 with 16, and 48 to 84 with 8.
const GRIP: u64 = 8;

/// Of what a turnover counts, [`Demand::used`] has one part in so many: three of 64 fadings.
const USED_PER_TURN: u64 = 64 / 3;

/// Fadings without a hit on its items or a new one, after which a class is out of use: as many as
/// there are while an eighth of the memory is allocated anew.
const OUT_OF_USE: u64 = 8;

/// The small queue's part of a class in percent: before the first eviction, and at least. Within a
/// percent the same from 10 to 100, and from 1 to 5.
const RING_START: u64 = 30;
const RING_MIN: u64 = 2;

/// The main queue is not evicted from while it has less than one part in this many of the items.
const MAIN_MIN: u64 = 128;

/// Ghosts older than one part in this many of a turnover do not change the small queue's length.
const WINDOW: u64 = 2;

/// The wanted length may differ by one part in this many of the items from what is.
const LEASH: u64 = 16;

/// A ghost changes the wanted length by at least one part in this many of the items, or
/// [`STEP_MIN`], and at most [`LEAP`] times that.
const STEPS: u64 = 1024;
const STEP_MIN: u64 = 8;
const LEAP: u64 = 256;

/// The part of trials that must succeed for a hit to be worth a promotion: one in so many.
const TRIALS_PER_SUCCESS: u64 = 10;

/// Verdicts that count; more of them are halved. And successes that are taken for granted: at first
/// nothing is known, and a hit is trusted.
const VERDICTS: u64 = 256;
const TRUST: u64 = 8;

/// Nobody reads if there are this many times more new items than hits and misses.
const UNREAD: u64 = 16;

/// How much of a class the small queue may have at once when nobody reads, in percent, and the part
/// of the items by which it grows from there at each fading: one in so many.
const CALM_RING: u64 = 75;
const CALM_STEPS: u64 = 256;

/// What a request that finds a ghost says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revival {
    /// Its item belongs to the main queue.
    pub(crate) is_recent: bool,
    /// A little more memory would have kept its item.
    pub(crate) is_near: bool,
}

/// What has ever been counted in a class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Experience {
    /// Accesses that were noted in items.
    pub(crate) used: u64,
    /// New items in the place of another one, and under keys that had none.
    pub(crate) replaced: u64,
    pub(crate) created: u64,
    /// Trials that succeeded, and that failed.
    pub(crate) proven: u64,
    pub(crate) failed: u64,
    /// Gets that found nothing, and new items, of the whole store.
    pub(crate) store_missed: u64,
    pub(crate) store_created: u64,
}

/// Those of the counts at the last fading that the next one needs.
#[derive(Debug, Default)]
struct Seen {
    used: AtomicU64,
    replaced: AtomicU64,
    created: AtomicU64,
    proven: AtomicU64,
    failed: AtomicU64,
    store_missed: AtomicU64,
    store_created: AtomicU64,
}

/// What a class believes, for reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beliefs {
    /// Items of the small queue.
    pub ring: u64,
    /// How many it should have.
    pub ring_wanted: u64,
    /// Whether a single hit in the small queue is worth a promotion.
    pub one_hit_promotes: bool,
    /// Lately: trials that succeeded, and that failed.
    pub trials_proven: u64,
    /// See `trials_proven`.
    pub trials_failed: u64,
    /// Evictions lately, from the small queue and from the main one.
    pub evicted_small: u64,
    /// See `evicted_small`.
    pub evicted_main: u64,
    /// Whether it is written to and not read.
    pub is_unread: bool,
    /// Gets lately, in hundredths, that more memory would have answered.
    pub pull: u64,
    /// Bytes that the store allocates while the class turns over once.
    pub turnover: u64,
}

/// The estimates of one class.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// Items, and those of the main queue, as the lanes have reported them.
    items: AtomicU64,
    main: AtomicU64,
    /// Bytes that the store had allocated when the present turn of evictions began.
    turn_started: AtomicU64,
    /// Evicted in the present turn.
    turn: AtomicU64,
    /// Bytes that the store allocated during the last full turn.
    age: AtomicU64,
    /// The date on ghosts, in 65536ths.
    date: AtomicU64,
    /// log2 of the evictions of a date.
    date_shift: AtomicU64,
    /// Ghost hits lately.
    pull: AtomicU64,
    /// Evictions lately, of the main queue and of the small one.
    lately: [AtomicU64; 2],
    /// Whether there was any eviction.
    has_evicted: AtomicBool,
    /// The length that ghosts have given the small queue.
    ring: AtomicU64,
    /// Verdicts on trials lately.
    proven: AtomicU64,
    failed: AtomicU64,
    /// One hit is not worth a promotion.
    one_hit_fails: AtomicBool,
    /// Accesses, misses and new items lately.
    used: AtomicU64,
    missed: AtomicU64,
    created: AtomicU64,
    is_unread: AtomicBool,
    seen: Seen,
    /// Fadings since a request was last counted.
    quiet: AtomicU64,
    /// It has been given a page because it needed one, and is likely to need the next.
    is_growing: AtomicBool,
}

fn get(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn set(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::Relaxed);
}

impl Demand {
    /// The class has got its first page: what was before means nothing.
    pub(crate) fn restart(&self, allocated: u64) {
        set(&self.turn_started, allocated);
        set(&self.age, 0);
        set(&self.pull, 0);
    }

    /// The class has another number of pages: at once, its items will stay so much longer or
    /// shorter, and the ghosts that more pages would have kept are so many fewer. Were that left to
    /// be counted anew, a class would go on to give or to take for a turnover.
    pub(crate) fn resize(&self, before: u64, pages: u64, allocated: u64) {
        if before == 0 || !self.has_evicted() {
            return;
        }
        let scale = |age: u64| (u128::from(age) * u128::from(pages) / u128::from(before)) as u64;
        set(&self.age, scale(get(&self.age)));
        if pages > before {
            // Near ghosts are those of a whole turnover; this part of them is hits now.
            self.take_pull(self.pull() / before);
        } else {
            let running = allocated.saturating_sub(get(&self.turn_started));
            set(&self.turn_started, allocated.saturating_sub(scale(running)));
        }
    }

    /// Items of the class, as far as the lanes have reported them.
    pub(crate) fn items(&self) -> u64 {
        reported(&self.items)
    }

    /// Items of its small queue. Not the ring's entries, of which some may be stale.
    fn small(&self) -> u64 {
        self.items().saturating_sub(reported(&self.main))
    }

    /// Adds a lane's report, of its items and of those that are main; both wrap below zero.
    pub(crate) fn report(&self, items: u64, main: u64) {
        for (sum, more) in [(&self.items, items), (&self.main, main)] {
            if more != 0 {
                sum.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Counts evictions, by queue; takes the age when the class has turned over once.
    pub(crate) fn evicted(&self, [main, small]: [u64; 2], allocated: u64) {
        let count = main + small;
        if count == 0 {
            return;
        }
        let items = self.items();
        if !self.has_evicted() {
            set(&self.ring, self.ring_len());
            self.has_evicted.store(true, Ordering::Relaxed);
        }
        let shift = u64::from((items / DATES).max(1).ilog2());
        set(&self.date_shift, shift);
        self.date
            .fetch_add((count << 16) >> shift, Ordering::Relaxed);
        for (lately, count) in self.lately.iter().zip([main, small]) {
            set(lately, get(lately) + count);
        }
        if self.turn.fetch_add(count, Ordering::Relaxed) + count < items {
            return;
        }
        set(&self.turn, 0);
        let started = self.turn_started.swap(allocated, Ordering::Relaxed);
        set(&self.age, allocated.saturating_sub(started));
    }

    /// Whether it has ever been so full that items were evicted.
    #[inline]
    pub(crate) fn has_evicted(&self) -> bool {
        self.has_evicted.load(Ordering::Relaxed)
    }

    /// Whether it has been given a page because it needed one, and is likely to need the next.
    pub(crate) fn is_growing(&self) -> bool {
        self.is_growing.load(Ordering::Relaxed)
    }

    pub(crate) fn set_growing(&self, is_growing: bool) {
        self.is_growing.store(is_growing, Ordering::Relaxed);
    }

    /// How long items stay before they are evicted, in bytes allocated meanwhile.
    pub(crate) fn age(&self, allocated: u64) -> u64 {
        let running = allocated.saturating_sub(get(&self.turn_started));
        get(&self.age).max(running)
    }

    /// What the ghost of an item of `class` that is evicted now is to remember.
    pub(crate) fn bury(&self, class: ClassId, queue: Queue) -> Epitaph {
        Epitaph::new(class, queue, get(&self.date) >> 16)
    }

    /// What a ghost says that was found.
    pub(crate) fn revive(&self, epitaph: Epitaph) -> Revival {
        let age = self.dates_since(epitaph);
        let turn = self.items() >> get(&self.date_shift);
        Revival {
            is_recent: age <= RECENT_TURNS * turn,
            is_near: age <= turn,
        }
    }

    fn dates_since(&self, epitaph: Epitaph) -> u64 {
        (get(&self.date) >> 16).wrapping_sub(epitaph.date()) % DATES_KNOWN
    }

    /// Learns from a ghost that somebody has asked for: once from each.
    pub(crate) fn learn(&self, epitaph: Epitaph) {
        let shift = get(&self.date_shift);
        let (items, ring) = (self.items(), self.small());
        let age = self.dates_since(epitaph);
        let window = (items / WINDOW) >> shift;
        let [main, small] = [&self.lately[0], &self.lately[1]].map(|lately| get(lately) + 1);
        let (own, others, have) = match epitaph.queue() {
            Queue::Small => (small, main, items.saturating_sub(ring)),
            Queue::Main => (main, small, ring),
        };
        // What its queue has evicted since then; `have` is all that the other part has.
        let need = (age << shift) * own / (own + others);
        if age >= window || need > have || have == 0 {
            return;
        }
        let base = (items / STEPS).max(STEP_MIN);
        let step = (base * others / own).clamp(base, base * LEAP);
        let step = step * (window - age) / window * (have - need) / have;
        let wanted = get(&self.ring);
        self.want_ring(match epitaph.queue() {
            Queue::Small => wanted.saturating_add(step),
            Queue::Main => wanted.saturating_sub(step),
        });
    }

    fn want_ring(&self, wanted: u64) {
        let (items, ring) = (self.items(), self.small());
        let leash = (items / LEASH).max(1);
        let near = wanted.clamp(ring.saturating_sub(leash), ring + leash);
        set(&self.ring, within(near, items));
    }

    /// How long the small queue should be.
    pub(crate) fn ring_len(&self) -> u64 {
        let items = self.items();
        // Before the first eviction, the class is still growing.
        let ring = if self.has_evicted() {
            get(&self.ring)
        } else {
            items * RING_START / 100
        };
        within(ring, items)
    }

    /// Whether the next to be evicted is the oldest of the small queue.
    pub(crate) fn evicts_from_small(&self) -> bool {
        let main = reported(&self.main);
        self.small() > self.ring_len() || main <= self.items() / MAIN_MIN
    }

    /// Whether a promotion after one hit is tried.
    pub(crate) fn tries_one_hit(&self) -> bool {
        !self.one_hit_fails.load(Ordering::Relaxed)
    }

    /// Counts a part of a ghost hit.
    pub(crate) fn add_pull(&self, part: u64) {
        self.pull.fetch_add(part, Ordering::Relaxed);
    }

    /// Takes a part of a ghost hit back: it was another class's.
    pub(crate) fn take_pull(&self, part: u64) {
        set(&self.pull, get(&self.pull).saturating_sub(part));
    }

    /// Ghost hits lately times [`GHOST_HIT`]: what more memory would have been worth.
    pub(crate) fn pull(&self) -> u64 {
        get(&self.pull)
    }

    /// What less memory would cost, as a pull: that, and at least a part of the hits. A class that
    /// has just what it needs has no ghosts that are asked for, and may need every page of it.
    pub(crate) fn grip(&self) -> u64 {
        self.pull()
            .max(get(&self.used) * USED_PER_TURN * GHOST_HIT / GRIP)
    }

    /// Whether its items have not been asked for, nor new ones stored, for a while.
    pub(crate) fn is_out_of_use(&self) -> bool {
        get(&self.quiet) >= OUT_OF_USE
    }

    /// Decays old counts, and draws conclusions from them. To be done sixty-four times while the
    /// store allocates as much as it holds.
    pub(crate) fn fade(&self, counted: Experience) {
        let fade = |number: &AtomicU64, part: u64| set(number, get(number) - get(number) / part);
        fade(&self.pull, FADING);
        // These follow the load more closely: they are many.
        fade(&self.lately[0], FADING / 4);
        fade(&self.lately[1], FADING / 4);
        let news = self.news(counted);
        if news.used + news.replaced + news.created == 0 {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        } else {
            set(&self.quiet, 0);
        }
        self.judge_trials(news);
        self.see_readers(news);
    }

    /// What is new in `counted` since the last fading.
    fn news(&self, counted: Experience) -> Experience {
        let seen = &self.seen;
        let news = |seen: &AtomicU64, now: u64| {
            let before = seen.swap(now, Ordering::Relaxed);
            // Lanes count on meanwhile: of two sums the later may be the smaller.
            now.wrapping_sub(before)
                .cast_signed()
                .max(0)
                .cast_unsigned()
        };
        Experience {
            used: news(&seen.used, counted.used),
            replaced: news(&seen.replaced, counted.replaced),
            created: news(&seen.created, counted.created),
            proven: news(&seen.proven, counted.proven),
            failed: news(&seen.failed, counted.failed),
            store_missed: news(&seen.store_missed, counted.store_missed),
            store_created: news(&seen.store_created, counted.store_created),
        }
    }

    fn judge_trials(&self, news: Experience) {
        let mut proven = get(&self.proven) + news.proven;
        let mut failed = get(&self.failed) + news.failed;
        while proven + failed > VERDICTS {
            (proven, failed) = (proven / 2, failed / 2);
        }
        set(&self.proven, proven);
        set(&self.failed, failed);
        let fails = (proven + TRUST) * TRIALS_PER_SUCCESS < proven + TRUST + failed;
        self.one_hit_fails.store(fails, Ordering::Relaxed);
    }

    /// Lets the small queue grow if the class is written to and not read.
    fn see_readers(&self, news: Experience) {
        // Misses have no class; the classes are taken to share them as they share new items.
        let share = u128::from(news.store_missed) * u128::from(news.created)
            / u128::from(news.store_created.max(news.created).max(1));
        let lately = |number: &AtomicU64, news: u64| {
            let sum = get(number) + news;
            set(number, sum - sum / 4);
            sum
        };
        let used = lately(&self.used, news.used);
        let missed = lately(&self.missed, share as u64);
        let created = lately(&self.created, news.created);
        let is_unread = (used + missed) * UNREAD < created;
        self.is_unread.store(is_unread, Ordering::Relaxed);
        if is_unread && self.has_evicted() {
            let items = self.items();
            let slowly = self.small() + items / CALM_STEPS;
            let ring = get(&self.ring).max(items * CALM_RING / 100);
            set(&self.ring, ring.max(slowly.min(items)));
        }
    }

    /// What the class believes.
    pub(crate) fn beliefs(&self, allocated: u64) -> Beliefs {
        Beliefs {
            ring: self.small(),
            ring_wanted: self.ring_len(),
            one_hit_promotes: self.tries_one_hit(),
            trials_proven: get(&self.proven),
            trials_failed: get(&self.failed),
            evicted_small: get(&self.lately[Queue::Small as usize]),
            evicted_main: get(&self.lately[Queue::Main as usize]),
            is_unread: self.is_unread.load(Ordering::Relaxed),
            pull: self.pull() * 100 / GHOST_HIT,
            turnover: self.age(allocated),
        }
    }
}

/// A sum of what lanes have reported. They count out each other's items: one that is read meanwhile
/// may be below zero.
fn reported(sum: &AtomicU64) -> u64 {
    get(sum).cast_signed().max(0).cast_unsigned()
}

/// A small queue's length that is possible in a class of `items`.
fn within(ring: u64, items: u64) -> u64 {
    ring.clamp((items * RING_MIN / 100).max(1), items.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: ClassId = ClassId(9);

    /// A class of `items` of which `ring` are in the small queue, after an eviction.
    fn class(items: u64, ring: u64) -> Demand {
        let demand = Demand::default();
        demand.report(items, items - ring);
        demand.evicted([0, 1], 0);
        set(&demand.ring, ring);
        demand
    }

    /// Lets the small queue have so many of the items.
    fn shift(demand: &Demand, small: u64) {
        set(&demand.main, demand.items() - small);
    }

    /// The wanted length after `count` ghosts of `queue` were asked for, evicted `ago` evictions
    /// ago, half of them from each queue.
    fn learned(demand: &Demand, queue: Queue, ago: u64, count: usize) -> u64 {
        let epitaph = demand.bury(CLASS, queue);
        for _ in 0..ago / 2 {
            demand.evicted([1, 1], 0);
        }
        (0..count).for_each(|_| demand.learn(epitaph));
        demand.ring_len()
    }

    #[test]
    fn a_ghost_of_the_ring_lengthens_it_and_one_of_the_main_queue_shortens_it() {
        let longer = learned(&class(10_000, 5_000), Queue::Small, 1_000, 3);
        assert!((5_010..5_100).contains(&longer), "{longer}");
        let shorter = learned(&class(10_000, 5_000), Queue::Main, 1_000, 3);
        assert!((4_900..4_990).contains(&shorter), "{shorter}");
        let near = learned(&class(10_000, 5_000), Queue::Small, 10, 3);
        assert!(near > longer, "near ones say more: {near}, {longer}");
    }

    #[test]
    fn ghosts_that_are_too_old_or_out_of_reach_say_nothing() {
        for queue in [Queue::Small, Queue::Main] {
            assert_eq!(learned(&class(10_000, 5_000), queue, 6_000, 9), 5_000);
        }
        // The other part has less than what the item would have needed.
        assert_eq!(
            learned(&class(10_000, 9_500), Queue::Small, 4_000, 9),
            9_500
        );
        assert_eq!(learned(&class(10_000, 500), Queue::Main, 4_000, 9), 500);
    }

    #[test]
    fn the_wanted_length_stays_near_what_is_and_within_the_class() {
        let demand = class(16_000, 8_000);
        assert_eq!(learned(&demand, Queue::Small, 0, 10_000), 9_000);
        assert_eq!(learned(&demand, Queue::Main, 0, 10_000), 7_000);
        assert_eq!(learned(&class(16_000, 200), Queue::Main, 0, 10_000), 320);
        assert_eq!(
            learned(&class(16_000, 15_900), Queue::Small, 0, 10_000),
            16_000
        );
        demand.report(1_000_u64.wrapping_sub(16_000), 0);
        assert_eq!(demand.ring_len(), 1_000);
    }

    #[test]
    fn the_main_queue_has_to_be_earned() {
        let demand = class(12_800, 12_800);
        let evicts_from_small = |small| {
            shift(&demand, small);
            demand.evicts_from_small()
        };
        assert!(evicts_from_small(12_800) && evicts_from_small(12_700));
        assert!(!evicts_from_small(12_699));
        set(&demand.ring, 9_000);
        assert!(!evicts_from_small(8_000) && evicts_from_small(9_001));
    }

    #[test]
    fn ghosts_are_recent_for_two_turnovers_and_near_for_one() {
        let demand = class(1_024, 512);
        let epitaph = demand.bury(CLASS, Queue::Small);
        let revived = || {
            let revival = demand.revive(epitaph);
            (revival.is_recent, revival.is_near)
        };
        assert_eq!(revived(), (true, true));
        demand.evicted([0, 1_500], 0);
        assert_eq!(revived(), (true, false));
        demand.evicted([0, 1_000], 0);
        assert_eq!(revived(), (false, false));
    }

    #[test]
    fn dates_go_on_when_the_class_grows_over_a_power_of_two() {
        let demand = class(1_000, 500);
        for count in [1_000, 1_023, 1_024, 2_047, 2_048, 4_100] {
            demand.report(count - demand.items(), 0);
            let epitaph = demand.bury(CLASS, Queue::Small);
            demand.evicted([0, 1], 0);
            assert!(demand.dates_since(epitaph) <= 1, "at {count} items");
        }
    }

    #[test]
    fn one_hit_is_worth_a_promotion_as_long_as_trials_succeed() {
        let demand = class(1_000, 500);
        let mut counted = Experience::default();
        let mut fade = |proven, failed| {
            counted.proven += proven;
            counted.failed += failed;
            demand.fade(counted);
            demand.tries_one_hit()
        };
        assert!(fade(0, 0) && fade(0, 70));
        assert!(!fade(0, 30));
        assert!((0..50).all(|_| !fade(1, 60)), "2 % succeed");
        assert!((0..10).any(|_| fade(20, 60)), "a quarter does");
        assert!(!(0..10).all(|_| fade(0, 60)), "and none again");
    }

    #[test]
    fn the_ring_grows_while_the_class_is_written_to_and_not_read() {
        let demand = class(10_000, 1_000);
        let mut counted = Experience::default();
        let mut fade = |used: u64, created: u64, missed: u64, ring| {
            counted.used += used;
            counted.created += created;
            counted.store_created += created;
            counted.store_missed += missed;
            shift(&demand, ring);
            demand.fade(counted);
            demand.ring_len()
        };
        assert_eq!(fade(100, 1_000, 0, 1_000), 1_000, "hits");
        assert_eq!(
            (0..20).map(|_| fade(0, 1_000, 900, 1_000)).max(),
            Some(1_000)
        );
        let at_once = (0..20).map(|_| fade(0, 1_000, 10, 1_000)).max();
        assert_eq!(at_once, Some(7_500));
        assert_eq!(fade(0, 1_000, 10, 9_000), 9_039);
        assert_eq!(fade(0, 1_000, 10, 9_990), 10_000);
    }

    #[test]
    fn the_age_is_what_was_allocated_during_a_turnover() {
        let demand = class(100, 50);
        demand.restart(1000);
        assert_eq!(demand.age(1500), 500);
        demand.evicted([50, 50], 3000);
        assert_eq!((demand.age(3000), demand.age(3500)), (2000, 2000));
        assert_eq!(demand.age(6000), 3000);
    }

    #[test]
    fn a_class_without_requests_is_out_of_use_after_a_while() {
        let demand = Demand::default();
        let requests = |created| Experience {
            created,
            ..Experience::default()
        };
        demand.fade(requests(1));
        (0..OUT_OF_USE - 1).for_each(|_| demand.fade(requests(1)));
        assert!(!demand.is_out_of_use());
        demand.fade(requests(1));
        assert!(demand.is_out_of_use());
        demand.fade(requests(2));
        assert!(!demand.is_out_of_use());
    }

    #[test]
    fn with_other_pages_the_age_and_the_pull_are_others_at_once() {
        let demand = class(100, 50);
        demand.restart(0);
        demand.evicted([50, 50], 3000);
        let resized = |before, pages| {
            set(&demand.pull, 900);
            demand.resize(before, pages, 5000);
            (demand.age(5000), demand.pull())
        };
        assert_eq!(resized(9, 10), (3333, 800));
        assert_eq!(resized(10, 5), (1666, 900));
        assert_eq!(resized(1, 2), (3332, 0));
        assert_eq!(demand.age(8000), 4000, "of the turn half is left");
        let young = Demand::default();
        young.resize(1, 2, 5000);
        assert_eq!(young.age(5000), 5000, "it has not been full");
    }

    #[test]
    fn a_class_with_hits_and_no_ghosts_keeps_its_pages() {
        let demand = Demand::default();
        let mut counted = Experience::default();
        let mut fade = || {
            counted.used += 100;
            demand.fade(counted);
        };
        (0..64).for_each(|_| fade());
        let hits = demand.grip() / GHOST_HIT * GRIP;
        assert!((6_000..=6_400).contains(&hits), "{hits} of a turnover's");
        demand.add_pull(10_000 * GHOST_HIT);
        assert_eq!(demand.grip(), 10_000 * GHOST_HIT);
    }

    #[test]
    fn a_pull_fades() {
        let demand = Demand::default();
        for _ in 0..100 {
            demand.add_pull(GHOST_HIT);
        }
        let pull = demand.pull();
        (0..FADING).for_each(|_| demand.fade(Experience::default()));
        assert!((pull / 4..pull / 2).contains(&demand.pull()));
    }
}
