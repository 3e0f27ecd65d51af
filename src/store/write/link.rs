//! Linking: how a complete new item gets into the index, and what it takes over from an older one.

use crate::base::clock::{Expiry, Now};
use crate::store::evict::ghosts::belongs_to_main;
use crate::store::evict::small::note_fresh;
use crate::store::index::IndexFull;
use crate::store::item::{Header, state};
use crate::store::outcome::{ClassId, StoreError, StoreOutcome, StoreRequest, Stored};
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, RingEntry};
use crate::store::stripe::{Found, Stripe, Unlinked};
use crate::store::table::{HashedKey, Table};
use crate::store::write::Writer;
use crate::store::write::condition::{Verdict, check};

/// A complete, unlinked item on its way into the index.
pub(crate) struct Linking<'a> {
    pub(crate) request: &'a StoreRequest,
    pub(crate) chunk: ChunkRef,
    /// Link only over the item with this CAS counter: what the new value was made from.
    pub(crate) over: Option<u32>,
    pub(crate) heritage: Heritage,
    /// State bits to set besides.
    pub(crate) set: u16,
}

impl<'a> Linking<'a> {
    /// Of what was made from no other item.
    pub(crate) fn new(request: &'a StoreRequest, chunk: ChunkRef) -> Self {
        Self {
            request,
            chunk,
            over: None,
            heritage: Heritage::NONE,
            set: 0,
        }
    }
}

/// What a new item takes over from the live one that it replaces, as that is at that moment. Its
/// place in the queues always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heritage {
    /// State bits.
    pub(crate) state: u16,
    pub(crate) expiry: bool,
    pub(crate) access: bool,
}

impl Heritage {
    pub(crate) const NONE: Self = Self {
        state: 0,
        expiry: false,
        access: false,
    };
    /// Of an item whose value has changed.
    pub(crate) const OF_A_CHANGE: Self = Self {
        state: state::BINARY_KEY | state::STALE | state::WIN_SENT,
        expiry: true,
        access: false,
    };
    /// Of one that is the same, laid out otherwise.
    pub(crate) const ALL: Self = Self {
        state: Self::OF_A_CHANGE.state | state::FETCHED,
        expiry: true,
        access: true,
    };
}

/// How a linking went.
pub(crate) enum Linked {
    /// The request was carried out or refused; the chunks are accounted for. With the new item's
    /// CAS counter and expiry.
    Done(Stored, u32, Expiry),
    /// `over` does not hold any more; the chunks have been freed.
    Changed,
}

/// What a stripe's lock was let go with.
enum Placed {
    In {
        header: Header,
        /// The CAS id that clients see.
        cas: u64,
        /// What was there before, and whether that was dead.
        replaced: Option<(Unlinked, bool)>,
    },
    Refused(StoreOutcome),
    Changed,
}

/// Links a complete item if its request's condition holds; else frees its chunks.
pub(crate) fn link(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    linking: &Linking<'_>,
    now: Now,
) -> Result<Linked, StoreError> {
    let slabs = writer.slabs();
    let place = key.hash.place();
    // Read while the chunk is ours alone: once linked it can be gone at any moment.
    let header = slabs.header(linking.chunk);
    let value_len = slabs.value_len(linking.chunk, header);
    let size = slabs.item_size(linking.chunk, header);
    let class = slabs.class_of(linking.chunk);
    let placed = loop {
        let mut stripe = writer.table().stripe(place);
        match try_link(writer.seat, &mut stripe, key, linking, now) {
            Ok(placed) => break placed,
            Err(IndexFull) => drop(stripe),
        }
        if !writer.supply.feed_index(writer.seat, now) {
            writer.seat.free_chain(linking.chunk);
            return Err(writer.seat.no_memory(class));
        }
    };
    match placed {
        Placed::Changed => {
            writer.seat.free_chain(linking.chunk);
            Ok(Linked::Changed)
        }
        Placed::Refused(outcome) => {
            writer.seat.free_chain(linking.chunk);
            Ok(Linked::Done(
                refusal(outcome, class, value_len),
                0,
                header.expiry(),
            ))
        }
        Placed::In {
            header,
            cas,
            replaced,
        } => {
            let tallies = writer.seat.tallies(class);
            tallies.items.add(1);
            tallies.main.add(u64::from(header.is_main()));
            tallies.linked.add(1);
            tallies.bytes.add(u64::from(size));
            tallies.replaced.add(u64::from(replaced.is_some()));
            match replaced {
                Some((old, true)) => writer.seat.drop_dead(old),
                Some((old, false)) => writer.seat.drop_item(old),
                None => {}
            }
            if !header.is_main() {
                note_fresh(writer.seat, class, RingEntry::new(linking.chunk, place));
            }
            let outcome = StoreOutcome::Stored;
            let stored = Stored {
                outcome,
                cas,
                value_len,
                class,
            };
            Ok(Linked::Done(stored, header.high, header.expiry()))
        }
    }
}

/// The part of [`link`] under the stripe's lock.
fn try_link(
    seat: Seat<'_>,
    stripe: &mut Stripe,
    key: &HashedKey<'_>,
    linking: &Linking<'_>,
    now: Now,
) -> Result<Placed, IndexFull> {
    let table = seat.table;
    let slabs = &table.slabs;
    let fingerprint = table.fingerprint(key.hash);
    let found = stripe.look(slabs, key.key, fingerprint);
    let live = stripe.alive(key.key, found, now);
    if linking.over.is_some() && linking.over != live.map(|found| found.header.high) {
        return Ok(Placed::Changed);
    }
    let stale = match check(table, key.hash.place(), live.as_ref(), linking.request) {
        Verdict::Store { stale } => stale,
        Verdict::Refuse(outcome) => {
            refused(seat, live, now);
            return Ok(Placed::Refused(outcome));
        }
    };
    let ghost = match found {
        Err(absent) if absent.may_have_a_ghost() => stripe.index.take_ghost(slabs, fingerprint),
        _ => None,
    };
    let mut header = slabs.header(linking.chunk);
    header = header.with_version(stripe.next_version());
    header = header_over(header, live.map(|found| found.header), linking);
    if ghost.is_some_and(|epitaph| belongs_to_main(table, linking.chunk, epitaph)) {
        // Asked for again, so proven.
        header.state |= state::MAIN | state::HIT;
    }
    if stale {
        keep_of_stale(&mut header, live.map(|found| found.header));
    }
    slabs.set_header(linking.chunk, header);
    slabs.note_expiry(linking.chunk, header.expiry());
    let cas = table.cas_id(key.hash.place(), linking.chunk, header);
    let replaced = match found {
        Ok(found) => {
            stripe.index.replace(slabs, found.slot, linking.chunk);
            Some((stripe.retire(slabs, found), live.is_none()))
        }
        Err(_) => {
            insert(table, stripe, key, linking.chunk, header)?;
            None
        }
    };
    Ok(Placed::In {
        header,
        cas,
        replaced,
    })
}

fn insert(
    table: &Table,
    stripe: &mut Stripe,
    key: &HashedKey<'_>,
    chunk: ChunkRef,
    header: Header,
) -> Result<(), IndexFull> {
    let buckets = stripe.index.buckets();
    let inserted = stripe
        .index
        .insert(&table.slabs, table.fingerprint(key.hash), chunk);
    if inserted.is_err() {
        let unlinked = Header {
            state: header.state & !(state::LINKED | state::MAIN),
            ..header
        };
        table.slabs.set_header(chunk, unlinked);
        return inserted;
    }
    stripe.index.grow(&table.slabs, table.stripe_bits, |chunk| {
        table.place_of(chunk)
    });
    if stripe.index.buckets() != buckets {
        table.hints.note(key.hash.place(), &stripe.index);
    }
    Ok(())
}

/// [`link`] of what was made from no other item.
pub(crate) fn link_new(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    chunk: ChunkRef,
    now: Now,
) -> Result<Stored, StoreError> {
    match link(writer, key, &Linking::new(request, chunk), now)? {
        Linked::Done(stored, ..) => Ok(stored),
        Linked::Changed => unreachable!("nothing in particular was to be replaced"),
    }
}

/// A refused request is an access all the same to the item in the way.
#[inline(never)]
pub(crate) fn refused(seat: Seat<'_>, live: Option<Found>, now: Now) -> ClassId {
    live.map_or(ClassId(0), |found| {
        let slabs = &seat.table.slabs;
        slabs.set_header_first(found.chunk, found.header.accessed(now));
        seat.count_use(found.chunk, found.header);
        slabs.class_of(found.chunk)
    })
}

/// The header of a new item that replaces `old`, if that was alive.
#[inline]
pub(crate) fn header_over(mut new: Header, old: Option<Header>, linking: &Linking<'_>) -> Header {
    let mut kept = 0;
    if let Some(old) = old {
        let heritage = linking.heritage;
        kept = old.state & (heritage.state | state::MAIN | state::HITS);
        if heritage.expiry {
            new.low = old.low;
        }
        if heritage.access {
            new.access = old.access;
        }
    }
    new.state |= kept | linking.set | state::LINKED;
    if linking.request.binary_key {
        new.state |= state::BINARY_KEY;
    }
    new
}

/// What a stale store keeps of the item it replaces.
pub(crate) fn keep_of_stale(new: &mut Header, old: Option<Header>) {
    new.state |= state::STALE;
    if let Some(old) = old {
        new.state |= old.state & state::WIN_SENT;
        new.low = old.low;
    }
}

/// The answer to a store that was refused.
pub(crate) fn refusal(outcome: StoreOutcome, class: ClassId, value_len: u32) -> Stored {
    Stored {
        outcome,
        cas: 0,
        value_len,
        class,
    }
}
