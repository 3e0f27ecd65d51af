//! The suboptions of `-o`: one table, from name to what it sets.

use super::{bad, conflict, parse_number, parse_size, show_size};
use crate::base::settings::{Automove, EvictionPolicy, Settings, UDP_REPLY_LEN};
use crate::server::Failure;
use std::ops::RangeInclusive;

/// What a suboption takes, and what it does with it.
enum Apply {
    /// Nothing; a value is ignored, as `getsubopt` callers do.
    Bare(fn(&mut Settings)),
    /// A number in a range.
    Number(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A number in a range, or none: then the default given here.
    NumberOr(u64, RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A size in a range: bytes, or with k, m or g.
    Size(RangeInclusive<u64>, fn(&mut Settings, u64)),
    /// A fraction above zero and at most this.
    Fraction(f64, fn(&mut Settings, f64)),
    /// One of several words.
    Word(&'static [&'static str], fn(&mut Settings, &str)),
    /// Anything or nothing; it is not kept.
    Ignored,
    /// A feature that is not there yet.
    Unsupported(&'static str),
}

use Apply::{Bare, Fraction, Ignored, Number, NumberOr, Size, Unsupported, Word};

const U32: RangeInclusive<u64> = 0..=u32::MAX as u64;
/// Sizes given in KiB whose bytes must fit 32 bits.
const KIB: RangeInclusive<u64> = 1..=(u32::MAX >> 10) as u64;
/// From one datagram to what memcached's clients fetch in practice, in some 24 of them.
const UDP_REPLY: RangeInclusive<u64> = UDP_REPLY_LEN as u64..=32 << 10;
/// What watchers' events and lines may take, in KiB: no more than is of use, as each thread and
/// each watcher has one.
const LOG_BUFFER: RangeInclusive<u64> = 1..=64 << 10;
/// Sizes given in MiB.
const MIB: RangeInclusive<u64> = 0..=1 << 24;
/// What connections may hold.
const CONN_MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 40;
const NO_LIMIT: f64 = f64::MAX;

/// Suboptions that do something.
const EFFECTIVE: &[(&str, Apply)] = &[
    (
        "maxconns_fast",
        Bare(|settings| settings.connections_refuse = true),
    ),
    (
        "no_maxconns_fast",
        Bare(|settings| settings.connections_refuse = false),
    ),
    (
        "idle_timeout",
        Number(U32, |settings, s| settings.idle_timeout_s = s as u32),
    ),
    (
        "progress_timeout",
        Number(U32, |settings, s| settings.progress_timeout_s = s as u32),
    ),
    (
        "udp_reply_max",
        Number(UDP_REPLY, |settings, bytes| {
            settings.udp_reply_max = bytes as usize
        }),
    ),
    (
        "conn_memory",
        Size(CONN_MEMORY, |settings, size| {
            settings.conn_memory = Some(size)
        }),
    ),
    (
        "watcher_logbuf_size",
        Number(LOG_BUFFER, |s, n| s.watcher_logbuf_size = (n as u32) << 10),
    ),
    (
        "worker_logbuf_size",
        Number(LOG_BUFFER, |s, n| s.worker_logbuf_size = (n as u32) << 10),
    ),
    (
        "slab_reassign",
        Bare(|settings| settings.store.reassign = true),
    ),
    (
        "no_slab_reassign",
        Bare(|settings| settings.store.reassign = false),
    ),
    (
        "slab_automove",
        NumberOr(1, 0..=2, |settings, n| {
            settings.store.automove = Automove::from_level(n as u32).unwrap_or_default()
        }),
    ),
    (
        "no_slab_automove",
        Bare(|settings| settings.store.automove = Automove::ByNeed),
    ),
    (
        "slab_automove_window",
        Number(3..=1800, |settings, s| {
            settings.store.automove_window_s = s as u32
        }),
    ),
    (
        "lru_crawler",
        Bare(|settings| settings.store.crawler.on = true),
    ),
    (
        "no_lru_crawler",
        Bare(|settings| settings.store.crawler.on = false),
    ),
    (
        "lru_crawler_sleep",
        Number(0..=1_000_000, |settings, us| {
            settings.store.crawler.sleep_us = us as u32
        }),
    ),
    ("eviction", Word(&["s3", "lru", "lfu"], set_policy)),
    ("modern", Bare(|_| {})),
    ("no_modern", Bare(set_old_defaults)),
    ("relaxed_privileges", Bare(|_| {})),
    ("no_drop_privileges", Bare(|_| {})),
    ("drop_privileges", Unsupported("dropping system calls")),
];

/// Suboptions that are kept to be shown, or not even that.
const SHOWN: &[(&str, Apply)] = &[
    (
        "hashpower",
        Number(12..=32, |settings, n| {
            settings.shown.hashpower_init = n as u32
        }),
    ),
    ("no_hashexpand", Ignored),
    (
        "slab_automove_ratio",
        Fraction(1.0, |settings, r| settings.shown.slab_automove_ratio = r),
    ),
    ("slab_automove_freeratio", Ignored),
    (
        "tail_repair_time",
        Number(10..=u32::MAX as u64, |settings, s| {
            settings.shown.tail_repair_time = s as u32
        }),
    ),
    (
        "hash_algorithm",
        Word(&["jenkins", "murmur3", "xxh3"], |settings, name| {
            settings.shown.hash_algorithm = name.into();
        }),
    ),
    (
        "lru_crawler_tocrawl",
        Number(U32, |s, n| s.shown.lru_crawler_tocrawl = n as u32),
    ),
    (
        "lru_maintainer",
        Bare(|settings| set_maintainer(settings, true)),
    ),
    (
        "no_lru_maintainer",
        Bare(|settings| set_maintainer(settings, false)),
    ),
    (
        "hot_lru_pct",
        Number(1..=79, |settings, n| settings.shown.hot_lru_pct = n as u32),
    ),
    (
        "warm_lru_pct",
        Number(1..=79, |settings, n| settings.shown.warm_lru_pct = n as u32),
    ),
    (
        "hot_max_factor",
        Fraction(NO_LIMIT, |settings, r| settings.shown.hot_max_factor = r),
    ),
    (
        "warm_max_factor",
        Fraction(NO_LIMIT, |settings, r| settings.shown.warm_max_factor = r),
    ),
    ("temporary_ttl", Number(U32, set_temporary_ttl)),
    ("slab_sizes", Ignored),
    (
        "slab_chunk_max",
        Number(KIB, |s, n| s.shown.slab_chunk_max = (n as u32) << 10),
    ),
    (
        "no_chunked_items",
        Bare(|settings| settings.shown.slab_chunk_max = 1 << 20),
    ),
    (
        "track_sizes",
        Bare(|settings| settings.shown.track_sizes = true),
    ),
    ("inline_ascii_resp", Ignored),
    ("no_inline_ascii_resp", Ignored),
    ("resp_obj_mem_limit", Ignored),
    (
        "read_buf_mem_limit",
        Number(MIB, |s, n| s.shown.read_buf_mem_limit = n << 20),
    ),
    ("sock_cookie_id", Ignored),
];

/// Families of suboptions whose feature is not there yet.
const UNSUPPORTED_PREFIXES: [(&str, &str); 3] = [
    ("ssl_", "TLS"),
    ("ext_", "external storage"),
    ("proxy_", "the proxy"),
];

/// Applies one comma list. Names of suboptions that change nothing but what is shown are added to
/// `without_effect`.
pub(super) fn apply<'a>(
    settings: &mut Settings,
    list: &'a str,
    without_effect: &mut Vec<&'a str>,
) -> Result<(), Failure> {
    for element in list
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
    {
        let (name, value) = match element.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (element, None),
        };
        if let Some(apply) = find(EFFECTIVE, name) {
            apply.run(settings, name, value)?;
        } else if let Some(apply) = find(SHOWN, name) {
            apply.run(settings, name, value)?;
            without_effect.push(name);
        } else {
            return Err(unknown(name));
        }
    }
    Ok(())
}

/// What the suboptions that do something come to, as one would write them.
pub(super) fn effective(settings: &Settings) -> Vec<String> {
    let switch = |name: &str, is_on| format!("{}{name}", if is_on { "" } else { "no_" });
    let store = &settings.store;
    vec![
        switch("maxconns_fast", settings.connections_refuse),
        format!("idle_timeout={}", settings.idle_timeout_s),
        format!("progress_timeout={}", settings.progress_timeout_s),
        format!("conn_memory={}", show_size(settings.conn_memory_limit())),
        format!("watcher_logbuf_size={}", settings.watcher_logbuf_size >> 10),
        format!("worker_logbuf_size={}", settings.worker_logbuf_size >> 10),
        format!("udp_reply_max={}", settings.udp_reply_max),
        switch("lru_crawler", store.crawler.on),
        format!("lru_crawler_sleep={}", store.crawler.sleep_us),
        format!("eviction={}", store.policy.name()),
        switch("slab_reassign", store.reassign),
        format!("slab_automove={}", store.automove.level()),
        format!("slab_automove_window={}", store.automove_window_s),
    ]
}

fn find(table: &'static [(&'static str, Apply)], name: &str) -> Option<&'static Apply> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, apply)| apply)
}

fn unknown(name: &str) -> Failure {
    let family = UNSUPPORTED_PREFIXES
        .iter()
        .find(|(prefix, _)| name.starts_with(prefix));
    match family {
        Some((_, what)) => unsupported(name, what),
        None => bad(format!("Illegal suboption \"{name}\"")),
    }
}

fn unsupported(name: &str, what: &str) -> Failure {
    conflict(format!("-o {name}: {what} is not supported yet"))
}

impl Apply {
    fn run(&self, settings: &mut Settings, name: &str, value: Option<&str>) -> Result<(), Failure> {
        match self {
            Bare(set) => set(settings),
            NumberOr(default, _, set) if value.is_none() => set(settings, *default),
            Number(range, set) | NumberOr(_, range, set) => {
                set(
                    settings,
                    parse_number(&flag(name), required(name, value)?, range)?,
                );
            }
            Size(range, set) => {
                let text = required(name, value)?;
                let size = parse_size(text, 1).filter(|size| range.contains(size));
                set(settings, size.ok_or_else(|| bad_size(name, text, range))?);
            }
            Fraction(max, set) => {
                set(
                    settings,
                    parse_fraction(name, required(name, value)?, *max)?,
                );
            }
            Word(words, set) => {
                let word = required(name, value)?;
                if !words.contains(&word) {
                    let words = words.join(", ");
                    return Err(bad(format!("-o {name}={word}: must be one of {words}")));
                }
                set(settings, word);
            }
            Ignored => {}
            Unsupported(what) => return Err(unsupported(name, what)),
        }
        Ok(())
    }
}

fn flag(name: &str) -> String {
    format!("-o {name}")
}

fn required<'a>(name: &str, value: Option<&'a str>) -> Result<&'a str, Failure> {
    value.ok_or_else(|| bad(format!("-o {name}: needs a value")))
}

fn bad_size(name: &str, text: &str, range: &RangeInclusive<u64>) -> Failure {
    let (least, most) = (range.start() >> 20, range.end() >> 20);
    bad(format!(
        "-o {name}={text}: must be a size from {least}m to {most}m"
    ))
}

fn parse_fraction(name: &str, text: &str, max: f64) -> Result<f64, Failure> {
    let value = text
        .parse()
        .ok()
        .filter(|value: &f64| *value > 0.0 && *value <= max);
    value.ok_or_else(|| {
        let bound = if max < NO_LIMIT {
            format!(" and at most {max}")
        } else {
            String::new()
        };
        bad(format!("-o {name}={text}: must be greater than 0{bound}"))
    })
}

fn set_policy(settings: &mut Settings, word: &str) {
    settings.store.policy = match word {
        "lru" => EvictionPolicy::Lru,
        "lfu" => EvictionPolicy::Lfu,
        _ => EvictionPolicy::S3,
    };
}

fn set_temporary_ttl(settings: &mut Settings, seconds: u64) {
    settings.shown.temporary_ttl = seconds as u32;
    settings.shown.temp_lru = true;
}

fn set_maintainer(settings: &mut Settings, on: bool) {
    settings.shown.lru_maintainer = on;
    settings.shown.lru_segmented = on;
}

/// The defaults of memcached 1.4, as far as they can be seen.
fn set_old_defaults(settings: &mut Settings) {
    settings.connections_refuse = false;
    settings.store.reassign = false;
    settings.store.automove = Automove::ByNeed;
    settings.store.crawler.on = false;
    set_maintainer(settings, false);
    let shown = &mut settings.shown;
    shown.hash_algorithm = "jenkins".into();
    shown.slab_chunk_max = 1 << 20;
}
