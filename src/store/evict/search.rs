//! Which items go when a class is full: the default policy, `s3`.
//!
//! ```text
//!   new item ─▶ ring ── hit twice, or once on trial ─▶ main queue ─▶ clock hand
//!      │          │                                        ▲         │ chances left: one less
//!      │          └── else: out, leaves a ghost            │         └ none: out, leaves a ghost
//!      └── its ghost was found, and had been asked for ────┘
//! ```
//!
//! S3-FIFO without linked lists, and without a part of memory that is reserved for either queue. A
//! hit only counts in the item's header. Whether an item is in the ring or main is one bit there,
//! so a promotion moves nothing. The main queue is all slots of the class's pages with that bit, in
//! address order, under a clock hand. Ghosts live in the index's empty slots.
//!
//! **A part of memory has to be earned.** The main queue begins empty and grows by hits only, so
//! a load without repetition is first in, first out, and what was stored last is there. How long
//! the ring is, what one hit is worth and when the main queue is out of date is learned, see
//! [`Demand`](crate::store::slab::Demand); what becomes of an item is in [`policy`](super::policy).
//!
//! A ring entry may be stale: its item was deleted, replaced or promoted meanwhile. That is mostly
//! seen without a lock, and at last in the judgement under the stripe's. A stale entry counts as no
//! candidate; so that nobody pays for many, the ring is swept when it is an eighth longer than the
//! class has items.
//!
//! `lru` and `lfu` are the same machinery and differ in [`policy`](super::policy) alone.

use crate::base::clock::Now;
use crate::base::hash::KeyHash;
use crate::store::Store;
use crate::store::evict::policy::{Fate, Via, fate, is_always_tried};
use crate::store::index::Print;
use crate::store::item::{Header, state};
use crate::store::lane::{Lane, stock_size};
use crate::store::outcome::ClassId;
use crate::store::slab::{ChunkRef, ClassState, INDEX, PageId, Queue, RingEntry, Slabs};
use crate::store::stripe::{Found, Stripe, Unlinked};
use std::sync::atomic::Ordering;

/// Candidates picked under one class lock, and loaded at once; no more than chunks are wanted.
const BATCH: usize = 16;

/// Slots the hand passes under one class lock.
const HAND_STEPS: u32 = 512;

/// Candidates that may be spared in one search before the next one goes whatever its hits, and
/// further ones for each that went: bounds the work of one request.
const SECOND_CHANCES: u64 = 96;
const CHANCES_EACH: u64 = 3;

/// Stale ring entries that one search drops, at most: some tens of microseconds. After that it
/// takes what the hand meets, whatever its queue.
const STALE_MAX: usize = 1024;

/// A class that is growing gets pages ahead of its need, at most one of so many: evicting a single
/// long item frees many chunks, and must not end the growth.
const PAGES_AHEAD: u64 = 32;

/// Ring entries that are looked at for the oldest item.
const OLDEST_OF: usize = 64;

/// New items that a lane keeps where the ring has no memory, at most.
const FRESH_MAX: usize = 256;

/// Entries that a ring may have beyond nine eighths of the class's items.
const RING_SLACK: u64 = 256;

/// What was picked under the class's lock.
#[derive(Clone, Copy, Debug)]
struct Pick {
    chunk: ChunkRef,
    /// Its entry, if it came from the ring.
    entry: Option<RingEntry>,
}

/// An item that may have to go.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    chunk: ChunkRef,
    /// Its key's hash, as far as could be seen without a lock.
    hash: KeyHash,
    via: Via,
}

/// What became of a candidate.
enum Judged {
    /// It was not what it seemed.
    Stale,
    /// It may not go, or not yet.
    Spared,
    /// It is out.
    Out(Unlinked, Cause),
}

/// One search for chunks.
struct Search {
    class: ClassId,
    /// Candidates that were spared, and ring entries that were stale.
    spared: u64,
    stale: usize,
    /// Evicted from the main queue and from the small one.
    evicted: [u64; 2],
    /// Steps before giving up.
    steps_left: u64,
    /// Long items are not to go for their last pieces in the class.
    keeps_pieces: bool,
    picks: Vec<Pick>,
    candidates: Vec<Candidate>,
}

impl Search {
    /// Counts what goes, for the class that it was an item of.
    fn count(&mut self, gone: &Unlinked, cause: Cause, slabs: &Slabs) {
        let mut evicted = [0; 2];
        evicted[queue_of(gone.header) as usize] = u64::from(cause == Cause::Evicted);
        let class = gone.class;
        if class == self.class {
            // All at the end: others write to the class's numbers too.
            let sums = self.evicted.iter_mut().zip(evicted);
            sums.for_each(|(sum, more)| *sum += more);
        } else {
            slabs.count_evicted(class, evicted);
        }
    }
}

/// What the clock hand looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quarry {
    /// Items of the main queue, and pieces of long items of other classes.
    Main,
    /// Such pieces only.
    Pieces,
    /// Items of either queue too.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Evicted,
    Dead,
}

impl Lane {
    /// Refills the stock of `class` and returns one chunk.
    ///
    /// In this order: free chunks, a free page, a page of a class whose items stay much longer (if
    /// pages may move by themselves), evictions, any page that can be had.
    pub(crate) fn refill(&mut self, class: ClassId, now: Now) -> Option<ChunkRef> {
        self.flush_fresh(class);
        let want = stock_size(self.store.slabs.table.size(class));
        let mut got = std::mem::take(&mut self.freed);
        got.clear();
        self.store.slabs.take(class, want, &mut got);
        if got.is_empty() && self.store.slabs.take_index_hunger() {
            self.feed_index(now);
        }
        if self.store.evict {
            if self.wants_page(class, got.is_empty())
                && self.share_page_move(class, want, now)
                && got.is_empty()
            {
                self.store.slabs.take(class, want, &mut got);
            }
            if got.is_empty() {
                self.make_room(class, want, u64::MAX, now, &mut got);
            }
        }
        if got.is_empty() && self.force_page(class, now) {
            self.store.slabs.take(class, want, &mut got);
        }
        let first = got.pop();
        let mut desk = self.store.desks[self.id].lock();
        let stock = &mut desk.magazines[usize::from(class.0)].free;
        let mut rest = got.drain(..);
        for chunk in rest.by_ref().take(want.saturating_sub(stock.len())) {
            stock.push(chunk);
        }
        drop(desk);
        let surplus: Vec<ChunkRef> = rest.collect();
        for chunk in surplus {
            self.store.slabs.give(chunk);
        }
        self.freed = got;
        first
    }

    /// Whether a request of `class` should do its share of a page move.
    fn wants_page(&self, class: ClassId, is_out: bool) -> bool {
        let store = &*self.store;
        is_out
            || store.drained_for.load(Ordering::Relaxed) == class.0
            || store.slabs.demand(class).is_growing() && {
                let ahead = u64::from(store.slabs.page_limit()) / PAGES_AHEAD;
                store.slabs.spare_pages(class) <= ahead.max(1)
            }
    }

    /// Makes room for the index: a page of its own. True if there is reason to try again.
    pub(crate) fn feed_index(&mut self, now: Now) -> bool {
        if let Some(spare) = self.store.slabs.take_one(INDEX) {
            // Somebody else has fed it.
            self.store.slabs.give(spare);
            return true;
        }
        self.force_page(INDEX, now)
    }

    /// Moves the lane's new items of `class` to the class's ring, and keeps that from being much
    /// longer than the class has items.
    pub(crate) fn flush_fresh(&self, class: ClassId) {
        let store = &*self.store;
        let mut desk = store.desks[self.id].lock();
        let magazine = &mut desk.magazines[usize::from(class.0)];
        self.report(class, magazine);
        let mut fresh = std::mem::take(&mut magazine.fresh);
        drop(desk);
        if fresh.is_empty() {
            return;
        }
        let mut lost = vec![];
        let mut state = store.slabs.lock(class);
        let pushed = fresh
            .iter()
            .take_while(|&&entry| state.ring.push(&store.slabs, entry))
            .count();
        let items = store.slabs.demand(class).items();
        if state.ring.len() > items + items / 8 + RING_SLACK {
            // Twice as many as came in: it gets shorter, and nobody pays for all.
            let live = |entry| store.entry_hash(entry).is_some();
            let ring = &mut state.ring;
            ring.sweep(&store.slabs, fresh.len() * 2, live, &mut lost);
        }
        drop(state);
        fresh.drain(..pushed);
        if fresh.len() > FRESH_MAX {
            lost.extend(fresh.drain(..fresh.len() - FRESH_MAX));
        }
        self.promote(&lost);
        // The buffer goes back, so that filling it does not allocate, with what the ring has had no
        // memory for: the next refill gets the index a page.
        let mut desk = store.desks[self.id].lock();
        let place = &mut desk.magazines[usize::from(class.0)].fresh;
        if place.is_empty() {
            *place = fresh;
        }
    }

    /// Makes items main that the ring has no memory for, so that the hand meets them.
    #[cold]
    fn promote(&self, lost: &[RingEntry]) {
        let store = &*self.store;
        for entry in lost {
            let Some(hash) = store.entry_hash(*entry) else {
                continue;
            };
            let mut stripe = store.stripe(hash.place());
            let print = Print::new(hash, store.stripe_bits);
            if let Some(found) = stripe.item_in(&store.slabs, print, entry.chunk) {
                self.set_main(&mut stripe, found, 1);
            }
        }
    }

    /// Evicts until `want` chunks of `class` are in `out`, or there is nothing to evict. False if
    /// it has given up after `most` evictions.
    pub(crate) fn make_room(
        &mut self,
        class: ClassId,
        want: usize,
        most: u64,
        now: Now,
        out: &mut Vec<ChunkRef>,
    ) -> bool {
        let mut search = Search {
            class,
            spared: 0,
            stale: 0,
            evicted: [0; 2],
            steps_left: 0,
            keeps_pieces: false,
            picks: Vec::with_capacity(BATCH),
            candidates: Vec::with_capacity(BATCH),
        };
        // Twice round the clock finds nothing only if everything is pinned or in flight.
        search.steps_left = {
            let state = self.store.slabs.lock(class);
            2 * self.store.slabs.used_locked(&state, class) + u64::from(HAND_STEPS)
        };
        search.keeps_pieces = self.keeps_pieces(class);
        let mut gone_in_all = 0;
        while out.len() < want && search.steps_left > 0 && gone_in_all < most {
            self.pick(&mut search, want - out.len());
            self.locate(&mut search);
            let candidates = search.candidates.iter();
            candidates.for_each(|candidate| self.store.prefetch_bucket(candidate.hash));
            for at in 0..search.candidates.len() {
                let candidate = search.candidates[at];
                let force = search.spared >= SECOND_CHANCES + CHANCES_EACH * gone_in_all;
                match self.judge_candidate(candidate, force, now) {
                    Judged::Stale => search.stale += 1,
                    Judged::Spared => search.spared += 1,
                    Judged::Out(gone, cause) => {
                        gone_in_all += 1;
                        search.count(&gone, cause, &self.store.slabs);
                        self.count_out_of(&gone, cause, now);
                        self.collect(class, gone, out);
                    }
                }
            }
        }
        self.store.slabs.count_evicted(class, search.evicted);
        self.fade_demands();
        self.store.slabs.count_allocated(class, out.len());
        gone_in_all < most
    }

    /// Picks up to `most` that may have to go, and counts the steps.
    fn pick(&self, search: &mut Search, most: usize) {
        let slabs = &self.store.slabs;
        let most = most.min(BATCH);
        let mut state = slabs.lock(search.class);
        search.picks.clear();
        let demand = slabs.demand(search.class);
        let is_worn = search.stale >= STALE_MAX;
        let quarry = if is_worn || state.ring.len() == 0 {
            Some(Quarry::All)
        } else if !search.keeps_pieces && self.is_turn_of_pieces(&mut state, search.class) {
            Some(Quarry::Pieces)
        } else {
            (!demand.evicts_from_small()).then_some(Quarry::Main)
        };
        if let Some(quarry) = quarry {
            let steps = self.turn_hand(&mut state, search, most, quarry);
            search.steps_left = search.steps_left.saturating_sub(u64::from(steps).max(1));
        }
        if search.picks.is_empty() && !is_worn {
            let entries = std::iter::from_fn(|| state.ring.pop(slabs)).take(most);
            search.picks.extend(entries.map(|entry| Pick {
                chunk: entry.chunk,
                entry: Some(entry),
            }));
            let steps = search.picks.len().max(1) as u64;
            search.steps_left = search.steps_left.saturating_sub(steps);
        }
        drop(state);
        for pick in &search.picks {
            slabs.arena.prefetch(slabs.offset(pick.chunk));
        }
    }

    /// Moves the clock hand over slots until it has met enough of what it looks for.
    fn turn_hand(
        &self,
        state: &mut ClassState,
        search: &mut Search,
        most: usize,
        quarry: Quarry,
    ) -> u32 {
        let slabs = &self.store.slabs;
        let mut steps = 0;
        while steps < HAND_STEPS && search.picks.len() < most && !state.pages.is_empty() {
            let (position, slot) = state.hand;
            let page = state.pages[position % state.pages.len()];
            if slot >= slabs.page(page).bump() {
                state.hand = ((position + 1) % state.pages.len(), 0);
                steps += 1;
                continue;
            }
            state.hand = (position % state.pages.len(), slot + 1);
            steps += 1;
            let chunk = slabs.chunk_in(page, search.class, slot);
            let header = slabs.header(chunk);
            let met = if header.is_linked_item() {
                let is_met = match quarry {
                    Quarry::Main => header.has(state::MAIN),
                    Quarry::Pieces => false,
                    Quarry::All => true,
                };
                is_met.then_some(chunk)
            } else {
                let may_go = quarry != Quarry::Main || !search.keeps_pieces;
                let owner = slabs.owner_of(header).filter(|_| may_go);
                owner.filter(|&owner| slabs.class_of(owner) != search.class)
            };
            search
                .picks
                .extend(met.map(|chunk| Pick { chunk, entry: None }));
        }
        steps
    }

    /// Finds out where the keys of what was picked belong, and drops stale entries.
    fn locate(&self, search: &mut Search) {
        let store = &*self.store;
        search.candidates.clear();
        for pick in &search.picks {
            let (hash, via) = match pick.entry {
                Some(entry) => (store.entry_hash(entry), Via::Ring),
                None => (store.hash_of(pick.chunk), Via::Hand),
            };
            match hash {
                Some(hash) => search.candidates.push(Candidate {
                    chunk: pick.chunk,
                    hash,
                    via,
                }),
                None => search.stale += 1,
            }
        }
    }

    /// Judges one candidate under its stripe's lock.
    fn judge_candidate(&self, candidate: Candidate, force: bool, now: Now) -> Judged {
        let store = &*self.store;
        let Candidate { chunk, hash, via } = candidate;
        let place = hash.place();
        let print = Print::new(hash, store.stripe_bits);
        let mut stripe = store.stripe(place);
        let Some(found) = stripe.item_in(&store.slabs, print, chunk) else {
            return Judged::Stale;
        };
        let header = found.header;
        if via == Via::Ring && header.has(state::MAIN) {
            return Judged::Stale;
        }
        if stripe.is_dead(&store.slabs, chunk, header, now) {
            return Judged::Out(stripe.unlink(&store.slabs, print.bits, found), Cause::Dead);
        }
        if header.has(state::PINNED) {
            if via == Via::Ring {
                self.set_main(&mut stripe, found, 1);
            }
            return Judged::Spared;
        }
        let class = store.slabs.class_of(chunk);
        let tries = is_always_tried(place) || store.slabs.demand(class).tries_one_hit();
        match fate(store.policy, header, via, tries, force) {
            Fate::Spare(hits) => {
                let spared = header.with_freq(hits);
                store.slabs.set_header_first(found.chunk, spared);
                Judged::Spared
            }
            Fate::Promote(hits) => {
                self.set_main(&mut stripe, found, hits);
                Judged::Spared
            }
            Fate::Evict => {
                self.tallies(class)
                    .failed
                    .add(u64::from(header.is_on_trial()));
                let epitaph = store.slabs.demand(class).bury(class, queue_of(header));
                let gone = stripe.bury(&store.slabs, print.check, found, epitaph);
                Judged::Out(gone, Cause::Evicted)
            }
        }
    }

    fn count_out_of(&self, gone: &Unlinked, cause: Cause, now: Now) {
        let class = gone.class;
        let tallies = self.tallies(class);
        let unfetched = u64::from(!gone.header.has(state::FETCHED));
        if cause == Cause::Dead {
            tallies.reclaimed.add(1);
            tallies.expired_unfetched.add(unfetched);
            return;
        }
        tallies.evicted.add(1);
        tallies.evicted_unfetched.add(unfetched);
        tallies
            .evicted_nonzero
            .add(u64::from(!gone.header.expiry().is_never()));
        tallies
            .evicted_active
            .add(u64::from(gone.header.freq() > 0));
        let idle = gone.header.idle_seconds(now);
        let shown = &self.store.evicted_idle[usize::from(class.0)];
        // All lanes write here, and mostly the same.
        if shown.load(Ordering::Relaxed) != idle {
            shown.store(idle, Ordering::Relaxed);
        }
    }

    /// Counts an item out by eviction, for page moves.
    pub(crate) fn count_eviction(&self, gone: &Unlinked, now: Now) {
        self.count_out_of(gone, Cause::Evicted, now);
    }

    /// Counts the item out, keeps its chunks of `class` and frees the others.
    fn collect(&self, class: ClassId, gone: Unlinked, out: &mut Vec<ChunkRef>) {
        self.count_out(&gone);
        if !gone.free_now {
            return;
        }
        let store = &*self.store;
        let mut chunk = gone.chunk;
        while !chunk.is_none() {
            let next = store.slabs.next(chunk, store.slabs.header(chunk));
            let page = store.slabs.page(store.slabs.page_of(chunk));
            if page.class() == class && !page.is_draining() && out.len() < BATCH * 4 {
                store.slabs.arena.store(store.slabs.offset(chunk), 0);
                out.push(chunk);
            } else {
                self.free_chunk(chunk);
            }
            chunk = next;
        }
    }

    /// Makes an item of a locked stripe main.
    fn set_main(&self, _stripe: &mut Stripe, found: Found, hits: u16) {
        let mut header = found.header.with_freq(hits);
        header.state |= state::MAIN;
        self.store.slabs.set_header_first(found.chunk, header);
        let tallies = self.tallies_of(found.chunk);
        tallies.promoted.add(1);
        tallies.main.add(u64::from(!found.header.has(state::MAIN)));
    }
}

impl Store {
    /// The page with the item of `class` that is next in its ring.
    pub(crate) fn oldest_page(&self, class: ClassId) -> Option<PageId> {
        let slabs = &self.slabs;
        let mut state = slabs.lock(class);
        for _ in 0..OLDEST_OF {
            let entry = state.ring.peek(slabs)?;
            let page = slabs.page_of(entry.chunk);
            // What an item of a page that has moved on has left there may look like one.
            if slabs.page(page).owner() == Some(class) && self.entry_hash(entry).is_some() {
                return Some(page);
            }
            state.ring.pop(slabs);
        }
        None
    }

    /// The hash of the item that a ring entry names; `None` if the entry is stale. What is seen
    /// without the stripe's lock is true of an item that is and stays in the ring.
    fn entry_hash(&self, entry: RingEntry) -> Option<KeyHash> {
        let header = self.slabs.header(entry.chunk);
        if !header.is_linked_item() || header.has(state::MAIN) {
            return None;
        }
        let hash = self.hash_of(entry.chunk)?;
        entry.is_of(hash.place()).then_some(hash)
    }
}

fn queue_of(header: Header) -> Queue {
    if header.has(state::MAIN) {
        Queue::Main
    } else {
        Queue::Small
    }
}
