//! What is learned from ghosts that are found again, and how it fades.

use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, Epitaph, Experience, GHOST_HIT};
use crate::store::stripe::Stripe;
use crate::store::table::{HashedKey, Table};
use std::sync::atomic::Ordering;

/// Takes note that somebody has asked for the item that a ghost is of, if one is there: it
/// would have been a hit, had its class had more memory or used it otherwise.
#[inline(never)]
pub(crate) fn ask_ghost(seat: Seat<'_>, stripe: &mut Stripe, key: &HashedKey<'_>) {
    let table = seat.table;
    let ghost = stripe
        .index
        .ask_ghost(&table.slabs, table.fingerprint(key.hash));
    if let Some(epitaph) = ghost.filter(|epitaph| !epitaph.is_asked()) {
        learn_from_request(table, epitaph);
        seat.tallies(epitaph.class()).ghost_hits.add(1);
    }
}

/// What has been counted in a class.
fn experience(table: &Table, class: ClassId) -> Experience {
    let mut sums = Experience {
        store_missed: table.missed.load(Ordering::Relaxed),
        store_created: table.created.load(Ordering::Relaxed),
        ..Experience::default()
    };
    for lane in &table.tallies {
        let tallies = lane.class(class.0);
        let replaced = tallies.replaced.get();
        sums.used += tallies.used.get();
        sums.replaced += replaced;
        sums.created += tallies.linked.get().saturating_sub(replaced);
        sums.proven += tallies.proven.get();
        sums.failed += tallies.failed.get();
    }
    sums
}

/// Learns from the ghost of an item that somebody has asked for.
fn learn_from_request(table: &Table, epitaph: Epitaph) {
    let demand = table.slabs.demand(epitaph.class());
    demand.learn(epitaph);
    if demand.revive(epitaph).is_near {
        demand.add_pull(GHOST_HIT);
    }
}

/// Whether a new item whose ghost was found goes to the main queue at once: if it was asked for
/// and not long ago. Popular to write is not popular to read.
pub(crate) fn belongs_to_main(table: &Table, chunk: ChunkRef, epitaph: Epitaph) -> bool {
    let demand = table.slabs.demand(epitaph.class());
    if !epitaph.is_asked() {
        demand.learn(epitaph);
        return false;
    }
    let revival = demand.revive(epitaph);
    if revival.is_near && table.slabs.header(chunk).has(state::CHAINED) {
        share_pull(table, chunk, epitaph.class());
    }
    revival.is_recent
}

/// Gives other classes their part of the pull that the ghost of a long item counted for the
/// class of its `head`.
///
/// All classes with a chunk of it would have had to be larger for a hit: each gets the part
/// that it has of the bytes, so that the short last piece of a long item asks for as much of
/// its class as of the others. A ghost does not know the pieces; the new item has the same.
fn share_pull(table: &Table, chunk: ChunkRef, head: ClassId) {
    let slabs = &table.slabs;
    let chunks = || {
        std::iter::successors(Some(chunk), |&chunk| {
            let next = slabs.next(chunk, slabs.header(chunk));
            (!next.is_none()).then_some(next)
        })
        .map(|chunk| slabs.class_of(chunk))
    };
    let size = |class: ClassId| u64::from(slabs.sizes.size(class));
    let total: u64 = chunks().map(size).sum();
    for class in chunks().filter(|&class| class != head) {
        let part = GHOST_HIT * size(class) / total;
        slabs.demand(class).add_pull(part);
        slabs.demand(head).take_pull(part);
    }
}

/// Lets all demands fade, if it is time.
pub(crate) fn fade_demands(table: &Table) {
    if !table.slabs.is_time_to_fade() {
        return;
    }
    let in_use = table.slabs.sizes.item_classes();
    for class in in_use.filter(|&class| table.slabs.page_count(class) > 0) {
        table.slabs.demand(class).fade(experience(table, class));
    }
}
