//! The report of `stats items`: one group of lines for each class that holds items.
//!
//! memcached's segments are mapped like this: the small queue is HOT, the main part is COLD.
//! WARM, items of the main part with hits counted, has no list of its own and shows as empty. There
//! are no lines beyond memcached's: an exporter in wide use fails on names that it does not know.

use crate::stats::{Sink, Totals};
use crate::store::ClassSnapshot;

/// Writes the report.
pub fn report_items(
    sink: &mut impl Sink,
    classes: &[ClassSnapshot],
    totals: &Totals,
    temporary: bool,
) {
    for class in classes.iter().filter(|class| class.items > 0) {
        let hits = totals.classes.of(class.id).get_hits;
        for (name, number) in numbers(class, hits) {
            if temporary || name != "number_temp" {
                sink.show(&format!("items:{}:{name}", class.id.0), number);
            }
        }
    }
}

fn numbers(class: &ClassSnapshot, hits: u64) -> [(&'static str, u64); 29] {
    [
        ("number", class.items),
        ("number_hot", class.items_small),
        ("number_warm", 0),
        ("number_cold", class.items.saturating_sub(class.items_small)),
        ("number_temp", 0),
        ("age_hot", 0),
        ("age_warm", 0),
        ("age", class.age),
        ("mem_requested", class.item_bytes),
        ("evicted", class.evicted),
        ("evicted_nonzero", class.evicted_nonzero),
        ("evicted_time", class.evicted_time),
        ("outofmemory", class.out_of_memory),
        ("tailrepairs", 0),
        ("reclaimed", class.reclaimed),
        ("expired_unfetched", class.expired_unfetched),
        ("evicted_unfetched", class.evicted_unfetched),
        ("evicted_active", class.evicted_active),
        ("crawler_reclaimed", class.crawler_reclaimed),
        ("crawler_items_checked", class.crawler_items_checked),
        ("lrutail_reflocked", 0),
        ("moves_to_cold", class.promoted),
        ("moves_to_warm", 0),
        ("moves_within_lru", 0),
        ("direct_reclaims", 0),
        ("hits_to_hot", 0),
        ("hits_to_warm", 0),
        ("hits_to_cold", hits),
        ("hits_to_temp", 0),
    ]
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
