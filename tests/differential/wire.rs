//! Sending batches in pieces and cutting replies into units.
//!
//! A batch ends with a *fence*, a command whose reply nothing else can produce and which every
//! server answers at once: `mn`, answered by `MN`. Values are cut out by their length, so a fence
//! inside a value is not one. Another protocol needs its own fence here (binary: a no-op with an
//! opaque of its own) and its own [`Unit`].

use crate::commands::{Command, Part};
use crate::support::{Random, Server};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

const FENCE: &[u8] = b"mn\r\n";
const FENCE_REPLY: &[u8] = b"MN\r\n";

/// A server that is silent for so long has lost count of its input.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A piece of a reply.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A line with its end.
    Line(Vec<u8>),
    /// `VALUE <key> <flags> <bytes>[ <cas>]` and its data.
    Value {
        key: Vec<u8>,
        flags: Vec<u8>,
        cas: Option<u64>,
        data: Vec<u8>,
    },
    /// The server hung up.
    Closed,
    /// The server said nothing more.
    Silence,
}

impl Unit {
    /// A word for statistics.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Line(line) if line[0].is_ascii_digit() => "number".into(),
            Self::Line(line) => {
                let word = line
                    .split(|byte| b" \r\n".contains(byte))
                    .next()
                    .unwrap_or(line);
                String::from_utf8_lossy(word).into_owned()
            }
            Self::Value { .. } => "VALUE".into(),
            Self::Closed => "closed".into(),
            Self::Silence => "silence".into(),
        }
    }

    /// The unit that `bytes` begins with, and its length; `None` while it is incomplete.
    fn cut(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let line = &bytes[..end];
        let Some(header) = line.strip_prefix(b"VALUE ") else {
            return Some((Self::Line(line.to_vec()), end));
        };
        let words: Vec<&[u8]> = header
            .trim_ascii_end()
            .split(|byte| *byte == b' ')
            .collect();
        let Some(length) = words.get(2).and_then(|word| decimal(word)) else {
            return Some((Self::Line(line.to_vec()), end));
        };
        let data_end = end + usize::try_from(length).ok()?;
        if bytes.len() < data_end + 2 {
            return None;
        }
        if &bytes[data_end..data_end + 2] != b"\r\n" {
            return Some((Self::Line(line.to_vec()), end)); // a broken value shows as lines
        }
        let unit = Self::Value {
            key: words[0].to_vec(),
            flags: words[1].to_vec(),
            cas: words.get(3).and_then(|word| decimal(word)),
            data: bytes[end..data_end].to_vec(),
        };
        Some((unit, data_end + 2))
    }
}

fn decimal(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Our side of a server: some connections, and the CAS ids that it has shown.
pub(crate) struct Peer {
    port: u16,
    connections: Vec<TcpStream>,
    /// Two servers number their items differently: each is asked with its own last id of a key.
    cas: HashMap<Vec<u8>, u64>,
}

impl Peer {
    pub(crate) fn new(server: &Server, connections: usize) -> Self {
        let connections = (0..connections).map(|_| connect(server.port)).collect();
        Self {
            port: server.port,
            connections,
            cas: HashMap::new(),
        }
    }

    /// Sends commands with a fence behind each; returns the reply to each.
    pub(crate) fn fenced(
        &mut self,
        connection: usize,
        cuts: u64,
        commands: &[Command],
    ) -> Vec<Vec<Unit>> {
        let mut bytes = vec![];
        for command in commands {
            self.encode(command, &mut bytes);
            bytes.extend_from_slice(FENCE);
        }
        let units = self.exchange(connection, cuts, &bytes, commands.len());
        let mut replies = vec![vec![]];
        for unit in units {
            if unit == Unit::Line(FENCE_REPLY.to_vec()) {
                replies.push(vec![]);
            } else {
                replies.last_mut().expect("begins with one").push(unit);
            }
        }
        replies
    }

    /// Sends commands with one fence at their end; returns the whole reply.
    pub(crate) fn open(&mut self, connection: usize, cuts: u64, commands: &[Command]) -> Vec<Unit> {
        let mut bytes = vec![];
        for command in commands {
            self.encode(command, &mut bytes);
        }
        bytes.extend_from_slice(FENCE);
        self.exchange(connection, cuts, &bytes, 1)
    }

    /// Sends what makes the server hang up; returns all it says before, and connects again.
    pub(crate) fn closing(&mut self, connection: usize, bytes: &[u8]) -> Vec<Unit> {
        // In one piece: what is unread at a close may destroy the reply before it.
        let socket = &mut self.connections[connection];
        socket
            .write_all(bytes)
            .expect("an open connection takes a few bytes");
        let units = receive(socket, usize::MAX);
        self.connections[connection] = connect(self.port);
        units
    }

    fn encode(&self, command: &Command, bytes: &mut Vec<u8>) {
        for part in &command.parts {
            match part {
                Part::Bytes(part) => bytes.extend_from_slice(part),
                Part::Cas { key, change } => {
                    let id = self.cas.get(key).copied().unwrap_or(0) ^ change;
                    bytes.extend_from_slice(id.to_string().as_bytes());
                }
            }
        }
    }

    fn exchange(&mut self, connection: usize, cuts: u64, bytes: &[u8], fences: usize) -> Vec<Unit> {
        let socket = &mut self.connections[connection];
        let mut writer = socket.try_clone().expect("a socket can be shared");
        // The server may stop reading until its replies are read: write beside the reading.
        let units = thread::scope(|scope| {
            scope.spawn(move || send_in_pieces(&mut writer, cuts, bytes));
            receive(socket, fences)
        });
        for unit in &units {
            if let Unit::Value {
                key,
                cas: Some(cas),
                ..
            } = unit
            {
                self.cas.insert(key.clone(), *cas);
            }
        }
        units
    }
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server accepts");
    socket
        .set_nodelay(true)
        .expect("TCP sockets have this option");
    socket
        .set_read_timeout(Some(SILENCE_MAX))
        .expect("the time is not zero");
    socket
}

/// Writes `bytes` in pieces that `cuts` decides: often one, else a few, now and then crumbs.
fn send_in_pieces(socket: &mut TcpStream, cuts: u64, bytes: &[u8]) {
    let mut random = Random::new(cuts);
    let piece_max = match random.below(10) {
        0..=4 => bytes.len(),
        5 if bytes.len() < 4096 => 7,
        _ => bytes.len() / 3 + 2,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = if piece_max == bytes.len() {
            piece_max
        } else {
            1 + random.below(piece_max)
        };
        let (piece, later) = rest.split_at(length.min(rest.len()));
        if socket.write_all(piece).is_err() {
            return; // the reading side sees the close and tells
        }
        rest = later;
        thread::yield_now(); // so that the server may find the piece alone
    }
}

/// Reads units until so many fences have been answered, or nothing more comes.
fn receive(socket: &mut TcpStream, fences: usize) -> Vec<Unit> {
    let mut units = vec![];
    let mut pending: Vec<u8> = vec![];
    let mut buffer = vec![0; 256 << 10];
    let mut answered = 0;
    while answered < fences {
        match socket.read(&mut buffer) {
            Ok(0) => return ended(units, pending, Unit::Closed),
            Ok(count) => pending.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return ended(units, pending, Unit::Closed);
            }
            Err(_) => return ended(units, pending, Unit::Silence),
        }
        let mut used = 0;
        while let Some((unit, length)) = Unit::cut(&pending[used..]) {
            used += length;
            answered += usize::from(unit == Unit::Line(FENCE_REPLY.to_vec()));
            units.push(unit);
        }
        pending.drain(..used);
    }
    if !pending.is_empty() {
        units.push(Unit::Line(pending));
    }
    units
}

fn ended(mut units: Vec<Unit>, pending: Vec<u8>, how: Unit) -> Vec<Unit> {
    if !pending.is_empty() {
        units.push(Unit::Line(pending));
    }
    units.push(how);
    units
}

/// Bytes for a person to read; long ones lose their middle.
pub(crate) fn show(bytes: &[u8]) -> String {
    const ENDS: usize = 160;
    if bytes.len() <= 2 * ENDS {
        return bytes.escape_ascii().to_string();
    }
    let (head, tail) = (&bytes[..ENDS], &bytes[bytes.len() - ENDS..]);
    let left_out = bytes.len() - 2 * ENDS;
    format!(
        "{} …{left_out} bytes… {}",
        head.escape_ascii(),
        tail.escape_ascii()
    )
}

pub(crate) fn show_units(units: &[Unit]) -> String {
    const UNITS: usize = 12;
    let mut text = String::new();
    for unit in units.iter().take(UNITS) {
        match unit {
            Unit::Line(line) => writeln!(text, "{}", show(line)),
            Unit::Value {
                key,
                flags,
                cas,
                data,
            } => {
                let (key, flags) = (key.escape_ascii(), flags.escape_ascii());
                writeln!(
                    text,
                    "VALUE {key} {flags} {} {cas:?}: {}",
                    data.len(),
                    show(data)
                )
            }
            Unit::Closed => writeln!(text, "(closed)"),
            Unit::Silence => writeln!(text, "(silence)"),
        }
        .expect("strings can be written to");
    }
    if units.len() > UNITS {
        writeln!(text, "… {} units more", units.len() - UNITS).expect("strings can be written to");
    }
    text
}

#[test]
fn values_are_cut_by_their_length() {
    let value = |data: &[u8], cas| Unit::Value {
        key: b"k".to_vec(),
        flags: b"0".to_vec(),
        cas,
        data: data.to_vec(),
    };
    let bytes = b"VALUE k 0 10\r\na\r\nMN\r\nEND\r\nEND\r\n";
    let (unit, length) = Unit::cut(bytes).expect("it is complete");
    assert!(unit == value(b"a\r\nMN\r\nEND", None));
    assert_eq!(&bytes[length..], b"END\r\n");
    for end in 0..length {
        assert!(
            Unit::cut(&bytes[..end]).is_none(),
            "{end} bytes are not the whole"
        );
    }
    let (unit, _) = Unit::cut(b"VALUE k 0 0 77\r\n\r\n").expect("it is complete");
    assert!(unit == value(b"", Some(77)));
}

#[test]
fn a_value_of_a_wrong_length_is_not_a_value() {
    let (unit, length) = Unit::cut(b"VALUE k 0 1\r\nab\r\nEND\r\n").expect("a line at least");
    assert!(unit == Unit::Line(b"VALUE k 0 1\r\n".to_vec()));
    assert_eq!(length, 13);
}
