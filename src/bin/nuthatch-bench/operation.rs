//! What a line of a trace asks for.

/// An operation of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Cache-aside: get, and on a miss set.
    #[default]
    Fetch,
    /// Get; what is missing stays missing.
    Get,
    Set,
    Delete,
    Add,
    /// Adds the line's bytes to the end of what is there.
    Append,
    /// Counts up by one. A counter that is not there is set to `1`; the line's bytes are ignored.
    Incr,
}

impl Operation {
    pub(crate) const ALL: [Self; 7] = [
        Self::Fetch,
        Self::Get,
        Self::Set,
        Self::Delete,
        Self::Add,
        Self::Append,
        Self::Incr,
    ];

    /// The word in a trace; of those that carry a value, the verb of the text protocol as well.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Add => "add",
            Self::Append => "append",
            Self::Incr => "incr",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.name().as_bytes() == name)
    }

    /// Whether hits and misses are counted of it.
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::Fetch | Self::Get)
    }

    /// Whether the request itself carries the line's bytes to the server.
    pub(crate) fn carries_value(self) -> bool {
        matches!(self, Self::Set | Self::Add | Self::Append)
    }
}
