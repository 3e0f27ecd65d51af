//! The store alone, in one thread: hits, misses, sets by size, eviction, index growth.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nuthatch::base::clock::Now;
use nuthatch::base::key::Key;
use nuthatch::base::settings::StoreSettings;
use nuthatch::store::{Fetch, Fetched, Lane, Store, StoreRequest};
use std::hint::black_box;
use std::sync::Arc;

/// Items that most benches work on: more than the processor's caches hold.
const ITEMS: u64 = 500_000;

fn now() -> Now {
    Now::at_second(10)
}

fn store(megabytes: u64) -> (Arc<Store>, Lane) {
    let settings = StoreSettings {
        memory_limit: megabytes << 20,
        hash_seed: Some(1),
        ..StoreSettings::default()
    };
    let store = Store::new(&settings, 1).expect("memory is there");
    let lane = store.lane(0);
    (store, lane)
}

/// The key of a number, spread so that neighbours are strangers.
fn key(number: u64) -> [u8; 16] {
    let mut bytes = [b'0'; 16];
    let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in &mut bytes {
        *byte = b'a' + (rest & 15) as u8;
        rest >>= 4;
    }
    bytes
}

fn put(lane: &mut Lane, number: u64, value: &[u8]) {
    let name = key(number);
    let key = lane.hashed(Key::new(&name).expect("a legal key"));
    let stored = lane.put(&key, &StoreRequest::default(), value, now());
    assert!(stored.is_ok(), "a cache that may evict stores everything");
}

fn fetch(lane: &mut Lane, number: u64, out: &mut Vec<u8>) -> bool {
    let name = key(number);
    let key = lane.hashed(Key::new(&name).expect("a legal key"));
    out.clear();
    let found = lane.fetch(&key, Fetch::default(), now(), |item| item.copy_value(out));
    found == Fetched::Hit(())
}

fn reads(criterion: &mut Criterion) {
    let (_store, mut lane) = store(256);
    for number in 0..ITEMS {
        put(&mut lane, number, &[b'v'; 100]);
    }
    let mut out = Vec::with_capacity(1 << 10);
    let mut group = criterion.benchmark_group("store");
    let mut number = 0;
    group.bench_function("get hit, 100 B, cold", |bench| {
        bench.iter(|| {
            number = (number + 1) % ITEMS;
            assert!(fetch(&mut lane, black_box(number), &mut out));
        });
    });
    group.bench_function("get hit, 100 B, hot", |bench| {
        bench.iter(|| assert!(fetch(&mut lane, black_box(7), &mut out)));
    });
    group.bench_function("get miss", |bench| {
        bench.iter(|| {
            number += 1;
            assert!(!fetch(&mut lane, black_box(number + ITEMS), &mut out));
        });
    });
    group.throughput(Throughput::Elements(16));
    group.bench_function("get hit, 100 B, cold, batches of 16", |bench| {
        bench.iter(|| {
            number += 16;
            let names: [[u8; 16]; 16] = std::array::from_fn(|n| key((number + n as u64) % ITEMS));
            let keys = names
                .each_ref()
                .map(|name| lane.hashed(Key::new(name).expect("legal")));
            lane.prefetch(keys.iter());
            out.clear();
            for key in &keys {
                lane.fetch(key, Fetch::default(), now(), |item| {
                    item.copy_value(&mut out)
                });
            }
        });
    });
    group.finish();
}

fn writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    for len in [32, 100, 1_000, 10_000, 100_000] {
        let value = vec![b'v'; len];
        let (store, mut lane) = store(64);
        group.bench_function(format!("set again, {len} B"), |bench| {
            bench.iter(|| put(&mut lane, black_box(7), &value));
        });
        let mut number = 0;
        while store.snapshot().evictions == 0 {
            number += 1;
            put(&mut lane, number, &value);
        }
        group.bench_function(format!("set new in a full store, {len} B"), |bench| {
            bench.iter(|| {
                number += 1;
                put(&mut lane, black_box(number), &value);
            });
        });
    }
    group.finish();
}

fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(100_000));
    group.bench_function("index growth: 100,000 sets from empty", |bench| {
        bench.iter_batched(
            || store(64),
            |(store, mut lane)| {
                for number in 0..100_000 {
                    put(&mut lane, number, b"value");
                }
                (store, lane)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, reads, writes, growth);
criterion_main!(benches);
