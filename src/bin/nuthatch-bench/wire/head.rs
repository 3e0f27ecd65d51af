//! What the head of a reply says, in any of the protocols.

use std::ops::Range;

/// What a head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A value follows.
    Value,
    /// No more values for this get.
    End,
    /// A value was stored.
    Stored,
    /// Something else was done: an item deleted, a number counted up. In text only.
    Done,
    /// Nothing was done, because an item was there, or because none was. In text only.
    NotDone,
    /// Anything else.
    Error,
}

/// The head of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Bytes of the head itself.
    pub(crate) len: usize,
    /// Bytes that follow it and belong to it.
    pub(crate) body_len: usize,
    /// The part of the body that is the value; the rest is a line's ending.
    pub(crate) value_len: usize,
    /// Where in the head the key stands, if the reply names it.
    pub(crate) key: Option<Range<usize>>,
    /// Whether the request is answered when the body has come.
    pub(crate) ends: bool,
}

impl Head {
    pub(super) fn line(kind: Kind, len: usize) -> Self {
        Self {
            kind,
            len,
            body_len: 0,
            value_len: 0,
            key: None,
            ends: true,
        }
    }
}
