//! What was stored last is there, where readers never store again.
//!
//! A memory-full is what the store holds when nothing but this size is written.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use nuthatch::base::clock::Now;
use nuthatch::base::key::Key;
use nuthatch::base::settings::{EvictionPolicy, StoreSettings};
use nuthatch::store::{Fetch, Fetched, Lane, Store, StoreRequest};

/// Memory of a store: the smallest in which a class has thousands of items.
const LIMIT: u64 = 4 << 20;

/// And for many sizes, each of which has a few pages.
const LIMIT_OF_MIX: u64 = 16 << 20;

/// The sizes of values in bytes.
#[derive(Clone, Copy)]
enum Sizes {
    One(usize),
    /// Of a hundred bytes to ten thousand; as many of 100 to 1,000 as of 1,000 to 10,000.
    Mix,
}

impl Sizes {
    fn of(self, number: u64) -> usize {
        match self {
            Self::One(len) => len,
            Self::Mix => 10_f64.powf(2.0 + 2.0 * Random(number).unit()) as usize,
        }
    }
}

/// A store with one thread's access, used by number.
struct Cache {
    lane: Lane,
    now: Now,
    sizes: Sizes,
    value: Vec<u8>,
    operations: u64,
}

impl Cache {
    fn new(value_len: usize) -> Self {
        Self::with_policy(value_len, EvictionPolicy::S3)
    }

    fn with_policy(value_len: usize, policy: EvictionPolicy) -> Self {
        Self::with_settings(
            StoreSettings {
                policy,
                ..settings(LIMIT)
            },
            Sizes::One(value_len),
        )
    }

    fn with_settings(settings: StoreSettings, sizes: Sizes) -> Self {
        let store = Store::new(&settings, 1).unwrap();
        Self {
            lane: store.lane(0),
            now: Now::at_second(5),
            sizes,
            value: vec![b'v'; 500_000],
            operations: 0,
        }
    }

    /// Items that are held when twice as many have been written.
    fn capacity(value_len: usize) -> u64 {
        let mut cache = Self::new(value_len);
        for number in 0..2 * LIMIT / (value_len as u64 + 50) {
            cache.set("capacity", number);
        }
        cache.lane.store().snapshot().items
    }

    fn pass(&mut self) {
        self.operations += 1;
        if self.operations.is_multiple_of(5_000) {
            while self.lane.maintain(self.now) {}
        }
    }

    fn set(&mut self, kind: &str, number: u64) {
        self.pass();
        let name = format!("{kind}-{number}");
        let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
        let request = StoreRequest::default();
        let value = &self.value[..self.sizes.of(number)];
        self.lane.put(&key, &request, value, self.now).unwrap();
    }

    fn get(&mut self, kind: &str, number: u64) -> bool {
        self.pass();
        let name = format!("{kind}-{number}");
        let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
        let found = self.lane.fetch(&key, Fetch::default(), self.now, |_| ());
        matches!(found, Fetched::Hit(()))
    }

    /// A get, and on a miss a set.
    fn fetch(&mut self, kind: &str, number: u64) -> bool {
        let hit = self.get(kind, number);
        if !hit {
            self.set(kind, number);
        }
        hit
    }
}

fn settings(memory_limit: u64) -> StoreSettings {
    StoreSettings {
        memory_limit,
        hash_seed: Some(7),
        ..StoreSettings::default()
    }
}

/// The part of the gets that hit.
#[derive(Clone, Copy, Default)]
struct Hits {
    hits: u64,
    gets: u64,
}

impl Hits {
    fn count(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.gets += 1;
    }

    fn ratio(self) -> f64 {
        self.hits as f64 / self.gets as f64
    }
}

/// Random numbers by SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks that are drawn by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u64, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let at = random.unit() * self.0[self.0.len() - 1];
        self.0.partition_point(|&sum| sum < at) as u64
    }
}

/// Each key is written once and read once, after `delay` memory-fulls of further writes; the hit
/// ratio after the first two of six memory-fulls.
fn read_once(cache: &mut Cache, capacity: u64, delay: f64) -> f64 {
    let delay = (capacity as f64 * delay) as u64;
    let mut hits = Hits::default();
    for number in 0..6 * capacity {
        cache.set("once", number);
        if number >= delay {
            let hit = cache.get("once", number - delay);
            if number > 2 * capacity {
                hits.count(hit);
            }
        }
    }
    hits.ratio()
}

/// The hit ratio of the newest, by parts of a memory-full, after `times` of them were written.
fn newest(cache: &mut Cache, capacity: u64, times: f64, part: f64) -> f64 {
    let count = (capacity as f64 * times) as u64;
    (0..count).for_each(|number| cache.set("fill", number));
    let mut hits = Hits::default();
    for number in count - (capacity as f64 * part) as u64..count {
        hits.count(cache.get("fill", number));
    }
    hits.ratio()
}

/// Each key is written once, again after `again` memory-fulls of others, and read once after
/// `delay` more.
fn rewritten(cache: &mut Cache, capacity: u64, again: f64, delay: f64) -> f64 {
    let again = (capacity as f64 * again) as u64;
    let delay = (capacity as f64 * delay) as u64 + again;
    let mut hits = Hits::default();
    for number in 0..6 * capacity {
        cache.set("twice", number);
        if number >= again {
            cache.set("twice", number - again);
        }
        if number >= delay {
            let hit = cache.get("twice", number - delay);
            if number > 2 * capacity {
                hits.count(hit);
            }
        }
    }
    hits.ratio()
}

/// Zipf's law over five memory-fulls of keys, cache-aside, beside read once; hit ratios of both.
fn mixed(cache: &mut Cache, capacity: u64, exponent: f64, delay: f64) -> (f64, f64) {
    let zipf = Zipf::new(5 * capacity, exponent);
    let mut random = Random(1);
    let delay = (capacity as f64 * delay) as u64;
    let (mut popular, mut once) = (Hits::default(), Hits::default());
    for number in 0..10 * capacity {
        cache.set("once", number);
        if number >= delay {
            let hit = cache.get("once", number - delay);
            if number > 3 * capacity {
                once.count(hit);
            }
        }
        let hit = cache.fetch("zipf", zipf.draw(&mut random));
        if number > 3 * capacity {
            popular.count(hit);
        }
    }
    (popular.ratio(), once.ratio())
}

/// Zipf, cache-aside, for ten memory-fulls of requests.
fn zipf_time(cache: &mut Cache, capacity: u64, exponent: f64) -> f64 {
    let zipf = Zipf::new(5 * capacity, exponent);
    let mut random = Random(2);
    let mut hits = Hits::default();
    for number in 0..10 * capacity {
        let hit = cache.fetch("zipf", zipf.draw(&mut random));
        if number > 5 * capacity {
            hits.count(hit);
        }
    }
    hits.ratio()
}

/// Each key is written once, and read `reads` times at random within `delay` memory-fulls.
fn read_often(cache: &mut Cache, capacity: u64, reads: u64, delay: f64) -> f64 {
    let delay = (capacity as f64 * delay) as u64;
    let mut random = Random(3);
    let mut due = std::collections::BTreeMap::<u64, Vec<u64>>::new();
    let mut hits = Hits::default();
    for number in 0..6 * capacity {
        cache.set("often", number);
        for _ in 0..reads {
            let at = number + 1 + random.next() % delay.max(1);
            due.entry(at).or_default().push(number);
        }
        for wanted in due.remove(&number).unwrap_or_default() {
            let hit = cache.get("often", wanted);
            if number > 2 * capacity {
                hits.count(hit);
            }
        }
    }
    hits.ratio()
}

const SIZES: [usize; 2] = [100, 1000];

const POLICIES: [EvictionPolicy; 3] =
    [EvictionPolicy::S3, EvictionPolicy::Lru, EvictionPolicy::Lfu];

/// Runs `check` for each size, with what a store holds of it.
fn for_each_size(check: impl Fn(usize, u64)) {
    for value_len in SIZES {
        check(value_len, Cache::capacity(value_len));
    }
}

fn at_least(ratio: f64, least: f64, what: &str) {
    assert!(ratio >= least, "{what}: {ratio:.4}, not {least}");
}

#[test]
fn of_what_is_only_written_the_newest_are_there() {
    for_each_size(|len, capacity| {
        for times in [1.5, 3.0, 10.0] {
            let mut cache = Cache::new(len);
            let ratio = newest(&mut cache, capacity, times, 0.95);
            at_least(ratio, 0.995, &format!("{len} B, {times} memory-fulls"));
            let is_there = |number| cache.get("fill", number);
            let first = (0..capacity / 20).map(is_there).filter(|&hit| hit).count();
            assert!(first <= 5, "{first} of the first ones are still there");
        }
    });
}

#[test]
fn what_is_read_once_within_a_memory_full_is_hit() {
    for_each_size(|len, capacity| {
        for delay in [0.05, 0.15, 0.3, 0.5, 0.7, 0.9] {
            for policy in POLICIES {
                let mut cache = Cache::with_policy(len, policy);
                let ratio = read_once(&mut cache, capacity, delay);
                at_least(ratio, 0.995, &format!("{policy:?}, {len} B, {delay}"));
            }
        }
    });
}

/// Pages that move between classes which have what they need would only take it from them.
#[test]
fn of_many_sizes_too_what_is_read_once_is_hit() {
    let new = || Cache::with_settings(settings(LIMIT_OF_MIX), Sizes::Mix);
    let mut full = new();
    (0..20_000).for_each(|number| full.set("capacity", number));
    let capacity = full.lane.store().snapshot().items;
    for (delay, least) in [(0.25, 0.98), (0.6, 0.96)] {
        let ratio = read_once(&mut new(), capacity, delay);
        at_least(ratio, least, &format!("delay {delay}"));
    }
}

/// Without a pause: between values of 10 KB and of 500 KB the background has hardly a turn.
#[test]
fn when_the_sizes_change_the_newest_are_there() {
    let mut cache = Cache::with_settings(settings(LIMIT_OF_MIX), Sizes::One(0));
    for size in [100, 10_000, 500_000, 100] {
        cache.sizes = Sizes::One(size);
        // Of the limit in values: beside one of 100 bytes there are as many that are none.
        let capacity = LIMIT_OF_MIX / size as u64;
        let least = if size == 100 { 0.6 } else { 0.8 };
        let ratio = newest(&mut cache, capacity, 1.5, 1.0);
        at_least(ratio, least, &format!("{size} B"));
    }
}

/// What is younger than a memory-full by its *last* write, others' first writes not counted.
#[test]
fn an_overwritten_item_is_as_young_as_a_new_one() {
    for_each_size(|len, capacity| {
        for (again, delay) in [(0.01, 0.5), (0.01, 0.9), (0.3, 0.3), (0.3, 0.6)] {
            let ratio = rewritten(&mut Cache::new(len), capacity, again, delay);
            at_least(ratio, 0.99, &format!("{len} B, {again}, delay {delay}"));
        }
    });
}

#[test]
fn what_is_read_several_times_within_a_memory_full_is_hit() {
    for_each_size(|len, capacity| {
        for (reads, delay) in [(2, 0.5), (3, 0.8)] {
            let ratio = read_often(&mut Cache::new(len), capacity, reads, delay);
            at_least(
                ratio,
                0.99,
                &format!("{len} B, {reads} reads within {delay}"),
            );
        }
    });
}

#[test]
fn popular_items_and_what_is_read_once_do_not_hurt_each_other() {
    // Without the others, this policy misses 10 % of a load this popular.
    let (popular, once) = mixed(&mut Cache::new(100), Cache::capacity(100), 1.2, 0.3);
    at_least(popular, 0.885, "Zipf");
    at_least(once, 0.998, "read once");
    for_each_size(|len, capacity| {
        let (popular, once) = mixed(&mut Cache::new(len), capacity, 0.9, 0.3);
        at_least(popular, 0.59, &format!("{len} B, Zipf"));
        at_least(once, 0.998, &format!("{len} B, read once"));
    });
}

#[test]
fn a_popular_set_that_is_abandoned_gives_way() {
    for_each_size(|len, capacity| {
        for times in [1.0, 3.0] {
            let mut cache = Cache::new(len);
            zipf_time(&mut cache, capacity, 0.9);
            let ratio = newest(&mut cache, capacity, times, 0.6);
            at_least(ratio, 0.99, &format!("{len} B, {times} memory-fulls"));
        }
    });
}

#[test]
fn a_scan_leaves_the_popular_items_where_they_are() {
    for_each_size(|len, capacity| {
        let mut cache = Cache::new(len);
        zipf_time(&mut cache, capacity, 0.9);
        for number in 0..3 * capacity {
            cache.fetch("scan", number);
        }
        let mut there = |ranks: u64| {
            let mut hits = Hits::default();
            (0..ranks).for_each(|rank| hits.count(cache.get("zipf", rank)));
            hits.ratio()
        };
        at_least(there(capacity / 10), 0.995, "the first tenth");
        at_least(there(capacity / 3), 0.9, "the first third");
    });
}

#[test]
fn readers_come_back_after_popular_times_and_before_them() {
    let capacity = Cache::capacity(100);
    let mut cache = Cache::new(100);
    let steady = zipf_time(&mut cache, capacity, 0.9);
    let ratio = read_once(&mut cache, capacity, 0.5);
    at_least(ratio, 0.998, "read once after a popular time");
    let again = zipf_time(&mut cache, capacity, 0.9);
    at_least(again, steady - 0.02, "popular after read once");
}
