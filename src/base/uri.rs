//! Percent-encoding: any bytes as one word that neither ends a line nor holds a space.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `bytes`: letters, digits and `-._~` as they are, every other byte as `%XX`.
///
/// ```
/// # use nuthatch::base::uri::push_uri;
/// let mut out = vec![];
/// push_uri(&mut out, b"user:1 \xff");
/// assert_eq!(out, b"user%3A1%20%FF");
/// ```
pub fn push_uri(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            let digits = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
            out.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
    }
}
