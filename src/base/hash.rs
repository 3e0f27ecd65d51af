//! One 64-bit hash per key, cut into the parts that the store uses.
//!
//! ```text
//!   63      56 55                 32 31                                0
//!   ┌─────────┬─────────────────────┬──────────────────────────────────┐
//!   │  tag 8  │         -           │   place 32: stripe, then bucket  │
//!   └─────────┴─────────────────────┴──────────────────────────────────┘
//! ```
//!
//! The parts do not overlap, so a tag says something new about a key whose bucket is known.

use crate::base::key::Key;
use ahash::RandomState;

/// Where the tag begins.
const TAG_SHIFT: u32 = 56;

const _: () = assert!(
    u32::BITS <= TAG_SHIFT && TAG_SHIFT + u8::BITS == u64::BITS,
    "tag and place do not overlap"
);

/// The hash of one key under this process's random seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Wraps a raw hash: for tests that need keys to collide.
    #[must_use]
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The 32 bits that choose stripe (low bits) and bucket (the rest).
    #[inline]
    #[must_use]
    pub fn place(self) -> Place {
        Place(self.0 as u32)
    }

    /// One byte kept beside each index reference, so that a miss rarely touches an item.
    #[inline]
    #[must_use]
    pub fn tag(self) -> u8 {
        (self.0 >> TAG_SHIFT) as u8
    }
}

/// Where in the index a key belongs: enough to find it again without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

impl Place {
    /// The stripe's number among `1 << stripe_bits`.
    #[inline]
    #[must_use]
    pub fn stripe(self, stripe_bits: u32) -> usize {
        (self.0 & !(u32::MAX.wrapping_shl(stripe_bits))) as usize
    }

    /// The bits that choose a bucket inside the stripe.
    #[inline]
    #[must_use]
    pub fn bucket_bits(self, stripe_bits: u32) -> u32 {
        self.0.wrapping_shr(stripe_bits)
    }
}

/// Hashes keys with a seed drawn at start, so that nobody outside can choose colliding keys.
#[derive(Clone, Debug)]
pub struct KeyHasher(RandomState);

impl KeyHasher {
    /// A hasher with a seed from the operating system.
    #[must_use]
    pub fn random() -> Self {
        Self(RandomState::new())
    }

    /// A hasher whose results are the same in every run of this build: for simulations.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self(RandomState::with_seeds(
            seed,
            !seed,
            seed.rotate_left(32),
            0x6e75_7468,
        ))
    }

    /// The key's hash.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: Key<'_>) -> KeyHash {
        KeyHash(self.0.hash_one(key.as_bytes()))
    }
}
