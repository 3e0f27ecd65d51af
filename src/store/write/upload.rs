//! Values that arrive in pieces.

use crate::base::clock::{Expiry, Now};
use crate::base::hash::KeyHash;
use crate::base::key::Key;
use crate::base::part::Gap;
use crate::store::item::{HEADER, Header, Layout, access_at, state};
use crate::store::outcome::{StoreError, StoreRequest};
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, Slabs};
use crate::store::table::{HashedKey, Table};
use crate::store::write::Writer;

/// Bytes of an item that are copied to another one at a time.
const COPIED_MAX: usize = 4 << 10;

/// A value on its way in.
///
/// It owns its chunks: end it by [`Lane::commit`](crate::store::Lane::commit) or
/// [`Lane::abandon`](crate::store::Lane::abandon), else they are lost.
/// Chunks are taken as bytes arrive, so a declared length costs nothing by itself.
#[derive(Debug)]
#[must_use = "an upload's memory is lost unless it is committed or abandoned"]
pub struct Upload {
    pub(crate) hash: KeyHash,
    pub(crate) request: StoreRequest,
    pub(crate) first: ChunkRef,
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

    /// What was asked for.
    #[must_use]
    pub fn request(&self) -> &StoreRequest {
        &self.request
    }

    /// Its key, which the caller has kept, with the hash that it had.
    #[must_use]
    pub fn hashed<'a>(&self, key: Key<'a>) -> HashedKey<'a> {
        HashedKey {
            key,
            hash: self.hash,
        }
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

/// The layout of the item that `request` asks for.
#[inline]
pub(crate) fn layout_for(
    table: &Table,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    value_len: usize,
) -> Result<Layout, StoreError> {
    if value_len > table.value_len_max as usize {
        return Err(StoreError::TooLarge);
    }
    Ok(Layout {
        key_len: key.key.as_bytes().len(),
        client_flags: request.client_flags,
        explicit_cas: request.explicit_cas.filter(|_| table.cas),
        value_len: value_len as u32,
    })
}

/// A chunk with everything of a new item but its value, not linked.
pub(crate) fn new_item(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    expiry: Expiry,
    layout: Layout,
    now: Now,
) -> Result<ChunkRef, StoreError> {
    let class = writer.slabs().sizes.piece(layout.first_len());
    let chunk = writer
        .take_chunk(class, now)
        .ok_or_else(|| writer.seat.no_memory(class))?;
    let blank = Header {
        key_len: 0,
        access: access_at(now),
        part_len: 0,
        epoch: 0,
        state: 0,
        low: expiry.to_bits(),
        high: 0,
    };
    writer
        .slabs()
        .write_item_head(chunk, blank, key.key, layout);
    Ok(chunk)
}

/// Starts a store whose value of `value_len` bytes arrives in pieces.
///
/// # Errors
///
/// As [`put`](super::put::put).
pub(crate) fn begin(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    value_len: u32,
    now: Now,
) -> Result<Upload, StoreError> {
    let layout = layout_for(writer.table(), key, request, value_len as usize)?;
    let first = new_item(writer, key, request.expiry, layout, now)?;
    Ok(Upload {
        hash: key.hash,
        request: *request,
        first,
        current: first,
        room: writer.table().slabs.header(first).part_len,
        last: first,
        missing: value_len,
    })
}

/// Appends a piece, of which no more than [`Upload::missing`] bytes are looked at.
///
/// # Errors
///
/// [`StoreError::OutOfMemory`]: the upload must then be abandoned.
pub(crate) fn fill(
    writer: Writer<'_>,
    upload: &mut Upload,
    piece: &[u8],
    now: Now,
) -> Result<(), StoreError> {
    let mut piece = &piece[..piece.len().min(upload.missing as usize)];
    while !piece.is_empty() {
        if upload.room == 0 {
            upload.room = extend_chain(writer, upload, upload.missing, now)?;
            upload.current = upload.last;
        }
        let slabs = writer.slabs();
        let count = piece.len().min(upload.room as usize);
        slabs.arena.write(upload.at(slabs), &piece[..count]);
        upload.room -= count as u32;
        upload.missing -= count as u32;
        piece = &piece[count..];
    }
    Ok(())
}

/// Appends the value of an item that is pinned or not linked.
///
/// # Errors
///
/// As [`fill`].
pub(crate) fn fill_from(
    writer: Writer<'_>,
    upload: &mut Upload,
    first: ChunkRef,
    now: Now,
) -> Result<(), StoreError> {
    let slabs = writer.slabs();
    let mut buffer = [0; COPIED_MAX];
    let mut chunk = first;
    while !chunk.is_none() {
        let header = slabs.header(chunk);
        let start = slabs.part_at(chunk, header);
        let end = start + header.part_len as usize;
        for at in (start..end).step_by(COPIED_MAX) {
            let part = &mut buffer[..COPIED_MAX.min(end - at)];
            slabs.arena.read(at, part);
            fill(writer, upload, part, now)?;
        }
        chunk = slabs.next(chunk, header);
    }
    Ok(())
}

/// Where the next bytes go, for the kernel to write, at most `most` of them; returns how many
/// of `gaps` there are. None if there is no memory for any.
///
/// [`filled`] must follow before anything else is done to the upload.
pub(crate) fn gaps<'a>(
    writer: Writer<'a>,
    upload: &mut Upload,
    most: u32,
    gaps: &mut [Gap<'a>],
    now: Now,
) -> usize {
    let mut left = upload.missing - upload.room;
    let mut reached = upload.room;
    let mut chunks = usize::from(reached > 0);
    while left > 0 && reached < most && chunks < gaps.len() {
        let Ok(part) = extend_chain(writer, upload, left, now) else {
            break;
        };
        left -= part;
        reached += part;
        chunks += 1;
    }
    let slabs = writer.slabs();
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

/// Takes note that `count` bytes are in the gaps, and frees the chunks that got none.
///
/// # Panics
///
/// If there was not so much room in them.
pub(crate) fn filled(seat: Seat<'_>, upload: &mut Upload, mut count: u32) {
    upload.missing -= count;
    let slabs = &seat.table.slabs;
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
        seat.free_chain(unused);
    }
}

/// Adds a chunk for the next of `left` bytes to the chain's end; returns for how many.
fn extend_chain(
    writer: Writer<'_>,
    upload: &mut Upload,
    left: u32,
    now: Now,
) -> Result<u32, StoreError> {
    let sizes = &writer.slabs().sizes;
    let class = sizes.piece(HEADER + left as usize);
    let part = left.min(sizes.size(class) - HEADER as u32);
    let chunk = writer
        .take_chunk(class, now)
        .ok_or_else(|| writer.seat.no_memory(class))?;
    let slabs = writer.slabs();
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
