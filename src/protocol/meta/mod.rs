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
pub use parse::{Direction, MetaCommand, MetaKey, MetaLine, MetaRequest, is_meta_line, parse};
pub use reply::{
    Code, DebugFacts, needs_base64, push_code, push_debug, push_end, push_key, push_letter,
    push_number, push_opaque, push_ttl, push_value_head,
};
