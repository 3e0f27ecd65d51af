//! Tokens of a line, and the numbers among them.

use crate::base::key::Key;
use crate::base::number::{parse_clamped, parse_i32, parse_u32, parse_u64};
use crate::base::scan::{find_blank, short_token_len, token_len};

/// Tokens that count; what follows on the line is ignored.
const TOKENS_MAX: u8 = 23;

/// Digits and sign that a 32-bit number may have; a longer token is an error, leading zeros or not.
const NUMBER32_LEN_MAX: usize = 11;

/// Digits that a 64-bit number may have.
const NUMBER64_LEN_MAX: usize = 22;

/// Splits a line at runs of spaces. A tab is an ordinary byte.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
    left: u8,
}

impl<'a> Tokens<'a> {
    /// The tokens of `line`, which has no terminator any more.
    #[inline]
    #[must_use]
    pub fn new(line: &'a [u8]) -> Self {
        Self {
            rest: line,
            left: TOKENS_MAX,
        }
    }

    /// A key and `N` numbers, if what is left is that and nothing else, in its plainest form: one
    /// space before each, no signs, and few digits. What most lines are, in one look.
    #[inline]
    pub(super) fn plain<const N: usize>(self) -> Option<(Key<'a>, [u32; N])> {
        let rest = self.rest.strip_prefix(b" ")?;
        let (key, numbers) = rest.split_at(find_blank(rest)?);
        Some((Key::new(key)?, plain_numbers(numbers)?))
    }

    /// Whether the last token is `noreply`; `last` is the one taken most recently.
    #[inline]
    #[must_use]
    pub fn end_in_noreply(self, last: &[u8]) -> bool {
        let last = if self.rest.is_empty() {
            last
        } else {
            self.last().unwrap_or(last)
        };
        last == b"noreply"
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let len = short_token_len(self.rest);
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some(token)
    }
}

/// All tokens of a meta line, which may have any number of them: what lies between runs of spaces.
#[derive(Clone, Copy, Debug)]
pub struct AllTokens<'a> {
    rest: &'a [u8],
}

impl<'a> AllTokens<'a> {
    /// The tokens of `text`.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// The text after the token taken most recently.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for AllTokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let (token, rest) = self.rest.split_at(token_len(self.rest));
        self.rest = rest;
        Some(token)
    }
}

/// `N` numbers of at most nine digits, each with one space before it.
#[inline]
fn plain_numbers<const N: usize>(mut text: &[u8]) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        text = text.strip_prefix(b" ")?;
        let mut digits = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = text {
            *number = u32::wrapping_add(u32::wrapping_mul(*number, 10), u32::from(digit - b'0'));
            digits += 1;
            text = rest;
        }
        if !matches!(digits, 1..=9) {
            return None;
        }
    }
    text.is_empty().then_some(numbers)
}

/// A signed 32-bit number of at most 11 characters.
#[inline]
pub(super) fn signed(token: &[u8]) -> Option<i32> {
    if token.len() > NUMBER32_LEN_MAX {
        None
    } else {
        parse_i32(token)
    }
}

/// An unsigned 32-bit number of at most 11 digits.
#[inline]
pub(super) fn unsigned(token: &[u8]) -> Option<u32> {
    if token.len() > NUMBER32_LEN_MAX {
        None
    } else {
        parse_u32(token)
    }
}

/// An unsigned 64-bit number of at most 22 digits.
#[inline]
pub(super) fn unsigned64(token: &[u8]) -> Option<u64> {
    if token.len() > NUMBER64_LEN_MAX {
        None
    } else {
        parse_u64(token)
    }
}

/// Client flags of a storage command: any number of zeros, a plus sign if one likes.
#[inline]
pub(super) fn client_flags(token: &[u8]) -> Option<u32> {
    parse_u32(token.strip_prefix(b"+").unwrap_or(token))
}

/// Exptime of a storage command: any number, with a plus sign if one likes.
#[inline]
pub(super) fn exptime(token: &[u8]) -> Option<i64> {
    match token {
        [b'+', digits @ ..] => parse_clamped(digits).filter(|_| !digits.starts_with(b"-")),
        token => parse_clamped(token),
    }
}

/// A decimal fraction, as the tuning commands take them.
pub(super) fn fraction(token: &[u8]) -> Option<f64> {
    // 31 characters say more than a double can hold.
    let text = str::from_utf8(token).ok().filter(|text| text.len() <= 31)?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether `token` abbreviates `word`: sub-commands may be cut short.
pub(super) fn abbreviates(token: &[u8], word: &str) -> bool {
    !token.is_empty() && word.as_bytes().starts_with(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_spaces_count_as_one_and_tabs_are_bytes() {
        let tokens: Vec<&[u8]> = Tokens::new(b"  a   b\tc d  ").collect();
        assert_eq!(tokens, [&b"a"[..], b"b\tc", b"d"]);
    }

    #[test]
    fn the_twenty_third_token_is_the_last_that_counts() {
        let line = [&b"x ".repeat(22)[..], b"noreply more"].concat();
        assert_eq!(Tokens::new(&line).count(), 23);
        assert!(Tokens::new(&line).end_in_noreply(b""));
        let line = [&b"x ".repeat(23)[..], b"noreply"].concat();
        assert!(!Tokens::new(&line).end_in_noreply(b""));
    }

    #[test]
    fn flags_and_exptimes_take_a_plus_and_zeros_but_never_wrap() {
        assert_eq!(client_flags(b"+5"), Some(5));
        assert_eq!(client_flags(b"00000000000005"), Some(5));
        assert_eq!(client_flags(b"4294967295"), Some(u32::MAX));
        assert_eq!(client_flags(b"4294967296"), None);
        assert_eq!(client_flags(b"-1"), None);
        assert_eq!(exptime(b"+10"), Some(10));
        assert_eq!(exptime(b"-10"), Some(-10));
        assert_eq!(exptime(b"4294967295"), Some(4_294_967_295));
        assert_eq!(exptime(b"+-1"), None);
    }

    #[test]
    fn other_numbers_are_short_and_plain() {
        assert_eq!(signed(b"00000000001"), Some(1));
        assert_eq!(signed(b"000000000001"), None);
        assert_eq!(unsigned64(b"0000018446744073709551615"), None);
        assert_eq!(unsigned64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"-1"), None);
        assert_eq!(fraction(b"0.25"), Some(0.25));
        assert_eq!(fraction(b"nan"), None);
    }

    #[test]
    fn a_word_may_be_cut_short_but_not_to_nothing() {
        assert!(abbreviates(b"s", "settings") && abbreviates(b"settings", "settings"));
        assert!(!abbreviates(b"", "settings") && !abbreviates(b"settingsx", "settings"));
    }
}
