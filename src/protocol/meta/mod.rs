//! The meta protocol: `mg`, `ms`, `md`, `ma`, `me` and `mn`, lines of one-letter flags.
//!
//! ```text
//!   ms  <key> <datalen> <flag>*      flag = letter, then its argument without a space
//!   mg  <key>           <flag>*
//!        │                  │
//!        │                  └─ kept as text: replies reflect flags in request order
//!        └─ raw, or base64 if the flag `b` is among the flags
//! ```
//!
//! A request borrows its line and nothing is allocated: flags stay where they are, a set of letters
//! says which were given, and only a base64 key is decoded, into the request itself.

mod base64;
mod flags;
mod parse;
mod reply;

pub use base64::{DECODED_LEN_MAX, DecodedKey, push_base64};
pub use flags::{Flag, MetaFlags, OPAQUE_LEN_MAX};
pub use parse::{
    Direction, MetaCommand, MetaKey, MetaLine, MetaRequest, Rejected, SetMode, VALUE_LEN_MAX,
    is_meta_line, parse,
};
pub use reply::{
    Code, DebugFacts, needs_base64, push_code, push_debug, push_end, push_error, push_key,
    push_letter, push_number, push_opaque, push_ttl, push_value_head,
};

/// Why a meta line is refused; each is one reply line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaError {
    /// The command word is none of ours.
    Unknown,
    /// Too few tokens, a key too long, a length or client flags that are no number.
    BadFormat,
    /// More tokens than a line may have.
    TooManyFlags,
    /// A letter came twice.
    DuplicateFlag,
    /// A letter that means nothing.
    InvalidFlag,
    /// A TTL or CAS argument that is no number.
    BadToken,
    /// `D` without a number.
    BadDelta,
    /// `J` without a number.
    BadInitial,
    /// The key is not base64.
    BadBase64,
    /// `ma` says this for everything that is wrong with its flags.
    InvalidOrDuplicateFlag,
    /// `O` with more than [`OPAQUE_LEN_MAX`] bytes.
    OpaqueTooLong,
    /// `M` of `ms` with an unknown letter.
    BadSetMode,
    /// `M` of `ma` with an unknown letter.
    BadArithMode,
}

impl MetaError {
    /// The reply, without its line end.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::Unknown => "ERROR",
            Self::BadFormat => "CLIENT_ERROR bad command line format",
            Self::TooManyFlags => "CLIENT_ERROR options flags are too long",
            Self::DuplicateFlag => "CLIENT_ERROR duplicate flag",
            Self::InvalidFlag => "CLIENT_ERROR invalid flag",
            Self::BadToken => "CLIENT_ERROR bad token in command line format",
            Self::BadDelta => "CLIENT_ERROR invalid numeric delta value",
            Self::BadInitial => "CLIENT_ERROR invalid numeric initial value",
            Self::BadBase64 => "CLIENT_ERROR error decoding key",
            Self::InvalidOrDuplicateFlag => "CLIENT_ERROR invalid or duplicate flag",
            Self::OpaqueTooLong => "CLIENT_ERROR opaque token too long",
            Self::BadSetMode => "CLIENT_ERROR invalid mode for ms M token",
            Self::BadArithMode => "CLIENT_ERROR invalid mode for ma M token",
        }
    }
}
