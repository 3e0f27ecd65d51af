//! The report of plain `stats`: memcached's names in memcached's order, under 4 KiB in all.

use crate::base::clock::Now;
use crate::base::settings::Settings;
use crate::stats::{COMPATIBLE_VERSION, ServerTotals, Sink, Totals};
use crate::store::{Busy, StoreSnapshot};
use std::fmt;

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
pub struct General<'a> {
    /// As configured.
    pub settings: &'a Settings,
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

impl General<'_> {
    /// Writes the report.
    pub fn report(&self, sink: &mut impl Sink) {
        self.process(sink);
        self.connections(sink);
        self.commands(sink);
        self.traffic(sink);
        self.background(sink);
        self.items(sink);
        self.own(sink);
    }

    /// What memcached does not have.
    fn own(&self, sink: &mut impl Sink) {
        let server = &self.server;
        sink.show("cmd_flush_prefix", self.totals.cmd_flush_prefix);
        sink.show("flushes_pending", self.store.flushes_pending);
        let held = server.conn_input_bytes + server.conn_output_bytes;
        sink.show("conn_held_bytes", held);
    }

    fn process(&self, sink: &mut impl Sink) {
        sink.show("pid", self.process.pid);
        sink.show("uptime", self.now.seconds());
        sink.show("time", self.now.unix());
        sink.show("version", COMPATIBLE_VERSION);
        // There is no libevent here; readers want the line.
        sink.show("libevent", "mio");
        sink.show("pointer_size", usize::BITS);
        sink.show("rusage_user", CpuTime(self.process.user_us));
        sink.show("rusage_system", CpuTime(self.process.system_us));
    }

    fn connections(&self, sink: &mut impl Sink) {
        let server = &self.server;
        sink.show("max_connections", self.settings.connections_max);
        sink.show(
            "curr_connections",
            server.curr_connections.saturating_sub(1),
        );
        sink.show("total_connections", server.total_connections);
        if self.settings.connections_refuse {
            sink.show("rejected_connections", server.rejected_connections);
        }
        sink.show("connection_structures", server.connection_structures);
        sink.show("response_obj_oom", server.conn_memory_kicks);
        sink.show("response_obj_count", 0);
        sink.show("response_obj_bytes", server.conn_output_bytes);
        sink.show("read_buf_count", server.read_buf_count);
        let input = server.conn_input_bytes;
        sink.show("read_buf_bytes", server.read_buf_bytes + input);
        for name in ["read_buf_bytes_free", "read_buf_oom", "reserved_fds"] {
            sink.show(name, 0);
        }
    }

    fn commands(&self, sink: &mut impl Sink) {
        let (totals, hits) = (&self.totals, self.totals.all_classes());
        let numbers = [
            ("cmd_get", hits.get_hits + totals.get_misses),
            ("cmd_set", hits.cmd_set),
            ("cmd_flush", totals.cmd_flush),
            ("cmd_touch", hits.touch_hits + totals.touch_misses),
            ("cmd_meta", totals.cmd_meta),
            ("get_hits", hits.get_hits),
            ("get_misses", totals.get_misses),
            ("get_expired", totals.get_expired),
            ("get_flushed", totals.get_flushed),
            ("delete_misses", totals.delete_misses),
            ("delete_hits", hits.delete_hits),
            ("incr_misses", totals.incr_misses),
            ("incr_hits", hits.incr_hits),
            ("decr_misses", totals.decr_misses),
            ("decr_hits", hits.decr_hits),
            ("cas_misses", totals.cas_misses),
            ("cas_hits", hits.cas_hits),
            ("cas_badval", hits.cas_badval),
            ("touch_hits", hits.touch_hits),
            ("touch_misses", totals.touch_misses),
            ("store_too_large", totals.store_too_large),
            ("store_no_memory", totals.store_no_memory),
            ("auth_cmds", totals.auth_cmds),
            ("auth_errors", totals.auth_errors),
        ];
        for (name, number) in numbers {
            sink.show(name, number);
        }
    }

    fn traffic(&self, sink: &mut impl Sink) {
        let server = &self.server;
        // Being stuck counts too, and not only where idleness does.
        if self.settings.idle_timeout_s > 0 || server.idle_kicks > 0 {
            sink.show("idle_kicks", server.idle_kicks);
        }
        sink.show("bytes_read", self.totals.bytes_read);
        sink.show("bytes_written", self.totals.bytes_written);
        sink.show("limit_maxbytes", self.store.limit_bytes);
        sink.show("accepting_conns", server.accepting);
        sink.show("listen_disabled_num", server.listen_disabled_num);
        sink.show(
            "time_in_listen_disabled_us",
            server.time_in_listen_disabled_us,
        );
        sink.show("threads", self.settings.threads);
        sink.show("conn_yields", self.totals.conn_yields);
        sink.show("hash_power_level", self.store.index_buckets.max(1).ilog2());
        sink.show("hash_bytes", self.store.index_bytes);
        // The index grows a bucket at a time: it is never "expanding".
        sink.show("hash_is_expanding", 0);
    }

    fn background(&self, sink: &mut impl Sink) {
        let shown = &self.settings.shown;
        if self.settings.store.reassign {
            sink.show("slab_reassign_rescues", self.store.rescues);
            sink.show("slab_reassign_chunk_rescues", self.store.chunk_rescues);
            // No chunk of a page that is being emptied is ever handed out, to be taken back.
            sink.show("slab_reassign_inline_reclaim", 0);
            sink.show("slab_reassign_busy_items", self.store.move_busy);
            // Nothing is deleted for being busy: its page stays, and another one moves.
            sink.show("slab_reassign_busy_deletes", 0);
            sink.show("slab_reassign_busy_nomem", self.store.move_no_memory);
            sink.show(
                "slab_reassign_last_busy_status",
                busy_name(self.store.last_busy),
            );
            sink.show("slab_reassign_running", u8::from(self.store.moving));
            sink.show("slabs_moved", self.store.slabs_moved);
        }
        if self.settings.store.crawler.on {
            sink.show("lru_crawler_running", 0);
            sink.show("lru_crawler_starts", 0);
        }
        if shown.lru_maintainer {
            sink.show("lru_maintainer_juggles", 0);
        }
        sink.show("malloc_fails", 0);
        let server = &self.server;
        sink.show("log_worker_dropped", server.log_worker_dropped);
        sink.show("log_worker_written", server.log_worker_written);
        sink.show("log_watcher_skipped", server.log_watcher_skipped);
        sink.show("log_watcher_sent", server.log_watcher_sent);
        sink.show("log_watchers", self.watchers);
        sink.show("unexpected_napi_ids", 0);
        sink.show("round_robin_fallback", 0);
    }

    fn items(&self, sink: &mut impl Sink) {
        let (store, maintainer) = (&self.store, self.settings.shown.lru_maintainer);
        sink.show("bytes", store.item_bytes);
        sink.show("curr_items", store.items);
        sink.show("total_items", store.items_total);
        sink.show("slab_global_page_pool", store.pages_free);
        sink.show("expired_unfetched", store.expired_unfetched);
        sink.show("evicted_unfetched", store.evicted_unfetched);
        if maintainer {
            sink.show("evicted_active", store.evicted_active);
        }
        sink.show("evictions", store.evictions);
        sink.show("reclaimed", store.reclaimed);
        sink.show("crawler_reclaimed", store.crawler_reclaimed);
        sink.show("crawler_items_checked", store.crawler_items_checked);
        sink.show("lrutail_reflocked", 0);
        if maintainer {
            for name in ["moves_to_cold", "moves_to_warm", "moves_within_lru"] {
                sink.show(name, 0);
            }
            sink.show("direct_reclaims", 0);
            sink.show("lru_bumps_dropped", 0);
        }
    }
}

/// memcached's word for what kept a page where it is.
fn busy_name(busy: Option<Busy>) -> &'static str {
    match busy {
        None => "none",
        Some(Busy::Sending) => "busy",
        Some(Busy::Arriving) => "busy_uploading",
        Some(Busy::NoMemory) => "from_lru",
    }
}

/// Seconds with six digits: readers split at the point and take the rest for microseconds.
struct CpuTime(u64);

impl fmt::Display for CpuTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Counters;
    use crate::stats::testing::Recorder;
    use crate::store::ClassId;

    fn report(settings: &Settings, totals: Totals) -> Recorder {
        let mut recorder = Recorder::default();
        let general = General {
            settings,
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
        general.report(&mut recorder);
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
    fn cpu_time_has_six_digits_behind_the_point() {
        let report = report(&Settings::default(), Totals::default());
        assert_eq!(report.value("rusage_user"), "1.000023");
        assert_eq!(report.value("rusage_system"), "0.000005");
        assert_eq!(report.value("hash_power_level"), "10");
        assert_eq!((report.value("pid"), report.value("uptime")), ("7", "2"));
    }
}
