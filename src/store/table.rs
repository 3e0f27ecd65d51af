//! What every room works on: the slabs that items lie in, and the stripes that find them there.

use crate::base::events::Events;
use crate::base::hash::{KeyHash, KeyHasher, Place};
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::settings::{EvictionPolicy, StoreSettings};
use crate::store::counters::{ClassSums, LaneTallies};
use crate::store::index::Fingerprint;
use crate::store::index::hints::Hints;
use crate::store::item::Header;
use crate::store::locks::{Rank, Ranked, RankedGuard};
use crate::store::outcome::ClassId;
use crate::store::slab::magazine::Magazines;
use crate::store::slab::{ChunkRef, RingEntry, Slabs};
use crate::store::stripe::{Found, Stripe};
use crossbeam::utils::CachePadded;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A key with its hash under the store's seed.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'a> {
    /// The key.
    pub key: Key<'a>,
    /// Its hash.
    pub hash: KeyHash,
}

/// The memory, the index over it, and what lanes have at hand and count.
pub(crate) struct Table {
    /// Itself, for values that are pinned.
    me: Weak<Table>,
    pub(crate) slabs: Slabs,
    pub(crate) stripes: Box<[CachePadded<Ranked<Stripe>>]>,
    pub(crate) stripe_bits: u32,
    pub(crate) hints: Hints,
    pub(crate) hasher: KeyHasher,
    /// What there is to tell watchers.
    pub(crate) events: Events,
    pub(crate) cas: bool,
    pub(crate) policy: EvictionPolicy,
    pub(crate) value_len_max: u32,
    /// By lane.
    pub(crate) magazines: Box<[CachePadded<Ranked<Magazines>>]>,
    pub(crate) tallies: Box<[CachePadded<LaneTallies>]>,
    /// Gets that found nothing, and new items under keys that had none, as the lanes report them.
    pub(crate) missed: CachePadded<AtomicU64>,
    pub(crate) created: CachePadded<AtomicU64>,
    /// Seconds that the item evicted last had been idle, by class.
    pub(crate) evicted_idle: Box<[AtomicU64]>,
}

impl Table {
    /// An empty one over `slabs`, with stripes and hints for `limit` bytes.
    pub(crate) fn new(
        settings: &StoreSettings,
        slabs: Slabs,
        limit: u64,
        lanes: usize,
    ) -> Arc<Self> {
        let stripe_bits = stripe_bits(limit);
        let classes = slabs.sizes.len();
        let stripe = || CachePadded::new(Ranked::new(Rank::Stripe, Stripe::default()));
        let magazines = || CachePadded::new(Ranked::new(Rank::Magazines, Magazines::new(classes)));
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            slabs,
            stripes: (0..1 << stripe_bits).map(|_| stripe()).collect(),
            stripe_bits,
            hints: Hints::new(limit, stripe_bits),
            hasher: settings
                .hash_seed
                .map_or_else(KeyHasher::random, KeyHasher::with_seed),
            events: Events::new(lanes),
            cas: settings.cas,
            policy: settings.policy,
            value_len_max: settings.item_size_max,
            magazines: (0..lanes).map(|_| magazines()).collect(),
            tallies: (0..lanes)
                .map(|_| CachePadded::new(LaneTallies::new(classes)))
                .collect(),
            missed: CachePadded::default(),
            created: CachePadded::default(),
            evicted_idle: (0..classes).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Bytes that stripes and hints take under a limit of `limit`.
    pub(crate) fn overhead(limit: u64) -> u64 {
        let stripe_bits = stripe_bits(limit);
        let stripe = size_of::<CachePadded<Ranked<Stripe>>>() as u64;
        (stripe << stripe_bits) + Hints::size(limit, stripe_bits)
    }

    /// One more owner.
    pub(crate) fn share(&self) -> Arc<Self> {
        self.me
            .upgrade()
            .expect("whoever has a reference keeps it alive")
    }

    #[inline]
    pub(crate) fn stripe(&self, place: Place) -> RankedGuard<'_, Stripe> {
        self.stripes[place.stripe(self.stripe_bits)].lock()
    }

    #[inline]
    pub(crate) fn fingerprint(&self, hash: KeyHash) -> Fingerprint {
        Fingerprint::new(hash, self.stripe_bits)
    }

    /// The CAS id that clients see.
    #[inline]
    pub(crate) fn cas_id(&self, place: Place, chunk: ChunkRef, header: Header) -> u64 {
        if !self.cas {
            return 0;
        }
        self.cas_shown(place, self.slabs.explicit_cas(chunk, header), header.high)
    }

    /// The CAS id that clients see of an item with this CAS counter, or with an id of its own.
    #[inline]
    pub(crate) fn cas_shown(&self, place: Place, explicit: Option<u64>, counter: u32) -> u64 {
        if !self.cas {
            return 0;
        }
        explicit.unwrap_or_else(|| {
            let stripe = place.stripe(self.stripe_bits) as u64;
            u64::from(counter).wrapping_shl(self.stripe_bits) | stripe
        })
    }

    /// Starts loading the line of the index for a key with this hash: for many keys at once, so
    /// that looking for them waits once.
    pub(crate) fn prefetch_bucket(&self, hash: KeyHash) {
        let place = hash.place();
        let bits = place.bucket_bits(self.stripe_bits);
        if let Some(bucket) = self.hints.bucket(&self.slabs, place, bits) {
            self.slabs.arena.prefetch(bucket);
        }
    }

    /// The hash of the item in `chunk`, which may be about to change under us.
    pub(crate) fn hash_of(&self, chunk: ChunkRef) -> Option<KeyHash> {
        let mut buffer = [0; KEY_LEN_MAX];
        self.slabs
            .key_of(chunk, &mut buffer)
            .map(|key| self.hasher.hash(key))
    }

    /// The place of an item that is linked in a stripe the caller has locked.
    pub(crate) fn place_of(&self, chunk: ChunkRef) -> Place {
        self.hash_of(chunk)
            .expect("a linked item has a key of legal length")
            .place()
    }

    /// The hash of the item that a ring entry names; `None` if the entry is stale. What is seen
    /// without the stripe's lock is true of an item that is and stays in the ring.
    pub(crate) fn entry_hash(&self, entry: RingEntry) -> Option<KeyHash> {
        let header = self.slabs.header(entry.chunk);
        if !header.is_linked_item() || header.is_main() {
            return None;
        }
        let hash = self.hash_of(entry.chunk)?;
        entry.is_of(hash.place()).then_some(hash)
    }

    /// The item in `chunk` if it is one with this hash, and its stripe.
    pub(crate) fn item_in(
        &self,
        chunk: ChunkRef,
        hash: KeyHash,
    ) -> (RankedGuard<'_, Stripe>, Option<Found>) {
        let stripe = self.stripe(hash.place());
        let found = stripe.item_in(&self.slabs, self.fingerprint(hash), chunk);
        (stripe, found)
    }

    /// What all lanes have counted of a class.
    pub(crate) fn sums(&self, class: ClassId) -> ClassSums {
        let mut sums = ClassSums::default();
        for lane in &self.tallies {
            sums.add(lane.class(class.0));
        }
        sums
    }

    /// Seconds since its last access of the item of `class` that was evicted last.
    pub(crate) fn evicted_idle(&self, class: ClassId) -> u64 {
        self.evicted_idle[usize::from(class.0)].load(Ordering::Relaxed)
    }
}

/// One stripe for every 512 KiB of memory: 128 at 64 MiB, 2048 at 1 GiB. With fewer, threads meet;
/// with more, half-used index segments waste memory.
pub(crate) fn stripe_bits(limit: u64) -> u32 {
    (limit >> 19).clamp(4, 4096).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_take_a_two_thousandth_of_the_memory() {
        for limit in [1_u64 << 20, 64 << 20, 1 << 30, 64 << 30] {
            let stripe_bits = stripe_bits(limit);
            let size = Hints::size(limit, stripe_bits);
            assert!(size <= limit / 2_000 + 20_000, "{size} of {limit}");
        }
    }
}
