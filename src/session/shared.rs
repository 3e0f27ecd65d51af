//! What all sessions of a process share, and what one is lent for a call.

use crate::base::clock::{Clock, Now};
use crate::base::credentials::LoginTable;
use crate::base::settings::{Settings, ShownSettings};
use crate::stats::{Counters, PrefixStats, ServerCounters, ServerTotals, SocketReport, Totals};
use crate::store::{Lane, Store};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a session must ask of the process around it.
pub trait Host: Send + Sync {
    /// CPU time used so far in microseconds: in the process, and for it in the kernel.
    fn rusage_us(&self) -> (u64, u64);
    /// The process's number.
    fn pid(&self) -> u32;
    /// The next open sockets above descriptor `fd`, by descriptor, at most `most` of them.
    fn sockets_after(&self, fd: i32, most: usize) -> Vec<SocketReport>;
    /// Has the session of `connection` called again soon, with or without input.
    fn poke(&self, connection: ConnectionId);
    /// Logs more or less from now on.
    fn set_verbosity(&self, level: u8);
}

/// Names one connection, and never its successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionId {
    /// The worker that it is served by.
    pub worker: usize,
    /// The worker's name for it.
    pub token: usize,
}

/// What all sessions of a process share. Made once by `server`.
pub struct Shared {
    /// As configured.
    pub settings: Settings,
    /// Where the items are.
    pub store: Arc<Store>,
    /// What time it is.
    pub clock: Clock,
    /// One set per worker; only that worker writes.
    pub counters: Box<[Counters]>,
    /// Numbers about sockets and the process, kept by `server`.
    pub server: ServerCounters,
    /// Current verbosity (`verbosity` command).
    pub verbosity: AtomicU8,
    /// Who may log in; replaced when the password file is read again.
    pub logins: LoginTable,
    /// The process around.
    pub host: Box<dyn Host>,
    /// Prefix statistics (`stats detail`).
    pub(super) prefixes: PrefixStats,
    /// What commands have changed that is only shown.
    shown: Mutex<ShownSettings>,
    /// What had been counted at the last `stats reset`.
    baseline: Mutex<Baseline>,
}

#[derive(Debug, Default)]
struct Baseline {
    workers: Totals,
    server: ServerTotals,
}

impl Shared {
    /// One for the whole process, with counters for each of `settings.threads` workers.
    #[must_use]
    pub fn new(settings: Settings, store: Arc<Store>, clock: Clock, host: Box<dyn Host>) -> Self {
        Self {
            counters: (0..settings.threads.max(1))
                .map(|_| Counters::default())
                .collect(),
            server: ServerCounters::default(),
            verbosity: AtomicU8::new(settings.verbosity),
            logins: LoginTable::default(),
            prefixes: PrefixStats::new(settings.detail_enabled, settings.prefix_delimiter),
            shown: Mutex::new(settings.shown.clone()),
            baseline: Mutex::default(),
            settings,
            store,
            clock,
            host,
        }
    }

    /// What the workers counted since the last reset.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals::sum(&self.counters).since(&self.baseline.lock().workers)
    }

    /// What the server counted since the last reset.
    #[must_use]
    pub fn server_totals(&self) -> ServerTotals {
        self.server.read().since(&self.baseline.lock().server)
    }

    /// Lets all counts begin anew (`stats reset`).
    pub fn reset_stats(&self) {
        let baseline = Baseline {
            workers: Totals::sum(&self.counters),
            server: self.server.read(),
        };
        *self.baseline.lock() = baseline;
        self.store.reset_counters();
        self.prefixes.clear();
    }

    /// What is only shown, as it is now.
    pub(super) fn shown(&self) -> ShownSettings {
        self.shown.lock().clone()
    }

    /// Changes what is only shown.
    pub(super) fn adjust(&self, change: impl FnOnce(&mut ShownSettings)) {
        change(&mut self.shown.lock());
    }

    /// Changes the verbosity.
    pub(super) fn set_verbosity(&self, level: u8) {
        self.verbosity.store(level, Ordering::Relaxed);
        self.host.set_verbosity(level);
    }
}

/// What a session is lent for one call.
pub struct Context<'a> {
    /// What all sessions share.
    pub shared: &'a Shared,
    /// The worker's access to the store.
    pub lane: &'a mut Lane,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// The time of this call.
    pub now: Now,
    /// Whose session it is.
    pub connection: ConnectionId,
}
