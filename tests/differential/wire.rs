//! Sending batches in pieces and cutting replies into units.
//!
//! A batch ends with a *fence*, a command whose reply nothing else can produce and which every
//! server answers at once: `mn`, answered by `MN`. Values are cut out by their length, so a fence
//! inside a value is not one. On a binary connection the fence is a no-op with its own opaque.
//! Another protocol needs its own fence and its own [`Unit`].

use crate::binary::{FENCE_OPAQUE, HEADER_LEN, NOOP, STAT, fence};
use crate::commands::{Command, Part, Protocol};
use crate::meta::decoded;
use crate::support::{Random, Server};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

const FENCE: &[u8] = b"mn\r\n";
const FENCE_REPLY: &[u8] = b"MN\r\n";

/// Bytes that can be written to a socket although the server reads nothing.
const SOCKET_TAKES: usize = 32 << 10;

/// A server that is silent for this long has lost count of its input.
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
    /// The reply to a meta command: the words of its line, and the data of a `VA`.
    Meta {
        words: Vec<Vec<u8>>,
        data: Option<Vec<u8>>,
    },
    /// A binary reply.
    Packet(Reply),
    /// The server hung up.
    Closed,
    /// The server said nothing more.
    Silence,
}

/// A binary reply.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) opcode: u8,
    pub(crate) status: u16,
    /// Data type and what the lengths say must be right; anything else is a broken reply.
    pub(crate) opaque: u32,
    pub(crate) cas: u64,
    pub(crate) extras: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// The key of the request.
    pub(crate) asked: Vec<u8>,
}

impl Reply {
    /// Whether it is one statistic of a group: which there are differs between any two servers. The
    /// empty one at a group's end stays.
    fn is_a_stat(&self) -> bool {
        self.opcode == STAT && self.status == 0 && !self.key.is_empty()
    }

    /// The packet that `bytes` begins with, and its length; `None` while it is incomplete.
    fn cut(bytes: &[u8]) -> Option<(Unit, usize)> {
        let header = bytes.get(..HEADER_LEN)?;
        let number = |range: std::ops::Range<usize>| {
            header[range]
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let length = |range| usize::try_from(number(range)).expect("at most 32 bits");
        let (key_len, extras_len, body_len) = (length(2..4), length(4..5), length(8..12));
        if header[0] != 0x81 || header[5] != 0 || key_len + extras_len > body_len {
            return Some((Unit::Line(bytes.to_vec()), bytes.len()));
        }
        let body = bytes.get(HEADER_LEN..HEADER_LEN + body_len)?;
        let (extras, rest) = body.split_at(extras_len);
        let (key, value) = rest.split_at(key_len);
        let reply = Self {
            opcode: header[1],
            status: u16::from_be_bytes([header[6], header[7]]),
            opaque: u32::from_be_bytes([header[12], header[13], header[14], header[15]]),
            cas: number(16..24),
            extras: extras.to_vec(),
            key: key.to_vec(),
            value: value.to_vec(),
            asked: vec![],
        };
        Some((Unit::Packet(reply), HEADER_LEN + body_len))
    }
}

impl Unit {
    fn is_fence(&self) -> bool {
        match self {
            Self::Line(line) => line == FENCE_REPLY,
            Self::Packet(reply) => reply.opcode == NOOP && reply.opaque == FENCE_OPAQUE,
            _ => false,
        }
    }

    /// The CAS id that the unit tells, and of which key.
    fn cas(&self) -> Option<(Vec<u8>, u64)> {
        match self {
            Self::Value { key, cas, .. } => Some((key.clone(), (*cas)?)),
            Self::Packet(reply) if reply.cas != 0 => Some((reply.asked.clone(), reply.cas)),
            Self::Meta { words, .. } => {
                let told = |letter| words[1..].iter().find_map(|word| word.strip_prefix(letter));
                let cas = told(b"c").and_then(decimal).filter(|cas| *cas != 0)?;
                let key = told(b"k")?;
                let encoded = words.iter().any(|word| word == b"b");
                let plain = decoded(key).filter(|_| encoded).unwrap_or(key);
                Some((plain.to_vec(), cas))
            }
            _ => None,
        }
    }

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
            Self::Meta { words, .. } => match words.last().map(Vec::as_slice) {
                Some(b"W") => "won".into(),
                Some(b"X") => "stale".into(),
                Some(_) => String::from_utf8_lossy(&words[0]).into_owned(),
                None => "empty".into(),
            },
            Self::Packet(reply) => format!("status {:02x}", reply.status),
            Self::Closed => "closed".into(),
            Self::Silence => "silence".into(),
        }
    }

    /// The unit that `bytes` begins with, and its length; `None` while it is incomplete.
    fn cut(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
        let line = &bytes[..end];
        if let Some(words) = meta_words(line) {
            return Self::cut_meta(bytes, end, words);
        }
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

    fn cut_meta(bytes: &[u8], end: usize, words: Vec<Vec<u8>>) -> Option<(Self, usize)> {
        let length = match words.get(1).map(|word| decimal(word)) {
            Some(Some(length)) if words[0] == b"VA" => usize::try_from(length).ok()?,
            _ => return Some((Self::Meta { words, data: None }, end)),
        };
        let data_end = end + length;
        let tail = bytes.get(data_end..data_end + 2)?;
        if tail != b"\r\n" {
            return Some((Self::Line(bytes[..end].to_vec()), end)); // a broken value shows as lines
        }
        let data = Some(bytes[end..data_end].to_vec());
        Some((Self::Meta { words, data }, data_end + 2))
    }
}

/// The words of a line that replies to a meta command, if there is exactly one space between them.
fn meta_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let line = line.strip_suffix(b"\r\n")?;
    let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let codes: [&[u8]; 7] = [b"HD", b"VA", b"EN", b"NF", b"NS", b"EX", b"ME"];
    let sound = codes.contains(&words[0]) && words.iter().all(|word| !word.is_empty());
    sound.then(|| words.into_iter().map(<[u8]>::to_vec).collect())
}

fn decimal(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Our side of a server: some connections, and the CAS ids that it has shown.
pub(crate) struct Peer {
    port: u16,
    connections: Vec<(TcpStream, Protocol)>,
    /// The keys of the binary requests under way, by their opaques.
    asked: HashMap<u32, Vec<u8>>,
    /// Two servers number their items differently: each is asked with its own last id of a key.
    cas: HashMap<Vec<u8>, u64>,
}

impl Peer {
    pub(crate) fn new(server: &Server, connections: &[Protocol]) -> Self {
        let connect = |protocol: &Protocol| (connect(server.port), *protocol);
        Self {
            port: server.port,
            connections: connections.iter().map(connect).collect(),
            asked: HashMap::new(),
            cas: HashMap::new(),
        }
    }

    /// Sends commands with a fence after each; returns the reply to each.
    pub(crate) fn fenced(
        &mut self,
        connection: usize,
        cuts: u64,
        commands: &[Command],
    ) -> Vec<Vec<Unit>> {
        let mut bytes = vec![];
        for command in commands {
            self.encode(command, &mut bytes);
            self.encode_fence(connection, &mut bytes);
        }
        let units = self.exchange(connection, cuts, &bytes, commands.len());
        let mut replies = vec![vec![]];
        for unit in units {
            if unit.is_fence() {
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
        self.encode_fence(connection, &mut bytes);
        self.exchange(connection, cuts, &bytes, 1)
    }

    /// Sends what makes the server hang up; returns all it says before, and connects again.
    pub(crate) fn closing(&mut self, connection: usize, command: &Command) -> Vec<Unit> {
        let mut bytes = vec![];
        self.encode(command, &mut bytes);
        // In one piece: what is unread at a close may destroy the reply before it.
        let (socket, protocol) = &mut self.connections[connection];
        socket
            .write_all(&bytes)
            .expect("an open connection takes a few bytes");
        let units = receive(socket, *protocol, usize::MAX);
        *socket = connect(self.port);
        units
    }

    fn encode_fence(&self, connection: usize, bytes: &mut Vec<u8>) {
        match self.connections[connection].1 {
            Protocol::Text => bytes.extend_from_slice(FENCE),
            Protocol::Binary => bytes.extend_from_slice(&fence()),
        }
    }

    fn encode(&mut self, command: &Command, bytes: &mut Vec<u8>) {
        for part in &command.parts {
            match part {
                Part::Bytes(part) => bytes.extend_from_slice(part),
                Part::Cas { key, change } => {
                    let id = self.cas.get(key).copied().unwrap_or(0) ^ change;
                    bytes.extend_from_slice(id.to_string().as_bytes());
                }
                Part::Packet(packet) => {
                    let id = packet
                        .cas_change
                        .map(|change| self.cas.get(&packet.key).copied().unwrap_or(0) ^ change);
                    packet.encode(id.unwrap_or(0), bytes);
                    self.asked.insert(packet.opaque, packet.key.clone());
                }
            }
        }
    }

    fn exchange(&mut self, connection: usize, cuts: u64, bytes: &[u8], fences: usize) -> Vec<Unit> {
        let (socket, protocol) = &mut self.connections[connection];
        let protocol = *protocol;
        let mut units = if bytes.len() <= SOCKET_TAKES {
            send_in_pieces(socket, cuts, bytes);
            receive(socket, protocol, fences)
        } else {
            let mut writer = socket.try_clone().expect("a socket can be shared");
            // The server may stop reading until its replies are read: write beside the reading.
            thread::scope(|scope| {
                scope.spawn(move || send_in_pieces(&mut writer, cuts, bytes));
                receive(socket, protocol, fences)
            })
        };
        for unit in &mut units {
            if let Unit::Packet(reply) = unit {
                reply.asked = self.asked.get(&reply.opaque).cloned().unwrap_or_default();
            }
            self.cas.extend(unit.cas());
        }
        self.asked.clear();
        units.retain(|unit| !matches!(unit, Unit::Packet(reply) if reply.is_a_stat()));
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
fn receive(socket: &mut TcpStream, protocol: Protocol, fences: usize) -> Vec<Unit> {
    let mut units = vec![];
    let mut pending: Vec<u8> = vec![];
    let mut buffer = [0; 16 << 10];
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
        let cut = match protocol {
            Protocol::Text => Unit::cut,
            Protocol::Binary => Reply::cut,
        };
        while let Some((unit, length)) = cut(&pending[used..]) {
            used += length;
            answered += usize::from(unit.is_fence());
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

fn named(name: &str, bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    format!(" {name} {}", show(bytes))
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
            Unit::Meta { words, data } => {
                let line = words.join(&b' ');
                let data = data
                    .as_ref()
                    .map_or(String::new(), |data| format!(": {}", show(data)));
                writeln!(text, "{}{data}", show(&line))
            }
            Unit::Packet(reply) => writeln!(
                text,
                "{:02x} {:02x}{}{}{}{}",
                reply.opcode,
                reply.status,
                named("extras", &reply.extras),
                named("key", &reply.key),
                named("value", &reply.value),
                if reply.cas == 0 { "" } else { " cas" },
            ),
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

#[test]
fn packets_are_cut_by_their_lengths() {
    let mut bytes = vec![0x81, 0x0c, 0, 2, 4, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7];
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 2]);
    bytes.extend_from_slice(b"flagkyval");
    for end in 0..bytes.len() {
        assert!(
            Reply::cut(&bytes[..end]).is_none(),
            "{end} bytes are not the whole"
        );
    }
    bytes.push(0x81);
    let reply = Reply {
        opcode: 0x0c,
        status: 1,
        opaque: 7,
        cas: 258,
        extras: b"flag".to_vec(),
        key: b"ky".to_vec(),
        value: b"val".to_vec(),
        asked: vec![],
    };
    let (unit, length) = Reply::cut(&bytes).expect("it is complete");
    assert!(unit == Unit::Packet(reply));
    assert_eq!(length, bytes.len() - 1);
}

#[test]
fn meta_values_are_cut_by_their_length() {
    let bytes = b"VA 6 kx W\r\nHD\r\nMN\r\nMN\r\n";
    let (unit, length) = Unit::cut(bytes).expect("it is complete");
    assert!(matches!(unit, Unit::Meta { data: Some(data), .. } if data == b"HD\r\nMN"));
    assert_eq!(&bytes[length..], b"MN\r\n");
    let (unit, _) = Unit::cut(b"HD  k\r\n").expect("a line");
    assert!(unit == Unit::Line(b"HD  k\r\n".to_vec()));
}
