//! Reply lines of the text protocols.

use crate::base::number::{push_decimal, push_spaced};

/// Ends every line and every value.
pub const CRLF: &[u8] = b"\r\n";

/// Ends a list of values or statistics.
pub const END: &[u8] = b"END\r\n";

/// What goes between the key and the value of a hit.
#[derive(Clone, Copy, Debug)]
pub struct ValueHead {
    /// The client's bits.
    pub client_flags: u32,
    /// Length of the value.
    pub value_len: u32,
    /// The item's version, where asked for.
    pub cas: Option<u64>,
}

/// Appends `VALUE <key> <flags> <bytes>[ <cas>]` and its line end.
#[inline]
pub fn push_value_head(out: &mut Vec<u8>, key: &[u8], head: ValueHead) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    push_spaced(out, u64::from(head.client_flags));
    push_spaced(out, u64::from(head.value_len));
    if let Some(cas) = head.cas {
        push_spaced(out, cas);
    }
    out.extend_from_slice(CRLF);
}

/// Appends `value` on a line of its own: the answer to incr and decr.
pub fn push_number(out: &mut Vec<u8>, value: u64) {
    push_decimal(out, value);
    out.extend_from_slice(CRLF);
}

/// Appends `VERSION <version>`.
pub fn push_version(out: &mut Vec<u8>, version: &str) {
    out.extend_from_slice(b"VERSION ");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(CRLF);
}

/// Appends `STAT <name> <value>`.
pub fn push_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_head_names_the_cas_only_when_asked() {
        let mut out = vec![];
        push_value_head(
            &mut out,
            b"k",
            ValueHead {
                client_flags: 7,
                value_len: 10,
                cas: None,
            },
        );
        push_value_head(
            &mut out,
            b"k",
            ValueHead {
                client_flags: 0,
                value_len: 0,
                cas: Some(9),
            },
        );
        assert_eq!(out, b"VALUE k 7 10\r\nVALUE k 0 0 9\r\n");
    }
}
