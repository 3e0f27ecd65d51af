//! The report of `stats items`: one group of lines for each class that holds items.
//!
//! memcached's segments are mapped like this: the small queue is HOT, the main part is COLD.
//! WARM, items of the main part with hits counted, has no list of its own and shows as empty. There
//! are no lines beyond memcached's: an exporter in wide use fails on names that it does not know.

use crate::stats::class::ClassReading;
use crate::stats::entry::{Kind, Stat, report};
use crate::stats::{Sink, Totals};
use crate::store::ClassSnapshot;

type Line = Stat<ClassReading>;

const NO_WARM: &str = "items are in two queues; none is like memcached's WARM list";
const NO_TEMPORARY: &str = "items with short times to live are in the queues of all others";

/// The lines of a class, in order.
pub static ITEM_STATS: &[Line] = &[
    Line::gauge("number", "items", |it| it.class.items.into()).means("Items of the class."),
    Line::gauge("number_hot", "items", |it| it.class.items_small.into())
        .means("Items in the queue of new items."),
    Line::fixed(Kind::Gauge, "number_warm", "items", "0", NO_WARM)
        .means("Items in memcached's WARM list."),
    Line::gauge("number_cold", "items", |it| {
        it.class.items.saturating_sub(it.class.items_small).into()
    })
    .means("Items in the main queue, under the clock hand."),
    Line::fixed(Kind::Gauge, "number_temp", "items", "0", NO_TEMPORARY)
        .means("Items in memcached's TEMP list.")
        .when("with `-o temporary_ttl=`", |it| it.temporary),
    Line::fixed(
        Kind::Gauge,
        "age_hot",
        "seconds",
        "0",
        "the queue of new items is in the order of their coming, not of their reading",
    )
    .means("Time since the oldest of HOT was read."),
    Line::fixed(Kind::Gauge, "age_warm", "seconds", "0", NO_WARM)
        .means("Time since the oldest of WARM was read."),
    Line::gauge("age", "seconds", |it| it.class.age.into())
        .means("Time since its last use of the item that has waited longest under the clock hand.")
        .advice("When it falls in a full cache, items are evicted sooner: see `evicted_time`."),
    Line::gauge("mem_requested", "bytes", |it| it.class.item_bytes.into())
        .means("Keys, values and headers of the items."),
    Line::counter("evicted", "items", |it| it.class.evicted.into())
        .means("Live items that were removed to make room.")
        .advice("As of `evictions` in `stats`."),
    Line::counter("evicted_nonzero", "items", |it| {
        it.class.evicted_nonzero.into()
    })
    .means("Of those, items that had a time to live."),
    Line::gauge("evicted_time", "seconds", |it| it.class.evicted_time.into())
        .means("Time since its last use of the item that was evicted last.")
        .advice("When it falls, the cache has become too small: more memory (`-m`)."),
    Line::counter("outofmemory", "values", |it| it.class.out_of_memory.into())
        .means("Values that were refused for want of room.")
        .advice("As of `store_no_memory` in `stats`."),
    Line::fixed(
        Kind::Counter,
        "tailrepairs",
        "items",
        "0",
        "an item that is in use for long is passed over, and not taken by force",
    )
    .means("Items that were evicted though in use, for having been so for too long."),
    Line::counter("reclaimed", "items", |it| it.class.reclaimed.into())
        .means("Dead items whose memory was taken on the way to an eviction."),
    Line::counter("expired_unfetched", "items", |it| {
        it.class.expired_unfetched.into()
    })
    .means("Dead items that went without ever having been read.")
    .advice("As of `expired_unfetched` in `stats`."),
    Line::counter("evicted_unfetched", "items", |it| {
        it.class.evicted_unfetched.into()
    })
    .means("Live items that were evicted without ever having been read.")
    .advice("As of `evicted_unfetched` in `stats`."),
    Line::counter("evicted_active", "items", |it| {
        it.class.evicted_active.into()
    })
    .means("Live items that were evicted though hits of theirs still counted.")
    .advice("As of `evicted_active` in `stats`."),
    Line::counter("crawler_reclaimed", "items", |it| {
        it.class.crawler_reclaimed.into()
    })
    .means("Dead items that were removed in the background."),
    Line::counter("crawler_items_checked", "items", |it| {
        it.class.crawler_items_checked.into()
    })
    .means("Items that were looked at in the background."),
    Line::fixed(
        Kind::Counter,
        "lrutail_reflocked",
        "items",
        "0",
        "as of `lrutail_reflocked` in `stats`",
    )
    .means("Items in use that an eviction met first."),
    Line::counter("moves_to_cold", "items", |it| it.class.promoted.into())
        .means("Items that went from the queue of new items to the main one."),
    Line::fixed(Kind::Counter, "moves_to_warm", "items", "0", NO_WARM)
        .means("Items that went to memcached's WARM list."),
    Line::fixed(
        Kind::Counter,
        "moves_within_lru",
        "items",
        "0",
        "a clock hand goes round; items stay where they are",
    )
    .means("Items that went back to the front of their list."),
    Line::fixed(
        Kind::Counter,
        "direct_reclaims",
        "items",
        "0",
        "requests evict when they need room: see `evicted`",
    )
    .means("Evictions that a request had to make itself."),
    Line::fixed(
        Kind::Counter,
        "hits_to_hot",
        "keys",
        "0",
        "hits are not told apart by queue: all are in `hits_to_cold`",
    )
    .means("Hits on items in HOT."),
    Line::fixed(Kind::Counter, "hits_to_warm", "keys", "0", NO_WARM)
        .means("Hits on items in WARM."),
    Line::counter("hits_to_cold", "keys", |it| it.counted.get_hits.into())
        .means("Hits on items of the class, in either queue."),
    Line::fixed(Kind::Counter, "hits_to_temp", "keys", "0", NO_TEMPORARY)
        .means("Hits on items in TEMP."),
];

/// Writes the report.
pub fn report_items(
    sink: &mut impl Sink,
    classes: &[ClassSnapshot],
    totals: &Totals,
    temporary: bool,
) {
    for &class in classes.iter().filter(|class| class.items > 0) {
        let reading = ClassReading {
            temporary,
            ..ClassReading::of(class, totals)
        };
        report(
            sink,
            &format!("items:{}:", class.id.0),
            ITEM_STATS,
            &reading,
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{ClassSnapshot, Totals, report_items};
    use crate::stats::testing::Recorder;
    use crate::store::{Beliefs, ClassId};

    /// A class with distinct numbers.
    pub(in crate::stats) fn class(id: u8) -> ClassSnapshot {
        ClassSnapshot {
            id: ClassId(id),
            chunk_size: 96,
            chunks_per_page: 10,
            pages: 2,
            chunks_used: 15,
            items: 14,
            item_bytes: 1000,
            items_small: 4,
            age: 60,
            evicted: 1,
            evicted_nonzero: 1,
            evicted_time: 9,
            evicted_unfetched: 1,
            evicted_active: 0,
            out_of_memory: 0,
            reclaimed: 3,
            expired_unfetched: 2,
            crawler_reclaimed: 5,
            crawler_items_checked: 6,
            promoted: 8,
            ghost_hits: 11,
            beliefs: Beliefs::default(),
        }
    }

    #[test]
    fn only_classes_with_items_are_told() {
        let mut recorder = Recorder::default();
        let empty = ClassSnapshot {
            items: 0,
            ..class(2)
        };
        report_items(&mut recorder, &[class(1), empty], &Totals::default(), false);
        assert_eq!(recorder.value("items:1:number"), "14");
        assert_eq!(recorder.value("items:1:number_hot"), "4");
        assert_eq!(recorder.value("items:1:number_cold"), "10");
        assert!(
            recorder
                .0
                .iter()
                .all(|(name, _)| name.starts_with("items:1:"))
        );
        assert!(
            recorder
                .0
                .iter()
                .all(|(name, _)| !name.ends_with("number_temp"))
        );
    }
}
