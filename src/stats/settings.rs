//! The report of `stats settings`: memcached's names, then who is really speaking.

use crate::base::services::Services;
use crate::base::settings::{Automove, CrawlerSettings, Settings, ShownSettings};
use crate::stats::{Sink, yes_no};
use std::path::Path;

/// What commands have changed since the start.
#[derive(Clone, Copy, Debug)]
pub struct Adjusted<'a> {
    /// How much is logged.
    pub verbosity: u8,
    /// Whether prefixes are counted.
    pub detail: bool,
    /// The memory limit in bytes.
    pub memory_limit: u64,
    /// When pages move by themselves.
    pub automove: Automove,
    /// Seconds for that.
    pub automove_window_s: u32,
    /// How the background looks for what has expired.
    pub crawler: CrawlerSettings,
    /// What has no effect here.
    pub shown: &'a ShownSettings,
}

/// Writes the report.
pub fn report_settings(sink: &mut impl Sink, settings: &Settings, adjusted: Adjusted<'_>) {
    listeners(sink, settings, adjusted);
    limits(sink, settings, adjusted.detail);
    slabs(sink, settings, adjusted);
    crawler(sink, settings, adjusted);
    segments(sink, adjusted.shown);
    logs(sink, settings);
    sink.show("server", concat!("nuthatch-", env!("CARGO_PKG_VERSION")));
    sink.show("eviction", settings.store.policy.name());
    sink.show("conn_memory", settings.conn_memory_limit());
    sink.show("progress_timeout", settings.progress_timeout_s);
}

fn listeners(sink: &mut impl Sink, settings: &Settings, adjusted: Adjusted<'_>) {
    sink.show("maxbytes", adjusted.memory_limit);
    sink.show("maxconns", settings.connections_max);
    sink.show("tcpport", settings.tcp_port.unwrap_or(0));
    sink.show("udpport", settings.udp_port.unwrap_or(0));
    if settings.listen.is_empty() {
        sink.show("inter", "NULL");
    } else {
        sink.show("inter", settings.listen.join(","));
    }
    sink.show("verbosity", adjusted.verbosity);
    sink.show("oldest", 0);
    sink.show("evictions", if settings.store.evict { "on" } else { "off" });
    sink.show(
        "domain_socket",
        path(settings.unix_socket.as_deref(), "NULL"),
    );
    sink.show("umask", format!("{:o}", settings.unix_mask));
    sink.show("shutdown_command", yes_no(settings.shutdown_enabled));
}

fn limits(sink: &mut impl Sink, settings: &Settings, detail: bool) {
    sink.show(
        "growth_factor",
        format!("{:.2}", settings.store.growth_factor.unwrap_or(1.25)),
    );
    sink.show("chunk_size", settings.store.chunk_size_min.unwrap_or(48));
    sink.show("num_threads", settings.threads);
    sink.show("num_threads_per_udp", settings.threads);
    // A delimiter that would split the line shows as the default.
    let delimiter = Some(settings.prefix_delimiter)
        .filter(u8::is_ascii_graphic)
        .unwrap_or(b':');
    sink.show("stat_key_prefix", char::from(delimiter));
    sink.show("detail_enabled", yes_no(detail));
    sink.show("reqs_per_event", settings.requests_per_event);
    sink.show("cas_enabled", yes_no(settings.store.cas));
    sink.show("tcp_backlog", settings.backlog);
    sink.show(
        "binding_protocol",
        match settings.services {
            Services::TEXT => "ascii",
            Services::BINARY => "binary",
            _ => "auto-negotiate",
        },
    );
    sink.show("auth_enabled_sasl", yes_no(settings.sasl));
    sink.show(
        "auth_enabled_ascii",
        path(settings.auth_file.as_deref(), "no"),
    );
    sink.show("item_size_max", settings.store.item_size_max);
    sink.show("maxconns_fast", yes_no(settings.connections_refuse));
}

fn slabs(sink: &mut impl Sink, settings: &Settings, adjusted: Adjusted<'_>) {
    let shown = adjusted.shown;
    sink.show("hashpower_init", shown.hashpower_init);
    sink.show("slab_reassign", yes_no(settings.store.reassign));
    sink.show("slab_automove", adjusted.automove.level());
    sink.show(
        "slab_automove_ratio",
        format!("{:.2}", shown.slab_automove_ratio),
    );
    sink.show("slab_automove_window", adjusted.automove_window_s);
    sink.show("slab_chunk_max", shown.slab_chunk_max);
}

fn crawler(sink: &mut impl Sink, settings: &Settings, adjusted: Adjusted<'_>) {
    let (crawler, shown) = (adjusted.crawler, adjusted.shown);
    sink.show("lru_crawler", yes_no(crawler.on));
    sink.show("lru_crawler_sleep", crawler.sleep_us);
    sink.show("lru_crawler_tocrawl", shown.lru_crawler_tocrawl);
    sink.show("tail_repair_time", shown.tail_repair_time);
    sink.show("flush_enabled", yes_no(settings.flush_enabled));
    sink.show("dump_enabled", yes_no(settings.dump_enabled));
    sink.show("hash_algorithm", &shown.hash_algorithm);
}

fn segments(sink: &mut impl Sink, shown: &ShownSettings) {
    sink.show("lru_maintainer_thread", yes_no(shown.lru_maintainer));
    sink.show("lru_segmented", yes_no(shown.lru_segmented));
    sink.show("hot_lru_pct", shown.hot_lru_pct);
    sink.show("warm_lru_pct", shown.warm_lru_pct);
    sink.show("hot_max_factor", format!("{:.2}", shown.hot_max_factor));
    sink.show("warm_max_factor", format!("{:.2}", shown.warm_max_factor));
    sink.show("temp_lru", yes_no(shown.temp_lru));
    sink.show("temporary_ttl", shown.temporary_ttl);
}

fn logs(sink: &mut impl Sink, settings: &Settings) {
    let shown = &settings.shown;
    sink.show("idle_timeout", settings.idle_timeout_s);
    sink.show("watcher_logbuf_size", settings.watcher_logbuf_size);
    sink.show("worker_logbuf_size", settings.worker_logbuf_size);
    sink.show("read_buf_mem_limit", shown.read_buf_mem_limit);
    sink.show("track_sizes", yes_no(shown.track_sizes));
    sink.show("inline_ascii_response", "no");
    sink.show("num_napi_ids", 0);
    sink.show("memory_file", "(null)");
    sink.show("client_flags_size", size_of::<u32>());
}

fn path(path: Option<&Path>, none: &str) -> String {
    // Readers split at spaces.
    path.map_or_else(
        || none.into(),
        |path| path.to_string_lossy().replace(' ', "%20"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::testing::Recorder;

    fn report(settings: &Settings) -> Recorder {
        let mut recorder = Recorder::default();
        let adjusted = Adjusted {
            verbosity: 1,
            detail: true,
            memory_limit: settings.store.memory_limit,
            automove: settings.store.automove,
            automove_window_s: settings.store.automove_window_s,
            crawler: settings.store.crawler,
            shown: &settings.shown,
        };
        report_settings(&mut recorder, settings, adjusted);
        recorder
    }

    #[test]
    fn defaults_are_shown_as_memcached_shows_them() {
        let report = report(&Settings::default());
        for (name, value) in [
            ("maxbytes", "67108864"),
            ("inter", "NULL"),
            ("verbosity", "1"),
            ("domain_socket", "NULL"),
            ("umask", "700"),
            ("growth_factor", "1.25"),
            ("detail_enabled", "yes"),
            ("binding_protocol", "auto-negotiate"),
            ("auth_enabled_ascii", "no"),
            ("lru_crawler", "yes"),
            ("slab_automove", "1"),
            ("slab_automove_ratio", "0.80"),
            ("slab_automove_window", "10"),
            ("hot_max_factor", "0.20"),
            ("client_flags_size", "4"),
        ] {
            assert_eq!(report.value(name), value, "{name}");
        }
        assert!(report.value("server").starts_with("nuthatch-"));
    }

    #[test]
    fn paths_and_delimiters_never_split_a_line() {
        let settings = Settings {
            unix_socket: Some("/tmp/a b".into()),
            prefix_delimiter: b' ',
            ..Settings::default()
        };
        let report = report(&settings);
        assert_eq!(report.value("domain_socket"), "/tmp/a%20b");
        assert_eq!(report.value("stat_key_prefix"), ":");
    }
}
