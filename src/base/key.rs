//! Keys whose length is known to be legal.

use std::fmt;

/// The longest key a client may use, in bytes (memcached's limit, which its clients check too).
pub const KEY_LEN_MAX: usize = 250;

/// A key of 1 to [`KEY_LEN_MAX`] bytes.
///
/// Holding a `Key` is the proof: parsers make them and nothing below checks a length twice. Any
/// byte is legal here; the text grammar excludes spaces and line ends by being text.
///
/// ```
/// # use nuthatch::base::key::Key;
/// assert!(Key::new(b"user:42").is_some());
/// assert!(Key::new(b"").is_none());
/// assert!(Key::new(&[b'k'; 251]).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key<'a>(&'a [u8]);

impl<'a> Key<'a> {
    /// Accepts `bytes` if their length is legal.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (1..=KEY_LEN_MAX)
            .contains(&bytes.len())
            .then_some(Self(bytes))
    }

    /// The key as sent by the client.
    #[inline]
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}
