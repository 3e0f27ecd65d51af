//! Recorded requests, played as an application with a database behind its cache would make them:
//! get, and on a miss set.
//!
//! ```text
//!   trace   a b c a d …          window 1 = a b c (the next is a repeat)
//!   wire    get a, get b, get c ─▶ hits and misses ─▶ set the misses, get a, get d …
//! ```
//!
//! Gets are sent ahead in windows, because one round trip for each would take minutes. A window
//! ends before a key that it already holds, so the second get of a key always follows the set that
//! the first one's miss caused. Sets go out in the order of their misses, in front of the next
//! window. What may differ from playing one by one is only that a get is answered before the sets
//! of up to 63 *other* keys before it, which matters if one of those would have evicted its item
//! or if the item died in between. `--window 1` plays one by one.

use crate::failure::Failure;
use crate::report::Json;
use crate::socket::Peer;
use crate::wire::{HEAD_MAX, Head, Kind, Protocol, Wire};
use nuthatch::base::number::{parse_u32, parse_u64, usize_from};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

const READ_LEN: usize = 256 << 10;

/// No server takes larger values than this.
const SIZE_MAX: u64 = 1 << 30;

/// What to play, and to whom.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) peer: Peer,
    pub(crate) files: Vec<String>,
    pub(crate) window: usize,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Played {
    pub(crate) requests: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_missed: u64,
    /// Sets that the server did not do.
    pub(crate) refused: u64,
}

impl Played {
    pub(crate) fn json(&self) -> String {
        let mut json = Json::default();
        json.count("requests", self.requests)
            .count("hits", self.requests - self.misses)
            .count("misses", self.misses)
            .real("object_miss_ratio", ratio(self.misses, self.requests))
            .count("bytes", self.bytes)
            .count("bytes_missed", self.bytes_missed)
            .real("byte_miss_ratio", ratio(self.bytes_missed, self.bytes))
            .count("refused_sets", self.refused);
        json.finish()
    }

    pub(crate) fn page(&self) -> String {
        format!(
            "requests           {}\nobject miss ratio  {:.4}\nbyte miss ratio    {:.4}\n\
             refused sets       {}\n",
            self.requests,
            ratio(self.misses, self.requests),
            ratio(self.bytes_missed, self.bytes),
            self.refused
        )
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl Replay {
    pub(crate) fn run(&self) -> Result<Played, Failure> {
        let mut player = Player::new(self.peer.connect_blocking()?, self.window);
        for name in &self.files {
            let during = Failure::during(name);
            if name == "-" {
                player.play(io::stdin().lock(), name)?;
                continue;
            }
            let file = File::open(name).map_err(during)?;
            player.play(BufReader::with_capacity(READ_LEN, file), name)?;
        }
        player.finish()
    }
}

/// One line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    key: Vec<u8>,
    size: usize,
    ttl_s: u32,
}

impl Line {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.split(u8::is_ascii_whitespace);
        let key = words.next().filter(|key| (1..=250).contains(&key.len()))?;
        let size = words.next().and_then(parse_u64)?;
        let ttl_s = match words.next() {
            None | Some(b"") => 0,
            Some(digits) => parse_u32(digits)?,
        };
        (size <= SIZE_MAX).then(|| Self {
            key: key.into(),
            size: usize_from(size),
            ttl_s,
        })
    }
}

/// A connection, and the window that is being gathered.
struct Player<S> {
    stream: S,
    window_len: usize,
    window: Vec<Line>,
    keys: HashSet<Vec<u8>>,
    /// Sets that wait for the next window's gets to go with them.
    out: Vec<u8>,
    sets: usize,
    input: Vec<u8>,
    /// The part of the input that is read and not looked at.
    unread: std::ops::Range<usize>,
    value: Vec<u8>,
    played: Played,
}

const WIRE: Wire = Wire {
    protocol: Protocol::Text,
    keys_per_get: 1,
    ttl_s: 0,
};

impl<S: Read + Write> Player<S> {
    fn new(stream: S, window_len: usize) -> Self {
        Self {
            stream,
            window_len,
            window: vec![],
            keys: HashSet::new(),
            out: vec![],
            sets: 0,
            input: vec![0; READ_LEN],
            unread: 0..0,
            value: vec![],
            played: Played::default(),
        }
    }

    fn play(&mut self, mut trace: impl BufRead, name: &str) -> Result<(), Failure> {
        let mut text = vec![];
        for number in 1u64.. {
            text.clear();
            let read = trace.read_until(b'\n', &mut text);
            if read.map_err(Failure::during(name))? == 0 {
                break;
            }
            let Some(line) = Line::parse(text.trim_ascii()) else {
                let sentence = format!("{name}: line {number} is not `<key> <bytes> [<ttl>]`");
                return Err(Failure::new(sentence));
            };
            self.add(line)?;
        }
        Ok(())
    }

    fn add(&mut self, line: Line) -> Result<(), Failure> {
        if self.window.len() == self.window_len || self.keys.contains(&line.key) {
            self.turn()?;
        }
        self.keys.insert(line.key.clone());
        self.window.push(line);
        Ok(())
    }

    /// Plays what is left.
    fn finish(mut self) -> Result<Played, Failure> {
        self.turn()?; // the last gets
        self.turn()?; // and the sets of their misses
        Ok(self.played)
    }

    /// Sends the waiting sets and the window's gets, and prepares the sets of its misses.
    fn turn(&mut self) -> Result<(), Failure> {
        for line in &self.window {
            WIRE.push_get(&mut self.out, &line.key, true);
            WIRE.finish_get(&mut self.out);
        }
        let written = self.stream.write_all(&self.out);
        written.map_err(Failure::during("write"))?;
        self.out.clear();
        for _ in 0..std::mem::take(&mut self.sets) {
            let head = self.head()?;
            self.played.refused += u64::from(head.kind != Kind::Stored);
        }
        let mut window = std::mem::take(&mut self.window);
        for line in window.drain(..) {
            self.settle(&line)?;
        }
        self.window = window; // its memory serves again
        self.keys.clear();
        Ok(())
    }

    /// Reads the reply to one get; a miss leaves a set to be sent.
    fn settle(&mut self, line: &Line) -> Result<(), Failure> {
        let mut head = self.head()?;
        let is_hit = head.kind == Kind::Value;
        if is_hit {
            self.skip(head.body_len)?;
            head = self.head()?;
        }
        if head.kind != Kind::End {
            return Err(Failure::new("the server answers a get with an error"));
        }
        self.played.requests += 1;
        self.played.bytes += line.size as u64;
        if is_hit {
            return Ok(());
        }
        self.played.misses += 1;
        self.played.bytes_missed += line.size as u64;
        self.value.resize(self.value.len().max(line.size), b'v');
        let wire = Wire {
            ttl_s: line.ttl_s,
            ..WIRE
        };
        wire.push_set(&mut self.out, &line.key, &self.value[..line.size]);
        self.sets += 1;
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Failure> {
        loop {
            if let Some(head) = WIRE.head(&self.input[self.unread.clone()]) {
                self.unread.start += head.len;
                return Ok(head);
            }
            if self.unread.len() > HEAD_MAX {
                return Err(Failure::new("the server sends something that is no reply"));
            }
            self.fill()?;
        }
    }

    fn skip(&mut self, mut len: usize) -> Result<(), Failure> {
        while len > self.unread.len() {
            len -= self.unread.len();
            self.unread = 0..0;
            self.fill()?;
        }
        self.unread.start += len;
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Failure> {
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let free = &mut self.input[self.unread.end..];
        match self.stream.read(free).map_err(Failure::during("read"))? {
            0 => Err(Failure::new("the server closed the connection")),
            count => {
                self.unread.end += count;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A server that forgets nothing, and hands its replies out in small pieces.
    #[derive(Default)]
    struct Fake {
        items: HashMap<Vec<u8>, usize>,
        replies: Vec<u8>,
        writes: Vec<String>,
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.writes.push(text.clone());
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                match words.as_slice() {
                    ["get", key] => {
                        if let Some(&size) = self.items.get(key.as_bytes()) {
                            let value = "v".repeat(size);
                            let reply = format!("VALUE {key} 0 {size}\r\n{value}\r\n");
                            self.replies.extend_from_slice(reply.as_bytes());
                        }
                        self.replies.extend_from_slice(b"END\r\n");
                    }
                    ["set", key, _, _, size] => {
                        self.items
                            .insert(key.as_bytes().into(), size.parse().unwrap());
                        self.replies.extend_from_slice(b"STORED\r\n");
                    }
                    _ => {}
                }
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Fake {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.replies.len().min(7);
            buffer[..count].copy_from_slice(&self.replies[..count]);
            self.replies.drain(..count);
            Ok(count)
        }
    }

    fn played(trace: &str, window: usize) -> Played {
        let mut player = Player::new(Fake::default(), window);
        player.play(trace.as_bytes(), "test").unwrap();
        player.finish().unwrap()
    }

    #[test]
    fn any_window_gives_what_one_by_one_gives() {
        let trace = "a 10\nb 20\na 10\na 10\nc 5 60\nb 20\nd 0\nd 0\n";
        let expected = Played {
            requests: 8,
            misses: 4,
            bytes: 75,
            bytes_missed: 35,
            refused: 0,
        };
        for window in [1, 2, 3, 64] {
            assert_eq!(played(trace, window), expected, "window {window}");
        }
    }

    #[test]
    fn sets_go_before_the_gets_that_follow_them() {
        let mut player = Player::new(Fake::default(), 64);
        player.play(&b"a 1\nb 1\na 1 9\n"[..], "test").unwrap();
        player.turn().unwrap();
        assert_eq!(player.stream.writes[0], "get a\r\nget b\r\n");
        let second = "set a 0 0 1\r\nv\r\nset b 0 0 1\r\nv\r\nget a\r\n";
        assert_eq!(player.stream.writes[1], second);
    }

    #[test]
    fn lines_that_are_no_requests_are_refused_by_number() {
        for text in ["a", "a b", "a 1 x", " 1", "a 99999999999"] {
            assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
        }
        let mut player = Player::new(Fake::default(), 64);
        let failure = player.play(&b"a 1\nb\n"[..], "t").unwrap_err();
        assert!(failure.to_string().contains("line 2"));
    }
}
