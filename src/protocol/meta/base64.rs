//! Base64 for keys that text cannot carry: the standard alphabet, padded with `=`.

use crate::base::key::{KEY_LEN_MAX, Key};

/// The most bytes an encoded key of legal length can hold.
pub const DECODED_LEN_MAX: usize = KEY_LEN_MAX.div_ceil(4) * 3;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of each byte: 0 to 63, or one of the marks below.
const VALUES: [u8; 256] = values();
const FOREIGN: u8 = 0xff;
const PADDING: u8 = 0xfe;

const fn values() -> [u8; 256] {
    let mut table = [FOREIGN; 256];
    let mut value = 0;
    while value < 64 {
        table[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    table[b'=' as usize] = PADDING;
    table
}

/// A key decoded from base64, held inline so that a request needs no allocation.
#[derive(Clone, Copy)]
pub struct DecodedKey {
    bytes: [u8; DECODED_LEN_MAX],
    len: usize,
}

impl DecodedKey {
    /// Decodes a token of at most [`KEY_LEN_MAX`] bytes.
    ///
    /// Bytes outside the alphabet are skipped, as memcached does. What remains must be whole
    /// groups of four, at least one, with padding only at the very end.
    #[must_use]
    pub fn decode(token: &[u8]) -> Option<Self> {
        if token.len() > KEY_LEN_MAX {
            return None;
        }
        let mut key = Self {
            bytes: [0; DECODED_LEN_MAX],
            len: 0,
        };
        let mut group = [0; 4];
        let mut filled = 0;
        let mut ended = false;
        for value in token.iter().map(|&byte| VALUES[usize::from(byte)]) {
            if value == FOREIGN {
                continue;
            }
            if ended {
                return None;
            }
            group[filled] = value;
            filled += 1;
            if filled == 4 {
                ended = key.push_group(group)?;
                filled = 0;
            }
        }
        (filled == 0 && key.len > 0).then_some(key)
    }

    /// Appends the bytes of one group; true if its padding says that it is the last.
    fn push_group(&mut self, group: [u8; 4]) -> Option<bool> {
        let count = match group {
            [.., PADDING, PADDING] => 1,
            [.., PADDING] => 2,
            _ => 3,
        };
        let mut word = 0_u32;
        for &value in &group[..=count] {
            if value == PADDING {
                return None;
            }
            word = word << 6 | u32::from(value);
        }
        word <<= 6 * (3 - count as u32);
        let [_, bytes @ ..] = word.to_be_bytes();
        self.bytes[self.len..self.len + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        Some(count < 3)
    }

    /// The decoded bytes as a key.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key::new(&self.bytes[..self.len]).expect("decode refuses empty keys and bounds the rest")
    }
}

impl std::fmt::Debug for DecodedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key().fmt(f)
    }
}

impl PartialEq for DecodedKey {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for DecodedKey {}

/// Appends `bytes` in base64.
pub fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(padded);
        for place in 0..4 {
            let value = (word >> (18 - 6 * place)) & 63;
            let used = place as usize <= group.len();
            out.push(if used { ALPHABET[value as usize] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(token: &[u8]) -> Option<Vec<u8>> {
        DecodedKey::decode(token).map(|key| key.key().as_bytes().to_vec())
    }

    #[test]
    fn every_padding_decodes_and_encodes() {
        for (text, bytes) in [
            ("Zg==", &b"f"[..]),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
        ] {
            assert_eq!(decoded(text.as_bytes()).as_deref(), Some(bytes));
            let mut out = vec![];
            push_base64(&mut out, bytes);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn foreign_bytes_are_skipped_but_do_not_count() {
        assert_eq!(decoded(b"Z!m9\tv").as_deref(), Some(&b"foo"[..]));
        for token in [&b"!!!!"[..], b"Zm9", b"Zm9v!Z", b""] {
            assert_eq!(decoded(token), None, "{}", token.escape_ascii());
        }
    }

    #[test]
    fn padding_stands_only_at_the_end() {
        for token in [
            &b"===="[..],
            b"Z===",
            b"Z=9v",
            b"Zg==Zm9v",
            b"=m9v",
            b"Zg===",
        ] {
            assert_eq!(decoded(token), None, "{}", token.escape_ascii());
        }
    }

    #[test]
    fn the_longest_token_fits_the_buffer() {
        assert_eq!(decoded(&[b'A'; 248]).map(|key| key.len()), Some(186));
        assert_eq!(decoded(&[b'A'; 250]), None);
        assert_eq!(decoded(&[b'A'; 252]), None);
    }
}
