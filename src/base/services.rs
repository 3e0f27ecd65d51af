//! What is spoken on a listener: a set of services.

/// A set of services. The first byte of a connection says which one of them it wants; with only
/// one in the set, nothing is left to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Services(u8);

impl Services {
    /// Lines: the classic and the meta commands.
    pub const TEXT: Self = Self(1);
    /// Packets of memcached's binary protocol.
    pub const BINARY: Self = Self(2);
    /// All that memcached speaks.
    pub const MEMCACHED: Self = Self::TEXT.and(Self::BINARY);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is spoken.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_its_parts_and_no_more() {
        assert!(Services::MEMCACHED.has(Services::TEXT));
        assert!(Services::MEMCACHED.has(Services::BINARY));
        assert!(!Services::TEXT.has(Services::BINARY));
        assert!(!Services::BINARY.has(Services::MEMCACHED));
    }
}
