//! A first-in-first-out queue of item references, kept in segments of the arena.
//!
//! The rings are part of the memory budget, so they live where items live. An entry says where an
//! item was and what part of its hash places it, which is enough to find out, under the right
//! stripe's lock, whether the item is still there.

use crate::base::hash::Place;
use crate::store::slab::{ChunkRef, INDEX, SEGMENT_SIZE, Slabs};
use std::collections::VecDeque;

/// An item in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingEntry {
    /// Where it was when it was pushed.
    pub(crate) chunk: ChunkRef,
    /// Its key's place in the index.
    pub(crate) place: Place,
}

/// The queue. `head` and `tail` count entries in the first and last segment.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    segments: VecDeque<ChunkRef>,
    head: usize,
    tail: usize,
    len: usize,
}

const ENTRIES: usize = SEGMENT_SIZE as usize / 8;

impl Ring {
    /// Entries, stale ones included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends an entry; false when there is no memory for it.
    pub(crate) fn push(&mut self, slabs: &Slabs, entry: RingEntry) -> bool {
        if self.segments.is_empty() || self.tail == ENTRIES {
            let Some(segment) = slabs.take_one(INDEX) else {
                return false;
            };
            self.segments.push_back(segment);
            self.tail = 0;
        }
        let last = *self.segments.back().expect("a segment was pushed above");
        let word = u64::from(entry.chunk.0) << 32 | u64::from(entry.place.0);
        slabs.arena.store(slabs.offset(last) + self.tail * 8, word);
        self.tail += 1;
        self.len += 1;
        true
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self, slabs: &Slabs) -> Option<RingEntry> {
        if self.len == 0 {
            return None;
        }
        let first = *self
            .segments
            .front()
            .expect("a ring with entries has segments");
        let word = slabs.arena.load(slabs.offset(first) + self.head * 8);
        self.head += 1;
        self.len -= 1;
        if self.head == ENTRIES || self.len == 0 {
            self.segments.pop_front();
            slabs.give(first);
            self.head = 0;
        }
        Some(RingEntry {
            chunk: ChunkRef((word >> 32) as u32),
            place: Place(word as u32),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::slab::{ClassTable, Geometry, Spacing};

    #[test]
    fn entries_come_out_in_the_order_they_went_in() {
        let spacing = Spacing {
            factor: None,
            chunk_min: None,
            unit: 8,
            sparse: false,
            page_size: 64 << 10,
        };
        let slabs = Slabs::new(Geometry::for_limit(1 << 20), ClassTable::new(spacing), 1).unwrap();
        let entry = |n: u32| RingEntry {
            chunk: ChunkRef(n),
            place: Place(!n),
        };
        let mut ring = Ring::default();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..200 {
            for _ in 0..round % 7 * 50 {
                assert!(ring.push(&slabs, entry(pushed)));
                pushed += 1;
            }
            for _ in 0..round % 5 * 60 {
                if let Some(found) = ring.pop(&slabs) {
                    assert_eq!(found, entry(popped));
                    popped += 1;
                }
            }
            assert_eq!(ring.len(), (pushed - popped) as usize);
        }
        while ring.pop(&slabs).is_some() {}
        let state = slabs.lock(INDEX);
        assert_eq!(slabs.used_locked(&state, INDEX), 0, "segments went back");
    }
}
