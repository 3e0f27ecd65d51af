//! A trace to make, and what all kinds have in common: how large the value of a key is.

use super::kind::{Kind, Value};
use crate::random::{mix, normal};

/// Popularity of the keys that come again; production caches lie between 0.6 and 1.2.
pub(super) const EXPONENT: f64 = 0.9;

/// A trace to make.
#[derive(Clone, Debug)]
pub(crate) struct Synthesis {
    pub(crate) kind: Kind,
    pub(crate) requests: u64,
    pub(crate) keys: u64,
    /// Items of one memory-full.
    pub(crate) full: u64,
    /// Memory-fulls that are set between the set of a key and its get.
    pub(crate) delay: f64,
    /// Memory-fulls that are set before the newest are got.
    pub(crate) times: f64,
    pub(crate) value: Value,
    pub(crate) seed: u64,
}

impl Synthesis {
    pub(super) fn size(&self, key: u64) -> u64 {
        match self.value {
            Value::Small => lognormal(self.of(key), 150.0, 0.8),
            Value::Fixed(size) => size,
            Value::Mix => lognormal(self.of(key), 300.0, 1.0).clamp(10, 8000),
        }
    }

    /// A number that belongs to a key of this trace.
    pub(super) fn of(&self, key: u64) -> u64 {
        mix(key ^ mix(self.seed))
    }
}

pub(super) fn lognormal(seed: u64, median: f64, sigma: f64) -> u64 {
    ((median * (sigma * normal(seed)).exp()) as u64).clamp(1, 900_000)
}
