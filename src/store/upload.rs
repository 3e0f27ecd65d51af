//! Values that arrive in pieces, and values that are put together from two.

use crate::base::clock::Now;
use crate::base::hash::KeyHash;
use crate::base::key::KEY_LEN_MAX;
use crate::base::part::Gap;
use crate::store::index::Print;
use crate::store::item::{HEADER, Header, Shape, state};
use crate::store::lane::Lane;
use crate::store::outcome::{StoreError, StoreMode, StoreOutcome, StoreRequest, Stored};
use crate::store::pin::PinnedValue;
use crate::store::slab::{ChunkRef, Slabs, WHOLE_MAX};
use crate::store::storing::{Linked, Linking, Verdict};
use crate::store::stripe::Found;
use crate::store::{COPY_MAX, HashedKey};
use std::sync::Arc;

/// A value on its way in.
///
/// It owns its chunks: end it by [`Lane::commit`] or [`Lane::abandon`], else they are lost.
/// Chunks are taken as bytes arrive, so a declared length costs nothing by itself.
#[derive(Debug)]
#[must_use = "an upload's memory is lost unless it is committed or abandoned"]
pub struct Upload {
    hash: KeyHash,
    request: StoreRequest,
    first: ChunkRef,
    /// The chunk that is being filled.
    current: ChunkRef,
    /// Value bytes still to come into `current`.
    room: u32,
    /// The chain's end: `current`, but while the kernel fills several.
    last: ChunkRef,
    /// Value bytes still to come.
    missing: u32,
}

impl Upload {
    /// Bytes still to come.
    #[must_use]
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Where the next byte goes.
    fn at(&self, slabs: &Slabs) -> usize {
        let header = slabs.header(self.current);
        slabs.part_at(self.current, header) + (header.part_len - self.room) as usize
    }

    /// The complete, unlinked item.
    pub(crate) fn into_chunk(self) -> ChunkRef {
        self.first
    }
}

/// The marks that survive a change of the value's length.
pub(crate) const MARKS: u16 = state::BINARY_KEY | state::STALE | state::WIN_SENT;

/// Where the added bytes of an append or prepend are.
enum Addition<'a> {
    Bytes(&'a [u8]),
    /// An unlinked item's value.
    Chunks(ChunkRef),
}

/// What is known of the item that is to be extended.
struct Base {
    found: Found,
    shape: Shape,
    pin: PinnedValue,
}

impl Lane {
    /// Starts a store whose value of `value_len` bytes arrives in pieces.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn begin(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value_len: u32,
        now: Now,
    ) -> Result<Upload, StoreError> {
        let shape = self.store.shape(key, request, value_len as usize)?;
        let first = self.new_item(key, request.expiry, shape, now)?;
        Ok(Upload {
            hash: key.hash,
            request: *request,
            first,
            current: first,
            room: self.store.slabs.header(first).part_len,
            last: first,
            missing: value_len,
        })
    }

    /// Appends a piece, of which no more than [`Upload::missing`] bytes are looked at.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`]: the upload must then be abandoned.
    pub fn fill(&mut self, upload: &mut Upload, piece: &[u8], now: Now) -> Result<(), StoreError> {
        let mut piece = &piece[..piece.len().min(upload.missing as usize)];
        while !piece.is_empty() {
            if upload.room == 0 {
                upload.room = self.extend_chain(upload, upload.missing, now)?;
                upload.current = upload.last;
            }
            let slabs = &self.store.slabs;
            let count = piece.len().min(upload.room as usize);
            slabs.arena.write(upload.at(slabs), &piece[..count]);
            upload.room -= count as u32;
            upload.missing -= count as u32;
            piece = &piece[count..];
        }
        Ok(())
    }

    /// Where the next bytes go, for the kernel to write, at most `most` of them; returns how many
    /// of `gaps` there are. None if there is no memory for any.
    ///
    /// [`filled`](Self::filled) must follow before anything else is done to the upload.
    pub fn gaps<'a>(
        &'a mut self,
        upload: &mut Upload,
        most: u32,
        gaps: &mut [Gap<'a>],
        now: Now,
    ) -> usize {
        let mut left = upload.missing - upload.room;
        let mut reached = upload.room;
        let mut chunks = usize::from(reached > 0);
        while left > 0 && reached < most && chunks < gaps.len() {
            let Ok(part) = self.extend_chain(upload, left, now) else {
                break;
            };
            left -= part;
            reached += part;
            chunks += 1;
        }
        let slabs = &self.store.slabs;
        let (mut chunk, mut count, mut left) = (upload.current, 0, most);
        if upload.room > 0 {
            let len = upload.room.min(left);
            gaps[0] = slabs.arena.gap(upload.at(slabs), len as usize);
            (count, left) = (1, left - len);
        }
        while count < chunks {
            chunk = slabs.next(chunk, slabs.header(chunk));
            let header = slabs.header(chunk);
            let len = header.part_len.min(left);
            gaps[count] = slabs.arena.gap(slabs.part_at(chunk, header), len as usize);
            (count, left) = (count + 1, left - len);
        }
        count
    }

    /// Takes note that `count` bytes are in the gaps, and gives back the chunks that got none.
    ///
    /// # Panics
    ///
    /// If there was not so much room in them.
    pub fn filled(&mut self, upload: &mut Upload, mut count: u32) {
        upload.missing -= count;
        let slabs = &self.store.slabs;
        while count > upload.room {
            count -= upload.room;
            upload.current = slabs.next(upload.current, slabs.header(upload.current));
            assert!(!upload.current.is_none(), "more bytes than room for them");
            upload.room = slabs.header(upload.current).part_len;
        }
        upload.room -= count;
        if upload.current != upload.last {
            let header = slabs.header(upload.current);
            let unused = slabs.next(upload.current, header);
            slabs.set_next(upload.current, header, ChunkRef::NONE);
            upload.last = upload.current;
            self.free_chain(unused);
        }
    }

    /// Adds a chunk for the next of `left` bytes to the chain's end; returns for how many.
    fn extend_chain(
        &mut self,
        upload: &mut Upload,
        left: u32,
        now: Now,
    ) -> Result<u32, StoreError> {
        let table = &self.store.slabs.table;
        let class = table.piece(HEADER + left as usize);
        let part = left.min(table.size(class) - HEADER as u32);
        let chunk = self
            .take_chunk(class, now)
            .ok_or_else(|| self.no_memory(class))?;
        let slabs = &self.store.slabs;
        let header = Header {
            key_len: 0,
            access: 0,
            part_len: part,
            state: state::LINKED,
            low: ChunkRef::NONE.0,
            high: upload.first.0,
        };
        slabs.set_header(chunk, header);
        slabs.set_next(upload.last, slabs.header(upload.last), chunk);
        upload.last = chunk;
        Ok(part)
    }

    /// Links the complete item.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); the upload is then gone already.
    ///
    /// # Panics
    ///
    /// If bytes are missing.
    pub fn commit(&mut self, upload: Upload, now: Now) -> Result<Stored, StoreError> {
        assert_eq!(upload.missing, 0, "only a complete value is linked");
        let mut buffer = [0; KEY_LEN_MAX];
        let key = self.store.slabs.key_of(upload.first, &mut buffer);
        let key = HashedKey {
            key: key.expect("an upload has a key"),
            hash: upload.hash,
        };
        if matches!(upload.request.mode, StoreMode::Append | StoreMode::Prepend) {
            let stored =
                self.extend_with(&key, &upload.request, &Addition::Chunks(upload.first), now);
            self.free_chain(upload.first);
            return stored;
        }
        let linking = Linking {
            request: &upload.request,
            chunk: upload.first,
            over: None,
            keep: 0,
            set: 0,
        };
        match self.link(&key, &linking, now)? {
            Linked::Done(stored, _) => Ok(stored),
            Linked::Changed => unreachable!("nothing in particular was to be replaced"),
        }
    }

    /// Gives the upload's memory back.
    #[expect(clippy::needless_pass_by_value, reason = "it is over with the upload")]
    pub fn abandon(&mut self, upload: Upload) {
        self.free_chain(upload.first);
    }

    /// Append or prepend of bytes that have arrived whole.
    pub(crate) fn extend(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        value: &[u8],
        now: Now,
    ) -> Result<Stored, StoreError> {
        self.extend_with(key, request, &Addition::Bytes(value), now)
    }

    fn extend_with(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        addition: &Addition<'_>,
        now: Now,
    ) -> Result<Stored, StoreError> {
        let added = self.addition_len(addition);
        // Somebody else's success is the only thing that sends us round again.
        loop {
            let base = match self.base_of(key, request, added, now) {
                Ok(base) => base,
                Err(refused) if refused.outcome == StoreOutcome::NotStored => {
                    let exists = refused.cas != 0;
                    return match request.vivify {
                        Some(expiry) if !exists => {
                            let fresh = StoreRequest {
                                mode: StoreMode::Add,
                                expiry,
                                ..*request
                            };
                            self.create_from(key, &fresh, addition, now)
                        }
                        _ => Ok(Stored { cas: 0, ..refused }),
                    };
                }
                Err(refused) => return Ok(Stored { cas: 0, ..refused }),
            };
            let total = base.shape.value_len + added;
            let combined = StoreRequest {
                mode: StoreMode::Set,
                client_flags: base.shape.client_flags,
                expiry: base.found.header.expiry(),
                compare: None,
                ..*request
            };
            let chunk = self.combine(key, &combined, &base, addition, total, request.mode, now);
            let chunk = match chunk {
                // memcached's word for a combined value that finds no room; the old one stays.
                Err(_) => return Ok(self.not_extended(added)),
                Ok(chunk) => chunk,
            };
            let over = Some(base.found.header.high);
            let linking = Linking {
                request: &combined,
                chunk,
                over,
                keep: MARKS,
                set: 0,
            };
            drop(base);
            if let Linked::Done(stored, _) = self.link(key, &linking, now)? {
                return Ok(stored);
            }
        }
    }

    fn not_extended(&self, added: u32) -> Stored {
        Stored {
            outcome: StoreOutcome::NotStored,
            cas: 0,
            value_len: added,
            class: self.store.slabs.table.largest(),
        }
    }

    /// The item to extend, pinned.
    ///
    /// `Err` is a refusal; its `cas` is nonzero when there is an item, only it may not grow.
    fn base_of(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        added: u32,
        now: Now,
    ) -> Result<Base, Stored> {
        let store = Arc::clone(&self.store);
        let place = key.hash.place();
        let refuse = |outcome, cas| Stored {
            outcome,
            cas,
            value_len: added,
            class: store.slabs.table.largest(),
        };
        let mut stripe = store.stripe(place);
        let found = stripe
            .look(&store.slabs, key, Print::new(key.hash, store.stripe_bits))
            .ok()
            .filter(|found| stripe.death(found.header, now).is_none());
        let checked = StoreRequest {
            compare: request.compare.filter(|&id| id != 0),
            ..*request
        };
        if let Verdict::Refuse(outcome) = store.judge(place, found.as_ref(), &checked) {
            return Err(refuse(outcome, u64::from(found.is_some())));
        }
        let found = found.expect("an append without an item is refused above");
        let shape = store.slabs.shape_of(found.chunk, found.header);
        if u64::from(shape.value_len) + u64::from(added) > u64::from(store.value_len_max) {
            return Err(refuse(StoreOutcome::NotStored, 1));
        }
        // Pinned, so that making room for the new value does not evict the old one.
        stripe.pins.add(found.chunk);
        let pinned = Header {
            state: found.header.state | state::PINNED,
            ..found.header
        };
        store.slabs.set_header_first(found.chunk, pinned);
        let pin = PinnedValue::new(Arc::clone(&store), place, found.chunk, shape.value_len);
        Ok(Base { found, shape, pin })
    }

    /// An unlinked item with the combined value.
    #[expect(
        clippy::too_many_arguments,
        reason = "it is one step of extend_with, cut out"
    )]
    fn combine(
        &mut self,
        key: &HashedKey<'_>,
        combined: &StoreRequest,
        base: &Base,
        addition: &Addition<'_>,
        total: u32,
        mode: StoreMode,
        now: Now,
    ) -> Result<ChunkRef, StoreError> {
        let mut upload = self.begin(key, combined, total, now)?;
        let filled = if mode == StoreMode::Append {
            self.fill_base(&mut upload, base, now)
                .and_then(|()| self.fill_addition(&mut upload, addition, now))
        } else {
            self.fill_addition(&mut upload, addition, now)
                .and_then(|()| self.fill_base(&mut upload, base, now))
        };
        match filled {
            Ok(()) => Ok(upload.into_chunk()),
            Err(error) => {
                self.abandon(upload);
                Err(error)
            }
        }
    }

    fn fill_base(&mut self, upload: &mut Upload, base: &Base, now: Now) -> Result<(), StoreError> {
        let mut piece = std::mem::take(&mut self.joined);
        piece.resize(COPY_MAX as usize, 0);
        let filled = self.fill_pinned(upload, &base.pin, &mut piece, now);
        self.joined = piece;
        filled
    }

    fn fill_pinned(
        &mut self,
        upload: &mut Upload,
        pin: &PinnedValue,
        piece: &mut [u8],
        now: Now,
    ) -> Result<(), StoreError> {
        let mut at = 0;
        while at < pin.len() {
            let count = pin.read_at(at, piece);
            self.fill(upload, &piece[..count], now)?;
            at += count as u32;
        }
        Ok(())
    }

    fn fill_addition(
        &mut self,
        upload: &mut Upload,
        addition: &Addition<'_>,
        now: Now,
    ) -> Result<(), StoreError> {
        let mut chunk = match addition {
            Addition::Bytes(bytes) => return self.fill(upload, bytes, now),
            Addition::Chunks(first) => *first,
        };
        let mut piece = Vec::with_capacity(WHOLE_MAX as usize);
        while !chunk.is_none() {
            let slabs = &self.store.slabs;
            let header = slabs.header(chunk);
            piece.clear();
            slabs.arena.append(
                slabs.part_at(chunk, header),
                header.part_len as usize,
                &mut piece,
            );
            chunk = slabs.next(chunk, header);
            self.fill(upload, &piece, now)?;
        }
        Ok(())
    }

    fn addition_len(&self, addition: &Addition<'_>) -> u32 {
        match addition {
            Addition::Bytes(bytes) => bytes.len() as u32,
            Addition::Chunks(first) => {
                let slabs = &self.store.slabs;
                slabs.value_len(*first, slabs.header(*first))
            }
        }
    }

    /// Stores the addition alone, under a key that had no item.
    fn create_from(
        &mut self,
        key: &HashedKey<'_>,
        request: &StoreRequest,
        addition: &Addition<'_>,
        now: Now,
    ) -> Result<Stored, StoreError> {
        let mut upload = self.begin(key, request, self.addition_len(addition), now)?;
        if let Err(error) = self.fill_addition(&mut upload, addition, now) {
            self.abandon(upload);
            return Err(error);
        }
        self.commit(upload, now)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::part::Gap;
    use crate::base::settings::StoreSettings;
    use crate::store::{Store, StoreRequest};

    #[test]
    fn gaps_that_stay_empty_are_given_back() {
        const LEN: u32 = 500_000;
        let settings = StoreSettings {
            memory_limit: 1 << 30,
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut lane = store.lane(0);
        let now = Now::at_second(5);
        let key = lane.hashed(Key::new(b"key").unwrap());
        let request = StoreRequest::default();
        for count in [0, 1, 60_000, 65_000, 130_000, 200_000] {
            let mut upload = lane.begin(&key, &request, LEN, now).unwrap();
            lane.fill(&mut upload, &[1; 3_000], now).unwrap();
            for (most, slots) in [(200_000, 18), (200_000, 2)] {
                let mut gaps = [Gap::EMPTY; 18];
                let found = lane.gaps(&mut upload, most, &mut gaps[..slots], now);
                let room: usize = gaps[..found].iter().map(Gap::len).sum();
                assert!(found <= slots && room <= most as usize);
                assert_eq!(room == most as usize, slots == 18);
                let came = count.min(room as u32);
                let missing = upload.missing();
                lane.filled(&mut upload, came);
                assert_eq!(upload.missing(), missing - came);
            }
            let rest = vec![2; upload.missing() as usize];
            lane.fill(&mut upload, &rest, now).unwrap();
            lane.commit(upload, now).unwrap();
            store.validate();
        }
    }
}
