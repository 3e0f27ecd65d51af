//! Where the index's buckets are, for those who hold no lock.
//!
//! A prefetch needs an address and nothing else: one that is out of date costs a cache line that
//! nobody reads. So what finds a bucket, a stripe's number of buckets and its segments, is noted
//! here a second time, in atomics that are written under the stripe's lock and read without it.
//!
//! A stripe has room for a fixed number of segments; where it comes to have more, later ones take
//! the places of earlier ones, and buckets of those are not found ahead of time any more.

use crate::base::hash::Place;
use crate::store::index::bucket::segment_of;
use crate::store::index::{Index, bucket_of};
use crate::store::slab::{ChunkRef, Slabs};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of memory for each segment that can be noted: a segment leads to some 128 items, which
/// take more than that unless they are tiny.
const BYTES_PER_SEGMENT: u64 = 8 << 10;

/// Bucket addresses, by stripe.
pub(crate) struct Hints {
    stripe_bits: u32,
    /// log2 of the segments that are noted of a stripe.
    row_bits: u32,
    /// Buckets of each stripe. Written after the segments: whoever sees a bucket sees its segment.
    buckets: Box<[AtomicU32]>,
    /// Segments, in rows by stripe.
    segments: Box<[AtomicU32]>,
}

impl Hints {
    /// For a store of `limit` bytes.
    pub(crate) fn new(limit: u64, stripe_bits: u32) -> Self {
        let row_bits = row_bits(limit, stripe_bits);
        let zeros = |bits: u32| (0..1_u64 << bits).map(|_| AtomicU32::new(0)).collect();
        Self {
            stripe_bits,
            row_bits,
            buckets: zeros(stripe_bits),
            segments: zeros(stripe_bits + row_bits),
        }
    }

    /// Bytes that one takes.
    pub(crate) fn size(limit: u64, stripe_bits: u32) -> u64 {
        let word = size_of::<AtomicU32>() as u64;
        (word << stripe_bits) + (word << (stripe_bits + row_bits(limit, stripe_bits)))
    }

    /// Notes that the index of `place`'s stripe has got another bucket.
    pub(crate) fn note(&self, place: Place, index: &Index) {
        let stripe = place.stripe(self.stripe_bits);
        if let Some((number, segment)) = index.last_segment() {
            self.segments[self.at(stripe, number)].store(segment.0, Ordering::Relaxed);
        }
        self.buckets[stripe].store(index.buckets(), Ordering::Release);
    }

    /// Notes anew where the index of a stripe is: it has become smaller, or segments have moved.
    pub(crate) fn note_all(&self, stripe: usize, index: &Index) {
        // Nobody is to find a bucket that is not there any more.
        self.buckets[stripe].store(index.buckets(), Ordering::Release);
        for (number, segment) in (0..).zip(index.segments()) {
            self.segments[self.at(stripe, number)].store(segment.0, Ordering::Relaxed);
        }
    }

    /// Where the bucket of a key with these bits seems to be.
    #[inline]
    pub(crate) fn bucket(&self, slabs: &Slabs, place: Place, bits: u32) -> Option<usize> {
        let stripe = place.stripe(self.stripe_bits);
        let buckets = self.buckets[stripe].load(Ordering::Acquire);
        if buckets == 0 {
            return None;
        }
        let (number, within) = segment_of(bucket_of(bits, buckets));
        let segment = self.segments[self.at(stripe, number)].load(Ordering::Relaxed);
        Some(slabs.offset(ChunkRef(segment)).wrapping_add(within))
    }

    #[inline]
    fn at(&self, stripe: usize, number: u32) -> usize {
        stripe.wrapping_shl(self.row_bits) | number as usize & !(usize::MAX << self.row_bits)
    }
}

/// Enough for the memory that a stripe has at the start.
fn row_bits(limit: u64, stripe_bits: u32) -> u32 {
    let most = (limit / BYTES_PER_SEGMENT) >> stripe_bits;
    most.next_power_of_two().ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::{Fingerprint, hash};
    use crate::store::slab::slabs_of;

    #[test]
    fn buckets_are_where_the_index_has_them_until_a_row_is_full() {
        let slabs = slabs_of(8 << 20, 0);
        let hints = Hints::new(1 << 20, 1);
        let (mut index, mut wrong) = (Index::default(), 0);
        for chunk in 1..20_000 {
            let fingerprint = Fingerprint::new(hash(chunk), 1);
            let place = Place(hash(chunk).place().0 & !1);
            index.insert(&slabs, fingerprint, ChunkRef(chunk)).unwrap();
            index.grow(&slabs, 1, |chunk| hash(chunk.0).place());
            hints.note(place, &index);
            let found = hints.bucket(&slabs, place, fingerprint.bits);
            wrong += u32::from(found != index.bucket_at(&slabs, fingerprint.bits));
            assert!(wrong == 0 || index.buckets() > 64 * 16, "at {chunk} items");
        }
        assert!(wrong > 0, "a row of 64 segments was overrun");
        assert_eq!(
            hints.bucket(&slabs, Place(1), Fingerprint::new(hash(1), 1).bits),
            None
        );
    }
}
