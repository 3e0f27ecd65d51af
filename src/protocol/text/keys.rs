//! Retrieval lines, which have no bound: read key by key, as they come.

use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::number::parse_clamped;
use crate::base::scan::find_blank;
use crate::protocol::ErrorLine;
use memchr::{memchr, memrchr};

/// The four retrieval commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrievalVerb {
    /// Also sends the version: `gets`, `gats`.
    pub cas: bool,
    /// Also gives a new expiry, which is the first argument: `gat`, `gats`.
    pub touch: bool,
}

impl RetrievalVerb {
    /// The verb that `input` begins with, and where its arguments begin.
    #[inline]
    #[must_use]
    pub fn at_start_of(input: &[u8]) -> Option<(Self, usize)> {
        match input {
            [b'g', b'e', b't', b' ', ..] => Some((
                Self {
                    cas: false,
                    touch: false,
                },
                4,
            )),
            [b'g', b'e', b't', b's', b' ', ..] => Some((
                Self {
                    cas: true,
                    touch: false,
                },
                5,
            )),
            [b'g', b'a', b't', b' ', ..] => Some((
                Self {
                    cas: false,
                    touch: true,
                },
                4,
            )),
            [b'g', b'a', b't', b's', b' ', ..] => Some((
                Self {
                    cas: true,
                    touch: true,
                },
                5,
            )),
            _ => None,
        }
    }
}

/// Whether `line`, which has no end yet, may go on beyond what other lines may.
///
/// Up to 100 spaces before the verb are looked over. They make the command unknown in the end, but
/// only in the end.
#[must_use]
pub fn may_be_long(line: &[u8]) -> bool {
    let spaces = line
        .iter()
        .take(101)
        .take_while(|&&byte| byte == b' ')
        .count();
    spaces <= 100 && RetrievalVerb::at_start_of(&line[spaces..]).is_some()
}

/// A `get` of one key, whole at the start of `input`: its key and its length with the line end.
///
/// This is the most frequent request there is, and knows only its plainest form; anything else
/// goes the general way.
#[inline]
#[must_use]
pub fn single_get(input: &[u8]) -> Option<(Key<'_>, usize)> {
    let rest = input.strip_prefix(b"get ")?;
    let window = &rest[..rest.len().min(KEY_LEN_MAX + 2)];
    let len = find_blank(window)?;
    let ending = match window[len..] {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => return None,
    };
    Some((Key::new(&window[..len])?, 4 + len + ending))
}

/// What comes next on a retrieval line, and the bytes up to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A key.
    Key(Key<'a>, usize),
    /// A token too long for a key; it may not have ended yet.
    TooLong,
    /// The end of the line.
    End(usize),
    /// Spaces only, or a key that has not ended yet; the bytes are those of the spaces.
    Partial(usize),
}

/// Reads the next key of a retrieval line.
#[inline]
#[must_use]
pub fn next_key(input: &[u8]) -> Next<'_> {
    let mut start = 0;
    while input.get(start) == Some(&b' ') {
        start += 1;
    }
    let token = &input[start..];
    // Two bytes more than a key: its carriage return and the byte that ends it.
    let window = &token[..token.len().min(KEY_LEN_MAX + 2)];
    let Some(len) = find_end(window) else {
        return unfinished(window, start);
    };
    if token[len] == b' ' {
        return match Key::new(&token[..len]) {
            Some(key) => Next::Key(key, start + len),
            None => Next::TooLong,
        };
    }
    match trim_cr(&token[..len]) {
        b"" => Next::End(start + len + 1),
        // The line end stays, to be found as `End`; so does a carriage return before it.
        last => Key::new(last).map_or(Next::TooLong, |key| Next::Key(key, start + last.len())),
    }
}

/// Where a token ends. Other bytes that are no letters are rare, but for the last carriage return.
#[inline]
fn find_end(window: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_blank(&window[from..])?;
        if matches!(window[at], b' ' | b'\n') {
            return Some(at);
        }
        from = at + 1;
    }
}

fn unfinished(window: &[u8], start: usize) -> Next<'_> {
    let may_end_in_cr = window.len() == KEY_LEN_MAX + 1 && window.ends_with(b"\r");
    if window.len() > KEY_LEN_MAX && !may_end_in_cr {
        Next::TooLong
    } else {
        Next::Partial(start)
    }
}

/// Checks all keys of a line (without its end) before the first is answered.
///
/// # Errors
///
/// There is no key, or one is too long.
pub fn check_keys(keys: &[u8]) -> Result<(), ErrorLine> {
    if has_long_token(keys) || keys.iter().all(|&byte| byte == b' ') {
        return Err(ErrorLine::BadFormat);
    }
    Ok(())
}

/// Looks for a token too long for a key without looking at every byte: each run of 251 bytes that
/// has no space is one, and after the last space in such a run the next may begin.
fn has_long_token(mut keys: &[u8]) -> bool {
    while keys.len() > KEY_LEN_MAX {
        match memrchr(b' ', &keys[..=KEY_LEN_MAX]) {
            Some(space) => keys = &keys[space + 1..],
            None => return true,
        }
    }
    false
}

/// Takes the exptime off the front of the arguments of gat: its value, and where the keys begin.
///
/// # Errors
///
/// There is no key after it, or it is not a number. Too few tokens are reported first.
pub fn split_exptime(arguments: &[u8]) -> Result<(i64, usize), ErrorLine> {
    let start = arguments.iter().take_while(|&&byte| byte == b' ').count();
    let Some(len) = memchr(b' ', &arguments[start..]) else {
        return Err(ErrorLine::BadFormat);
    };
    let end = start + len;
    if arguments[end..].iter().all(|&byte| byte == b' ') {
        return Err(ErrorLine::BadFormat);
    }
    let exptime = parse_clamped(&arguments[start..end]).ok_or(ErrorLine::BadExptime)?;
    Ok((exptime, end))
}

/// Takes one carriage return off the end of a line.
#[inline]
#[must_use]
pub fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &[u8]) -> Key<'_> {
        Key::new(text).unwrap()
    }

    #[test]
    fn keys_come_one_by_one_and_then_the_end() {
        let line = b"a  bc \r\n";
        assert_eq!(next_key(line), Next::Key(key(b"a"), 1));
        assert_eq!(next_key(&line[1..]), Next::Key(key(b"bc"), 4));
        assert_eq!(next_key(&line[5..]), Next::End(3));
        assert_eq!(next_key(b"a\r\n"), Next::Key(key(b"a"), 1));
        assert_eq!(next_key(b"\n"), Next::End(1));
    }

    #[test]
    fn an_unfinished_key_waits_until_it_cannot_be_one() {
        let long = [b'k'; 253];
        assert_eq!(next_key(b"  ab"), Next::Partial(2));
        assert_eq!(next_key(&long[..250]), Next::Partial(0));
        assert_eq!(next_key(&long[..251]), Next::TooLong);
        let with_cr = [&long[..250], b"\r"].concat();
        assert_eq!(next_key(&with_cr), Next::Partial(0));
        let whole = [&with_cr[..], b"\n"].concat();
        assert_eq!(next_key(&whole), Next::Key(key(&long[..250]), 250));
        assert_eq!(next_key(&[&with_cr[..], b"x"].concat()), Next::TooLong);
        assert_eq!(next_key(&[&long[..], b" "].concat()), Next::TooLong);
    }

    #[test]
    fn a_carriage_return_inside_a_key_belongs_to_it() {
        assert_eq!(next_key(b"a\rb \n"), Next::Key(key(b"a\rb"), 3));
        assert_eq!(next_key(b"a\r \n"), Next::Key(key(b"a\r"), 2));
    }

    #[test]
    fn a_long_key_is_found_wherever_it_stands() {
        let long = [b'k'; 251];
        for before in [0, 1, 100, 249, 250, 251, 500] {
            let line = [&b"a ".repeat(before)[..], &long, b" b"].concat();
            assert_eq!(check_keys(&line), Err(ErrorLine::BadFormat), "{before}");
            let line = [&b"a ".repeat(before)[..], &long[..250], b" b"].concat();
            assert_eq!(check_keys(&line), Ok(()), "{before}");
        }
        assert_eq!(check_keys(b"   "), Err(ErrorLine::BadFormat));
    }

    #[test]
    fn gat_tells_missing_keys_before_bad_numbers() {
        assert_eq!(split_exptime(b"10 k"), Ok((10, 2)));
        assert_eq!(split_exptime(b"4294967295 k"), Ok((4_294_967_295, 10)));
        assert_eq!(split_exptime(b"x k"), Err(ErrorLine::BadExptime));
        assert_eq!(split_exptime(b"x "), Err(ErrorLine::BadFormat));
        assert_eq!(split_exptime(b"10"), Err(ErrorLine::BadFormat));
    }

    #[test]
    fn a_plain_get_is_known_at_sight() {
        assert_eq!(single_get(b"get k\r\nget"), Some((key(b"k"), 7)));
        assert_eq!(single_get(b"get k\n"), Some((key(b"k"), 6)));
        for other in [
            &b"get a b\r\n"[..],
            b"get k",
            b"get \r\n",
            b"gets k\r\n",
            b"get  k\r\n",
        ] {
            assert_eq!(single_get(other), None);
        }
        let longest = [b"get ", &[b'k'; 250][..], b"\r\n"].concat();
        assert_eq!(single_get(&longest).unwrap().1, 256);
    }

    #[test]
    fn only_retrievals_may_be_long() {
        assert!(may_be_long(b"get a") && may_be_long(b"  gats 5 a"));
        assert!(!may_be_long(b"set a") && !may_be_long(&[b' '; 200]));
    }
}
