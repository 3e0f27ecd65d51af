//! The 24 bytes in front of every request, in network order.

/// Bytes of a header.
pub const HEADER_LEN: usize = 24;

/// First byte of a request.
pub const MAGIC_REQUEST: u8 = 0x80;

/// First byte of a response.
pub const MAGIC_RESPONSE: u8 = 0x81;

/// A request's header. Its data type and vbucket are ignored, as in memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The first byte.
    pub magic: u8,
    /// What to do; see [`Opcode`](super::Opcode).
    pub opcode: u8,
    /// Bytes of the key.
    pub key_len: u16,
    /// Bytes of the extras.
    pub extras_len: u8,
    /// Bytes of extras, key and value together.
    pub body_len: u32,
    /// Sent back as it came.
    pub opaque: u32,
    /// The CAS id to compare with; 0 for none.
    pub cas: u64,
}

impl RequestHeader {
    /// Reads the header at the front of `input`; `None` if it is not all there.
    #[inline]
    #[must_use]
    pub fn read(input: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = input.first_chunk()?;
        let [magic, opcode, k0, k1, extras_len, _, _, _, rest @ ..] = *bytes;
        let [b0, b1, b2, b3, o0, o1, o2, o3, cas @ ..] = rest;
        Some(Self {
            magic,
            opcode,
            key_len: u16::from_be_bytes([k0, k1]),
            extras_len,
            body_len: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
            cas: u64::from_be_bytes(cas),
        })
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = self.magic;
        bytes[1] = self.opcode;
        bytes[2..4].copy_from_slice(&self.key_len.to_be_bytes());
        bytes[4] = self.extras_len;
        bytes[8..12].copy_from_slice(&self.body_len.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.opaque.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.cas.to_be_bytes());
        bytes
    }

    /// Bytes of the value, if the lengths agree with each other.
    #[inline]
    #[must_use]
    pub fn value_len(&self) -> Option<u32> {
        let head = u32::from(self.key_len) + u32::from(self.extras_len);
        self.body_len.checked_sub(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire() {
        let header = RequestHeader {
            magic: MAGIC_REQUEST,
            opcode: 0x01,
            key_len: 0x0203,
            extras_len: 0x04,
            body_len: 0x0506_0708,
            opaque: 0x090a_0b0c,
            cas: 0x0d0e_0f10_1112_1314,
        };
        assert_eq!(RequestHeader::read(&header.to_bytes()), Some(header));
        assert_eq!(RequestHeader::read(&header.to_bytes()[..23]), None);
    }
}
