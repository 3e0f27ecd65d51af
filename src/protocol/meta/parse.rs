//! Meta lines to requests.
//!
//! What is wrong is looked for in a fixed order, because the first fault names the reply:
//!
//! | step | fault                                            | reply                         |
//! |------|--------------------------------------------------|-------------------------------|
//! | 1    | too few tokens, unreadable data length           | `bad command line format`     |
//! | 2    | a flag that starts with neither letter nor digit | `bad command line format`     |
//! | 3    | key over 250 bytes                               | `bad command line format`     |
//! | 4    | more than 20 tokens                              | `options flags are too long`  |
//! | 5    | flags from left to right, then the base64 key    | see [`MetaFlags`]             |
//! | 6    | opaque too long, mode unknown                    | their own                     |
//!
//! `ma` replaces the texts of steps 3 to 5 by one of its own. From the moment that the length of a
//! data block is known, every fault tells how many bytes to skip: the block is never taken for
//! commands.

use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::number::parse_i32;
use crate::base::store_mode::StoreMode;
use crate::protocol::meta::base64::DecodedKey;
use crate::protocol::meta::flags::{Flag, MetaFlags, OPAQUE_LEN_MAX};
use crate::protocol::text::AllTokens;
use crate::protocol::{ErrorLine, Rejection, VALUE_LEN_MAX};

/// Tokens of a line at most, command, key and length included.
const TOKENS_MAX: usize = 20;

/// Tokens that are looked at; a line with more is refused whatever stands there.
const TOKENS_SEEN_MAX: usize = 23;

/// A meta line that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaLine<'a> {
    /// `mn`: the barrier.
    Noop,
    /// Everything with a key.
    Request(MetaRequest<'a>),
}

/// A request for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaRequest<'a> {
    /// What to do.
    pub command: MetaCommand,
    /// To what.
    pub key: MetaKey<'a>,
    /// Bytes of the data block that follows the line, without its CRLF; 0 unless `ms`.
    pub value_len: u32,
    /// How, and what to say about it.
    pub flags: MetaFlags<'a>,
}

/// The verbs with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaCommand {
    /// `mg`.
    Get,
    /// `ms`, with the mode of its switch: `S` and without one, `E`, `R`, `A`, `P`.
    Set(StoreMode),
    /// `md`.
    Delete,
    /// `ma`.
    Arithmetic(Direction),
    /// `me`.
    Debug,
}

/// The mode switch of `ma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `I`, `+`, and without `M`.
    Up,
    /// `D`, `-`.
    Down,
}

/// A key and the form it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey<'a> {
    /// As it stands on the line.
    Text(Key<'a>),
    /// Sent as base64 with the flag `b`.
    Binary(Key<'a>),
}

impl<'a> MetaKey<'a> {
    /// The key itself.
    #[inline]
    #[must_use]
    pub fn key(&self) -> Key<'a> {
        match *self {
            Self::Text(key) | Self::Binary(key) => key,
        }
    }

    /// Whether it came as base64.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        matches!(self, Self::Binary(_))
    }
}

/// Whether the line starts with a meta command word.
#[inline]
#[must_use]
pub fn is_meta_line(line: &[u8]) -> bool {
    match line {
        [b'm', letter, rest @ ..] => {
            matches!(letter, b'g' | b's' | b'd' | b'a' | b'e' | b'n')
                && matches!(rest.first(), None | Some(b' '))
        }
        _ => false,
    }
}

/// Reads a line without its line end. A key sent as base64 is decoded into `decoded`.
///
/// # Errors
///
/// The reply to a line that makes no sense, and how much of the input belongs to it.
pub fn parse<'a>(
    line: &'a [u8],
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaLine<'a>, Rejection> {
    if !is_meta_line(line) {
        return Err(ErrorLine::Unknown.into());
    }
    let mut tokens = AllTokens::of(&line[2..]);
    let request = match line[1] {
        b'n' => return Ok(MetaLine::Noop),
        b'e' => parse_debug(&mut tokens, decoded)?,
        b's' => parse_set(&mut tokens, decoded)?,
        b'g' => parse_request(MetaCommand::Get, &mut tokens, decoded)?,
        b'd' => parse_request(MetaCommand::Delete, &mut tokens, decoded)?,
        _ => parse_arithmetic(&mut tokens, decoded)?,
    };
    Ok(MetaLine::Request(request))
}

fn parse_debug<'a>(
    tokens: &mut AllTokens<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaRequest<'a>, ErrorLine> {
    let token = tokens.next().ok_or(ErrorLine::BadFormat)?;
    let binary = tokens.any(|flag| flag == b"b");
    let key = read_key(token, binary, decoded).map_err(|_| ErrorLine::BadFormat)?;
    Ok(MetaRequest {
        command: MetaCommand::Debug,
        key,
        value_len: 0,
        flags: MetaFlags::none(),
    })
}

fn parse_set<'a>(
    tokens: &mut AllTokens<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaRequest<'a>, Rejection> {
    let key = tokens.next().ok_or(ErrorLine::BadFormat)?;
    let value_len = tokens
        .next()
        .and_then(read_value_len)
        .ok_or(ErrorLine::BadFormat)?;
    parse_set_flags(key, tokens, decoded)
        .map(|request| MetaRequest {
            value_len,
            ..request
        })
        .map_err(|error| Rejection {
            skip: u64::from(value_len) + 2,
            ..error.into()
        })
}

fn parse_set_flags<'a>(
    key: &'a [u8],
    tokens: &mut AllTokens<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaRequest<'a>, ErrorLine> {
    let (key, flags) = read_key_and_flags(key, 3, tokens.rest(), decoded)?;
    check_opaque(&flags)?;
    let mode = match flags.mode.map(first_byte) {
        None | Some(Some(b'S')) => StoreMode::Set,
        Some(Some(b'E')) => StoreMode::Add,
        Some(Some(b'A')) => StoreMode::Append,
        Some(Some(b'P')) => StoreMode::Prepend,
        Some(Some(b'R')) => StoreMode::Replace,
        Some(_) => return Err(ErrorLine::BadSetMode),
    };
    Ok(MetaRequest {
        command: MetaCommand::Set(mode),
        key,
        value_len: 0,
        flags,
    })
}

// Inlined into both arms of `parse`: a request is wide, and copying it out of a call costs a third
// of the time that an `mg` takes to parse.
#[inline(always)]
fn parse_request<'a>(
    command: MetaCommand,
    tokens: &mut AllTokens<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaRequest<'a>, ErrorLine> {
    let key = tokens.next().ok_or(ErrorLine::BadFormat)?;
    let (key, flags) = read_key_and_flags(key, 2, tokens.rest(), decoded)?;
    check_opaque(&flags)?;
    Ok(MetaRequest {
        command,
        key,
        value_len: 0,
        flags,
    })
}

fn parse_arithmetic<'a>(
    tokens: &mut AllTokens<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaRequest<'a>, ErrorLine> {
    let key = tokens.next().ok_or(ErrorLine::BadFormat)?;
    let scanned = scan_flags(2, tokens.rest())?;
    let (key, flags) = check_key_and_flags(key, scanned, decoded)
        .map_err(|_| ErrorLine::InvalidOrDuplicateFlag)?;
    let direction = match flags.mode.map(first_byte) {
        None | Some(Some(b'I' | b'+')) => Direction::Up,
        Some(Some(b'D' | b'-')) => Direction::Down,
        Some(_) => return Err(ErrorLine::BadArithMode),
    };
    check_opaque(&flags)?;
    Ok(MetaRequest {
        command: MetaCommand::Arithmetic(direction),
        key,
        value_len: 0,
        flags,
    })
}

/// The tokens of a line, `before` and those among the flags, and what the flags say, or their
/// first fault.
type Scanned<'a> = (usize, Result<MetaFlags<'a>, ErrorLine>);

/// Step 2, and in the same walk what steps 4 and 5 check. Inlined for the same reason.
#[inline(always)]
fn scan_flags(before: usize, text: &[u8]) -> Result<Scanned<'_>, ErrorLine> {
    let mut count = before;
    let mut flags = MetaFlags::of(text);
    let mut fault = None;
    for token in AllTokens::of(text).take(TOKENS_SEEN_MAX - before) {
        if !matches!(token[0], b'A'..=b'z' | b'0'..=b'9') {
            return Err(ErrorLine::BadFormat);
        }
        count += 1;
        if fault.is_none() {
            fault = flags.admit(Flag::of(token)).err();
        }
    }
    Ok((count, fault.map_or(Ok(flags), Err)))
}

/// Steps 2 to 5.
#[inline(always)]
fn read_key_and_flags<'a>(
    key: &'a [u8],
    before: usize,
    flags: &'a [u8],
    decoded: &'a mut Option<DecodedKey>,
) -> Result<(MetaKey<'a>, MetaFlags<'a>), ErrorLine> {
    check_key_and_flags(key, scan_flags(before, flags)?, decoded)
}

/// Steps 3 to 5.
#[inline(always)]
fn check_key_and_flags<'a>(
    key: &'a [u8],
    (token_count, flags): Scanned<'a>,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<(MetaKey<'a>, MetaFlags<'a>), ErrorLine> {
    if key.len() > KEY_LEN_MAX {
        return Err(ErrorLine::BadFormat);
    }
    if token_count > TOKENS_MAX {
        return Err(ErrorLine::TooManyFlags);
    }
    let flags = flags?;
    Ok((read_key(key, flags.has(b'b'), decoded)?, flags))
}

#[inline(always)]
fn read_key<'a>(
    token: &'a [u8],
    binary: bool,
    decoded: &'a mut Option<DecodedKey>,
) -> Result<MetaKey<'a>, ErrorLine> {
    if binary {
        let key = decode(token, decoded).ok_or(ErrorLine::BadBase64)?;
        return Ok(MetaKey::Binary(key));
    }
    Key::new(token)
        .map(MetaKey::Text)
        .ok_or(ErrorLine::BadFormat)
}

#[inline(never)]
fn decode<'a>(token: &[u8], decoded: &'a mut Option<DecodedKey>) -> Option<Key<'a>> {
    *decoded = DecodedKey::decode(token);
    decoded.as_ref().map(DecodedKey::key)
}

fn read_value_len(token: &[u8]) -> Option<u32> {
    const DIGITS_MAX: usize = 11;
    let len = parse_i32(token).filter(|_| token.len() <= DIGITS_MAX)?;
    u32::try_from(len).ok().filter(|&len| len <= VALUE_LEN_MAX)
}

fn check_opaque(flags: &MetaFlags<'_>) -> Result<(), ErrorLine> {
    let too_long = flags
        .opaque
        .is_some_and(|opaque| opaque.len() > OPAQUE_LEN_MAX);
    if too_long {
        Err(ErrorLine::OpaqueTooLong)
    } else {
        Ok(())
    }
}

fn first_byte(text: &[u8]) -> Option<u8> {
    text.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(line: &'a str, decoded: &'a mut Option<DecodedKey>) -> MetaRequest<'a> {
        match parse(line.as_bytes(), decoded).unwrap() {
            MetaLine::Request(request) => request,
            MetaLine::Noop => panic!("{line} has a key"),
        }
    }

    fn refusal(line: &str) -> (ErrorLine, u64) {
        let Rejection { error, skip, .. } = parse(line.as_bytes(), &mut None).unwrap_err();
        (error, skip)
    }

    #[test]
    fn command_words_are_whole() {
        for line in ["mz k", "mgx k", "m", "", " mg k", "MG k", "mg\tk"] {
            assert_eq!(refusal(line), (ErrorLine::Unknown, 0), "{line}");
        }
        assert_eq!(parse(b"mn", &mut None), Ok(MetaLine::Noop));
        assert_eq!(parse(b"mn whatever 1 2", &mut None), Ok(MetaLine::Noop));
    }

    #[test]
    fn too_few_tokens_are_a_bad_format() {
        for line in [
            "mg", "mg ", "ms", "ms k", "md", "ma", "me", "ms k x", "ms k -1", "ms k S1",
        ] {
            assert_eq!(refusal(line), (ErrorLine::BadFormat, 0), "{line}");
        }
    }

    #[test]
    fn a_readable_length_is_always_skipped() {
        let long = format!("ms {} 5", "k".repeat(251));
        for (line, error) in [
            ("ms k 5 ~", ErrorLine::BadFormat),
            ("ms k 5 \u{80}", ErrorLine::BadFormat),
            ("ms k 5 v v", ErrorLine::DuplicateFlag),
            ("ms k 5 S5", ErrorLine::InvalidFlag),
            ("ms k 5 Mx", ErrorLine::BadSetMode),
            ("ms k 5 Me", ErrorLine::BadSetMode),
            ("ms k 5 M", ErrorLine::BadSetMode),
            ("ms k 5 T", ErrorLine::BadToken),
            ("ms k 5 b", ErrorLine::BadBase64),
            (
                "ms k 5 O12345678901234567890123456789012",
                ErrorLine::OpaqueTooLong,
            ),
            (long.as_str(), ErrorLine::BadFormat),
        ] {
            assert_eq!(refusal(line), (error, 7), "{line}");
        }
        assert_eq!(refusal("ms k 2147483645 ~").1, 2_147_483_647);
        assert_eq!(refusal("ms k 2147483646"), (ErrorLine::BadFormat, 0));
        assert_eq!(refusal("ms k 4294967297 ~"), (ErrorLine::BadFormat, 0));
    }

    #[test]
    fn arithmetic_has_one_text_for_bad_flags() {
        let long = format!("ma {}", "k".repeat(251));
        for line in [
            "ma k v v",
            "ma k z",
            "ma k D",
            "ma k Tx",
            "ma k b",
            long.as_str(),
        ] {
            assert_eq!(refusal(line).0, ErrorLine::InvalidOrDuplicateFlag, "{line}");
        }
        assert_eq!(refusal("ma k ~").0, ErrorLine::BadFormat);
        assert_eq!(refusal("ma k Mx").0, ErrorLine::BadArithMode);
        assert_eq!(
            request("ma k M-", &mut None).command,
            MetaCommand::Arithmetic(Direction::Down)
        );
        assert_eq!(
            request("ma k MIncr", &mut None).command,
            MetaCommand::Arithmetic(Direction::Up)
        );
    }

    #[test]
    fn twenty_tokens_are_the_most() {
        let known = "c f h k l s t u v x q I D1 E1 F1 J1 M0 N1 ";
        let mut line = format!("mg k {known}");
        assert_eq!(request(&line, &mut None).flags.iter().count(), 18);
        line.push('z');
        assert_eq!(refusal(&line).0, ErrorLine::TooManyFlags);
        let sixty = format!("mg k {}", "v ".repeat(60));
        assert_eq!(refusal(&sixty).0, ErrorLine::TooManyFlags);
    }

    #[test]
    fn a_base64_key_is_decoded() {
        let mut decoded = None;
        let get = request("mg Zm9v v b", &mut decoded);
        assert!(get.key.is_binary());
        assert_eq!(get.key.key().as_bytes(), b"foo");
        let mut decoded = None;
        let debug = request("me Zm9v b", &mut decoded);
        assert_eq!(debug.key.key().as_bytes(), b"foo");
        assert_eq!(request("me Zm9v", &mut None).key.key().as_bytes(), b"Zm9v");
        assert_eq!(refusal("me Zm9 b").0, ErrorLine::BadFormat);
        assert_eq!(refusal("mg Zm9 b").0, ErrorLine::BadBase64);
    }

    #[test]
    fn an_opaque_fits_32_bytes_with_its_letter() {
        let opaque = "a".repeat(31);
        assert_eq!(
            request(&format!("mg k O{opaque}"), &mut None)
                .flags
                .opaque
                .map(<[u8]>::len),
            Some(OPAQUE_LEN_MAX)
        );
        assert_eq!(
            refusal(&format!("mg k O{opaque}a")).0,
            ErrorLine::OpaqueTooLong
        );
    }
}
