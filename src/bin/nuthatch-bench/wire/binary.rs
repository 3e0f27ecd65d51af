//! The binary protocol: 24 bytes of header, extras, key, value.
//!
//! ```text
//!   0 magic  1 opcode  2-3 key length  4 extras length  5 data type  6-7 status (vbucket)
//!   8-11 length of all that follows  12-15 opaque  16-23 CAS
//! ```

use super::head::{Head, Kind};

const HEADER_LEN: usize = 24;
const REQUEST: u8 = 0x80;
const RESPONSE: u8 = 0x81;

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const NOOP: u8 = 0x0a;
/// Says nothing on a miss, and names the key on a hit.
const GETKQ: u8 = 0x0d;

const STATUS_OK: u16 = 0;
const STATUS_NOT_FOUND: u16 = 1;

#[inline]
pub(super) fn push_get(out: &mut Vec<u8>, key: &[u8], is_multi: bool) {
    let opcode = if is_multi { GETKQ } else { GET };
    push_header(out, opcode, key.len(), (0, 0));
    out.extend_from_slice(key);
}

#[inline]
pub(super) fn push_noop(out: &mut Vec<u8>) {
    push_header(out, NOOP, 0, (0, 0));
}

#[inline]
pub(super) fn push_set(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl_s: u32) {
    push_header(out, SET, key.len(), (8, value.len()));
    out.extend_from_slice(&[0; 4]); // client flags
    out.extend_from_slice(&ttl_s.to_be_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

fn push_header(out: &mut Vec<u8>, opcode: u8, key_len: usize, body: (u8, usize)) {
    let (extras_len, value_len) = body;
    let total = usize::from(extras_len) + key_len + value_len;
    let mut header = [0; HEADER_LEN];
    header[0] = REQUEST;
    header[1] = opcode;
    header[2..4].copy_from_slice(&(key_len as u16).to_be_bytes());
    header[4] = extras_len;
    header[8..12].copy_from_slice(&(total as u32).to_be_bytes());
    out.extend_from_slice(&header);
}

#[inline]
pub(super) fn head(input: &[u8]) -> Option<Head> {
    let header = input.first_chunk::<HEADER_LEN>()?;
    let key_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let extras_len = usize::from(header[4]);
    let status = u16::from_be_bytes([header[6], header[7]]);
    let total = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    let kind = kind(header[0], header[1], status);
    if kind != Kind::Value {
        return Some(Head {
            body_len: total,
            ends: header[1] != GETKQ,
            ..Head::line(kind, HEADER_LEN)
        });
    }
    let key_from = HEADER_LEN + extras_len;
    let len = key_from + key_len;
    if input.len() < len {
        return None;
    }
    let value_len = total.saturating_sub(extras_len + key_len);
    Some(Head {
        kind,
        len,
        body_len: value_len,
        value_len,
        key: (key_len > 0).then_some(key_from..len),
        ends: header[1] == GET,
    })
}

fn kind(magic: u8, opcode: u8, status: u16) -> Kind {
    match (magic, opcode, status) {
        (RESPONSE, GET | GETKQ, STATUS_OK) => Kind::Value,
        (RESPONSE, GET, STATUS_NOT_FOUND) | (RESPONSE, NOOP, STATUS_OK) => Kind::End,
        (RESPONSE, SET, STATUS_OK) => Kind::Stored,
        _ => Kind::Error,
    }
}

/// The status of an error, with what a load meets in words.
pub(super) fn complaint(header: &[u8]) -> String {
    let status = u16::from_be_bytes([header[6], header[7]]);
    let meaning = match status {
        0x03 => " (value too large)",
        0x20 => " (not logged in)",
        0x82 => " (out of memory)",
        _ => "",
    };
    format!("status {status:#04x}{meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(opcode: u8, status: u8, body: (&[u8], &[u8], &[u8])) -> Vec<u8> {
        let (extras, key, value) = body;
        let mut out = vec![];
        let extras_len = extras.len() as u8;
        push_header(&mut out, opcode, key.len(), (extras_len, value.len()));
        out[0] = RESPONSE;
        out[7] = status;
        [out.as_slice(), extras, key, value].concat()
    }

    #[test]
    fn a_set_is_laid_out_as_the_protocol_says() {
        let mut out = vec![];
        push_set(&mut out, b"Hello", b"World", 3600);
        let expected = b"\x80\x01\0\x05\x08\0\0\0\0\0\0\x12\0\0\0\0\0\0\0\0\0\0\0\0\
            \0\0\0\0\0\0\x0e\x10HelloWorld";
        assert_eq!(out.as_slice(), expected);
    }

    #[test]
    fn hits_misses_and_the_end_are_told_apart() {
        let hit = response(GETKQ, 0, (&[0; 4], b"key", b"value"));
        let found = head(&hit).unwrap();
        assert_eq!(
            (found.kind, found.value_len, found.ends),
            (Kind::Value, 5, false)
        );
        assert_eq!(found.key.map(|key| &hit[key]), Some(&b"key"[..]));

        let miss = response(GET, 1, (b"", b"", b"Not found"));
        let missed = head(&miss).unwrap();
        assert_eq!(
            (missed.kind, missed.body_len, missed.ends),
            (Kind::End, 9, true)
        );

        let end = head(&response(NOOP, 0, (b"", b"", b""))).unwrap();
        assert_eq!((end.kind, end.ends), (Kind::End, true));

        let refused = head(&response(SET, 0x82, (b"", b"", b"Out of memory"))).unwrap();
        assert_eq!((refused.kind, refused.body_len), (Kind::Error, 13));
    }
}
