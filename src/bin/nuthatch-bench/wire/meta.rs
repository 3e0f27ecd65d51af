//! The meta commands of the text protocol.

use super::head::{Head, Kind};
use memchr::memchr;
use nuthatch::base::number::{parse_u64, push_decimal, usize_from};

#[inline]
pub(super) fn push_get(out: &mut Vec<u8>, key: &[u8], is_multi: bool) {
    out.extend_from_slice(b"mg ");
    out.extend_from_slice(key);
    // Of many, only the hits answer, and say whose they are.
    out.extend_from_slice(if is_multi { b" k v q\r\n" } else { b" v\r\n" });
}

#[inline]
pub(super) fn push_set(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl_s: u32) {
    out.extend_from_slice(b"ms ");
    out.extend_from_slice(key);
    out.push(b' ');
    push_decimal(out, value.len() as u64);
    if ttl_s > 0 {
        out.extend_from_slice(b" T");
        push_decimal(out, ttl_s.into());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[inline]
pub(super) fn head(input: &[u8], is_multi: bool) -> Option<Head> {
    let len = memchr(b'\n', input)? + 1;
    let line = input[..len].trim_ascii_end();
    let kind = match line {
        [b'V', b'A', b' ', rest @ ..] => return Some(value_head(rest, len, is_multi)),
        b"EN" | b"MN" => Kind::End,
        b"HD" => Kind::Stored,
        _ => Kind::Error,
    };
    Some(Head::line(kind, len))
}

/// `rest` is `<bytes>`, with ` k<key>` after it if the key was asked for.
#[inline]
fn value_head(rest: &[u8], len: usize, is_multi: bool) -> Head {
    let digits_len = memchr(b' ', rest).unwrap_or(rest.len());
    let Some(value_len) = parse_u64(&rest[..digits_len]) else {
        return Head::line(Kind::Error, len);
    };
    let value_len = usize_from(value_len);
    let key_from = 3 + digits_len + 2;
    Head {
        kind: Kind::Value,
        len,
        body_len: value_len.saturating_add(2),
        value_len,
        key: (3 + rest.len() > key_from).then(|| key_from..3 + rest.len()),
        ends: !is_multi,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_name_its_key() {
        let input = b"VA 5 kabc\r\n";
        let with_key = head(input, true).unwrap();
        assert_eq!(
            with_key.key.clone().map(|key| &input[key]),
            Some(&b"abc"[..])
        );
        assert_eq!((with_key.value_len, with_key.ends), (5, false));
        let without = head(b"VA 5\r\n", false).unwrap();
        assert_eq!((without.key, without.ends), (None, true));
    }

    #[test]
    fn short_codes_have_their_meaning() {
        for (line, kind) in [
            (&b"EN\r\n"[..], Kind::End),
            (b"MN\r\n", Kind::End),
            (b"HD\r\n", Kind::Stored),
            (b"NS\r\n", Kind::Error),
            (b"CLIENT_ERROR bad data chunk\r\n", Kind::Error),
        ] {
            assert_eq!(head(line, false).unwrap().kind, kind);
        }
    }

    #[test]
    fn requests_are_what_the_protocol_says() {
        let mut out = vec![];
        push_set(&mut out, b"key", b"value", 0);
        push_set(&mut out, b"key", b"value", 9);
        push_get(&mut out, b"key", false);
        assert_eq!(
            out,
            b"ms key 5\r\nvalue\r\nms key 5 T9\r\nvalue\r\nmg key v\r\n"
        );
    }
}
