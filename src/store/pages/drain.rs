//! Page moves a step at a time: who begins one, who goes on with it, and who gets the page.
//!
//! ```text
//!   begin ──▶ step, step, ... ──▶ end: the page is its new owner's, or its class's again
//! ```
//!
//! One page is being emptied at a time. A request that would like one for its class does no more
//! than its share at each of its refills, by how many bytes it stores, and evicts meanwhile; the
//! background goes on with what nobody goes on with. Only a request that cannot be served
//! otherwise waits for a whole page. For that a page is kept free, where there are many, so that
//! the first item of a size or the index's next piece finds one at once.

use crate::base::clock::Now;
use crate::store::lane::Lane;
use crate::store::outcome::ClassId;
use crate::store::pages::mover::Mover;
use crate::store::pages::order::Order;
use crate::store::slab::{ChunkRef, INDEX, PageId};
use crate::store::{Busy, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Slots that one step of the background empties: up to some 200 us.
const BACKGROUND_STEP: u32 = 512;

/// Slots that one request empties at a refill, at most: up to some 300 us for a chunk of 64 KiB.
const REQUEST_STEP_MAX: u32 = 1024;

/// How many pages of a donor are tried before giving up.
const TRIES: u64 = 4;

/// In [`Store::drained_for`], that no class's requests are to go on with the page.
const FOR_NOBODY: u8 = 0;

/// Why a page is being emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// Another class needs it more.
    Need(ClassId),
    /// It is worth more to another class.
    Balance(ClassId),
    /// The limit has been lowered.
    Limit,
    /// A page is to be kept free.
    Reserve,
    /// The operator wants it.
    Order(Order),
    /// Its class has no use for it: nothing is evicted.
    Surplus,
}

/// A page that is being emptied.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) page: PageId,
    pub(crate) class: ClassId,
    pub(crate) reason: Reason,
    /// The next slot to look at.
    slot: u32,
    busy: Option<Busy>,
    /// Chunks for items that move, taken beforehand.
    pub(crate) spares: Vec<ChunkRef>,
}

impl Drain {
    /// Whether items that find no other chunk may be evicted.
    fn evicts(&self) -> bool {
        !matches!(self.reason, Reason::Surplus)
    }
}

impl Lane {
    /// Begins to empty `page`. False if that cannot be begun.
    pub(crate) fn begin_drain(&self, mover: &mut Mover, page: PageId, reason: Reason) -> bool {
        let slabs = &self.store.slabs;
        let Some(class) = slabs.page(page).owner() else {
            return false;
        };
        if mover.drain.is_some() || !slabs.start_drain(page) {
            return false;
        }
        self.recall_stocks(page, class);
        mover.drain = Some(Drain {
            page,
            class,
            reason,
            slot: 0,
            busy: None,
            spares: vec![],
        });
        let taker = match reason {
            Reason::Need(taker) => taker.0,
            _ => FOR_NOBODY,
        };
        self.store.drained_for.store(taker, Ordering::Relaxed);
        true
    }

    /// Goes on with the page that is being emptied, for up to `slots` of its slots. `None` if it is
    /// not done; else the page if it is nobody's now.
    pub(crate) fn step_drain(
        &mut self,
        mover: &mut Mover,
        slots: u32,
        now: Now,
    ) -> Option<(Reason, Option<PageId>)> {
        let store = Arc::clone(&self.store);
        let drain = mover.drain.as_mut()?;
        let evict = drain.evicts() && store.evict;
        let end = store.slabs.slots_used(drain.page, drain.class).end;
        let until = end.min(drain.slot.saturating_add(slots));
        while drain.slot < until {
            let chunk = store.slabs.chunk_in(drain.page, drain.class, drain.slot);
            match self.vacate(chunk, evict, &mut drain.spares, now) {
                Ok(busy) => drain.busy = busy.or(drain.busy),
                // Enough has been evicted for this step.
                Err(_) => return None,
            }
            drain.slot += 1;
        }
        if drain.slot < end {
            return None;
        }
        let drain = mover.drain.take()?;
        Some((drain.reason, self.end_drain(drain)))
    }

    /// The page if all its chunks are free.
    fn end_drain(&mut self, drain: Drain) -> Option<PageId> {
        let store = Arc::clone(&self.store);
        store.drained_for.store(FOR_NOBODY, Ordering::Relaxed);
        for spare in drain.spares {
            self.free_chunk(spare);
        }
        let held = store.slabs.finish_drain(drain.page);
        if held > 0 {
            self.tallies(drain.class).move_busy.add(u64::from(held));
            *store.last_busy.lock() = drain.busy.or(Some(Busy::Arriving));
            return None;
        }
        self.tallies(drain.class).pages_lost.add(1);
        Some(drain.page)
    }

    /// Steps until the page that is being emptied is done.
    fn finish(&mut self, mover: &mut Mover, now: Now) -> Option<(Reason, Option<PageId>)> {
        while mover.drain.is_some() {
            let done = self.step_drain(mover, u32::MAX, now);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// Gives the page of a move that has ended to whom it was for.
    pub(crate) fn deliver(&mut self, mover: &mut Mover, reason: Reason, page: Option<PageId>) {
        let slabs = &self.store.slabs;
        match (reason, page) {
            (Reason::Need(taker) | Reason::Balance(taker), Some(page)) => {
                slabs.adopt(taker, page);
                let is_needed = matches!(reason, Reason::Need(_));
                slabs.demand(taker).set_growing(is_needed);
            }
            (Reason::Limit | Reason::Reserve | Reason::Surplus, Some(page)) => {
                slabs.return_page(page);
            }
            (Reason::Order(order), page) => self.carry_out(order, page),
            (_, None) => {}
        }
        mover.note(reason, page.is_some());
    }

    /// Does a request's share of getting its class a page instead of evicting its items, if another
    /// class should give it one. True if the class has got one.
    pub(crate) fn share_page_move(&mut self, taker: ClassId, want: usize, now: Now) -> bool {
        let is_mine = self.store.drained_for.load(Ordering::Relaxed) == taker.0;
        let donor = if is_mine {
            None
        } else {
            self.sparing_class(taker)
        };
        if !is_mine && donor.is_none() {
            self.store.slabs.demand(taker).set_growing(false);
            return false;
        }
        let store = Arc::clone(&self.store);
        // Somebody is moving a page: evicting is quicker than waiting for it.
        let Some(mut mover) = store.mover.try_lock() else {
            return false;
        };
        if mover.drain.is_none() {
            let page = donor.and_then(|donor| store.page_to_give(donor, mover.failures));
            page.map(|page| self.begin_drain(&mut mover, page, Reason::Need(taker)));
        }
        let Some(drain) = mover.drain.as_mut() else {
            return false;
        };
        let can_wait = match drain.reason {
            Reason::Reserve => true,
            Reason::Need(other) => other != taker && store.slabs.spare_pages(other) > 1,
            _ => false,
        };
        if can_wait {
            drain.reason = Reason::Need(taker);
            store.drained_for.store(taker.0, Ordering::Relaxed);
        }
        // As much as the request takes, and a quarter more: so the class grows.
        let bytes = want as u32 * store.slabs.table.size(taker);
        let slots = (bytes + bytes / 4) / store.slabs.table.size(drain.class) + 2;
        let Some((reason, page)) = self.step_drain(&mut mover, slots.min(REQUEST_STEP_MAX), now)
        else {
            return false;
        };
        self.deliver(&mut mover, reason, page);
        page.is_some() && matches!(reason, Reason::Need(class) if class == taker)
    }

    /// Gets `taker` a page: a free one, else the one that is being emptied, else any; without
    /// evictions an empty one.
    pub(crate) fn force_page(&mut self, taker: ClassId, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        let mut mover = store.mover.lock();
        if let Some(page) = store.slabs.take_last_page() {
            store.slabs.adopt(taker, page);
            return true;
        }
        if let Some((reason, page)) = self.finish(&mut mover, now) {
            if let Some(page) = page {
                // Whoever wanted it has to begin anew.
                store.slabs.adopt(taker, page);
                return true;
            }
            self.deliver(&mut mover, reason, None);
        }
        if !store.evict {
            let mut others = store
                .slabs
                .table
                .item_classes()
                .filter(|&class| class != taker);
            return others.any(|class| {
                let page = store.slabs.empty_page(class);
                page.is_some_and(|page| self.empty_for(taker, page, &mut mover, now))
            });
        }
        let donors = self.donors(taker);
        donors.iter().any(|&donor| {
            let tries = TRIES.min(store.slabs.page_count(donor)) as usize;
            (0..tries).any(|attempt| {
                let page = store.page_to_give(donor, attempt);
                page.is_some_and(|page| self.empty_for(taker, page, &mut mover, now))
            })
        })
    }

    /// Empties a page at once and gives it to `taker`. False if that cannot be done.
    fn empty_for(&mut self, taker: ClassId, page: PageId, mover: &mut Mover, now: Now) -> bool {
        if !self.begin_drain(mover, page, Reason::Need(taker)) {
            return false;
        }
        let page = self.finish(mover, now).and_then(|(_, page)| page);
        if let Some(page) = page {
            self.store.slabs.adopt(taker, page);
        }
        page.is_some()
    }

    /// Goes on with page moves, or begins one: towards a lowered limit, for the page that is kept
    /// free, by order, of what a class does not need, for balance. True if there is more to do at
    /// once.
    pub(crate) fn move_pages(&mut self, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        let Some(mut mover) = store.mover.try_lock() else {
            return false;
        };
        if mover.drain.is_some() {
            if let Some((reason, page)) = self.step_drain(&mut mover, BACKGROUND_STEP, now) {
                self.deliver(&mut mover, reason, page);
            }
            return true;
        }
        if store.slabs.is_over_limit() {
            return self.shrink(&mut mover);
        }
        if store.slabs.lacks_reserve() && store.evict && self.begin_reserve(&mut mover) {
            return true;
        }
        self.begin_a_move(&mut mover, now)
    }

    /// Begins to bring memory nearer to a lowered limit by a page, or does it with a free one.
    fn shrink(&mut self, mover: &mut Mover) -> bool {
        let store = Arc::clone(&self.store);
        if store.slabs.discard_surplus() {
            return true;
        }
        let donors = self.donors(INDEX);
        let Some(&donor) = donors.get(mover.limit_failures / TRIES as usize) else {
            // What is left is pinned, in flight, or may not be evicted: later.
            mover.limit_failures = 0;
            return false;
        };
        let page = store.page_to_give(donor, mover.limit_failures % TRIES as usize);
        if !page.is_some_and(|page| self.begin_drain(mover, page, Reason::Limit)) {
            mover.limit_failures += 1;
        }
        true
    }

    fn begin_reserve(&self, mover: &mut Mover) -> bool {
        let store = &*self.store;
        let donor = self.donors(INDEX).first().copied();
        let page = donor.and_then(|donor| store.page_to_give(donor, mover.failures));
        page.is_some_and(|page| self.begin_drain(mover, page, Reason::Reserve))
    }
}

impl Store {
    /// The page of `class` to be emptied: the one with the oldest item of a class that evicts those
    /// next, else, or after a failure, the one that the hand has passed last.
    pub(crate) fn page_to_give(&self, class: ClassId, failures: usize) -> Option<PageId> {
        let oldest = || {
            let evicts = self.slabs.demand(class).evicts_from_small();
            evicts.then(|| self.oldest_page(class)).flatten()
        };
        let first = if failures == 0 { oldest() } else { None };
        first.or_else(|| self.page_behind_hand(class))
    }

    /// The page of `class` that the hand has passed last: its items were judged most recently.
    fn page_behind_hand(&self, class: ClassId) -> Option<PageId> {
        let mut state = self.slabs.lock(class);
        let count = state.pages.len();
        if count == 0 {
            return None;
        }
        let behind = (state.hand.0 + count - 1) % count;
        state.hand.0 = behind;
        Some(state.pages[behind])
    }
}
