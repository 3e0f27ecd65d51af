//! One thread's access to the store: lookups and removals, and the chunks it keeps at hand.

use crate::base::clock::Now;
use crate::base::key::Key;
use crate::store::index::Print;
use crate::store::index::bucket::prefetch_items;
use crate::store::item::Header;
use crate::store::outcome::{ClassId, Deleted, Fetch, Fetched, Miss};
use crate::store::read::view::Item;
use crate::store::slab::{ChunkRef, RingEntry};
use crate::store::stripe::{Found, Stripe, Unlinked};
use crate::store::watch::counters::ClassTallies;
use crate::store::{HashedKey, Store, item};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of free chunks that a lane may keep of one class. Large enough that most sets of small
/// items lock no class, small enough that all lanes' stocks together are a fraction of a percent.
const STOCK_BYTES: usize = 4 << 10;

/// Keys that are prefetched together: about as many loads as a core keeps under way.
pub const PREFETCH_MAX: usize = 16;

/// Chunks in a stock at most.
const STOCK_MAX: usize = 32;

/// Gets without an item that a lane reports together.
const MISSES_REPORTED: u64 = 1 << u8::BITS;

/// A lane's stock of one class.
#[repr(align(64))] // Whole cache lines, so that no two lanes' stocks meet in one.
#[derive(Debug, Default)]
pub(crate) struct Magazine {
    /// Free chunks.
    pub(crate) free: Vec<ChunkRef>,
    /// Items linked since the last refill, to go on the class's ring.
    pub(crate) fresh: Vec<RingEntry>,
    /// The lane's items of the class, those of the main queue, and its new ones ever, when it last
    /// reported them.
    items: u64,
    main: u64,
    created: u64,
}

/// What a lane keeps at hand. Behind a mutex only so that a page move can take back chunks of the
/// page; nobody else ever waits for it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) magazines: Box<[Magazine]>,
}

impl Desk {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            magazines: (0..classes).map(|_| Magazine::default()).collect(),
        }
    }
}

/// One thread's access to the store.
pub struct Lane {
    pub(crate) store: Arc<Store>,
    pub(crate) id: usize,
    /// Scratch of evictions.
    pub(crate) freed: Vec<ChunkRef>,
    /// Scratch for values that are put together from two.
    pub(crate) joined: Vec<u8>,
    /// Gets that found nothing and have not been reported, modulo [`MISSES_REPORTED`].
    missed: u8,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.store.taken[self.id].store(false, Ordering::Relaxed);
    }
}

impl Lane {
    pub(crate) fn new(store: Arc<Store>, id: usize) -> Self {
        Self {
            store,
            id,
            freed: vec![],
            joined: vec![],
            missed: 0,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// A key with its hash.
    #[inline]
    #[must_use]
    pub fn hashed<'a>(&self, key: Key<'a>) -> HashedKey<'a> {
        HashedKey {
            key,
            hash: self.store.hasher.hash(key),
        }
    }

    #[inline]
    pub(crate) fn print(&self, key: &HashedKey<'_>) -> Print {
        Print::new(key.hash, self.store.stripe_bits)
    }

    /// Starts loading what operations on the first [`PREFETCH_MAX`] of `keys` will read: first
    /// each key's line of the index, then the items that may have the key.
    ///
    /// The waits for memory then overlap. One key alone would only pay for it. No lock is taken:
    /// of a bucket that is split meanwhile, or noted nowhere, nothing useful is loaded.
    #[inline]
    pub fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k HashedKey<'k>> + Clone) {
        let slabs = &self.store.slabs;
        let mut buckets = [None; PREFETCH_MAX];
        for (bucket, key) in buckets.iter_mut().zip(keys.clone()) {
            let print = self.print(key);
            *bucket = self.store.hints.bucket(slabs, key.hash.place(), print.bits);
            if let Some(bucket) = *bucket {
                slabs.arena.prefetch(bucket);
            }
        }
        for (bucket, key) in buckets.iter().zip(keys) {
            if let Some(bucket) = *bucket {
                prefetch_items(slabs, bucket, key.hash.tag());
            }
        }
    }

    /// Finds an item and lets `read` look at it under its stripe's lock.
    ///
    /// `read` should be short and must not call the store.
    #[inline]
    pub fn fetch<R>(
        &mut self,
        key: &HashedKey<'_>,
        how: Fetch,
        now: Now,
        read: impl FnOnce(&mut Item<'_>) -> R,
    ) -> Fetched<R> {
        let store = &*self.store;
        let place = key.hash.place();
        let print = Print::new(key.hash, store.stripe_bits);
        let mut stripe = store.stripe(place);
        let (slot, chunk) = match stripe.seek(&store.slabs, key, print) {
            Ok(found) => found,
            Err(absent) => {
                if absent.may_have_a_ghost() && !how.peek {
                    self.ask_ghost(&mut stripe, key);
                }
                drop(stripe);
                self.count_miss();
                return Fetched::Miss(Miss::Absent);
            }
        };
        let before = store.slabs.header_words(chunk);
        let header = Header::unpack(before[0], before[1]);
        if let Some(miss) = stripe.death(key.key, header, now) {
            let found = Found {
                slot,
                chunk,
                header,
            };
            let dead = stripe.unlink(&store.slabs, print.bits, found);
            drop(stripe);
            self.discard_dead(dead);
            self.count_miss();
            return Fetched::Miss(miss);
        }
        let mut words = before;
        if !how.peek {
            words[0] = header.touched(now).first();
        }
        if let Some(expiry) = how.touch {
            words[1] = Header {
                low: expiry.to_bits(),
                ..header
            }
            .second();
        }
        if words != before {
            store.slabs.set_header_words(chunk, words);
            self.count_use(chunk, header);
        }
        if let Some(expiry) = how.touch {
            store.slabs.note_expiry(chunk, expiry);
        }
        Fetched::Hit(read(&mut Item {
            store: &self.store,
            stripe: &mut stripe,
            place,
            chunk,
            words,
            before,
            now,
            won: false,
            created: false,
        }))
    }

    /// Counts an access that was noted in the header of an item, which was `before` until then.
    #[inline]
    pub(crate) fn count_use(&self, chunk: ChunkRef, before: Header) {
        let tallies = self.tallies_of(chunk);
        tallies.used.add(1);
        if before.is_on_trial() {
            tallies.proven.add(1);
        }
    }

    /// Counts a get that found nothing.
    #[inline]
    pub(crate) fn count_miss(&mut self) {
        self.missed = self.missed.wrapping_add(1);
        if self.missed == 0 {
            let all = &self.store.missed;
            all.fetch_add(MISSES_REPORTED, Ordering::Relaxed);
        }
    }

    /// Takes note that somebody has asked for the item that a ghost is of, if one is there: it
    /// would have been a hit, had its class had more memory or used it otherwise.
    #[inline(never)]
    pub(crate) fn ask_ghost(&self, stripe: &mut Stripe, key: &HashedKey<'_>) {
        let store = &*self.store;
        let ghost = stripe.index.ask_ghost(&store.slabs, self.print(key));
        if let Some(epitaph) = ghost.filter(|epitaph| !epitaph.is_asked()) {
            store.learn_from_request(epitaph);
            self.tallies(epitaph.class()).ghost_hits.add(1);
        }
    }

    /// Removes an item; with `compare`, only if that is its CAS id.
    pub fn delete(&mut self, key: &HashedKey<'_>, compare: Option<u64>, now: Now) -> Deleted {
        let store = &*self.store;
        let place = key.hash.place();
        let print = self.print(key);
        let mut stripe = store.stripe(place);
        let Ok(found) = stripe.look(&store.slabs, key, print) else {
            return Deleted::NotFound;
        };
        let dead = stripe.death(key.key, found.header, now).is_some();
        if !dead && compare.is_some_and(|id| id != store.cas_id(place, found.chunk, found.header)) {
            return Deleted::Exists;
        }
        let gone = stripe.unlink(&store.slabs, print.bits, found);
        drop(stripe);
        if dead {
            self.discard_dead(gone);
            return Deleted::NotFound;
        }
        let class = gone.class;
        self.discard(gone);
        Deleted::Deleted(class)
    }

    /// This lane's tallies of the class of `chunk`.
    pub(crate) fn tallies_of(&self, chunk: ChunkRef) -> &ClassTallies {
        self.tallies(self.store.slabs.class_of(chunk))
    }

    /// This lane's tallies of `class`.
    #[inline(always)] // a few instructions in every request
    pub(crate) fn tallies(&self, class: ClassId) -> &ClassTallies {
        self.store.tallies[self.id].class(class.0)
    }

    /// Counts an item out and frees its chunks.
    pub(crate) fn discard(&mut self, gone: Unlinked) {
        self.count_out(&gone);
        if gone.free_now {
            self.free_chain(gone.chunk);
        }
    }

    /// [`discard`](Self::discard) for an item that had expired or was flushed.
    #[inline(never)]
    pub(crate) fn discard_dead(&mut self, gone: Unlinked) {
        if !gone.header.has(item::state::FETCHED) {
            self.tallies(gone.class).expired_unfetched.add(1);
        }
        self.discard(gone);
    }

    /// Takes an item off the sums of its class.
    pub(crate) fn count_out(&self, gone: &Unlinked) {
        let tallies = self.tallies(gone.class);
        tallies.items.sub(1);
        tallies
            .main
            .sub(u64::from(gone.header.has(item::state::MAIN)));
        tallies.bytes.sub(u64::from(gone.size));
    }

    /// Frees an unlinked item's chunks.
    pub(crate) fn free_chain(&self, first: ChunkRef) {
        let mut chunk = first;
        while !chunk.is_none() {
            let next = self.store.slabs.next(chunk, self.store.slabs.header(chunk));
            self.free_chunk(chunk);
            chunk = next;
        }
    }

    /// Puts one chunk back in the stock, or in its class when the stock is full.
    pub(crate) fn free_chunk(&self, chunk: ChunkRef) {
        let slabs = &self.store.slabs;
        // Scanners must not take what lies there for an item.
        slabs.arena.store(slabs.offset(chunk), 0);
        let page = slabs.page(slabs.page_of(chunk));
        let class = page.class();
        let mut desk = self.store.desks[self.id].lock();
        let magazine = &mut desk.magazines[usize::from(class.0)];
        // What goes before its class has heard of it was never in the ring: a lock that is taken
        // and released leaves nothing there.
        if let Some(at) = magazine.fresh.iter().rposition(|new| new.chunk == chunk) {
            magazine.fresh.remove(at);
        }
        let stock = &mut magazine.free;
        if page.is_draining() {
            drop(desk);
            slabs.give(chunk);
            return;
        }
        let room = stock_size(slabs.table.size(class));
        if stock.len() >= room {
            let mut state = slabs.lock(class);
            for surplus in stock.drain(room / 2..) {
                slabs.give_locked(&mut state, class, surplus);
            }
            drop(state);
            magazine.free.push(chunk);
            self.report(class, magazine);
            return;
        }
        stock.push(chunk);
    }

    /// A free chunk of `class`, evicting if need be.
    pub(crate) fn take_chunk(&mut self, class: ClassId, now: Now) -> Option<ChunkRef> {
        let stocked = self.desk_pop(class);
        stocked.or_else(|| self.refill(class, now))
    }

    fn desk_pop(&self, class: ClassId) -> Option<ChunkRef> {
        self.store.desks[self.id].lock().magazines[usize::from(class.0)]
            .free
            .pop()
    }

    /// Gives all stocks back to their classes: for a lane that frees and does not take.
    pub(crate) fn clear_desk(&mut self) {
        let slabs = &self.store.slabs;
        let mut desk = self.store.desks[self.id].lock();
        for class in slabs.table.item_classes() {
            let magazine = &mut desk.magazines[usize::from(class.0)];
            for chunk in magazine.free.drain(..) {
                slabs.give(chunk);
            }
            self.report(class, magazine);
        }
    }

    /// Tells the class how many items this lane has of it, and the store how many were new. So
    /// nobody has to add up the lanes' numbers, each in a line that its lane is writing to.
    pub(crate) fn report(&self, class: ClassId, magazine: &mut Magazine) {
        let tallies = self.tallies(class);
        let (items, main) = (tallies.items.get(), tallies.main.get());
        let created = tallies.linked.get() - tallies.replaced.get();
        let demand = self.store.slabs.demand(class);
        let more = items.wrapping_sub(magazine.items);
        demand.report(more, main.wrapping_sub(magazine.main));
        if created != magazine.created {
            let all = &self.store.created;
            all.fetch_add(created - magazine.created, Ordering::Relaxed);
        }
        (magazine.items, magazine.main, magazine.created) = (items, main, created);
    }

    /// Notes a new item of the small queue.
    pub(crate) fn note_fresh(&self, class: ClassId, entry: RingEntry) {
        let mut desk = self.store.desks[self.id].lock();
        let fresh = &mut desk.magazines[usize::from(class.0)].fresh;
        fresh.push(entry);
        let full = fresh.len() >= STOCK_MAX;
        drop(desk);
        if full {
            self.flush_fresh(class);
        }
    }
}

/// How many chunks of `size` bytes a lane keeps.
pub(crate) fn stock_size(size: u32) -> usize {
    (STOCK_BYTES / size as usize).clamp(1, STOCK_MAX)
}
