//! The report of `stats slabs`: memory and hits of each class that owns pages, then their sum.

use crate::stats::class::ClassReading;
use crate::stats::entry::{Kind, Stat, report};
use crate::stats::{Sink, Totals};
use crate::store::ClassSnapshot;

type Line = Stat<ClassReading>;

/// The lines of a class, in order.
pub static SLAB_STATS: &[Line] = &[
    Line::fact("chunk_size", "bytes", |it| it.class.chunk_size.into())
        .means("Size of a chunk: items of up to so many bytes have one."),
    Line::fact("chunks_per_page", "chunks", |it| {
        it.class.chunks_per_page.into()
    })
    .means("Chunks that a page is cut into."),
    Line::gauge("total_pages", "pages", |it| it.class.pages.into())
        .means("Pages that the class owns."),
    Line::gauge("total_chunks", "chunks", |it| {
        it.class.chunks_total().into()
    })
    .means("Chunks of those pages."),
    Line::gauge("used_chunks", "chunks", |it| it.class.chunks_used.into())
        .means("Of those, chunks that hold an item, or a part of one."),
    Line::gauge("free_chunks", "chunks", |it| {
        it.class
            .chunks_total()
            .saturating_sub(it.class.chunks_used)
            .into()
    })
    .means("The others.")
    .advice("Many for long: with `slabs automove 1` their pages go where they are needed."),
    Line::fixed(
        Kind::Gauge,
        "free_chunks_end",
        "chunks",
        "0",
        "0 in memcached too: all chunks of a page are free at once",
    )
    .means("Chunks of the newest page that were never used."),
    Line::counter("get_hits", "keys", |it| it.counted.get_hits.into())
        .means("Keys that a get found in the class."),
    Line::counter("cmd_set", "values", |it| it.counted.cmd_set.into())
        .means("Values that came in for the class."),
    Line::counter("delete_hits", "requests", |it| {
        it.counted.delete_hits.into()
    })
    .means("Deletes that removed an item of it."),
    Line::counter("incr_hits", "requests", |it| it.counted.incr_hits.into())
        .means("Increments that were made in it."),
    Line::counter("decr_hits", "requests", |it| it.counted.decr_hits.into())
        .means("Decrements that were made in it."),
    Line::counter("cas_hits", "requests", |it| it.counted.cas_hits.into())
        .means("Compare-and-swaps that stored in it."),
    Line::counter("cas_badval", "requests", |it| it.counted.cas_badval.into())
        .means("Compare-and-swaps that found another version in it.")
        .advice("As of `cas_badval` in `stats`."),
    Line::counter("touch_hits", "keys", |it| it.counted.touch_hits.into())
        .means("Items of it that were given a new time."),
];

/// All classes together.
#[derive(Clone, Copy, Debug)]
pub struct SlabSums {
    classes: u64,
    page_bytes: u64,
}

/// The lines after the classes, in order.
pub static SLAB_SUM_STATS: &[Stat<SlabSums>] = &[
    Stat::<SlabSums>::gauge("active_slabs", "classes", |it| it.classes.into())
        .means("Classes that own pages."),
    Stat::<SlabSums>::gauge("total_malloced", "bytes", |it| it.page_bytes.into())
        .means("Memory of their pages."),
];

/// Writes the report; a page has `page_size` bytes.
pub fn report_slabs(
    sink: &mut impl Sink,
    classes: &[ClassSnapshot],
    totals: &Totals,
    page_size: u64,
) {
    let mut sums = SlabSums {
        classes: 0,
        page_bytes: 0,
    };
    for &class in classes.iter().filter(|class| class.pages > 0) {
        let reading = ClassReading::of(class, totals);
        report(sink, &format!("{}:", class.id.0), SLAB_STATS, &reading);
        sums.classes += 1;
        sums.page_bytes += class.pages * page_size;
    }
    report(sink, "", SLAB_SUM_STATS, &sums);
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
