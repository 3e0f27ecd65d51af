//! What connections may hold: one budget for all of them, and a share of the store for what they
//! pin.
//!
//! ```text
//!   0              a quarter                                           the limit
//!   ├──────────────┼───────────────────────────────────────────────────┤
//!    shares shrink   all have the least share                            the worst is closed
//! ```
//!
//! A connection holds input that it has received and not run, and replies that its client has not
//! read. It cannot give either back, so the budget is kept before there is anything to hold: a
//! *share* is how much a connection may receive at once, and how many replies it may gather before
//! they are written. A connection whose replies wait is not read at all. Where that is not enough
//! (long lines that never end, values of a megabyte that nobody fetches), whoever holds most is
//! closed.
//!
//! The common case holds nothing, and then costs two loads for each read.

use crate::base::number::usize_from;
use crate::base::settings::Settings;
use crate::session::Shared;
use std::fmt::{Display, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read in one turn at most. Large enough that a big value comes in few system calls, small
/// enough that a turn takes well under a millisecond.
pub(crate) const READ_LEN: usize = 256 << 10;

/// The least share: a thousand clients that read nothing then stay at some 8 MiB, and requests of
/// usual size still go in batches.
const SHARE_MIN: usize = 4 << 10;

/// Shares are this part of what is left of the first quarter: a single slow client can have the
/// most there is, and forty have used the quarter up.
const SHARES: u64 = 16;

/// What one connection holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Received and not run.
    pub(crate) input: u64,
    /// Replies that have not been sent.
    pub(crate) output: u64,
    /// In the store: values that are being sent or received.
    pub(crate) pinned: u64,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdraft {
    /// Input and replies.
    Memory,
    /// Pinned values.
    Pinned,
}

impl Overdraft {
    /// How much of it a holding has.
    pub(crate) fn of(self, holding: Holding) -> u64 {
        match self {
            Self::Memory => holding.input + holding.output,
            Self::Pinned => holding.pinned,
        }
    }
}

/// What bytes these are, and why they are too many, for the end of a sentence in the log.
impl Display for Overdraft {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Memory => {
                "of requests and replies: connections together hold more than \
                 -o conn_memory= allows"
            }
            Self::Pinned => {
                "of values in the store: connections together keep more than half of it \
                 from eviction"
            }
        })
    }
}

/// The limits; the sums are among the server's counters, where `stats` reads them.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
}

impl Budget {
    /// The budget that `settings` ask for.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            limit: settings.conn_memory_limit(),
        }
    }

    /// Bytes that a connection may receive at once, and that its replies may gather to.
    #[inline]
    pub(crate) fn share(&self, shared: &Shared) -> usize {
        let left = (self.limit / 4).saturating_sub(shared.server.conn_memory());
        usize_from(left / SHARES).clamp(SHARE_MIN, READ_LEN)
    }

    /// Values of up to this many bytes are to be copied, not pinned: none while few are pinned.
    #[inline]
    pub(crate) fn copy_max(&self, shared: &Shared, share: usize) -> u32 {
        let pinned = shared.server.conn_pinned_bytes.load(Ordering::Relaxed);
        if pinned <= pinned_limit(shared) / 2 {
            return 0;
        }
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Replaces one connection's holding by another.
    pub(crate) fn change(&self, shared: &Shared, from: Holding, to: Holding) {
        let server = &shared.server;
        adjust(&server.conn_input_bytes, from.input, to.input);
        adjust(&server.conn_output_bytes, from.output, to.output);
        adjust(&server.conn_pinned_bytes, from.pinned, to.pinned);
    }

    /// What there is too much of, and how much of that an average connection has.
    pub(crate) fn overdraft(&self, shared: &Shared, open: usize) -> Option<(Overdraft, u64)> {
        let (held, pinned) = (
            shared.server.conn_memory(),
            shared.server.conn_pinned_bytes.load(Ordering::Relaxed),
        );
        let open = open.max(1) as u64;
        if held > self.limit {
            Some((Overdraft::Memory, held / open))
        } else if pinned > pinned_limit(shared) {
            Some((Overdraft::Pinned, pinned / open))
        } else {
            None
        }
    }
}

/// Half of the store may be pinned by values on their way: the rest can be evicted for others.
fn pinned_limit(shared: &Shared) -> u64 {
    shared.store.memory_limit() / 2
}

fn adjust(sum: &AtomicU64, from: u64, to: u64) {
    if from != to {
        sum.fetch_add(to.wrapping_sub(from), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::session::{ConnectionId, Host};
    use crate::stats::SocketReport;
    use crate::store::Store;

    struct Nobody;

    impl Host for Nobody {
        fn rusage_us(&self) -> (u64, u64) {
            (0, 0)
        }

        fn pid(&self) -> u32 {
            1
        }

        fn sockets_after(&self, _fd: i32, _most: usize) -> Vec<SocketReport> {
            vec![]
        }

        fn poke(&self, _connection: ConnectionId) {}

        fn set_verbosity(&self, _level: u8) {}
    }

    fn budget() -> (Budget, Shared) {
        let settings = Settings {
            conn_memory: Some(16 << 20),
            ..Settings::default()
        };
        let budget = Budget::new(&settings);
        let store = Store::new(&settings.store, 1).unwrap();
        let shared = Shared::new(settings, store, Clock::new(0), Box::new(Nobody));
        (budget, shared)
    }

    fn output(output: u64) -> Holding {
        Holding {
            output,
            ..Holding::default()
        }
    }

    #[test]
    fn shares_shrink_as_connections_hold_more() {
        let (budget, shared) = budget();
        assert_eq!(budget.share(&shared), READ_LEN);
        budget.change(&shared, Holding::default(), output(2 << 20));
        assert_eq!(budget.share(&shared), READ_LEN / 2);
        budget.change(&shared, output(2 << 20), output(4 << 20));
        assert_eq!(budget.share(&shared), SHARE_MIN);
        assert_eq!(budget.overdraft(&shared, 1), None);
        budget.change(&shared, output(4 << 20), output(0));
        assert_eq!(budget.share(&shared), READ_LEN);
    }

    #[test]
    fn an_overdraft_comes_with_what_an_average_connection_has() {
        let (budget, shared) = budget();
        budget.change(&shared, Holding::default(), output((16 << 20) + 1));
        let memory = Some((Overdraft::Memory, (16 << 20) / 4));
        assert_eq!(budget.overdraft(&shared, 4), memory);
        budget.change(&shared, output((16 << 20) + 1), output(0));
        let pinned = Holding {
            pinned: (32 << 20) + 1,
            ..Holding::default()
        };
        budget.change(&shared, Holding::default(), pinned);
        let pinned = Some((Overdraft::Pinned, (32 << 20) / 2));
        assert_eq!(budget.overdraft(&shared, 2), pinned);
    }

    #[test]
    fn the_log_says_in_words_what_there_is_too_much_of() {
        let memory = Overdraft::Memory.to_string();
        assert!(memory.starts_with("of requests and replies: "), "{memory}");
        assert!(memory.contains("-o conn_memory="), "{memory}");
        let pinned = Overdraft::Pinned.to_string();
        assert!(pinned.starts_with("of values in the store: "), "{pinned}");
    }

    #[test]
    fn values_are_copied_once_many_are_pinned() {
        let (budget, shared) = budget();
        assert_eq!(budget.copy_max(&shared, 1 << 18), 0);
        let pinned = Holding {
            pinned: (16 << 20) + 1,
            ..Holding::default()
        };
        budget.change(&shared, Holding::default(), pinned);
        assert_eq!(budget.copy_max(&shared, 1 << 18), 1 << 18);
    }
}
