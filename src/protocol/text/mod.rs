//! The classic text protocol: lines of space-separated tokens.
//!
//! Retrievals (`get`, `gets`, `gat`, `gats`) may have any number of keys and are read key by key,
//! see [`keys`]. Every other command is one bounded line that [`parse_line`] turns into a
//! [`Request`], or into a [`Rejection`](crate::protocol::Rejection) that knows the error line,
//! whether the client wants to hear it, and how many bytes of value follow that must not be taken
//! for commands.

mod admin;
pub mod events;
pub mod keys;
mod parse;
pub mod reply;
mod stats;
mod tokens;

pub use admin::{AdminRequest, AutomoveRequest, CrawlerRequest, DumpFormat, LruRequest, Shutdown};
pub use parse::parse_line;
pub use stats::{CachedumpRequest, DetailRequest, Group, StatsRequest, parse_stats_key};
pub use tokens::{AllTokens, Tokens};

use crate::base::events::Topics;
use crate::base::key::Key;
use crate::base::store_mode::StoreMode;
use crate::protocol::ErrorLine;

/// Bytes without a newline after which a line is hopeless, unless it asks for keys.
pub const LINE_MAX: usize = 2048;

/// A command line other than a retrieval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request<'a> {
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`: a value follows.
    Store(StoreLine<'a>),
    /// `delete`.
    Delete {
        /// What to remove.
        key: Key<'a>,
        /// The client wants no answer.
        noreply: bool,
    },
    /// `incr`, `decr`.
    Arith(ArithLine<'a>),
    /// `touch`.
    Touch(TouchLine<'a>),
    /// `version`.
    Version,
    /// `quit`.
    Quit,
    /// `stats` and its groups.
    Stats(StatsRequest),
    /// `watch`: what happens, line by line until the client goes. Its arguments are judged only
    /// where watching is allowed at all.
    Watch(Result<Topics, ErrorLine>),
    /// A line that only a browser sends: the connection is not ours.
    Http,
    /// `mg`, `ms`, `md`, `ma`, `mn`, `me`: the meta grammar's business.
    Meta,
    /// Commands for operators.
    Admin {
        /// Which.
        request: AdminRequest<'a>,
        /// The client wants no answer.
        noreply: bool,
    },
}

/// The line of a storage command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLine<'a> {
    /// Which command; that of `cas` is to set.
    pub mode: StoreMode,
    /// Where to store.
    pub key: Key<'a>,
    /// The client's 32 bits.
    pub client_flags: u32,
    /// When it dies, as sent.
    pub exptime: i64,
    /// Length of the value that follows.
    pub value_len: u32,
    /// The id to compare with: `cas` only.
    pub cas: Option<u64>,
    /// The client wants no answer.
    pub noreply: bool,
}

/// The line of `incr` or `decr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArithLine<'a> {
    /// What to change.
    pub key: Key<'a>,
    /// By how much.
    pub delta: u64,
    /// `decr`.
    pub down: bool,
    /// The client wants no answer.
    pub noreply: bool,
}

/// The line of `touch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TouchLine<'a> {
    /// What to keep.
    pub key: Key<'a>,
    /// Until when, as sent.
    pub exptime: i64,
    /// The client wants no answer.
    pub noreply: bool,
}
