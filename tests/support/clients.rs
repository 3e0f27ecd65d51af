//! A whole server in the test's process, and clients that know what they should hear.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test binary includes this file and uses a part of it"
)]

use nuthatch::base::settings::Settings;
use nuthatch::server::{Running, Server};
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn settings() -> Settings {
    Settings {
        tcp_port: Some(0),
        threads: 2,
        ..Settings::default()
    }
}

pub(crate) fn start(settings: Settings) -> Running {
    Server::bind(settings).unwrap().spawn().unwrap()
}

/// A client that knows what it should hear.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn of(server: &Running) -> Self {
        Self::at(server.addresses()[0])
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads exactly as much as is expected, and compares.
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut found = vec![0; expected.len()];
        self.stream.read_exact(&mut found).unwrap();
        assert!(
            found == expected,
            "{} is not {}",
            excerpt(&found),
            excerpt(expected)
        );
    }

    pub(crate) fn ask(&mut self, request: &[u8], reply: &[u8]) {
        self.send(request);
        self.expect(reply);
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = vec![];
        self.stream.read_to_end(&mut rest).unwrap();
        rest
    }
}

pub(crate) fn excerpt(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes[..bytes.len().min(200)].escape_ascii())
}

/// Asks again until the answer is yes.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

/// Memory that this process has in use, in bytes.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

pub(crate) fn set(key: &str, value: &[u8]) -> Vec<u8> {
    [
        format!("set {key} 0 0 {}\r\n", value.len()).as_bytes(),
        value,
        b"\r\n",
    ]
    .concat()
}

pub(crate) fn found(key: &str, value: &[u8]) -> Vec<u8> {
    [
        format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes(),
        value,
        b"\r\nEND\r\n",
    ]
    .concat()
}

/// Sends `request` until neither the server nor the system between takes more; says how often.
pub(crate) fn send_until_refused(stream: &mut TcpStream, request: &[u8]) -> usize {
    // Long enough that a server that still reads would have read.
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let batch = request.repeat(100);
    let mut sent = 0;
    loop {
        match stream.write(&batch[sent % request.len()..]) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break sent;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The numbers of plain `stats`, asked for by a client of its own.
pub(crate) fn stats(server: &Running) -> HashMap<String, u64> {
    let mut client = Client::of(server);
    client.send(b"stats\r\nquit\r\n");
    let text = String::from_utf8(client.rest()).unwrap();
    let pairs = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.into(), value.parse().ok()?))
    });
    pairs.collect()
}

/// One of them.
pub(crate) fn stat(server: &Running, name: &str) -> u64 {
    stats(server)[name]
}
