//! One thread's access to the store: what it can do to items.

use crate::base::clock::Now;
use crate::base::events::{Event, Topics};
use crate::base::key::Key;
use crate::base::part::Gap;
use crate::store::Store;
use crate::store::evict::ghosts::ask_ghost;
use crate::store::index::bucket::prefetch_items;
use crate::store::item::Header;
use crate::store::outcome::{
    Arith, Counted, Deleted, Fetch, Fetched, MetaDelete, MetaFetch, Miss, StoreError, StoreRequest,
    Stored,
};
use crate::store::read::view::Item;
use crate::store::seat::Seat;
use crate::store::stripe::Found;
use crate::store::sweep::crawler::crawl;
use crate::store::table::{HashedKey, Table};
use crate::store::write::upload::Upload;
use crate::store::write::{Writer, arith, delete, meta, put, upload};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Keys that are prefetched together: about as many loads as a core keeps under way.
pub const PREFETCH_MAX: usize = 16;

/// One thread's access to the store.
pub struct Lane {
    store: Arc<Store>,
    /// The store's, at hand.
    table: Arc<Table>,
    id: usize,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.store.taken[self.id].store(false, Ordering::Relaxed);
    }
}

impl Lane {
    pub(crate) fn new(store: Arc<Store>, id: usize) -> Self {
        let table = Arc::clone(&store.table);
        Self { store, table, id }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    #[inline]
    pub(crate) fn seat(&self) -> Seat<'_> {
        Seat {
            table: &self.table,
            lane: self.id,
        }
    }

    #[inline]
    fn writer(&self) -> Writer<'_> {
        Writer {
            seat: self.seat(),
            supply: &self.store.supply,
        }
    }

    /// A key with its hash.
    #[inline]
    #[must_use]
    pub fn hashed<'a>(&self, key: Key<'a>) -> HashedKey<'a> {
        HashedKey {
            key,
            hash: self.table.hasher.hash(key),
        }
    }

    /// Starts loading what operations on the first [`PREFETCH_MAX`] of `keys` will read: first
    /// each key's line of the index, then the items that may have the key.
    ///
    /// The waits for memory then overlap. One key alone would only pay for it. No lock is taken:
    /// of a bucket that is split meanwhile, or noted nowhere, nothing useful is loaded.
    #[inline]
    pub fn prefetch<'k>(&self, keys: impl Iterator<Item = &'k HashedKey<'k>> + Clone) {
        let table = &*self.table;
        let slabs = &table.slabs;
        let mut buckets = [None; PREFETCH_MAX];
        for (bucket, key) in buckets.iter_mut().zip(keys.clone()) {
            let fingerprint = table.fingerprint(key.hash);
            *bucket = table
                .hints
                .bucket(slabs, key.hash.place(), fingerprint.bits);
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

    /// Whether somebody watches one of `topics`.
    #[inline]
    #[must_use]
    pub fn is_watched(&self, topics: Topics) -> bool {
        self.seat().is_watched(topics)
    }

    /// Tells watchers of something that this thread has done.
    pub fn tell(&self, event: Event) {
        self.seat().tell(event);
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
        let seat = self.seat();
        let table = &*self.table;
        let place = key.hash.place();
        let fingerprint = table.fingerprint(key.hash);
        let mut stripe = table.stripe(place);
        let (slot, chunk) = match stripe.seek(&table.slabs, key.key, fingerprint) {
            Ok(found) => found,
            Err(absent) => {
                if absent.may_have_a_ghost() && !how.peek {
                    ask_ghost(seat, &mut stripe, key);
                }
                drop(stripe);
                count_miss(seat, how);
                return Fetched::Miss(Miss::Absent);
            }
        };
        let before = table.slabs.header_words(chunk);
        let header = Header::unpack(before[0], before[1]);
        if let Some(miss) = stripe.death(key.key, header, now) {
            let found = Found {
                slot,
                chunk,
                header,
            };
            let dead = stripe.unlink(&table.slabs, fingerprint.bits, found);
            drop(stripe);
            seat.drop_dead(dead);
            count_miss(seat, how);
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
            table.slabs.set_header_words(chunk, words);
            seat.count_use(chunk, header);
        }
        if let Some(expiry) = how.touch {
            table.slabs.note_expiry(chunk, expiry);
        }
        Fetched::Hit(read(&mut Item {
            table: &self.table,
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

    /// Finds an item, or creates it, and lets `read` look at it as it was before this access.
    ///
    /// One fetch at most wins: the one that creates the item, or the first to find it stale or
    /// near its end since it was stored or invalidated.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`] if the item had to be created and could not.
    pub fn meta_fetch<R>(
        &mut self,
        key: &HashedKey<'_>,
        how: &MetaFetch,
        now: Now,
        read: impl FnOnce(&mut Item<'_>) -> R,
    ) -> Result<Fetched<R>, StoreError> {
        meta::meta_fetch(self.writer(), key, how, now, read)
    }

    /// Stores a value that has arrived whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] for values over the item size limit, [`StoreError::OutOfMemory`]
    /// when evictions are off and memory is full.
    pub fn put(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[u8],
        now: Now,
    ) -> Result<Stored, StoreError> {
        put::put(self.writer(), key, request, value, now)
    }

    /// Starts a store whose value of `value_len` bytes arrives in pieces.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn begin(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value_len: u32,
        now: Now,
    ) -> Result<Upload, StoreError> {
        upload::begin(self.writer(), key, request, value_len, now)
    }

    /// Appends a piece, of which no more than [`Upload::missing`] bytes are looked at.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`]: the upload must then be abandoned.
    pub fn fill(&mut self, upload: &mut Upload, piece: &[u8], now: Now) -> Result<(), StoreError> {
        upload::fill(self.writer(), upload, piece, now)
    }

    /// Where the next bytes go, for the kernel to write, at most `most` of them; returns how many
    /// of `gaps` there are. None if there is no memory for any.
    ///
    /// [`filled`](Self::filled) must follow before anything else is done to the upload.
    pub fn gaps<'a>(
        &'a mut self,
        upload: &mut Upload,
        most: u32,
        gaps: &mut [Gap<'a>],
        now: Now,
    ) -> usize {
        upload::gaps(self.writer(), upload, most, gaps, now)
    }

    /// Takes note that `count` bytes are in the gaps, and frees the chunks that got none.
    ///
    /// # Panics
    ///
    /// If there was not so much room in them.
    pub fn filled(&mut self, upload: &mut Upload, count: u32) {
        upload::filled(self.seat(), upload, count);
    }

    /// Links the complete item.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); the upload is then gone already.
    ///
    /// # Panics
    ///
    /// If bytes are missing.
    pub fn commit(&mut self, upload: Upload, now: Now) -> Result<Stored, StoreError> {
        put::commit(self.writer(), upload, now)
    }

    /// Frees the upload's memory.
    #[expect(clippy::needless_pass_by_value, reason = "it is over with the upload")]
    pub fn abandon(&mut self, upload: Upload) {
        self.seat().free_chain(upload.first);
    }

    /// Adds to or subtracts from the number that an item's value is.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`] if the item had to be created or moved and could not.
    pub fn arith(
        &mut self,
        key: &HashedKey<'_>,
        how: &Arith,
        now: Now,
    ) -> Result<Counted, StoreError> {
        arith::arith(self.writer(), key, how, now)
    }

    /// Removes an item; with `compare`, only if that is its CAS id.
    pub fn delete(&mut self, key: &HashedKey<'_>, compare: Option<u64>, now: Now) -> Deleted {
        delete::delete(self.seat(), key, compare, now)
    }

    /// Marks an item stale, or empties it, or both.
    pub fn meta_delete(&mut self, key: &HashedKey<'_>, how: &MetaDelete, now: Now) -> Deleted {
        meta::meta_delete(self.writer(), key, how, now)
    }

    /// Does a bounded amount of background work: appointed flushes, a step of the crawler, a page
    /// towards a lowered limit, and one that is to move by order or because it is not needed.
    ///
    /// Returns whether there is more to do at once.
    pub fn maintain(&mut self, now: Now) -> bool {
        let (seat, store) = (self.seat(), &*self.store);
        let limit = store.memory_limit();
        store.flushing.keep_appointments(seat.table, limit, now);
        let Some(mut crawler) = store.crawler.try_lock() else {
            return false;
        };
        let pace = store.crawler();
        let crawling = crawl(seat, &mut crawler, (&store.flushing, pace), now);
        drop(crawler);
        let moving = store.supply.move_pages(seat, now);
        seat.empty_magazines();
        crawling || moving
    }
}

/// A peek at nothing is not a get that found nothing.
#[inline]
fn count_miss(seat: Seat<'_>, how: Fetch) {
    if !how.peek {
        seat.count_miss();
    }
}
