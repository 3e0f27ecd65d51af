//! The events: what happened, with all that is told of it, and nothing borrowed.

use crate::base::events::topics::Topics;
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::store_mode::StoreMode;
use std::fmt;
use std::net::SocketAddr;

/// A key, copied.
#[derive(Clone, Copy)]
pub struct KeyCopy {
    len: u8,
    bytes: [u8; KEY_LEN_MAX],
}

impl KeyCopy {
    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl From<Key<'_>> for KeyCopy {
    fn from(key: Key<'_>) -> Self {
        let key = key.as_bytes();
        let mut bytes = [0; KEY_LEN_MAX];
        bytes[..key.len()].copy_from_slice(key);
        Self {
            len: key.len() as u8,
            bytes,
        }
    }
}

impl fmt::Debug for KeyCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCopy({})", self.as_bytes().escape_ascii())
    }
}

/// An item, as far as watchers are told of it.
#[derive(Clone, Copy, Debug)]
pub struct ItemFacts {
    /// Its key.
    pub key: KeyCopy,
    /// Number of its class; 0 if it lies nowhere.
    pub class: u8,
    /// Bytes of its value.
    pub size: u32,
}

/// What a look for an item found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    Absent,
    /// It.
    Alive,
    /// One that a flush had ended.
    Flushed,
    /// One whose time was over.
    Expired,
}

/// How a store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEnd {
    /// Its condition did not hold.
    NotStored,
    /// As it should.
    Stored,
    /// The CAS id was another.
    Exists,
    /// A CAS id was given, and there was no item.
    NotFound,
    /// No item may be so large.
    TooLarge,
    /// There was no memory for it.
    NoMemory,
}

/// What a store was asked for: a mode, and whether a CAS id was to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreVerb {
    /// A store without a CAS id.
    Plain(StoreMode),
    /// One with: whatever replaces an item then compares and swaps.
    Compared(StoreMode),
}

/// A client's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over a UNIX socket.
    Local,
    /// Over TCP.
    Tcp(SocketAddr),
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Either side broke a rule, or the transport broke.
    Error,
    /// The client wanted it.
    Normal,
    /// Nothing came for too long.
    IdleTimeout,
    /// A client has asked the server to stop.
    Shutdown,
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// An item was looked up.
    Get {
        /// Under which key, and what was there.
        item: ItemFacts,
        /// Whether it was.
        found: Lookup,
        /// The descriptor of who asked.
        fd: i32,
    },
    /// An item was to be stored.
    Store {
        /// What is there now, or was to be.
        item: ItemFacts,
        /// How that ended.
        end: StoreEnd,
        /// What was asked for.
        verb: StoreVerb,
        /// Seconds that it will live; 0 for ever.
        ttl_s: u64,
        /// The descriptor of who asked.
        fd: i32,
    },
    /// An item went to make room.
    Eviction {
        /// Which.
        item: ItemFacts,
        /// It had been read.
        is_fetched: bool,
        /// Seconds that it would have lived; `None` for ever.
        ttl_s: Option<u64>,
        /// Seconds since it was last read or written.
        idle_s: u64,
    },
    /// A client deleted an item.
    Deletion {
        /// Which.
        item: ItemFacts,
        /// By `md`.
        is_meta: bool,
    },
    /// A client connected.
    Opened {
        /// Which.
        peer: Peer,
        /// The connection's descriptor.
        fd: i32,
    },
    /// A connection was closed.
    Closed {
        /// Whose.
        peer: Peer,
        /// The connection's descriptor.
        fd: i32,
        /// Why.
        reason: CloseReason,
    },
    /// A page was to go to another class.
    PageMove {
        /// From which class.
        source: u8,
        /// To which, or 0 for the pool.
        target: u8,
        /// Whether it did.
        is_done: bool,
    },
}

impl Event {
    /// What one has to ask for to be told.
    #[must_use]
    pub fn topic(&self) -> Topics {
        match self {
            Self::Get { .. } => Topics::FETCHERS,
            Self::Store { .. } => Topics::MUTATIONS,
            Self::Eviction { .. } => Topics::EVICTIONS,
            Self::Deletion { .. } => Topics::DELETIONS,
            Self::Opened { .. } | Self::Closed { .. } => Topics::CONNEVENTS,
            Self::PageMove { .. } => Topics::SYSEVENTS,
        }
    }
}
