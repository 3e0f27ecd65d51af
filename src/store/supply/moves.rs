//! Page moves a step at a time: who begins one, who goes on with it, and who gets the page.
//!
//! ```text
//!   begin ──▶ step, step, ... ──▶ end: the page is its new owner's, or its class's again
//! ```
//!
//! One page is being emptied at a time. A request that would like one for its class does no more
//! than its share at each of its refills, by how many bytes it stores, and evicts meanwhile; the
//! background continues what no request continues. Only a request that cannot be served otherwise
//! waits for a whole page. For that a page is kept free, where there are many, so that the first
//! item of a size or the index's next piece finds one at once.

use crate::base::clock::{Now, TICKS_PER_SECOND};
use crate::base::events::{Event, Topics};
use crate::base::settings::Automove;
use crate::store::evict::search::{count_eviction, make_room};
use crate::store::evict::small::{note_fresh, oldest_page};
use crate::store::outcome::{Busy, ClassId};
use crate::store::pages::index_pages::{give_up_index_page, merge_buckets};
use crate::store::pages::mover::{Drain, Mover, Reason, Tenant, Vacated, begin, tenant, vacate};
use crate::store::pages::policy::{donor_for_balance, donor_instead_of_evicting, donors};
use crate::store::pages::surplus::{KEPT, Surplus};
use crate::store::seat::Seat;
use crate::store::slab::{INDEX, PageId};
use crate::store::supply::{FOR_NOBODY, Supply};
use crate::store::table::Table;
use std::sync::atomic::Ordering;

/// Slots that one step of the background empties: up to some 200 us.
const BACKGROUND_STEP: u32 = 512;

/// Slots that one request empties at a refill, at most: up to some 300 us for a chunk of 64 KiB.
const REQUEST_STEP_MAX: u32 = 1024;

/// How many pages of a donor are tried before giving up.
const TRIES: u64 = 4;

/// Chunks that are got at a time for items that move, at most.
const SPARES: usize = 16;

/// Evictions for them at most; after that the rest is left to the next step.
const SPARING_MAX: u64 = 256;

/// How a move has ended: why it was made, and the page if no class owns it now.
type Ended = (Reason, Option<PageId>);

impl Supply {
    /// Begins to empty `page`. False if that cannot be begun.
    pub(super) fn begin(
        &self,
        table: &Table,
        mover: &mut Mover,
        page: PageId,
        reason: Reason,
    ) -> bool {
        if mover.drain.is_some() {
            return false;
        }
        mover.drain = begin(table, page, reason);
        let taker = match reason {
            Reason::Need(taker) => taker.0,
            _ => FOR_NOBODY,
        };
        if mover.drain.is_some() {
            self.drained_for.store(taker, Ordering::Relaxed);
        }
        mover.drain.is_some()
    }

    /// Goes on with the page that is being emptied, for up to `slots` of its slots. `None` if it is
    /// not done.
    fn step(&self, seat: Seat<'_>, mover: &mut Mover, slots: u32, now: Now) -> Option<Ended> {
        let slabs = &seat.table.slabs;
        let drain = mover.drain.as_mut()?;
        let end = slabs.slots_used(drain.page, drain.class).end;
        let until = end.min(drain.slot.saturating_add(slots));
        while drain.slot < until {
            if !self.empty_slot(seat, drain, now) {
                return None;
            }
            drain.slot += 1;
        }
        if drain.slot < end {
            return None;
        }
        let drain = mover.drain.take()?;
        Some((drain.reason, self.end(seat, drain)))
    }

    /// Gets what is in the drain's slot out of it, if that can be done. False if enough has been
    /// evicted for this step.
    fn empty_slot(&self, seat: Seat<'_>, drain: &mut Drain, now: Now) -> bool {
        let table = seat.table;
        let evicts = drain.evicts() && self.evict;
        let chunk = table.slabs.chunk_in(drain.page, drain.class, drain.slot);
        let (head, hash) = match tenant(table, chunk) {
            Tenant::Nobody => return true,
            Tenant::Leaving => {
                drain.busy = Some(Busy::Sending);
                return true;
            }
            Tenant::Item(head, hash) => (head, hash),
        };
        // Before the stripe is locked.
        if drain.spares.is_empty() && !gather_spares(seat, drain, evicts, now) {
            return false;
        }
        let vacated = vacate(seat, (head, hash), chunk, evicts, &mut drain.spares, now);
        if let Vacated::Stays(why) = vacated {
            drain.busy = Some(why);
        }
        account(seat, vacated, now);
        true
    }

    /// The page if all its chunks are free.
    fn end(&self, seat: Seat<'_>, drain: Drain) -> Option<PageId> {
        self.drained_for.store(FOR_NOBODY, Ordering::Relaxed);
        for spare in drain.spares {
            seat.free_chunk(spare);
        }
        let held = seat.table.slabs.finish_drain(drain.page);
        if seat.is_watched(Topics::SYSEVENTS) {
            seat.tell(Event::PageMove {
                source: drain.class.0,
                target: drain.reason.target(),
                is_done: held == 0,
            });
        }
        if held > 0 {
            seat.tallies(drain.class).move_busy.add(u64::from(held));
            *self.last_busy.lock() = drain.busy.or(Some(Busy::Arriving));
            return None;
        }
        seat.tallies(drain.class).pages_lost.add(1);
        Some(drain.page)
    }

    /// Steps until the page that is being emptied is done.
    fn finish(&self, seat: Seat<'_>, mover: &mut Mover, now: Now) -> Option<Ended> {
        while mover.drain.is_some() {
            let done = self.step(seat, mover, u32::MAX, now);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// Gives the page of a move that has ended to whom it was for.
    fn deliver(&self, table: &Table, mover: &mut Mover, (reason, page): Ended) {
        let slabs = &table.slabs;
        match (reason, page) {
            (Reason::Need(taker) | Reason::Balance(taker), Some(page)) => {
                slabs.adopt(taker, page);
                let is_needed = matches!(reason, Reason::Need(_));
                slabs.demand(taker).set_growing(is_needed);
            }
            (Reason::Limit | Reason::Reserve | Reason::Surplus, Some(page)) => {
                slabs.return_page(page);
            }
            (Reason::Order(order), page) => self.carry_out(slabs, order, page),
            (_, None) => {}
        }
        mover.note(reason, page.is_some());
    }

    /// Does a request's share of getting its class a page instead of evicting its items, if another
    /// class should give it one. True if the class has got one.
    pub(super) fn share_page_move(
        &self,
        seat: Seat<'_>,
        taker: ClassId,
        want: usize,
        now: Now,
    ) -> bool {
        let table = seat.table;
        let slabs = &table.slabs;
        let is_mine = self.drained_for.load(Ordering::Relaxed) == taker.0;
        let donor = if is_mine {
            None
        } else {
            donor_instead_of_evicting(slabs, taker, self.readiness())
        };
        if !is_mine && donor.is_none() {
            slabs.demand(taker).set_growing(false);
            return false;
        }
        // Somebody is moving a page: evicting is quicker than waiting for it.
        let Some(mut mover) = self.mover.try_lock() else {
            return false;
        };
        if mover.drain.is_none() {
            let page = donor.and_then(|donor| page_to_give(table, donor, mover.failures));
            page.map(|page| self.begin(table, &mut mover, page, Reason::Need(taker)));
        }
        let Some(drain) = mover.drain.as_mut() else {
            return false;
        };
        let can_wait = match drain.reason {
            Reason::Reserve => true,
            Reason::Need(other) => other != taker && slabs.spare_pages(other) > 1,
            _ => false,
        };
        if can_wait {
            drain.reason = Reason::Need(taker);
            self.drained_for.store(taker.0, Ordering::Relaxed);
        }
        // As much as the request takes, and a quarter more: so the class grows.
        let bytes = want as u32 * slabs.sizes.size(taker);
        let slots = (bytes + bytes / 4) / slabs.sizes.size(drain.class) + 2;
        let Some(ended) = self.step(seat, &mut mover, slots.min(REQUEST_STEP_MAX), now) else {
            return false;
        };
        self.deliver(table, &mut mover, ended);
        let (reason, page) = ended;
        page.is_some() && matches!(reason, Reason::Need(class) if class == taker)
    }

    /// Gets `taker` a page: a free one, else the one that is being emptied, else any; without
    /// evictions an empty one.
    pub(crate) fn force_page(&self, seat: Seat<'_>, taker: ClassId, now: Now) -> bool {
        let table = seat.table;
        let slabs = &table.slabs;
        let mut mover = self.mover.lock();
        if let Some(page) = slabs.take_last_page() {
            slabs.adopt(taker, page);
            return true;
        }
        if let Some((reason, page)) = self.finish(seat, &mut mover, now) {
            if let Some(page) = page {
                // Whoever wanted it has to begin anew.
                slabs.adopt(taker, page);
                return true;
            }
            self.deliver(table, &mut mover, (reason, None));
        }
        let mut empty = |page| self.empty_for(seat, taker, page, &mut mover, now);
        if !self.evict {
            let mut others = slabs.sizes.item_classes().filter(|&class| class != taker);
            return others.any(|class| slabs.empty_page(class).is_some_and(&mut empty));
        }
        donors(slabs, taker).iter().any(|&donor| {
            let tries = TRIES.min(slabs.page_count(donor)) as usize;
            (0..tries).any(|attempt| page_to_give(table, donor, attempt).is_some_and(&mut empty))
        })
    }

    /// Empties a page at once and gives it to `taker`. False if that cannot be done.
    fn empty_for(
        &self,
        seat: Seat<'_>,
        taker: ClassId,
        page: PageId,
        mover: &mut Mover,
        now: Now,
    ) -> bool {
        if !self.begin(seat.table, mover, page, Reason::Need(taker)) {
            return false;
        }
        let page = self.finish(seat, mover, now).and_then(|(_, page)| page);
        if let Some(page) = page {
            seat.table.slabs.adopt(taker, page);
        }
        page.is_some()
    }

    /// Goes on with page moves, or begins one: towards a lowered limit, for the page that is kept
    /// free, by order, of what a class or the index does not need, for balance. True if there is
    /// more to do at once.
    pub(crate) fn move_pages(&self, seat: Seat<'_>, now: Now) -> bool {
        let table = seat.table;
        let Some(mut mover) = self.mover.try_lock() else {
            return false;
        };
        if mover.drain.is_some() {
            if let Some(ended) = self.step(seat, &mut mover, BACKGROUND_STEP, now) {
                self.deliver(table, &mut mover, ended);
            }
            return true;
        }
        let merged = merge_buckets(table, &mut mover.stripe);
        if table.slabs.is_over_limit() {
            return self.shrink(table, &mut mover) || merged;
        }
        if table.slabs.lacks_reserve() && self.evict && self.begin_reserve(table, &mut mover) {
            return true;
        }
        if self.follow_order(seat, &mut mover) {
            return true;
        }
        self.begin_by_itself(table, &mut mover, now) || merged
    }

    /// Begins to bring memory nearer to a lowered limit by a page, or does it with a free one.
    fn shrink(&self, table: &Table, mover: &mut Mover) -> bool {
        if table.slabs.decommit_surplus() || give_up_index_page(table, true) {
            return true;
        }
        let donors = donors(&table.slabs, INDEX);
        let Some(&donor) = donors.get(mover.limit_failures / TRIES as usize) else {
            // What is left is pinned, in flight, or may not be evicted: later.
            mover.limit_failures = 0;
            return false;
        };
        let page = page_to_give(table, donor, mover.limit_failures % TRIES as usize);
        if !page.is_some_and(|page| self.begin(table, mover, page, Reason::Limit)) {
            mover.limit_failures += 1;
        }
        true
    }

    fn begin_reserve(&self, table: &Table, mover: &mut Mover) -> bool {
        let donor = donors(&table.slabs, INDEX).first().copied();
        let page = donor.and_then(|donor| page_to_give(table, donor, mover.failures));
        page.is_some_and(|page| self.begin(table, mover, page, Reason::Reserve))
    }

    /// Begins to move a page that its class does not need, or for balance. True if there is more to
    /// do at once.
    fn begin_by_itself(&self, table: &Table, mover: &mut Mover, now: Now) -> bool {
        if self.readiness() == Automove::ByNeed {
            mover.surplus = Surplus::default();
            return false;
        }
        if give_up_index_page(table, false) {
            return true;
        }
        let window = u64::from(self.automove_window_s()) * TICKS_PER_SECOND;
        mover.surplus.look(&table.slabs, window, now);
        if let Some(class) = mover.surplus.take()
            && self.give_up_page(table, class, mover)
        {
            return true;
        }
        self.balance(table, mover) || !mover.surplus.is_empty()
    }

    /// Begins to give a page of `class` to the pool, if it still has more free than it keeps.
    fn give_up_page(&self, table: &Table, class: ClassId, mover: &mut Mover) -> bool {
        if table.slabs.spare_pages(class) <= KEPT {
            return false;
        }
        // Another one than last time, in case that could not be emptied.
        let page = table.slabs.emptiest_page(class, mover.surplus.last);
        mover.surplus.last = page;
        page.is_some_and(|page| self.begin(table, mover, page, Reason::Surplus))
    }

    /// Begins to move a page from the class with the least pull to that with the greatest, if it
    /// is time and worth it. True if it did.
    fn balance(&self, table: &Table, mover: &mut Mover) -> bool {
        let slabs = &table.slabs;
        let (allocated, page_size) = (slabs.allocated(), slabs.geometry.page_size() as u64);
        if !mover.pace.is_due(allocated) {
            return false;
        }
        let Some((donor, taker)) = donor_for_balance(slabs) else {
            mover.pace.skip(allocated, page_size);
            return false;
        };
        mover.pace.count(allocated, page_size);
        let page = page_to_give(table, donor, mover.failures);
        page.is_some_and(|page| self.begin(table, mover, page, Reason::Balance(taker)))
    }
}

/// Chunks for items that are moving out of a drain's page, without a new page; there may be none.
/// False if that has to wait for the next step.
fn gather_spares(seat: Seat<'_>, drain: &mut Drain, evict: bool, now: Now) -> bool {
    let slabs = &seat.table.slabs;
    let class = drain.class;
    let slots_left = slabs.slots_used(drain.page, class).end - drain.slot;
    let want = SPARES.min(slots_left as usize);
    if slabs.lock(class).free > 0 {
        slabs.take(class, want, &mut drain.spares);
        return true;
    }
    let is_done = !evict || make_room(seat, class, (want, SPARING_MAX), now, &mut drain.spares);
    // What could not be moved without evicting; at least the item at hand.
    let missing = drain.spares.len().max(1) as u64;
    seat.tallies(class).move_no_memory.add(missing);
    !drain.spares.is_empty() || is_done
}

/// Counts what became of an item, and frees what it has left.
fn account(seat: Seat<'_>, vacated: Vacated, now: Now) {
    match vacated {
        Vacated::Stays(_) | Vacated::Nothing => {}
        Vacated::Dead(gone) => {
            seat.tallies(gone.class).reclaimed.add(1);
            seat.drop_dead(gone);
        }
        Vacated::Evicted(gone) => {
            count_eviction(seat, &gone, now);
            seat.drop_item(gone);
        }
        Vacated::Relocated {
            from,
            is_part,
            fresh,
        } => {
            let class = seat.table.slabs.class_of(from);
            let tallies = seat.tallies(class);
            let rescued = if is_part {
                &tallies.chunks_rescued
            } else {
                &tallies.rescued
            };
            rescued.add(1);
            seat.free_chunk(from);
            if let Some(entry) = fresh {
                note_fresh(seat, class, entry);
            }
        }
    }
}

/// The page of `class` to be emptied: one with nothing in it, else the one with the oldest item of
/// a class that evicts those next, else, or after a failure, the one that the hand has passed last.
pub(super) fn page_to_give(table: &Table, class: ClassId, failures: usize) -> Option<PageId> {
    let oldest = || {
        let evicts = table.slabs.demand(class).evicts_from_small();
        evicts.then(|| oldest_page(table, class)).flatten()
    };
    let first = if failures == 0 {
        table.slabs.empty_page(class).or_else(oldest)
    } else {
        None
    };
    first.or_else(|| page_behind_hand(table, class))
}

/// The page of `class` that the hand has passed last: its items were looked at most recently.
fn page_behind_hand(table: &Table, class: ClassId) -> Option<PageId> {
    let mut state = table.slabs.lock(class);
    let count = state.pages.len();
    if count == 0 {
        return None;
    }
    let behind = (state.hand.0 + count - 1) % count;
    state.hand.0 = behind;
    Some(state.pages[behind])
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
            let largest = i32::from(store.table.slabs.sizes.largest().0);
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

    #[test]
    fn an_item_is_counted_out_of_its_class_though_its_page_has_another_one() {
        let settings = StoreSettings {
            memory_limit: 2 << 20,
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut lane = store.lane(0);
        let now = Now::at_second(5);
        let request = StoreRequest::default();
        let key = lane.hashed(Key::new(b"sent").unwrap());
        lane.put(&key, &request, &[b's'; 9_000], now).unwrap();
        let Fetched::Hit(pin) = lane.fetch(&key, Fetch::default(), now, |item| item.pin()) else {
            panic!("it is there");
        };
        let table = &store.table;
        let gone = {
            let mut stripe = table.stripe(key.hash.place());
            let fingerprint = table.fingerprint(key.hash);
            let found = stripe.look(&table.slabs, key.key, fingerprint).unwrap();
            stripe.unlink(&table.slabs, fingerprint.bits, found)
        };
        // It is sent before it is counted out, and others need the page.
        drop(pin);
        let key = lane.hashed(Key::new(b"other").unwrap());
        let other = lane.put(&key, &request, b"value", now).unwrap().class;
        while table.slabs.class_of(gone.chunk) == gone.class {
            let forced = store.supply.force_page(lane.seat(), other, now);
            assert!(forced, "there is a page to be had");
        }
        lane.seat().drop_item(gone);
        store.validate();
    }
}
