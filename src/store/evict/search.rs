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
//! A ring entry may be stale: its item was deleted, replaced or promoted meanwhile. Mostly that is
//! seen without a lock, and at the latest by the judgement under the stripe's lock. A stale entry
//! counts as no candidate; so that no request pays for many, the ring is swept when it is an eighth
//! longer than the class has items.
//!
//! `lru` and `lfu` are the same machinery and differ in [`policy`](super::policy) alone.

use crate::base::clock::Now;
use crate::base::events::{Event, ItemFacts, Topics};
use crate::base::hash::KeyHash;
use crate::base::key::KEY_LEN_MAX;
use crate::store::evict::ghosts::fade_demands;
use crate::store::evict::pieces::{is_turn_of_pieces, keeps_pieces};
use crate::store::evict::policy::{Fate, Via, fate, is_always_tried};
use crate::store::evict::small::set_main;
use crate::store::item::{Header, state};
use crate::store::outcome::ClassId;
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, ClassState, Queue, RingEntry, Slabs};
use crate::store::stripe::Unlinked;
use crate::store::table::Table;
use std::sync::atomic::Ordering;

/// Candidates picked under one class lock, and loaded at once; no more than chunks are wanted.
const BATCH: usize = 16;

/// Slots the hand passes under one class lock.
const HAND_STEPS: u32 = 512;

/// Candidates that may be kept in one search before the next one goes whatever its hits, and
/// further ones for each that went: bounds the work of one request.
const SECOND_CHANCES: u64 = 96;
const CHANCES_EACH: u64 = 3;

/// Stale ring entries that one search drops, at most: some tens of microseconds. After that it
/// takes what the hand meets, whatever its queue.
const STALE_MAX: usize = 1024;

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
enum Decided {
    /// It was not what it seemed.
    Stale,
    /// It may not go, or not yet.
    Kept,
    /// It is out.
    Out(Unlinked, Cause),
}

/// One search for chunks.
struct Search {
    class: ClassId,
    /// Candidates that were kept, and ring entries that were stale.
    kept: u64,
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

/// Evicts until `want` chunks of `class` are in `out`, or there is nothing to evict. False if
/// it has given up after `most` evictions.
pub(crate) fn make_room(
    seat: Seat<'_>,
    class: ClassId,
    (want, most): (usize, u64),
    now: Now,
    out: &mut Vec<ChunkRef>,
) -> bool {
    let mut search = Search {
        class,
        kept: 0,
        stale: 0,
        evicted: [0; 2],
        steps_left: 0,
        keeps_pieces: false,
        picks: Vec::with_capacity(BATCH),
        candidates: Vec::with_capacity(BATCH),
    };
    // Twice round the clock finds nothing only if everything is pinned or in flight.
    search.steps_left = {
        let state = seat.table.slabs.lock(class);
        2 * seat.table.slabs.used_locked(&state, class) + u64::from(HAND_STEPS)
    };
    search.keeps_pieces = keeps_pieces(&seat.table.slabs, class);
    let mut gone_in_all = 0;
    while out.len() < want && search.steps_left > 0 && gone_in_all < most {
        pick(seat.table, &mut search, want - out.len());
        locate(seat.table, &mut search);
        let candidates = search.candidates.iter();
        candidates.for_each(|candidate| seat.table.prefetch_bucket(candidate.hash));
        for at in 0..search.candidates.len() {
            let candidate = search.candidates[at];
            let force = search.kept >= SECOND_CHANCES + CHANCES_EACH * gone_in_all;
            match decide(seat, candidate, force, now) {
                Decided::Stale => search.stale += 1,
                Decided::Kept => search.kept += 1,
                Decided::Out(gone, cause) => {
                    gone_in_all += 1;
                    search.count(&gone, cause, &seat.table.slabs);
                    count_out_of(seat, &gone, cause, now);
                    collect(seat, class, gone, out);
                }
            }
        }
    }
    seat.table.slabs.count_evicted(class, search.evicted);
    fade_demands(seat.table);
    seat.table.slabs.count_allocated(class, out.len());
    gone_in_all < most
}

/// Picks up to `most` that may have to go, and counts the steps.
fn pick(table: &Table, search: &mut Search, most: usize) {
    let slabs = &table.slabs;
    let most = most.min(BATCH);
    let mut state = slabs.lock(search.class);
    search.picks.clear();
    let demand = slabs.demand(search.class);
    let is_worn = search.stale >= STALE_MAX;
    let quarry = if is_worn || state.ring.len() == 0 {
        Some(Quarry::All)
    } else if !search.keeps_pieces && is_turn_of_pieces(table, &mut state, search.class) {
        Some(Quarry::Pieces)
    } else {
        (!demand.evicts_from_small()).then_some(Quarry::Main)
    };
    if let Some(quarry) = quarry {
        let steps = turn_hand(table, &mut state, search, most, quarry);
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
    table: &Table,
    state: &mut ClassState,
    search: &mut Search,
    most: usize,
    quarry: Quarry,
) -> u32 {
    let slabs = &table.slabs;
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
                Quarry::Main => header.is_main(),
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
fn locate(table: &Table, search: &mut Search) {
    search.candidates.clear();
    for pick in &search.picks {
        let (hash, via) = match pick.entry {
            Some(entry) => (table.entry_hash(entry), Via::Ring),
            None => (table.hash_of(pick.chunk), Via::Hand),
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

/// Decides on one candidate under its stripe's lock.
fn decide(seat: Seat<'_>, candidate: Candidate, force: bool, now: Now) -> Decided {
    let table = seat.table;
    let Candidate { chunk, hash, via } = candidate;
    let place = hash.place();
    let fingerprint = table.fingerprint(hash);
    let (mut stripe, found) = table.item_in(chunk, hash);
    let Some(found) = found else {
        return Decided::Stale;
    };
    let header = found.header;
    if via == Via::Ring && header.is_main() {
        return Decided::Stale;
    }
    if stripe.is_dead(&table.slabs, chunk, header, now) {
        return Decided::Out(
            stripe.unlink(&table.slabs, fingerprint.bits, found),
            Cause::Dead,
        );
    }
    if header.has(state::PINNED) {
        if via == Via::Ring {
            set_main(seat, &stripe, found, 1);
        }
        return Decided::Kept;
    }
    let class = table.slabs.class_of(chunk);
    let tries = is_always_tried(place) || table.slabs.demand(class).tries_one_hit();
    match fate(table.policy, header, via, tries, force) {
        Fate::Keep(hits) => {
            let kept = header.with_hits(hits);
            table.slabs.set_header_first(found.chunk, kept);
            Decided::Kept
        }
        Fate::Promote(hits) => {
            set_main(seat, &stripe, found, hits);
            Decided::Kept
        }
        Fate::Evict => {
            seat.tallies(class)
                .failed
                .add(u64::from(header.is_on_trial()));
            let epitaph = table.slabs.demand(class).bury(class, queue_of(header));
            let gone = stripe.bury(&table.slabs, fingerprint.check, found, epitaph);
            Decided::Out(gone, Cause::Evicted)
        }
    }
}

fn count_out_of(seat: Seat<'_>, gone: &Unlinked, cause: Cause, now: Now) {
    let class = gone.class;
    let tallies = seat.tallies(class);
    let unfetched = u64::from(!gone.header.has(state::FETCHED));
    if cause == Cause::Dead {
        tallies.reclaimed.add(1);
        tallies.expired_unfetched.add(unfetched);
        return;
    }
    if seat.is_watched(Topics::EVICTIONS) {
        tell_of_eviction(seat, gone, now);
    }
    tallies.evicted.add(1);
    tallies.evicted_unfetched.add(unfetched);
    tallies
        .evicted_nonzero
        .add(u64::from(!gone.header.expiry().is_never()));
    tallies
        .evicted_active
        .add(u64::from(gone.header.hits() > 0));
    let idle = gone.header.idle_seconds(now);
    let shown = &seat.table.evicted_idle[usize::from(class.0)];
    // All lanes write here, and mostly the same.
    if shown.load(Ordering::Relaxed) != idle {
        shown.store(idle, Ordering::Relaxed);
    }
}

/// Tells watchers of an item whose bytes are there until its chunks are freed.
#[cold]
fn tell_of_eviction(seat: Seat<'_>, gone: &Unlinked, now: Now) {
    let slabs = &seat.table.slabs;
    let mut buffer = [0; KEY_LEN_MAX];
    let Some(key) = slabs.key_of(gone.chunk, &mut buffer) else {
        return;
    };
    seat.tell(Event::Eviction {
        item: ItemFacts {
            key: key.into(),
            class: gone.class.0,
            size: slabs.value_len(gone.chunk, gone.header),
        },
        is_fetched: gone.header.has(state::FETCHED),
        ttl_s: gone.header.expiry().ttl(now),
        idle_s: gone.header.idle_seconds(now),
    });
}

/// Counts an item out by eviction, for page moves.
pub(crate) fn count_eviction(seat: Seat<'_>, gone: &Unlinked, now: Now) {
    count_out_of(seat, gone, Cause::Evicted, now);
}

/// Counts the item out, keeps its chunks of `class` and frees the others.
fn collect(seat: Seat<'_>, class: ClassId, gone: Unlinked, out: &mut Vec<ChunkRef>) {
    seat.count_out(&gone);
    if !gone.free_now {
        return;
    }
    let table = seat.table;
    let mut chunk = gone.chunk;
    while !chunk.is_none() {
        let next = table.slabs.next(chunk, table.slabs.header(chunk));
        let page = table.slabs.page(table.slabs.page_of(chunk));
        if page.class() == class && !page.is_draining() && out.len() < BATCH * 4 {
            table.slabs.arena.store(table.slabs.offset(chunk), 0);
            out.push(chunk);
        } else {
            seat.free_chunk(chunk);
        }
        chunk = next;
    }
}

fn queue_of(header: Header) -> Queue {
    if header.is_main() {
        Queue::Main
    } else {
        Queue::Small
    }
}
