//! Recorded requests, played as an application with a database behind its cache would make them:
//! get, and on a miss set. A trace may name other operations, see [`Operation`].
//!
//! ```text
//!   trace   a b c a d …          window 1 = a b c (the next is a repeat)
//!   wire    get a, get b, get c ─▶ hits and misses ─▶ set the misses, get a, get d …
//! ```
//!
//! Requests are sent ahead in windows, because one round trip for each would take minutes. A window
//! ends before a key that it already holds, so the second request for a key always follows the set
//! that the first one's miss caused. Sets go out in the order of their misses, in front of the next
//! window. What may differ from playing one by one is only that a get is answered before the sets
//! of up to 63 *other* keys before it, which matters if one of those would have evicted its item
//! or if the item died in between. `--window 1` plays one by one.
//!
//! A server that cannot send a reply stops reading. Hence what a window writes after its first get
//! must fit the buffers of the socket, or both sides would wait for each other: [`AHEAD_MAX`].

mod line;
mod played;

pub(crate) use line::MARK;
pub(crate) use played::Played;

use crate::failure::Failure;
use crate::operation::Operation;
use crate::socket::Peer;
use crate::wire::text::{self, push_delete, push_get, push_incr, push_store};
use crate::wire::{HEAD_MAX, Head, Kind};
use ahash::RandomState;
use line::{Line, Request};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

const READ_LEN: usize = 256 << 10;

/// Bytes of values that a window may send after its first get. The smallest buffers in use are
/// those of a new TCP connection: 16 KiB to send and 64 KiB, half of them for values, to receive.
const AHEAD_MAX: usize = 32 << 10;

/// What to play, and to whom.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) peer: Peer,
    pub(crate) files: Vec<String>,
    pub(crate) window: usize,
    /// Requests at the beginning that are played and not counted.
    pub(crate) skip: u64,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<Played, Failure> {
        let mut player = Player::new(self.peer.connect_blocking()?, self.window, self.skip);
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

/// A request of the window that is being gathered.
struct Entry {
    request: Request,
    /// Whether the trace has stored its key, and not deleted it since: a miss was avoidable.
    was_held: bool,
}

/// A connection, and the window that is being gathered.
struct Player<S> {
    stream: S,
    window_len: usize,
    /// Requests to come that do not count.
    uncounted: u64,
    window: Vec<Entry>,
    /// Hashes of the window's keys. Two keys with one hash end a window early, no more.
    keys: HashSet<u64, RandomState>,
    /// Hashes of the keys that a cache without a limit would hold. Ten million take 150 MB, and
    /// 225 MB while the table grows; that two of them are the same is one chance in 400,000.
    held: HashSet<u64, RandomState>,
    hasher: RandomState,
    /// Bytes of values after the window's first get, if it has one.
    ahead: Option<usize>,
    /// Sets that wait for the next window to go with them.
    out: Vec<u8>,
    sets: usize,
    input: Vec<u8>,
    /// The part of the input that is read and not looked at.
    unread: std::ops::Range<usize>,
    value: Vec<u8>,
    played: Played,
}

impl<S: Read + Write> Player<S> {
    fn new(stream: S, window_len: usize, uncounted: u64) -> Self {
        let hasher = RandomState::with_seeds(1, 2, 3, 4); // the same every time
        Self {
            stream,
            window_len,
            uncounted,
            window: vec![],
            keys: HashSet::with_hasher(hasher.clone()),
            held: HashSet::with_hasher(hasher.clone()),
            hasher,
            ahead: None,
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
            match Line::parse(text.trim_ascii()) {
                Some(Line::Request(request)) => self.add(request)?,
                Some(Line::Mark) => self.mark()?,
                None => {
                    return Err(Failure::new(format!(
                        "{name}: line {number} is not `<key> <bytes> [<ttl> [<operation>]]`"
                    )));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, request: Request) -> Result<(), Failure> {
        let hash = self.hasher.hash_one(&request.key);
        let sent = if request.operation.carries_value() {
            request.size
        } else {
            0
        };
        let is_far_ahead = self.ahead.is_some_and(|len| len + sent > AHEAD_MAX);
        let is_full = self.window.len() == self.window_len || is_far_ahead;
        if is_full || self.keys.contains(&hash) {
            self.turn()?;
        }
        match &mut self.ahead {
            Some(len) => *len += sent,
            None => self.ahead = request.operation.is_read().then_some(0),
        }
        self.keys.insert(hash);
        self.value.resize(self.value.len().max(request.size), b'v');
        let was_held = match request.operation {
            Operation::Fetch | Operation::Set | Operation::Add | Operation::Incr => {
                !self.held.insert(hash)
            }
            Operation::Delete => self.held.remove(&hash),
            Operation::Get | Operation::Append => self.held.contains(&hash),
        };
        self.window.push(Entry { request, was_held });
        if self.uncounted > 0 {
            self.uncounted -= 1;
            if self.uncounted == 0 {
                self.mark()?;
            }
        }
        Ok(())
    }

    /// Forgets what was counted.
    fn mark(&mut self) -> Result<(), Failure> {
        self.flush()?;
        self.played = Played::default();
        Ok(())
    }

    /// Plays what is left.
    fn finish(mut self) -> Result<Played, Failure> {
        if self.uncounted > 0 {
            self.mark()?;
        }
        self.flush()?;
        Ok(self.played)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.turn()?; // the last requests
        self.turn() // and the sets of their misses
    }

    /// Sends the waiting sets and the window, and prepares the sets of its misses.
    fn turn(&mut self) -> Result<(), Failure> {
        for entry in &self.window {
            push(&mut self.out, &entry.request, &self.value);
        }
        let written = self.stream.write_all(&self.out);
        written.map_err(Failure::during("write to the server"))?;
        self.out.clear();
        for _ in 0..std::mem::take(&mut self.sets) {
            let head = self.head()?;
            self.played.refused_sets += u64::from(head.kind != Kind::Stored);
        }
        let mut window = std::mem::take(&mut self.window);
        for entry in window.drain(..) {
            if entry.request.operation.is_read() {
                self.settle_read(&entry)?;
            } else {
                self.settle_change(&entry.request)?;
            }
        }
        self.window = window; // its memory serves again
        self.keys.clear();
        self.ahead = None;
        Ok(())
    }

    /// Reads the reply to one get; the miss of a fetch leaves a set to be sent.
    fn settle_read(&mut self, entry: &Entry) -> Result<(), Failure> {
        let Entry { request, was_held } = entry;
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
        self.played.bytes += request.size as u64;
        if is_hit {
            return Ok(());
        }
        self.played.misses += 1;
        self.played.first_requests += u64::from(!was_held);
        self.played.bytes_missed += request.size as u64;
        if request.operation == Operation::Fetch {
            let value = &self.value[..request.size];
            push_store(&mut self.out, b"set", &request.key, value, request.ttl_s);
            self.sets += 1;
        }
        Ok(())
    }

    /// Reads the reply to anything else; a counter that is not there leaves a set to be sent.
    fn settle_change(&mut self, request: &Request) -> Result<(), Failure> {
        let kind = self.head()?.kind;
        let is_refused = !matches!(kind, Kind::Stored | Kind::Done | Kind::NotDone);
        let Some(outcomes) = self.played.outcomes(request.operation) else {
            self.played.sets += 1;
            self.played.refused_sets += u64::from(kind != Kind::Stored);
            return Ok(());
        };
        outcomes.asked += 1;
        outcomes.not_done += u64::from(kind == Kind::NotDone);
        outcomes.refused += u64::from(is_refused);
        if request.operation == Operation::Incr && kind == Kind::NotDone {
            push_store(&mut self.out, b"set", &request.key, b"1", request.ttl_s);
            self.sets += 1;
        }
        Ok(())
    }

    fn head(&mut self) -> Result<Head, Failure> {
        loop {
            if let Some(head) = text::head(&self.input[self.unread.clone()]) {
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
        match self
            .stream
            .read(free)
            .map_err(Failure::during("read from the server"))?
        {
            0 => Err(Failure::new("the server closed the connection")),
            count => {
                self.unread.end += count;
                Ok(())
            }
        }
    }
}

fn push(out: &mut Vec<u8>, request: &Request, value: &[u8]) {
    let key = &request.key;
    match request.operation {
        Operation::Fetch | Operation::Get => {
            push_get(out, key, true);
            out.extend_from_slice(b"\r\n");
        }
        Operation::Delete => push_delete(out, key),
        Operation::Incr => push_incr(out, key),
        Operation::Set | Operation::Add | Operation::Append => {
            let verb = request.operation.name().as_bytes();
            push_store(out, verb, key, &value[..request.size], request.ttl_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::played::Outcomes;
    use super::*;
    use std::collections::HashMap;

    /// A server that forgets nothing, and hands its replies out in small pieces.
    #[derive(Default)]
    struct Fake {
        items: HashMap<String, String>,
        replies: Vec<u8>,
        writes: Vec<String>,
    }

    impl Fake {
        fn store(&mut self, words: &[&str], value: &str) -> String {
            let (verb, key) = (words[0], words[1]);
            let was_there = self.items.contains_key(key);
            let is_done = match verb {
                "add" => !was_there,
                "append" => was_there,
                _ => true,
            };
            if !is_done {
                return "NOT_STORED".into();
            }
            let item = self.items.entry(key.into()).or_default();
            if verb != "append" {
                item.clear();
            }
            item.push_str(value);
            "STORED".into()
        }

        fn incr(&mut self, key: &str) -> String {
            let Some(item) = self.items.get_mut(key) else {
                return "NOT_FOUND".into();
            };
            let Ok(number) = item.parse::<u64>() else {
                return "CLIENT_ERROR cannot increment or decrement non-numeric value".into();
            };
            *item = (number + 1).to_string();
            item.clone()
        }

        fn get(&self, key: &str) -> String {
            let value = self.items.get(key).map_or_else(String::new, |value| {
                format!("VALUE {key} 0 {}\r\n{value}\r\n", value.len())
            });
            value + "END"
        }
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.writes.push(text.clone());
            let mut lines = text.lines();
            while let Some(line) = lines.next() {
                let words: Vec<&str> = line.split(' ').collect();
                let reply = match words[0] {
                    "get" => self.get(words[1]),
                    "delete" if self.items.remove(words[1]).is_some() => "DELETED".into(),
                    "delete" => "NOT_FOUND".into(),
                    "incr" => self.incr(words[1]),
                    _ => self.store(&words, lines.next().unwrap()),
                };
                self.replies.extend_from_slice(reply.as_bytes());
                self.replies.extend_from_slice(b"\r\n");
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

    fn player(trace: &str, window: usize, skip: u64) -> Player<Fake> {
        let mut player = Player::new(Fake::default(), window, skip);
        player.play(trace.as_bytes(), "test").unwrap();
        player
    }

    fn played(trace: &str, window: usize) -> Played {
        player(trace, window, 0).finish().unwrap()
    }

    #[test]
    fn any_window_gives_what_one_by_one_gives() {
        let trace = "a 10\nb 20\na 10\na 10\nc 5 60\nb 20\nd 0\nd 0\n";
        let expected = Played {
            requests: 8,
            misses: 4,
            first_requests: 4,
            bytes: 75,
            bytes_missed: 35,
            ..Played::default()
        };
        for window in [1, 2, 3, 64] {
            assert_eq!(played(trace, window), expected, "window {window}");
        }
    }

    #[test]
    fn every_operation_keeps_the_order_of_its_key_in_any_window() {
        let trace = "a 3 0 get\na 3 0 set\nb 2 0 add\na 3 0 get\na 3 0 delete\na 3 0 get\n\
            b 2 0 add\nb 1 0 append\nc 1 0 append\nn 1 0 incr\na 3\nn 1 0 incr\nn 1 0 get\n\
            a 3 0 delete\na 3 0 delete\nb 3 0 incr\nb 3 0 get\n";
        let outcomes = |asked, not_done, refused| Outcomes {
            asked,
            not_done,
            refused,
        };
        let expected = Played {
            requests: 6,
            misses: 3,
            first_requests: 3,
            bytes: 16,
            bytes_missed: 9,
            refused_sets: 0,
            sets: 1,
            deletes: outcomes(3, 1, 0),
            adds: outcomes(2, 1, 0),
            appends: outcomes(2, 1, 0),
            incrs: outcomes(3, 1, 1),
        };
        for window in [1, 2, 3, 64] {
            let mut player = player(trace, window, 0);
            player.flush().unwrap();
            assert_eq!(player.played, expected, "window {window}");
            let items = &player.stream.items;
            assert_eq!(items.len(), 2);
            assert_eq!((&*items["b"], &*items["n"]), ("vvv", "2"));
        }
    }

    #[test]
    fn sets_go_before_the_gets_that_follow_them() {
        let mut player = player("a 1\nb 1\na 1 9\n", 64, 0);
        player.turn().unwrap();
        assert_eq!(player.stream.writes[0], "get a\r\nget b\r\n");
        let second = "set a 0 0 1\r\nv\r\nset b 0 0 1\r\nv\r\nget a\r\n";
        assert_eq!(player.stream.writes[1], second);
    }

    #[test]
    fn no_more_is_sent_after_a_get_than_a_socket_holds() {
        let large = "w 90000 0 set\na 1 0 get\nd 1 0 delete\nx 20000 0 set\ny 20000 0 add\n";
        let mut player = player(large, 64, 0);
        player.flush().unwrap();
        let lens: Vec<usize> = player.stream.writes.iter().map(String::len).collect();
        assert_eq!(lens.len(), 2, "{lens:?}");
        assert!(lens[0] > 110_000 && lens[1] > 20_000, "{lens:?}");
        assert_eq!((player.played.sets, player.played.adds.asked), (2, 1));
    }

    #[test]
    fn counting_starts_at_a_mark_and_after_what_is_skipped() {
        let marked = played("a 1\nb 1\na 1 0 incr\nmark\na 1\nc 1\n", 64);
        let skipped = player("a 1\nb 1\na 1 0 incr\na 1\nc 1\n", 64, 3);
        let expected = Played {
            requests: 2,
            misses: 1,
            first_requests: 1,
            bytes: 2,
            bytes_missed: 1,
            ..Played::default()
        };
        assert_eq!(marked, expected);
        assert_eq!(skipped.finish().unwrap(), expected);
        let all = player("a 1\nb 1\n", 64, 9).finish().unwrap();
        assert_eq!(all, Played::default());
    }

    #[test]
    fn a_miss_is_avoidable_if_the_key_was_stored_and_not_deleted() {
        let trace =
            "a 1 0 set\nb 1 0 add\nn 1 0 incr\nc 1\nd 1 0 set\nd 1 0 delete\ne 1 0 append\n";
        let mut player = player(trace, 64, 0);
        player.mark().unwrap();
        player.stream.items.clear();
        let gets: String = ["a", "b", "n", "c", "d", "e", "f"]
            .iter()
            .map(|key| format!("{key} 1 0 get\n"))
            .collect();
        player.play(gets.as_bytes(), "test").unwrap();
        let played = player.finish().unwrap();
        assert_eq!((played.misses, played.first_requests), (7, 3));
    }

    #[test]
    fn lines_that_are_no_requests_are_refused_by_number() {
        let mut player = Player::new(Fake::default(), 64, 0);
        let failure = player.play(&b"a 1\nb\n"[..], "t").unwrap_err();
        assert!(failure.to_string().contains("line 2"));
    }
}
