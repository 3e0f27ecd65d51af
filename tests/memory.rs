//! A full server stays within its limit, refuses nothing, and counts what it holds.
//!
//! Each test fills a server with two to three times what it can hold, then reads every key back.
//! `SERVER_BINARY` names another binary to try (memcached keeps all of it but the bound on resident
//! memory, which there leaves the hash table out).

mod support;

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use support::{Random, Server};

const MIB: u64 = 1 << 20;

/// Threads, code, buffers: what a server may have resident beside `-m` and 2 % of it.
const RESIDENT_EXTRA: u64 = 8 * MIB;

/// The tests measure memory and keep both sides busy: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

macro_rules! full {
    ($($name:ident: $megabytes:literal, $sizes:expr;)*) => {$(
        #[test]
        #[ignore = "takes seconds and hundreds of MiB; scripts/test runs it"]
        fn $name() {
            let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
            fill_and_read($megabytes, &$sizes);
        }
    )*};
}

full! {
    values_of_32_bytes_in_64_mib: 64, [32];
    values_of_100_bytes_in_64_mib: 64, [100];
    values_of_1000_bytes_in_64_mib: 64, [1000];
    values_of_100_kilobytes_in_64_mib: 64, [100_000];
    values_of_all_sizes_in_64_mib: 64, MIX;
    values_of_32_bytes_in_256_mib: 256, [32];
    values_of_100_bytes_in_256_mib: 256, [100];
    values_of_1000_bytes_in_256_mib: 256, [1000];
    values_of_100_kilobytes_in_256_mib: 256, [100_000];
    values_of_all_sizes_in_256_mib: 256, MIX;
}

/// Each size about as often as gives all of them some of the memory.
const MIX: [usize; 16] = [
    0, 1, 10, 32, 32, 50, 100, 100, 100, 200, 500, 1000, 1000, 4000, 10_000, 100_000,
];

fn fill_and_read(megabytes: u64, sizes: &[usize]) {
    let binary =
        env::var("SERVER_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nuthatch").into());
    let server = Server::start(&binary, &["-m", &megabytes.to_string()]);
    let values = Values { sizes };
    let stored = values.enough_for(3 * megabytes * MIB);

    fill(&mut server.connect(), &values, stored);
    let full = settled(&server);
    assert!(
        full.bytes <= megabytes * MIB,
        "bytes {} of {megabytes} MiB",
        full.bytes
    );
    assert!(
        full.evictions > 0,
        "{stored} items did not fill {megabytes} MiB"
    );
    assert_eq!(
        full.items + full.evictions,
        stored,
        "each item is held or was evicted"
    );

    // Nothing is stored while we read: items can only go. So the hits lie between two counts.
    let hits = read_all(&mut server.connect(), &values, stored);
    let after = settled(&server);
    assert!(hits <= full.items, "{hits} readable of {}", full.items);
    assert!(
        hits >= after.items,
        "{hits} readable of {} left",
        after.items
    );
    assert!(
        hits >= full.items - full.items / 100,
        "{hits} readable of {}",
        full.items
    );

    let resident = server.resident();
    let resident_max = megabytes * MIB * 102 / 100 + RESIDENT_EXTRA;
    assert!(
        resident <= resident_max,
        "{resident} bytes resident, {resident_max} at most"
    );
}

#[test]
#[ignore = "takes seconds and hundreds of MiB; scripts/test runs it"]
fn a_lowered_limit_gives_memory_back_and_a_raised_one_holds_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::start(env!("CARGO_BIN_EXE_nuthatch"), &["-m", "64"]);
    let values = Values { sizes: &MIX };
    let stored = values.enough_for(200 * MIB);
    fill(&mut server.connect(), &values, stored);
    let full = settled(&server);

    limit(&server, "16", "OK");
    let resident_max = 16 * MIB * 102 / 100 + RESIDENT_EXTRA;
    let since = Instant::now();
    while server.stats()["slab_reassign_running"] == "1" || server.resident() > resident_max {
        let waited = since.elapsed();
        assert!(waited < PATIENCE, "{} bytes resident", server.resident());
        thread::sleep(Duration::from_millis(20)); // nothing tells when memory has gone back
    }
    let small = settled(&server);
    assert!(small.bytes <= 16 * MIB, "{} bytes", small.bytes);
    let hits = read_all(&mut server.connect(), &values, stored);
    assert_eq!(hits, small.items, "what is counted can be read");
    assert!(small.bytes > 8 * MIB, "{} bytes are left", small.bytes);

    limit(&server, "128", "OK");
    fill(&mut server.connect(), &values, stored);
    let large = settled(&server);
    assert!(large.bytes > full.bytes * 3 / 2, "{} bytes", large.bytes);
    assert!(server.resident() <= 128 * MIB * 102 / 100 + RESIDENT_EXTRA);
    let refused = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust";
    limit(&server, "100000", refused);
    assert_eq!(server.stats()["limit_maxbytes"], (128 * MIB).to_string());
}

/// Longer than memory takes to go back on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn limit(server: &Server, megabytes: &str, expected: &str) {
    let mut socket = server.connect();
    write!(socket, "cache_memlimit {megabytes}\r\n").expect("the server reads");
    let mut line = String::new();
    let read = BufReader::new(socket).read_line(&mut line);
    read.expect("the server answers");
    assert_eq!(line.trim_end(), expected);
}

/// What the server says that it holds.
#[derive(PartialEq, Eq)]
struct Held {
    items: u64,
    bytes: u64,
    evictions: u64,
}

/// The counts once background work has stopped changing them.
fn settled(server: &Server) -> Held {
    let held = || {
        let stats = server.stats();
        let number = |name: &str| stats[name].parse().expect("a number");
        Held {
            items: number("curr_items"),
            bytes: number("bytes"),
            evictions: number("evictions"),
        }
    };
    let mut before = held();
    for _ in 0..100 {
        // Longer than between two looks of the background at what there is to do.
        thread::sleep(Duration::from_millis(150));
        let now = held();
        if now == before && server.stats()["slab_reassign_running"] == "0" {
            return now;
        }
        before = now;
    }
    before
}

/// Item number n has a key and a value that follow from n.
struct Values<'a> {
    sizes: &'a [usize],
}

impl Values<'_> {
    /// How many items have keys and values of `bytes` bytes together, with a little for headers.
    fn enough_for(&self, bytes: u64) -> u64 {
        let mean = self.sizes.iter().sum::<usize>() / self.sizes.len() + KEY_LEN + 16;
        bytes / mean as u64
    }

    fn size(&self, item: u64) -> usize {
        let mut random = Random::new(item);
        random.next();
        *random.pick(self.sizes)
    }

    fn append_value(&self, item: u64, out: &mut Vec<u8>) {
        let end = out.len() + self.size(item);
        let stamp = format!("{item:016x}");
        while out.len() < end {
            let rest = end - out.len();
            out.extend_from_slice(&stamp.as_bytes()[..rest.min(stamp.len())]);
        }
    }
}

const KEY_LEN: usize = 16;

fn append_key(item: u64, out: &mut Vec<u8>) {
    write!(out, "key:{item:012x}").expect("memory can be written to");
}

/// Sets all items in a pipeline. Every one must be stored.
fn fill(socket: &mut TcpStream, values: &Values<'_>, count: u64) {
    let mut writer = socket.try_clone().expect("a socket can be shared");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut batch = vec![];
            for item in 0..count {
                batch.extend_from_slice(b"set ");
                append_key(item, &mut batch);
                write!(batch, " 0 0 {}\r\n", values.size(item)).expect("memory can be written to");
                values.append_value(item, &mut batch);
                batch.extend_from_slice(b"\r\n");
                if batch.len() > 64 << 10 || item + 1 == count {
                    writer.write_all(&batch).expect("the server reads");
                    batch.clear();
                }
            }
        });
        expect_stored(socket, count);
    });
}

fn expect_stored(socket: &mut TcpStream, count: u64) {
    const STORED: &[u8] = b"STORED\r\n";
    let mut missing = count * STORED.len() as u64;
    let mut place = 0;
    let mut buffer = vec![0; 64 << 10];
    while missing > 0 {
        let length = socket.read(&mut buffer).expect("the server answers");
        assert!(length > 0, "closed with {missing} bytes of replies to come");
        for byte in &buffer[..length] {
            let reply = String::from_utf8_lossy(&buffer[..length.min(200)]);
            assert_eq!(*byte, STORED[place], "a reply is not STORED: {reply}");
            place = (place + 1) % STORED.len();
        }
        missing -= length as u64;
    }
}

/// Gets all items, many keys to a request; returns how many were there. Each must be right.
fn read_all(socket: &mut TcpStream, values: &Values<'_>, count: u64) -> u64 {
    let keys = if values.sizes == [100_000] { 10 } else { 100 };
    let mut hits = 0;
    let reader = socket.try_clone().expect("a socket can be shared");
    let mut replies = BufReader::with_capacity(256 << 10, reader);
    let (mut line, mut expected) = (String::new(), vec![]);
    for first in (0..count).step_by(keys) {
        let mut request = b"get".to_vec();
        for item in first..count.min(first + keys as u64) {
            request.push(b' ');
            append_key(item, &mut request);
        }
        request.extend_from_slice(b"\r\n");
        socket.write_all(&request).expect("the server reads");
        loop {
            line.clear();
            replies
                .read_line(&mut line)
                .expect("the server answers in lines");
            if line == "END\r\n" {
                break;
            }
            let mut words = line.trim_end().split(' ');
            assert_eq!(words.next(), Some("VALUE"), "{line}");
            let key = words
                .next()
                .and_then(|key| key.strip_prefix("key:"))
                .expect("our key");
            let item = u64::from_str_radix(key, 16).expect("our key");
            assert_eq!(
                words.nth(1),
                Some(&*values.size(item).to_string()),
                "{line}"
            );
            expected.clear();
            values.append_value(item, &mut expected);
            expected.extend_from_slice(b"\r\n");
            expect_bytes(&mut replies, &expected, &line);
            hits += 1;
        }
    }
    hits
}

/// Checks that the next bytes are `expected`, and takes them.
fn expect_bytes(replies: &mut impl BufRead, mut expected: &[u8], line: &str) {
    while !expected.is_empty() {
        let ready = replies.fill_buf().expect("the server answers");
        assert!(!ready.is_empty(), "closed inside a value: {line}");
        let length = ready.len().min(expected.len());
        assert!(
            ready[..length] == expected[..length],
            "a wrong value: {line}"
        );
        replies.consume(length);
        expected = &expected[length..];
    }
}
