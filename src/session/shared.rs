//! What all sessions of a process share, and what one is lent for a call.

use crate::base::clock::{Clock, Now};
use crate::base::credentials::LoginTable;
use crate::base::events::Record;
use crate::base::settings::{Settings, ShownSettings};
use crate::session::host::{ConnectionId, Host};
use crate::session::watchers::Watchers;
use crate::stats::{Counters, PrefixStats, ServerCounters, ServerTotals, Totals};
use crate::store::{Lane, Store};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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
    /// Who watches.
    pub(super) watchers: Arc<Watchers>,
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
            watchers: Watchers::new(Arc::clone(&store)),
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

    /// Whether anybody watches.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watchers.count() > 0
    }

    /// Tells the watchers what has happened since the last pass. For one thread at a time;
    /// `records` is its room to work in.
    pub fn tell_watchers(&self, records: &mut Vec<Record>) {
        let pass = self.watchers.tell(&*self.host, records);
        let server = &self.server;
        for (counter, count) in [
            (&server.log_worker_dropped, pass.dropped),
            (&server.log_worker_written, pass.written),
            (&server.log_watcher_skipped, pass.skipped),
            (&server.log_watcher_sent, pass.sent),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
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
