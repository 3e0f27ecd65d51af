//! What there is to tell those who `watch`: events on their way from a lane to who reads them.
//!
//! ```text
//!   lane 0 ── record ──▶ ring ──┐
//!   lane 1 ── record ──▶ ring ──┼── drain, in the order of their numbers ──▶ watchers
//!   lane n ── record ──▶ ring ──┘
//! ```
//!
//! Mostly nobody watches. Then all that a request pays is a look at [`Events::wants`], one word
//! that is written only when a watcher comes or goes. While somebody does, a lane copies what
//! happened into its ring and goes on: it waits for nobody, and what finds no room in the ring is
//! dropped and counted.

mod event;
mod topics;

pub use event::{CloseReason, Event, ItemFacts, KeyCopy, Lookup, Peer, StoreEnd, StoreVerb};
pub use topics::Topics;

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::Thread;

/// An event, its place among all others, and when it was.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Counts up over all lanes.
    pub number: u64,
    /// Unix time in microseconds.
    pub unix_us: u64,
    /// What happened.
    pub event: Event,
}

/// How many events left the rings, and how many never got in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Taken out.
    pub written: u64,
    /// Found a full ring.
    pub dropped: u64,
}

/// One lane's events that have not been drained.
#[derive(Debug)]
struct EventRing {
    records: ArrayQueue<Record>,
    dropped: AtomicU64,
}

/// What it takes to be watched.
#[derive(Debug)]
struct Tap {
    ring_bytes: usize,
    clock: fn() -> u64,
}

/// The events of a process.
#[derive(Debug)]
pub struct Events {
    /// What somebody wants to know: read by every request.
    interest: AtomicU16,
    lanes: usize,
    tap: OnceLock<Tap>,
    /// One for each lane, made when somebody watches for the first time.
    rings: OnceLock<Box<[CachePadded<EventRing>]>>,
    /// The thread that drains the rings.
    drainer: OnceLock<Thread>,
    number: CachePadded<AtomicU64>,
    /// The drainer has been woken and has not heeded it yet.
    woken: CachePadded<AtomicBool>,
}

impl Events {
    /// Those of `lanes` lanes. They are not recorded before [`tap`](Self::tap).
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        Self {
            interest: AtomicU16::new(0),
            lanes,
            tap: OnceLock::new(),
            rings: OnceLock::new(),
            drainer: OnceLock::new(),
            number: CachePadded::default(),
            woken: CachePadded::default(),
        }
    }

    /// Lets events be recorded, in rings of `ring_bytes` each; `clock` tells the Unix time in
    /// microseconds. Before anybody can watch; the first call counts.
    pub fn tap(&self, ring_bytes: usize, clock: fn() -> u64) {
        self.tap.get_or_init(|| Tap { ring_bytes, clock });
    }

    /// Has `drainer` unparked when somebody comes to watch, and when there is much to drain.
    pub fn set_drainer(&self, drainer: Thread) {
        self.drainer.get_or_init(|| drainer);
    }

    /// Has events of these topics recorded from now on, and no others.
    pub fn set_interest(&self, topics: Topics) {
        if let Some(tap) = self.tap.get()
            && topics != Topics::NONE
        {
            let most = (tap.ring_bytes / size_of::<Record>()).max(1);
            let rings = || (0..self.lanes).map(|_| EventRing::new(most)).collect();
            self.rings.get_or_init(rings);
        }
        self.interest.store(topics.bits(), Ordering::Release);
    }

    /// Whether somebody wants to know of events of one of `topics`.
    #[inline]
    #[must_use]
    pub fn wants(&self, topics: Topics) -> bool {
        self.interest.load(Ordering::Relaxed) & topics.bits() != 0
    }

    /// The number that no earlier event has, and every later one exceeds.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tells what has happened on `lane`.
    #[cold]
    pub fn record(&self, lane: usize, event: Event) {
        let (Some(tap), Some(rings)) = (self.tap.get(), self.rings.get()) else {
            return;
        };
        let ring = &rings[lane];
        let record = Record {
            number: self.next_number(),
            unix_us: (tap.clock)(),
            event,
        };
        if ring.records.push(record).is_err() {
            ring.dropped.fetch_add(1, Ordering::Relaxed);
        }
        if ring.records.len() > ring.records.capacity() / 2 {
            self.wake_drainer();
        }
    }

    /// Unparks the drainer, once until it heeds that.
    pub fn wake_drainer(&self) {
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Some(drainer) = self.drainer.get()
        {
            drainer.unpark();
        }
    }

    /// For the drainer, before it looks whether it has anything to do: who wakes it after that
    /// unparks it again.
    pub fn heed_wakes(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    /// Moves what is in the rings to `records`, in the order of the numbers. No more than the rings
    /// hold, however much comes meanwhile.
    pub fn drain(&self, records: &mut Vec<Record>) -> Drained {
        records.clear();
        let mut drained = Drained::default();
        for ring in self.rings.get().into_iter().flatten() {
            let waiting = std::iter::from_fn(|| ring.records.pop());
            records.extend(waiting.take(ring.records.capacity()));
            drained.dropped += ring.dropped.swap(0, Ordering::Relaxed);
        }
        drained.written = records.len() as u64;
        records.sort_unstable_by_key(|record| record.number);
        drained
    }
}

impl EventRing {
    fn new(records_max: usize) -> CachePadded<Self> {
        CachePadded::new(Self {
            records: ArrayQueue::new(records_max),
            dropped: AtomicU64::new(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    fn page_move(source: u8) -> Event {
        Event::PageMove {
            source,
            target: 0,
            is_done: true,
        }
    }

    fn tapped(lanes: usize, records: usize) -> Events {
        let events = Events::new(lanes);
        events.tap(records * size_of::<Record>(), || 1_000_001);
        events.set_interest(Topics::SYSEVENTS);
        events
    }

    fn sources(records: &[Record]) -> Vec<u8> {
        let source = |record: &Record| match record.event {
            Event::PageMove { source, .. } => source,
            _ => panic!("{record:?}"),
        };
        records.iter().map(source).collect()
    }

    #[test]
    fn events_of_all_lanes_come_in_the_order_in_which_they_happened() {
        let events = tapped(3, 8);
        for source in 0..12 {
            events.record(usize::from(source) % 3, page_move(source));
        }
        let mut records = vec![];
        let drained = events.drain(&mut records);
        assert_eq!(sources(&records), (0..12).collect::<Vec<_>>());
        assert_eq!((drained.written, drained.dropped), (12, 0));
        assert!(records.iter().all(|record| record.unix_us == 1_000_001));
        assert_eq!(events.drain(&mut records), Drained::default());
        assert!(records.is_empty());
    }

    #[test]
    fn a_full_ring_drops_what_is_new_and_counts_it_once() {
        let events = tapped(2, 4);
        for source in 0..7 {
            events.record(0, page_move(source));
        }
        events.record(1, page_move(100));
        let mut records = vec![];
        let drained = events.drain(&mut records);
        assert_eq!(sources(&records), [0, 1, 2, 3, 100]);
        assert_eq!((drained.written, drained.dropped), (5, 3));
        assert_eq!(events.drain(&mut records).dropped, 0);
    }

    #[test]
    fn nothing_is_kept_before_somebody_can_read_it() {
        let events = Events::new(1);
        assert!(!events.wants(Topics::SYSEVENTS));
        events.set_interest(Topics::SYSEVENTS);
        events.record(0, page_move(1));
        events.tap(1 << 16, || 0);
        events.set_interest(Topics::NONE);
        events.record(0, page_move(2));
        events.set_interest(Topics::SYSEVENTS | Topics::FETCHERS);
        assert_eq!(events.drain(&mut vec![]), Drained::default());
        assert!(events.wants(Topics::FETCHERS) && !events.wants(Topics::DELETIONS));
    }

    #[test]
    fn whoever_drains_is_woken_when_a_ring_is_half_full() {
        let events = Arc::new(Events::new(1));
        let drainer = Arc::clone(&events);
        // It sleeps until it is woken: a test that hangs has failed.
        let thread = thread::spawn(move || {
            let mut records = vec![];
            while records.is_empty() {
                thread::park();
                drainer.heed_wakes();
                drainer.drain(&mut records);
            }
            records.len()
        });
        events.set_drainer(thread.thread().clone());
        events.tap(8 * size_of::<Record>(), || 0);
        events.set_interest(Topics::SYSEVENTS);
        for source in 0..5 {
            events.record(0, page_move(source));
        }
        assert!(thread.join().unwrap() >= 5);
    }
}
