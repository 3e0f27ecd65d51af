//! The flags of a meta line: checked once, kept as text, asked for by letter.

use crate::base::number::{parse_clamped, parse_u32, parse_u64};
use crate::protocol::ErrorLine;
use crate::protocol::text::AllTokens;

/// The longest opaque argument: with its letter it fills 32 bytes.
pub const OPAQUE_LEN_MAX: usize = 31;

/// Widest tokens that are read as numbers, so that leading zeros cannot grow without bound.
const DIGITS_32_MAX: usize = 11;
const DIGITS_64_MAX: usize = 22;

/// Letters with a meaning. All four commands take all of them, even where they do nothing.
const KNOWN: LetterSet = LetterSet::of(b"bcCDEfFhIJklLMNOPqRstTuvx");

/// Letters that the reply to a hit may have an answer to.
const REFLECTED: LetterSet = LetterSet::of(b"tsfchlkO");

/// A set of the letters 65 to 122, which is where flags may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LetterSet(u64);

impl LetterSet {
    const EMPTY: Self = Self(0);

    const fn of(letters: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let mut index = 0;
        while index < letters.len() {
            set.0 |= Self::bit(letters[index]);
            index += 1;
        }
        set
    }

    /// The letter's bit; none for bytes outside the range.
    const fn bit(letter: u8) -> u64 {
        match letter {
            b'A'..=b'z' => 1 << (letter - b'A'),
            _ => 0,
        }
    }

    const fn has(self, letter: u8) -> bool {
        self.0 & Self::bit(letter) != 0
    }
}

/// One flag: its letter and the argument glued to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag<'a> {
    /// The letter.
    pub letter: u8,
    /// What follows the letter, often nothing.
    pub argument: &'a [u8],
}

impl<'a> Flag<'a> {
    /// The flag that `token`, which is not empty, is.
    #[inline]
    pub(super) fn of(token: &'a [u8]) -> Self {
        Self {
            letter: token[0],
            argument: &token[1..],
        }
    }
}

/// The flags of one request, valid and without duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaFlags<'a> {
    text: &'a [u8],
    seen: LetterSet,
    /// `T`: the TTL to set, as an exptime.
    pub ttl: Option<i64>,
    /// `N`: create a missing item with this exptime.
    pub vivify: Option<i64>,
    /// `R`: win the right to recache if less than this many seconds are left.
    pub recache: Option<i64>,
    /// `C`: the CAS id to compare with.
    pub compare: Option<u64>,
    /// `E`: the CAS id to give.
    pub explicit_cas: Option<u64>,
    /// `F`: the client's 32 bits.
    pub client_flags: Option<u32>,
    /// `D`: by how much to count; 1 if absent.
    pub delta: u64,
    /// `J`: where a created counter starts; 0 if absent.
    pub initial: u64,
    /// `O`: bytes to send back.
    pub opaque: Option<&'a [u8]>,
    /// `M`: the argument of the mode switch.
    pub mode: Option<&'a [u8]>,
}

impl<'a> MetaFlags<'a> {
    /// No flags at all.
    #[inline]
    #[must_use]
    pub fn none() -> Self {
        Self {
            text: b"",
            seen: LetterSet::EMPTY,
            ttl: None,
            vivify: None,
            recache: None,
            compare: None,
            explicit_cas: None,
            client_flags: None,
            delta: 1,
            initial: 0,
            opaque: None,
            mode: None,
        }
    }

    /// The flags in `text`, none of which has been [admitted](Self::admit) yet.
    #[inline]
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self {
            text,
            ..Self::none()
        }
    }

    /// Takes one in, the next from the left; after an error no other may follow.
    #[inline]
    pub(super) fn admit(&mut self, flag: Flag<'a>) -> Result<(), ErrorLine> {
        if self.seen.has(flag.letter) {
            return Err(ErrorLine::DuplicateFlag);
        }
        if !KNOWN.has(flag.letter) {
            return Err(ErrorLine::InvalidFlag);
        }
        self.seen.0 |= LetterSet::bit(flag.letter);
        if !flag.argument.is_empty() || flag.letter.is_ascii_uppercase() {
            self.read_argument(flag)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn read_argument(&mut self, flag: Flag<'a>) -> Result<(), ErrorLine> {
        let argument = flag.argument;
        match flag.letter {
            b'T' => self.ttl = Some(exptime(argument)?),
            b'N' => self.vivify = Some(exptime(argument)?),
            b'R' => self.recache = Some(exptime(argument)?),
            b'C' => self.compare = Some(wide(argument).ok_or(ErrorLine::BadToken)?),
            b'E' => self.explicit_cas = Some(wide(argument).ok_or(ErrorLine::BadToken)?),
            b'D' => self.delta = wide(argument).ok_or(ErrorLine::BadMetaDelta)?,
            b'J' => self.initial = wide(argument).ok_or(ErrorLine::BadInitial)?,
            b'F' => {
                let short = argument.len() <= DIGITS_32_MAX;
                let bits = parse_u32(argument)
                    .filter(|_| short)
                    .ok_or(ErrorLine::BadFormat)?;
                self.client_flags = Some(bits);
            }
            b'O' => self.opaque = Some(argument),
            b'M' => self.mode = Some(argument),
            _ => {}
        }
        Ok(())
    }

    /// Whether `letter` is among the flags.
    #[inline]
    #[must_use]
    pub fn has(&self, letter: u8) -> bool {
        self.seen.has(letter)
    }

    /// Whether the reply to a hit may have to answer to any flag.
    #[inline]
    #[must_use]
    pub fn any_reflected(&self) -> bool {
        self.seen.0 & REFLECTED.0 != 0
    }

    /// The flags in request order, which is the order of the reply.
    pub fn iter(&self) -> impl Iterator<Item = Flag<'a>> + use<'a> {
        AllTokens::of(self.text).map(Flag::of)
    }
}

/// Any number: see [`Expiry`](crate::base::clock::Expiry).
fn exptime(argument: &[u8]) -> Result<i64, ErrorLine> {
    parse_clamped(argument).ok_or(ErrorLine::BadToken)
}

fn wide(argument: &[u8]) -> Option<u64> {
    parse_u64(argument).filter(|_| argument.len() <= DIGITS_64_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<MetaFlags<'_>, ErrorLine> {
        let mut flags = MetaFlags::of(text);
        for flag in flags.iter() {
            flags.admit(flag)?;
        }
        Ok(flags)
    }

    #[test]
    fn flags_keep_their_order_and_arguments() {
        let flags = read(b" t  Oab v ").unwrap();
        let letters: Vec<u8> = flags.iter().map(|flag| flag.letter).collect();
        assert_eq!(letters, b"tOv");
        assert_eq!(flags.opaque, Some(&b"ab"[..]));
        assert!(flags.has(b'v') && !flags.has(b'k'));
    }

    #[test]
    fn the_first_wrong_flag_decides() {
        for (text, error) in [
            (&b"v v"[..], ErrorLine::DuplicateFlag),
            (b"v z v", ErrorLine::InvalidFlag),
            (b"S", ErrorLine::InvalidFlag),
            (b"0", ErrorLine::InvalidFlag),
            (b"T", ErrorLine::BadToken),
            (b"T-", ErrorLine::BadToken),
            (b"T+1", ErrorLine::BadToken),
            (b"T99999999999999999999x", ErrorLine::BadToken),
            (b"R1x", ErrorLine::BadToken),
            (b"C-1", ErrorLine::BadToken),
            (b"E18446744073709551616", ErrorLine::BadToken),
            (b"D", ErrorLine::BadMetaDelta),
            (b"J-", ErrorLine::BadInitial),
            (b"F4294967296", ErrorLine::BadFormat),
            (b"F", ErrorLine::BadFormat),
        ] {
            assert_eq!(read(text), Err(error), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn numbers_reach_their_limits() {
        let flags =
            read(b"T-99999999999999999999 C18446744073709551615 F4294967295 D0 J7 N0").unwrap();
        assert_eq!(flags.ttl, Some(i64::MIN));
        assert_eq!(flags.compare, Some(u64::MAX));
        assert_eq!(flags.client_flags, Some(u32::MAX));
        assert_eq!((flags.delta, flags.initial, flags.vivify), (0, 7, Some(0)));
    }
}
