//! `stats sizes`: how many items there are of each size.

use crate::stats::Sink;
use std::collections::BTreeMap;
use std::ops::Bound;

/// Sizes are told in steps of this many bytes.
const STEP: u32 = 32;

/// Items by size, rounded up to a step.
///
/// Sizes that differ are few: so many of them as take entries worth speaking of would not find
/// room in the memory beside each other.
#[derive(Debug, Default)]
pub struct SizeHistogram(BTreeMap<u32, u64>);

impl SizeHistogram {
    /// Counts an item of `size` bytes.
    pub fn count(&mut self, size: u32) {
        *self.0.entry(size.div_ceil(STEP)).or_insert(0) += 1;
    }

    /// Writes the next lines after the one at `after`, or the first ones, at most `most` of them.
    /// Returns where the last of them is, if there was one.
    pub fn report_after(
        &self,
        after: Option<u32>,
        most: usize,
        sink: &mut impl Sink,
    ) -> Option<u32> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.0.range((from, Bound::Unbounded)).take(most);
        let mut last = None;
        for (&steps, count) in next {
            let size = u64::from(steps) * u64::from(STEP);
            sink.show(&size.to_string(), count);
            last = Some(steps);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::testing::Recorder;

    #[test]
    fn items_are_counted_by_their_size_rounded_up() {
        let mut histogram = SizeHistogram::default();
        for size in [32, 33, 64, 65, u32::MAX, 65] {
            histogram.count(size);
        }
        let (mut recorder, mut last) = (Recorder::default(), None);
        loop {
            let before = recorder.0.len();
            last = histogram.report_after(last, 3, &mut recorder);
            assert!(recorder.0.len() - before <= 3);
            if last.is_none() {
                break;
            }
        }
        let lines = recorder.0.iter();
        let lines: Vec<_> = lines
            .map(|(size, count)| format!("{size} {count}"))
            .collect();
        assert_eq!(lines, ["32 1", "64 2", "96 2", "4294967296 1"]);
    }
}
