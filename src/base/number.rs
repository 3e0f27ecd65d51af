//! ASCII decimals to numbers and back, without locale, allocation or surprises.

/// Any number of this many decimal digits fits 64 bits.
const DIGITS_SAFE: usize = 19;

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
    if digits.len() > DIGITS_SAFE {
        return parse_long(digits);
    }
    let mut value: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    (!digits.is_empty()).then_some(value)
}

/// [`parse_u64`] of enough digits to overflow.
#[cold]
fn parse_long(digits: &[u8]) -> Option<u64> {
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

/// Reads a decimal of any length with an optional minus sign. One that does not fit 64 bits counts
/// as the nearest that does.
///
/// ```
/// # use nuthatch::base::number::parse_clamped;
/// assert_eq!(parse_clamped(b"-007"), Some(-7));
/// assert_eq!(parse_clamped(b"-99999999999999999999"), Some(i64::MIN));
/// assert_eq!(parse_clamped(b"-"), None);
/// ```
#[inline]
#[must_use]
pub fn parse_clamped(text: &[u8]) -> Option<i64> {
    let (digits, negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    let value = match parse_u64(digits) {
        Some(value) => i64::try_from(value).unwrap_or(i64::MAX),
        None if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) => return None,
        None => i64::MAX,
    };
    Some(match (negative, value) {
        (false, value) => value,
        (true, i64::MAX) => i64::MIN,
        (true, value) => -value,
    })
}

/// Appends `value` in decimal.
#[inline]
pub fn push_decimal(out: &mut Vec<u8>, value: u64) {
    match value {
        0..10 => out.push(b'0' + value as u8),
        10..SHORT_END => push_short(out, value as u32, 0, 0),
        _ => push_long(out, value),
    }
}

/// Appends a space and `value` in decimal.
// Always inlined for the digits that are nearly always 0, the client flags.
#[inline(always)]
pub fn push_spaced(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        out.extend_from_slice(&[b' ', b'0' + value as u8]);
    } else {
        push_spaced_digits(out, value);
    }
}

#[inline(never)]
fn push_spaced_digits(out: &mut Vec<u8>, value: u64) {
    if value < SHORT_END {
        push_short(out, value as u32, u64::from(b' '), 1);
    } else {
        out.push(b' ');
        push_long(out, value);
    }
}

/// Numbers below this have so few digits that they fit eight bytes with a space.
const SHORT_END: u64 = 10_000_000;

/// Appends the first `len` bytes of `before` and then the digits of `value`, eight bytes in all at
/// most: they are put together in a register and written at once, what is too much included.
#[inline]
fn push_short(out: &mut Vec<u8>, mut value: u32, before: u64, mut len: usize) {
    let mut word = 0;
    let shift = len as u32 * 8;
    while value != 0 {
        word = word << 8 | u64::from(u32::from(b'0') + value % 10);
        value /= 10;
        len = len.wrapping_add(1);
    }
    let end = out.len().wrapping_add(len);
    out.extend_from_slice(&(word << shift | before).to_le_bytes());
    out.truncate(end);
}

#[inline(never)]
fn push_long(out: &mut Vec<u8>, value: u64) {
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
    fn numbers_of_every_length_are_written_as_they_are() {
        let long = [0, 1, 9].map(|n| u64::MAX - n);
        let around = (SHORT_END - 3..SHORT_END + 3).chain(long);
        for value in (0..20_000).chain(around) {
            let mut out = vec![];
            push_decimal(&mut out, value);
            push_spaced(&mut out, value);
            assert_eq!(out, format!("{value} {value}").into_bytes());
        }
    }

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

    #[test]
    fn a_number_that_is_too_large_is_still_a_number() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("4294967295", 4_294_967_295),
            ("-2147483649", -2_147_483_649),
            ("9223372036854775807", i64::MAX),
            ("9223372036854775808", i64::MAX),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
            ("00000000000000000000000000000000000001", 1),
        ] {
            assert_eq!(parse_clamped(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", "-", "--1", "+1", "1x", "99999999999999999999x", " 1"] {
            assert_eq!(parse_clamped(text.as_bytes()), None, "{text}");
        }
    }
}
