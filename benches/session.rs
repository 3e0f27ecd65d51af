//! Bytes in, bytes out: pipelined batches through a session, without sockets.

mod common;

use common::Talk;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Keys that the batches go over.
const KEYS: usize = 10_000;

/// Requests in a batch.
const DEPTH: usize = 16;

fn batches(line: impl Fn(usize) -> String) -> Vec<Vec<u8>> {
    let lines: Vec<String> = (0..KEYS).map(|number| line(number * 7919 % KEYS)).collect();
    lines
        .chunks(DEPTH)
        .map(|batch| batch.concat().into_bytes())
        .collect()
}

fn sessions(criterion: &mut Criterion) {
    let value = "v".repeat(100);
    let sets = batches(|number| format!("set key-{number:012} 0 0 100\r\n{value}\r\n"));
    let kinds = [
        ("get", batches(|number| format!("get key-{number:012}\r\n"))),
        (
            "get, missing",
            batches(|number| format!("get nil-{number:012}\r\n")),
        ),
        (
            "mg with value",
            batches(|number| format!("mg key-{number:012} v\r\n")),
        ),
        ("incr", batches(|_| "incr counter 1\r\n".into())),
        ("set", sets.clone()),
    ];
    let mut group = criterion.benchmark_group("session, 16 requests at a time");
    group.throughput(Throughput::Elements(DEPTH as u64));
    for (name, batches) in kinds {
        let mut talk = Talk::new(64);
        talk.say(b"set counter 0 0 1\r\n1\r\n");
        for batch in &sets {
            talk.say(batch);
        }
        let mut batches = batches.iter().cycle();
        group.bench_function(name, |bench| {
            bench.iter(|| talk.say(black_box(batches.next().expect("a cycle does not end"))));
        });
    }
    group.finish();
}

criterion_group!(benches, sessions);
criterion_main!(benches);
