//! A bucket of the index: one cache line with twelve slots.
//!
//! ```text
//!   byte 0                        4          16                            64
//!   ├─────────┬─────────┬────┬────┼──────────┼─────────────────────────────┤
//!   │ used 12 │ghost 12 │over│    │ 12 tags  │ 12 references of 32 bits    │
//!   └─────────┴─────────┴────┴────┴──────────┴─────────────────────────────┘
//! ```
//!
//! A slot is *used* (tag and chunk of an item), a *ghost* (tag and, in the reference, 18 further
//! bits of the key's place and the 14 of its epitaph: an item that was here), or empty. With
//! `over` set, the last reference names a spill bucket instead.

use crate::store::slab::{ChunkRef, DATES_KNOWN, Epitaph, INDEX, SEGMENT_SIZE, Slabs};

/// Slots of a bucket.
pub(crate) const SLOTS: u32 = 12;
/// Bytes of a bucket: a cache line.
pub(crate) const BUCKET_SIZE: u32 = 64;
/// Bytes of a cache line.
const LINE: usize = BUCKET_SIZE as usize;
/// Buckets in a segment of the index's class.
pub(crate) const BUCKETS_PER_SEGMENT: u32 = SEGMENT_SIZE / BUCKET_SIZE;
/// The bit in a bucket's head that says that the last slot names a spill bucket.
pub(crate) const OVERFLOW: u64 = 1 << 24;
/// The slot that may name a spill bucket.
pub(crate) const LAST: u32 = SLOTS - 1;

const ALL: u32 = (1 << SLOTS) - 1;

const _: () = assert!(
    4 + SLOTS + 4 * SLOTS == BUCKET_SIZE,
    "marks, tags and references fill a line"
);
const _: () = assert!(
    OVERFLOW == 1 << (2 * SLOTS) && 2 * SLOTS < u32::BITS,
    "three kinds of marks fit four bytes"
);

/// A slot: the bucket's offset in the arena and the number within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) bucket: usize,
    pub(crate) number: u32,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) tag: u8,
    pub(crate) reference: u32,
    pub(crate) ghost: bool,
}

/// A bucket's first sixteen bytes, loaded.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) at: usize,
    pub(crate) head: u64,
    tags: u64,
}

impl Line {
    #[inline]
    pub(crate) fn load(slabs: &Slabs, at: usize) -> Self {
        let [head, tags] = slabs.arena.load_two(at);
        Self { at, head, tags }
    }

    #[inline]
    pub(crate) fn used(self) -> u32 {
        self.head as u32 & ALL
    }

    /// The numbers of the used slots.
    pub(crate) fn used_slots(self) -> impl Iterator<Item = u32> {
        let used = self.used();
        (0..SLOTS).filter(move |number| used >> number & 1 != 0)
    }

    #[inline]
    pub(crate) fn ghosts(self) -> u32 {
        (self.head >> SLOTS) as u32 & ALL
    }

    pub(crate) fn empty(self) -> u32 {
        let pointer = if self.head & OVERFLOW == 0 {
            0
        } else {
            1 << LAST
        };
        !(self.used() | self.ghosts() | pointer) & ALL
    }

    /// The slots with this tag, whatever is in them.
    #[inline]
    pub(crate) fn matches(self, tag: u8) -> u32 {
        matching_bytes(self.head, tag) >> 4 | matching_bytes(self.tags, tag) << 4
    }

    pub(crate) fn tag(self, number: u32) -> u8 {
        if number < 4 {
            (self.head >> (32 + number * 8)) as u8
        } else {
            (self.tags >> ((number - 4) * 8)) as u8
        }
    }

    #[inline]
    pub(crate) fn reference(self, slabs: &Slabs, number: u32) -> u32 {
        let at = self.at.wrapping_add(16 + number as usize / 2 * 8);
        (slabs.arena.load(at) >> (number % 2 * 32)) as u32
    }

    /// The ghost evicted longest ago, and how long ago by its date. Dates wrap, so "oldest" is
    /// relative to the first ghost here.
    pub(crate) fn oldest_ghost(self, slabs: &Slabs, at: usize) -> Option<(Slot, u64)> {
        let mut ghosts = self.ghosts();
        if ghosts == 0 {
            return None;
        }
        let date_of = |number| Epitaph::from_reference(self.reference(slabs, number)).date();
        let first = date_of(ghosts.trailing_zeros());
        let (mut oldest, mut most) = (0, 0);
        while ghosts != 0 {
            let number = ghosts.trailing_zeros();
            let age = (first + DATES_KNOWN * 3 / 2 - date_of(number)) % DATES_KNOWN;
            if age >= most {
                (oldest, most) = (number, age);
            }
            ghosts &= ghosts - 1;
        }
        let slot = Slot {
            bucket: at,
            number: oldest,
        };
        Some((slot, most))
    }
}

/// Bit n is set where byte n of `word` equals `byte`.
#[inline]
fn matching_bytes(word: u64, byte: u8) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f * ONES;
    let differing = word ^ (ONES * u64::from(byte));
    // Exactly the top bit of each byte that is zero: no carry crosses a byte.
    let zero = !(((differing & LOW) + LOW) | differing | LOW);
    // The eight bits, a byte apart, gathered in the top byte.
    ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

/// Asks the processor for the items with this tag that the bucket at `at` names, without its
/// stripe's lock: what is read may be old, and is loaded in vain then.
#[inline]
pub(crate) fn prefetch_items(slabs: &Slabs, at: usize, tag: u8) {
    let line = Line::load(slabs, at);
    let mut candidates = line.matches(tag) & line.used();
    while candidates != 0 {
        let item = slabs.offset(ChunkRef(line.reference(slabs, candidates.trailing_zeros())));
        // Three lines: a header, a key and a value of a hundred bytes.
        for at in (item..).step_by(LINE).take(3) {
            slabs.arena.prefetch(at);
        }
        candidates &= candidates - 1;
    }
}

#[inline]
pub(crate) fn bucket_address(slabs: &Slabs, segments: &[ChunkRef], bucket: u32) -> usize {
    let (number, within) = segment_of(bucket);
    slabs.offset(segments[number as usize]).wrapping_add(within)
}

/// The number of the segment that a bucket is in, and where in it.
#[inline]
pub(crate) fn segment_of(bucket: u32) -> (u32, usize) {
    let within = bucket % BUCKETS_PER_SEGMENT * BUCKET_SIZE;
    (bucket / BUCKETS_PER_SEGMENT, within as usize)
}

pub(crate) fn new_segment(slabs: &Slabs) -> Option<ChunkRef> {
    let segment = slabs.take_one(INDEX)?;
    for bucket in 0..BUCKETS_PER_SEGMENT {
        clear_bucket(
            slabs,
            slabs.offset(segment) + (bucket * BUCKET_SIZE) as usize,
        );
    }
    Some(segment)
}

pub(crate) fn clear_bucket(slabs: &Slabs, at: usize) {
    slabs.arena.store(at, 0);
    slabs.arena.store(at + 8, 0);
}

pub(crate) fn set_reference(slabs: &Slabs, slot: Slot, reference: u32) {
    let at = slot.bucket + 16 + slot.number as usize / 2 * 8;
    let shift = slot.number % 2 * 32;
    let other = slabs.arena.load(at) & !(u64::from(u32::MAX) << shift);
    slabs.arena.store(at, other | u64::from(reference) << shift);
}

/// Fills an empty or ghost slot.
pub(crate) fn set_entry(slabs: &Slabs, slot: Slot, entry: Entry) {
    let bit = 1_u64 << slot.number;
    let mut words = slabs.arena.load_two(slot.bucket);
    let mark = if entry.ghost { bit << SLOTS } else { bit };
    words[0] = words[0] & !(bit | bit << SLOTS) | mark;
    let byte = 4 + slot.number;
    let (word, shift) = (&mut words[byte as usize / 8 % 2], byte % 8 * 8);
    *word = *word & !(0xff << shift) | u64::from(entry.tag) << shift;
    slabs.arena.store_two(slot.bucket, words);
    set_reference(slabs, slot, entry.reference);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_found_and_no_others() {
        for word in [0, u64::MAX, 0x0100_8001_7fff_0180, 0x8080_0101_0001_ff80] {
            for byte in [0_u8, 1, 0x7f, 0x80, 0xff] {
                let bytes = word.to_le_bytes();
                let expected = (0..8)
                    .filter(|&n| bytes[n] == byte)
                    .fold(0, |mask, n| mask | 1 << n);
                assert_eq!(matching_bytes(word, byte), expected, "{word:x} {byte:x}");
            }
        }
    }
}
