//! Storing: judging a request against what is there, overwriting in place, linking new items.

use crate::base::clock::{Expiry, Now};
use crate::base::hash::Place;
use crate::store::index::{IndexFull, Print};
use crate::store::item::{Header, Shape, access_at, state};
use crate::store::lane::Lane;
use crate::store::outcome::{ClassId, StoreError, StoreMode, StoreOutcome, StoreRequest, Stored};
use crate::store::slab::{ChunkRef, RingEntry};
use crate::store::stripe::{Found, Stripe, Unlinked};
use crate::store::{HashedKey, Store};

/// Whether a request's condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does; `stale` when it does so by invalidation.
    Store {
        /// Store marked stale, keeping expiry and win token.
        stale: bool,
    },
    /// It does not.
    Refuse(StoreOutcome),
}

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

impl Store {
    /// Judges `request` against the live item under its key, if there is one.
    #[inline]
    pub(crate) fn judge(
        &self,
        place: Place,
        live: Option<&Found>,
        request: &StoreRequest,
    ) -> Verdict {
        if request.mode == StoreMode::Set && request.compare.is_none() {
            return Verdict::Store { stale: false };
        }
        self.judge_condition(place, live.copied(), request)
    }

    #[inline(never)]
    fn judge_condition(
        &self,
        place: Place,
        live: Option<Found>,
        request: &StoreRequest,
    ) -> Verdict {
        let id = live.map(|found| self.cas_id(place, found.chunk, found.header));
        match (request.mode, request.compare, id) {
            (StoreMode::Add, _, Some(_)) => Verdict::Refuse(StoreOutcome::NotStored),
            (StoreMode::Add, _, None) => Verdict::Store { stale: false },
            (StoreMode::Append | StoreMode::Prepend, _, None) => {
                Verdict::Refuse(StoreOutcome::NotStored)
            }
            (_, Some(_), None) => Verdict::Refuse(StoreOutcome::NotFound),
            (StoreMode::Replace, None, None) => Verdict::Refuse(StoreOutcome::NotStored),
            (_, Some(wanted), Some(id)) if wanted != id || wanted == 0 => {
                let older = request.invalidate && wanted != 0 && wanted < id;
                if older && matches!(request.mode, StoreMode::Set | StoreMode::Replace) {
                    Verdict::Store { stale: true }
                } else {
                    Verdict::Refuse(StoreOutcome::Exists)
                }
            }
            _ => Verdict::Store { stale: false },
        }
    }

    /// The shape of the item that `request` asks for.
    #[inline]
    pub(crate) fn shape(
        &self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value_len: usize,
    ) -> Result<Shape, StoreError> {
        if value_len > self.value_len_max as usize {
            return Err(StoreError::TooLarge);
        }
        Ok(Shape {
            key_len: key.key.as_bytes().len(),
            client_flags: request.client_flags,
            explicit_cas: request.explicit_cas.filter(|_| self.cas),
            value_len: value_len as u32,
        })
    }

    /// The class of an item's first chunk.
    pub(crate) fn first_class(&self, shape: Shape) -> ClassId {
        self.slabs.table.piece(shape.first_len())
    }

    /// Whether an item of `shape` can take the place of one with this header in a chunk of `class`.
    #[inline]
    pub(crate) fn fits_in_place(&self, header: Header, class: ClassId, shape: Shape) -> bool {
        !header.has(state::PINNED | state::CHAINED)
            && self.slabs.table.fitting(shape.whole_len()) == Some(class)
    }

    /// Whether an item with this header that is overwritten is to be as young as a new one. Its
    /// entry in the ring says when it came; so it gets another chunk, and a new entry with that.
    ///
    /// Items of the main queue stay where they are: popular to write is not popular to read.
    #[inline]
    fn is_to_be_renewed(&self, header: Header, class: ClassId) -> bool {
        !header.has(state::MAIN) && self.slabs.demand(class).has_evicted()
    }

    /// The header of a new item that replaces `old`, if that was alive.
    #[inline]
    fn header_over(&self, mut new: Header, old: Option<Header>, linking: &Linking<'_>) -> Header {
        let mut kept = 0;
        if let Some(old) = old {
            let heritage = linking.heritage;
            kept = old.state & (heritage.state | state::MAIN | state::FREQ);
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
    fn keep_of_stale(new: &mut Header, old: Option<Header>) {
        new.state |= state::STALE;
        if let Some(old) = old {
            new.state |= old.state & state::WIN_SENT;
            new.low = old.low;
        }
    }
}

impl Lane {
    /// Stores a value that has arrived whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooLarge`] for values over the item size limit, [`StoreError::OutOfMemory`]
    /// when evictions are off and memory is full.
    pub fn put(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[u8],
        now: Now,
    ) -> Result<Stored, StoreError> {
        let shape = self.store.shape(key, request, value.len())?;
        if matches!(request.mode, StoreMode::Append | StoreMode::Prepend) {
            return self.extend(key, request, value, now);
        }
        if shape.is_chained() {
            return self.put_chained(key, request, value, now);
        }
        if let Some(answer) = self.put_in_place(key, request, shape, value, now) {
            return Ok(answer);
        }
        let chunk = self.new_item(key, request.expiry, shape, now)?;
        let slabs = &self.store.slabs;
        slabs
            .arena
            .write(slabs.part_at(chunk, slabs.header(chunk)), value);
        self.link_new(key, request, chunk, now)
    }

    /// [`link`](Self::link) of what was made from no other item.
    pub(crate) fn link_new(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        chunk: ChunkRef,
        now: Now,
    ) -> Result<Stored, StoreError> {
        match self.link(key, &Linking::new(request, chunk), now)? {
            Linked::Done(stored, ..) => Ok(stored),
            Linked::Changed => unreachable!("nothing in particular was to be replaced"),
        }
    }

    fn put_chained(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[u8],
        now: Now,
    ) -> Result<Stored, StoreError> {
        let mut upload = self.begin(key, request, value.len() as u32, now)?;
        if let Err(error) = self.fill(&mut upload, value, now) {
            self.abandon(upload);
            return Err(error);
        }
        self.commit(upload, now)
    }

    /// A chunk with everything of a new item but its value, not linked.
    pub(crate) fn new_item(
        &mut self,
        key: &HashedKey<'_>,
        expiry: Expiry,
        shape: Shape,
        now: Now,
    ) -> Result<ChunkRef, StoreError> {
        let class = self.store.first_class(shape);
        let chunk = self
            .take_chunk(class, now)
            .ok_or_else(|| self.no_memory(class))?;
        let blank = Header {
            key_len: 0,
            access: access_at(now),
            part_len: 0,
            epoch: 0,
            state: 0,
            low: expiry.to_bits(),
            high: 0,
        };
        self.store
            .slabs
            .write_item_head(chunk, blank, key.key, shape);
        Ok(chunk)
    }

    /// Counts a store that found no memory.
    pub(crate) fn no_memory(&self, class: ClassId) -> StoreError {
        self.tallies(class).out_of_memory.add(1);
        StoreError::OutOfMemory
    }

    /// Carries the request out under one lock, if no new chunk is needed for that.
    #[inline]
    fn put_in_place(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        shape: Shape,
        value: &[u8],
        now: Now,
    ) -> Option<Stored> {
        let store = &*self.store;
        let place = key.hash.place();
        let mut stripe = store.stripe(place);
        let found = stripe.look(&store.slabs, key, Print::new(key.hash, store.stripe_bits));
        let live = stripe.alive(key.key, found, now);
        let stale = match store.judge(place, live.as_ref(), request) {
            Verdict::Store { stale } => stale,
            Verdict::Refuse(outcome) => {
                let class = self.refused(live, now);
                return Some(refusal(outcome, class, shape.value_len));
            }
        };
        let found = live?;
        let class = store.slabs.class_of(found.chunk);
        if !store.fits_in_place(found.header, class, shape)
            || store.is_to_be_renewed(found.header, class)
        {
            return None;
        }
        let before = store.slabs.item_size(found.chunk, found.header);
        let linking = Linking::new(request, found.chunk);
        let blank = Header {
            key_len: found.header.key_len,
            access: access_at(now),
            part_len: shape.value_len,
            epoch: 0,
            state: 0,
            low: request.expiry.to_bits(),
            high: 0,
        };
        let blank = blank.with_version(stripe.next_version());
        let mut header = store.header_over(blank, Some(found.header), &linking);
        if stale {
            Store::keep_of_stale(&mut header, Some(found.header));
        }
        store.slabs.write_options(found.chunk, header, shape);
        let value_at = store.slabs.offset(found.chunk) + shape.value_offset();
        store.slabs.arena.write(value_at, value);
        store.slabs.note_expiry(found.chunk, header.expiry());
        drop(stripe);
        let cas = store.cas_shown(place, shape.explicit_cas, header.high);
        let tallies = self.tallies(class);
        tallies.linked.add(1);
        tallies.replaced.add(1);
        let grown = (shape.whole_len() as u64).wrapping_sub(u64::from(before));
        tallies.bytes.add(grown);
        Some(Stored {
            outcome: StoreOutcome::Stored,
            cas,
            value_len: shape.value_len,
            class,
        })
    }

    /// A refused request is an access all the same to the item in the way.
    #[inline(never)]
    fn refused(&self, live: Option<Found>, now: Now) -> ClassId {
        live.map_or(ClassId(0), |found| {
            self.store
                .slabs
                .set_header_first(found.chunk, found.header.accessed(now));
            self.count_use(found.chunk, found.header);
            self.store.slabs.class_of(found.chunk)
        })
    }

    /// Links a complete item if its request's condition holds; else frees its chunks.
    pub(crate) fn link(
        &mut self,
        key: &HashedKey<'_>,
        linking: &Linking<'_>,
        now: Now,
    ) -> Result<Linked, StoreError> {
        let slabs = &self.store.slabs;
        let place = key.hash.place();
        // Read while the chunk is ours alone: once linked it can be gone at any moment.
        let header = slabs.header(linking.chunk);
        let value_len = slabs.value_len(linking.chunk, header);
        let size = slabs.item_size(linking.chunk, header);
        let class = slabs.class_of(linking.chunk);
        let placed = loop {
            let mut stripe = self.store.stripe(place);
            match self.try_link(&mut stripe, key, linking, now) {
                Ok(placed) => break placed,
                Err(IndexFull) => drop(stripe),
            }
            if !self.feed_index(now) {
                self.free_chain(linking.chunk);
                return Err(self.no_memory(class));
            }
        };
        match placed {
            Placed::Changed => {
                self.free_chain(linking.chunk);
                Ok(Linked::Changed)
            }
            Placed::Refused(outcome) => {
                self.free_chain(linking.chunk);
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
                let tallies = self.tallies(class);
                tallies.items.add(1);
                tallies.main.add(u64::from(header.has(state::MAIN)));
                tallies.linked.add(1);
                tallies.bytes.add(u64::from(size));
                tallies.replaced.add(u64::from(replaced.is_some()));
                match replaced {
                    Some((old, true)) => self.discard_dead(old),
                    Some((old, false)) => self.discard(old),
                    None => {}
                }
                if !header.has(state::MAIN) {
                    self.note_fresh(class, RingEntry::new(linking.chunk, place));
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

    /// The part of [`link`](Self::link) under the stripe's lock.
    fn try_link(
        &self,
        stripe: &mut Stripe,
        key: &HashedKey<'_>,
        linking: &Linking<'_>,
        now: Now,
    ) -> Result<Placed, IndexFull> {
        let store = &*self.store;
        let slabs = &store.slabs;
        let print = Print::new(key.hash, store.stripe_bits);
        let found = stripe.look(slabs, key, print);
        let live = stripe.alive(key.key, found, now);
        if linking.over.is_some() && linking.over != live.map(|found| found.header.high) {
            return Ok(Placed::Changed);
        }
        let stale = match store.judge(key.hash.place(), live.as_ref(), linking.request) {
            Verdict::Store { stale } => stale,
            Verdict::Refuse(outcome) => {
                self.refused(live, now);
                return Ok(Placed::Refused(outcome));
            }
        };
        let ghost = match found {
            Err(absent) if absent.may_have_a_ghost() => stripe.index.take_ghost(slabs, print),
            _ => None,
        };
        let mut header = slabs.header(linking.chunk);
        header = header.with_version(stripe.next_version());
        header = store.header_over(header, live.map(|found| found.header), linking);
        if ghost.is_some_and(|epitaph| store.belongs_to_main(linking.chunk, epitaph)) {
            // Asked for again, so proven.
            header.state |= state::MAIN | state::FREQ_ONE;
        }
        if stale {
            Store::keep_of_stale(&mut header, live.map(|found| found.header));
        }
        slabs.set_header(linking.chunk, header);
        slabs.note_expiry(linking.chunk, header.expiry());
        let cas = store.cas_id(key.hash.place(), linking.chunk, header);
        let replaced = match found {
            Ok(found) => {
                stripe.index.replace(slabs, found.slot, linking.chunk);
                Some((stripe.retire(slabs, found), live.is_none()))
            }
            Err(_) => {
                self.insert(stripe, key, linking.chunk, header)?;
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
        &self,
        stripe: &mut Stripe,
        key: &HashedKey<'_>,
        chunk: ChunkRef,
        header: Header,
    ) -> Result<(), IndexFull> {
        let store = &*self.store;
        let buckets = stripe.index.buckets();
        let inserted = stripe.index.insert(&store.slabs, self.print(key), chunk);
        if inserted.is_err() {
            let unlinked = Header {
                state: header.state & !(state::LINKED | state::MAIN),
                ..header
            };
            store.slabs.set_header(chunk, unlinked);
            return inserted;
        }
        stripe.index.grow(&store.slabs, store.stripe_bits, |chunk| {
            store.place_of(chunk)
        });
        if stripe.index.buckets() != buckets {
            store.hints.note(key.hash.place(), &stripe.index);
        }
        Ok(())
    }
}

fn refusal(outcome: StoreOutcome, class: ClassId, value_len: u32) -> Stored {
    Stored {
        outcome,
        cas: 0,
        value_len,
        class,
    }
}
