//! S3-CLOCK: which items go when a class is full.
//!
//! ```text
//!   new item ─▶ ring (a part of the class) ── hit ─▶ main part ─▶ clock hand
//!      │                 │                           ▲              │ hits left: one less
//!      │                 └── else: out               │              └ none left: out
//!      └── its ghost was found ──────────────────────┘
//! ```
//!
//! S3-FIFO without linked lists. A hit only counts in the item's header. Whether an item is in the
//! ring or in the main part is one bit there, so a promotion moves nothing. The main part is all
//! slots of the class's pages with that bit, in address order, under a clock hand. Ghosts live in
//! the index's empty slots. Unlike S3-FIFO's, items of the main part leave one too: what returns
//! to either part says how long the ring should be (as in ARC) and which class another page would
//! serve best.
//!
//! A ring entry may be stale: the item was deleted, replaced or promoted meanwhile. The judgement
//! under the stripe's lock finds that out. While the cache fills, nothing is evicted and the oldest
//! ring entries beyond the ring's share become main.
//!
//! The other policies are the same machinery without ring and ghosts: all items are main. `lru` is
//! CLOCK with one reference bit, `lfu` counts up to three hits.

use crate::base::clock::Now;
use crate::base::hash::Place;
use crate::base::settings::EvictionPolicy;
use crate::store::index::check_of;
use crate::store::item::state;
use crate::store::lane::{Lane, stock_size};
use crate::store::outcome::ClassId;
use crate::store::slab::{ChunkRef, ClassState, INDEX, Queue, RingEntry};
use crate::store::stripe::{Found, Stripe, Unlinked};
use std::sync::atomic::Ordering;

/// Hits that take an item from the ring into the main part. With two, recorded traces miss up to
/// 1.3 % more, and 2 to 3 % more where popularity drifts.
const PROMOTION_HITS: u16 = 1;

/// Candidates picked under one class lock, and loaded at once.
const BATCH: usize = 16;

/// Slots the hand passes under one class lock.
const HAND_STEPS: u32 = 512;

/// Candidates that may be spared in one search before the next one goes whatever its hits: bounds
/// the work of one request.
const SECOND_CHANCES: u32 = 96;

/// An item that may have to go.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    chunk: ChunkRef,
    /// Where its key belongs, as far as could be seen without a lock.
    place: Place,
    from_ring: bool,
}

/// What became of a candidate.
enum Judged {
    /// It was not what it seemed, or may not go.
    Spared,
    /// It is out.
    Out(Unlinked, Cause),
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
        self.flush_fresh(class, now);
        let want = stock_size(self.store.slabs.table.size(class));
        let mut got = std::mem::take(&mut self.freed);
        got.clear();
        self.store.slabs.take(class, want, &mut got);
        if got.is_empty() && self.store.slabs.take_index_hunger() {
            self.feed_index(now);
        }
        if got.is_empty() && self.store.evict {
            if self.take_spared_page(class, now) {
                self.store.slabs.take(class, want, &mut got);
            }
            if got.is_empty() {
                self.make_room(class, want, now, &mut got);
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

    /// Makes room for the index: a page of its own. True if there is reason to try again.
    pub(crate) fn feed_index(&mut self, now: Now) -> bool {
        if let Some(spare) = self.store.slabs.take_one(INDEX) {
            // Somebody else has fed it.
            self.store.slabs.give(spare);
            return true;
        }
        self.force_page(INDEX, now)
    }

    /// Moves the lane's new items of `class` to the class's ring; the ring's oldest beyond its
    /// share become main.
    pub(crate) fn flush_fresh(&self, class: ClassId, now: Now) {
        let mut desk = self.store.desks[self.id].lock();
        let mut fresh = std::mem::take(&mut desk.magazines[usize::from(class.0)].fresh);
        drop(desk);
        if fresh.is_empty() {
            return;
        }
        let share = self.ring_share(class);
        let store = &*self.store;
        let mut state = store.slabs.lock(class);
        let mut promoted = vec![];
        for &entry in &fresh {
            if !state.ring.push(&store.slabs, entry) {
                promoted.push(entry);
            }
        }
        let surplus = (state.ring.len() as u64).saturating_sub(share.max(BATCH as u64));
        // Twice as many as came in: the ring gets down to its share, and nobody pays for all.
        let surplus = if state.free > 0 {
            surplus.min(fresh.len() as u64 * 2)
        } else {
            0
        };
        promoted.extend((0..surplus).map_while(|_| state.ring.pop(&store.slabs)));
        drop(state);
        self.promote(&promoted, now);
        fresh.clear();
        // The buffer goes back, so that filling it does not allocate.
        let mut desk = store.desks[self.id].lock();
        let place = &mut desk.magazines[usize::from(class.0)].fresh;
        if place.is_empty() {
            *place = fresh;
        }
    }

    fn promote(&self, entries: &[RingEntry], now: Now) {
        let store = &*self.store;
        for entry in entries {
            store.slabs.arena.prefetch(store.slabs.offset(entry.chunk));
        }
        for entry in entries {
            let mut stripe = store.stripe(entry.place);
            if let Some(found) = self.verify(&stripe, entry.chunk, entry.place)
                && stripe.death(found.header, now).is_none()
            {
                self.set_main(&mut stripe, found);
            }
        }
    }

    fn ring_share(&self, class: ClassId) -> u64 {
        let items = self.items_of(class);
        self.store.slabs.demand(class).ring_len(items)
    }

    fn items_of(&self, class: ClassId) -> u64 {
        let lanes = self.store.tallies.iter();
        let sum = lanes.fold(0_u64, |sum, lane| {
            sum.wrapping_add(lane.class(class.0).items.get())
        });
        // Lanes count out each other's items: a sum that is read meanwhile may be below zero.
        sum.cast_signed().max(0).cast_unsigned()
    }

    /// Evicts until `want` chunks of `class` are in `out`, or there is nothing to evict.
    pub(crate) fn make_room(
        &mut self,
        class: ClassId,
        want: usize,
        now: Now,
        out: &mut Vec<ChunkRef>,
    ) {
        let total = self.items_of(class);
        let mut candidates = Vec::with_capacity(BATCH);
        let (mut spared, mut evicted) = (0, 0);
        // Twice round the clock finds nothing only if everything is pinned or in flight.
        let mut steps_left = {
            let state = self.store.slabs.lock(class);
            2 * self.store.slabs.used_locked(&state, class) + u64::from(HAND_STEPS)
        };
        while out.len() < want && steps_left > 0 {
            candidates.clear();
            let steps = self.pick(class, total, &mut candidates);
            self.prefetch_places(&candidates);
            steps_left = steps_left.saturating_sub(u64::from(steps).max(1));
            for &candidate in &candidates {
                let force = spared >= SECOND_CHANCES;
                match self.judge_candidate(candidate, force, now) {
                    Judged::Spared => spared += 1,
                    Judged::Out(gone, cause) => {
                        evicted += 1;
                        self.count_out_of(&gone, cause, now);
                        self.collect(class, gone, out);
                    }
                }
            }
        }
        self.store.slabs.count_evicted(class, evicted, total);
        self.fade_demands();
        self.store.slabs.count_allocated(class, out.len());
    }

    /// Picks candidates; returns the hand's steps.
    fn pick(&self, class: ClassId, total: u64, out: &mut Vec<Candidate>) -> u32 {
        let slabs = &self.store.slabs;
        let mut state = slabs.lock(class);
        let ring = state.ring.len() as u64;
        if ring > 0 && (ring > slabs.demand(class).ring_len(total) || ring >= total) {
            while out.len() < BATCH
                && let Some(entry) = state.ring.pop(slabs)
            {
                slabs.arena.prefetch(slabs.offset(entry.chunk));
                out.push(Candidate {
                    chunk: entry.chunk,
                    place: entry.place,
                    from_ring: true,
                });
            }
            return 0;
        }
        self.turn_hand(&mut state, class, out)
    }

    /// Moves the clock hand over slots until it has met enough items of the main part.
    fn turn_hand(&self, state: &mut ClassState, class: ClassId, out: &mut Vec<Candidate>) -> u32 {
        let slabs = &self.store.slabs;
        let with_small = state.ring.len() == 0;
        let mut steps = 0;
        while steps < HAND_STEPS && out.len() < BATCH && !state.pages.is_empty() {
            let (position, slot) = state.hand;
            let page = state.pages[position % state.pages.len()];
            if slot >= slabs.page(page).bump() {
                state.hand = ((position + 1) % state.pages.len(), 0);
                steps += 1;
                continue;
            }
            state.hand = (position % state.pages.len(), slot + 1);
            steps += 1;
            let chunk = slabs.chunk_in(page, class, slot);
            let header = slabs.header(chunk);
            if header.is_linked_item() && (with_small || header.has(state::MAIN)) {
                self.propose(chunk, out);
            } else if let Some(owner) = slabs.owner_of(header)
                && slabs.class_of(owner) != class
            {
                // The last piece of a long item; the item itself is in the hand of its own class.
                self.propose(owner, out);
            }
        }
        steps
    }

    /// Adds an item that the hand has met, if it still has a key to place it by.
    fn propose(&self, chunk: ChunkRef, out: &mut Vec<Candidate>) {
        if let Some(hash) = self.store.hash_of(chunk) {
            out.push(Candidate {
                chunk,
                place: hash.place(),
                from_ring: false,
            });
        }
    }

    /// Starts loading the index lines of all candidates, so that judging them waits once.
    fn prefetch_places(&self, candidates: &[Candidate]) {
        let store = &*self.store;
        for &Candidate { place, .. } in candidates {
            let bits = place.bucket_bits(store.stripe_bits);
            if let Some(bucket) = store.hints.bucket(&store.slabs, place, bits) {
                store.slabs.arena.prefetch(bucket);
            }
        }
    }

    /// The linked item in `chunk`, with the stripe of `place` locked.
    ///
    /// The chunk may hold another item by now: that is found as well if it belongs to the same
    /// bucket, and is then as good a candidate.
    pub(crate) fn verify(&self, stripe: &Stripe, chunk: ChunkRef, place: Place) -> Option<Found> {
        let store = &self.store;
        let bits = place.bucket_bits(store.stripe_bits);
        let slot = stripe.index.find_chunk(&store.slabs, bits, chunk)?;
        let header = store.slabs.header(chunk);
        Some(Found {
            slot,
            chunk,
            header,
        })
    }

    /// Judges one candidate under its stripe's lock.
    fn judge_candidate(&self, candidate: Candidate, force: bool, now: Now) -> Judged {
        let store = &*self.store;
        let Candidate {
            chunk,
            place,
            from_ring,
        } = candidate;
        let bits = place.bucket_bits(store.stripe_bits);
        let mut stripe = store.stripe(place);
        let Some(found) = self.verify(&stripe, chunk, place) else {
            return Judged::Spared;
        };
        let header = found.header;
        if from_ring && header.has(state::MAIN) {
            return Judged::Spared;
        }
        if stripe.death(header, now).is_some() {
            return Judged::Out(stripe.unlink(&store.slabs, bits, found), Cause::Dead);
        }
        if header.has(state::PINNED) {
            self.set_main(&mut stripe, found);
            return Judged::Spared;
        }
        if from_ring {
            if header.freq() >= PROMOTION_HITS && !force {
                self.set_main(&mut stripe, found);
                return Judged::Spared;
            }
            return Judged::Out(
                self.bury(&mut stripe, found, place, Queue::Small),
                Cause::Evicted,
            );
        }
        if header.freq() > 0 && !force {
            let left = if store.policy == EvictionPolicy::Lru {
                0
            } else {
                header.freq() - 1
            };
            store
                .slabs
                .set_header_first(found.chunk, header.with_freq(left));
            return Judged::Spared;
        }
        let gone = if store.policy == EvictionPolicy::S3Clock {
            self.bury(&mut stripe, found, place, Queue::Main)
        } else {
            stripe.unlink(&store.slabs, bits, found)
        };
        Judged::Out(gone, Cause::Evicted)
    }

    /// Takes an item out and leaves its ghost.
    fn bury(&self, stripe: &mut Stripe, found: Found, place: Place, queue: Queue) -> Unlinked {
        let slabs = &self.store.slabs;
        let epitaph = slabs.demand(slabs.class_of(found.chunk)).bury(queue);
        stripe.bury(slabs, check_of(place), found, epitaph)
    }

    fn count_out_of(&self, gone: &Unlinked, cause: Cause, now: Now) {
        let class = self.store.slabs.class_of(gone.chunk);
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

    /// Makes an item of a locked stripe main, with no hits counted.
    fn set_main(&self, _stripe: &mut Stripe, found: Found) {
        let mut header = found.header.with_freq(0);
        header.state |= state::MAIN;
        self.store.slabs.set_header_first(found.chunk, header);
        self.tallies_of(found.chunk).promoted.add(1);
    }
}
