//! A server process for a test, on a free loopback port, ended when the test is.

#![allow(
    dead_code,
    reason = "every test binary includes this file and uses a part of it"
)]

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A server that has not answered by then is not going to.
const START_MAX: Duration = Duration::from_secs(10);
/// Longer than the slowest answer on a busy machine; a server that hangs fails the test.
pub(crate) const REPLY_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) port: u16,
    child: Child,
}

impl Server {
    /// Starts `binary` with memcached's flags in `flags`, and waits until it accepts.
    pub(crate) fn start(binary: &str, flags: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(binary)
            .args(["-l", "127.0.0.1", "-p", &port.to_string()])
            .args(if is_root() { &["-u", "root"][..] } else { &[] })
            .args(flags)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {binary}: {error}"));
        let mut server = Self { port, child };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = server
                .child
                .try_wait()
                .expect("our own child can be waited for");
            assert!(
                ended.is_none(),
                "{binary} {flags:?} ended at once: {ended:?}"
            );
            assert!(
                started.elapsed() < START_MAX,
                "{binary} {flags:?} does not accept"
            );
            thread::sleep(Duration::from_millis(5)); // between attempts to connect
        }
        server
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .unwrap_or_else(|error| panic!("port {}: {error}", self.port));
        socket
            .set_nodelay(true)
            .expect("TCP sockets have this option");
        socket
            .set_read_timeout(Some(REPLY_MAX))
            .expect("the time is not zero");
        socket
    }

    /// The answer to `stats`, by name.
    pub(crate) fn stats(&self) -> HashMap<String, String> {
        let mut socket = self.connect();
        socket.write_all(b"stats\r\n").expect("the server reads");
        let mut reply = vec![];
        while !reply.ends_with(b"END\r\n") {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).expect("the server answers");
            assert!(count > 0, "closed in the middle of stats");
            reply.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&reply)
            .lines()
            .filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '))
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// Resident memory in bytes, as the kernel counts it.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        1024 * kilobytes
            .and_then(|number| number.parse::<u64>().ok())
            .expect("VmRSS is a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free, and stays so until it is used: it is below those that the system gives to
/// whoever asks for any, and each is tried once.
fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let tried = TRIED.fetch_add(1, Ordering::Relaxed);
        assert!(tried < COUNT, "no port is free");
        let port = (FIRST + (process::id() * 64 + tried) % COUNT) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// memcached refuses to run as root unless told to.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Small, fast and the same everywhere: xorshift64*. A test that fails can be run again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike; zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 33) % bound as u64).expect("below a usize")
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}
