//! One stripe's part of the index: from a key's hash to the chunk of its item.
//!
//! A key's hash names a bucket of twelve slots, see [`bucket`]; where those do not
//! suffice, the bucket has a spill bucket after it.
//!
//! The index grows by linear hashing: with `buckets` in `2^l .. 2^(l+1)`, a key belongs to bucket
//! `hash mod 2^(l+1)` if that exists, else to `hash mod 2^l`. Whenever there are more than
//! [`TARGET`] items per bucket, one bucket is split in two. No second table, no migration, and at
//! most a few dozen items move at a time: 8.9 bytes per item, 4 % of hits need a second line.

pub(crate) mod bucket;
pub(crate) mod hints;
mod shrink;
pub(crate) mod walk;

use crate::base::hash::{KeyHash, Place};
use crate::store::index::bucket::{
    BUCKETS_PER_SEGMENT, Entry, LAST, Line, OVERFLOW, SLOTS, Slot, bucket_address, clear_bucket,
    new_segment, set_entry, set_reference,
};
use crate::store::slab::{ChunkRef, EPITAPH_BITS, Epitaph, Slabs};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::successors;

/// Items per bucket above which a bucket is split: two thirds of the slots.
const TARGET: u32 = 8;

/// What an index knows of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// The place bits above the stripe's.
    pub(crate) bits: u32,
    pub(crate) tag: u8,
    /// 18 place bits that a ghost keeps. Overlaps `bits`; what is left over tells keys apart.
    pub(crate) check: u32,
}

impl Fingerprint {
    #[inline]
    pub(crate) fn new(hash: KeyHash, stripe_bits: u32) -> Self {
        let place = hash.place();
        Self {
            bits: place.bucket_bits(stripe_bits),
            tag: hash.tag(),
            check: check_of(place),
        }
    }
}

const _: () = assert!(18 + EPITAPH_BITS == u32::BITS, "a ghost is a reference");

/// The bits of a place that a ghost keeps.
fn check_of(place: Place) -> u32 {
    place.0 >> EPITAPH_BITS
}

/// The index of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Buckets in use; the first [`BUCKETS_PER_SEGMENT`] come with the first item.
    buckets: u32,
    items: u32,
    segments: Vec<ChunkRef>,
    /// Segments of spill buckets, and the free ones among those buckets: the lowest are used first.
    spill: Vec<ChunkRef>,
    spill_free: BinaryHeap<Reverse<u32>>,
    /// Scratch of a split, kept to spare allocations.
    moving: Vec<Entry>,
}

impl Index {
    /// Items in it.
    pub(crate) fn items(&self) -> u32 {
        self.items
    }

    /// Buckets, spill buckets not counted.
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Finds the used slot with this fingerprint whose chunk `is` the one.
    #[inline]
    pub(crate) fn find(
        &self,
        slabs: &Slabs,
        fingerprint: Fingerprint,
        is: impl Fn(ChunkRef) -> bool,
    ) -> Result<(Slot, ChunkRef), Absent> {
        if self.buckets == 0 {
            return Err(Absent { ghosts: 0 });
        }
        let mut at = self.address(slabs, self.bucket_of(fingerprint.bits));
        loop {
            let line = Line::load(slabs, at);
            let matches = line.matches(fingerprint.tag);
            let mut candidates = matches & line.used();
            while candidates != 0 {
                let number = candidates.trailing_zeros();
                let chunk = ChunkRef(line.reference(slabs, number));
                if is(chunk) {
                    return Ok((Slot { bucket: at, number }, chunk));
                }
                candidates &= candidates - 1;
            }
            match self.spill_after(slabs, line) {
                Some(next) => at = next,
                None => {
                    let ghosts = u64::from(matches) << SLOTS & line.head;
                    return Err(Absent { ghosts });
                }
            }
        }
    }

    /// Where the bucket of a key with these bits is.
    #[cfg(test)]
    pub(crate) fn bucket_at(&self, slabs: &Slabs, bits: u32) -> Option<usize> {
        (self.buckets != 0).then(|| self.address(slabs, self.bucket_of(bits)))
    }

    /// Its segments, by number; those of spill buckets not among them.
    pub(crate) fn segments(&self) -> &[ChunkRef] {
        &self.segments
    }

    /// The segment added last, and its number.
    pub(crate) fn last_segment(&self) -> Option<(u32, ChunkRef)> {
        let last = self.segments.last()?;
        Some((self.segments.len() as u32 - 1, *last))
    }

    /// Adds an item. `Err` when the bucket is full and there is no memory for another.
    pub(crate) fn insert(
        &mut self,
        slabs: &Slabs,
        fingerprint: Fingerprint,
        chunk: ChunkRef,
    ) -> Result<(), IndexFull> {
        self.ensure_first(slabs)?;
        let entry = Entry {
            tag: fingerprint.tag,
            reference: chunk.0,
            ghost: false,
        };
        let bucket = self.bucket_of(fingerprint.bits);
        self.place(slabs, bucket, entry)?;
        self.items += 1;
        Ok(())
    }

    /// Points a used slot to another chunk with the same key.
    pub(crate) fn replace(&self, slabs: &Slabs, slot: Slot, chunk: ChunkRef) {
        set_reference(slabs, slot, chunk.0);
    }

    /// Empties a used slot.
    pub(crate) fn remove(&mut self, slabs: &Slabs, bits: u32, slot: Slot) {
        let line = Line::load(slabs, slot.bucket);
        slabs
            .arena
            .store(slot.bucket, line.head & !(1 << slot.number));
        self.items -= 1;
        self.trim(slabs, self.bucket_of(bits));
    }

    /// Turns a used slot into a ghost of its item.
    pub(crate) fn bury(&mut self, slabs: &Slabs, slot: Slot, check: u32, epitaph: Epitaph) {
        let line = Line::load(slabs, slot.bucket);
        let bit = 1_u64 << slot.number;
        slabs
            .arena
            .store(slot.bucket, line.head & !bit | bit << SLOTS);
        set_reference(slabs, slot, check << EPITAPH_BITS | epitaph.bits());
        self.items -= 1;
    }

    /// Removes the ghost of this fingerprint, if there is one, and returns its epitaph.
    pub(crate) fn take_ghost(
        &mut self,
        slabs: &Slabs,
        fingerprint: Fingerprint,
    ) -> Option<Epitaph> {
        let (slot, epitaph) = self.find_ghost(slabs, fingerprint)?;
        let head = slabs.arena.load(slot.bucket);
        slabs
            .arena
            .store(slot.bucket, head & !(1 << (SLOTS + slot.number)));
        Some(epitaph)
    }

    /// Notes on the ghost of this fingerprint, if there is one, that its item was asked for.
    /// Returns the epitaph as it was before.
    pub(crate) fn ask_ghost(&mut self, slabs: &Slabs, fingerprint: Fingerprint) -> Option<Epitaph> {
        let (slot, epitaph) = self.find_ghost(slabs, fingerprint)?;
        let asked = fingerprint.check << EPITAPH_BITS | epitaph.asked().bits();
        set_reference(slabs, slot, asked);
        Some(epitaph)
    }

    fn find_ghost(&self, slabs: &Slabs, fingerprint: Fingerprint) -> Option<(Slot, Epitaph)> {
        if self.buckets == 0 {
            return None;
        }
        let mut at = self.address(slabs, self.bucket_of(fingerprint.bits));
        loop {
            let line = Line::load(slabs, at);
            let mut candidates = line.matches(fingerprint.tag) & line.ghosts();
            while candidates != 0 {
                let number = candidates.trailing_zeros();
                let reference = line.reference(slabs, number);
                if reference >> EPITAPH_BITS == fingerprint.check {
                    let slot = Slot { bucket: at, number };
                    return Some((slot, Epitaph::from_reference(reference)));
                }
                candidates &= candidates - 1;
            }
            at = self.spill_after(slabs, line)?;
        }
    }

    /// Splits one bucket if there are too many items for the buckets.
    ///
    /// `place_of` tells an item's place. Without memory nothing happens: the next insert tries
    /// again, and until then buckets spill.
    pub(crate) fn grow(
        &mut self,
        slabs: &Slabs,
        stripe_bits: u32,
        place_of: impl Fn(ChunkRef) -> Place,
    ) {
        if self.items <= self.buckets * TARGET {
            return;
        }
        let new = self.buckets;
        if new.is_multiple_of(BUCKETS_PER_SEGMENT) && !self.add_segment(slabs) {
            return;
        }
        let level_bit = 1 << new.ilog2();
        let old = new - level_bit;
        let mut entries = std::mem::take(&mut self.moving);
        entries.clear();
        self.empty_bucket(slabs, old, &mut entries);
        for entry in entries.iter().filter(|entry| !entry.ghost) {
            slabs
                .arena
                .prefetch(slabs.offset(ChunkRef(entry.reference)));
        }
        self.buckets += 1;
        let place = |entry: &Entry| {
            if entry.ghost {
                Place(entry.reference >> EPITAPH_BITS << EPITAPH_BITS)
            } else {
                place_of(ChunkRef(entry.reference))
            }
        };
        let target = |entry: &Entry| {
            if place(entry).bucket_bits(stripe_bits) & level_bit == 0 {
                old
            } else {
                new
            }
        };
        for entry in entries.iter().filter(|entry| !entry.ghost) {
            self.place(slabs, target(entry), *entry)
                .expect("two buckets and the spill freed above hold what one chain held");
        }
        // Below the bits that a ghost keeps nobody knows where it belongs. There are none yet in a
        // store that grows to its limit for the first time.
        if stripe_bits + level_bit.trailing_zeros() >= EPITAPH_BITS {
            for ghost in entries.iter().filter(|entry| entry.ghost) {
                self.place_ghost(slabs, target(ghost), *ghost);
            }
        }
        self.moving = entries;
    }

    /// Calls `visit` with every item's bucket, tag and chunk; for validation.
    pub(crate) fn for_each(&self, slabs: &Slabs, mut visit: impl FnMut(u32, u8, ChunkRef)) {
        for bucket in 0..self.buckets {
            for line in self.lines(slabs, bucket) {
                for number in line.used_slots() {
                    let chunk = ChunkRef(line.reference(slabs, number));
                    visit(bucket, line.tag(number), chunk);
                }
            }
        }
    }

    /// Ghosts in it; for descriptions.
    pub(crate) fn ghosts(&self, slabs: &Slabs) -> u32 {
        let lines = (0..self.buckets).flat_map(|bucket| self.lines(slabs, bucket));
        lines.map(|line| line.ghosts().count_ones()).sum()
    }

    /// A bucket and its spill buckets.
    fn lines(&self, slabs: &Slabs, bucket: u32) -> impl Iterator<Item = Line> {
        let first = Line::load(slabs, self.address(slabs, bucket));
        successors(Some(first), |&line| {
            let next = self.spill_after(slabs, line)?;
            Some(Line::load(slabs, next))
        })
    }

    /// The bucket where a key with these bits belongs.
    #[inline]
    pub(crate) fn bucket_of(&self, bits: u32) -> u32 {
        bucket_of(bits, self.buckets)
    }

    #[inline]
    fn address(&self, slabs: &Slabs, bucket: u32) -> usize {
        bucket_address(slabs, &self.segments, bucket)
    }

    fn spill_after(&self, slabs: &Slabs, line: Line) -> Option<usize> {
        (line.head & OVERFLOW != 0)
            .then(|| bucket_address(slabs, &self.spill, line.reference(slabs, LAST)))
    }

    fn ensure_first(&mut self, slabs: &Slabs) -> Result<(), IndexFull> {
        if self.buckets == 0 {
            if !self.add_segment(slabs) {
                return Err(IndexFull);
            }
            self.buckets = BUCKETS_PER_SEGMENT;
        }
        Ok(())
    }

    fn add_segment(&mut self, slabs: &Slabs) -> bool {
        let Some(segment) = new_segment(slabs) else {
            return false;
        };
        self.segments.push(segment);
        true
    }

    /// Puts an entry in the first empty slot of a bucket's chain, else over its oldest ghost.
    fn place(&mut self, slabs: &Slabs, bucket: u32, entry: Entry) -> Result<(), IndexFull> {
        let mut at = self.address(slabs, bucket);
        let mut oldest: Option<(Slot, u64)> = None;
        loop {
            let line = Line::load(slabs, at);
            let empty = line.empty();
            if empty != 0 {
                set_entry(
                    slabs,
                    Slot {
                        bucket: at,
                        number: empty.trailing_zeros(),
                    },
                    entry,
                );
                return Ok(());
            }
            if let Some((slot, age)) = line.oldest_ghost(slabs, at)
                && oldest.is_none_or(|(_, other)| age > other)
            {
                oldest = Some((slot, age));
            }
            match self.spill_after(slabs, line) {
                Some(next) => at = next,
                None => break,
            }
        }
        if let Some((slot, _)) = oldest {
            set_entry(slabs, slot, entry);
            return Ok(());
        }
        self.spill_over(slabs, at, entry)
    }

    /// Puts a ghost in an empty slot of the bucket, if there is one.
    fn place_ghost(&self, slabs: &Slabs, bucket: u32, entry: Entry) {
        let at = self.address(slabs, bucket);
        let empty = Line::load(slabs, at).empty();
        if empty != 0 {
            set_entry(
                slabs,
                Slot {
                    bucket: at,
                    number: empty.trailing_zeros(),
                },
                entry,
            );
        }
    }

    /// Adds a segment of spill buckets, all free.
    fn add_spill(&mut self, segment: ChunkRef) {
        let first = self.spill.len() as u32 * BUCKETS_PER_SEGMENT;
        self.spill.push(segment);
        let free = first..first + BUCKETS_PER_SEGMENT;
        self.spill_free.extend(free.map(Reverse));
    }

    /// Gives the full last bucket of a chain a spill bucket and puts `entry` there.
    fn spill_over(&mut self, slabs: &Slabs, at: usize, entry: Entry) -> Result<(), IndexFull> {
        if self.spill_free.is_empty() {
            let segment = new_segment(slabs).ok_or(IndexFull)?;
            self.add_spill(segment);
        }
        let Reverse(id) = self
            .spill_free
            .pop()
            .expect("a segment of spill buckets was added above");
        let spill = bucket_address(slabs, &self.spill, id);
        clear_bucket(slabs, spill);
        let line = Line::load(slabs, at);
        let last = Slot {
            bucket: at,
            number: LAST,
        };
        let displaced = Entry {
            tag: line.tag(LAST),
            reference: line.reference(slabs, LAST),
            ghost: false,
        };
        set_entry(
            slabs,
            Slot {
                bucket: spill,
                number: 0,
            },
            displaced,
        );
        set_entry(
            slabs,
            Slot {
                bucket: spill,
                number: 1,
            },
            entry,
        );
        slabs.arena.store(at, line.head & !(1 << LAST) | OVERFLOW);
        set_reference(slabs, last, id);
        Ok(())
    }

    /// Takes all entries out of a bucket's chain and frees its spill buckets.
    fn empty_bucket(&mut self, slabs: &Slabs, bucket: u32, entries: &mut Vec<Entry>) {
        let first = self.address(slabs, bucket);
        let mut at = first;
        loop {
            let line = Line::load(slabs, at);
            for number in 0..SLOTS {
                let ghost = line.ghosts() >> number & 1 != 0;
                if ghost || line.used() >> number & 1 != 0 {
                    let reference = line.reference(slabs, number);
                    entries.push(Entry {
                        tag: line.tag(number),
                        reference,
                        ghost,
                    });
                }
            }
            if line.head & OVERFLOW == 0 {
                break;
            }
            let id = line.reference(slabs, LAST);
            self.spill_free.push(Reverse(id));
            at = bucket_address(slabs, &self.spill, id);
        }
        clear_bucket(slabs, first);
    }

    /// Frees the spill bucket after `bucket` if nothing is in it.
    fn trim(&mut self, slabs: &Slabs, bucket: u32) {
        let at = self.address(slabs, bucket);
        let line = Line::load(slabs, at);
        let Some(spill) = self.spill_after(slabs, line) else {
            return;
        };
        let next = Line::load(slabs, spill);
        if next.used() == 0 && next.head & OVERFLOW == 0 {
            self.spill_free.push(Reverse(line.reference(slabs, LAST)));
            slabs.arena.store(at, line.head & !OVERFLOW);
        }
    }
}

/// Which of `buckets` a key with these bits belongs to.
#[inline]
pub(crate) fn bucket_of(bits: u32, buckets: u32) -> u32 {
    let mask = u32::MAX >> ((buckets - 1) | 1).leading_zeros();
    let bucket = bits & mask;
    if bucket < buckets {
        bucket
    } else {
        bucket & (mask >> 1)
    }
}

/// There is no such item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Not 0 if one of the ghosts in the last bucket, mostly the only one, may be its own.
    ghosts: u64,
}

impl Absent {
    /// Whether it is worth looking for a ghost of it.
    #[inline]
    pub(crate) fn may_have_a_ghost(self) -> bool {
        self.ghosts != 0
    }
}

/// There is neither a slot nor memory for another bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexFull;

/// The hash of a key that a chunk's number stands for.
#[cfg(test)]
fn hash(chunk: u32) -> KeyHash {
    KeyHash::from_raw(
        u64::from(chunk)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(17),
    )
}

/// The fingerprint of such a key in a store of one stripe.
#[cfg(test)]
fn fingerprint(chunk: u32) -> Fingerprint {
    Fingerprint::new(hash(chunk), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::outcome::ClassId;
    use crate::store::slab::{Queue, slabs_of};
    use std::collections::HashMap;

    #[test]
    fn everything_put_in_is_found_while_it_grows_and_shrinks() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        let place_of = |chunk: ChunkRef| hash(chunk.0).place();
        for chunk in 1..20_000 {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
            index.grow(&slabs, 0, place_of);
        }
        assert!(index.buckets() >= 20_000 / TARGET - 1);
        for chunk in 1..20_000 {
            let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
            let (slot, _) = found.unwrap_or_else(|_| panic!("chunk {chunk} is lost"));
            if chunk % 3 == 0 {
                index.remove(&slabs, fingerprint(chunk).bits, slot);
            }
        }
        let mut seen = HashMap::new();
        index.for_each(&slabs, |bucket, tag, chunk| {
            assert_eq!(index.bucket_of(fingerprint(chunk.0).bits), bucket);
            assert_eq!(tag, hash(chunk.0).tag());
            *seen.entry(chunk.0).or_insert(0) += 1;
        });
        assert_eq!(seen.len() as u32, index.items());
        assert!(
            seen.iter()
                .all(|(chunk, count)| chunk % 3 != 0 && *count == 1)
        );
    }

    #[test]
    fn buckets_spill_when_they_may_not_split() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        for chunk in 1..2_000 {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
        }
        for chunk in 1..2_000 {
            let (slot, _) = index
                .find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk))
                .expect("spilled, not lost");
            index.remove(&slabs, fingerprint(chunk).bits, slot);
        }
        assert_eq!(index.items(), 0);
    }

    #[test]
    fn ghosts_are_found_once_and_make_room_for_items() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        index.insert(&slabs, fingerprint(5), ChunkRef(5)).unwrap();
        let (slot, _) = index.find(&slabs, fingerprint(5), |_| true).unwrap();
        let epitaph = Epitaph::new(ClassId(7), Queue::Small, 33);
        index.bury(&slabs, slot, fingerprint(5).check, epitaph);
        let absent = index.find(&slabs, fingerprint(5), |_| true).unwrap_err();
        assert_ne!(absent.ghosts, 0);
        let asked = (0..2).map(|_| index.ask_ghost(&slabs, fingerprint(5)).unwrap());
        assert!(asked.eq([epitaph, epitaph.asked()]));
        let taken = index.take_ghost(&slabs, fingerprint(5));
        assert_eq!(taken, Some(epitaph.asked()));
        assert_eq!(index.take_ghost(&slabs, fingerprint(5)), None);
        assert_eq!(index.ask_ghost(&slabs, fingerprint(5)), None);

        let same_bucket: Vec<u32> = (1..)
            .filter(|&c| index.bucket_of(fingerprint(c).bits) == 3)
            .take(24)
            .collect();
        for &chunk in &same_bucket[..12] {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
            let (slot, _) = index
                .find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk))
                .unwrap();
            index.bury(&slabs, slot, fingerprint(chunk).check, epitaph);
        }
        for &chunk in &same_bucket[12..] {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
        }
        assert!(
            index.spill.is_empty(),
            "ghosts gave way before anything spilled"
        );
    }
}
