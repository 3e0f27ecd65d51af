//! Meta replies: a two-letter code, perhaps a size, then the reflected flags.
//!
//! Every function appends one piece, with the space before it, so that no reply has a trailing
//! space. [`push_end`] closes the line.

use crate::base::key::Key;
use crate::base::number::push_decimal;
use crate::protocol::meta::base64::push_base64;

/// What a reply starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done, or found.
    Done,
    /// Not found, of `mg` and `me`.
    Miss,
    /// Not found, of the commands that change.
    NotFound,
    /// The condition of the mode did not hold.
    NotStored,
    /// The CAS id did not match.
    Exists,
    /// The barrier.
    Noop,
}

impl Code {
    /// The two letters.
    #[must_use]
    pub fn letters(self) -> &'static [u8; 2] {
        match self {
            Self::Done => b"HD",
            Self::Miss => b"EN",
            Self::NotFound => b"NF",
            Self::NotStored => b"NS",
            Self::Exists => b"EX",
            Self::Noop => b"MN",
        }
    }
}

/// Starts a reply without a value.
pub fn push_code(out: &mut Vec<u8>, code: Code) {
    out.extend_from_slice(code.letters());
}

/// Starts a reply whose value of `len` bytes follows the line.
pub fn push_value_head(out: &mut Vec<u8>, len: u64) {
    out.extend_from_slice(b"VA ");
    push_decimal(out, len);
}

/// Appends a flag without an argument: `W`, `X`, `Z`.
pub fn push_letter(out: &mut Vec<u8>, letter: u8) {
    out.extend_from_slice(&[b' ', letter]);
}

/// Appends a flag with a number.
pub fn push_number(out: &mut Vec<u8>, letter: u8, number: u64) {
    push_letter(out, letter);
    push_decimal(out, number);
}

/// Appends the seconds left, `-1` for an item that never dies.
pub fn push_ttl(out: &mut Vec<u8>, ttl: Option<u64>) {
    match ttl {
        Some(seconds) => push_number(out, b't', seconds),
        None => out.extend_from_slice(b" t-1"),
    }
}

/// Appends the client's opaque bytes.
pub fn push_opaque(out: &mut Vec<u8>, opaque: &[u8]) {
    push_letter(out, b'O');
    out.extend_from_slice(opaque);
}

/// Appends the key, as base64 followed by `b` if it is marked or cannot be sent as text.
pub fn push_key(out: &mut Vec<u8>, key: Key<'_>, marked: bool) {
    push_letter(out, b'k');
    if marked || needs_base64(key) {
        push_base64(out, key.as_bytes());
        push_letter(out, b'b');
    } else {
        out.extend_from_slice(key.as_bytes());
    }
}

/// Whether the key has a byte that would end a token or a line if sent as it is.
#[must_use]
pub fn needs_base64(key: Key<'_>) -> bool {
    key.as_bytes()
        .iter()
        .any(|byte| matches!(byte, b' ' | b'\r' | b'\n'))
}

/// Ends the line.
pub fn push_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// What `me` tells about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugFacts {
    /// Seconds left; `None` if it never dies.
    pub ttl: Option<u64>,
    /// Seconds since the last access.
    pub idle_s: u64,
    /// The CAS id.
    pub cas: u64,
    /// Whether it has been fetched.
    pub fetched: bool,
    /// The slab class.
    pub class: u8,
    /// Bytes the item takes.
    pub size: u64,
    /// Whether its key is shown as base64.
    pub binary_key: bool,
}

/// Appends the whole line of `me`. A base64 key is followed by ` b`, as everywhere.
pub fn push_debug(out: &mut Vec<u8>, key: Key<'_>, facts: &DebugFacts) {
    out.extend_from_slice(b"ME ");
    if facts.binary_key || needs_base64(key) {
        push_base64(out, key.as_bytes());
        push_letter(out, b'b');
    } else {
        out.extend_from_slice(key.as_bytes());
    }
    out.extend_from_slice(b" exp=");
    match facts.ttl {
        Some(seconds) => push_decimal(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    for (name, number) in [(" la=", facts.idle_s), (" cas=", facts.cas)] {
        out.extend_from_slice(name.as_bytes());
        push_decimal(out, number);
    }
    out.extend_from_slice(if facts.fetched {
        b" fetch=yes"
    } else {
        b" fetch=no"
    });
    for (name, number) in [(" cls=", u64::from(facts.class)), (" size=", facts.size)] {
        out.extend_from_slice(name.as_bytes());
        push_decimal(out, number);
    }
    push_end(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = vec![];
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_key_that_text_cannot_carry_goes_as_base64() {
        let split = Key::new(b"kc\r\nEND\r\nxy").unwrap();
        assert_eq!(
            text(|out| push_key(out, split, false)),
            " ka2MNCkVORA0KeHk= b"
        );
        let plain = Key::new(b"foo").unwrap();
        assert_eq!(text(|out| push_key(out, plain, false)), " kfoo");
        assert_eq!(text(|out| push_key(out, plain, true)), " kZm9v b");
    }

    #[test]
    fn the_debug_line_lists_six_facts() {
        let facts = DebugFacts {
            ttl: None,
            idle_s: 3,
            cas: 9,
            fetched: true,
            class: 1,
            size: 62,
            binary_key: false,
        };
        let key = Key::new(b"a").unwrap();
        let line = "ME a exp=-1 la=3 cas=9 fetch=yes cls=1 size=62\r\n";
        assert_eq!(text(|out| push_debug(out, key, &facts)), line);
    }

    #[test]
    fn flags_bring_their_space() {
        let line = text(|out| {
            push_value_head(out, 2);
            push_ttl(out, None);
            push_ttl(out, Some(30));
            push_number(out, b'c', u64::MAX);
            push_opaque(out, b"abc");
            push_letter(out, b'W');
            push_end(out);
        });
        assert_eq!(line, "VA 2 t-1 t30 c18446744073709551615 Oabc W\r\n");
    }
}
