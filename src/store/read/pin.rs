//! Large values on their way out: kept readable without a lock and without a copy.

use crate::base::hash::Place;
use crate::base::part::Part;
use crate::store::item::{Header, state};
use crate::store::slab::ChunkRef;
use crate::store::stripe::Stripe;
use crate::store::table::Table;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// A value that stays as it was when it was pinned; dropping this lets it go.
///
/// While an item is pinned nothing overwrites, moves or evicts its chunks. If it is deleted or
/// replaced meanwhile, the last pin frees them.
pub struct PinnedValue {
    table: Arc<Table>,
    place: Place,
    first: ChunkRef,
    len: u32,
    /// The chunk that the last read ended in and the value's offset at its beginning, so that
    /// reading a long chain in pieces does not start over each time.
    cursor: Cell<(ChunkRef, u32)>,
}

impl PinnedValue {
    fn new(table: Arc<Table>, place: Place, first: ChunkRef, len: u32) -> Self {
        Self {
            table,
            place,
            first,
            len,
            cursor: Cell::new((first, 0)),
        }
    }

    /// Bytes of the value.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether the value has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from `from` on as they lie in memory, for the kernel to read; as many as find
    /// room in `parts`. Returns how many parts there are, and whether they reach the end.
    pub fn parts<'a>(&'a self, from: u32, parts: &mut [Part<'a>]) -> (usize, bool) {
        let slabs = &self.table.slabs;
        let (mut chunk, mut start) = self.cursor.get();
        if from < start {
            (chunk, start) = (self.first, 0);
        }
        let mut count = 0;
        while !chunk.is_none() {
            let header = slabs.header(chunk);
            let end = start + header.part_len;
            if from < end {
                if count == 0 {
                    self.cursor.set((chunk, start));
                }
                let Some(part) = parts.get_mut(count) else {
                    return (count, false);
                };
                let skip = from.saturating_sub(start) as usize;
                let at = slabs.part_at(chunk, header) + skip;
                *part = slabs.arena.part(at, header.part_len as usize - skip);
                count += 1;
            }
            start = end;
            chunk = slabs.next(chunk, header);
        }
        (count, true)
    }

    /// Copies the bytes from `from` on into `out`; returns how many, 0 at the end.
    pub fn read_at(&self, from: u32, out: &mut [u8]) -> usize {
        let slabs = &self.table.slabs;
        let (mut chunk, mut start) = self.cursor.get();
        if from < start {
            (chunk, start) = (self.first, 0);
        }
        let mut done = 0;
        while !chunk.is_none() {
            let header = slabs.header(chunk);
            let at = from as usize + done;
            let end = (start + header.part_len) as usize;
            let count = end.saturating_sub(at).min(out.len() - done);
            let within = at.saturating_sub(start as usize);
            slabs.arena.read(
                slabs.part_at(chunk, header) + within,
                &mut out[done..done + count],
            );
            done += count;
            if at + count < end {
                break;
            }
            start += header.part_len;
            chunk = slabs.next(chunk, header);
        }
        self.cursor.set(if chunk.is_none() {
            (self.first, 0)
        } else {
            (chunk, start)
        });
        done
    }
}

/// Pins the item in `chunk`, whose header's words are these, with the bit for that.
#[inline(never)]
pub(crate) fn pin_chunk(
    table: &Table,
    stripe: &mut Stripe,
    place: Place,
    chunk: ChunkRef,
    [first, second]: [u64; 2],
) -> PinnedValue {
    let header = Header::unpack(first, second);
    stripe.pins.add(chunk);
    table.slabs.set_header_first(chunk, header);
    let len = table.slabs.value_len(chunk, header);
    PinnedValue::new(table.share(), place, chunk, len)
}

impl Drop for PinnedValue {
    fn drop(&mut self) {
        let table = &self.table;
        let mut stripe = table.stripe(self.place);
        if !stripe.pins.remove(self.first) {
            return;
        }
        let mut header = table.slabs.header(self.first);
        header.state &= !state::PINNED;
        table.slabs.set_header_first(self.first, header);
        drop(stripe);
        if header.has(state::LINKED) {
            return;
        }
        let mut chunk = self.first;
        while !chunk.is_none() {
            let next = table.slabs.next(chunk, table.slabs.header(chunk));
            table.slabs.return_chunk(chunk);
            chunk = next;
        }
    }
}

impl fmt::Debug for PinnedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedValue")
            .field("first", &self.first)
            .field("len", &self.len)
            .finish()
    }
}
