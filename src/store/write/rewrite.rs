//! Replacing an item by one that is made from it: append and prepend, numbers that outgrow their
//! chunk, items without their value or with room for a CAS id.

use crate::base::clock::{Expiry, Now};
use crate::store::item::{Shape, state};
use crate::store::lane::Lane;
use crate::store::outcome::{StoreError, StoreMode, StoreOutcome, StoreRequest, Stored};
use crate::store::read::pin::{PinnedValue, pin_chunk};
use crate::store::slab::{ChunkRef, WHOLE_MAX};
use crate::store::stripe::{Found, Stripe};
use crate::store::write::put::{Heritage, Linked, Linking, Verdict};
use crate::store::write::upload::Upload;
use crate::store::{COPY_MAX, HashedKey};

/// The item that another one is made from, as it was. It is pinned, so that making room for the new
/// one does not evict it.
pub(crate) struct Base {
    pub(crate) found: Found,
    pub(crate) shape: Shape,
    pub(crate) pin: PinnedValue,
}

/// What a new value is put together from.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// The value of an unlinked item.
    Chunks(ChunkRef),
    Pinned(&'a PinnedValue),
}

impl Lane {
    /// What has been found, as a base.
    pub(crate) fn base(&self, key: &HashedKey<'_>, stripe: &mut Stripe, found: Found) -> Base {
        let slabs = &self.store.slabs;
        let shape = slabs.shape_of(found.chunk, found.header);
        let mut pinned = found.header;
        pinned.state |= state::PINNED;
        let place = key.hash.place();
        let pin = pin_chunk(&self.store, stripe, place, found.chunk, pinned.words());
        Base { found, shape, pin }
    }

    /// A new item's value, complete.
    pub(crate) fn assemble(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[Piece<'_>],
        now: Now,
    ) -> Result<Upload, StoreError> {
        let len = value.iter().map(|&piece| self.piece_len(piece)).sum();
        let mut upload = self.begin(key, request, len, now)?;
        for &piece in value {
            if let Err(error) = self.fill_piece(&mut upload, piece, now) {
                self.abandon(upload);
                return Err(error);
            }
        }
        Ok(upload)
    }

    /// Puts a new item in the place of `base`, and says when it expires; `None` if another one is
    /// there meanwhile. `set` are state bits besides what it inherits.
    pub(crate) fn rewrite(
        &mut self,
        key: &HashedKey<'_>,
        base: Base,
        made: Upload,
        (heritage, set): (Heritage, u16),
        now: Now,
    ) -> Result<Option<(Stored, Expiry)>, StoreError> {
        let (request, chunk) = made.into_parts();
        let linking = Linking {
            request: &request,
            chunk,
            over: Some(base.found.header.high),
            heritage,
            set,
        };
        // The old chunks are free as soon as the new ones are linked.
        drop(base);
        Ok(match self.link(key, &linking, now)? {
            Linked::Done(stored, _, expiry) => Some((stored, expiry)),
            Linked::Changed => None,
        })
    }

    /// Append or prepend, by the request's mode.
    pub(crate) fn extend(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[u8],
        now: Now,
    ) -> Result<Stored, StoreError> {
        self.extend_by(key, request, Piece::Bytes(value), now)
    }

    /// The same with the value of an unlinked item, which stays the caller's.
    pub(crate) fn extend_by_item(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        first: ChunkRef,
        now: Now,
    ) -> Result<Stored, StoreError> {
        self.extend_by(key, request, Piece::Chunks(first), now)
    }

    fn extend_by(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        addition: Piece<'_>,
        now: Now,
    ) -> Result<Stored, StoreError> {
        let added = self.piece_len(addition);
        // Somebody else's success is the only thing that sends us round again.
        loop {
            let base = match self.base_to_extend(key, request, added, now) {
                Ok(base) => base,
                Err((StoreOutcome::NotStored, false)) if request.vivify.is_some() => {
                    return self.create_from(key, request, addition, now);
                }
                Err((outcome, _)) => return Ok(self.not_extended(outcome, added)),
            };
            let combined = StoreRequest {
                mode: StoreMode::Set,
                client_flags: base.shape.client_flags,
                compare: None,
                ..*request
            };
            let value = match request.mode {
                StoreMode::Append => [Piece::Pinned(&base.pin), addition],
                _ => [addition, Piece::Pinned(&base.pin)],
            };
            let rewritten = self
                .assemble(key, &combined, &value, now)
                .and_then(|made| self.rewrite(key, base, made, (Heritage::OF_A_CHANGE, 0), now));
            match rewritten {
                Ok(None) => {}
                Ok(Some((stored, _))) => return Ok(stored),
                // memcached's word for a combined value that finds no room; the old one stays.
                Err(_) => return Ok(self.not_extended(StoreOutcome::NotStored, added)),
            }
        }
    }

    fn not_extended(&self, outcome: StoreOutcome, added: u32) -> Stored {
        Stored {
            outcome,
            cas: 0,
            value_len: added,
            class: self.store.slabs.table.largest(),
        }
    }

    /// The item to extend by so many bytes; `Err` is a refusal, and whether there is an item all
    /// the same.
    fn base_to_extend(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        added: u32,
        now: Now,
    ) -> Result<Base, (StoreOutcome, bool)> {
        let store = &*self.store;
        let place = key.hash.place();
        let mut stripe = store.stripe(place);
        let found = stripe.look(&store.slabs, key, self.print(key));
        let live = stripe.alive(key.key, found, now);
        let checked = StoreRequest {
            compare: request.compare.filter(|&id| id != 0),
            ..*request
        };
        if let Verdict::Refuse(outcome) = store.judge(place, live.as_ref(), &checked) {
            return Err((outcome, live.is_some()));
        }
        let found = live.expect("an append without an item is refused above");
        let value_len = store.slabs.value_len(found.chunk, found.header);
        if u64::from(value_len) + u64::from(added) > u64::from(store.value_len_max) {
            return Err((StoreOutcome::NotStored, true));
        }
        Ok(self.base(key, &mut stripe, found))
    }

    /// Stores the addition alone, under a key that had no item.
    fn create_from(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        addition: Piece<'_>,
        now: Now,
    ) -> Result<Stored, StoreError> {
        let fresh = StoreRequest {
            mode: StoreMode::Add,
            expiry: request.vivify.unwrap_or(request.expiry),
            ..*request
        };
        let upload = self.assemble(key, &fresh, &[addition], now)?;
        self.commit(upload, now)
    }

    fn piece_len(&self, piece: Piece<'_>) -> u32 {
        match piece {
            Piece::Bytes(bytes) => bytes.len() as u32,
            Piece::Chunks(first) => {
                let slabs = &self.store.slabs;
                slabs.value_len(first, slabs.header(first))
            }
            Piece::Pinned(pin) => pin.len(),
        }
    }

    fn fill_piece(
        &mut self,
        upload: &mut Upload,
        piece: Piece<'_>,
        now: Now,
    ) -> Result<(), StoreError> {
        let mut chunk = match piece {
            Piece::Bytes(bytes) => return self.fill(upload, bytes, now),
            Piece::Chunks(first) => first,
            Piece::Pinned(pin) => return self.fill_pinned(upload, pin, now),
        };
        let mut part = Vec::with_capacity(WHOLE_MAX as usize);
        while !chunk.is_none() {
            let slabs = &self.store.slabs;
            let header = slabs.header(chunk);
            part.clear();
            let (at, len) = (slabs.part_at(chunk, header), header.part_len as usize);
            slabs.arena.append(at, len, &mut part);
            chunk = slabs.next(chunk, header);
            self.fill(upload, &part, now)?;
        }
        Ok(())
    }

    fn fill_pinned(
        &mut self,
        upload: &mut Upload,
        pin: &PinnedValue,
        now: Now,
    ) -> Result<(), StoreError> {
        let mut part = std::mem::take(&mut self.joined);
        part.resize(COPY_MAX as usize, 0);
        let mut at = 0;
        let mut filled = Ok(());
        while at < pin.len() && filled.is_ok() {
            let count = pin.read_at(at, &mut part);
            filled = self.fill(upload, &part[..count], now);
            at += count as u32;
        }
        self.joined = part;
        filled
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{
        Arith, Counted, Deleted, Fetch, Fetched, Lane, MetaDelete, Store, StoreRequest,
    };

    fn now() -> Now {
        Now::at_second(5)
    }

    /// A lane of a store that is full of numbers of a thousand digits, and the first that is there.
    fn full() -> (Lane, String) {
        let settings = StoreSettings {
            memory_limit: 2 << 20,
            ..StoreSettings::default()
        };
        let mut lane = Store::new(&settings, 1).unwrap().lane(0);
        for number in 0..4_000 {
            let name = format!("number-{number}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let value = format!("{number:01000}");
            lane.put(&key, &StoreRequest::default(), value.as_bytes(), now())
                .unwrap();
        }
        let peek = Fetch {
            peek: true,
            ..Fetch::default()
        };
        let is_there = |name: &String| {
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            lane.fetch(&key, peek, now(), |_| ()) == Fetched::Hit(())
        };
        let oldest = (0..4_000).map(|n| format!("number-{n}")).find(is_there);
        let oldest = oldest.expect("something is there");
        assert_ne!(oldest, "number-0", "it is full");
        (lane, oldest)
    }

    #[test]
    fn the_item_that_another_is_made_from_does_not_go_for_it() {
        let (mut lane, oldest) = full();
        let key = lane.hashed(Key::new(oldest.as_bytes()).unwrap());
        let how = Arith {
            delta: 1,
            ..Arith::default()
        };
        let counted = lane.arith(&key, &how, now()).unwrap();
        assert!(matches!(counted, Counted::Number { .. }), "{counted:?}");
        lane.store().validate();

        let (mut lane, oldest) = full();
        let key = lane.hashed(Key::new(oldest.as_bytes()).unwrap());
        let how = MetaDelete {
            drop_value: true,
            ..MetaDelete::default()
        };
        let emptied = lane.meta_delete(&key, &how, now());
        assert!(matches!(emptied, Deleted::Deleted(_)), "{emptied:?}");
        let seen = lane.fetch(&key, Fetch::default(), now(), |item| item.value_len());
        assert_eq!(seen, Fetched::Hit(0));
        lane.store().validate();
    }

    #[test]
    fn an_item_that_gets_room_for_a_cas_id_is_the_same_otherwise() {
        let mut lane = Store::new(&StoreSettings::default(), 1).unwrap().lane(0);
        let key = lane.hashed(Key::new(b"key").unwrap());
        lane.put(&key, &StoreRequest::default(), b"value", now())
            .unwrap();
        lane.fetch(&key, Fetch::default(), now(), |_| ());
        let how = MetaDelete {
            invalidate: true,
            explicit_cas: Some(99),
            ..MetaDelete::default()
        };
        lane.meta_delete(&key, &how, now().plus_seconds(7));
        let later = now().plus_seconds(10);
        let seen = lane.fetch(&key, Fetch::default(), later, |item| {
            (item.was_fetched(), item.idle_seconds(), item.cas())
        });
        assert_eq!(seen, Fetched::Hit((true, 10, 99)));
    }
}
