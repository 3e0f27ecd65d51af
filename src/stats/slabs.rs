//! The report of `stats slabs`: memory and hits of each class that owns pages, then their sum.

use crate::stats::{Sink, Totals};
use crate::store::ClassSnapshot;

/// Writes the report; a page has `page_size` bytes.
pub fn report_slabs(
    sink: &mut impl Sink,
    classes: &[ClassSnapshot],
    totals: &Totals,
    page_size: u64,
) {
    let owners = || classes.iter().filter(|class| class.pages > 0);
    for class in owners() {
        let id = class.id.0;
        let mut line = |name: &str, number: u64| sink.show(&format!("{id}:{name}"), number);
        line("chunk_size", u64::from(class.chunk_size));
        line("chunks_per_page", u64::from(class.chunks_per_page));
        line("total_pages", class.pages);
        line("total_chunks", class.chunks_total());
        line("used_chunks", class.chunks_used);
        line(
            "free_chunks",
            class.chunks_total().saturating_sub(class.chunks_used),
        );
        line("free_chunks_end", 0);
        let counted = totals.classes.of(class.id);
        line("get_hits", counted.get_hits);
        line("cmd_set", counted.cmd_set);
        line("delete_hits", counted.delete_hits);
        line("incr_hits", counted.incr_hits);
        line("decr_hits", counted.decr_hits);
        line("cas_hits", counted.cas_hits);
        line("cas_badval", counted.cas_badval);
        line("touch_hits", counted.touch_hits);
    }
    sink.show("active_slabs", owners().count());
    sink.show(
        "total_malloced",
        owners().map(|class| class.pages).sum::<u64>() * page_size,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::items::tests::class;
    use crate::stats::testing::Recorder;

    #[test]
    fn classes_are_followed_by_their_sum() {
        let mut recorder = Recorder::default();
        let without = ClassSnapshot {
            pages: 0,
            ..class(2)
        };
        report_slabs(
            &mut recorder,
            &[class(1), without, class(3)],
            &Totals::default(),
            4096,
        );
        assert_eq!(recorder.value("1:total_chunks"), "20");
        assert_eq!(recorder.value("3:free_chunks"), "5");
        assert_eq!(recorder.value("active_slabs"), "2");
        assert_eq!(recorder.value("total_malloced"), "16384");
        assert_eq!(recorder.0.len(), 2 * 15 + 2);
    }

    #[test]
    fn no_class_owns_the_line_that_stats_items_has() {
        let mut recorder = Recorder::default();
        report_slabs(&mut recorder, &[class(1)], &Totals::default(), 4096);
        assert!(
            recorder
                .0
                .iter()
                .all(|(name, _)| !name.contains("mem_requested"))
        );
    }
}
