//! The lines of `stats` about requests: what was asked for, and how it went.

use crate::stats::entry::Stat;
use crate::stats::general::reading::General;

type Line = Stat<General>;

pub(super) static COMMANDS: &[Line] = &[
    Line::counter("cmd_get", "keys", |it| {
        (it.totals.all.get_hits + it.totals.get_misses).into()
    })
    .means("Keys that were asked for: `get_hits` and `get_misses`. `gat` counts as `cmd_touch`."),
    Line::counter("cmd_set", "values", |it| it.totals.all.cmd_set.into()).means(
        "Values that came in for storing, stored or not; those refused at once do not count.",
    ),
    Line::counter("cmd_flush", "requests", |it| it.totals.cmd_flush.into())
        .means("`flush_all`, refused ones too.")
        .advice(
            "Each empties the cache for everybody: find out who sends them, or forbid it (`-F`).",
        ),
    Line::counter("cmd_touch", "keys", |it| {
        (it.totals.all.touch_hits + it.totals.touch_misses).into()
    })
    .means("Keys of `touch` and `gat`, and items that `mg` gave a new time."),
    Line::counter("cmd_meta", "requests", |it| it.totals.cmd_meta.into())
        .means("`me` requests; other meta commands count as what they do."),
    Line::counter("get_hits", "keys", |it| it.totals.all.get_hits.into())
        .means("Keys that a get found.")
        .advice("Its part of `cmd_get` is the hit ratio: it should not fall."),
    Line::counter("get_misses", "keys", |it| it.totals.get_misses.into())
        .means("Keys that a get did not find, or found dead.")
        .advice(
            "With many `evictions`: more memory (`-m`). With many `get_expired`: longer times to \
             live. With neither, keys are asked for that nobody stores.",
        ),
    Line::counter("get_expired", "keys", |it| it.totals.get_expired.into())
        .means("Lookups that found an item whose time was over.")
        .advice("Values are wanted for longer than they live: lengthen their times."),
    Line::counter("get_flushed", "keys", |it| it.totals.get_flushed.into())
        .means("Lookups that found an item that had been flushed."),
    Line::counter("delete_misses", "requests", |it| {
        it.totals.delete_misses.into()
    })
    .means("Deletes that found nothing to delete."),
    Line::counter("delete_hits", "requests", |it| {
        it.totals.all.delete_hits.into()
    })
    .means("Deletes that removed an item."),
    Line::counter("incr_misses", "requests", |it| it.totals.incr_misses.into())
        .means("Increments that found nothing.")
        .advice("Counters are lost, or not made first: `ma` with `N` does both in one request."),
    Line::counter("incr_hits", "requests", |it| it.totals.all.incr_hits.into())
        .means("Increments that were made."),
    Line::counter("decr_misses", "requests", |it| it.totals.decr_misses.into())
        .means("Decrements that found nothing.")
        .advice("As of `incr_misses`."),
    Line::counter("decr_hits", "requests", |it| it.totals.all.decr_hits.into())
        .means("Decrements that were made."),
    Line::counter("cas_misses", "requests", |it| it.totals.cas_misses.into())
        .means("Compare-and-swaps whose item was gone."),
    Line::counter("cas_hits", "requests", |it| it.totals.all.cas_hits.into())
        .means("Compare-and-swaps that stored."),
    Line::counter("cas_badval", "requests", |it| {
        it.totals.all.cas_badval.into()
    })
    .means("Compare-and-swaps that found another version.")
    .advice("Clients fight about a key: spread it over several, or count with `incr`."),
    Line::counter("touch_hits", "keys", |it| it.totals.all.touch_hits.into())
        .means("Items that were given a new time."),
    Line::counter("touch_misses", "keys", |it| it.totals.touch_misses.into())
        .means("Keys that a touch did not find."),
    Line::counter("store_too_large", "values", |it| {
        it.totals.store_too_large.into()
    })
    .means("Values that were refused for being larger than `item_size_max`.")
    .advice("Raise `-I`, or let clients compress or split what they store."),
    Line::counter("store_no_memory", "values", |it| {
        it.totals.store_no_memory.into()
    })
    .means("Values that were refused because there was no room and none could be made.")
    .advice("Raise `-m`; with `-M`, delete or let expire; else too many values are on their way."),
    Line::counter("auth_cmds", "requests", |it| it.totals.auth_cmds.into())
        .means("Attempts to log in."),
    Line::counter("auth_errors", "requests", |it| it.totals.auth_errors.into())
        .means("Attempts to log in that failed.")
        .advice("A client has a wrong password, or somebody guesses: see the log."),
];
