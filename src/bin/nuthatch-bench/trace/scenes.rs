//! The kinds that are measured in memory-fulls: what is stored and not fetched, and loads that trap
//! one policy or another.
//!
//! Keys are small numbers, so that they are short: popular keys, then those that take their place,
//! then the keys that are new.

use super::kind::Kind;
use super::lines::{Lines, Request};
use super::synthesis::{EXPONENT, Synthesis};
use crate::operation::Operation;
use crate::random::{Random, Zipf};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

/// Memory-fulls that the popular keys are.
const POPULAR_FULLS: u64 = 5;

/// Memory-fulls that are set by `once` and `reads`.
const ONCE_FULLS: u64 = 6;

/// How often `reads` reads a key.
const READS: usize = 3;

/// The newest are sampled: so many of a memory-full are got.
const SAMPLE: u64 = 10_000;

/// `newest` and `abandoned` get so much of a memory-full.
const NEWEST_SHARE: f64 = 0.4;
const ABANDONED_SHARE: f64 = 0.6;

/// Memory-fulls of requests before the keys of `abandoned` are left.
const ABANDONED_FULLS: u64 = 10;

/// Of loads that begin with an empty cache and go on, this part is a warm-up.
const WARM_UP_PART: u64 = 5;

const LOOP_FULLS: f64 = 1.5;
const SCAN_FULLS: u64 = 3;
const TURN_FULLS: u64 = 2;
const ZIGZAG_FULLS: u64 = 2;

/// One request in so many writes the next entry of a feed.
const FEED_EVERY: u64 = 5;

/// What is appended to a list is this part of a whole one.
const APPEND_PART: u64 = 4;

type Draw<'s> = Box<dyn FnMut(u64, &mut Random) -> Request + 's>;

impl Synthesis {
    pub(super) fn write_scene(
        &self,
        lines: &mut Lines<impl Write>,
        random: &mut Random,
    ) -> io::Result<()> {
        let draw = match self.kind {
            Kind::Newest => return self.newest(lines),
            Kind::Once => return self.once(lines),
            Kind::Reads => return self.reads(lines, random),
            Kind::Abandoned => return self.abandoned(lines, random),
            Kind::Mix => self.mix(),
            Kind::Updates => self.updates(),
            Kind::Feeds => self.feeds(),
            Kind::Counters => self.counters(),
            _ => return self.fetches(lines, random),
        };
        self.go_on(lines, random, draw)
    }

    /// `--requests` lines, of which the first part is a warm-up.
    fn go_on(
        &self,
        lines: &mut Lines<impl Write>,
        random: &mut Random,
        mut draw: Draw<'_>,
    ) -> io::Result<()> {
        for number in 0..self.requests {
            if number == self.requests / WARM_UP_PART {
                lines.mark()?;
            }
            lines.put(draw(number, random))?;
        }
        Ok(())
    }

    // ---- Scenes with an end of their own ------------------------------------------------------

    fn newest(&self, lines: &mut Lines<impl Write>) -> io::Result<()> {
        let count = self.fulls(self.times);
        for key in 0..count {
            lines.put(self.ask(Operation::Set, key))?;
        }
        self.get_newest(lines, count, NEWEST_SHARE)
    }

    fn abandoned(&self, lines: &mut Lines<impl Write>, random: &mut Random) -> io::Result<()> {
        let zipf = self.popular();
        for _ in 0..ABANDONED_FULLS * self.full {
            lines.put(self.ask(Operation::Fetch, zipf.sample(random)))?;
        }
        let from = self.new_from();
        for key in from..from + self.full {
            lines.put(self.ask(Operation::Set, key))?;
        }
        self.get_newest(lines, from + self.full, ABANDONED_SHARE)
    }

    /// Gets a sample of the keys before `end`, as many as this share of a memory-full.
    fn get_newest(&self, lines: &mut Lines<impl Write>, end: u64, share: f64) -> io::Result<()> {
        lines.mark()?;
        let mut key = end.saturating_sub(self.fulls(share));
        while key < end {
            lines.put(self.ask(Operation::Get, key))?;
            key += (self.full / SAMPLE).max(1);
        }
        Ok(())
    }

    fn once(&self, lines: &mut Lines<impl Write>) -> io::Result<()> {
        let delay = self.fulls(self.delay);
        let count = ONCE_FULLS * self.full;
        for key in 0..count {
            if key == delay.midpoint(count) {
                lines.mark()?;
            }
            lines.put(self.ask(Operation::Set, key))?;
            if key >= delay {
                lines.put(self.ask(Operation::Get, key - delay))?;
            }
        }
        Ok(())
    }

    fn reads(&self, lines: &mut Lines<impl Write>, random: &mut Random) -> io::Result<()> {
        let delay = self.fulls(self.delay);
        let count = ONCE_FULLS * self.full;
        let mut due = BinaryHeap::new();
        for key in 0..count {
            if key == delay.midpoint(count) {
                lines.mark()?;
            }
            lines.put(self.ask(Operation::Set, key))?;
            for _ in 0..READS {
                due.push(Reverse((key + random.below(delay.max(1)), key)));
            }
            while due.peek().is_some_and(|&Reverse((when, _))| when <= key) {
                if let Some(Reverse((_, key))) = due.pop() {
                    lines.put(self.ask(Operation::Get, key))?;
                }
            }
        }
        Ok(())
    }

    // ---- Scenes that go on --------------------------------------------------------------------

    /// While no key is due, its get is a fetch of a popular one.
    fn mix(&self) -> Draw<'_> {
        let zipf = self.popular();
        let (from, delay) = (self.new_from(), self.fulls(self.delay));
        Box::new(move |number, random| {
            let (round, turn) = (number / 3, number % 3);
            match turn {
                0 => self.ask(Operation::Set, from + round),
                1 if round >= delay => self.ask(Operation::Get, from + round - delay),
                _ => self.ask(Operation::Fetch, zipf.sample(random)),
            }
        })
    }

    fn updates(&self) -> Draw<'_> {
        let zipf = self.popular();
        Box::new(move |_, random| {
            let key = zipf.sample(random);
            let operation = [Operation::Get, Operation::Set][random.below(2) as usize];
            self.ask(operation, key)
        })
    }

    fn feeds(&self) -> Draw<'_> {
        let zipf = self.popular();
        let mut latest = self.popular_count();
        Box::new(move |_, random| {
            if random.below(FEED_EVERY) == 0 {
                latest += 1;
                return self.ask(Operation::Set, latest);
            }
            self.ask(Operation::Fetch, latest - zipf.sample(random))
        })
    }

    /// Of 20 requests: 10 count, 2 get a counter, 5 append a quarter to a list, 2 fetch a list and
    /// 1 sets it to its usual length, so that no list grows for ever.
    fn counters(&self) -> Draw<'_> {
        let zipf = self.popular();
        let from = self.popular_count();
        Box::new(move |_, random| {
            let rank = zipf.sample(random);
            let count = |operation| Request {
                operation,
                ..Request::fetch(from + rank, 1)
            };
            match random.below(20) {
                0..10 => count(Operation::Incr),
                10..12 => count(Operation::Get),
                12..17 => Request {
                    size: (self.size(rank) / APPEND_PART).max(1),
                    ..self.ask(Operation::Append, rank)
                },
                17 | 18 => self.ask(Operation::Fetch, rank),
                _ => self.ask(Operation::Set, rank),
            }
        })
    }

    // ---- Traps: fetches alone, counted from the first -----------------------------------------

    fn fetches(&self, lines: &mut Lines<impl Write>, random: &mut Random) -> io::Result<()> {
        let zipf = self.popular();
        for number in 0..self.requests {
            let key = match self.kind {
                Kind::Loop => number % self.fulls(LOOP_FULLS).max(1),
                Kind::Zigzag => zigzag(number, ZIGZAG_FULLS * self.full),
                Kind::Switch => zipf.sample(random) + self.other(number * 2 >= self.requests),
                Kind::DayNight => {
                    let turn = number / (TURN_FULLS * self.full);
                    zipf.sample(random) + self.other(turn % 2 == 1)
                }
                _ => match self.scanned(number) {
                    Some(key) => key,
                    None => zipf.sample(random),
                },
            };
            lines.put(self.ask(Operation::Fetch, key))?;
        }
        Ok(())
    }

    /// What to add to a popular key to get the one that takes its place.
    fn other(&self, is_other: bool) -> u64 {
        if is_other { self.popular_count() } else { 0 }
    }

    /// The key of the scan in the middle, if this request belongs to it.
    fn scanned(&self, number: u64) -> Option<u64> {
        let len = SCAN_FULLS * self.full;
        let from = self.requests.saturating_sub(len) / 2;
        (from..from + len)
            .contains(&number)
            .then(|| self.new_from() + number - from)
    }

    // ---- Counts and keys ----------------------------------------------------------------------

    fn ask(&self, operation: Operation, key: u64) -> Request {
        Request {
            operation,
            ..Request::fetch(key, self.size(key))
        }
    }

    fn fulls(&self, times: f64) -> u64 {
        (times * self.full as f64) as u64
    }

    fn popular_count(&self) -> u64 {
        POPULAR_FULLS * self.full
    }

    fn popular(&self) -> Zipf {
        Zipf::new(self.popular_count(), EXPONENT)
    }

    fn new_from(&self) -> u64 {
        2 * self.popular_count()
    }
}

/// 0, 1, 2, 1, 0, 1, … for `count` of 3.
fn zigzag(number: u64, count: u64) -> u64 {
    let period = (2 * count).saturating_sub(2).max(1);
    let at = number % period;
    at.min(period - at)
}
