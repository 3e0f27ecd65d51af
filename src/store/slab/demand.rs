//! What a class's evictions and ghosts tell: how long its items stay, what one more page would be
//! worth to it, and how long its small queue should be.
//!
//! All are estimates that any thread may read or change without a lock; an update that gets lost
//! now and then does no harm.

use std::sync::atomic::{AtomicU64, Ordering};

/// Dates of ghosts while a class turns over once; up to twice as many, see [`Demand::evicted`].
const DATES: u64 = 32;

/// How often dates repeat: a ghost has seven bits for one.
const DATES_KNOWN: u64 = 128;

/// Ghosts up to this age, about one turnover, say what another page would be worth.
const NEAR: u64 = DATES;

/// Ghosts up to this age, about two turnovers, take their item to the main part. One, the usual
/// length of a ghost queue, misses up to 0.9 % more on key-value traces: the index keeps only some
/// of the ghosts.
const RECENT: u64 = 2 * DATES;

/// What one ghost hit adds to the pulls of its item's classes.
pub(crate) const GHOST_HIT: u64 = 1 << 16;

/// Each fading takes one part in this many off a pull. With 16 pages follow noise, and real traces
/// miss up to 1 % more.
const FADING: u64 = 64;

/// Fadings without a hit on its items or a new one, after which a class is out of use: as many as
/// there are while an eighth of the memory is allocated anew.
const OUT_OF_USE: u64 = 8;

/// The small queue's part of a class in percent: at the start, at least, at most.
const RING_START: u64 = 10;
const RING_MIN: u64 = 2;
const RING_MAX: u64 = 80;

/// Items by which a ghost hit changes the small queue's length, at least: ARC's step times four.
/// With ARC's, 3 to 6 % more misses where popularity drifts, and up to 1 % fewer on steady loads.
const RING_STEP: u64 = 4;

/// The longest step, in units of the least.
const RING_LEAP: u64 = 8;

/// The part of a class that an item is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Under the clock hand.
    Main,
    /// In the small queue.
    Small,
}

/// What a ghost remembers of its item: a date of its class, and where it was evicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epitaph(pub(crate) u8);

impl Epitaph {
    fn queue(self) -> Queue {
        if self.0 & 1 == 0 {
            Queue::Main
        } else {
            Queue::Small
        }
    }

    fn age(self, date: u64) -> u64 {
        date.wrapping_sub(u64::from(self.0 >> 1)) % DATES_KNOWN
    }
}

/// What a ghost that is found says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revival {
    /// Its item belongs to the main part.
    pub(crate) is_recent: bool,
    /// A little more memory would have kept its item.
    pub(crate) is_near: bool,
}

/// The estimates of one class.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// Bytes that the store had allocated when the present turn of evictions began.
    turn_started: AtomicU64,
    /// Evicted in the present turn.
    turn: AtomicU64,
    /// Bytes that the store allocated during the last full turn.
    age: AtomicU64,
    /// Items ever evicted.
    evicted: AtomicU64,
    /// The date on ghosts.
    date: AtomicU64,
    /// Ghost hits lately.
    pull: AtomicU64,
    /// Evictions lately, of the main part and of the ring.
    lately: [AtomicU64; 2],
    /// The length that ghost hits have given the small queue, in items.
    ring: AtomicU64,
    /// Hits and new items that had been counted at the last fading.
    seen: AtomicU64,
    /// Fadings since one of them was last counted.
    quiet: AtomicU64,
}

impl Demand {
    /// The class has got its first page: what was before means nothing.
    pub(crate) fn restart(&self, allocated: u64) {
        self.turn_started.store(allocated, Ordering::Relaxed);
        self.age.store(0, Ordering::Relaxed);
        self.pull.store(0, Ordering::Relaxed);
    }

    /// Counts evictions out of `items`; takes the age when the class has turned over once.
    pub(crate) fn evicted(&self, count: u64, items: u64, allocated: u64) {
        let total = self.evicted.fetch_add(count, Ordering::Relaxed) + count;
        let date = total >> (items / DATES).max(1).ilog2();
        self.date.store(date, Ordering::Relaxed);
        if self.turn.fetch_add(count, Ordering::Relaxed) + count < items {
            return;
        }
        self.turn.store(0, Ordering::Relaxed);
        let started = self.turn_started.swap(allocated, Ordering::Relaxed);
        self.age
            .store(allocated.saturating_sub(started), Ordering::Relaxed);
    }

    /// How long items stay before they are evicted, in bytes allocated meanwhile.
    pub(crate) fn age(&self, allocated: u64) -> u64 {
        let running = allocated.saturating_sub(self.turn_started.load(Ordering::Relaxed));
        self.age.load(Ordering::Relaxed).max(running)
    }

    /// Counts an eviction, and says what its ghost is to remember.
    pub(crate) fn bury(&self, queue: Queue) -> Epitaph {
        self.lately[queue as usize].fetch_add(1, Ordering::Relaxed);
        let date = self.date.load(Ordering::Relaxed) as u8;
        Epitaph(date << 1 | queue as u8)
    }

    /// Learns from a ghost that was found.
    pub(crate) fn revive(&self, epitaph: Epitaph) -> Revival {
        self.adjust_ring(epitaph.queue());
        let age = epitaph.age(self.date.load(Ordering::Relaxed));
        Revival {
            is_recent: age <= RECENT,
            is_near: age <= NEAR,
        }
    }

    /// A longer ring would have kept what was evicted from it, a shorter one what was evicted from
    /// the main part; which of them are fewer says more by each.
    fn adjust_ring(&self, from: Queue) {
        let ring = self.ring.load(Ordering::Relaxed);
        let lately = |queue: Queue| self.lately[queue as usize].load(Ordering::Relaxed) + 1;
        let (main, small) = (lately(Queue::Main), lately(Queue::Small));
        let step = |others: u64, own: u64| {
            (RING_STEP * others / own).clamp(RING_STEP, RING_STEP * RING_LEAP)
        };
        let ring = match from {
            Queue::Small => ring.saturating_add(step(main, small)),
            Queue::Main => ring.saturating_sub(step(small, main)).max(1),
        };
        self.ring.store(ring, Ordering::Relaxed);
    }

    /// How long the small queue should be in a class of `items`.
    pub(crate) fn ring_len(&self, items: u64) -> u64 {
        let percent = |percent: u64| (items * percent / 100).max(1);
        // Before the first eviction, the class is still growing.
        let ring = match self.evicted.load(Ordering::Relaxed) {
            0 => percent(RING_START),
            _ => self
                .ring
                .load(Ordering::Relaxed)
                .clamp(percent(RING_MIN), percent(RING_MAX)),
        };
        self.ring.store(ring, Ordering::Relaxed);
        ring
    }

    /// Counts a part of a ghost hit.
    pub(crate) fn add_pull(&self, part: u64) {
        self.pull.fetch_add(part, Ordering::Relaxed);
    }

    /// Ghost hits lately times [`GHOST_HIT`]: what more memory would have been worth.
    pub(crate) fn pull(&self) -> u64 {
        self.pull.load(Ordering::Relaxed)
    }

    /// Whether its items have not been asked for, nor new ones stored, for a while.
    pub(crate) fn is_out_of_use(&self) -> bool {
        self.quiet.load(Ordering::Relaxed) >= OUT_OF_USE
    }

    /// Lets what was counted weigh less than what comes; `requests` are all hits on its
    /// items and all new ones ever.
    pub(crate) fn fade(&self, requests: u64) {
        let fade = |number: &AtomicU64, part: u64| {
            let value = number.load(Ordering::Relaxed);
            number.store(value - value / part, Ordering::Relaxed);
        };
        fade(&self.pull, FADING);
        // These follow the load more closely: they are many.
        fade(&self.lately[0], FADING / 4);
        fade(&self.lately[1], FADING / 4);
        if requests == self.seen.swap(requests, Ordering::Relaxed) {
            self.quiet.fetch_add(1, Ordering::Relaxed);
        } else {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evicts `count` items one by one out of `items`.
    fn evict(demand: &Demand, count: u64, items: u64) {
        (0..count).for_each(|_| demand.evicted(1, items, 0));
    }

    #[test]
    fn ghosts_are_recent_for_two_turnovers_and_pull_for_one() {
        let demand = Demand::default();
        let epitaph = demand.bury(Queue::Small);
        let revived = || {
            let revival = demand.revive(epitaph);
            (revival.is_recent, revival.is_near)
        };
        assert_eq!(revived(), (true, true));
        evict(&demand, 1500, 1024);
        assert_eq!(revived(), (true, false));
        evict(&demand, 1000, 1024);
        assert_eq!(revived(), (false, false));
    }

    #[test]
    fn the_age_is_what_was_allocated_during_a_turnover() {
        let demand = Demand::default();
        demand.restart(1000);
        assert_eq!(demand.age(1500), 500);
        demand.evicted(100, 100, 3000);
        assert_eq!((demand.age(3000), demand.age(3500)), (2000, 2000));
        assert_eq!(demand.age(6000), 3000);
    }

    #[test]
    fn the_ring_grows_by_its_own_ghosts_and_shrinks_by_the_others() {
        let demand = Demand::default();
        assert_eq!(demand.ring_len(1000), 100);
        demand.evicted(1, 1000, 0);
        for _ in 0..20 {
            demand.revive(demand.bury(Queue::Small));
        }
        let longer = demand.ring_len(1000);
        assert!((150..=300).contains(&longer), "{longer}");
        for _ in 0..200 {
            demand.revive(demand.bury(Queue::Main));
        }
        assert_eq!(demand.ring_len(1000), 20);
        for _ in 0..1000 {
            demand.revive(demand.bury(Queue::Small));
        }
        assert_eq!(demand.ring_len(1000), 800);
        assert_eq!(demand.ring_len(10), 8);
    }

    #[test]
    fn a_class_without_requests_is_out_of_use_after_a_while() {
        let demand = Demand::default();
        demand.fade(1);
        (0..OUT_OF_USE - 1).for_each(|_| demand.fade(1));
        assert!(!demand.is_out_of_use());
        demand.fade(1);
        assert!(demand.is_out_of_use());
        demand.fade(2);
        assert!(!demand.is_out_of_use());
    }

    #[test]
    fn a_pull_fades() {
        let demand = Demand::default();
        for _ in 0..100 {
            demand.add_pull(GHOST_HIT);
        }
        let pull = demand.pull();
        (0..FADING).for_each(|_| demand.fade(0));
        assert!((pull / 4..pull / 2).contains(&demand.pull()));
    }
}
