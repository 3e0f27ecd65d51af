//! Binary replies: a header that repeats opcode and opaque, then the body.

use crate::base::key::Key;
use crate::protocol::binary::header::{MAGIC_RESPONSE, RequestHeader};

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Success,
    /// No such item, or no such group of numbers.
    NotFound,
    /// An item is in the way, or its CAS id is another.
    Exists,
    /// The item would be over the size limit.
    TooLarge,
    /// The request makes no sense.
    InvalidArguments,
    /// The condition did not hold.
    NotStored,
    /// The value is no number.
    NonNumeric,
    /// Not logged in, or not allowed.
    AuthFailure,
    /// The login goes on.
    AuthContinue,
    /// No such opcode here.
    UnknownCommand,
    /// No memory for the item.
    OutOfMemory,
}

impl Status {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Success => 0x00,
            Self::NotFound => 0x01,
            Self::Exists => 0x02,
            Self::TooLarge => 0x03,
            Self::InvalidArguments => 0x04,
            Self::NotStored => 0x05,
            Self::NonNumeric => 0x06,
            Self::AuthFailure => 0x20,
            Self::AuthContinue => 0x21,
            Self::UnknownCommand => 0x81,
            Self::OutOfMemory => 0x82,
        }
    }

    /// The body of a reply that has nothing else to say.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Success | Self::AuthContinue => "",
            Self::NotFound => "Not found",
            Self::Exists => "Data exists for key.",
            Self::TooLarge => "Too large.",
            Self::InvalidArguments => "Invalid arguments",
            Self::NotStored => "Not stored.",
            Self::NonNumeric => "Non-numeric server-side value for incr or decr",
            Self::AuthFailure => "Auth failure.",
            Self::UnknownCommand => "Unknown command",
            Self::OutOfMemory => "Out of memory",
        }
    }
}

/// Where a reply goes: what it repeats of its request. Its methods append whole replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's opcode byte.
    pub opcode: u8,
    /// The request's opaque.
    pub opaque: u32,
}

/// What differs between the headers of replies.
#[derive(Default)]
struct Head {
    status: u16,
    cas: u64,
    extras_len: u8,
    key_len: u16,
    value_len: u32,
}

impl Reply {
    /// The reply to a request with this header.
    #[must_use]
    pub fn to(header: &RequestHeader) -> Self {
        Self {
            opcode: header.opcode,
            opaque: header.opaque,
        }
    }

    fn push_head(self, out: &mut Vec<u8>, head: &Head) {
        let body_len = head.value_len + u32::from(head.extras_len) + u32::from(head.key_len);
        let mut bytes = RequestHeader {
            magic: MAGIC_RESPONSE,
            opcode: self.opcode,
            key_len: head.key_len,
            extras_len: head.extras_len,
            body_len,
            opaque: self.opaque,
            cas: head.cas,
        }
        .to_bytes();
        bytes[6..8].copy_from_slice(&head.status.to_be_bytes());
        out.extend_from_slice(&bytes);
    }

    /// Success without a body.
    pub fn push_done(self, out: &mut Vec<u8>, cas: u64) {
        self.push_head(
            out,
            &Head {
                cas,
                ..Head::default()
            },
        );
    }

    /// A status with the text that belongs to it.
    pub fn push_status(self, out: &mut Vec<u8>, status: Status) {
        self.push_text(out, status, status.text().as_bytes());
    }

    /// A status with a body of its own; shorter than 4 GiB.
    pub fn push_text(self, out: &mut Vec<u8>, status: Status, text: &[u8]) {
        let value_len = text.len() as u32;
        self.push_head(
            out,
            &Head {
                status: status.code(),
                value_len,
                ..Head::default()
            },
        );
        out.extend_from_slice(text);
    }

    /// A miss whose body is the key.
    pub fn push_key_miss(self, out: &mut Vec<u8>, key: Key<'_>) {
        let key_len = key.as_bytes().len() as u16;
        let status = Status::NotFound.code();
        self.push_head(
            out,
            &Head {
                status,
                key_len,
                ..Head::default()
            },
        );
        out.extend_from_slice(key.as_bytes());
    }

    /// The number after counting.
    pub fn push_count(self, out: &mut Vec<u8>, number: u64, cas: u64) {
        self.push_head(
            out,
            &Head {
                cas,
                value_len: 8,
                ..Head::default()
            },
        );
        out.extend_from_slice(&number.to_be_bytes());
    }

    /// All of a hit but the value: `value_len` bytes must follow.
    pub fn push_hit(self, out: &mut Vec<u8>, hit: &HitReply<'_>) {
        let key = hit.key.map_or(&b""[..], Key::as_bytes);
        self.push_head(
            out,
            &Head {
                cas: hit.cas,
                extras_len: 4,
                key_len: key.len() as u16,
                value_len: hit.value_len,
                ..Head::default()
            },
        );
        out.extend_from_slice(&hit.client_flags.to_be_bytes());
        out.extend_from_slice(key);
    }

    /// One number of a group; empty name and value end the group.
    pub fn push_stat(self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        let key_len = name.len() as u16;
        let value_len = value.len() as u32;
        self.push_head(
            out,
            &Head {
                key_len,
                value_len,
                ..Head::default()
            },
        );
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
}

/// What the reply to a hit tells.
#[derive(Clone, Copy, Debug)]
pub struct HitReply<'a> {
    /// The item's CAS id.
    pub cas: u64,
    /// The client's 32 bits.
    pub client_flags: u32,
    /// The key, where the reply has it.
    pub key: Option<Key<'a>>,
    /// Bytes of the value.
    pub value_len: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: Reply = Reply {
        opcode: 0x0c,
        opaque: 0x0102_0304,
    };

    #[test]
    fn a_hit_has_flags_then_key_then_value() {
        let mut out = vec![];
        let key = Key::new(b"ab");
        REPLY.push_hit(
            &mut out,
            &HitReply {
                cas: 7,
                client_flags: 9,
                key,
                value_len: 5,
            },
        );
        assert_eq!(out.len(), 24 + 4 + 2);
        assert_eq!(out[..8], [0x81, 0x0c, 0, 2, 4, 0, 0, 0]);
        assert_eq!(out[8..16], [0, 0, 0, 11, 1, 2, 3, 4]);
        assert_eq!(out[16..], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, b'a', b'b']);
    }

    #[test]
    fn an_error_has_its_text_and_no_cas() {
        let mut out = vec![];
        REPLY.push_status(&mut out, Status::NotFound);
        assert_eq!(out[..12], [0x81, 0x0c, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
        assert_eq!(&out[24..], b"Not found");
        out.clear();
        REPLY.push_key_miss(&mut out, Key::new(b"ab").unwrap());
        assert_eq!(out[..12], [0x81, 0x0c, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn a_group_of_numbers_ends_with_an_empty_one() {
        let mut out = vec![];
        REPLY.push_stat(&mut out, b"pid", b"1");
        REPLY.push_stat(&mut out, b"", b"");
        assert_eq!(&out[24..28], b"pid1");
        assert_eq!(out[28 + 8..28 + 12], [0, 0, 0, 0]);
    }
}
