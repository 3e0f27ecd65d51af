//! Who may log in: `user:password` lines, compared in constant time, replaceable at run time.
//!
//! A check must not tell an attacker how close a guess was. Every check therefore reads the whole
//! table, and what it does depends on the length of the guess alone.

use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};

/// Users at most: each check scans them all. memcached has room for 8.
pub const USERS_MAX: usize = 1024;

/// The longest line of a password file (memcached's limit).
pub const LINE_LEN_MAX: usize = 255;

/// The users of one password file.
#[derive(Clone, Default)]
pub struct Credentials {
    users: Vec<User>,
}

#[derive(Clone)]
struct User {
    name: Secret,
    password: Secret,
}

/// Bytes that can be compared without telling how long they are.
#[derive(Clone)]
struct Secret {
    len: u8,
    padded: [u8; LINE_LEN_MAX],
}

/// What is wrong with a password file. Lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialsError {
    /// There is no user in it.
    Empty,
    /// A line without a colon.
    NoColon {
        /// Which line.
        line: usize,
    },
    /// A line of more than [`LINE_LEN_MAX`] bytes.
    LineTooLong {
        /// Which line.
        line: usize,
    },
    /// More than [`USERS_MAX`] lines.
    TooManyUsers,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "no user:password line"),
            Self::NoColon { line } => write!(f, "line {line}: no colon between user and password"),
            Self::LineTooLong { line } => {
                write!(f, "line {line}: longer than {LINE_LEN_MAX} bytes")
            }
            Self::TooManyUsers => write!(f, "more than {USERS_MAX} users"),
        }
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    /// Reads the text of a password file.
    ///
    /// One `user:password` a line; the first colon divides, and the password ends at CR, LF or the
    /// end of the file, so the last line needs no line end. Empty lines are passed over.
    ///
    /// # Errors
    ///
    /// The first line that is no such thing; nobody can log in by half a file.
    pub fn parse(text: &[u8]) -> Result<Self, CredentialsError> {
        let mut users = vec![];
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.split(|&byte| byte == b'\r').next().unwrap_or_default();
            if line.is_empty() {
                continue;
            }
            users.push(User::parse(line, index + 1)?);
            if users.len() > USERS_MAX {
                return Err(CredentialsError::TooManyUsers);
            }
        }
        if users.is_empty() {
            Err(CredentialsError::Empty)
        } else {
            Ok(Self { users })
        }
    }

    /// Whether `user` and `password` belong together.
    #[must_use]
    pub fn admit(&self, user: &[u8], password: &[u8]) -> bool {
        if user.len() + 1 + password.len() > LINE_LEN_MAX {
            return false; // No line is this long: not worth a look.
        }
        let mut admitted = Choice::from(0);
        for known in &self.users {
            admitted |= known.name.is(user) & known.password.is(password);
        }
        admitted.into()
    }

    /// How many users there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.users.len()
    }
}

impl User {
    fn parse(line: &[u8], number: usize) -> Result<Self, CredentialsError> {
        let too_long = CredentialsError::LineTooLong { line: number };
        if line.len() > LINE_LEN_MAX {
            return Err(too_long);
        }
        let colon = line.iter().position(|&byte| byte == b':');
        let colon = colon.ok_or(CredentialsError::NoColon { line: number })?;
        Ok(Self {
            name: Secret::new(&line[..colon]).ok_or(too_long)?,
            password: Secret::new(&line[colon + 1..]).ok_or(too_long)?,
        })
    }
}

impl Secret {
    fn new(text: &[u8]) -> Option<Self> {
        let mut padded = [0; LINE_LEN_MAX];
        padded.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            len: u8::try_from(text.len()).ok()?,
            padded,
        })
    }

    /// Whether `guess` is it; takes as long as `guess` is, whatever it is itself.
    fn is(&self, guess: &[u8]) -> Choice {
        let Some(beginning) = self.padded.get(..guess.len()) else {
            return Choice::from(0);
        };
        beginning.ct_eq(guess) & self.len.ct_eq(&(guess.len() as u8))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} users)", self.users.len())
    }
}

/// The credentials in force: read at every login, replaced when the file is read again.
#[derive(Debug, Default)]
pub struct LoginTable {
    current: RwLock<Arc<Credentials>>,
}

impl LoginTable {
    /// A table that starts with `credentials`.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            current: RwLock::new(Arc::new(credentials)),
        }
    }

    /// Puts other credentials in force. A check that is running finishes with the old ones.
    pub fn replace(&self, credentials: Credentials) {
        *self.current.write() = Arc::new(credentials);
    }

    /// Whether `user` and `password` belong together at present.
    #[must_use]
    pub fn admit(&self, user: &[u8], password: &[u8]) -> bool {
        let current = Arc::clone(&self.current.read());
        current.admit(user, password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_ends_at_any_line_end_or_none() {
        let table = Credentials::parse(b"a:1\r\nb:2\nc:3:4\n\r\nd:").unwrap();
        assert_eq!(table.count(), 4);
        for (user, password) in [("a", "1"), ("b", "2"), ("c", "3:4"), ("d", "")] {
            assert!(table.admit(user.as_bytes(), password.as_bytes()), "{user}");
        }
    }

    #[test]
    fn a_guess_must_be_whole_and_of_one_user() {
        let table = Credentials::parse(b"ann:secret\nbob:word").unwrap();
        for (user, password) in [
            ("ann", "word"),
            ("bob", "secret"),
            ("ann", "secre"),
            ("ann", "secrets"),
            ("ann", ""),
            ("an", "secret"),
            ("", ""),
        ] {
            assert!(
                !table.admit(user.as_bytes(), password.as_bytes()),
                "{user} {password}"
            );
        }
        assert!(!Credentials::default().admit(b"", b""));
    }

    #[test]
    fn the_longest_line_can_log_in_and_a_longer_token_is_not_compared() {
        let password = "p".repeat(LINE_LEN_MAX - 2);
        let table = Credentials::parse(format!("a:{password}").as_bytes()).unwrap();
        assert!(table.admit(b"a", password.as_bytes()));
        assert!(!table.admit(b"a", &password.as_bytes()[1..]));
        for len in [LINE_LEN_MAX - 1, LINE_LEN_MAX, 16 << 10] {
            assert!(!table.admit(b"a", &vec![b'p'; len]));
        }
        assert!(!table.admit(&vec![b'a'; 16 << 10], b""));
        // What fills a shorter secret up is no part of it.
        let table = Credentials::parse(b"a:pw").unwrap();
        assert!(!table.admit(b"a", b"pw\0") && !table.admit(b"a\0", b"pw"));
    }

    #[test]
    fn a_malformed_file_is_refused_as_a_whole() {
        let line = vec![b':'; LINE_LEN_MAX + 1];
        for (text, error) in [
            (&b""[..], CredentialsError::Empty),
            (b"\n\r\n", CredentialsError::Empty),
            (b"a:b\nc\n", CredentialsError::NoColon { line: 2 }),
            (&line, CredentialsError::LineTooLong { line: 1 }),
        ] {
            assert_eq!(Credentials::parse(text).err(), Some(error));
        }
    }

    #[test]
    fn a_table_changes_under_its_readers() {
        let table = LoginTable::new(Credentials::parse(b"a:1").unwrap());
        assert!(table.admit(b"a", b"1"));
        table.replace(Credentials::parse(b"a:2").unwrap());
        assert!(!table.admit(b"a", b"1") && table.admit(b"a", b"2"));
        assert!(!format!("{table:?}").contains(":2"));
    }
}
