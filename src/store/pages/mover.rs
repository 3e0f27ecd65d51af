//! Page moves: getting items out of a page so that another class, or the index, can have it.
//!
//! ```text
//!   1. the page leaves its class: nothing of it is handed out any more
//!   2. the lanes' stocks give back its chunks
//!   3. each item in it is relocated to a chunk of the class: a free one, else one that is evicted
//!      for it, as for any new item
//!   4. when all its chunks are free it belongs to nobody; else it returns to its class
//! ```
//!
//! A pinned item or one that is still being uploaded keeps its page where it is. An item of more
//! than [`PARTS_MAX`] chunks is evicted instead: to move one of them, its stripe would be locked
//! for as long as it takes to walk them all. One page moves at a time and in steps, see
//! [`drain`](super::drain).

use crate::base::clock::Now;
use crate::base::hash::{KeyHash, Place};
use crate::store::index::Print;
use crate::store::item::{Header, state};
use crate::store::lane::Lane;
use crate::store::outcome::ClassId;
use crate::store::pages::drain::{Drain, Reason};
use crate::store::pages::order::Surplus;
use crate::store::slab::{ChunkRef, PageId, RingEntry};
use crate::store::stripe::{Found, Stripe, Unlinked};
use crate::store::{Busy, Store};
use std::cmp::Reverse;
use std::sync::Arc;

/// The right to move a page, and what is under way.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    /// The page that is being emptied.
    pub(crate) drain: Option<Drain>,
    /// Pages in a row that could not be emptied: for a lower limit, and for anything else.
    pub(crate) limit_failures: usize,
    pub(crate) failures: usize,
    /// Pages that classes have had free for long.
    pub(crate) surplus: Surplus,
    /// Bytes that the store will have allocated when the next page may move for balance.
    pub(crate) balances_at: u64,
}

impl Mover {
    /// Takes note of how a move has ended.
    pub(crate) fn note(&mut self, reason: Reason, succeeded: bool) {
        let failures = match reason {
            Reason::Limit => &mut self.limit_failures,
            _ => &mut self.failures,
        };
        *failures = if succeeded { 0 } else { *failures + 1 };
    }
}

/// Chunks that are got at a time for items that move.
const SPARES: usize = 16;

/// Evictions for them at most; after that the rest is left to the next step.
const SPARING_MAX: u64 = 256;

/// Chunks of an item that is moved, at most: 64 MiB, and 16 MiB where pages have 64 KiB. Walking
/// them is a wait for memory each, and the longest that anything holds a stripe.
const PARTS_MAX: u32 = 1024;

/// A step is over: enough has been evicted for it.
pub(crate) struct Later;

/// What became of an item in a page that is being emptied.
enum Moved {
    /// The old chunk is free; the item lives on in another.
    Relocated {
        from: ChunkRef,
        fresh: Option<RingEntry>,
    },
    /// The item is gone.
    Evicted(Unlinked),
    /// It had expired or been flushed.
    Dead(Unlinked),
    /// It may not move now.
    Stays(Busy),
    /// There is nothing in the chunk that is known to be an item.
    Nothing,
}

impl Lane {
    /// The classes with pages, those that can spare one best first.
    pub(crate) fn donors(&self, taker: ClassId) -> Vec<ClassId> {
        let slabs = &self.store.slabs;
        let others = slabs.table.item_classes().filter(|&class| class != taker);
        let mut donors: Vec<ClassId> = others.filter(|&c| slabs.page_count(c) > 0).collect();
        donors.sort_by_cached_key(|&class| {
            // A class's last page goes last: what is in use may be the very item that needs it.
            let last = slabs.page_count(class) == 1;
            // First those with room for their items in fewer pages: nothing has to go.
            let spare = Reverse(slabs.spare_pages(class));
            let age = Reverse(slabs.eviction_age(class));
            (last, spare, slabs.pull_per_page(class), age)
        });
        donors
    }

    /// Takes the page's chunks out of all lanes' stocks.
    pub(crate) fn recall_stocks(&self, page: PageId, class: ClassId) {
        let slabs = &self.store.slabs;
        for desk in &self.store.desks {
            let mut desk = desk.lock();
            let stock = &mut desk.magazines[usize::from(class.0)].free;
            let mut state = slabs.lock(class);
            stock.retain(|&chunk| {
                let here = slabs.page_of(chunk) == page;
                if here {
                    slabs.give_locked(&mut state, class, chunk);
                }
                !here
            });
        }
    }

    /// Gets whatever is in `chunk` out of it, if that can be done; else says why it cannot. Where
    /// the class has no free chunk, an item takes that of the one that is next to be evicted.
    ///
    /// # Errors
    ///
    /// If that has to wait for the next step.
    pub(crate) fn vacate(
        &mut self,
        chunk: ChunkRef,
        evict: bool,
        spares: &mut Vec<ChunkRef>,
        now: Now,
    ) -> Result<Option<Busy>, Later> {
        let store = Arc::clone(&self.store);
        let Some((head, hash)) = (match store.slabs.header(chunk) {
            // No longer in the index, and still being sent.
            header if !header.has(state::LINKED) && header.has(state::PINNED) => {
                return Ok(Some(Busy::Sending));
            }
            header => store.item_in(chunk, header),
        }) else {
            return Ok(None);
        };
        // Before the stripe is locked.
        if spares.is_empty() {
            self.gather_spares(store.slabs.class_of(chunk), evict, spares, now)?;
        }
        let moved = {
            let mut stripe = store.stripe(hash.place());
            let print = Print::new(hash, store.stripe_bits);
            let found = stripe.item_in(&store.slabs, print, head);
            match found {
                Some(found) if found.header.has(state::PINNED) => Moved::Stays(Busy::Sending),
                Some(found) if stripe.is_dead(&store.slabs, head, found.header, now) => {
                    Moved::Dead(stripe.unlink(&store.slabs, print.bits, found))
                }
                // The chunk was read before the lock was held: its owner may be another item now.
                Some(found) if !store.holds(found, chunk) => Moved::Nothing,
                Some(found) if evict && !store.is_movable(found) => {
                    Moved::Evicted(stripe.unlink(&store.slabs, print.bits, found))
                }
                Some(found) if !store.is_movable(found) => Moved::Stays(Busy::NoMemory),
                Some(found) => {
                    let place = hash.place();
                    match store.relocate(&mut stripe, found, chunk, place, spares) {
                        Moved::Stays(Busy::NoMemory) if evict => {
                            Moved::Evicted(stripe.unlink(&store.slabs, print.bits, found))
                        }
                        moved => moved,
                    }
                }
                None => Moved::Nothing,
            }
        };
        let busy = match moved {
            Moved::Stays(why) => Some(why),
            _ => None,
        };
        self.account(moved, head != chunk, now);
        Ok(busy)
    }

    fn account(&mut self, moved: Moved, is_part: bool, now: Now) {
        match moved {
            Moved::Stays(_) | Moved::Nothing => {}
            Moved::Dead(gone) => {
                self.tallies(gone.class).reclaimed.add(1);
                self.discard_dead(gone);
            }
            Moved::Evicted(gone) => {
                self.count_eviction(&gone, now);
                self.discard(gone);
            }
            Moved::Relocated { from, fresh } => {
                let class = self.store.slabs.class_of(from);
                let tallies = self.tallies(class);
                let rescued = if is_part {
                    &tallies.chunks_rescued
                } else {
                    &tallies.rescued
                };
                rescued.add(1);
                self.free_chunk(from);
                if let Some(entry) = fresh {
                    self.note_fresh(class, entry);
                }
            }
        }
    }

    /// Chunks of `class` for items that are moving, without a new page. None if there are none.
    fn gather_spares(
        &mut self,
        class: ClassId,
        evict: bool,
        spares: &mut Vec<ChunkRef>,
        now: Now,
    ) -> Result<(), Later> {
        let is_free = self.store.slabs.lock(class).free > 0;
        if is_free {
            self.store.slabs.take(class, SPARES, spares);
            return Ok(());
        }
        let mut is_done = true;
        if evict {
            is_done = self.make_room(class, SPARES, SPARING_MAX, now, spares);
        }
        // What could not be moved without evicting; at least the item at hand.
        let missing = spares.len().max(1) as u64;
        self.tallies(class).move_no_memory.add(missing);
        if spares.is_empty() && !is_done {
            return Err(Later);
        }
        Ok(())
    }
}

impl Store {
    /// The first chunk of the item that `chunk` is a part of, and the hash of its key.
    fn item_in(&self, chunk: ChunkRef, header: Header) -> Option<(ChunkRef, KeyHash)> {
        let head = if header.is_linked_item() {
            chunk
        } else {
            self.slabs.owner_of(header)?
        };
        Some((head, self.hash_of(head)?))
    }

    /// Whether `chunk` says that it is the item's; with its stripe's lock.
    fn holds(&self, found: Found, chunk: ChunkRef) -> bool {
        let owner = || self.slabs.owner_of(self.slabs.header(chunk));
        chunk == found.chunk || owner() == Some(found.chunk)
    }

    fn is_movable(&self, found: Found) -> bool {
        let value_len = self.slabs.value_len(found.chunk, found.header);
        value_len / self.slabs.table.size(self.slabs.table.largest()) < PARTS_MAX
    }

    /// Copies one chunk of a linked item, under its stripe's lock, and points everything to the
    /// copy. Without a spare chunk for it the item stays.
    fn relocate(
        &self,
        stripe: &mut Stripe,
        found: Found,
        from: ChunkRef,
        place: Place,
        spares: &mut Vec<ChunkRef>,
    ) -> Moved {
        let before = (from != found.chunk).then(|| self.before(found, from));
        if before == Some(None) {
            return Moved::Nothing;
        }
        let Some(to) = spares.pop() else {
            return Moved::Stays(Busy::NoMemory);
        };
        stripe.limit_age(self, found);
        let slabs = &self.slabs;
        let header = slabs.header(from);
        let len = slabs.part_at(from, header) - slabs.offset(from) + header.part_len as usize;
        slabs.arena.copy(slabs.offset(from), slabs.offset(to), len);
        slabs.note_expiry(to, found.header.expiry());
        if let Some((before, header)) = before.flatten() {
            self.slabs.set_next(before, header, to);
            return Moved::Relocated { from, fresh: None };
        }
        stripe.index.replace(slabs, found.slot, to);
        self.adopt_chain(to, header);
        let fresh = (!header.has(state::MAIN)).then(|| RingEntry::new(to, place));
        Moved::Relocated { from, fresh }
    }

    /// Tells the continuations of a relocated head who owns them now.
    fn adopt_chain(&self, head: ChunkRef, header: Header) {
        let mut chunk = self.slabs.next(head, header);
        while !chunk.is_none() {
            let part = self.slabs.header(chunk);
            self.slabs.set_header(
                chunk,
                Header {
                    high: head.0,
                    ..part
                },
            );
            chunk = self.slabs.next(chunk, part);
        }
    }

    /// The chunk before `part` in an item's chain, if `part` is in it: what has been an item of the
    /// same first chunk may not all be free yet.
    fn before(&self, found: Found, part: ChunkRef) -> Option<(ChunkRef, Header)> {
        let (mut chunk, mut header) = (found.chunk, found.header);
        loop {
            let next = self.slabs.next(chunk, header);
            if next.is_none() {
                return None;
            }
            if next == part {
                return Some((chunk, header));
            }
            chunk = next;
            header = self.slabs.header(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{Fetch, Fetched, Lane, Store, StoreRequest};

    fn put(lane: &mut Lane, name: &str, len: usize) {
        let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
        let value = vec![b'v'; len];
        let stored = lane.put(&key, &StoreRequest::default(), &value, Now::at_second(5));
        assert!(stored.is_ok(), "{name}: {len} bytes");
    }

    /// Stores a value in pieces with other items between them, so that it shares its pages, and
    /// deletes those.
    fn put_scattered(lane: &mut Lane, key: &str, value: &[u8]) {
        let now = Now::at_second(5);
        let key = lane.hashed(Key::new(key.as_bytes()).unwrap());
        let request = StoreRequest::default();
        let upload = lane.begin(&key, &request, value.len() as u32, now);
        let mut upload = upload.unwrap();
        let name = |number: usize| format!("other-{number}");
        for (number, piece) in value.chunks(500_000).enumerate() {
            lane.fill(&mut upload, piece, now).unwrap();
            put(lane, &name(number), 200_000);
        }
        lane.commit(upload, now).unwrap();
        for number in 0..value.len().div_ceil(500_000) {
            let name = name(number);
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            lane.delete(&key, None, now);
        }
    }

    #[test]
    fn an_item_of_many_chunks_is_moved_whole_or_evicted() {
        let now = Now::at_second(5);
        for (len, stays) in [(40 << 20, true), (80 << 20, false)] {
            let settings = StoreSettings {
                memory_limit: 256 << 20,
                item_size_max: 128 << 20,
                ..StoreSettings::default()
            };
            let store = Store::new(&settings, 1).unwrap();
            let mut lane = store.lane(0);
            let value: Vec<u8> = (0_u32..len / 4).flat_map(u32::to_le_bytes).collect();
            put_scattered(&mut lane, "long", &value);
            put(&mut lane, "short", 1);
            let largest = i32::from(store.slabs.table.largest().0);
            for _ in 0..10 {
                store.order_move(largest, 1).unwrap();
                while lane.maintain(now) {}
            }
            let key = lane.hashed(Key::new(b"long").unwrap());
            let mut seen = vec![];
            let found = lane.fetch(&key, Fetch::default(), now, |item| {
                item.copy_value(&mut seen);
            });
            assert_eq!(found == Fetched::Hit(()), stays, "{len} bytes");
            assert!(!stays || seen == value, "its bytes");
            assert_eq!(store.snapshot().chunk_rescues > 0, stays);
            store.validate();
        }
    }

    /// All pages are full of items that are read and none gets new ones: whoever needs a page must
    /// get one all the same.
    #[test]
    fn a_new_size_finds_room_among_items_that_are_all_hot() {
        let settings = StoreSettings {
            memory_limit: 4 << 20,
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut lane = store.lane(0);
        for number in 0..60_000 {
            put(&mut lane, &format!("small-{number}"), 100);
        }
        for len in (200..16_000).step_by(301) {
            for _ in 0..2 {
                for number in 0..60_000 {
                    let name = format!("small-{number}");
                    let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
                    lane.fetch(&key, Fetch::default(), Now::at_second(5), |_| ());
                }
            }
            for copy in 0..20 {
                put(&mut lane, &format!("large-{len}-{copy}"), len);
            }
        }
        store.validate();
    }
}
