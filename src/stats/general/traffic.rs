//! The lines of `stats` about traffic, threads and the index.

use crate::stats::entry::{Kind, Stat};
use crate::stats::general::reading::General;

type Line = Stat<General>;

pub(super) static TRAFFIC: &[Line] = &[
    Line::counter("idle_kicks", "connections", |it| {
        it.server.idle_kicks.into()
    })
    .means(
        "Connections that were closed for being idle (`-o idle_timeout=`), or for being stuck \
             in the middle of a request or reply (`-o progress_timeout=`).",
    )
    .advice("When clients complain of lost connections, lengthen the times.")
    // Being stuck counts too, and not only where idleness does.
    .when("with `-o idle_timeout=`, or when it is not 0", |it| {
        it.settings.idle_timeout_s > 0 || it.server.idle_kicks > 0
    }),
    Line::counter("bytes_read", "bytes", |it| it.totals.bytes_read.into())
        .means("What came over the network."),
    Line::counter("bytes_written", "bytes", |it| {
        it.totals.bytes_written.into()
    })
    .means("What went over the network.")
    .advice("Near what the network can carry: compress values, or add servers."),
    Line::setting("limit_maxbytes", "bytes", |it| it.store.limit_bytes.into())
        .means("The memory for everything (`-m`, or the last `cache_memlimit`)."),
    Line::gauge("accepting_conns", "0 or 1", |it| it.server.accepting.into())
        .means("1 while clients are let in; 0 at the limit or without descriptors."),
    Line::counter("listen_disabled_num", "times", |it| {
        it.server.listen_disabled_num.into()
    })
    .means("Times that letting clients in was stopped, at the limit or without descriptors.")
    .advice("Raise `-c`, or the system's limit of open files."),
    Line::counter("time_in_listen_disabled_us", "microseconds", |it| {
        it.server.time_in_listen_disabled_us.into()
    })
    .means("How long it was stopped, in all.")
    .advice("As of `listen_disabled_num`."),
    Line::setting("threads", "threads", |it| it.settings.threads.into())
        .means("Worker threads (`-t`)."),
    Line::counter("conn_yields", "times", |it| it.totals.conn_yields.into())
        .means("Times a connection had to let others go first (`-R`).")
        .advice("Fair, and no fault. For large batches from few clients a higher `-R` costs less."),
    Line::gauge("hash_power_level", "log2 of buckets", |it| {
        it.store.index_buckets.max(1).ilog2().into()
    })
    .means("Size of the index, rounded down to a power of two."),
    Line::gauge("hash_bytes", "bytes", |it| it.store.index_bytes.into())
        .means("Memory of the index, which is a part of `limit_maxbytes`."),
    Line::fixed(
        Kind::Gauge,
        "hash_is_expanding",
        "0 or 1",
        "0",
        "the index grows a bucket at a time, and is never between two sizes",
    )
    .means("Whether the index is being copied to a larger one."),
];
