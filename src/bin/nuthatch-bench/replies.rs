//! One connection's stream of replies, taken apart as it comes.
//!
//! ```text
//!   Head ──kind, lengths──▶ Body{n left} ──0 left──▶ count it ──▶ Head
//! ```
//!
//! Nothing is kept but the unfinished head of a reply, so values of any size cost no memory. When
//! verifying, the keys that were asked for wait here in order, and each piece of a value is
//! compared with the same piece of the value that belongs to its key.

use crate::failure::Failure;
use crate::load::{Content, KEY_SIZE_MAX, KeyId};
use crate::tally::Tally;
use crate::wire::{HEAD_MAX, Head, Kind, Wire};
use std::collections::VecDeque;

/// What a request asked for, remembered only when verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Get(KeyId),
    Set,
}

/// The value that is coming in.
#[derive(Debug)]
struct Body {
    head: Head,
    left: usize,
    /// Whose it must be; none when not verifying, or when it is nobody's.
    owner: Option<KeyId>,
}

/// The state of one connection's input.
#[derive(Debug)]
pub(crate) struct Replies {
    wire: Wire,
    /// The part of a head that has come.
    rest: Vec<u8>,
    body: Option<Body>,
    /// Hits of the get that is being answered.
    found: u64,
    asked: Option<VecDeque<Asked>>,
    /// Keys of the front request that are already answered for.
    passed: usize,
}

impl Replies {
    pub(crate) fn new(wire: Wire, verify: bool) -> Self {
        Self {
            wire,
            rest: vec![],
            body: None,
            found: 0,
            asked: verify.then(VecDeque::new),
            passed: 0,
        }
    }

    /// Where to note what is asked for, if it is wanted.
    pub(crate) fn asked(&mut self) -> Option<&mut VecDeque<Asked>> {
        self.asked.as_mut()
    }

    /// Moves the unfinished head to the front of `input`; returns its length.
    #[inline]
    pub(crate) fn resume(&mut self, input: &mut [u8]) -> usize {
        let len = self.rest.len();
        input[..len].copy_from_slice(&self.rest);
        self.rest.clear();
        len
    }

    /// Takes in what has been read; returns how many requests it finished.
    pub(crate) fn digest(
        &mut self,
        input: &[u8],
        content: &Content,
        tally: &mut Tally,
    ) -> Result<usize, Failure> {
        let (mut at, mut finished) = (0, 0);
        loop {
            let Some(body) = &mut self.body else {
                let Some(head) = self.wire.head(&input[at..]) else {
                    break;
                };
                at += head.len;
                let bytes = &input[at - head.len..at];
                if head.kind == Kind::Error && tally.complaint.is_none() {
                    tally.complaint = Some(self.wire.complaint(bytes));
                }
                let key = head.key.clone().map(|key| &bytes[key]);
                self.begin(head, key, content, tally);
                continue;
            };
            let piece = &input[at..][..body.left.min(input.len() - at)];
            if let Some(owner) = body.owner
                && !is_part(piece, body, content.value(owner))
            {
                tally.wrong += 1;
                body.owner = None;
            }
            body.left -= piece.len();
            at += piece.len();
            if body.left > 0 {
                break;
            }
            finished += usize::from(self.finish(tally));
        }
        if input.len() - at > HEAD_MAX {
            return Err(Failure::new("the server sends something that is no reply"));
        }
        self.rest.extend_from_slice(&input[at..]);
        Ok(finished)
    }

    fn begin(&mut self, head: Head, key: Option<&[u8]>, content: &Content, tally: &mut Tally) {
        let mut owner = None;
        if head.kind == Kind::Value && self.asked.is_some() {
            owner = self.owner(key, content);
            let fits = |owner| content.value(owner).len() == head.value_len;
            if !owner.is_some_and(fits) {
                tally.wrong += 1;
                owner = None;
            }
        }
        self.body = Some(Body {
            left: head.body_len,
            head,
            owner,
        });
    }

    /// The key that a value answers: the next of the request, or the next of that name.
    fn owner(&mut self, key: Option<&[u8]>, content: &Content) -> Option<KeyId> {
        let asked = self.asked.as_ref()?;
        let mut buffer = [0; KEY_SIZE_MAX];
        while self.passed < self.wire.keys_per_get {
            let Some(&Asked::Get(id)) = asked.get(self.passed) else {
                return None;
            };
            self.passed += 1;
            if key.is_none_or(|key| key == content.key(id, &mut buffer)) {
                return id.exists().then_some(id);
            }
        }
        None
    }

    /// Counts the reply whose last byte has come; whether it was the last of its request.
    fn finish(&mut self, tally: &mut Tally) -> bool {
        let Some(Body { head, .. }) = self.body.take() else {
            return false;
        };
        match head.kind {
            Kind::Value => self.found += 1,
            Kind::Stored => tally.stored += 1,
            Kind::Done | Kind::NotDone | Kind::Error => tally.errors += 1,
            Kind::End => {}
        }
        if !head.ends {
            return false;
        }
        tally.requests += 1;
        tally.hits += self.found;
        if matches!(head.kind, Kind::Value | Kind::End) {
            tally.misses += (self.wire.keys_per_get as u64).saturating_sub(self.found);
        }
        self.found = 0;
        self.forget_front();
        true
    }

    fn forget_front(&mut self) {
        self.passed = 0;
        let Some(asked) = &mut self.asked else {
            return;
        };
        let count = match asked.front() {
            Some(Asked::Get(_)) => self.wire.keys_per_get,
            Some(Asked::Set) => 1,
            None => 0,
        };
        asked.drain(..count.min(asked.len()));
    }
}

/// Whether `piece` is the next of `value`, or of the line ending after it.
fn is_part(piece: &[u8], body: &Body, value: &[u8]) -> bool {
    let from = (body.head.body_len - body.left).min(value.len());
    let in_value = piece.len().min(value.len() - from);
    let ending = &piece[in_value..];
    piece[..in_value] == value[from..from + in_value]
        && ending.iter().all(|byte| b"\r\n".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::ValueSize;
    use crate::wire::Protocol;

    fn content() -> Content {
        Content::new(4, ValueSize::Range(0, 30))
    }

    fn wire(protocol: Protocol, keys_per_get: usize) -> Wire {
        Wire {
            protocol,
            keys_per_get,
            ttl_s: 0,
        }
    }

    fn value_line(key: &str, value: &[u8]) -> Vec<u8> {
        let mut line = format!("VALUE {key} 0 {}\r\n", value.len()).into_bytes();
        line.extend_from_slice(value);
        line.extend_from_slice(b"\r\n");
        line
    }

    /// Feeds `input` in pieces of `size` bytes.
    fn feed(replies: &mut Replies, input: &[u8], size: usize) -> (Tally, usize) {
        let (mut tally, mut finished) = (Tally::new(), 0);
        let mut buffer = vec![0; HEAD_MAX + size];
        for piece in input.chunks(size) {
            let kept = replies.resume(&mut buffer);
            buffer[kept..kept + piece.len()].copy_from_slice(piece);
            let whole = buffer[..kept + piece.len()].to_vec();
            finished += replies.digest(&whole, &content(), &mut tally).unwrap();
        }
        (tally, finished)
    }

    fn ask(replies: &mut Replies, asked: &[Asked]) {
        replies.asked().unwrap().extend(asked);
    }

    #[test]
    fn replies_are_counted_however_they_are_cut() {
        let id = KeyId::present(7);
        let hit = value_line("k007", content().value(id));
        let input = [&hit[..], b"END\r\nEND\r\nSTORED\r\nSERVER_ERROR no\r\n"].concat();
        for size in 1..=input.len() {
            let mut replies = Replies::new(wire(Protocol::Text, 1), true);
            let absent = KeyId::absent(8);
            ask(&mut replies, &[Asked::Get(id), Asked::Get(absent)]);
            ask(&mut replies, &[Asked::Set, Asked::Set]);
            let (tally, finished) = feed(&mut replies, &input, size);
            assert_eq!((finished, tally.requests), (4, 4), "{size}");
            assert_eq!((tally.hits, tally.misses), (1, 1));
            assert_eq!((tally.stored, tally.errors, tally.wrong), (1, 1, 0));
            assert!(replies.asked().unwrap().is_empty());
        }
    }

    #[test]
    fn missing_keys_of_a_multiget_are_misses() {
        let ids = [1, 2, 3].map(KeyId::present);
        let mut replies = Replies::new(wire(Protocol::Text, 3), true);
        ask(&mut replies, &ids.map(Asked::Get));
        let mut input = value_line("k003", content().value(ids[2]));
        input.extend_from_slice(b"END\r\n");
        let (tally, finished) = feed(&mut replies, &input, 7);
        assert_eq!((finished, tally.hits, tally.misses), (1, 1, 2));
        assert_eq!(tally.wrong, 0);
    }

    #[test]
    fn values_that_are_not_the_keys_own_are_seen() {
        let id = KeyId::present(1);
        let good = content().value(id).to_vec();
        assert!(good.len() > 1);
        let mut torn = good.clone();
        torn[good.len() - 1] ^= 1;
        let absent = KeyId::absent(1);
        for (key, name, value) in [
            (id, "k001", torn),
            (id, "k001", good[1..].to_vec()),
            (id, "k002", good.clone()),
            (absent, "m001", good),
        ] {
            let mut replies = Replies::new(wire(Protocol::Text, 1), true);
            ask(&mut replies, &[Asked::Get(key)]);
            let input = [value_line(name, &value), b"END\r\n".to_vec()].concat();
            let (tally, finished) = feed(&mut replies, &input, 5);
            assert_eq!((finished, tally.wrong), (1, 1), "{name}");
        }
    }

    #[test]
    fn a_flood_without_a_line_is_refused() {
        let mut replies = Replies::new(wire(Protocol::Text, 1), false);
        let flood = vec![b'x'; HEAD_MAX + 1];
        let result = replies.digest(&flood, &content(), &mut Tally::new());
        assert!(result.is_err());
    }
}
