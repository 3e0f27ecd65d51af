//! Looking for bytes in short texts: eight at a time, without a call.
//!
//! `memchr` is the better choice for long texts. The tokens of a command line are mostly too short
//! for its call to pay.

use memchr::memchr;

/// Bytes of a word.
const WORD: usize = 8;

/// A one in each byte.
const ONES: u64 = u64::MAX / 0xff;

/// The top bit of each byte.
const TOPS: u64 = ONES << 7;

/// Bytes that are looked at here; after them `memchr` takes over.
const NEAR: usize = 128;

/// Where the first byte is that is a space or below: in text, where a token ends.
///
/// ```
/// # use nuthatch::base::scan::find_blank;
/// assert_eq!(find_blank(b"key and more"), Some(3));
/// assert_eq!(find_blank(b"key\r\n"), Some(3));
/// assert_eq!(find_blank(b"key!\x80\xff"), None);
/// ```
#[inline]
#[must_use]
pub fn find_blank(text: &[u8]) -> Option<usize> {
    // A byte below 0x21 borrows from its top bit, which was clear. Bytes above one that did may be
    // marked wrongly; the lowest mark is right.
    find_by(
        text,
        |word| word.wrapping_sub(ONES * 0x21) & !word & TOPS,
        |byte| byte <= b' ',
    )
}

/// Where `byte` is first.
///
/// ```
/// # use nuthatch::base::scan::find;
/// assert_eq!(find(b' ', b"a key and more"), Some(1));
/// assert_eq!(find(b'\n', b"a key and more"), None);
/// ```
#[inline]
#[must_use]
pub fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let near = &text[..text.len().min(NEAR)];
    let wanted = ONES * u64::from(byte);
    let found = find_by(near, |word| marks_of(word, wanted), |other| other == byte);
    if found.is_some() || text.len() <= NEAR {
        return found;
    }
    memchr(byte, &text[NEAR..]).map(|at| NEAR + at)
}

/// The token that `text` begins with: what comes before the first space.
///
/// ```
/// # use nuthatch::base::scan::token_len;
/// assert_eq!(token_len(b"set key 0 0 5"), 3);
/// assert_eq!(token_len(b"value"), 5);
/// ```
#[inline]
#[must_use]
pub fn token_len(text: &[u8]) -> usize {
    let (words, tail) = text.as_chunks::<WORD>();
    for (number, word) in words.iter().enumerate() {
        let marks = marks_of(u64::from_le_bytes(*word), ONES * u64::from(b' '));
        if marks != 0 {
            return number * WORD + marks.trailing_zeros() as usize / 8;
        }
    }
    // What tokens end in is mostly the first byte of what is left.
    let end = tail.iter().position(|&byte| byte == b' ');
    end.map_or(text.len(), |end| text.len() - tail.len() + end)
}

/// [`token_len`], by fewer instructions for a token of at most seven bytes, as verbs and numbers
/// are, and more for another.
#[inline]
#[must_use]
pub fn short_token_len(text: &[u8]) -> usize {
    if let Some(word) = text.first_chunk::<WORD>() {
        let marks = marks_of(u64::from_le_bytes(*word), ONES * u64::from(b' '));
        if marks == 0 {
            return long_token_len(text);
        }
        return marks.trailing_zeros() as usize / 8;
    }
    let end = text.iter().position(|&byte| byte == b' ');
    end.unwrap_or(text.len())
}

#[inline(never)]
fn long_token_len(text: &[u8]) -> usize {
    token_len(text)
}

/// Marks the lowest of the bytes of `word` that equal those of `wanted`, and perhaps others above.
#[inline]
fn marks_of(word: u64, wanted: u64) -> u64 {
    let differing = word ^ wanted;
    differing.wrapping_sub(ONES) & !differing & TOPS
}

/// The first byte that `is` wanted; `marks` sets the top bit of such bytes of a word, and may set
/// others above the lowest.
#[inline]
fn find_by(text: &[u8], marks: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> Option<usize> {
    let Some(last) = text.last_chunk::<WORD>() else {
        return text.iter().position(|&byte| is(byte));
    };
    let (words, tail) = text.as_chunks::<WORD>();
    for (number, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(number * WORD + marks.trailing_zeros() as usize / 8);
        }
    }
    if tail.is_empty() {
        return None;
    }
    // Overlaps what has been looked at: there was nothing.
    let marks = marks(u64::from_le_bytes(*last));
    (marks != 0).then(|| text.len() - WORD + marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_found_wherever_it_is() {
        for len in 0..300 {
            let mut text = vec![b'x'; len];
            assert_eq!((find(b' ', &text), find_blank(&text)), (None, None));
            assert_eq!((token_len(&text), short_token_len(&text)), (len, len));
            for at in (0..len).rev() {
                text[at] = b' ';
                assert_eq!(find(b' ', &text), Some(at), "of {len}");
                assert_eq!(find_blank(&text), Some(at), "of {len}");
                assert_eq!((token_len(&text), short_token_len(&text)), (at, at));
            }
        }
    }

    #[test]
    fn every_byte_is_told_from_every_other() {
        for byte in 0..=255_u8 {
            for other in (0..=255_u8).filter(|other| *other != byte) {
                let text = [other, other, other, byte, other, byte, other, other, other];
                assert_eq!(find(byte, &text), Some(3), "{byte} among {other}");
            }
            let text = [0xff, 0x21, b'x', 0x80, byte, 0x7f, 0xa0, 0xa1, 0x21];
            let expected = (byte <= b' ').then_some(4);
            assert_eq!(find_blank(&text), expected, "{byte}");
        }
    }
}
