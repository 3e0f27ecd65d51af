//! What a run is to do: everything that the command line decides about a load.

use crate::load::{Choice, ValueSize};
use crate::socket::Peer;
use crate::wire::Wire;
use std::time::Duration;

/// Bytes of a prefilling batch at most, or one value if that is larger.
const PREFILL_BATCH: usize = 256 << 10;
const PREFILL_DEPTH_MAX: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Workload {
    Get,
    Set,
    /// Gets with this probability, else sets.
    Mixed {
        get_share: f64,
    },
}

/// Everything that decides a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) peer: Peer,
    pub(crate) wire: Wire,
    pub(crate) workload: Workload,
    /// Requests in a batch.
    pub(crate) depth: usize,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) requests: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) keys: u64,
    pub(crate) key_size: usize,
    pub(crate) value_size: ValueSize,
    pub(crate) choice: Choice,
    pub(crate) hit_ratio: f64,
    /// Requests per second, in an open loop.
    pub(crate) rate: Option<f64>,
    pub(crate) verify: bool,
    pub(crate) seed: u64,
    pub(crate) prefill: bool,
    pub(crate) warm_up: Option<Duration>,
    pub(crate) server_pid: Option<u32>,
}

impl Plan {
    /// Every key once, in order, as fast as it goes.
    pub(crate) fn prefilling(&self) -> Self {
        let depth = PREFILL_BATCH / self.value_size.typical().max(1);
        Self {
            workload: Workload::Set,
            depth: depth.clamp(1, PREFILL_DEPTH_MAX),
            requests: Some(self.keys),
            duration: None,
            choice: Choice::Sequential,
            rate: None,
            ..self.clone()
        }
    }

    pub(crate) fn warming_up(&self) -> Self {
        Self {
            requests: None,
            duration: self.warm_up,
            seed: self.seed ^ 0x7761_726d, // not the same sequence twice
            ..self.clone()
        }
    }
}

#[cfg(test)]
impl Plan {
    /// Fifty connections that get some keys.
    pub(crate) fn example() -> Self {
        use crate::socket::Address;
        use crate::wire::Protocol;

        Self {
            peer: Peer {
                address: Address::Tcp("cache:11211".into()),
                login: None,
                protocol: Protocol::Text,
            },
            wire: Wire {
                protocol: Protocol::Text,
                keys_per_get: 1,
                ttl_s: 0,
            },
            workload: Workload::Get,
            depth: 1,
            connections: 50,
            threads: 1,
            requests: None,
            duration: None,
            keys: 1000,
            key_size: 16,
            value_size: ValueSize::Fixed(100),
            choice: Choice::Uniform,
            hit_ratio: 1.0,
            rate: None,
            verify: false,
            seed: 1,
            prefill: false,
            warm_up: None,
            server_pid: None,
        }
    }
}
