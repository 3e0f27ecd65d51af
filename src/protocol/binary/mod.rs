//! The binary protocol: a 24-byte header, then extras, key and value.
//!
//! ```text
//!   0     1       2        4       5         6         8          12       16       24
//!   ├─────┼───────┼────────┼───────┼─────────┼─────────┼──────────┼────────┼────────┤
//!   │magic│opcode │ keylen │extlen │datatype │ vbucket │ body len │ opaque │  cas   │
//!   └─────┴───────┴────────┴───────┴─────────┴─────────┴──────────┴────────┴────────┘
//!   body = extras, key, value; the response has its status where the request has the vbucket
//! ```
//!
//! One rule keeps requests apart whatever they contain: a request uses up exactly 24 bytes plus its
//! body length, or the connection closes after the reply. There is no third way.

mod header;
mod opcode;
mod parse;
mod reply;

pub use header::{HEADER_LEN, MAGIC_REQUEST, MAGIC_RESPONSE, RequestHeader};
pub use opcode::{Opcode, Verb};
pub use parse::{
    BODY_LEN_MAX, Command, Gate, LOGIN_LEN_MAX, Login, MECHANISM_LEN_MAX, PacketRejection,
    PacketRequest, Parsed, Then, parse,
};
pub use reply::{HitReply, Reply, Status};

const _: () = assert!(
    1 + 1 + 2 + 1 + 1 + 2 + 4 + 4 + 8 == HEADER_LEN,
    "the header as it is drawn above"
);
