//! One kind of request, so many times: what `tests/instructions.rs` counts the instructions of.
//!
//! ```text
//! cargo bench --bench instructions -- get-hit 10000
//! ```
//!
//! The store, the hash seed, the keys and their order are always the same, and everything that is
//! not the request is done beforehand or is a copy of some bytes, so that two runs of the same
//! build differ by nothing but the number of requests. Without a case it exits at once, so that
//! `cargo test --benches` can run it.

mod common;

use common::Talk;
use std::env;
use std::hint::black_box;

/// Keys that are there before the requests begin.
const KEYS: usize = 2_000;

/// The smallest store that holds them all.
const MEGABYTES: u64 = 2;

/// A store that is not full after some ten thousand more.
const MEGABYTES_AMPLE: u64 = 64;

/// Every request of a case, to be sent over and over.
type Requests = Vec<Vec<u8>>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [case, count, ..] = &arguments[..] else {
        println!("usage: instructions <case> <requests>");
        return;
    };
    let count = count.parse().expect("the number of requests is a number");
    let mut talk = Talk::new(match &case[..] {
        "set-new" => MEGABYTES_AMPLE,
        _ => MEGABYTES,
    });
    for request in sets("key") {
        talk.say(&request);
    }
    talk.say(b"set counter 0 0 2\r\n10\r\n");
    match &case[..] {
        "set-new" => return store_new_ones(&mut talk, count),
        "set-new-evicting" => return store_new_ones(&mut talk, 10 * KEYS + count),
        _ => {}
    }
    let requests = requests(case).unwrap_or_else(|| panic!("no such case: {case}"));
    talk.reconnect();
    let mut replied = 0;
    for request in requests.iter().cycle().take(count) {
        replied += talk.say(black_box(request));
    }
    black_box(replied);
}

fn requests(case: &str) -> Option<Requests> {
    Some(match case {
        "get-hit" => each(|number| format!("get {}\r\n", key("key", number))),
        "get-miss" => each(|number| format!("get {}\r\n", key("nil", number))),
        "16-get-hits" => sixteen("get-hit")?,
        "multiget-50" => (0..KEYS / 50).map(multiget_50).collect(),
        "set-in-place" => sets("key"),
        "16-sets" => sixteen("set-in-place")?,
        "incr" => each(|_| "incr counter 1\r\n".into()),
        "mg" => each(|number| format!("mg {} v\r\n", key("key", number))),
        "16-mgs" => sixteen("mg")?,
        "binary-get" => (0..KEYS).map(binary_get).collect(),
        "16-binary-gets" => sixteen("binary-get")?,
        _ => return None,
    })
}

/// The requests of a case, sixteen at a time.
fn sixteen(case: &str) -> Option<Requests> {
    let single = requests(case)?;
    Some(single.chunks(16).map(<[Vec<u8>]>::concat).collect())
}

fn multiget_50(first: usize) -> Vec<u8> {
    let keys: Vec<String> = (0..50).map(|n| key("key", first * 50 + n)).collect();
    format!("get {}\r\n", keys.join(" ")).into_bytes()
}

fn each(line: impl Fn(usize) -> String) -> Requests {
    (0..KEYS).map(|number| line(number).into_bytes()).collect()
}

/// The keys go in no order that the store could like.
fn key(prefix: &str, number: usize) -> String {
    format!("{prefix}-{:012}", number * 7919 % KEYS)
}

fn sets(prefix: &str) -> Requests {
    let value = "v".repeat(100);
    each(|number| format!("set {} 0 0 100\r\n{value}\r\n", key(prefix, number)))
}

fn binary_get(number: usize) -> Vec<u8> {
    let key = key("key", number);
    let mut packet = vec![0; 24];
    packet[0] = 0x80;
    packet[3] = key.len() as u8;
    packet[11] = key.len() as u8;
    packet.extend_from_slice(key.as_bytes());
    packet
}

/// Each set brings a key that was never there.
fn store_new_ones(talk: &mut Talk, count: usize) {
    let mut request = sets("new").swap_remove(0);
    let digits = 8..20; // behind `set new-`
    for _ in 0..count {
        next_number(&mut request[digits.clone()]);
        talk.say(black_box(&request));
    }
}

/// Counts one up in decimal.
fn next_number(digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}
