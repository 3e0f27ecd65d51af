//! The report of `stats settings`: memcached's names, then who is really speaking.

use crate::base::services::Services;
use crate::base::settings::{Automove, CrawlerSettings, Settings, ShownSettings};
use crate::stats::Sink;
use crate::stats::entry::{Kind, Stat, Value, report};
use std::path::Path;

/// What commands have changed since the start.
#[derive(Clone, Debug)]
pub struct Adjusted {
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
    pub shown: ShownSettings,
}

/// The settings as they are now.
#[derive(Clone, Debug)]
pub struct SettingsReading {
    /// As configured.
    pub settings: Settings,
    /// What commands have changed.
    pub adjusted: Adjusted,
}

type Line = Stat<SettingsReading>;

static NETWORK: &[Line] = &[
    Line::setting("maxbytes", "bytes", |it| it.adjusted.memory_limit.into())
        .means("The memory for everything (`-m`, or the last `cache_memlimit`)."),
    Line::setting("maxconns", "connections", |it| {
        it.settings.connections_max.into()
    })
    .means("Connections that are let in at most (`-c`)."),
    Line::setting("tcpport", "number", |it| {
        u32::from(it.settings.tcp_port.unwrap_or(0)).into()
    })
    .means("TCP port (`-p`), 0 for none."),
    Line::setting("udpport", "number", |it| {
        u32::from(it.settings.udp_port.unwrap_or(0)).into()
    })
    .means("UDP port (`-U`), 0 for none."),
    Line::setting("inter", "text", |it| addresses(&it.settings))
        .means("Addresses to listen on (`-l`); `NULL` where none are given, which is loopback."),
    Line::setting("verbosity", "level", |it| {
        u32::from(it.adjusted.verbosity).into()
    })
    .means("How much is logged (`-v`, or the last `verbosity`)."),
    Line::fixed(
        Kind::Gauge,
        "oldest",
        "seconds",
        "0",
        "a flush is a mark among the items' numbers, not a time",
    )
    .means("When the last flush was."),
    Line::setting("evictions", "on or off", |it| {
        if it.settings.store.evict { "on" } else { "off" }.into()
    })
    .means("Whether items are evicted to make room; off with `-M`."),
    Line::setting("domain_socket", "text", |it| {
        path(it.settings.unix_socket.as_deref(), "NULL")
    })
    .means("Path of the UNIX socket (`-s`), or `NULL`."),
    Line::setting("umask", "octal", |it| {
        format!("{:o}", it.settings.unix_mask).into()
    })
    .means("Permissions of the UNIX socket (`-a`)."),
    Line::setting("shutdown_command", "yes or no", |it| {
        it.settings.shutdown_enabled.into()
    })
    .means("Whether `shutdown` is allowed (`-A`)."),
];

static LIMITS: &[Line] = &[
    Line::setting("growth_factor", "ratio", |it| {
        Value::Ratio(it.settings.store.growth_factor.unwrap_or(1.25))
    })
    .means("Ratio of neighbouring chunk sizes (`-f`)."),
    Line::setting("chunk_size", "bytes", |it| {
        it.settings.store.chunk_size_min.unwrap_or(48).into()
    })
    .means("The smallest item that has a chunk of its own size (`-n`)."),
    Line::setting("num_threads", "threads", |it| it.settings.threads.into())
        .means("Worker threads (`-t`)."),
    Line::setting("num_threads_per_udp", "threads", |it| {
        it.settings.threads.into()
    })
    .means("Worker threads that answer datagrams: all of them."),
    Line::setting("stat_key_prefix", "text", |it| delimiter(&it.settings))
        .means("What ends the prefix of a key in `stats detail` (`-D`)."),
    Line::setting("detail_enabled", "yes or no", |it| {
        it.adjusted.detail.into()
    })
    .means("Whether prefixes are counted (`-D`, or the last `stats detail`)."),
    Line::setting("reqs_per_event", "requests", |it| {
        it.settings.requests_per_event.into()
    })
    .means("Requests of one connection before others get a turn (`-R`)."),
    Line::setting("cas_enabled", "yes or no", |it| {
        it.settings.store.cas.into()
    })
    .means("Whether items have CAS ids; `no` with `-C`."),
    Line::setting("tcp_backlog", "connections", |it| {
        it.settings.backlog.unsigned_abs().into()
    })
    .means("Connections that may wait to be let in (`-b`)."),
    Line::setting("binding_protocol", "text", |it| services(&it.settings))
        .means("The protocols that are spoken (`-B`)."),
    Line::setting("auth_enabled_sasl", "yes or no", |it| {
        it.settings.sasl.into()
    })
    .means("Whether binary connections must log in (`-S`)."),
    Line::setting("auth_enabled_ascii", "text", |it| {
        path(it.settings.auth_file.as_deref(), "no")
    })
    .means("The password file of text connections (`-Y`), or `no`."),
    Line::setting("item_size_max", "bytes", |it| {
        it.settings.store.item_size_max.into()
    })
    .means("The largest value (`-I`)."),
    Line::setting("maxconns_fast", "yes or no", |it| {
        it.settings.connections_refuse.into()
    })
    .means("Whether clients above `maxconns` are told so; else they wait."),
];

static SLABS: &[Line] = &[
    Line::setting("hashpower_init", "log2 of buckets", |it| {
        it.adjusted.shown.hashpower_init.into()
    })
    .means("Size of memcached's index at the start (`-o hashpower=`). Without effect."),
    Line::setting("slab_reassign", "yes or no", |it| {
        it.settings.store.reassign.into()
    })
    .means("Whether `slabs reassign` is allowed."),
    Line::setting("slab_automove", "level", |it| {
        it.adjusted.automove.level().into()
    })
    .means("When pages move by themselves: 0 only in need, 1 when that is easy, 2 readily."),
    Line::setting("slab_automove_ratio", "ratio", |it| {
        Value::Ratio(it.adjusted.shown.slab_automove_ratio)
    })
    .means("Ratio of ages that makes memcached move a page. Without effect."),
    Line::setting("slab_automove_window", "seconds", |it| {
        it.adjusted.automove_window_s.into()
    })
    .means("Pages that a class does not need for so long go to the pool."),
    Line::setting("slab_chunk_max", "bytes", |it| {
        it.adjusted.shown.slab_chunk_max.into()
    })
    .means("memcached's largest chunk. Without effect."),
];

static CRAWLER: &[Line] = &[
    Line::setting("lru_crawler", "yes or no", |it| {
        it.adjusted.crawler.on.into()
    })
    .means(
        "Whether the background looks for dead items; else they stay until they are in the way.",
    ),
    Line::setting("lru_crawler_sleep", "microseconds", |it| {
        it.adjusted.crawler.sleep_us.into()
    })
    .means("Pause of the background for each thousand chunks that it looks at."),
    Line::setting("lru_crawler_tocrawl", "items", |it| {
        it.adjusted.shown.lru_crawler_tocrawl.into()
    })
    .means("Items that memcached's crawler looks at in a run. Without effect."),
    Line::setting("tail_repair_time", "seconds", |it| {
        it.adjusted.shown.tail_repair_time.into()
    })
    .means("After which memcached takes an item in use by force. Without effect."),
    Line::setting("flush_enabled", "yes or no", |it| {
        it.settings.flush_enabled.into()
    })
    .means("Whether `flush_all` and `flush_prefix` are allowed; `no` with `-F`."),
    Line::setting("dump_enabled", "yes or no", |it| {
        it.settings.dump_enabled.into()
    })
    .means("Whether keys may be listed; `no` with `-X`."),
    Line::setting("hash_algorithm", "text", |it| {
        it.adjusted.shown.hash_algorithm.clone().into()
    })
    .means("memcached's hash. Without effect: keys are hashed with a seed of this process."),
];

static SEGMENTS: &[Line] = &[
    Line::setting("lru_maintainer_thread", "yes or no", |it| {
        it.adjusted.shown.lru_maintainer.into()
    })
    .means("Whether memcached's maintainer is on. Without effect."),
    Line::setting("lru_segmented", "yes or no", |it| {
        it.adjusted.shown.lru_segmented.into()
    })
    .means("Whether memcached's lists are segmented. Without effect."),
    Line::setting("hot_lru_pct", "percent", |it| {
        it.adjusted.shown.hot_lru_pct.into()
    })
    .means("Memory of memcached's HOT list. Without effect."),
    Line::setting("warm_lru_pct", "percent", |it| {
        it.adjusted.shown.warm_lru_pct.into()
    })
    .means("Memory of memcached's WARM list. Without effect."),
    Line::setting("hot_max_factor", "ratio", |it| {
        Value::Ratio(it.adjusted.shown.hot_max_factor)
    })
    .means("Age of memcached's HOT list, as part of COLD's. Without effect."),
    Line::setting("warm_max_factor", "ratio", |it| {
        Value::Ratio(it.adjusted.shown.warm_max_factor)
    })
    .means("Age of memcached's WARM list, as part of COLD's. Without effect."),
    Line::setting("temp_lru", "yes or no", |it| {
        it.adjusted.shown.temp_lru.into()
    })
    .means("Whether memcached has a TEMP list. Without effect."),
    Line::setting("temporary_ttl", "seconds", |it| {
        it.adjusted.shown.temporary_ttl.into()
    })
    .means("Items that live shorter go to memcached's TEMP list. Without effect."),
];

static REST: &[Line] = &[
    Line::setting("idle_timeout", "seconds", |it| {
        it.settings.idle_timeout_s.into()
    })
    .means("After which idle connections are closed, 0 for never."),
    Line::setting("watcher_logbuf_size", "bytes", |it| {
        it.settings.watcher_logbuf_size.into()
    })
    .means("What may wait to be sent to one watcher (`-o watcher_logbuf_size=`)."),
    Line::setting("worker_logbuf_size", "bytes", |it| {
        it.settings.worker_logbuf_size.into()
    })
    .means("What a worker may have to tell watchers (`-o worker_logbuf_size=`)."),
    Line::setting("read_buf_mem_limit", "bytes", |it| {
        it.adjusted.shown.read_buf_mem_limit.into()
    })
    .means("memcached's limit of read buffers. Without effect: see `conn_memory`."),
    Line::setting("track_sizes", "yes or no", |it| {
        it.adjusted.shown.track_sizes.into()
    })
    .means("Whether memcached counts items by size. Without effect."),
    Line::fixed(
        Kind::Setting,
        "inline_ascii_response",
        "yes or no",
        "no",
        "no in memcached too",
    )
    .means("Whether replies are stored with items."),
    Line::fixed(
        Kind::Setting,
        "num_napi_ids",
        "number",
        "0",
        "workers are chosen in turn (`-N` has no effect)",
    )
    .means("Queues of the network card that workers are chosen by."),
    Line::fixed(
        Kind::Setting,
        "memory_file",
        "text",
        "(null)",
        "there is no warm restart (`-e`)",
    )
    .means("The file that items are kept in."),
    Line::fact("client_flags_size", "bytes", |_| size_of::<u32>().into())
        .means("Size of the flags that clients give an item."),
];

/// What memcached does not have.
static OWN: &[Line] = &[
    Line::fact("server", "text", |_| {
        concat!("nuthatch-", env!("CARGO_PKG_VERSION")).into()
    })
    .means("Who is really speaking."),
    Line::setting("eviction", "text", |it| {
        it.settings.store.policy.name().into()
    })
    .means("Which items go when room is needed (`-o eviction=`)."),
    Line::setting("conn_memory", "bytes", |it| {
        it.settings.conn_memory_limit().into()
    })
    .means("What all connections together may hold (`-o conn_memory=`)."),
    Line::setting("progress_timeout", "seconds", |it| {
        it.settings.progress_timeout_s.into()
    })
    .means("After which connections that are stuck are closed, 0 for never."),
];

/// Its lines, in order.
pub fn settings_stats() -> impl Iterator<Item = &'static Stat<SettingsReading>> {
    [NETWORK, LIMITS, SLABS, CRAWLER, SEGMENTS, REST, OWN]
        .into_iter()
        .flatten()
}

/// Writes the report.
pub fn report_settings(sink: &mut impl Sink, settings: &Settings, adjusted: Adjusted) {
    let reading = SettingsReading {
        settings: settings.clone(),
        adjusted,
    };
    report(sink, "", settings_stats(), &reading);
}

fn addresses(settings: &Settings) -> Value {
    if settings.listen.is_empty() {
        return "NULL".into();
    }
    settings.listen.join(",").into()
}

/// One that would split the line shows as the default.
fn delimiter(settings: &Settings) -> Value {
    let delimiter = Some(settings.prefix_delimiter)
        .filter(u8::is_ascii_graphic)
        .unwrap_or(b':');
    char::from(delimiter).to_string().into()
}

fn services(settings: &Settings) -> Value {
    Value::from(match settings.services {
        Services::TEXT => "ascii",
        Services::BINARY => "binary",
        _ => "auto-negotiate",
    })
}

fn path(path: Option<&Path>, none: &'static str) -> Value {
    // Readers split at spaces.
    path.map_or_else(
        || none.into(),
        |path| path.to_string_lossy().replace(' ', "%20").into(),
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
            shown: settings.shown.clone(),
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
