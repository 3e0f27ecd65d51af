//! Large values on their way out: kept readable without a lock and without a copy.

use crate::base::hash::Place;
use crate::store::Store;
use crate::store::item::state;
use crate::store::slab::ChunkRef;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// A value that stays as it was when it was pinned; dropping this lets it go.
///
/// While an item is pinned nothing overwrites, moves or evicts its chunks. If it is deleted or
/// replaced meanwhile, the last pin frees them.
pub struct PinnedValue {
    store: Arc<Store>,
    place: Place,
    first: ChunkRef,
    len: u32,
    /// The chunk that the last read ended in and the value's offset at its beginning, so that
    /// reading a long chain in pieces does not start over each time.
    cursor: Cell<(ChunkRef, u32)>,
}

impl PinnedValue {
    pub(crate) fn new(store: Arc<Store>, place: Place, first: ChunkRef, len: u32) -> Self {
        Self {
            store,
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

    /// Copies the bytes from `from` on into `out`; returns how many, 0 at the end.
    pub fn read_at(&self, from: u32, out: &mut [u8]) -> usize {
        let slabs = &self.store.slabs;
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

impl Drop for PinnedValue {
    fn drop(&mut self) {
        let store = &self.store;
        let mut stripe = store.stripe(self.place);
        if !stripe.pins.remove(self.first) {
            return;
        }
        let mut header = store.slabs.header(self.first);
        header.state &= !state::PINNED;
        store.slabs.set_header_first(self.first, header);
        drop(stripe);
        if header.has(state::LINKED) {
            return;
        }
        let mut chunk = self.first;
        while !chunk.is_none() {
            let next = store.slabs.next(chunk, store.slabs.header(chunk));
            store.slabs.give(chunk);
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
