//! Kinds of events.

use std::ops::BitOr;

/// Kinds of events that a watcher can ask for, any number of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u16);

impl Topics {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Items that were looked up.
    pub const FETCHERS: Self = Self(1);
    /// Items that were stored, or not.
    pub const MUTATIONS: Self = Self(1 << 1);
    /// Items that went to make room.
    pub const EVICTIONS: Self = Self(1 << 2);
    /// Items that a client deleted.
    pub const DELETIONS: Self = Self(1 << 3);
    /// Connections that came and went.
    pub const CONNEVENTS: Self = Self(1 << 4);
    /// What the server does in the background.
    pub const SYSEVENTS: Self = Self(1 << 5);

    /// A bit for each kind.
    #[inline]
    pub(super) fn bits(self) -> u16 {
        self.0
    }

    /// Whether they have a kind in common.
    #[inline]
    #[must_use]
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Topics {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
