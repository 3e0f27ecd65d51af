//! The report of `stats eviction`: what the eviction policy has learned, for each class with items.
//!
//! Our own; memcached has nothing like it. What the words mean is in the README.

use crate::base::settings::EvictionPolicy;
use crate::stats::{Sink, yes_no};
use crate::store::ClassSnapshot;

/// Writes the report.
pub fn report_eviction(sink: &mut impl Sink, classes: &[ClassSnapshot], policy: EvictionPolicy) {
    sink.stat("policy", policy.name());
    for class in classes.iter().filter(|class| class.items > 0) {
        let beliefs = class.beliefs;
        let mut show = |name, value: &str| {
            sink.stat(&format!("eviction:{}:{name}", class.id.0), value);
        };
        for (name, number) in [
            ("items", class.items),
            ("small", beliefs.ring),
            ("small_wanted", beliefs.ring_wanted),
            ("evicted_small_lately", beliefs.evicted_small),
            ("evicted_main_lately", beliefs.evicted_main),
            ("promoted", class.promoted),
            ("trials_proven_lately", beliefs.trials_proven),
            ("trials_failed_lately", beliefs.trials_failed),
            ("ghost_hits", class.ghost_hits),
            ("pull_hundredths", beliefs.pull),
            ("turnover_bytes", beliefs.turnover),
        ] {
            show(name, &number.to_string());
        }
        show("one_hit_promotes", yes_no(beliefs.one_hit_promotes));
        show("written_not_read", yes_no(beliefs.is_unread));
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
