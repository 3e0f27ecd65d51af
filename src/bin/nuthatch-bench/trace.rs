//! Generated traces, for measuring hit ratios where no recorded one can be had.
//!
//! | kind | what it is like |
//! |---|---|
//! | zipf | popular keys, with scans over cold ranges and keys that come once |
//! | drift | popular keys, and which ones are popular changes all the time |
//! | ttl | as zipf without scans; a third live for seconds, a third for minutes, a third for ever |
//! | sizes | popular keys with lognormal sizes from bytes to hundreds of KB |
//! | shift | values of 100 B, then 10 KB, 500 KB, and 100 B again, each quarter on new keys |

use crate::failure::Failure;
use crate::random::{Random, Zipf, mix, normal};
use std::io::{BufWriter, ErrorKind, Write};

/// What a trace is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Zipf,
    Drift,
    Ttl,
    Sizes,
    Shift,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Zipf, Self::Drift, Self::Ttl, Self::Sizes, Self::Shift];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Drift => "drift",
            Self::Ttl => "ttl",
            Self::Sizes => "sizes",
            Self::Shift => "shift",
        }
    }
}

/// A trace to make.
#[derive(Clone, Debug)]
pub(crate) struct Synthesis {
    pub(crate) kind: Kind,
    pub(crate) requests: u64,
    pub(crate) keys: u64,
    pub(crate) seed: u64,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    key: u64,
    size: u64,
    ttl_s: Option<u32>,
}

/// Popularity of the keys that come again; production caches lie between 0.6 and 1.2.
const EXPONENT: f64 = 0.9;

/// Keys that come once are numbered from here, scans from there: they never meet the others.
const ONCE_FROM: u64 = 1 << 40;
const SCAN_FROM: u64 = 1 << 41;

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
    pub(crate) fn write(&self, out: impl Write) -> Result<(), Failure> {
        let mut out = BufWriter::new(out);
        let result = self.write_lines(&mut out).and_then(|()| out.flush());
        match result {
            // A reader that has seen enough (`| head`) is no failure.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Failure::during("write the trace")),
        }
    }

    fn write_lines(&self, out: &mut impl Write) -> std::io::Result<()> {
        let mut random = Random::new(self.seed);
        let zipf = Zipf::new(self.keys, EXPONENT);
        for number in 0..self.requests {
            let request = self.request(number, zipf.sample(&mut random), &mut random);
            write!(out, "{} {}", request.key, request.size)?;
            if let Some(ttl_s) = request.ttl_s {
                write!(out, " {ttl_s}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Request `number`, for which popularity has drawn `rank`.
    fn request(&self, number: u64, rank: u64, random: &mut Random) -> Request {
        let plain = |key| Request {
            key,
            size: self.small(key),
            ttl_s: None,
        };
        match self.kind {
            Kind::Zipf => plain(scanning(number).unwrap_or_else(|| often_or_once(rank, random))),
            Kind::Drift => plain(self.drifted(number, rank)),
            Kind::Ttl => {
                let request = plain(often_or_once(rank, random));
                Request {
                    ttl_s: self.ttl(request.key),
                    ..request
                }
            }
            Kind::Sizes => Request {
                size: lognormal(self.of(rank), 1000.0, 1.8),
                ..plain(rank)
            },
            Kind::Shift => self.shifted(number, rank, random),
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
        Request {
            key: quarter * self.keys + within,
            size,
            ttl_s: None,
        }
    }

    fn ttl(&self, key: u64) -> Option<u32> {
        match self.of(key) % 3 {
            0 => Some(2 + (self.of(key) >> 32) as u32 % 8),
            1 => Some(60 + (self.of(key) >> 32) as u32 % 240),
            _ => None,
        }
    }

    /// The usual size of a small object.
    fn small(&self, key: u64) -> u64 {
        lognormal(self.of(key), 150.0, 0.8)
    }

    /// A number that belongs to a key of this trace.
    fn of(&self, key: u64) -> u64 {
        mix(key ^ mix(self.seed))
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

fn lognormal(seed: u64, median: f64, sigma: f64) -> u64 {
    ((median * (sigma * normal(seed)).exp()) as u64).clamp(1, 900_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(kind: Kind, seed: u64) -> Vec<String> {
        let synthesis = Synthesis {
            kind,
            requests: 100_000,
            keys: 10_000,
            seed,
        };
        let mut out = vec![];
        synthesis.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(String::from).collect()
    }

    fn column(lines: &[String], index: usize) -> Vec<u64> {
        let word = |line: &String| line.split(' ').nth(index)?.parse().ok();
        lines.iter().filter_map(word).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_trace() {
        for kind in Kind::ALL {
            let first = lines(kind, 1);
            assert_eq!(first.len(), 100_000);
            assert!(first == lines(kind, 1), "{}", kind.name());
            assert!(first != lines(kind, 2), "{}", kind.name());
        }
    }

    #[test]
    fn a_key_keeps_its_size() {
        for kind in Kind::ALL {
            let lines = lines(kind, 1);
            let mut sizes = std::collections::HashMap::new();
            for (key, size) in column(&lines, 0).into_iter().zip(column(&lines, 1)) {
                assert_eq!(*sizes.entry(key).or_insert(size), size, "{}", kind.name());
            }
        }
    }

    #[test]
    fn zipf_has_scans_and_keys_that_come_once() {
        let keys = column(&lines(Kind::Zipf, 1), 0);
        let scanned = keys.iter().filter(|&&key| key >= SCAN_FROM).count();
        assert_eq!(scanned, 10_000);
        let once = keys
            .iter()
            .filter(|&&key| (ONCE_FROM..SCAN_FROM).contains(&key));
        assert!((12_000..15_000).contains(&once.count()));
    }

    #[test]
    fn drift_replaces_the_popular_keys() {
        let keys = column(&lines(Kind::Drift, 1), 0);
        let tops = [0..10_000, 90_000..100_000].map(|range| {
            let mut counts = std::collections::HashMap::new();
            keys[range]
                .iter()
                .for_each(|key| *counts.entry(key).or_insert(0) += 1);
            counts
                .into_iter()
                .max_by_key(|&(_, count)| count)
                .unwrap()
                .0
        });
        assert_ne!(tops[0], tops[1]);
    }

    #[test]
    fn a_third_of_the_keys_have_each_kind_of_ttl() {
        let lines = lines(Kind::Ttl, 1);
        let ttls = column(&lines, 2);
        let short = ttls.iter().filter(|&&ttl| ttl < 60).count();
        assert!((0.4..0.9).contains(&(ttls.len() as f64 / 1e5)));
        assert!((0.2..0.8).contains(&(short as f64 / ttls.len() as f64)));
    }

    #[test]
    fn shift_changes_its_sizes_by_quarter() {
        let sizes = column(&lines(Kind::Shift, 1), 1);
        let ends = [0, 24_999, 25_000, 50_000, 75_000, 99_999].map(|at: usize| sizes[at]);
        assert_eq!(ends, [100, 100, 10_000, 500_000, 100, 100]);
    }
}
