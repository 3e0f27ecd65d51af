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
//! Eviction picks candidates under the class lock, lets it go, and judges each under its own
//! stripe's lock, where it may turn out to be gone: then it was not a candidate. Nobody ever holds
//! two stripes.
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

mod evict;
mod index;
mod item;
mod lane;
mod locks;
mod outcome;
mod pages;
mod read;
mod slab;
mod stripe;
mod sweep;
mod watch;
mod write;

pub use lane::{Lane, PREFETCH_MAX};
pub use outcome::{
    Arith, ClassId, Counted, Deleted, Fetch, Fetched, MetaDelete, MetaFetch, Miss, StoreError,
    StoreMode, StoreOutcome, StoreRequest, Stored, TooManyFlushes,
};
pub use pages::order::MoveRefusal;
pub use read::pin::PinnedValue;
pub use read::view::Item;
pub use slab::Beliefs;
pub use watch::snapshot::{Busy, ClassSnapshot, StoreSnapshot};
pub use write::upload::Upload;

use crate::base::hash::{KeyHash, KeyHasher, Place};
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::settings::{EvictionPolicy, StoreSettings};
use crate::store::index::hints::Hints;
use crate::store::item::Header;
use crate::store::lane::Desk;
use crate::store::locks::{Rank, Ranked, RankedGuard};
use crate::store::pages::mover::Mover;
use crate::store::pages::order::Order;
use crate::store::slab::{ChunkRef, ClassTable, Geometry, Slabs, Spacing};
use crate::store::stripe::Stripe;
use crate::store::sweep::crawler::Crawler;
use crate::store::sweep::flush::Flushes;
use crate::store::watch::counters::{ClassSums, LaneTallies};
use crossbeam::utils::CachePadded;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Values up to this length are copied out under the stripe lock, longer ones are pinned. Copying
/// 16 KiB takes about a microsecond, no longer than the lock may be held.
pub const COPY_MAX: u32 = 16 << 10;

/// The smallest memory limit that works: sixteen pages.
pub const MEMORY_MIN: u64 = 1 << 20;

/// How many times its first value the limit can become. Costs address space only: the records of
/// the further pages are made when they are first needed.
pub const LIMIT_GROWTH: u64 = 4;

/// With so many pages, one is kept free for what cannot wait.
const PAGES_FOR_RESERVE: u32 = 512;

/// A key with its hash under the store's seed.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    /// The key.
    pub key: Key<'a>,
    /// Its hash.
    pub hash: KeyHash,
}

/// The cache. Threads use it through a [`Lane`] each.
pub struct Store {
    slabs: Slabs,
    stripes: Box<[CachePadded<Ranked<Stripe>>]>,
    stripe_bits: u32,
    hints: Hints,
    hasher: KeyHasher,
    evict: bool,
    cas: bool,
    policy: EvictionPolicy,
    value_len_max: u32,
    /// The limit in bytes, as it was asked for.
    limit: AtomicU64,
    limit_adjustable: bool,
    /// Bytes of the limit that are no pages.
    fixed: u64,
    desks: Box<[CachePadded<Ranked<Desk>>]>,
    taken: Box<[AtomicBool]>,
    tallies: Box<[CachePadded<LaneTallies>]>,
    /// Gets that found nothing, and new items under keys that had none, as the lanes report them.
    missed: CachePadded<AtomicU64>,
    created: CachePadded<AtomicU64>,
    /// Seconds that the item evicted last had been idle, by class.
    evicted_idle: Box<[AtomicU64]>,
    /// Counter values at the last `stats reset`.
    baseline: Ranked<Vec<ClassSums>>,
    flushes: Ranked<Flushes>,
    /// The tick of the next appointed flush; `u64::MAX` for none.
    flush_due: AtomicU64,
    /// Marks that have not been lifted yet.
    flushes_pending: AtomicU32,
    /// What all stripes have noted of them.
    flush_steps: AtomicIsize,
    mover: CachePadded<Ranked<Mover>>,
    /// The number of the class whose requests do a share of the page move that is under way.
    drained_for: AtomicU8,
    /// What the operator has ordered to be moved.
    order: Ranked<Option<Order>>,
    /// Whether pages may move other than by need; how readily they do so by themselves, and the
    /// seconds it takes to see that a class does not need what it has.
    reassign: bool,
    automove: AtomicU32,
    automove_window_s: AtomicU32,
    last_busy: Ranked<Option<Busy>>,
    crawler: CachePadded<Ranked<Crawler>>,
}

impl Store {
    /// A store for `lanes` threads.
    ///
    /// # Errors
    ///
    /// If the memory cannot be reserved.
    pub fn new(settings: &StoreSettings, lanes: usize) -> io::Result<Arc<Self>> {
        let limit = settings.memory_limit.max(MEMORY_MIN);
        let stripe_bits = stripe_bits(limit);
        let stripes = (size_of::<CachePadded<Ranked<Stripe>>>() as u64) << stripe_bits;
        let fixed = stripes + Hints::size(limit, stripe_bits);
        let geometry = Geometry::for_limit(pageable(limit, fixed));
        let table = ClassTable::new(Spacing {
            factor: settings.growth_factor,
            chunk_min: settings
                .chunk_size_min
                .map(|bytes| bytes.saturating_add(item::HEADER as u32)),
            unit: 1 << geometry.unit_shift,
            sparse: limit < 32 << 20,
            page_size: 1 << geometry.page_shift,
        });
        let classes = table.len();
        let most = if settings.limit_adjustable {
            limit.saturating_mul(LIMIT_GROWTH)
        } else {
            limit
        };
        let slabs = Slabs::new(geometry, table, most)?;
        if settings.evict && geometry.pages >= PAGES_FOR_RESERVE {
            slabs.keep_free(1);
        }
        if settings.huge_pages {
            slabs.arena.use_huge_pages();
        }
        Ok(Arc::new(Self {
            slabs,
            stripes: (0..1 << stripe_bits)
                .map(|_| CachePadded::new(Ranked::new(Rank::Stripe, Stripe::default())))
                .collect(),
            stripe_bits,
            hints: Hints::new(limit, stripe_bits),
            hasher: settings
                .hash_seed
                .map_or_else(KeyHasher::random, KeyHasher::with_seed),
            evict: settings.evict,
            cas: settings.cas,
            policy: settings.policy,
            value_len_max: settings.item_size_max,
            limit: AtomicU64::new(limit),
            limit_adjustable: settings.limit_adjustable,
            fixed,
            desks: (0..lanes)
                .map(|_| CachePadded::new(Ranked::new(Rank::Magazines, Desk::new(classes))))
                .collect(),
            taken: (0..lanes).map(|_| AtomicBool::new(false)).collect(),
            tallies: (0..lanes)
                .map(|_| CachePadded::new(LaneTallies::new(classes)))
                .collect(),
            missed: CachePadded::default(),
            created: CachePadded::default(),
            evicted_idle: (0..classes).map(|_| AtomicU64::new(0)).collect(),
            baseline: Ranked::new(Rank::Note, vec![ClassSums::default(); classes]),
            flushes: Ranked::new(Rank::Flushes, Flushes::default()),
            flush_due: AtomicU64::new(u64::MAX),
            flushes_pending: AtomicU32::new(0),
            flush_steps: AtomicIsize::new(0),
            mover: CachePadded::new(Ranked::new(Rank::Mover, Mover::default())),
            drained_for: AtomicU8::new(0),
            order: Ranked::new(Rank::Order, None),
            reassign: settings.reassign,
            automove: AtomicU32::new(settings.automove.level()),
            automove_window_s: AtomicU32::new(settings.automove_window_s),
            last_busy: Ranked::new(Rank::Note, None),
            crawler: CachePadded::new(Ranked::new(Rank::Crawler, Crawler::default())),
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

    /// Changes the memory limit; [`Lane::maintain`] brings memory below a lower one. False if it
    /// cannot be had: it is fixed, or above [`LIMIT_GROWTH`] times the first.
    pub fn set_memory_limit(&self, bytes: u64) -> bool {
        let bytes = bytes.max(MEMORY_MIN);
        let pages = pageable(bytes, self.fixed) >> self.slabs.geometry.page_shift;
        let Ok(pages) = u32::try_from(pages) else {
            return false;
        };
        let set = self.limit_adjustable && self.slabs.set_page_limit(pages.max(1));
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
        self.slabs.is_over_limit()
    }

    #[inline]
    fn stripe(&self, place: Place) -> RankedGuard<'_, Stripe> {
        self.stripes[place.stripe(self.stripe_bits)].lock()
    }

    /// The CAS id that clients see.
    #[inline]
    fn cas_id(&self, place: Place, chunk: ChunkRef, header: Header) -> u64 {
        if !self.cas {
            return 0;
        }
        self.cas_shown(place, self.slabs.explicit_cas(chunk, header), header.high)
    }

    /// The CAS id that clients see of an item with this CAS counter, or with an id of its own.
    #[inline]
    fn cas_shown(&self, place: Place, explicit: Option<u64>, counter: u32) -> u64 {
        if !self.cas {
            return 0;
        }
        explicit.unwrap_or_else(|| {
            let stripe = place.stripe(self.stripe_bits) as u64;
            u64::from(counter).wrapping_shl(self.stripe_bits) | stripe
        })
    }

    /// Starts loading the line of the index for a key with this hash: for many keys at once, so
    /// that looking for them waits once.
    fn prefetch_bucket(&self, hash: KeyHash) {
        let place = hash.place();
        let bits = place.bucket_bits(self.stripe_bits);
        if let Some(bucket) = self.hints.bucket(&self.slabs, place, bits) {
            self.slabs.arena.prefetch(bucket);
        }
    }

    /// The hash of the item in `chunk`, which may be about to change under us.
    fn hash_of(&self, chunk: ChunkRef) -> Option<KeyHash> {
        let mut buffer = [0; KEY_LEN_MAX];
        self.slabs
            .key_of(chunk, &mut buffer)
            .map(|key| self.hasher.hash(key))
    }

    /// The place of an item that is linked in a stripe the caller has locked.
    fn place_of(&self, chunk: ChunkRef) -> Place {
        self.hash_of(chunk)
            .expect("a linked item has a key of legal length")
            .place()
    }
}

/// What is left of `limit` for pages.
fn pageable(limit: u64, fixed: u64) -> u64 {
    limit - fixed.min(limit / 2)
}

/// One stripe for every 512 KiB of memory: 128 at 64 MiB, 2048 at 1 GiB. With fewer, threads meet;
/// with more, half-used index segments waste memory.
fn stripe_bits(limit: u64) -> u32 {
    (limit >> 19).clamp(4, 4096).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;

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
        let rest = size_of::<CachePadded<Ranked<Stripe>>>() as f64 / 4096.0 + 0.3;
        let expected = header + 48.0 + index + ring + rest;
        let cost = limit as f64 / snapshot.items as f64;
        assert!(
            (cost - expected).abs() < 1.5,
            "{cost} bytes an item, not {expected}"
        );
    }
}
