//! The small queue's order: a first-in-first-out queue of item references, kept in segments of the
//! arena.
//!
//! The rings are part of the memory budget, so they live where items live. All of a class may be
//! in its ring, so an entry is short:
//!
//! ```text
//!   │ mark 8 │ distance from the chunk of the entry before: 7 bits a byte, 1 to 5 bytes │
//! ```
//!
//! Where the ring is long, chunks are freed and taken again in its own order, and most distances
//! fit one byte or two. The *mark* is a byte of the key's hash. With it an entry whose chunk holds
//! another item by now is told apart from one that is up to date; where the item belongs in the
//! index, its key says. An entry does not straddle segments: reader and writer both move on when
//! less than the longest one is left.
//!
//! An entry becomes *stale* when its item is deleted, replaced or promoted. Stale entries are
//! dropped when they come up; if they pile up, as where everything expires and nothing is evicted,
//! [`Ring::sweep`] takes them out without changing the order of the others:
//!
//! ```text
//!   oldest │ swept ...... ◀── live ones ── rest ................ │ youngest
//! ```

use crate::base::hash::Place;
use crate::store::slab::{ChunkRef, INDEX, PageId, SEGMENT_SIZE, Slabs, move_segment};
use std::collections::VecDeque;

/// Bytes of the longest entry: its mark, and 33 bits at seven a byte.
const ENTRY_MAX: usize = 6;

/// Bytes that are read and written together.
const WORD: usize = size_of::<u64>();

const _: () = assert!(
    ENTRY_MAX == 1 + 33_usize.div_ceil(7) && ENTRY_MAX <= WORD,
    "an entry lies in two words at most"
);
const _: () = assert!(
    (SEGMENT_SIZE as usize).is_multiple_of(WORD),
    "no word straddles segments"
);

/// An item in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingEntry {
    /// Where it was when it was pushed.
    pub(crate) chunk: ChunkRef,
    /// A byte of its key's hash.
    pub(crate) mark: u8,
}

impl RingEntry {
    /// The entry of an item whose key has this place.
    pub(crate) fn new(chunk: ChunkRef, place: Place) -> Self {
        let mark = mark_of(place);
        Self { chunk, mark }
    }

    /// Whether it can be that of a key with this place.
    pub(crate) fn is_of(self, place: Place) -> bool {
        self.mark == mark_of(place)
    }
}

fn mark_of(place: Place) -> u8 {
    (place.0 >> 24) as u8
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// Entries older than all of `rest`, without those that were stale when a sweep saw them.
    swept: Fifo,
    rest: Fifo,
}

impl Ring {
    /// Entries, stale ones included.
    pub(crate) fn len(&self) -> u64 {
        (self.swept.len + self.rest.len) as u64
    }

    /// Appends an entry; false when there is no memory for it.
    pub(crate) fn push(&mut self, slabs: &Slabs, entry: RingEntry) -> bool {
        self.rest.push(slabs, entry)
    }

    /// Takes the oldest entry.
    pub(crate) fn pop(&mut self, slabs: &Slabs) -> Option<RingEntry> {
        self.swept.pop(slabs).or_else(|| self.rest.pop(slabs))
    }

    /// The oldest entry.
    pub(crate) fn peek(&mut self, slabs: &Slabs) -> Option<RingEntry> {
        let oldest = self.swept.read(slabs).or_else(|| self.rest.read(slabs));
        oldest.map(|(entry, _)| entry)
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(&self, slabs: &Slabs) -> impl Iterator<Item = RingEntry> {
        self.swept.entries(slabs).chain(self.rest.entries(slabs))
    }

    /// Moves its segments out of a page that is being emptied.
    pub(crate) fn leave_page(&mut self, slabs: &Slabs, page: PageId) {
        let fifos = [&mut self.swept, &mut self.rest].into_iter();
        let segments = fifos.flat_map(|fifo| fifo.segments.iter_mut());
        let here = segments.filter(|segment| slabs.page_of(**segment) == page);
        here.for_each(|segment| move_segment(slabs, segment));
    }

    /// Its segments; for validation.
    pub(crate) fn segments(&self) -> impl Iterator<Item = ChunkRef> {
        let fifos = [&self.swept, &self.rest].into_iter();
        fifos.flat_map(|fifo| fifo.segments.iter().copied())
    }

    /// Looks at the next `count` entries, drops those that are not `live`, and appends to `lost`
    /// the live ones that find no memory.
    pub(crate) fn sweep(
        &mut self,
        slabs: &Slabs,
        count: usize,
        live: impl Fn(RingEntry) -> bool,
        lost: &mut Vec<RingEntry>,
    ) {
        let mut batch = Vec::with_capacity(count);
        batch.extend((0..count).map_while(|_| self.rest.pop(slabs)));
        for entry in &batch {
            slabs.arena.prefetch(slabs.offset(entry.chunk));
        }
        let is_through = self.rest.len == 0;
        for &entry in batch.iter().filter(|&&entry| live(entry)) {
            if !self.swept.push(slabs, entry) {
                lost.push(entry);
            }
        }
        if is_through {
            // All have been looked at: the next sweep begins with the oldest.
            std::mem::swap(&mut self.swept, &mut self.rest);
        }
    }
}

/// A queue of entries. `head` and `tail` are offsets in the first and last segment.
#[derive(Debug, Default)]
struct Fifo {
    segments: VecDeque<ChunkRef>,
    head: usize,
    tail: usize,
    /// The word that `tail` is in, as far as it is written.
    word: u64,
    len: usize,
    /// The chunks that the next entry to be read and to be written is told from.
    head_from: u32,
    tail_from: u32,
}

impl Fifo {
    fn push(&mut self, slabs: &Slabs, entry: RingEntry) -> bool {
        if self.segments.is_empty() || self.tail + ENTRY_MAX > SEGMENT_SIZE as usize {
            let Some(segment) = slabs.take_one(INDEX) else {
                return false;
            };
            if self.segments.is_empty() {
                self.head_from = self.tail_from;
            }
            self.segments.push_back(segment);
            (self.tail, self.word) = (0, 0);
        }
        let last = *self.segments.back().expect("a segment was pushed above");
        let (bytes, len) = encode(entry, self.tail_from);
        let skip = self.tail % WORD;
        let at = slabs.offset(last) + self.tail - skip;
        self.word |= bytes << (8 * skip);
        slabs.arena.store(at, self.word);
        if skip + len >= WORD {
            self.word = bytes.checked_shr(8 * (WORD - skip) as u32).unwrap_or(0);
            if skip + len > WORD {
                slabs.arena.store(at + WORD, self.word);
            }
        }
        self.tail += len;
        self.tail_from = entry.chunk.0;
        self.len += 1;
        true
    }

    fn pop(&mut self, slabs: &Slabs) -> Option<RingEntry> {
        let (entry, len) = self.read(slabs)?;
        self.head += len;
        self.head_from = entry.chunk.0;
        self.len -= 1;
        if self.len == 0 {
            self.drop_first(slabs);
        }
        Some(entry)
    }

    /// The oldest entry, and its bytes.
    fn read(&mut self, slabs: &Slabs) -> Option<(RingEntry, usize)> {
        if self.len == 0 {
            return None;
        }
        if self.head + ENTRY_MAX > SEGMENT_SIZE as usize {
            self.drop_first(slabs);
        }
        let first = *self
            .segments
            .front()
            .expect("what has entries has segments");
        Some(read_at(slabs, first, self.head, self.head_from))
    }

    fn entries(&self, slabs: &Slabs) -> impl Iterator<Item = RingEntry> {
        let (mut segments, mut at, mut from) = (self.segments.iter(), self.head, self.head_from);
        let mut segment = segments.next();
        (0..self.len).map(move |_| {
            if at + ENTRY_MAX > SEGMENT_SIZE as usize {
                (segment, at) = (segments.next(), 0);
            }
            let first = *segment.expect("what has entries has segments");
            let (entry, len) = read_at(slabs, first, at, from);
            (at, from) = (at + len, entry.chunk.0);
            entry
        })
    }

    fn drop_first(&mut self, slabs: &Slabs) {
        if let Some(segment) = self.segments.pop_front() {
            slabs.return_chunk(segment);
        }
        self.head = 0;
    }
}

/// The entry that begins at `at` in a segment, after one of chunk `from`, and its bytes.
#[inline]
fn read_at(slabs: &Slabs, segment: ChunkRef, at: usize, from: u32) -> (RingEntry, usize) {
    let skip = at % WORD;
    let at = slabs.offset(segment) + at - skip;
    let mut bytes = slabs.arena.load(at) >> (8 * skip);
    if skip + ENTRY_MAX > WORD {
        bytes |= slabs.arena.load(at + WORD) << (8 * (WORD - skip));
    }
    decode(bytes, from)
}

/// The bytes of an entry after one of chunk `from`, the first one lowest, and how many there are.
fn encode(entry: RingEntry, from: u32) -> (u64, usize) {
    let distance = i64::from(entry.chunk.0) - i64::from(from);
    // Small in either direction is small: 0, -1, 1, -2, ... become 0, 1, 2, 3.
    let mut rest = (distance << 1 ^ distance >> 63).cast_unsigned();
    let mut bytes = u64::from(entry.mark);
    let mut len = 1;
    while rest >= 1 << 7 {
        bytes |= (rest & 0x7f | 1 << 7) << (8 * len);
        rest >>= 7;
        len += 1;
    }
    (bytes | rest << (8 * len), len + 1)
}

/// The entry that `bytes` begin with, after one of chunk `from`, and how many they are.
fn decode(bytes: u64, from: u32) -> (RingEntry, usize) {
    let mark = bytes as u8;
    let mut folded = 0;
    let mut len = 1;
    while len < ENTRY_MAX {
        let byte = bytes >> (8 * len);
        folded |= (byte & 0x7f) << (7 * (len - 1));
        len += 1;
        if byte & 1 << 7 == 0 {
            break;
        }
    }
    let distance = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
    let chunk = ChunkRef((i64::from(from) + distance) as u32);
    (RingEntry { chunk, mark }, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::slab::slabs_of;

    /// The nth entry: near the one before, or far from it.
    fn entry(n: u32) -> RingEntry {
        let chunk = match n % 7 {
            0 => u32::MAX - n,
            1 => n + 1,
            _ => 1_000_000 + n * 17,
        };
        RingEntry::new(ChunkRef(chunk), Place(n.wrapping_mul(0x9e37_79b9)))
    }

    #[test]
    fn distances_come_back_forwards_backwards_and_far() {
        for from in [0, 1, 1000, u32::MAX] {
            for chunk in [0, 1, 64, 65, 936, 1064, 9_000, 1 << 20, u32::MAX] {
                let entry = RingEntry {
                    chunk: ChunkRef(chunk),
                    mark: 0xa7,
                };
                let (bytes, len) = encode(entry, from);
                assert_eq!(decode(bytes, from), (entry, len), "{from} to {chunk}");
                let far = i64::from(chunk) - i64::from(from);
                if (-64..64).contains(&far) {
                    assert_eq!(len, 2);
                }
            }
        }
    }

    #[test]
    fn entries_come_out_in_the_order_they_went_in() {
        let slabs = slabs_of(1 << 20, 1);
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
            assert_eq!(ring.len(), u64::from(pushed - popped));
        }
        while ring.pop(&slabs).is_some() {}
        let state = slabs.lock(INDEX);
        assert_eq!(slabs.used_locked(&state, INDEX), 0, "segments went back");
    }

    #[test]
    fn sweeps_drop_what_is_stale_and_keep_the_order() {
        let slabs = slabs_of(1 << 20, 1);
        let mut ring = Ring::default();
        let live = |n: u32| n % 3 != 1;
        let marks: Vec<RingEntry> = (0..5_000).map(entry).collect();
        let is_live = |entry: RingEntry| {
            let n = marks.iter().position(|&other| other == entry).unwrap();
            live(n as u32)
        };
        let (mut next, mut popped, mut lost) = (0, vec![], vec![]);
        for round in 0..400 {
            for _ in 0..12 {
                assert!(ring.push(&slabs, entry(next)));
                next += 1;
            }
            ring.sweep(&slabs, 24, is_live, &mut lost);
            for _ in 0..round % 4 {
                popped.extend(ring.pop(&slabs));
            }
        }
        let left = ring.len();
        assert_eq!(lost, []);
        let told: Vec<RingEntry> = ring.entries(&slabs).collect();
        let rest: Vec<RingEntry> = std::iter::from_fn(|| ring.pop(&slabs)).collect();
        assert_eq!(told, rest, "what is told is what comes out");
        popped.extend(rest);
        assert!(left < u64::from(next) * 3 / 4, "{left} of {next}");
        let mut expected = (0..next).filter(|&n| live(n)).map(entry);
        let kept: Vec<RingEntry> = popped.iter().copied().filter(|&e| is_live(e)).collect();
        assert!(kept.iter().all(|&entry| expected.next() == Some(entry)));
        assert_eq!(expected.next(), None, "none that is live is lost");
        let order: Vec<usize> = popped
            .iter()
            .map(|entry| marks.iter().position(|other| other == entry).unwrap())
            .collect();
        assert!(order.is_sorted());
    }
}
