//! The classic text protocol.

use super::head::{Head, Kind};
use memchr::memchr;
use nuthatch::base::number::{parse_u64, push_decimal, usize_from};

/// Longest decimal number that is counted up: 64 bits.
const DIGITS_MAX: usize = 20;

#[inline]
pub(crate) fn push_get(out: &mut Vec<u8>, key: &[u8], is_first: bool) {
    out.extend_from_slice(if is_first { b"get " } else { b" " });
    out.extend_from_slice(key);
}

#[inline]
pub(super) fn push_set(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl_s: u32) {
    push_store(out, b"set", key, value, ttl_s);
}

/// A request that carries a value: `verb` is `set`, `add` or `append`.
#[inline]
pub(crate) fn push_store(out: &mut Vec<u8>, verb: &[u8], key: &[u8], value: &[u8], ttl_s: u32) {
    out.extend_from_slice(verb);
    out.push(b' ');
    out.extend_from_slice(key);
    out.extend_from_slice(b" 0 ");
    push_decimal(out, ttl_s.into());
    out.push(b' ');
    push_decimal(out, value.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn push_delete(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(b"delete ");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\r\n");
}

/// Counts up by one.
pub(crate) fn push_incr(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(b"incr ");
    out.extend_from_slice(key);
    out.extend_from_slice(b" 1\r\n");
}

#[inline]
pub(crate) fn head(input: &[u8]) -> Option<Head> {
    if input.starts_with(b"END\r\n") {
        return Some(Head::line(Kind::End, 5));
    }
    let len = memchr(b'\n', input)? + 1;
    let line = input[..len].trim_ascii_end();
    if let Some(rest) = line.strip_prefix(b"VALUE ") {
        return Some(value_head(rest, len));
    }
    let kind = match line {
        b"STORED" => Kind::Stored,
        b"NOT_STORED" | b"NOT_FOUND" => Kind::NotDone,
        b"DELETED" => Kind::Done,
        digits if is_number(digits) => Kind::Done,
        _ => Kind::Error,
    };
    Some(Head::line(kind, len))
}

fn is_number(line: &[u8]) -> bool {
    (1..=DIGITS_MAX).contains(&line.len()) && line.iter().all(u8::is_ascii_digit)
}

/// `rest` is `<key> <flags> <bytes>`: no CAS, we never send `gets`.
#[inline]
fn value_head(rest: &[u8], len: usize) -> Head {
    let key_len = memchr(b' ', rest).unwrap_or(0);
    let digits = rest.iter().rposition(|&byte| byte == b' ').unwrap_or(0) + 1;
    let Some(value_len) = rest.get(digits..).and_then(parse_u64) else {
        return Head::line(Kind::Error, len);
    };
    let value_len = usize_from(value_len);
    Head {
        kind: Kind::Value,
        len,
        body_len: value_len.saturating_add(2),
        value_len,
        key: Some(6..6 + key_len),
        ends: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_line_is_taken_apart() {
        let head = head(b"VALUE ab 7 30\r\n...").unwrap();
        assert_eq!((head.kind, head.len), (Kind::Value, 15));
        assert_eq!((head.value_len, head.body_len), (30, 32));
        assert_eq!(head.key, Some(6..8));
        assert!(!head.ends);
    }

    #[test]
    fn lines_that_are_no_answer_are_errors() {
        for line in [
            &b"SERVER_ERROR out of memory\r\n"[..],
            b"ERROR\r\n",
            b"\r\n",
            b"123456789012345678901\r\n",
            b"VALUE \r\n",
            b"VALUE a b c\r\n",
        ] {
            let head = head(line).unwrap();
            assert_eq!((head.kind, head.len), (Kind::Error, line.len()));
        }
    }

    #[test]
    fn what_was_done_and_what_was_not_are_told_apart() {
        for (line, kind) in [
            (&b"STORED\r\n"[..], Kind::Stored),
            (b"NOT_STORED\r\n", Kind::NotDone),
            (b"DELETED\r\n", Kind::Done),
            (b"NOT_FOUND\r\n", Kind::NotDone),
            (b"18446744073709551615\r\n", Kind::Done),
        ] {
            assert_eq!(head(line).unwrap().kind, kind);
        }
    }

    #[test]
    fn requests_are_what_the_protocol_says() {
        let mut out = vec![];
        push_set(&mut out, b"key", b"value", 60);
        push_store(&mut out, b"append", b"key", b"s", 0);
        push_delete(&mut out, b"key");
        push_incr(&mut out, b"key");
        let expected = b"set key 0 60 5\r\nvalue\r\nappend key 0 0 1\r\ns\r\n\
            delete key\r\nincr key 1\r\n";
        assert_eq!(out, expected);
    }
}
