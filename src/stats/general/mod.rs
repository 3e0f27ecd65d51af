//! The report of plain `stats`: memcached's names in memcached's order, under 4 KiB in all.

mod background;
mod commands;
mod items;
mod process;
mod reading;
mod traffic;

pub use reading::{General, Process};

use crate::stats::Sink;
use crate::stats::entry::{Stat, report};

/// Its lines, in order.
pub fn general_stats() -> impl Iterator<Item = &'static Stat<General>> {
    [
        process::PROCESS,
        process::CONNECTIONS,
        commands::COMMANDS,
        traffic::TRAFFIC,
        background::PAGE_MOVES,
        background::WORKERS,
        items::ITEMS,
        items::OWN,
    ]
    .into_iter()
    .flatten()
}

/// Writes the report.
pub fn report_general(sink: &mut impl Sink, general: &General) {
    report(sink, "", general_stats(), general);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;
    use crate::base::settings::Settings;
    use crate::stats::testing::Recorder;
    use crate::stats::{Counters, ServerTotals, Totals};
    use crate::store::{ClassId, StoreSnapshot};

    fn report(settings: &Settings, totals: Totals) -> Recorder {
        let mut recorder = Recorder::default();
        let general = General {
            settings: settings.clone(),
            totals,
            server: ServerTotals::default(),
            watchers: 0,
            store: StoreSnapshot {
                index_buckets: 1024,
                ..StoreSnapshot::default()
            },
            process: Process {
                pid: 7,
                user_us: 1_000_023,
                system_us: 5,
            },
            now: Now::at_second(2),
        };
        report_general(&mut recorder, &general);
        recorder
    }

    #[test]
    fn there_are_ninety_six_lines_by_default_and_fewer_without_background_work() {
        let mut settings = Settings::default();
        let lines = report(&settings, Totals::default()).0;
        assert_eq!(lines.len(), 96);
        let bytes: usize = lines.iter().map(|(name, _)| name.len() + 20 + 8).sum();
        assert!(
            bytes < 4096,
            "{bytes} bytes with 20-digit numbers are too many for collectd"
        );
        settings.store.crawler.on = false;
        settings.shown.lru_maintainer = false;
        assert_eq!(report(&settings, Totals::default()).0.len(), 87);
    }

    #[test]
    fn commands_are_the_sum_of_their_hits_and_misses() {
        let counters = Counters::default();
        counters.class(ClassId(3)).get_hits.add(2);
        counters.class(ClassId(4)).touch_hits.add(4);
        counters.get_misses.add(1);
        counters.touch_misses.add(1);
        let report = report(&Settings::default(), Totals::sum([&counters]));
        assert_eq!(
            (report.value("cmd_get"), report.value("get_hits")),
            ("3", "2")
        );
        assert_eq!(
            (report.value("cmd_touch"), report.value("touch_hits")),
            ("5", "4")
        );
    }

    #[test]
    fn cpu_time_uptime_and_the_size_of_the_index_are_as_readers_expect() {
        let report = report(&Settings::default(), Totals::default());
        assert_eq!(report.value("rusage_user"), "1.000023");
        assert_eq!(report.value("rusage_system"), "0.000005");
        assert_eq!(report.value("hash_power_level"), "10");
        assert_eq!((report.value("pid"), report.value("uptime")), ("7", "2"));
    }
}
