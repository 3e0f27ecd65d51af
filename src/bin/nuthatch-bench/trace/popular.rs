//! The kinds whose lines are drawn one by one: popular keys fetched, beside what disturbs a cache.

use super::kind::Kind;
use super::lines::Request;
use super::synthesis::{Synthesis, lognormal};
use crate::random::Random;

/// Keys that come once are numbered from here, scans from there: they never meet the others.
pub(super) const ONCE_FROM: u64 = 1 << 40;
pub(super) const SCAN_FROM: u64 = 1 << 41;

/// Of 100 requests outside of scans, so many are for keys that come once.
const ONCE_PERCENT: u64 = 15;

/// A scan begins every so many requests and takes a tenth of them.
const SCAN_EVERY: u64 = 50_000;
const SCAN_LEN: u64 = SCAN_EVERY / 10;

/// Scans walk the same range again after this many, as a nightly job does.
const SCANS: u64 = 8;

/// During a drifting trace, the popular keys are replaced this often.
const DRIFT_ROUNDS: u64 = 4;

/// Values of a shifting trace, by quarter.
const SHIFT_SIZES: [u64; 4] = [100, 10_000, 500_000, 100];

/// Bytes that the keys of one quarter of a shifting trace have together: larger values, fewer keys.
const SHIFT_BYTES: u64 = 1 << 30;

impl Synthesis {
    /// Request `number`, for which popularity has drawn `rank`.
    pub(super) fn request(&self, number: u64, rank: u64, random: &mut Random) -> Request {
        let plain = |key| Request::fetch(key, self.size(key));
        match self.kind {
            Kind::Drift => plain(self.drifted(number, rank)),
            Kind::Ttl => {
                let request = plain(often_or_once(rank, random));
                Request {
                    ttl_s: self.ttl(request.key),
                    ..request
                }
            }
            Kind::Sizes => Request::fetch(rank, lognormal(self.of(rank), 1000.0, 1.8)),
            Kind::Shift => self.shifted(number, rank, random),
            _ => plain(scanning(number).unwrap_or_else(|| often_or_once(rank, random))),
        }
    }

    /// Every key's hot time passes: rank r is held by another key after a while, and the keys of
    /// neighbouring ranks change one after the other, not all at once.
    fn drifted(&self, number: u64, rank: u64) -> u64 {
        let lifetime = (self.requests / DRIFT_ROUNDS).max(1);
        let birthday = self.of(rank) % lifetime;
        let generation = (number + birthday) / lifetime;
        generation * self.keys + rank
    }

    fn shifted(&self, number: u64, rank: u64, random: &mut Random) -> Request {
        let quarter = (number * 4 / self.requests).min(3);
        let size = SHIFT_SIZES[quarter as usize];
        let keys = (SHIFT_BYTES / size).clamp(1, self.keys);
        // The draw is over all keys; folded, it would not be Zipf's. A part draws anew.
        let within = if rank < keys {
            rank
        } else {
            random.below(keys)
        };
        Request::fetch(quarter * self.keys + within, size)
    }

    fn ttl(&self, key: u64) -> Option<u32> {
        match self.of(key) % 3 {
            0 => Some(2 + (self.of(key) >> 32) as u32 % 8),
            1 => Some(60 + (self.of(key) >> 32) as u32 % 240),
            _ => None,
        }
    }
}

/// The scan that is going on at this point, if any.
fn scanning(number: u64) -> Option<u64> {
    let (round, at) = (number / SCAN_EVERY, number % SCAN_EVERY);
    let from = SCAN_EVERY - SCAN_LEN;
    (at >= from).then(|| SCAN_FROM + (round % SCANS) * SCAN_LEN + (at - from))
}

fn often_or_once(rank: u64, random: &mut Random) -> u64 {
    if random.below(100) < ONCE_PERCENT {
        ONCE_FROM + (random.next() >> 24)
    } else {
        rank
    }
}
