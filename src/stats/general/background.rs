//! The lines of `stats` about work beside requests: page moves, crawling, logs.

use crate::stats::entry::{Kind, Stat, Value};
use crate::stats::general::reading::General;
use crate::store::Busy;

type Line = Stat<General>;

const REASSIGN: &str = "unless `-o no_slab_reassign`";
const CRAWLER: &str = "unless `-o no_lru_crawler`";
const MAINTAINER: &str = "unless `-o no_lru_maintainer`";

fn reassigns(it: &General) -> bool {
    it.settings.store.reassign
}

fn crawls(it: &General) -> bool {
    it.settings.store.crawler.on
}

fn maintains(it: &General) -> bool {
    it.settings.shown.lru_maintainer
}

/// memcached's word for what kept a page where it is.
fn busy_name(busy: Option<Busy>) -> Value {
    Value::from(match busy {
        None => "none",
        Some(Busy::Sending) => "busy",
        Some(Busy::Arriving) => "busy_uploading",
        Some(Busy::NoMemory) => "from_lru",
    })
}

pub(super) static PAGE_MOVES: &[Line] = &[
    Line::counter("slab_reassign_rescues", "items", |it| {
        it.store.rescues.into()
    })
    .means("Items that were copied out of a page before it moved.")
    .when(REASSIGN, reassigns),
    Line::counter("slab_reassign_chunk_rescues", "chunks", |it| {
        it.store.chunk_rescues.into()
    })
    .means("Further chunks of long items that were copied out of a page before it moved.")
    .when(REASSIGN, reassigns),
    Line::fixed(
        Kind::Counter,
        "slab_reassign_inline_reclaim",
        "items",
        "0",
        "no chunk of a page that is being emptied is handed out, to be taken back",
    )
    .means("Items that had to be evicted for the memory to copy another one to.")
    .when(REASSIGN, reassigns),
    Line::counter("slab_reassign_busy_items", "chunks", |it| {
        it.store.move_busy.into()
    })
    .means("Chunks that kept a page where it was: a client was sending or receiving them.")
    .advice("With slow clients that is normal; another page moves instead.")
    .when(REASSIGN, reassigns),
    Line::fixed(
        Kind::Counter,
        "slab_reassign_busy_deletes",
        "items",
        "0",
        "nothing is deleted for being busy: its page stays, and another one moves",
    )
    .means("Items that were deleted because they kept a page from moving for too long.")
    .when(REASSIGN, reassigns),
    Line::counter("slab_reassign_busy_nomem", "items", |it| {
        it.store.move_no_memory.into()
    })
    .means("Items of a page to be moved that found no other room: evicted, or left with `-M`.")
    .advice("Sizes of values change in a full cache; more memory (`-m`) softens that.")
    .when(REASSIGN, reassigns),
    Line::fact("slab_reassign_last_busy_status", "text", |it| {
        busy_name(it.store.last_busy)
    })
    .means(
        "What last kept a page: `busy` it was being sent, `busy_uploading` it was arriving, \
         `from_lru` there was no other room; `none` nothing did.",
    )
    .when(REASSIGN, reassigns),
    Line::gauge("slab_reassign_running", "0 or 1", |it| {
        u64::from(it.store.moving).into()
    })
    .means("1 while pages move or are to be moved, after `cache_memlimit` too.")
    .when(REASSIGN, reassigns),
    Line::counter("slabs_moved", "pages", |it| it.store.slabs_moved.into())
        .means("Pages that have changed their class, or went to the pool or came from it.")
        .advice("All the time: the sizes of values change all the time. It costs some CPU.")
        .when(REASSIGN, reassigns),
];

pub(super) static WORKERS: &[Line] = &[
    Line::fixed(
        Kind::Gauge,
        "lru_crawler_running",
        "0 or 1",
        "0",
        "the background looks at a few items all the time: it has no rounds to be in",
    )
    .means("Whether the crawler is at work.")
    .when(CRAWLER, crawls),
    Line::fixed(
        Kind::Counter,
        "lru_crawler_starts",
        "times",
        "0",
        "as of `lru_crawler_running`",
    )
    .means("Times the crawler has started.")
    .when(CRAWLER, crawls),
    Line::fixed(
        Kind::Counter,
        "lru_maintainer_juggles",
        "times",
        "0",
        "no thread sorts items into lists: requests do what is to be done",
    )
    .means("Times the maintainer has looked at the lists.")
    .when(MAINTAINER, maintains),
    Line::fixed(
        Kind::Counter,
        "malloc_fails",
        "times",
        "0",
        "the memory of items is reserved at the start",
    )
    .means("Times the system had no memory to give."),
    Line::counter("log_worker_dropped", "events", |it| {
        it.server.log_worker_dropped.into()
    })
    .means("Events that found no room on their way to watchers.")
    .advice("Raise `-o worker_logbuf_size=`, or watch for less."),
    Line::counter("log_worker_written", "events", |it| {
        it.server.log_worker_written.into()
    })
    .means("Events that found it."),
    Line::counter("log_watcher_skipped", "lines", |it| {
        it.server.log_watcher_skipped.into()
    })
    .means("Lines that a watcher was not sent because it reads too slowly.")
    .advice("Raise `-o watcher_logbuf_size=`, or watch for less."),
    Line::counter("log_watcher_sent", "lines", |it| {
        it.server.log_watcher_sent.into()
    })
    .means("Lines that watchers were sent."),
    Line::gauge("log_watchers", "connections", |it| it.watchers.into())
        .means("Connections that watch."),
    Line::fixed(
        Kind::Counter,
        "unexpected_napi_ids",
        "connections",
        "0",
        "workers are chosen in turn (`-N` has no effect)",
    )
    .means("Connections of which the network card's queue is not known."),
    Line::fixed(
        Kind::Counter,
        "round_robin_fallback",
        "connections",
        "0",
        "as of `unexpected_napi_ids`",
    )
    .means("Connections that were given to workers in turn because of that."),
];
