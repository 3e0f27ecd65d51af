//! How a stripe's index becomes smaller: the reverse of its growth, a bucket at a time.
//!
//! Where there are few items for the buckets, the last bucket's are put back into the one that it
//! was split from. The segment of sixteen buckets that ends so is free, and so are those of spill
//! buckets; the index's pages are emptied when many are free, by moving segments: nothing but the
//! index itself knows where they are.

use crate::store::index::Index;
use crate::store::index::bucket::{BUCKETS_PER_SEGMENT, SLOTS, new_segment};
use crate::store::slab::{ChunkRef, PageId, Slabs, move_segment};

/// Items per bucket below which buckets are merged. A quarter of what splits them: nothing goes to
/// and fro.
const SPARSE: u32 = 2;

impl Index {
    /// Whether there are few items for the buckets.
    pub(crate) fn is_sparse(&self) -> bool {
        self.buckets > BUCKETS_PER_SEGMENT && self.items < self.buckets * SPARSE
    }

    /// Merges the last bucket with the one that it was split from, if there are few items for the
    /// buckets. False if nothing was done.
    pub(crate) fn merge(&mut self, slabs: &Slabs) -> bool {
        if !self.is_sparse() {
            return false;
        }
        let last = self.buckets - 1;
        let first = last - (1 << last.ilog2());
        let used = self.used_in(slabs, first) + self.used_in(slabs, last);
        // A spill bucket has one slot less: its first item was in the place of its number.
        let spills = used.saturating_sub(SLOTS).div_ceil(SLOTS - 1);
        if !self.reserve_spill(slabs, spills as usize) {
            return false;
        }
        // All of them, so that spill buckets gather in the lowest segments.
        let mut entries = std::mem::take(&mut self.moving);
        entries.clear();
        self.empty_bucket(slabs, last, &mut entries);
        self.empty_bucket(slabs, first, &mut entries);
        self.buckets = last;
        for entry in entries.iter().filter(|entry| !entry.ghost) {
            self.place(slabs, first, *entry)
                .expect("spill buckets were reserved above");
        }
        for ghost in entries.iter().filter(|entry| entry.ghost) {
            self.place_ghost(slabs, first, *ghost);
        }
        self.moving = entries;
        if self.buckets.is_multiple_of(BUCKETS_PER_SEGMENT) {
            let segment = self.segments.pop().expect("the merged bucket had one");
            slabs.return_chunk(segment);
        }
        self.release_spill(slabs);
        true
    }

    /// Items in a bucket and its spill buckets.
    fn used_in(&self, slabs: &Slabs, bucket: u32) -> u32 {
        let lines = self.lines(slabs, bucket);
        lines.map(|line| line.used().count_ones()).sum()
    }

    /// Sees to it that `count` spill buckets are free, if there is memory.
    fn reserve_spill(&mut self, slabs: &Slabs, count: usize) -> bool {
        while self.spill_free.len() < count {
            let Some(segment) = new_segment(slabs) else {
                return false;
            };
            self.add_spill(segment);
        }
        true
    }

    /// Returns the last segment of spill buckets if all of them are free.
    fn release_spill(&mut self, slabs: &Slabs) {
        let per_segment = BUCKETS_PER_SEGMENT as usize;
        let Some(&segment) = self.spill.last() else {
            return;
        };
        if self.spill_free.len() < per_segment {
            return;
        }
        let first = (self.spill.len() as u32 - 1) * BUCKETS_PER_SEGMENT;
        let in_last = self.spill_free.iter().filter(|id| id.0 >= first);
        if in_last.count() == per_segment {
            self.spill_free.retain(|id| id.0 < first);
            self.spill.pop();
            slabs.return_chunk(segment);
        }
    }

    /// Moves its segments out of a page that is being emptied. True if there were any.
    pub(crate) fn leave_page(&mut self, slabs: &Slabs, page: PageId) -> bool {
        let segments = self.segments.iter_mut().chain(&mut self.spill);
        let here = segments.filter(|segment| slabs.page_of(**segment) == page);
        here.map(|segment| move_segment(slabs, segment)).count() > 0
    }

    /// Its segments, those of spill buckets last; for validation.
    pub(crate) fn all_segments(&self) -> impl Iterator<Item = ChunkRef> {
        self.segments.iter().chain(&self.spill).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::{fingerprint, hash};
    use crate::store::slab::{INDEX, slabs_of};

    fn used(slabs: &Slabs) -> u64 {
        slabs.used_locked(&slabs.lock(INDEX), INDEX)
    }

    #[test]
    fn what_is_left_is_found_while_buckets_are_merged_and_split_again() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        let place_of = |chunk: ChunkRef| hash(chunk.0).place();
        for round in 0..3 {
            for chunk in 1..20_000 {
                let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
                if found.is_err() {
                    index
                        .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                        .unwrap();
                    index.grow(&slabs, 0, place_of);
                }
            }
            let (buckets, segments) = (index.buckets(), used(&slabs));
            assert!(!index.merge(&slabs), "it is full");
            let kept = |chunk: u32| chunk.is_multiple_of(50 + round);
            for chunk in (1..20_000).filter(|&chunk| !kept(chunk)) {
                let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
                let (slot, _) = found.expect("it is there");
                index.remove(&slabs, fingerprint(chunk).bits, slot);
                if chunk % 3 == 0 {
                    index.merge(&slabs);
                }
            }
            while index.merge(&slabs) {}
            assert!(index.buckets() < buckets / 10, "{buckets}");
            assert!(
                used(&slabs) < segments / 8,
                "{} of {segments}",
                used(&slabs)
            );
            for chunk in (1..20_000).filter(|&chunk| kept(chunk)) {
                let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
                assert!(found.is_ok(), "{chunk}");
            }
            let mut items = 0;
            index.for_each(&slabs, |bucket, _, chunk| {
                assert_eq!(index.bucket_of(fingerprint(chunk.0).bits), bucket);
                items += 1;
            });
            assert_eq!(items, index.items());
        }
    }

    #[test]
    fn many_items_of_one_bucket_are_merged_into_spill_buckets() {
        let slabs = slabs_of(8 << 20, 0);
        let mut index = Index::default();
        for chunk in 1..400 {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
            index.grow(&slabs, 0, |chunk| hash(chunk.0).place());
        }
        let buckets = index.buckets();
        // Those of the two buckets that are merged first, and none else.
        let last = buckets - 1;
        let pair = [last, last - (1 << last.ilog2())];
        let same: Vec<u32> = (1_000..)
            .filter(|&chunk| pair.contains(&index.bucket_of(fingerprint(chunk).bits)))
            .take(60)
            .collect();
        for &chunk in &same {
            index
                .insert(&slabs, fingerprint(chunk), ChunkRef(chunk))
                .unwrap();
        }
        for chunk in 1..400 {
            let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
            let (slot, _) = found.expect("it is there");
            index.remove(&slabs, fingerprint(chunk).bits, slot);
        }
        while index.merge(&slabs) {}
        assert!(index.buckets() < buckets);
        for &chunk in &same {
            let found = index.find(&slabs, fingerprint(chunk), |c| c == ChunkRef(chunk));
            assert!(found.is_ok(), "{chunk}");
        }
    }
}
