//! Items in slabs behind striped locks: the cache itself.
//!
//! ```text
//!   Lane (one per thread) ── key, hash ──▶ Stripe: Mutex ── index ──▶ chunk in a page: the item
//!     │ magazines of free chunks                                          ▲
//!     └──── refill ──▶ SlabClass: Mutex ── pages, ring, hand ─────────────┘
//!                          └──▶ pool: Mutex ── pages without owner
//! ```
//!
//! # Memory
//!
//! One budget, the limit: pages hold items, the index and the eviction queues; what the store has
//! on the heap besides (page records, stripes, hints) is a fixed amount that is taken off the limit
//! first. While flushes are pending they take up to a 256th of the limit more, see `flush`.
//!
//! What an item costs, here one with a key of 16 bytes and a value of 32 (memcached 1.6.45: 126):
//!
//! | bytes | for                                                                               |
//! |-------|-----------------------------------------------------------------------------------|
//! | 16    | header: lengths, state, access, expiry, CAS (see `item`)                          |
//! | 48    | key and value                                                                     |
//! | 0     | rounding to a chunk: 64 is one; over all lengths from 64 B to 2 KiB it is 4 %     |
//! | 9     | index: a bucket of 64 bytes for 6 to 8 items, and the spill (see `index`)         |
//! | 2.5   | eviction: an entry in the ring, 2 or 3 bytes; the rest are header bits            |
//! | 0.3   | a stripe and its hints, 512 bytes for every 512 KiB, and ends of pages            |
//!
//! The index grows and shrinks by buckets, within the same budget.
//!
//! The limit changes at run time, up to [`LIMIT_GROWTH`] times what it was at the start. How memory
//! is cut up does not: page size, classes and stripes stay those of the first limit.
//!
//! # Locks
//!
//! Taken from left to right, at most one of each kind at a time, none across a system call; a debug
//! build panics where that is not kept, see `locks`:
//!
//! > crawler → mover → order → a lane's magazines → flushes → stripe → item class → index class →
//! > pool
//!
//! * A **stripe** guards its part of the index, its version, what it knows of flushes, its pins,
//!   and the header, key and value of every item linked in it.
//! * A **class** guards its list of pages, those pages' records and free chunks, its ring and hand.
//! * An unlinked chunk belongs to whoever took it, without a lock.
//! * A prefetch takes none: it finds buckets by `hints`, which may be out of date.
//!
//! Eviction picks candidates under the class lock, releases it, and judges each under its own
//! stripe's lock, where it may turn out to be gone: then it was not a candidate. No thread ever
//! holds two stripes.
//!
//! # Many threads
//!
//! Besides waiting, what slows threads down is writing to cache lines that others write to as
//! well. Per request these are:
//!
//! | request              | locks                        | other lines that are written           |
//! |----------------------|------------------------------|----------------------------------------|
//! | get, up to 16 KiB    | its stripe                   | header: 3 times, then once a second    |
//! | get, above           | its stripe, twice            | header, the store's count of users     |
//! | set in place         | its stripe                   | header, value                          |
//! | set of something new | its stripe, twice            | header, value, the index's bucket      |
//! | that has to evict    | also a victim's stripe       | the victim's header and bucket         |
//! | of every 32 of those | 5 times their class          | class's readings, clock of allocations |
//!
//! (32 where an item takes up to 128 bytes; above that, as many as fit 4 KiB, see `lane`.) All
//! else that a request writes is its lane's own: tallies, magazines and the lock before them.
//! What belongs to one lane, one stripe or one class, and what is seldom written amid what all
//! read (the pool, the mover, the crawler), has whole cache lines to itself: nobody pays for a
//! neighbour. Page records are read by every hit and written when a page fills, when chunks go
//! back to their class, and for an item that dies earlier than all others in its page.
//!
//! `benches/locks.rs` computes what waiting for stripes costs up to 64 threads: see BENCHMARKS.md.
//!
//! # What is not an error
//!
//! A miss, a lost CAS race and a refused `add` are answers, variants of the operation's outcome.
//! `Err` is kept for a store that cannot do its job. A broken invariant panics, which ends the
//! process: a cache that restarts empty is fine, one that lies is not.

mod counters;
mod evict;
mod index;
mod item;
mod lane;
mod listing;
mod locks;
mod outcome;
mod pages;
mod read;
mod seat;
mod slab;
mod stripe;
mod supply;
mod sweep;
mod table;
mod watch;
mod write;

pub use lane::{Lane, PREFETCH_MAX};
pub use listing::{Classes, Facts, Listed, Listing};
pub use outcome::{
    Arith, Busy, ClassId, Counted, Deleted, Fetch, Fetched, MetaDelete, MetaFetch, Miss,
    MoveRefusal, StoreError, StoreMode, StoreOutcome, StoreRequest, Stored, TooManyFlushes,
};
pub use read::COPY_MAX;
pub use read::pin::PinnedValue;
pub use read::view::Item;
pub use slab::Beliefs;
pub use table::HashedKey;
pub use watch::snapshot::{ClassSnapshot, StoreSnapshot};
pub use write::upload::Upload;

use crate::base::clock::{Expiry, Now};
use crate::base::events::Events;
use crate::base::settings::{Automove, CrawlerSettings, StoreSettings};
use crate::store::counters::ClassSums;
use crate::store::locks::{Rank, Ranked};
use crate::store::slab::{ClassTable, Geometry, Slabs, Spacing};
use crate::store::supply::Supply;
use crate::store::sweep::crawler::Crawler;
use crate::store::sweep::flush::Flushing;
use crate::store::sweep::pace::CrawlerPace;
use crate::store::table::Table;
use crossbeam::utils::CachePadded;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The smallest memory limit that works: sixteen pages.
pub const MEMORY_MIN: u64 = 1 << 20;

/// How many times its first value the limit can become. Costs address space only: the records of
/// the further pages are made when they are first needed.
pub const LIMIT_GROWTH: u64 = 4;

/// With this many pages, one is kept free for what cannot wait.
const PAGES_FOR_RESERVE: u32 = 512;

/// The cache. Threads use it through a [`Lane`] each.
pub struct Store {
    table: Arc<Table>,
    supply: Supply,
    flushing: Flushing,
    crawler: CachePadded<Ranked<Crawler>>,
    pace: CrawlerPace,
    /// Lanes that are in use.
    taken: Box<[AtomicBool]>,
    /// The limit in bytes, as it was asked for.
    limit: AtomicU64,
    limit_adjustable: bool,
    /// Bytes of the limit that are no pages.
    fixed: u64,
    /// Counter values at the last `stats reset`.
    baseline: Ranked<Vec<ClassSums>>,
}

impl Store {
    /// A store for `lanes` threads.
    ///
    /// # Errors
    ///
    /// If the memory cannot be reserved.
    pub fn new(settings: &StoreSettings, lanes: usize) -> io::Result<Arc<Self>> {
        let limit = settings.memory_limit.max(MEMORY_MIN);
        let fixed = Table::overhead(limit);
        let slabs = slabs(settings, limit, fixed)?;
        let classes = slabs.sizes.len();
        Ok(Arc::new(Self {
            table: Table::new(settings, slabs, limit, lanes),
            supply: Supply::new(settings),
            flushing: Flushing::default(),
            crawler: CachePadded::new(Ranked::new(Rank::Crawler, Crawler::default())),
            pace: CrawlerPace::new(settings.crawler),
            taken: (0..lanes).map(|_| AtomicBool::new(false)).collect(),
            limit: AtomicU64::new(limit),
            limit_adjustable: settings.limit_adjustable,
            fixed,
            baseline: Ranked::new(Rank::Note, vec![ClassSums::default(); classes]),
        }))
    }

    /// One thread's access.
    ///
    /// # Panics
    ///
    /// If `id` is not below the number of lanes, or is in use.
    #[must_use]
    pub fn lane(self: &Arc<Self>, id: usize) -> Lane {
        let taken = self.taken[id].swap(true, Ordering::Relaxed);
        assert!(!taken, "lane {id} is one thread's only");
        Lane::new(Arc::clone(self), id)
    }

    /// What there is to tell watchers, of the store and of whoever uses its lanes.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.table.events
    }

    /// Changes the memory limit; [`Lane::maintain`] brings memory below a lower one. False if it
    /// cannot be had: it is fixed, or above [`LIMIT_GROWTH`] times the first.
    pub fn set_memory_limit(&self, bytes: u64) -> bool {
        let bytes = bytes.max(MEMORY_MIN);
        let pages = pageable(bytes, self.fixed) >> self.table.slabs.geometry.page_shift;
        let Ok(pages) = u32::try_from(pages) else {
            return false;
        };
        let set = self.limit_adjustable && self.table.slabs.set_page_limit(pages.max(1));
        if set {
            self.limit.store(bytes, Ordering::Relaxed);
        }
        set
    }

    /// The memory limit in bytes.
    #[must_use]
    pub fn memory_limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether memory is still above a limit that has been lowered.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        self.table.slabs.is_over_limit()
    }

    /// Makes everything gone, for everyone, that was stored before this call.
    ///
    /// Takes some 100 ns a stripe, whatever is stored. Memory comes back as [`Lane::maintain`]
    /// finds the items. An appointment is cancelled.
    pub fn flush(&self) {
        self.flushing.flush(&self.table);
    }

    /// The same for what is stored under keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// If too many flushes are pending; then nothing is done.
    pub fn flush_prefix(&self, prefix: &[u8]) -> Result<(), TooManyFlushes> {
        let limit = self.memory_limit();
        self.flushing.flush_prefix(&self.table, prefix, limit)
    }

    /// Appoints a flush; it replaces an earlier appointment. `NEVER` cancels.
    ///
    /// [`Lane::maintain`] keeps the appointment.
    pub fn flush_at(&self, when: Expiry) {
        self.flushing.flush_at(when);
    }

    /// The same for a prefix; it replaces an earlier appointment for that.
    ///
    /// # Errors
    ///
    /// If too many flushes are pending; then nothing is done.
    pub fn flush_prefix_at(&self, prefix: &[u8], when: Expiry) -> Result<(), TooManyFlushes> {
        self.flushing.flush_prefix_at(prefix, when)
    }

    /// Marks: flushes of which the memory may not be back yet.
    #[must_use]
    pub fn flushes_pending(&self) -> u32 {
        self.flushing.pending()
    }

    /// Tells what is alive in the next bucket of the index. False when that was the last.
    ///
    /// Bounded work; `tell` is called without a lock. What is told exactly once: see [`Listing`].
    pub fn list(&self, listing: &mut Listing, now: Now, tell: impl FnMut(&Listed<'_>)) -> bool {
        listing::next(&self.table, listing, now, tell)
    }

    /// Orders that a page of class `source` becomes `target`'s; -1 is any class, 0 the pool.
    /// [`Lane::maintain`] carries it out.
    ///
    /// # Errors
    ///
    /// If that makes no sense, or must wait.
    pub fn order_move(&self, source: i32, target: i32) -> Result<(), MoveRefusal> {
        self.supply.order_move(&self.table.slabs, source, target)
    }

    /// How the background looks for what has expired.
    #[must_use]
    pub fn crawler(&self) -> CrawlerSettings {
        self.pace.settings()
    }

    /// Changes how it does, from the next step on.
    pub fn set_crawler(&self, settings: CrawlerSettings) {
        self.pace.set(settings);
    }

    /// When pages move by themselves, as far as they may at all.
    #[must_use]
    pub fn automove(&self) -> Automove {
        self.supply.automove()
    }

    /// Changes when pages move by themselves.
    pub fn set_automove(&self, automove: Automove) {
        self.supply.set_automove(automove);
    }

    /// Seconds that a class must have had pages to spare before it gives them away.
    #[must_use]
    pub fn automove_window_s(&self) -> u32 {
        self.supply.automove_window_s()
    }

    /// Changes [`automove_window_s`](Self::automove_window_s), from the next window on.
    pub fn set_automove_window_s(&self, seconds: u32) {
        self.supply.set_automove_window_s(seconds);
    }
}

/// The memory of a store with a limit of `limit` bytes, `fixed` of them for other things.
fn slabs(settings: &StoreSettings, limit: u64, fixed: u64) -> io::Result<Slabs> {
    let geometry = Geometry::for_limit(pageable(limit, fixed));
    let sizes = ClassTable::new(Spacing {
        factor: settings.growth_factor,
        chunk_min: settings
            .chunk_size_min
            .map(|bytes| bytes.saturating_add(item::HEADER as u32)),
        unit: 1 << geometry.unit_shift,
        sparse: limit < 32 << 20,
        page_size: 1 << geometry.page_shift,
    });
    let most = if settings.limit_adjustable {
        limit.saturating_mul(LIMIT_GROWTH)
    } else {
        limit
    };
    let slabs = Slabs::new(geometry, sizes, most)?;
    if settings.evict && geometry.pages >= PAGES_FOR_RESERVE {
        slabs.keep_free(1);
    }
    if settings.huge_pages {
        slabs.arena.use_huge_pages();
    }
    Ok(slabs)
}

/// What is left of `limit` for pages.
fn pageable(limit: u64, fixed: u64) -> u64 {
    limit - fixed.min(limit / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;

    #[test]
    fn a_peek_at_nothing_is_no_get_that_found_nothing() {
        let store = Store::new(&StoreSettings::default(), 1).unwrap();
        let mut lane = store.lane(0);
        let key = lane.hashed(Key::new(b"nil").unwrap());
        let mut missed = |peek| {
            let how = Fetch { touch: None, peek };
            for _ in 0..1000 {
                lane.fetch(&key, how, Now::at_second(5), |_| ());
            }
            store.table.missed.load(Ordering::Relaxed)
        };
        assert_eq!(missed(true), 0);
        assert!(missed(false) > 500);
    }

    #[test]
    fn an_item_costs_what_the_table_above_says() {
        let limit = 32 << 20;
        let settings = StoreSettings {
            memory_limit: limit,
            hash_seed: Some(1),
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut lane = store.lane(0);
        for number in 0..700_000 {
            let name = format!("{number:016}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let request = StoreRequest::default();
            lane.put(&key, &request, &[b'v'; 32], Now::at_second(5))
                .unwrap();
        }
        let snapshot = store.snapshot();
        assert!(snapshot.evictions > 0, "it is full");
        let header = item::HEADER as f64;
        let index = f64::from(index::bucket::BUCKET_SIZE) / 7.0;
        let ring = 2.5; // the longest distances are rare
        let rest = size_of::<CachePadded<Ranked<stripe::Stripe>>>() as f64 / 4096.0 + 0.3;
        let expected = header + 48.0 + index + ring + rest;
        let cost = limit as f64 / snapshot.items as f64;
        assert!(
            (cost - expected).abs() < 1.5,
            "{cost} bytes an item, not {expected}"
        );
    }
}
