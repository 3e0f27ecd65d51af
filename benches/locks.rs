//! What waiting for the stripes' locks costs at many threads: measured times, then arithmetic.
//!
//! ```text
//! cargo bench --bench locks -- table
//! ```
//!
//! One thread measures whole operations of the store: an upper bound of the time under a lock. A
//! simulation then lets many threads, each with a processor of its own, send requests: nine hits to
//! one set, with [`REST_NS`] between two of them for everything that needs no lock. Who finds a
//! stripe locked waits in line, and pays for the lock's way from one processor to another besides.
//! All but the measured times is the same in every run. Without `table` it exits at once, so that
//! `cargo test --benches` can run it.

use nuthatch::base::clock::Now;
use nuthatch::base::key::Key;
use nuthatch::base::settings::StoreSettings;
use nuthatch::store::{Fetch, Fetched, Lane, Store, StoreRequest};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::hint::black_box;
use std::time::Instant;

/// Memory limits in MiB and the stripes that a store has with them.
const STORES: [(u64, u64); 2] = [(64, 128), (1024, 2048)];

const THREADS: [usize; 6] = [2, 4, 8, 16, 32, 64];

/// Keys that the simulated requests are for.
const KEYS: u64 = 1_000_000;

/// What a request takes besides the store when sixteen arrive at once: the kernel, the grammar, the
/// reply. A request that arrives alone takes ten times as long, and so meets others less.
const REST_NS: f64 = 400.0;

/// What a lock that was waited for takes longer: its cache lines and the item's come from another
/// processor.
const HAND_OVER_NS: f64 = 100.0;

/// Lockings in one simulation.
const LOCKINGS: u32 = 500_000;

/// Items that are measured: more than the processor's caches hold, fewer than the store does.
const ITEMS: u64 = 300_000;

/// Operations timed at once, and how often: the fastest time counts, on a busy machine too.
const TIMED: u64 = 5_000;
const TIMES: u64 = 40;

fn main() {
    if !env::args().any(|argument| argument == "table") {
        println!("usage: locks table");
        return;
    }
    let (cold, hot) = measured();
    println!("Measured, in ns under a lock at most:\n");
    println!("| keys | get hit | set in place | eviction, with the set that needs it |");
    println!("|---|---|---|---|");
    println!(
        "| many | {:.0} | {:.0} | {:.0} |",
        cold.get, cold.set, cold.evict
    );
    println!("| one | {:.0} | {:.0} | - |", hot.get, hot.set);
    println!("\nWaiting: share of all time. Speed: requests, of what as many lone threads do.\n");
    print!("| keys | threads |");
    for (megabytes, stripes) in STORES {
        print!(" waiting, `-m {megabytes}` ({stripes} stripes) | speed |");
    }
    println!("\n|---|---|---|---|---|---|");
    for choice in [Choice::Uniform, Choice::zipf(0.99), Choice::One] {
        let times = if matches!(choice, Choice::One) {
            hot
        } else {
            cold
        };
        for threads in THREADS {
            print!("| {} | {threads} |", choice.name());
            for (_, stripes) in STORES {
                let (waiting, speed) = simulate(threads, stripes, &choice, times);
                print!(" {:.2} % | {:.1} % |", waiting * 100.0, speed * 100.0);
            }
            println!();
        }
    }
}

/// Nanoseconds under a stripe's lock.
#[derive(Clone, Copy)]
struct Times {
    get: f64,
    set: f64,
    /// Zero where sets replace what is there.
    evict: f64,
}

/// Of keys spread over a store, and of one key.
fn measured() -> (Times, Times) {
    let settings = StoreSettings {
        memory_limit: 64 << 20,
        hash_seed: Some(1),
        ..StoreSettings::default()
    };
    let store = Store::new(&settings, 1).expect("memory is there");
    let mut lane = store.lane(0);
    (0..ITEMS).for_each(|number| put(&mut lane, number));
    assert_eq!(store.snapshot().evictions, 0, "there is room for all");
    // A large stride: neighbours in time are strangers in memory.
    let stranger = |n: u64| n * 7919 % ITEMS;
    let cold_get = fastest(|n| fetch(&mut lane, stranger(n)));
    let cold_set = fastest(|n| put(&mut lane, stranger(n)));
    let hot_get = fastest(|_| fetch(&mut lane, 7));
    let hot_set = fastest(|_| put(&mut lane, 7));
    let mut next = ITEMS;
    while store.snapshot().evictions == 0 {
        (0..10_000).for_each(|n| put(&mut lane, next + n));
        next += 10_000;
    }
    let evict = fastest(|n| put(&mut lane, next + n));
    let cold = Times {
        get: cold_get,
        set: cold_set,
        evict,
    };
    let hot = Times {
        get: hot_get,
        set: hot_set,
        evict: 0.0,
    };
    (cold, hot)
}

/// Nanoseconds of one operation.
fn fastest(mut operation: impl FnMut(u64)) -> f64 {
    let time = |round: u64| {
        let start = Instant::now();
        (0..TIMED).for_each(|n| operation(black_box(round * TIMED + n)));
        start.elapsed().as_nanos() as f64 / TIMED as f64
    };
    (0..TIMES).map(time).fold(f64::INFINITY, f64::min)
}

fn put(lane: &mut Lane, number: u64) {
    let name = format!("key-{number:012}");
    let key = lane.hashed(Key::new(name.as_bytes()).expect("a legal key"));
    let stored = lane.put(
        &key,
        &StoreRequest::default(),
        &[b'v'; 100],
        Now::at_second(5),
    );
    assert!(stored.is_ok(), "a cache that may evict stores everything");
}

fn fetch(lane: &mut Lane, number: u64) {
    let name = format!("key-{number:012}");
    let key = lane.hashed(Key::new(name.as_bytes()).expect("a legal key"));
    let mut out = Vec::with_capacity(128);
    let found = lane.fetch(&key, Fetch::default(), Now::at_second(5), |item| {
        item.copy_value(&mut out);
    });
    assert_eq!(found, Fetched::Hit(()), "all keys are there");
    black_box(&out);
}

/// Which key a request is for.
enum Choice {
    Uniform,
    /// Zipf's law: the chance of one of the first n keys, for every n.
    Zipf(Vec<f64>),
    One,
}

impl Choice {
    fn zipf(exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|chance| *chance /= sum);
        Self::Zipf(sums)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf(_) => "Zipf 0.99",
            Self::One => "one",
        }
    }

    fn key(&self, dice: &mut Dice) -> u64 {
        match self {
            Self::Uniform => (dice.unit() * KEYS as f64) as u64,
            Self::Zipf(sums) => {
                let chance = dice.unit();
                sums.partition_point(|&sum| sum < chance) as u64
            }
            Self::One => 0,
        }
    }
}

/// Shares of all threads' time: what they wait, and what is left for work.
///
/// The thread that comes to a lock first is always the next to be looked at, so locks are had in
/// the order in which they are asked for.
fn simulate(threads: usize, stripes: u64, choice: &Choice, times: Times) -> (f64, f64) {
    let mut dice = Dice(1);
    let mut free_at = vec![0.0; stripes as usize];
    // When, in picoseconds so that times can be ordered; whose set needs room.
    let mut arrivals: BinaryHeap<Reverse<(u64, bool)>> = (0..threads)
        .map(|_| Reverse(((dice.unit() * REST_NS * 1e3) as u64, false)))
        .collect();
    let (mut waited, mut worked, mut handed_over) = (0.0, 0.0, 0.0);
    for _ in 0..LOCKINGS {
        let Reverse((at, evicts)) = arrivals.pop().expect("threads do not end");
        let at = at as f64 / 1e3;
        let sets = !evicts && dice.unit() < 0.1;
        let (key, hold) = match (evicts, sets) {
            (true, _) => (dice.next(), times.evict),
            (false, true) => (choice.key(&mut dice), times.set),
            (false, false) => (choice.key(&mut dice), times.get),
        };
        let free = &mut free_at[(mix(key) % stripes) as usize];
        let wait = f64::max(*free - at, 0.0);
        let extra = if wait > 0.0 { HAND_OVER_NS } else { 0.0 };
        *free = at + wait + extra + hold;
        // A set goes on to evict at once; else the next request has to come.
        let evicts_next = sets && times.evict > 0.0;
        let rest = if evicts_next {
            0.0
        } else {
            REST_NS * (0.5 + dice.unit())
        };
        waited += wait;
        handed_over += extra;
        worked += hold + rest;
        arrivals.push(Reverse((((*free + rest) * 1e3) as u64, evicts_next)));
    }
    let all = waited + worked + handed_over;
    (waited / all, worked / all)
}

/// A Weyl sequence through a mixing function.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
