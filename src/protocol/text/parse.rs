//! One bounded line to one request.

use crate::base::key::Key;
use crate::base::number::parse_clamped;
use crate::base::store_mode::StoreMode;
use crate::protocol::meta::is_meta_line;
use crate::protocol::text::admin::parse_admin;
use crate::protocol::text::events::parse_watch;
use crate::protocol::text::keys::trim_cr;
use crate::protocol::text::stats::parse_stats;
use crate::protocol::text::tokens::{Tokens, client_flags, exptime, unsigned, unsigned64};
use crate::protocol::text::{ArithLine, Request, StoreLine, TouchLine};
use crate::protocol::{ErrorLine, Rejection, VALUE_LEN_MAX};

/// The shortest line there is, terminator included.
const LINE_MIN: usize = 4;

/// Parses a line that ends in its newline.
///
/// The verbs that matter for speed must stand at the very beginning; those for operators may have
/// spaces before them.
///
/// # Errors
///
/// The line is not a request that can be carried out.
pub fn parse_line(line: &[u8]) -> Result<Request<'_>, Rejection> {
    if line.len() < LINE_MIN {
        return Err(Rejection::aloud(ErrorLine::BadFormat));
    }
    let line = trim_cr(line.strip_suffix(b"\n").unwrap_or(line));
    if is_meta_line(line) {
        return Ok(Request::Meta);
    }
    let mut tokens = Tokens::new(line);
    let verb = tokens.next().unwrap_or_default();
    if line.starts_with(b" ") {
        return parse_admin(verb, tokens);
    }
    match verb {
        b"set" => parse_store(StoreMode::Set, tokens),
        b"add" => parse_store(StoreMode::Add, tokens),
        b"replace" => parse_store(StoreMode::Replace, tokens),
        b"append" => parse_store(StoreMode::Append, tokens),
        b"prepend" => parse_store(StoreMode::Prepend, tokens),
        b"cas" => parse_store_closely(StoreMode::Set, true, tokens),
        b"delete" => parse_delete(tokens),
        b"incr" => parse_arith(false, tokens),
        b"decr" => parse_arith(true, tokens),
        b"touch" => parse_touch(tokens),
        // With a key they are not read here.
        b"get" | b"gets" | b"gat" | b"gats" => Err(Rejection::aloud(ErrorLine::BadFormat)),
        b"stats" => parse_stats(tokens)
            .map(Request::Stats)
            .map_err(Rejection::aloud),
        b"version" => Ok(Request::Version),
        b"quit" => Ok(Request::Quit),
        b"watch" => Ok(Request::Watch(parse_watch(tokens))),
        _ => parse_admin(verb, tokens),
    }
}

/// `<key> <flags> <exptime> <bytes> [<cas>] [noreply]`.
///
/// Once the length is readable every later fault still skips the value, so that a client's data is
/// never run as commands.
#[inline]
fn parse_store(mode: StoreMode, tokens: Tokens<'_>) -> Result<Request<'_>, Rejection> {
    // Nine digits are less than `VALUE_LEN_MAX`.
    match tokens.plain() {
        Some((key, [client_flags, dies, value_len])) => Ok(Request::Store(StoreLine {
            mode,
            key,
            client_flags,
            exptime: i64::from(dies),
            value_len,
            cas: None,
            noreply: false,
        })),
        None => parse_store_closely(mode, false, tokens),
    }
}

#[inline(never)]
fn parse_store_closely<'a>(
    mode: StoreMode,
    is_cas: bool,
    mut tokens: Tokens<'a>,
) -> Result<Request<'a>, Rejection> {
    let bad = Rejection::aloud(ErrorLine::BadFormat);
    let mut take = || tokens.next().ok_or(bad);
    let (key, flags, dies, len) = (take()?, take()?, take()?, take()?);
    // Without its id the length is readable all the same, and the value is skipped.
    let cas = is_cas.then(|| take().unwrap_or_default());
    let value_len = unsigned(len)
        .filter(|len| *len <= VALUE_LEN_MAX)
        .ok_or(bad)?;
    let noreply = tokens.end_in_noreply(cas.unwrap_or_default());
    let bad = Rejection {
        noreply,
        skip: u64::from(value_len) + 2,
        ..bad
    };
    Ok(Request::Store(StoreLine {
        mode,
        key: Key::new(key).ok_or(bad)?,
        client_flags: client_flags(flags).ok_or(bad)?,
        exptime: exptime(dies).ok_or(bad)?,
        value_len,
        cas: cas.map(|token| unsigned64(token).ok_or(bad)).transpose()?,
        noreply,
    }))
}

/// `<key> [ignored] [noreply]`; `delete noreply` deletes that key, silently.
fn parse_delete(mut tokens: Tokens<'_>) -> Result<Request<'_>, Rejection> {
    let token = tokens
        .next()
        .ok_or(Rejection::aloud(ErrorLine::BadFormat))?;
    let noreply = tokens.end_in_noreply(token);
    let key = Key::new(token).ok_or(Rejection::unless(noreply, ErrorLine::BadFormat))?;
    Ok(Request::Delete { key, noreply })
}

/// `<key> <delta> [noreply]`.
#[inline]
fn parse_arith(down: bool, tokens: Tokens<'_>) -> Result<Request<'_>, Rejection> {
    match tokens.plain() {
        Some((key, [delta])) => Ok(Request::Arith(ArithLine {
            key,
            delta: u64::from(delta),
            down,
            noreply: false,
        })),
        None => parse_arith_closely(down, tokens),
    }
}

#[inline(never)]
fn parse_arith_closely(down: bool, mut tokens: Tokens<'_>) -> Result<Request<'_>, Rejection> {
    let (key, delta, noreply) = key_and_number(&mut tokens)?;
    let delta = unsigned64(delta).ok_or(Rejection::unless(noreply, ErrorLine::BadDelta))?;
    Ok(Request::Arith(ArithLine {
        key,
        delta,
        down,
        noreply,
    }))
}

/// `<key> <exptime> [noreply]`.
fn parse_touch(mut tokens: Tokens<'_>) -> Result<Request<'_>, Rejection> {
    let (key, dies, noreply) = key_and_number(&mut tokens)?;
    let exptime = parse_clamped(dies).ok_or(Rejection::unless(noreply, ErrorLine::BadExptime))?;
    Ok(Request::Touch(TouchLine {
        key,
        exptime,
        noreply,
    }))
}

fn key_and_number<'a>(tokens: &mut Tokens<'a>) -> Result<(Key<'a>, &'a [u8], bool), Rejection> {
    let (Some(key), Some(number)) = (tokens.next(), tokens.next()) else {
        return Err(Rejection::aloud(ErrorLine::BadFormat));
    };
    let noreply = tokens.end_in_noreply(number);
    let key = Key::new(key).ok_or(Rejection::unless(noreply, ErrorLine::BadFormat))?;
    Ok((key, number, noreply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(line: &[u8]) -> StoreLine<'_> {
        match parse_line(line) {
            Ok(Request::Store(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    fn rejected(line: &[u8]) -> Rejection {
        parse_line(line).unwrap_err()
    }

    #[test]
    fn a_storage_line_is_read_whole() {
        let line = store(b"set key 7 -1 5 noreply\r\n");
        assert_eq!(line.key.as_bytes(), b"key");
        assert_eq!(
            (line.client_flags, line.exptime, line.value_len),
            (7, -1, 5)
        );
        assert!(line.noreply && line.cas.is_none());
        let line = store(b"cas key 0 0 5 42\n");
        assert_eq!(
            (line.mode, line.cas, line.noreply),
            (StoreMode::Set, Some(42), false)
        );
        assert!(!store(b"set k 0 0 1 bogus\r\n").noreply);
    }

    #[test]
    fn plain_and_odd_spellings_of_a_line_are_the_same_line() {
        let plain = store(b"set key 7 60 5\r\n");
        let odd: [&[u8]; 6] = [
            b"set key 7 60 5\n",
            b"set  key 7 60 5\r\n",
            b"set key 7 60  5 \r\n",
            b"set key +7 60 5\r\n",
            b"set key 0000000007 60 00005\r\n",
            b"set key 7 60 5 x\r\n",
        ];
        for line in odd {
            assert_eq!(store(line), plain, "{}", line.escape_ascii());
        }
        assert_eq!(store(b"set k\ty 7 60 5\r\n").key.as_bytes(), b"k\ty");
        assert_eq!(store(b"set k 999999999 1 1\r\n").client_flags, 999_999_999);
        assert_eq!(store(b"set k 4294967295 1 1\r\n").client_flags, u32::MAX);
        assert_eq!(store(b"set k 0 1234567890 1\r\n").exptime, 1_234_567_890);
        for line in ["set k 7 60 5a\r\n", "set k 7 6o 5\r\n", "set k 7 60\r\n"] {
            rejected(line.as_bytes());
        }
        let arith = |line: &'static [u8]| match parse_line(line) {
            Ok(Request::Arith(line)) => line.delta,
            other => panic!("{other:?}"),
        };
        assert_eq!(arith(b"incr k 12\r\n"), arith(b"incr k  12 \r\n"));
        assert_eq!(arith(b"decr k 18446744073709551615\r\n"), u64::MAX);
    }

    #[test]
    fn too_few_tokens_or_no_length_skip_nothing_and_are_told_despite_noreply() {
        for line in [&b"set k 0 0\r\n"[..], b"set k 0 0 x noreply\r\n"] {
            assert_eq!(rejected(line), Rejection::aloud(ErrorLine::BadFormat));
        }
        for len in ["-1", "2147483646", "4294967296"] {
            let line = format!("set k 0 0 {len}\r\n");
            assert_eq!(rejected(line.as_bytes()).skip, 0);
        }
        assert_eq!(store(b"set k 0 0 2147483645\r\n").value_len, 2_147_483_645);
    }

    #[test]
    fn faults_beside_a_readable_length_skip_the_value_and_obey_noreply() {
        let long = [b"set ", &[b'k'; 251][..], b" 0 0 5\r\n"].concat();
        let lines: [&[u8]; 6] = [
            &long,
            b"set k 4294967296 0 5\r\n",
            b"set k -1 0 5\r\n",
            b"set k 0 1x 5\r\n",
            b"cas k 0 0 5 x\r\n",
            b"cas k 0 0 5\r\n",
        ];
        for line in lines {
            let fault = rejected(line);
            assert_eq!((fault.skip, fault.noreply), (7, false));
        }
        assert!(rejected(b"set k x 0 5 noreply\r\n").noreply);
        assert!(rejected(b"cas k 0 0 5 noreply\r\n").noreply);
    }

    #[test]
    fn a_key_called_noreply_is_deleted_silently() {
        let expected = Request::Delete {
            key: Key::new(b"noreply").unwrap(),
            noreply: true,
        };
        assert_eq!(parse_line(b"delete noreply\r\n"), Ok(expected));
    }

    #[test]
    fn lines_shorter_than_four_bytes_are_bad() {
        for line in [&b"\n"[..], b"\r\n", b"a\r\n", b"ab\n", b"mn\n"] {
            assert_eq!(rejected(line).error, ErrorLine::BadFormat);
        }
        assert_eq!(rejected(b"ab\r\n").error, ErrorLine::Unknown);
        assert_eq!(parse_line(b"mn\r\n"), Ok(Request::Meta));
    }

    #[test]
    fn leading_spaces_hide_the_hot_verbs_only() {
        assert_eq!(rejected(b" version\r\n").error, ErrorLine::Unknown);
        assert_eq!(rejected(b" delete k\r\n").error, ErrorLine::Unknown);
        assert!(matches!(
            parse_line(b"  flush_all\r\n"),
            Ok(Request::Admin { .. })
        ));
    }

    #[test]
    fn numbers_are_judged_by_their_command() {
        assert_eq!(rejected(b"incr k x\r\n").error, ErrorLine::BadDelta);
        assert_eq!(rejected(b"touch k x\r\n").error, ErrorLine::BadExptime);
        for far in ["4294967295", "-99999999999", "99999999999999999999"] {
            for line in [format!("touch k {far}\r\n"), format!("set k 0 {far} 1\r\n")] {
                assert!(parse_line(line.as_bytes()).is_ok(), "{line}");
            }
        }
        assert_eq!(rejected(b"touch k\r\n").error, ErrorLine::BadFormat);
        assert!(rejected(b"incr k -1 noreply\r\n").noreply);
    }

    #[test]
    fn verbs_are_case_sensitive_and_whole() {
        for line in [&b"SET k 0 0 1\r\n"[..], b"sets k 0 0 1\r\n", b"quit\tx\r\n"] {
            assert_eq!(rejected(line).error, ErrorLine::Unknown);
        }
        assert_eq!(parse_line(b"quit x\r\n"), Ok(Request::Quit));
    }
}
