//! The small queue's way into its class: new items are noted by their lane and come together.

use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::seat::Seat;
use crate::store::slab::magazine::MAGAZINE_MAX;
use crate::store::slab::{PageId, RingEntry};
use crate::store::stripe::{Found, Stripe};
use crate::store::table::Table;

/// Ring entries that are looked at for the oldest item.
const OLDEST_OF: usize = 64;

/// New items that a lane keeps where the ring has no memory, at most.
const FRESH_MAX: usize = 256;

/// Entries that a ring may have beyond nine eighths of the class's items.
const RING_SLACK: u64 = 256;

/// Notes a new item of the small queue.
pub(crate) fn note_fresh(seat: Seat<'_>, class: ClassId, entry: RingEntry) {
    let mut magazines = seat.magazines();
    let fresh = &mut magazines.of(class).fresh;
    fresh.push(entry);
    let full = fresh.len() >= MAGAZINE_MAX;
    drop(magazines);
    if full {
        flush_fresh(seat, class);
    }
}

/// Moves the lane's new items of `class` to the class's ring, and keeps that from being much
/// longer than the class has items.
pub(crate) fn flush_fresh(seat: Seat<'_>, class: ClassId) {
    let table = seat.table;
    let mut magazines = seat.magazines();
    let magazine = magazines.of(class);
    seat.report(class, magazine);
    let mut fresh = std::mem::take(&mut magazine.fresh);
    drop(magazines);
    if fresh.is_empty() {
        return;
    }
    let mut lost = vec![];
    let mut state = table.slabs.lock(class);
    let pushed = fresh
        .iter()
        .take_while(|&&entry| state.ring.push(&table.slabs, entry))
        .count();
    let items = table.slabs.demand(class).items();
    if state.ring.len() > items + items / 8 + RING_SLACK {
        // Twice as many as came in: it gets shorter, and nobody pays for all.
        let live = |entry| table.entry_hash(entry).is_some();
        let ring = &mut state.ring;
        ring.sweep(&table.slabs, fresh.len() * 2, live, &mut lost);
    }
    drop(state);
    fresh.drain(..pushed);
    if fresh.len() > FRESH_MAX {
        lost.extend(fresh.drain(..fresh.len() - FRESH_MAX));
    }
    promote(seat, &lost);
    // The buffer goes back, so that filling it does not allocate, with what the ring has had no
    // memory for: the next refill gets the index a page.
    let mut magazines = seat.magazines();
    let place = &mut magazines.of(class).fresh;
    if place.is_empty() {
        *place = fresh;
    }
}

/// Makes items main that the ring has no memory for, so that the hand meets them.
#[cold]
fn promote(seat: Seat<'_>, lost: &[RingEntry]) {
    let table = seat.table;
    for entry in lost {
        let Some(hash) = table.entry_hash(*entry) else {
            continue;
        };
        let (stripe, found) = table.item_in(entry.chunk, hash);
        if let Some(found) = found {
            set_main(seat, &stripe, found, 1);
        }
    }
}

/// Makes an item of a locked stripe main.
pub(crate) fn set_main(seat: Seat<'_>, _locked: &Stripe, found: Found, hits: u16) {
    let mut header = found.header.with_hits(hits);
    header.state |= state::MAIN;
    seat.table.slabs.set_header_first(found.chunk, header);
    let tallies = seat.tallies_of(found.chunk);
    tallies.promoted.add(1);
    tallies.main.add(u64::from(!found.header.is_main()));
}

/// The page with the item of `class` that is next in its ring.
pub(crate) fn oldest_page(table: &Table, class: ClassId) -> Option<PageId> {
    let slabs = &table.slabs;
    let mut state = slabs.lock(class);
    for _ in 0..OLDEST_OF {
        let entry = state.ring.peek(slabs)?;
        let page = slabs.page_of(entry.chunk);
        // What an item of a page that has moved on has left there may look like one.
        if slabs.page(page).owner() == Some(class) && table.entry_hash(entry).is_some() {
            return Some(page);
        }
        state.ring.pop(slabs);
    }
    None
}
