//! Page moves: emptying a page of one class so that another class, or the index, can have it.
//!
//! ```text
//!   1. the page leaves its class: nothing of it is handed out any more
//!   2. the lanes' stocks give back its chunks
//!   3. each item in it is relocated to a chunk of the class: a free one, else one that is evicted
//!      for it, as for any new item
//!   4. when all its chunks are free it belongs to nobody; else it returns to its class
//! ```
//!
//! A pinned item or one that is still being uploaded keeps its page where it is. One page moves at
//! a time; a thread that finds a move under way does not wait for it.

use crate::base::clock::Now;
use crate::base::hash::Place;
use crate::store::index::Print;
use crate::store::item::{Header, state};
use crate::store::lane::Lane;
use crate::store::outcome::ClassId;
use crate::store::reassign::Surplus;
use crate::store::slab::{ChunkRef, INDEX, PageId, RingEntry};
use crate::store::stripe::{Found, Unlinked};
use crate::store::{Busy, Store};
use std::cmp::Reverse;
use std::sync::Arc;

/// The right to move a page.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    /// Pages in a row that could not be emptied for a lower limit.
    failures: usize,
    /// Pages that classes have had free for long.
    pub(crate) surplus: Surplus,
    /// Bytes that the store will have allocated when the next page may move for balance.
    pub(crate) balances_at: u64,
}

/// How many pages of a donor are tried before giving up.
const TRIES: u64 = 4;

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
    fn donors(&self, taker: ClassId) -> Vec<ClassId> {
        let slabs = &self.store.slabs;
        let others = slabs.table.item_classes().filter(|&class| class != taker);
        let mut donors: Vec<ClassId> = others.filter(|&c| slabs.page_count(c) > 0).collect();
        donors.sort_by_cached_key(|&class| {
            // A class's last page goes last: what is in use may be the very item that needs it.
            let last = slabs.page_count(class) == 1;
            let age = Reverse(slabs.eviction_age(class));
            (last, slabs.pull_per_page(class), age)
        });
        donors
    }

    /// Gets `taker` a page instead of evicting its items, if another class should give it one.
    pub(crate) fn take_spared_page(&mut self, taker: ClassId, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        let Some(donor) = self.sparing_class(taker) else {
            return false;
        };
        // Somebody is moving a page: evicting is quicker than waiting for it.
        let moving = store.mover.try_lock();
        moving.is_some() && self.take_page_of(donor, taker, now)
    }

    /// Gets `taker` a page: a free one, else, without evictions, an empty one, else any.
    pub(crate) fn force_page(&mut self, taker: ClassId, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        let _moving = store.mover.lock();
        if let Some(page) = store.slabs.take_page() {
            store.slabs.adopt(taker, page);
            return true;
        }
        if !store.evict {
            return self.take_empty_page(taker, now);
        }
        let donors = self.donors(taker);
        donors
            .iter()
            .any(|&donor| self.take_page_of(donor, taker, now))
    }

    fn take_page_of(&mut self, donor: ClassId, taker: ClassId, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        for _ in 0..TRIES.min(store.slabs.page_count(donor)) {
            let Some(page) = store.page_behind_hand(donor) else {
                return false;
            };
            if self.empty_page(page, now) {
                self.tallies(donor).pages_lost.add(1);
                store.slabs.adopt(taker, page);
                return true;
            }
        }
        false
    }

    fn take_empty_page(&mut self, taker: ClassId, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        for class in store
            .slabs
            .table
            .item_classes()
            .filter(|&class| class != taker)
        {
            let chunks = store.slabs.chunks_per_page(class);
            let pages = store.slabs.lock(class).pages.clone();
            let empty = pages
                .iter()
                .find(|&&page| store.slabs.page(page).free_in(chunks) == chunks);
            if let Some(&page) = empty
                && self.empty_page(page, now)
            {
                self.tallies(class).pages_lost.add(1);
                store.slabs.adopt(taker, page);
                return true;
            }
        }
        false
    }

    /// Brings memory nearer to a lowered limit by a page. True if there is more to do at once.
    pub(crate) fn shrink(&mut self, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        if !store.slabs.is_over_limit() {
            return false;
        }
        let Some(mut mover) = store.mover.try_lock() else {
            return false;
        };
        if store.slabs.discard_surplus() {
            return true;
        }
        // First those with room for their items in fewer pages: evicting large ones leaves holes.
        let mut donors = self.donors(INDEX);
        donors.sort_by_cached_key(|&class| Reverse(store.slabs.spare_pages(class)));
        let Some(&donor) = donors.get(mover.failures / TRIES as usize) else {
            // What is left is pinned, in flight, or may not be evicted: later.
            mover.failures = 0;
            return false;
        };
        let page = store.page_behind_hand(donor);
        match page.filter(|&page| self.empty_page(page, now)) {
            Some(page) => {
                mover.failures = 0;
                self.tallies(donor).pages_lost.add(1);
                store.slabs.return_page(page);
            }
            None => mover.failures += 1,
        }
        true
    }

    /// Empties a page. True if it is nobody's now; the caller adopts it or gives it to the pool.
    pub(crate) fn empty_page(&mut self, page: PageId, now: Now) -> bool {
        self.drain_page(page, self.store.evict, now)
    }

    /// [`empty_page`](Self::empty_page), with or without evicting: where the class has no free
    /// chunk, each item takes that of the one that is next to be evicted.
    pub(crate) fn drain_page(&mut self, page: PageId, evict: bool, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        let class = store.slabs.page(page).class();
        if !store.slabs.start_drain(page) {
            return false;
        }
        self.recall_stocks(page, class);
        let mut busy = None;
        for slot in 0..store.slabs.page(page).bump() {
            let chunk = store.slabs.chunk_in(page, class, slot);
            busy = self.vacate(chunk, evict, now).or(busy);
        }
        let held = store.slabs.finish_drain(page);
        if held > 0 {
            self.tallies(class).move_busy.add(u64::from(held));
            *store.last_busy.lock() = busy.or(Some(Busy::Arriving));
        }
        held == 0
    }

    /// Takes the page's chunks out of all lanes' stocks.
    fn recall_stocks(&self, page: PageId, class: ClassId) {
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

    /// Gets whatever is in `chunk` out of it, if that can be done; else says why it cannot.
    fn vacate(&mut self, chunk: ChunkRef, evict: bool, now: Now) -> Option<Busy> {
        let store = Arc::clone(&self.store);
        let header = store.slabs.header(chunk);
        let head = match header {
            header if header.is_linked_item() => chunk,
            header if header.is_continuation() => store.slabs.owner_of(header)?,
            // No longer in the index, and still being sent.
            header if header.has(state::PINNED) => return Some(Busy::Sending),
            _ => return None,
        };
        let hash = store.hash_of(head)?;
        // Taken before the stripe is locked; put back if it is not needed.
        let spare = self.spare_chunk(store.slabs.class_of(chunk), evict, now);
        let moved = {
            let mut stripe = store.stripe(hash.place());
            let print = Print::new(hash, store.stripe_bits);
            let found = stripe
                .index
                .find(&store.slabs, print, |chunk| chunk == head);
            let found = found.ok().map(|(slot, chunk)| Found {
                slot,
                chunk,
                header: store.slabs.header(chunk),
            });
            match found {
                Some(found) if found.header.has(state::PINNED) => Moved::Stays(Busy::Sending),
                Some(found) if stripe.death(found.header, now).is_some() => {
                    Moved::Dead(stripe.unlink(&store.slabs, print.bits, found))
                }
                // The chunk was read before the lock was held: its owner may be another item now.
                Some(found) if head != chunk && store.before(found, chunk).is_none() => {
                    Moved::Nothing
                }
                Some(found) => match spare {
                    Some(to) => {
                        if head == chunk {
                            stripe.index.replace(&store.slabs, found.slot, to);
                        }
                        store.relocate(found, chunk, to, hash.place())
                    }
                    None if !evict => Moved::Stays(Busy::NoMemory),
                    None => Moved::Evicted(stripe.unlink(&store.slabs, print.bits, found)),
                },
                None => Moved::Nothing,
            }
        };
        let used = matches!(moved, Moved::Relocated { .. });
        let busy = match moved {
            Moved::Stays(why) => Some(why),
            _ => None,
        };
        self.account(moved, head != chunk, now);
        if let Some(spare) = spare.filter(|_| !used) {
            self.free_chunk(spare);
        }
        busy
    }

    fn account(&mut self, moved: Moved, is_part: bool, now: Now) {
        match moved {
            Moved::Stays(_) | Moved::Nothing => {}
            Moved::Dead(gone) => {
                self.tallies_of(gone.chunk).reclaimed.add(1);
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

    /// A chunk of `class` for an item that is moving, without a new page.
    fn spare_chunk(&mut self, class: ClassId, evict: bool, now: Now) -> Option<ChunkRef> {
        let store = Arc::clone(&self.store);
        if store.slabs.lock(class).free > 0 {
            return store.slabs.take_one(class);
        }
        self.tallies(class).move_no_memory.add(1);
        if !evict {
            return None;
        }
        let mut freed = vec![];
        self.make_room(class, 1, now, &mut freed);
        let spare = freed.pop();
        freed.into_iter().for_each(|chunk| store.slabs.give(chunk));
        spare
    }
}

impl Store {
    /// The page of `class` that the hand has passed last: its items were judged most recently.
    pub(crate) fn page_behind_hand(&self, class: ClassId) -> Option<PageId> {
        let mut state = self.slabs.lock(class);
        let count = state.pages.len();
        if count == 0 {
            return None;
        }
        let behind = (state.hand.0 + count - 1) % count;
        state.hand.0 = behind;
        Some(state.pages[behind])
    }

    /// Copies one chunk of a linked item, under its stripe's lock, and points everything to `to`.
    ///
    /// The index is the caller's; here it is the chain that is mended.
    fn relocate(&self, found: Found, from: ChunkRef, to: ChunkRef, place: Place) -> Moved {
        let slabs = &self.slabs;
        let header = slabs.header(from);
        let len = slabs.part_at(from, header) - slabs.offset(from) + header.part_len as usize;
        slabs.arena.copy(slabs.offset(from), slabs.offset(to), len);
        slabs
            .page(slabs.page_of(to))
            .note_expiry(found.header.expiry());
        let mut fresh = None;
        if from == found.chunk {
            self.adopt_chain(to, header);
            if !header.has(state::MAIN) {
                fresh = Some(RingEntry::new(to, place));
            }
        } else if let Some((before, header)) = self.before(found, from) {
            self.slabs.set_next(before, header, to);
        }
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

    /// The chunk before `part` in an item's chain, if `part` is in it.
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
    use crate::store::{Fetch, Lane, Store, StoreRequest};

    fn put(lane: &mut Lane, name: &str, len: usize) {
        let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
        let value = vec![b'v'; len];
        let stored = lane.put(&key, &StoreRequest::default(), &value, Now::at_second(5));
        assert!(stored.is_ok(), "{name}: {len} bytes");
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
