//! Values that arrive in pieces.

use crate::base::clock::Now;
use crate::base::hash::KeyHash;
use crate::base::key::KEY_LEN_MAX;
use crate::base::part::Gap;
use crate::store::HashedKey;
use crate::store::item::{HEADER, Header, state};
use crate::store::lane::Lane;
use crate::store::outcome::{StoreError, StoreMode, StoreRequest, Stored};
use crate::store::slab::{ChunkRef, Slabs};

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

    /// The request, and the complete, unlinked item.
    pub(crate) fn into_parts(self) -> (StoreRequest, ChunkRef) {
        (self.request, self.first)
    }
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
            epoch: 0,
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
            let stored = self.extend_by_item(&key, &upload.request, upload.first, now);
            self.free_chain(upload.first);
            return stored;
        }
        self.link_new(&key, &upload.request, upload.first, now)
    }

    /// Gives the upload's memory back.
    #[expect(clippy::needless_pass_by_value, reason = "it is over with the upload")]
    pub fn abandon(&mut self, upload: Upload) {
        self.free_chain(upload.first);
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
