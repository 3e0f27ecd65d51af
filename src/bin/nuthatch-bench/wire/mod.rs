//! Requests to bytes and bytes to replies, for the three protocols that a server may speak.
//!
//! ```text
//!   get of n keys ─▶ Value* End          text; binary and meta if n > 1 (quiet gets, a no-op)
//!   get of 1 key  ─▶ Value | End         binary, meta: the reply to the key is the end as well
//!   set           ─▶ Stored | Error
//!   others, text  ─▶ Stored | Done | NotDone | Error
//! ```
//!
//! Only the head of a reply is looked at; the value that follows is counted, not searched.

mod binary;
mod head;
mod meta;
pub(crate) mod text;

pub(crate) use head::{Head, Kind};

/// Longer heads than this are no reply to what we ask: the longest holds a key of 250 bytes.
pub(crate) const HEAD_MAX: usize = 2048;

/// The encoding of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `get` and `set`.
    Text,
    /// `mg` and `ms`.
    Meta,
    /// 24-byte headers.
    Binary,
}

impl Protocol {
    pub(crate) const ALL: [Self; 3] = [Self::Text, Self::Meta, Self::Binary];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Meta => "meta",
            Self::Binary => "binary",
        }
    }
}

/// A protocol together with what its replies depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) protocol: Protocol,
    /// Keys of each get.
    pub(crate) keys_per_get: usize,
    /// Time to live that sets ask for, in seconds; 0 is for ever.
    pub(crate) ttl_s: u32,
}

impl Wire {
    /// Appends one key of a get; [`Self::finish_get`] follows the last.
    #[inline]
    pub(crate) fn push_get(self, out: &mut Vec<u8>, key: &[u8], is_first: bool) {
        match self.protocol {
            Protocol::Text => text::push_get(out, key, is_first),
            Protocol::Meta => meta::push_get(out, key, self.is_multi()),
            Protocol::Binary => binary::push_get(out, key, self.is_multi()),
        }
    }

    #[inline]
    pub(crate) fn finish_get(self, out: &mut Vec<u8>) {
        match self.protocol {
            Protocol::Text => out.extend_from_slice(b"\r\n"),
            Protocol::Meta if self.is_multi() => out.extend_from_slice(b"mn\r\n"),
            Protocol::Binary if self.is_multi() => binary::push_noop(out),
            Protocol::Meta | Protocol::Binary => {}
        }
    }

    #[inline]
    pub(crate) fn push_set(self, out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        match self.protocol {
            Protocol::Text => text::push_set(out, key, value, self.ttl_s),
            Protocol::Meta => meta::push_set(out, key, value, self.ttl_s),
            Protocol::Binary => binary::push_set(out, key, value, self.ttl_s),
        }
    }

    /// The head at the front of `input`, once all of it is there.
    #[inline]
    pub(crate) fn head(self, input: &[u8]) -> Option<Head> {
        match self.protocol {
            Protocol::Text => text::head(input),
            Protocol::Meta => meta::head(input, self.is_multi()),
            Protocol::Binary => binary::head(input),
        }
    }

    /// What the head of an error says.
    pub(crate) fn complaint(self, head: &[u8]) -> String {
        match self.protocol {
            Protocol::Text | Protocol::Meta => head.trim_ascii_end().escape_ascii().to_string(),
            Protocol::Binary => binary::complaint(head),
        }
    }

    fn is_multi(self) -> bool {
        self.keys_per_get > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(protocol: Protocol, keys_per_get: usize) -> Wire {
        Wire {
            protocol,
            keys_per_get,
            ttl_s: 0,
        }
    }

    #[test]
    fn heads_are_not_guessed_from_a_part() {
        let replies: [(Protocol, &[u8]); 4] = [
            (Protocol::Text, b"VALUE some:key 5 100\r\n"),
            (
                Protocol::Text,
                b"SERVER_ERROR out of memory storing object\r\n",
            ),
            (Protocol::Meta, b"VA 100 ksome:key\r\n"),
            (
                Protocol::Binary,
                b"\x81\x00\0\0\x04\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ),
        ];
        for (protocol, reply) in replies {
            for cut in 0..reply.len() {
                assert_eq!(wire(protocol, 1).head(&reply[..cut]), None, "{cut}");
            }
            let head = wire(protocol, 1).head(reply).unwrap();
            assert_eq!(head.len, reply.len());
        }
    }

    #[test]
    fn an_error_is_told_in_words() {
        let text = wire(Protocol::Text, 1).complaint(b"SERVER_ERROR no\x07\r\n");
        assert_eq!(text, "SERVER_ERROR no\\x07");
        let mut header = [0; 24];
        header[7] = 0x20;
        let binary = wire(Protocol::Binary, 1).complaint(&header);
        assert_eq!(binary, "status 0x20 (not logged in)");
    }

    #[test]
    fn gets_of_several_keys_have_an_end_of_their_own() {
        for (protocol, request) in [
            (Protocol::Text, &b"get a b\r\n"[..]),
            (Protocol::Meta, b"mg a k v q\r\nmg b k v q\r\nmn\r\n"),
        ] {
            let wire = wire(protocol, 2);
            let mut out = vec![];
            wire.push_get(&mut out, b"a", true);
            wire.push_get(&mut out, b"b", false);
            wire.finish_get(&mut out);
            assert_eq!(out, request);
        }
    }
}
