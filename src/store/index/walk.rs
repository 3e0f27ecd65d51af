//! A walk over a stripe's index that needs no snapshot: what grows and shrinks meanwhile changes
//! neither what has been visited nor what is left.
//!
//! Buckets go by the low bits of a key's hash: a split takes one bit more to tell keys apart, a
//! merge one bit less. So the walk goes by those bits *backwards*, the lowest counting most. In
//! that order the keys of a bucket are neighbours, and so are the two halves of a bucket that is
//! split, and the two buckets that are merged:
//!
//! ```text
//!   bits, backwards   00....    010...    011...    10....    11....
//!   buckets           │   0   │    2    │    6    │    1    │    3    │
//!                     │   0   │         2         │    1    │    3    │   6 was merged with 2
//!                                       ▲ the walk goes on here: of bucket 2 it visits
//!                                         only what was in bucket 6
//! ```
//!
//! Each key has one position in that order, whatever happens to buckets and however often its item
//! is replaced. The walk passes each position once.

use crate::base::hash::Place;
use crate::store::index::Index;
use crate::store::slab::{ChunkRef, Slabs};

/// Where a key is in the walk's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u32);

impl Position {
    fn of(place: Place, stripe_bits: u32) -> Self {
        Self(place.bucket_bits(stripe_bits).reverse_bits())
    }
}

impl Index {
    /// Appends to `found` what is in the bucket at `from`, but for what is before `from`. Returns
    /// where the next bucket begins, if there is one.
    ///
    /// `place_of` tells an item's place. It is asked only where two buckets have been merged since
    /// the walk was in one of them.
    pub(crate) fn visit(
        &self,
        slabs: &Slabs,
        stripe_bits: u32,
        from: Position,
        found: &mut Vec<ChunkRef>,
        place_of: impl Fn(ChunkRef) -> Place,
    ) -> Option<Position> {
        if self.buckets() == 0 {
            return None;
        }
        let bucket = self.bucket_of(from.0.reverse_bits());
        let begin = Position(bucket.reverse_bits());
        let is_left =
            |&chunk: &ChunkRef| begin == from || Position::of(place_of(chunk), stripe_bits) >= from;
        for line in self.lines(slabs, bucket) {
            let chunks = line.used_slots();
            let chunks = chunks.map(|number| ChunkRef(line.reference(slabs, number)));
            found.extend(chunks.filter(is_left));
        }
        let len = 1_u64 << (u32::BITS - self.depth_of(bucket));
        let next = u64::from(begin.0) + len;
        u32::try_from(next).ok().map(Position)
    }

    /// How many bits all keys of a bucket have in common.
    fn depth_of(&self, bucket: u32) -> u32 {
        // The bit that tells it from the bucket that it was split from, or will be split into.
        let level = (self.buckets() - 1).checked_ilog2().unwrap_or(0);
        let sibling = bucket ^ 1 << level;
        if sibling < self.buckets() {
            level + 1
        } else {
            level
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::{Fingerprint, fingerprint, hash};
    use crate::store::slab::slabs_of;
    use std::collections::BTreeMap;

    fn place_of(chunk: ChunkRef) -> Place {
        hash(chunk.0).place()
    }

    fn insert(index: &mut Index, slabs: &Slabs, chunk: u32) {
        let added = index.insert(slabs, fingerprint(chunk), ChunkRef(chunk));
        added.unwrap();
        index.grow(slabs, 0, place_of);
    }

    fn remove(index: &mut Index, slabs: &Slabs, chunk: u32) {
        let found = index.find(slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
        let (slot, _) = found.expect("it is there");
        index.remove(slabs, fingerprint(chunk).bits, slot);
    }

    /// Walks to the end and lets `meanwhile` change the index after each bucket. Says how often
    /// each chunk was met, and how many buckets there were.
    fn walk(
        index: &mut Index,
        slabs: &Slabs,
        mut meanwhile: impl FnMut(&mut Index, u32),
    ) -> (BTreeMap<u32, u32>, u32) {
        let (mut met, mut visits) = (BTreeMap::new(), 0);
        let (mut from, mut found) = (Position::default(), vec![]);
        loop {
            let next = index.visit(slabs, 0, from, &mut found, place_of);
            visits += 1;
            for chunk in found.drain(..) {
                *met.entry(chunk.0).or_insert(0) += 1;
            }
            match next {
                Some(next) => from = next,
                None => return (met, visits),
            }
            meanwhile(index, visits);
        }
    }

    #[test]
    fn at_rest_every_bucket_is_visited_once_and_every_item_met() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        let (met, visits) = walk(&mut index, &slabs, |_, _| ());
        assert!(met.is_empty() && visits == 1);
        for chunk in 1..3_000 {
            insert(&mut index, &slabs, chunk);
            if chunk % 97 == 0 {
                let (met, visits) = walk(&mut index, &slabs, |_, _| ());
                assert_eq!(visits, index.buckets());
                assert!(met.keys().copied().eq(1..=chunk));
                assert!(met.values().all(|times| *times == 1));
            }
        }
    }

    #[test]
    fn growing_and_shrinking_hide_nothing_and_show_nothing_twice() {
        for phase in 3..13 {
            let slabs = slabs_of(8 << 20, 0);
            let mut index = Index::default();
            // These stay; the others come and go.
            (1..=400).for_each(|chunk| insert(&mut index, &slabs, chunk));
            let (mut first, mut end) = (401, 401);
            let mut changes = [0; 2];
            let (met, _) = walk(&mut index, &slabs, |index, visits| {
                let before = index.buckets();
                if (visits / phase).is_multiple_of(2) {
                    (end..end + 600).for_each(|chunk| insert(index, &slabs, chunk));
                    end += 600;
                } else {
                    (first..end).for_each(|chunk| remove(index, &slabs, chunk));
                    first = end;
                    for _ in 0..100 {
                        index.merge(&slabs);
                    }
                }
                changes[0] += u32::from(index.buckets() > before);
                changes[1] += u32::from(index.buckets() < before);
            });
            assert!(changes.iter().all(|times| *times > 3), "{changes:?}");
            for chunk in 1..=400 {
                assert_eq!(met.get(&chunk), Some(&1), "chunk {chunk}, phase {phase}");
            }
            assert!(met.values().all(|times| *times == 1), "phase {phase}");
        }
    }

    #[test]
    fn stripes_take_the_low_bits_away() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        for chunk in 1..2_000 {
            let fingerprint = Fingerprint::new(hash(chunk), 7);
            index.insert(&slabs, fingerprint, ChunkRef(chunk)).unwrap();
            index.grow(&slabs, 7, place_of);
        }
        let (mut from, mut found) = (Some(Position::default()), vec![]);
        while let Some(position) = from {
            from = index.visit(&slabs, 7, position, &mut found, place_of);
        }
        let mut chunks: Vec<u32> = found.iter().map(|chunk| chunk.0).collect();
        chunks.sort_unstable();
        assert!(chunks.into_iter().eq(1..2_000));
    }
}
