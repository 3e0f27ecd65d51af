//! What it takes to read a command line and a binary header.

use criterion::{Criterion, criterion_group, criterion_main};
use nuthatch::protocol::binary;
use nuthatch::protocol::meta;
use nuthatch::protocol::text::parse_line;
use std::hint::black_box;

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.bench_function("get", |bench| {
        bench.iter(|| parse_line(black_box(b"get user:1234567890\r\n")).is_ok());
    });
    group.bench_function("set header", |bench| {
        bench.iter(|| parse_line(black_box(b"set user:1234567890 0 3600 100\r\n")).is_ok());
    });
    group.bench_function("mg with flags", |bench| {
        bench.iter(|| meta::parse(black_box(b"mg user:1234567890 v t f Oabc"), &mut None).is_ok());
    });
    let mut packet = vec![0; 24];
    packet[0] = 0x80;
    packet[3] = 15;
    packet[11] = 15;
    packet.extend_from_slice(b"user:1234567890");
    group.bench_function("binary get", |bench| {
        bench.iter(|| {
            matches!(
                binary::parse(black_box(&packet), binary::Gate::Open),
                binary::Parsed::Request(_)
            )
        });
    });
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
