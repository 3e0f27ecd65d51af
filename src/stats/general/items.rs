//! The lines of `stats` about items, and our own at its end.

use crate::stats::entry::{Kind, Stat};
use crate::stats::general::reading::General;

type Line = Stat<General>;

const MAINTAINER: &str = "unless `-o no_lru_maintainer`";
const NO_SEGMENTS: &str =
    "items are in two queues, and none moves to have its place in memcached's";

fn maintains(it: &General) -> bool {
    it.settings.shown.lru_maintainer
}

pub(super) static ITEMS: &[Line] = &[
    Line::gauge("bytes", "bytes", |it| it.store.item_bytes.into())
        .means("Keys, values and headers of all items; never above `limit_maxbytes`."),
    Line::gauge("curr_items", "items", |it| it.store.items.into())
        .means("Items, expired ones included until they are met."),
    Line::counter("total_items", "items", |it| it.store.items_total.into())
        .means("Items that were stored, those that took the place of another one included."),
    Line::gauge("slab_global_page_pool", "pages", |it| {
        it.store.pages_free.into()
    })
    .means("Pages that no class owns.")
    .advice("When it stays 0, the memory is in use: that is when `evictions` begin."),
    Line::counter("expired_unfetched", "items", |it| {
        it.store.expired_unfetched.into()
    })
    .means("Dead items that went without ever having been read.")
    .advice("Close to `total_items`: values are stored that nobody reads. Store fewer."),
    Line::counter("evicted_unfetched", "items", |it| {
        it.store.evicted_unfetched.into()
    })
    .means("Live items that were evicted without ever having been read.")
    .advice("Close to `evictions`: values are stored that nobody reads, or room is short."),
    Line::counter("evicted_active", "items", |it| {
        it.store.evicted_active.into()
    })
    .means("Live items that were evicted though hits of theirs still counted.")
    .advice("Popular items have to go: more memory (`-m`).")
    .when(MAINTAINER, maintains),
    Line::counter("evictions", "items", |it| it.store.evictions.into())
        .means("Live items that were removed to make room.")
        .advice(
            "Normal in a full cache. With `get_misses` that hurt: more memory (`-m`), smaller \
             values or more servers; `stats eviction` says which sizes would gain.",
        ),
    Line::counter("reclaimed", "items", |it| it.store.reclaimed.into())
        .means("Dead items whose memory was taken on the way to an eviction."),
    Line::counter("crawler_reclaimed", "items", |it| {
        it.store.crawler_reclaimed.into()
    })
    .means("Dead items that were removed in the background."),
    Line::counter("crawler_items_checked", "items", |it| {
        it.store.crawler_items_checked.into()
    })
    .means("Items that were looked at in the background."),
    Line::fixed(
        Kind::Counter,
        "lrutail_reflocked",
        "items",
        "0",
        "an item that is in use is passed over, and costs an eviction nothing",
    )
    .means("Items in use that an eviction met first."),
    Line::fixed(Kind::Counter, "moves_to_cold", "items", "0", NO_SEGMENTS)
        .means("Items that went to memcached's COLD list; see `stats items`.")
        .when(MAINTAINER, maintains),
    Line::fixed(Kind::Counter, "moves_to_warm", "items", "0", NO_SEGMENTS)
        .means("Items that went to memcached's WARM list.")
        .when(MAINTAINER, maintains),
    Line::fixed(Kind::Counter, "moves_within_lru", "items", "0", NO_SEGMENTS)
        .means("Items that went back to the front of their list.")
        .when(MAINTAINER, maintains),
    Line::fixed(
        Kind::Counter,
        "direct_reclaims",
        "items",
        "0",
        "requests evict when they need room: see `evictions`",
    )
    .means("Evictions that a request had to make itself.")
    .when(MAINTAINER, maintains),
    Line::fixed(
        Kind::Counter,
        "lru_bumps_dropped",
        "items",
        "0",
        "a hit is a mark in the item, and no queue of hits can be full",
    )
    .means("Hits that were forgotten for want of time.")
    .when(MAINTAINER, maintains),
];

/// What memcached does not have.
pub(super) static OWN: &[Line] = &[
    Line::counter("cmd_flush_prefix", "requests", |it| {
        it.totals.cmd_flush_prefix.into()
    })
    .means("`flush_prefix`, refused ones too."),
    Line::gauge("flushes_pending", "flushes", |it| {
        it.store.flushes_pending.into()
    })
    .means("Flushes whose items are not all removed from memory yet.")
    .advice("Flushes come faster than the background can follow: flush less often."),
    Line::gauge("conn_held_bytes", "bytes", |it| {
        (it.server.conn_input_bytes + it.server.conn_output_bytes).into()
    })
    .means("Requests and replies that connections hold; bounded by `conn_memory`.")
    .advice("Look for clients that do not read, or that stop in the middle of a request."),
];
