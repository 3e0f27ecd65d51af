//! A list of the store's items while everything else goes on.
//!
//! Some keys stay throughout: they are replaced, extended, touched and read, and their items move
//! with their pages. Each is told exactly once. Around them keys come and go by the thousand, so
//! that the index grows and shrinks under the list, classes lose and get pages, prefixes are
//! flushed and items expire. What is dead when a list begins is not told, and nothing twice.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::Random;
use nuthatch::base::clock::{Expiry, Now};
use nuthatch::base::key::Key;
use nuthatch::base::settings::StoreSettings;
use nuthatch::store::{
    Classes, Fetch, Fetched, Lane, Listing, Store, StoreMode, StoreOutcome, StoreRequest,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Keys that stay.
const KEPT: u64 = 1_500;

/// Keys that come and go, by runs of these lengths: more than fits, and then hardly any.
const OTHERS: u64 = 20_000;
const COMING: u64 = 10;
const GOING: u64 = 20;

const MEMORY: u64 = 8 << 20;

struct World {
    store: Arc<Store>,
    lane: Lane,
    random: Random,
    now: Now,
    /// Whether keys come, or go.
    growing: bool,
    /// Kept keys that were found to be gone: evicted.
    lost: HashSet<u64>,
}

/// What a list has told, by key, and how often the index became larger and smaller under it.
#[derive(Default)]
struct Told {
    times: HashMap<Vec<u8>, u32>,
    grown: u32,
    shrunk: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let settings = StoreSettings {
            memory_limit: MEMORY,
            item_size_max: 100_000,
            hash_seed: Some(seed),
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut world = Self {
            lane: store.lane(0),
            store,
            random: Random(seed),
            now: Now::at_second(5),
            growing: true,
            lost: HashSet::new(),
        };
        world.keep();
        world
    }

    /// Stores the kept keys.
    fn keep(&mut self) {
        self.lost.clear();
        for number in 0..KEPT {
            assert!(self.put(&format!("kept:{number}"), StoreMode::Set, 0));
        }
    }

    fn put(&mut self, key: &str, mode: StoreMode, exptime: i64) -> bool {
        let len = match self.random.below(100) {
            0..90 => self.random.below(100),
            90..99 => self.random.below(2_000),
            _ => self.random.below(40_000),
        };
        let value = vec![b'v'; len as usize];
        let request = StoreRequest {
            mode,
            expiry: Expiry::from_exptime(exptime, self.now),
            ..StoreRequest::default()
        };
        let key = self.lane.hashed(Key::new(key.as_bytes()).unwrap());
        let stored = self.lane.put(&key, &request, &value, self.now);
        stored.is_ok_and(|stored| stored.outcome == StoreOutcome::Stored)
    }

    fn is_there(&mut self, key: &str, peek: bool) -> bool {
        let key = self.lane.hashed(Key::new(key.as_bytes()).unwrap());
        let how = Fetch { touch: None, peek };
        self.lane.fetch(&key, how, self.now, |_| ()) == Fetched::Hit(())
    }

    /// Replaces a kept item, appends to it or reads it. Never makes a new one: what is gone stays
    /// gone, so that the end shows it.
    fn use_kept(&mut self) {
        let number = self.random.below(KEPT);
        let key = format!("kept:{number}");
        let there = match self.random.below(8) {
            0 => self.put(&key, StoreMode::Replace, 0),
            1 if self.random.below(20) == 0 => self.put(&key, StoreMode::Append, 0),
            _ => self.is_there(&key, false),
        };
        if !there && !self.is_there(&key, true) {
            self.lost.insert(number);
        }
    }

    fn come_and_go(&mut self) {
        let first = self.random.below(OTHERS);
        let run = if self.growing { COMING } else { GOING };
        for number in first..first + run {
            let key = format!("other:{number}");
            if self.growing {
                let exptime = [0, 0, 0, 1, 5][self.random.below(5) as usize];
                self.put(&key, StoreMode::Set, exptime);
            } else {
                let key = self.lane.hashed(Key::new(key.as_bytes()).unwrap());
                self.lane.delete(&key, None, self.now);
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(2_000) {
            0..300 => self.use_kept(),
            300..1_900 => self.come_and_go(),
            1_900..1_985 => {
                let (source, target) = (self.random.below(30), self.random.below(30));
                let _ = self.store.order_move(source as i32 - 1, target as i32);
                self.lane.maintain(self.now);
            }
            1_985..1_997 => self.now.ticks += self.random.below(4),
            1_997 => {
                let limit = MEMORY / 4 * 3 + self.random.below(MEMORY / 4);
                assert!(self.store.set_memory_limit(limit));
            }
            1_998 => {
                let prefix = format!("other:{}", self.random.below(100));
                self.store.flush_prefix(prefix.as_bytes()).unwrap();
            }
            _ => self.growing = !self.growing,
        }
    }

    /// Lists everything, with up to `steps` steps after each bucket.
    fn list(&mut self, steps: u64) -> Told {
        let mut told = Told::default();
        let mut listing = Listing::new(Classes::ALL);
        let mut buckets = self.store.snapshot().index_buckets;
        let store = Arc::clone(&self.store);
        while store.list(&mut listing, self.now, |item| {
            *told.times.entry(item.key.as_bytes().into()).or_default() += 1;
        }) {
            for _ in 0..self.random.below(steps + 1) {
                self.step();
            }
            let now = self.store.snapshot().index_buckets;
            told.grown += u32::from(now > buckets);
            told.shrunk += u32::from(now < buckets);
            buckets = now;
        }
        told
    }

    /// Whether each kept key that is still there was told once, and how many those are.
    fn check(&mut self, told: &Told) -> usize {
        for (key, times) in &told.times {
            let key = String::from_utf8_lossy(key);
            assert_eq!(*times, 1, "{key} was told {times} times");
        }
        let mut alive = 0;
        for number in 0..KEPT {
            let key = format!("kept:{number}");
            if !self.lost.contains(&number) && self.is_there(&key, true) {
                alive += 1;
                assert!(told.times.contains_key(key.as_bytes()), "{key} is missing");
            }
        }
        alive
    }
}

#[test]
fn what_stays_is_told_once_whatever_happens_around_it() {
    let (mut alive, mut grown, mut shrunk, mut moved) = (0, 0, 0, 0);
    for seed in 1..=4 {
        let mut world = World::new(seed);
        for steps in [0, 40, 120, 40] {
            (0..1_000).for_each(|_| world.step());
            world.keep();
            let told = world.list(steps);
            alive += world.check(&told);
            grown += told.grown;
            shrunk += told.shrunk;
        }
        moved += world.store.snapshot().slabs_moved;
        world.store.validate();
    }
    let enough = alive > 4 * 4 * KEPT as usize / 3 && grown > 100 && shrunk > 100 && moved > 20;
    assert!(enough, "{alive} alive, {grown} {shrunk}, {moved} moved");
}

#[test]
fn what_was_dead_before_is_not_told() {
    let mut world = World::new(7);
    for number in 0..2_000 {
        world.put(&format!("soon:{number}"), StoreMode::Set, 1);
        world.put(&format!("flushed:{number}"), StoreMode::Set, 0);
    }
    world.now = world.now.plus_seconds(2);
    world.store.flush_prefix(b"flushed:").unwrap();
    let told = world.list(30);
    let dead = |key: &&Vec<u8>| key.starts_with(b"soon:") || key.starts_with(b"flushed:");
    assert_eq!(told.times.keys().find(dead), None);
    assert!(world.check(&told) > 0);
}

/// No stand-in for other threads: four of them list while two store and delete.
#[test]
fn several_lists_at_a_time_among_threads_that_store() {
    let settings = StoreSettings {
        memory_limit: 32 << 20,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings, 3).unwrap();
    let now = Now::at_second(5);
    let put = |lane: &mut Lane, name: &str| {
        let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
        let request = StoreRequest::default();
        lane.put(&key, &request, b"value", now).unwrap();
    };
    let mut lane = store.lane(0);
    (0..20_000).for_each(|number| put(&mut lane, &format!("kept:{number}")));
    let lists = |store: &Store| {
        for _ in 0..5 {
            let (mut listing, mut seen) = (Listing::new(Classes::ALL), HashSet::new());
            let mut kept = 0;
            while store.list(&mut listing, now, |item| {
                let key = item.key.as_bytes();
                assert!(seen.insert(key.to_vec()), "{:?} twice", item.key);
                kept += u32::from(key.starts_with(b"kept:"));
            }) {}
            assert_eq!(kept, 20_000);
        }
    };
    let listing = AtomicU32::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                lists(&store);
                listing.fetch_sub(1, Ordering::Relaxed);
            });
        }
        for id in 1..3 {
            let (mut lane, listing) = (store.lane(id), &listing);
            scope.spawn(move || {
                let mut round = 0;
                while listing.load(Ordering::Relaxed) > 0 {
                    for number in 0..5_000 {
                        put(&mut lane, &format!("{id}:{number}"));
                    }
                    for number in 0..5_000 {
                        let name = format!("{id}:{number}");
                        let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
                        lane.delete(&key, None, now);
                    }
                    lane.maintain(now.plus_seconds(round));
                    round += 1;
                }
            });
        }
    });
}
