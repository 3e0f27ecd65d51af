//! Opcodes: what a request asks for, whether its success is silent, and which shape it has.

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read; the reply has no key.
    Get,
    /// Read; the reply has the key.
    GetKey,
    /// Store whatever is there.
    Set,
    /// Store if nothing is there.
    Add,
    /// Store over something.
    Replace,
    /// Append to the old value.
    Append,
    /// Prepend to the old value.
    Prepend,
    /// Remove.
    Delete,
    /// Count up.
    Increment,
    /// Count down to zero.
    Decrement,
    /// Close the connection.
    Quit,
    /// Remove everything.
    Flush,
    /// Nothing: the barrier after quiet requests.
    Noop,
    /// Tell the version.
    Version,
    /// Tell the numbers of a group.
    Stat,
    /// Give a new expiry.
    Touch,
    /// Read and give a new expiry.
    GetTouch,
    /// The same; the reply has the key.
    GetTouchKey,
    /// Tell the ways to log in.
    LoginList,
    /// Begin to log in.
    LoginStart,
    /// Go on logging in.
    LoginStep,
}

/// Which extras a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extras {
    /// Exactly this many bytes.
    Exactly(u8),
    /// None, or an exptime.
    MaybeExptime,
}

/// Whether a request has a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Never.
    No,
    /// Perhaps.
    Maybe,
    /// Always.
    Yes,
}

/// What the body of a request must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) extras: Extras,
    pub(super) key: Presence,
    /// `Yes` is not used: every value may be empty.
    pub(super) value: Presence,
}

/// A known opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// The byte, which the reply repeats.
    pub byte: u8,
    /// What it asks for.
    pub verb: Verb,
    /// Whether success (for reads: a miss) has no reply.
    pub quiet: bool,
}

impl Opcode {
    /// The opcode of a byte; `None` if it has no meaning here.
    #[inline]
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        let (verb, quiet) = match byte {
            0x00 => (Verb::Get, false),
            0x01 => (Verb::Set, false),
            0x02 => (Verb::Add, false),
            0x03 => (Verb::Replace, false),
            0x04 => (Verb::Delete, false),
            0x05 => (Verb::Increment, false),
            0x06 => (Verb::Decrement, false),
            0x07 => (Verb::Quit, false),
            0x08 => (Verb::Flush, false),
            0x09 => (Verb::Get, true),
            0x0a => (Verb::Noop, false),
            0x0b => (Verb::Version, false),
            0x0c => (Verb::GetKey, false),
            0x0d => (Verb::GetKey, true),
            0x0e => (Verb::Append, false),
            0x0f => (Verb::Prepend, false),
            0x10 => (Verb::Stat, false),
            0x11 => (Verb::Set, true),
            0x12 => (Verb::Add, true),
            0x13 => (Verb::Replace, true),
            0x14 => (Verb::Delete, true),
            0x15 => (Verb::Increment, true),
            0x16 => (Verb::Decrement, true),
            0x17 => (Verb::Quit, true),
            0x18 => (Verb::Flush, true),
            0x19 => (Verb::Append, true),
            0x1a => (Verb::Prepend, true),
            0x1c => (Verb::Touch, false),
            0x1d => (Verb::GetTouch, false),
            0x1e => (Verb::GetTouch, true),
            0x20 => (Verb::LoginList, false),
            0x21 => (Verb::LoginStart, false),
            0x22 => (Verb::LoginStep, false),
            0x23 => (Verb::GetTouchKey, false),
            0x24 => (Verb::GetTouchKey, true),
            _ => return None,
        };
        Some(Self { byte, verb, quiet })
    }

    /// Whether it may be used before a login.
    #[must_use]
    pub fn is_open_to_all(self) -> bool {
        self.verb == Verb::Version || self.is_login()
    }

    /// Whether it is part of logging in.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(
            self.verb,
            Verb::LoginList | Verb::LoginStart | Verb::LoginStep
        )
    }

    pub(super) fn shape(self) -> Shape {
        use Presence::{Maybe, No, Yes};
        let (extras, key, value) = match self.verb {
            Verb::Get | Verb::GetKey | Verb::Delete => (Extras::Exactly(0), Yes, No),
            Verb::Set | Verb::Add | Verb::Replace => (Extras::Exactly(8), Yes, Maybe),
            Verb::Append | Verb::Prepend => (Extras::Exactly(0), Yes, Maybe),
            Verb::Increment | Verb::Decrement => (Extras::Exactly(20), Yes, No),
            Verb::Quit | Verb::Noop | Verb::Version | Verb::LoginList => {
                (Extras::Exactly(0), No, No)
            }
            Verb::Flush => (Extras::MaybeExptime, No, No),
            Verb::Stat => (Extras::Exactly(0), Maybe, No),
            Verb::Touch | Verb::GetTouch | Verb::GetTouchKey => (Extras::Exactly(4), Yes, No),
            Verb::LoginStart | Verb::LoginStep => (Extras::Exactly(0), Yes, Maybe),
        };
        Shape { extras, key, value }
    }
}

impl Shape {
    pub(super) fn admits(self, extras_len: u8, key_len: u16, value_len: u32) -> bool {
        let extras_fit = match self.extras {
            Extras::Exactly(len) => extras_len == len,
            Extras::MaybeExptime => matches!(extras_len, 0 | 4),
        };
        extras_fit && self.key.admits(key_len.into()) && self.value.admits(value_len)
    }
}

impl Presence {
    fn admits(self, len: u32) -> bool {
        match self {
            Self::No => len == 0,
            Self::Maybe => true,
            Self::Yes => len > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_without_meaning_are_unknown() {
        for byte in [0x1b, 0x1f, 0x25, 0x30, 0x3c, 0x80, 0xff] {
            assert_eq!(Opcode::of(byte), None, "{byte:#x}");
        }
    }

    #[test]
    fn quiet_twins_ask_for_the_same() {
        let twins = [
            (0x00, 0x09),
            (0x0c, 0x0d),
            (0x01, 0x11),
            (0x02, 0x12),
            (0x03, 0x13),
            (0x04, 0x14),
            (0x05, 0x15),
            (0x06, 0x16),
            (0x07, 0x17),
            (0x08, 0x18),
            (0x0e, 0x19),
            (0x0f, 0x1a),
            (0x1d, 0x1e),
            (0x23, 0x24),
        ];
        for (loud, quiet) in twins {
            let (loud, quiet) = (Opcode::of(loud).unwrap(), Opcode::of(quiet).unwrap());
            assert_eq!(loud.verb, quiet.verb);
            assert!(quiet.quiet && !loud.quiet);
        }
    }
}
