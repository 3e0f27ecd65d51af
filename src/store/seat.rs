//! A lane's seat at the table: the free chunks that it keeps at hand, what it counts and tells.

use crate::base::events::{Event, Topics};
use crate::store::counters::ClassTallies;
use crate::store::item::{Header, state};
use crate::store::locks::RankedGuard;
use crate::store::outcome::{ClassId, StoreError};
use crate::store::slab::ChunkRef;
use crate::store::slab::magazine::{Magazine, Magazines, magazine_size};
use crate::store::stripe::Unlinked;
use crate::store::table::Table;
use std::sync::atomic::Ordering;

/// Gets without an item that a lane reports together.
const MISSES_REPORTED: u64 = 256;

/// The table, and which lane works on it.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    pub(crate) table: &'a Table,
    pub(crate) lane: usize,
}

impl<'a> Seat<'a> {
    /// This lane's tallies of `class`.
    #[inline(always)] // a few instructions in every request
    pub(crate) fn tallies(self, class: ClassId) -> &'a ClassTallies {
        self.table.tallies[self.lane].class(class.0)
    }

    /// This lane's tallies of the class of `chunk`.
    #[inline]
    pub(crate) fn tallies_of(self, chunk: ChunkRef) -> &'a ClassTallies {
        self.tallies(self.table.slabs.class_of(chunk))
    }

    /// Counts an access that was noted in the header of an item, which was `before` until then.
    #[inline]
    pub(crate) fn count_use(self, chunk: ChunkRef, before: Header) {
        let tallies = self.tallies_of(chunk);
        tallies.used.add(1);
        if before.is_on_trial() {
            tallies.proven.add(1);
        }
    }

    /// Counts a get that found nothing.
    #[inline]
    pub(crate) fn count_miss(self) {
        let missed = &self.table.tallies[self.lane].missed;
        missed.add(1);
        if missed.get().is_multiple_of(MISSES_REPORTED) {
            let all = &self.table.missed;
            all.fetch_add(MISSES_REPORTED, Ordering::Relaxed);
        }
    }

    /// Counts a store that found no memory.
    pub(crate) fn no_memory(self, class: ClassId) -> StoreError {
        self.tallies(class).out_of_memory.add(1);
        StoreError::OutOfMemory
    }

    /// Whether somebody watches one of `topics`.
    #[inline]
    pub(crate) fn is_watched(self, topics: Topics) -> bool {
        self.table.events.wants(topics)
    }

    /// Tells watchers of something that has happened on this lane.
    pub(crate) fn tell(self, event: Event) {
        self.table.events.record(self.lane, event);
    }

    pub(crate) fn magazines(self) -> RankedGuard<'a, Magazines> {
        self.table.magazines[self.lane].lock()
    }

    /// A free chunk out of the magazine.
    pub(crate) fn take_chunk(self, class: ClassId) -> Option<ChunkRef> {
        self.magazines().of(class).free.pop()
    }

    /// Puts one chunk in its magazine, or in its class when the magazine is full.
    pub(crate) fn free_chunk(self, chunk: ChunkRef) {
        let slabs = &self.table.slabs;
        // Scanners must not take what lies there for an item.
        slabs.arena.store(slabs.offset(chunk), 0);
        let page = slabs.page(slabs.page_of(chunk));
        let class = page.class();
        let mut magazines = self.magazines();
        let magazine = magazines.of(class);
        // What goes before its class has heard of it was never in the ring: a lock that is taken
        // and released leaves nothing there.
        if let Some(at) = magazine.fresh.iter().rposition(|new| new.chunk == chunk) {
            magazine.fresh.remove(at);
        }
        if page.is_draining() {
            drop(magazines);
            slabs.return_chunk(chunk);
            return;
        }
        let room = magazine_size(slabs.sizes.size(class));
        if magazine.free.len() >= room {
            let mut state = slabs.lock(class);
            for surplus in magazine.free.drain(room / 2..) {
                slabs.return_locked(&mut state, class, surplus);
            }
            drop(state);
            self.report(class, magazine);
        }
        magazine.free.push(chunk);
    }

    /// Frees an unlinked item's chunks.
    pub(crate) fn free_chain(self, first: ChunkRef) {
        let slabs = &self.table.slabs;
        let mut chunk = first;
        while !chunk.is_none() {
            let next = slabs.next(chunk, slabs.header(chunk));
            self.free_chunk(chunk);
            chunk = next;
        }
    }

    /// Counts an item out and frees its chunks.
    pub(crate) fn drop_item(self, gone: Unlinked) {
        self.count_out(&gone);
        if gone.free_now {
            self.free_chain(gone.chunk);
        }
    }

    /// [`drop_item`](Self::drop_item) for one that had expired or was flushed.
    #[inline(never)]
    pub(crate) fn drop_dead(self, gone: Unlinked) {
        if !gone.header.has(state::FETCHED) {
            self.tallies(gone.class).expired_unfetched.add(1);
        }
        self.drop_item(gone);
    }

    /// Takes an item off the sums of its class.
    pub(crate) fn count_out(self, gone: &Unlinked) {
        let tallies = self.tallies(gone.class);
        tallies.items.sub(1);
        tallies.main.sub(u64::from(gone.header.is_main()));
        tallies.bytes.sub(u64::from(gone.size));
    }

    /// Returns all chunks to their classes: for a lane that frees and does not take.
    pub(crate) fn empty_magazines(self) {
        let slabs = &self.table.slabs;
        let mut magazines = self.magazines();
        for class in slabs.sizes.item_classes() {
            let magazine = magazines.of(class);
            for chunk in magazine.free.drain(..) {
                slabs.return_chunk(chunk);
            }
            self.report(class, magazine);
        }
    }

    /// Tells the class how many items this lane has of it, and the store how many were new. So
    /// nobody has to add up the lanes' numbers, each in a line that its lane is writing to.
    pub(crate) fn report(self, class: ClassId, magazine: &mut Magazine) {
        let tallies = self.tallies(class);
        let (items, main) = (tallies.items.get(), tallies.main.get());
        let created = tallies.linked.get() - tallies.replaced.get();
        let demand = self.table.slabs.demand(class);
        let more = items.wrapping_sub(magazine.items);
        demand.report(more, main.wrapping_sub(magazine.main));
        if created != magazine.created {
            let all = &self.table.created;
            all.fetch_add(created - magazine.created, Ordering::Relaxed);
        }
        (magazine.items, magazine.main, magazine.created) = (items, main, created);
    }
}
