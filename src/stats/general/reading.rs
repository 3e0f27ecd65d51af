//! All that plain `stats` is made from, read at one moment.

use crate::base::clock::Now;
use crate::base::settings::Settings;
use crate::stats::{ServerTotals, Totals};
use crate::store::StoreSnapshot;

/// What the operating system says of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// CPU time spent in it, microseconds.
    pub user_us: u64,
    /// CPU time spent for it in the kernel, microseconds.
    pub system_us: u64,
}

/// All that plain `stats` shows.
#[derive(Clone, Debug)]
pub struct General {
    /// As configured.
    pub settings: Settings,
    /// What the workers counted.
    pub totals: Totals,
    /// What the server counted.
    pub server: ServerTotals,
    /// Connections that watch.
    pub watchers: usize,
    /// The store's numbers.
    pub store: StoreSnapshot,
    /// The process.
    pub process: Process,
    /// The moment of the report.
    pub now: Now,
}
