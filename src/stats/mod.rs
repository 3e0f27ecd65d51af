//! Numbers to names: counters, and the reports that `stats` sends.
//!
//! A report writes names and values to a [`Sink`]; whether they become `STAT` lines or packets is
//! the sink's business. Values have no spaces and are never empty: readers split at spaces.
//!
//! ```text
//!   counters ─┐
//!   store     ├─▶ a reading ─▶ its table: name, kind, unit, meaning, value ─▶ Sink
//!   settings ─┘                    └─▶ catalog() ─▶ STATS.md
//! ```
//!
//! Each line of a report is described once, in the table of its report. STATS.md and the test that
//! wants every counter to move read the same tables, through [`catalog()`].

mod catalog;
mod class;
mod conns;
mod counters;
mod detail;
mod entry;
mod eviction;
mod general;
mod items;
mod settings;
mod sizes;
mod slabs;

pub use catalog::{Chapter, catalog};
pub use class::ClassReading;
pub use conns::{CONN_STATS, SocketReading, SocketReport, report_conns};
pub use counters::{
    ClassCounters, ClassTotals, Counter, Counters, PerClass, ServerCounters, ServerTotals, Totals,
};
pub use detail::{PREFIXES_MAX, PrefixStats, Recorded};
pub use entry::{About, Fixed, Kind, Stat, Value};
pub use eviction::{EVICTION_STATS, POLICY_STATS, report_eviction};
pub use general::{General, Process, general_stats, report_general};
pub use items::{ITEM_STATS, report_items};
pub use settings::{Adjusted, SettingsReading, report_settings, settings_stats};
pub use sizes::SizeHistogram;
pub use slabs::{SLAB_STATS, SLAB_SUM_STATS, SlabSums, report_slabs};

use std::fmt::Display;

/// The version of memcached that this daemon behaves as; clients choose their paths by it.
pub const COMPATIBLE_VERSION: &str = "1.6.45";

/// Where a report goes.
pub trait Sink {
    /// Takes one name and its value.
    fn stat(&mut self, name: &str, value: &str);

    /// Takes a value that formats itself.
    fn show(&mut self, name: &str, value: impl Display)
    where
        Self: Sized,
    {
        self.stat(name, &value.to_string());
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A sink that remembers.

    use super::Sink;

    /// Names and values in order.
    #[derive(Default)]
    pub(crate) struct Recorder(pub(crate) Vec<(String, String)>);

    impl Sink for Recorder {
        fn stat(&mut self, name: &str, value: &str) {
            assert!(
                !name.contains(' ') && !value.contains(' ') && !value.is_empty(),
                "{name}"
            );
            self.0.push((name.into(), value.into()));
        }
    }

    impl Recorder {
        /// The value of `name`.
        pub(crate) fn value(&self, name: &str) -> &str {
            let found = self.0.iter().find(|(known, _)| known == name);
            &found.unwrap_or_else(|| panic!("no {name}")).1
        }
    }
}
