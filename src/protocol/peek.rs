//! A look at requests to come: which key each is about and where the next one begins.
//!
//! For prefetching only. A parser decides what a request says; here a wrong guess costs a cache
//! line that nobody needed.

use crate::base::key::Key;
use crate::base::number::{parse_u32, usize_from};
use crate::base::scan::{find, find_blank};
use crate::protocol::binary::{HEADER_LEN, MAGIC_REQUEST};
use crate::protocol::text::Tokens;

/// Lines longer than this are not looked into.
const WINDOW: usize = 512;

/// A request's key, if it seems to have one, and its length with its value.
pub type Peeked<'a> = (Option<Key<'a>>, usize);

/// The text or meta request at the start of `input`; `None` if its line has not ended.
#[inline]
#[must_use]
pub fn text(input: &[u8]) -> Option<Peeked<'_>> {
    let window = &input[..input.len().min(WINDOW)];
    let (verb, rest) = word(window)?;
    let (key, rest) = match verb {
        b"gat" | b"gats" => word(word(rest)?.1)?,
        _ => word(rest)?,
    };
    let line_end = find(b'\n', rest)?;
    let len = window.len() - rest.len() + line_end + 1;
    let arguments = &rest[..line_end];
    let value = match verb {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => value_len(2, arguments),
        b"ms" => value_len(0, arguments),
        _ => 0,
    };
    Some((Key::new(key), len + value))
}

/// What comes before the first space or line end, and the rest from there on; without the space
/// that is in front.
#[inline]
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let len = find_blank(text)?;
    (len > 0).then(|| text.split_at(len))
}

/// Bytes of a value whose length is the argument after `before` others, with its line end.
#[inline]
fn value_len(before: usize, arguments: &[u8]) -> usize {
    let line = arguments.strip_suffix(b"\r").unwrap_or(arguments);
    let len = Tokens::new(line).nth(before).and_then(parse_u32);
    len.map_or(0, |len| usize_from(u64::from(len)) + 2)
}

/// The binary request at the start of `input`; `None` if its key is not all there.
#[inline]
#[must_use]
pub fn binary(input: &[u8]) -> Option<Peeked<'_>> {
    let header: &[u8; HEADER_LEN] = input.first_chunk()?;
    if header[0] != MAGIC_REQUEST {
        return None;
    }
    let key_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let begin = HEADER_LEN + usize::from(header[4]);
    let body_len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let key = input.get(begin..begin + key_len)?;
    Some((Key::new(key), HEADER_LEN + usize_from(u64::from(body_len))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: &[u8]) -> Option<Key<'_>> {
        Key::new(bytes)
    }

    #[test]
    fn keys_and_lengths_of_text_requests() {
        for (input, expected) in [
            (&b"set a 0 0 5\r\nvalue\r\nget b\r\n"[..], (key(b"a"), 20)),
            (b"ms abc 2 c\r\nhi\r\n", (key(b"abc"), 16)),
            (b"mg abc v\r\n", (key(b"abc"), 10)),
            (b"gat 60 k\n", (key(b"k"), 9)),
            (b"incr n 1\r\n", (key(b"n"), 10)),
            (b"set a 0 0 x\r\n", (key(b"a"), 13)),
        ] {
            assert_eq!(text(input), Some(expected), "{}", input.escape_ascii());
        }
        assert_eq!(text(b"get unfinished"), None);
        assert_eq!(text(b"version\r\n"), None);
    }

    #[test]
    fn keys_and_lengths_of_binary_requests() {
        let mut packet = vec![0; HEADER_LEN];
        packet[0] = MAGIC_REQUEST;
        packet[3] = 3;
        packet[4] = 8;
        packet[11] = 15;
        packet.extend_from_slice(b"extras!!keyvalu");
        assert_eq!(binary(&packet), Some((key(b"key"), HEADER_LEN + 15)));
        assert_eq!(binary(&packet[..HEADER_LEN + 9]), None);
        packet[0] = 0x81;
        assert_eq!(binary(&packet), None);
    }
}
