//! Generated traces, for measuring hit ratios where no recorded one can be had.
//!
//! Kinds of `--requests` lines for `--keys` keys, fetched (cache-aside):
//!
//! | kind | what it is like |
//! |---|---|
//! | zipf | popular keys, with scans over cold ranges and keys that come once |
//! | drift | popular keys, and which ones are popular changes all the time |
//! | ttl | as zipf without scans; a third live for seconds, a third for minutes, a third for ever |
//! | sizes | popular keys with lognormal sizes from bytes to hundreds of KB |
//! | shift | values of 100 B, then 10 KB, 500 KB, and 100 B again, each quarter on new keys |
//!
//! The others are measured in memory-fulls of `--full` items. Popular keys are 5 memory-fulls,
//! drawn by Zipf's law. D is `--delay`, T is `--times`; a star marks the kinds whose length follows
//! from these, without `--requests`.
//!
//! | kind | what it is like |
//! |---|---|
//! | newest* | T memory-fulls of new keys are set; then the newest 40 % of one are got |
//! | once* | 6 memory-fulls of keys are set, each got once after D memory-fulls of further sets |
//! | reads* | 6 memory-fulls of keys are set, each got 3 times at random within D memory-fulls |
//! | mix | a third each: popular keys fetched; sets of new keys; each got once as in once |
//! | abandoned* | popular keys fetched, 10 memory-fulls; one of new keys set, the newest 60 % got |
//! | updates | popular keys, half of the time got, half of the time set |
//! | feeds | a fifth sets the next key in order, the others fetch keys, the latest most often |
//! | counters | half counts popular counters, a tenth gets them; the others use popular lists |
//! | loop | 1.5 memory-fulls are fetched in order, again and again |
//! | scan | popular keys fetched, and in the middle 3 memory-fulls of new keys in order |
//! | switch | popular keys fetched, and at half time all are replaced by others |
//! | daynight | two sets of popular keys, fetched in turns of 2 memory-fulls of requests |
//! | zigzag | 2 memory-fulls are fetched to and fro |
//!
//! A [`MARK`](crate::replay::MARK) stands where a warm-up ends: half-way through the gets of once
//! and reads, before the gets of newest and abandoned, and after a fifth of mix, updates, feeds and
//! counters.

mod kind;
mod lines;
mod popular;
mod scenes;
mod synthesis;

pub(crate) use kind::{Kind, Value};
pub(crate) use synthesis::Synthesis;

use crate::failure::Failure;
use crate::output;
use crate::random::{Random, Zipf};
use lines::Lines;
use std::io::{self, Write};
use synthesis::EXPONENT;

impl Synthesis {
    pub(crate) fn write(&self, out: impl Write) -> Result<(), Failure> {
        let mut lines = Lines::new(out);
        let result = self.write_lines(&mut lines).and_then(|()| lines.flush());
        output::is_read(result).map(|_| ())
    }

    fn write_lines(&self, lines: &mut Lines<impl Write>) -> io::Result<()> {
        let mut random = Random::new(self.seed);
        match self.kind {
            Kind::Zipf | Kind::Drift | Kind::Ttl | Kind::Sizes | Kind::Shift => {
                let zipf = Zipf::new(self.keys, EXPONENT);
                for number in 0..self.requests {
                    let rank = zipf.sample(&mut random);
                    lines.put(self.request(number, rank, &mut random))?;
                }
                Ok(())
            }
            _ => self.write_scene(lines, &mut random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;
    use crate::replay::MARK;

    use std::collections::{HashMap, HashSet};

    /// A memory-full of the scenes below.
    const FULL: u64 = 1000;

    fn synthesis(kind: Kind, seed: u64) -> Synthesis {
        Synthesis {
            kind,
            requests: 100_000,
            keys: 10_000,
            full: FULL,
            delay: 0.5,
            times: 1.5,
            value: Value::Small,
            seed,
        }
    }

    fn text(synthesis: &Synthesis) -> String {
        let mut out = vec![];
        synthesis.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn lines(kind: Kind, seed: u64) -> Vec<String> {
        let text = text(&synthesis(kind, seed));
        text.lines()
            .filter(|&line| line != MARK)
            .map(String::from)
            .collect()
    }

    fn column(lines: &[String], index: usize) -> Vec<u64> {
        let word = |line: &String| line.split(' ').nth(index)?.parse().ok();
        lines.iter().filter_map(word).collect()
    }

    /// Operations and keys, before the mark and after it.
    fn scene(synthesis: &Synthesis) -> [Vec<(Operation, u64)>; 2] {
        let text = text(synthesis);
        let (before, after) = text.split_once("mark\n").unwrap_or(("", &text));
        [before, after].map(|part| {
            part.lines()
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    let name = words.get(3).map_or("fetch", |name| *name);
                    let operation = Operation::from_name(name.as_bytes()).unwrap();
                    (operation, words[0].parse().unwrap())
                })
                .collect()
        })
    }

    /// The keys of the requests for one operation, with where they stand.
    fn of(requests: &[(Operation, u64)], operation: Operation) -> Vec<(usize, u64)> {
        (0..)
            .zip(requests)
            .filter(|(_, request)| request.0 == operation)
            .map(|(at, request)| (at, request.1))
            .collect()
    }

    fn share(requests: &[(Operation, u64)], operation: Operation) -> f64 {
        of(requests, operation).len() as f64 / requests.len() as f64
    }

    #[test]
    fn the_same_seed_makes_the_same_trace() {
        for kind in Kind::ALL {
            let first = lines(kind, 1);
            let ends = [Kind::Newest, Kind::Once, Kind::Reads, Kind::Abandoned].contains(&kind);
            assert!(first.len() == 100_000 || ends, "{}", kind.name());
            assert!(first == lines(kind, 1), "{}", kind.name());
            assert!(first != lines(kind, 2), "{}", kind.name());
        }
    }

    #[test]
    fn a_key_keeps_its_size() {
        for kind in Kind::ALL {
            let lines = lines(kind, 1);
            let mut sizes = HashMap::new();
            for line in &lines {
                let words: Vec<&str> = line.split(' ').collect();
                // What is appended is no item's size.
                let is_part = words.get(3) == Some(&"append");
                let size = sizes.entry((words[0], is_part)).or_insert(words[1]);
                assert_eq!(*size, words[1], "{}", kind.name());
            }
        }
    }

    #[test]
    fn values_are_as_large_as_asked_for() {
        let of = |value| {
            let synthesis = Synthesis {
                value,
                ..synthesis(Kind::Once, 1)
            };
            let lines: Vec<String> = text(&synthesis).lines().map(String::from).collect();
            column(&lines, 1)
        };
        assert!(of(Value::Fixed(7)).iter().all(|&size| size == 7));
        let mut sizes = of(Value::Mix);
        let mean = sizes.iter().sum::<u64>() as f64 / sizes.len() as f64;
        assert!((470.0..520.0).contains(&mean), "{mean}");
        sizes.sort_unstable();
        let (low, high) = (sizes[sizes.len() / 20], sizes[sizes.len() * 19 / 20]);
        assert!(low < 70 && high > 1300, "{low}, {high}");
    }

    #[test]
    fn zipf_has_scans_and_keys_that_come_once() {
        let keys = column(&lines(Kind::Zipf, 1), 0);
        let scanned = keys
            .iter()
            .filter(|&&key| key >= popular::SCAN_FROM)
            .count();
        assert_eq!(scanned, 10_000);
        let once = keys
            .iter()
            .filter(|&&key| (popular::ONCE_FROM..popular::SCAN_FROM).contains(&key));
        assert!((12_000..15_000).contains(&once.count()));
    }

    #[test]
    fn drift_replaces_the_popular_keys() {
        let keys = column(&lines(Kind::Drift, 1), 0);
        let tops = [0..10_000, 90_000..100_000].map(|range| {
            let mut counts = HashMap::new();
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

    #[test]
    fn newest_gets_the_end_of_what_was_set() {
        let [sets, gets] = scene(&synthesis(Kind::Newest, 1));
        let keys = |from, to, operation| (from..to).map(|key| (operation, key)).collect::<Vec<_>>();
        assert_eq!(sets, keys(0, 1500, Operation::Set));
        assert_eq!(gets, keys(1100, 1500, Operation::Get));
    }

    #[test]
    fn a_large_memory_full_is_sampled() {
        let large = Synthesis {
            full: 100_000,
            ..synthesis(Kind::Newest, 1)
        };
        let [_, gets] = scene(&large);
        assert_eq!(gets.len(), 4000);
        assert_eq!(gets[1].1 - gets[0].1, 10);
    }

    #[test]
    fn once_gets_each_key_after_the_delay() {
        let [before, after] = scene(&synthesis(Kind::Once, 1));
        let gets = [&before, &after].map(|part| share(part, Operation::Get));
        assert!(gets[0] < 0.5 && gets[1] == 0.5, "{gets:?}");
        let all = [before, after].concat();
        let sets = of(&all, Operation::Set);
        assert_eq!(sets.len() as u64, 6 * FULL);
        for (n, (at, key)) in of(&all, Operation::Get).into_iter().enumerate() {
            assert_eq!(key, n as u64);
            let later = sets.partition_point(|set| set.0 < at) as u64;
            assert_eq!(later - key - 1, FULL / 2);
        }
    }

    #[test]
    fn reads_gets_each_key_three_times_within_the_delay() {
        let all = scene(&synthesis(Kind::Reads, 1)).concat();
        let mut sets = 0;
        let mut reads = HashMap::new();
        for (operation, key) in all {
            if operation == Operation::Set {
                sets += 1;
                continue;
            }
            assert!(key < sets && sets <= key + FULL / 2);
            *reads.entry(key).or_insert(0) += 1;
        }
        assert_eq!(sets, 6 * FULL);
        assert!((0..5 * FULL).all(|key| reads[&key] == 3));
    }

    #[test]
    fn mix_has_a_third_of_each() {
        let [_, after] = scene(&synthesis(Kind::Mix, 1));
        for operation in [Operation::Set, Operation::Get, Operation::Fetch] {
            assert!((share(&after, operation) - 1.0 / 3.0).abs() < 1e-3);
        }
        let popular = of(&after, Operation::Fetch);
        assert!(popular.iter().all(|&(_, key)| key < 5 * FULL));
        let gets = of(&after, Operation::Get);
        let once: HashSet<u64> = gets.iter().map(|&(_, key)| key).collect();
        assert_eq!(once.len(), gets.len());
        assert!(once.iter().all(|&key| key >= 10 * FULL));
    }

    #[test]
    fn abandoned_ends_with_gets_of_what_was_set_last() {
        let [before, gets] = scene(&synthesis(Kind::Abandoned, 1));
        let lens = [Operation::Fetch, Operation::Set].map(|which| of(&before, which).len() as u64);
        assert_eq!(lens, [10 * FULL, FULL]);
        let last = before.last().unwrap().1;
        let expected: Vec<_> = (last + 1 - 600..=last)
            .map(|key| (Operation::Get, key))
            .collect();
        assert_eq!(gets, expected);
    }

    #[test]
    fn updates_set_what_is_got_and_do_not_fetch() {
        let [before, after] = scene(&synthesis(Kind::Updates, 1));
        assert_eq!(before.len(), 20_000);
        assert!((share(&after, Operation::Get) - 0.5).abs() < 0.01);
        assert!((share(&after, Operation::Set) - 0.5).abs() < 0.01);
        let top = |operation| {
            let keys = of(&after, operation);
            keys.iter().filter(|&&(_, key)| key < 10).count() as f64 / keys.len() as f64
        };
        let (got, set) = (top(Operation::Get), top(Operation::Set));
        assert!(got > 0.1 && (got - set).abs() < 0.02, "{got}, {set}");
    }

    #[test]
    fn feeds_fetch_the_latest_most() {
        let [_, after] = scene(&synthesis(Kind::Feeds, 1));
        assert!((share(&after, Operation::Set) - 0.2).abs() < 0.01);
        let (mut latest, mut new) = (0, 0);
        for &(operation, key) in &after {
            match operation {
                Operation::Set => {
                    assert!(latest == 0 || key == latest + 1);
                    latest = key;
                }
                _ => new += u64::from(key + FULL > latest),
            }
        }
        assert!(new as f64 > 0.6 * after.len() as f64, "{new}");
    }

    #[test]
    fn counters_are_counted_and_lists_appended_to() {
        let [_, after] = scene(&synthesis(Kind::Counters, 1));
        for (operation, expected) in [
            (Operation::Incr, 0.5),
            (Operation::Get, 0.1),
            (Operation::Append, 0.25),
            (Operation::Fetch, 0.1),
            (Operation::Set, 0.05),
        ] {
            let found = share(&after, operation);
            assert!((found - expected).abs() < 0.01, "{operation:?}: {found}");
        }
        let is_counter =
            |operation: Operation| matches!(operation, Operation::Incr | Operation::Get);
        let apart = |&(operation, key)| is_counter(operation) == (key >= 5 * FULL);
        assert!(after.iter().all(apart));
    }

    /// The keys of a kind that only fetches, and has no warm-up.
    fn fetched(kind: Kind) -> Vec<u64> {
        let [before, after] = scene(&synthesis(kind, 1));
        assert!(before.is_empty());
        let fetches = of(&after, Operation::Fetch);
        assert_eq!(fetches.len(), after.len());
        fetches.into_iter().map(|(_, key)| key).collect()
    }

    #[test]
    fn loop_and_zigzag_walk_their_keys_in_order() {
        let keys = fetched(Kind::Loop);
        assert_eq!(keys[..1500], (0..1500).collect::<Vec<_>>());
        assert_eq!((keys[1500], keys[3001]), (0, 1));
        let keys = fetched(Kind::Zigzag);
        let at = [0, 1, 1999, 2000, 3997, 3998, 3999].map(|at: usize| keys[at]);
        assert_eq!(at, [0, 1, 1999, 1998, 1, 0, 1]);
        assert!(keys.windows(2).all(|pair| pair[0].abs_diff(pair[1]) == 1));
    }

    #[test]
    fn scan_interrupts_the_popular_keys_in_the_middle() {
        let keys = fetched(Kind::Scan);
        let (before, rest) = keys.split_at(48_500);
        let (scanned, after) = rest.split_at(3000);
        assert!(before.iter().chain(after).all(|&key| key < 5 * FULL));
        let order: Vec<u64> = (10 * FULL..13 * FULL).collect();
        assert_eq!(scanned, order);
    }

    #[test]
    fn switch_replaces_all_keys_at_half_time_and_daynight_takes_turns() {
        let first = 0..5 * FULL;
        let keys = fetched(Kind::Switch);
        assert!(keys[..50_000].iter().all(|key| first.contains(key)));
        assert!(!keys[50_000..].iter().any(|key| first.contains(key)));
        for (turn, keys) in fetched(Kind::DayNight).chunks(2000).enumerate() {
            let is_day = turn % 2 == 0;
            assert!(keys.iter().all(|key| first.contains(key) == is_day));
        }
    }

    #[test]
    fn the_smallest_memory_full_is_no_trap() {
        for kind in Kind::ALL {
            let tiny = Synthesis {
                requests: 50,
                keys: 1,
                full: 1,
                delay: 0.0,
                times: 0.0,
                ..synthesis(kind, 1)
            };
            text(&tiny);
        }
    }
}
