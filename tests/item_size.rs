//! How large a value may be (`-I`): what the program takes, and values of just that size.
//!
//! Values go over a socket of the program itself and come back a piece at a time, so that the test
//! holds no more of them than a piece. What they consist of depends on where it lies: a piece that
//! is left out, sent twice or moved is seen.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use scratch::Scratch;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_nuthatch");

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What is sent and read at once.
const PIECE_LEN: usize = 256 * KIB;

/// After so many bytes values repeat themselves: a prime, so that no two chunks or pages of one
/// hold the same for long.
const PERIOD_LEN: usize = 999_983;

fn command(flags: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(flags.split(' '));
    command.env_remove("MEMCACHED_PORT_FILENAME");
    command.env_remove("MEMCACHED_SASL_PWDB");
    command
}

fn finish(flags: &str) -> Output {
    command(flags).stdin(Stdio::null()).output().unwrap()
}

/// A running server, killed when the test ends, and a connection to it.
struct Daemon {
    child: Child,
    stream: UnixStream,
    _path: Scratch,
}

impl Daemon {
    fn start(name: &str, flags: &str) -> Self {
        let path = Scratch::new(&format!("item-size-{name}"));
        let line = format!("-s {} -u root {flags}", path.display());
        let child = command(&line).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(&*path) {
                break stream;
            }
            assert!(Instant::now() < deadline, "{flags}: does not listen");
            thread::yield_now();
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            child,
            stream,
            _path: path,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn expect(&mut self, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        self.stream.read_exact(&mut found).unwrap();
        assert!(
            found == expected,
            "\"{}\" is not \"{}\"",
            found.escape_ascii(),
            expected.escape_ascii()
        );
    }

    fn set(&mut self, key: &str, len: usize, reply: &[u8]) {
        self.send(format!("set {key} 5 0 {len}\r\n").as_bytes());
        let period = period();
        for piece in pieces(&period, len) {
            self.send(piece);
        }
        self.send(b"\r\n");
        self.expect(reply);
    }

    /// Gets a value and compares all of it.
    fn get(&mut self, key: &str, len: usize) {
        self.send(format!("get {key}\r\n").as_bytes());
        self.expect(format!("VALUE {key} 5 {len}\r\n").as_bytes());
        let period = period();
        let mut found = vec![0; PIECE_LEN];
        let mut at = 0;
        for piece in pieces(&period, len) {
            let found = &mut found[..piece.len()];
            self.stream.read_exact(found).unwrap();
            assert!(found == piece, "{key}: differs in the piece from {at}");
            at += piece.len();
        }
        self.expect(b"\r\nEND\r\n");
    }

    fn misses(&mut self, key: &str) {
        self.send(format!("get {key}\r\n").as_bytes());
        self.expect(b"END\r\n");
    }

    /// One of `stats settings`.
    fn setting(&mut self, name: &str) -> String {
        self.send(b"stats settings\r\n");
        let mut said = vec![];
        while !said.ends_with(b"END\r\n") {
            let mut piece = [0; 4096];
            let len = self.stream.read(&mut piece).unwrap();
            assert!(len > 0, "the server hung up");
            said.extend_from_slice(&piece[..len]);
        }
        let said = String::from_utf8(said).unwrap();
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.unwrap().to_string()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails only when the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What values consist of, and a piece more, so that a piece may begin anywhere in it.
fn period() -> Vec<u8> {
    let word = |number: usize| (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let byte = |at: usize| (word(at % PERIOD_LEN) >> 32) as u8;
    (0..PERIOD_LEN + PIECE_LEN).map(byte).collect()
}

/// The value of this length, cut.
fn pieces(period: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    (0..len).step_by(PIECE_LEN).map(move |from| {
        let at = from % PERIOD_LEN;
        &period[at..at + PIECE_LEN.min(len - from)]
    })
}

/// A value of the limit goes in and comes back whole, twice; one byte more is refused, takes
/// nothing along, and the conversation goes on.
fn holds_just_its_limit(size: &str, limit: usize, memory: &str) {
    let mut daemon = Daemon::start(size, &format!("-I {size} -m {memory} -t 1"));
    daemon.set("whole", limit, b"STORED\r\n");
    daemon.get("whole", limit);
    daemon.set("over", limit + 1, TOO_LARGE);
    daemon.misses("over");
    daemon.get("whole", limit);
    daemon.set("whole", limit - 1, b"STORED\r\n");
    daemon.get("whole", limit - 1);
    daemon.set("whole", limit + 1, TOO_LARGE);
    daemon.misses("whole");
}

#[test]
fn sizes_from_a_kibibyte_to_a_gibibyte_are_taken() {
    let table = [
        ("1024", "1024"),
        ("1k", "1024"),
        ("1K", "1024"),
        ("16k", "16384"),
        ("1m", "1048576"),
        ("8M", "8388608"),
        ("64m", "67108864"),
        ("1024m", "1073741824"),
        ("1g", "1073741824"),
        ("1073741824", "1073741824"),
    ];
    for (size, bytes) in table {
        let mut daemon = Daemon::start("taken", &format!("-I {size} -m 4096"));
        assert_eq!(daemon.setting("item_size_max"), bytes, "-I {size}");
    }
}

#[test]
fn sizes_beyond_are_bad_usage() {
    let table = [
        ("-I 0", "-I 0: items of at least 1024 bytes"),
        ("-I 1023", "-I 1023: items of at least 1024 bytes"),
        ("-m 4096 -I 1073741825", "items are at most 1 GiB"),
        ("-m 4096 -I 1025m", "-I 1025m: items are at most 1 GiB"),
        ("-m 4096 -I 2g", "-I 2g: items are at most 1 GiB"),
        ("-m 64 -I 33m", "-I 33m: more than half of the memory limit"),
        ("-m 2047 -I 1g", "-I 1g: more than half of the memory limit"),
    ];
    for (flags, words) in table {
        let output = finish(flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags}: {said}");
        assert!(said.contains(words), "{flags}: {said}");
        assert!(output.stdout.is_empty(), "{flags}");
    }
}

#[test]
fn a_kibibyte_at_most() {
    holds_just_its_limit("1k", KIB, "64");
}

#[test]
fn sixteen_kibibytes_at_most() {
    holds_just_its_limit("16k", 16 * KIB, "64");
}

#[test]
fn a_mebibyte_at_most() {
    holds_just_its_limit("1m", MIB, "64");
}

#[test]
fn eight_mebibytes_at_most() {
    holds_just_its_limit("8m", 8 * MIB, "64");
}

#[test]
fn sixty_four_mebibytes_at_most() {
    holds_just_its_limit("64m", 64 * MIB, "256");
}

#[test]
fn half_of_the_memory_at_most() {
    holds_just_its_limit("32m", 32 * MIB, "64");
}

#[test]
#[ignore = "needs 2 GiB of memory"]
fn three_hundred_megabytes_and_a_gibibyte() {
    let mut daemon = Daemon::start("large", "-I 1g -m 4096 -t 1");
    daemon.set("large", 300_000_000, b"STORED\r\n");
    daemon.get("large", 300_000_000);
    daemon.set("whole", 1 << 30, b"STORED\r\n");
    daemon.get("whole", 1 << 30);
    daemon.get("large", 300_000_000);
    daemon.set("over", (1 << 30) + 1, TOO_LARGE);
    daemon.misses("over");
}
