//! ASCII decimals to numbers and back, without locale, allocation or surprises.

/// Reads `digits` as an unsigned decimal: one digit or more, nothing else, no overflow.
///
/// ```
/// # use nuthatch::base::number::parse_u64;
/// assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
/// assert_eq!(parse_u64(b"18446744073709551616"), None);
/// assert_eq!(parse_u64(b"+1"), None);
/// ```
#[inline]
#[must_use]
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Reads an unsigned decimal that fits 32 bits.
#[inline]
#[must_use]
pub fn parse_u32(digits: &[u8]) -> Option<u32> {
    parse_u64(digits).and_then(|value| u32::try_from(value).ok())
}

/// Reads a decimal with an optional minus sign that fits 32 bits.
#[inline]
#[must_use]
pub fn parse_i32(text: &[u8]) -> Option<i32> {
    match text {
        [b'-', digits @ ..] => i64::try_from(parse_u64(digits)?)
            .ok()
            .and_then(|value| i32::try_from(-value).ok()),
        digits => parse_u64(digits).and_then(|value| i32::try_from(value).ok()),
    }
}

/// Appends `value` in decimal.
#[inline]
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A `u64` as a `usize`; the crate supports 64-bit targets only.
#[inline]
#[must_use]
pub fn usize_from(value: u64) -> usize {
    value as usize
}

const _: () = assert!(size_of::<usize>() == 8, "the arena needs 64-bit addresses");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_spaces_and_overflow_are_refused() {
        for text in [
            &b""[..],
            b"-",
            b"+1",
            b" 1",
            b"1 ",
            b"1a",
            b"2147483648",
            b"-2147483649",
        ] {
            assert_eq!(parse_i32(text), None, "{}", text.escape_ascii());
        }
        assert_eq!(parse_i32(b"-2147483648"), Some(i32::MIN));
        assert_eq!(parse_i32(b"007"), Some(7));
        assert_eq!(parse_u32(b"4294967296"), None);
        assert_eq!(parse_u32(b"4294967295"), Some(u32::MAX));
    }
}
