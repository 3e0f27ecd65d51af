//! The report of `stats eviction`: what the eviction policy has learned, for each class with items.
//!
//! Our own; memcached has nothing like it.

use crate::base::settings::EvictionPolicy;
use crate::stats::Sink;
use crate::stats::entry::{Stat, report};
use crate::store::ClassSnapshot;

/// The line before the classes.
pub static POLICY_STATS: &[Stat<EvictionPolicy>] =
    &[
        Stat::<EvictionPolicy>::setting("policy", "text", |it| it.name().into())
            .means("Which items go when room is needed (`-o eviction=`)."),
    ];

type Line = Stat<ClassSnapshot>;

/// The lines of a class, in order.
pub static EVICTION_STATS: &[Line] = &[
    Line::gauge("items", "items", |it| it.items.into()).means("Items of the class."),
    Line::gauge("small", "items", |it| it.beliefs.ring.into())
        .means("Items in the queue of new items."),
    Line::gauge("small_wanted", "items", |it| it.beliefs.ring_wanted.into())
        .means("How many that queue should have."),
    Line::gauge("evicted_small_lately", "items", |it| {
        it.beliefs.evicted_small.into()
    })
    .means("Recent evictions from that queue."),
    Line::gauge("evicted_main_lately", "items", |it| {
        it.beliefs.evicted_main.into()
    })
    .means("Recent evictions from under the hand, of the main queue."),
    Line::counter("promoted", "items", |it| it.promoted.into())
        .means("Items that went from the first queue to the second."),
    Line::gauge("trials_proven_lately", "items", |it| {
        it.beliefs.trials_proven.into()
    })
    .means("Of recent items promoted after one hit, those that were hit again."),
    Line::gauge("trials_failed_lately", "items", |it| {
        it.beliefs.trials_failed.into()
    })
    .means("Those that were not."),
    Line::counter("ghost_hits", "keys", |it| it.ghost_hits.into())
        .means("Gets of items that had been evicted recently.")
        .advice("With more memory (`-m`) some of them would have been hits."),
    Line::gauge("pull_hundredths", "hundredths of a get", |it| {
        it.beliefs.pull.into()
    })
    .means("The same, fading with time; pages move to the classes with the most per page."),
    Line::gauge("turnover_bytes", "bytes", |it| it.beliefs.turnover.into())
        .means("Bytes stored, in all classes, while this class is replaced once.")
        .advice("When it falls, items live for a shorter time: the cache has become too small."),
    Line::fact("one_hit_promotes", "yes or no", |it| {
        it.beliefs.one_hit_promotes.into()
    })
    .means("Whether one hit is enough to be promoted; if not, it takes two."),
    Line::fact("written_not_read", "yes or no", |it| {
        it.beliefs.is_unread.into()
    })
    .means("`yes` while items are stored and nobody reads: then the newest are kept."),
];

/// Writes the report.
pub fn report_eviction(sink: &mut impl Sink, classes: &[ClassSnapshot], policy: EvictionPolicy) {
    report(sink, "", POLICY_STATS, &policy);
    for class in classes.iter().filter(|class| class.items > 0) {
        let prefix = format!("eviction:{}:", class.id.0);
        report(sink, &prefix, EVICTION_STATS, class);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::items::tests::class;
    use crate::stats::testing::Recorder;
    use crate::store::Beliefs;

    #[test]
    fn a_class_tells_what_it_believes() {
        let mut recorder = Recorder::default();
        let believing = ClassSnapshot {
            beliefs: Beliefs {
                ring: 7,
                ring_wanted: 9,
                one_hit_promotes: true,
                ..Beliefs::default()
            },
            ..class(3)
        };
        let empty = ClassSnapshot {
            items: 0,
            ..class(4)
        };
        report_eviction(&mut recorder, &[believing, empty], EvictionPolicy::S3);
        assert_eq!(recorder.value("policy"), "s3");
        assert_eq!(recorder.value("eviction:3:items"), "14");
        assert_eq!(recorder.value("eviction:3:small"), "7");
        assert_eq!(recorder.value("eviction:3:small_wanted"), "9");
        assert_eq!(recorder.value("eviction:3:one_hit_promotes"), "yes");
        assert_eq!(recorder.value("eviction:3:written_not_read"), "no");
        assert!(recorder.0.iter().all(|(name, _)| !name.contains(":4:")));
    }
}
