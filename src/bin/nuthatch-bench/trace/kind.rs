//! The kinds of traces, and how large their values are.

/// What a trace is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Zipf,
    Drift,
    Ttl,
    Sizes,
    Shift,
    Newest,
    Once,
    Reads,
    Mix,
    Abandoned,
    Updates,
    Feeds,
    Counters,
    Loop,
    Scan,
    Switch,
    DayNight,
    Zigzag,
}

impl Kind {
    pub(crate) const ALL: [Self; 18] = [
        Self::Zipf,
        Self::Drift,
        Self::Ttl,
        Self::Sizes,
        Self::Shift,
        Self::Newest,
        Self::Once,
        Self::Reads,
        Self::Mix,
        Self::Abandoned,
        Self::Updates,
        Self::Feeds,
        Self::Counters,
        Self::Loop,
        Self::Scan,
        Self::Switch,
        Self::DayNight,
        Self::Zigzag,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Drift => "drift",
            Self::Ttl => "ttl",
            Self::Sizes => "sizes",
            Self::Shift => "shift",
            Self::Newest => "newest",
            Self::Once => "once",
            Self::Reads => "reads",
            Self::Mix => "mix",
            Self::Abandoned => "abandoned",
            Self::Updates => "updates",
            Self::Feeds => "feeds",
            Self::Counters => "counters",
            Self::Loop => "loop",
            Self::Scan => "scan",
            Self::Switch => "switch",
            Self::DayNight => "daynight",
            Self::Zigzag => "zigzag",
        }
    }

    /// Whether it is made of sizes, so that no other can be asked for.
    pub(crate) fn has_own_sizes(self) -> bool {
        matches!(self, Self::Sizes | Self::Shift)
    }
}

/// How large the values are. A key has the same size at all times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Small objects: lognormal with a median of 150 bytes.
    Small,
    /// So many bytes each.
    Fixed(u64),
    /// Lognormal from tens of bytes to some KB; 495 bytes on average.
    Mix,
}
