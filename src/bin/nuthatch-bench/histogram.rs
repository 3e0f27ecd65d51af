//! How long things took: a histogram whose buckets widen with the value.
//!
//! ```text
//!   ns   0 .. 127       one bucket each
//!        128 .. 255     128 buckets of 1
//!        256 .. 511     128 buckets of 2
//!        512 .. 1023    128 buckets of 4      ... and so on: never wrong by more than 1/128
//! ```
//!
//! Recording is a shift and an addition, merging is an addition for each bucket.

/// Buckets in each octave, as a power of two: 128 keep every answer within 0.8 %.
const OCTAVE_BITS: u32 = 7;
const OCTAVE: usize = 1 << OCTAVE_BITS;

/// Values from here on (18 minutes in nanoseconds) share the last bucket.
const VALUE_BITS_MAX: u32 = 40;
const BUCKETS: usize = (VALUE_BITS_MAX - OCTAVE_BITS + 1) as usize * OCTAVE;

/// Counts of values, by size.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

/// One line of the drawing: values up to `to`, and how many there were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    pub(crate) to: u64,
    pub(crate) count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            sum: 0,
            max: 0,
        }
    }

    /// Counts `value` as seen `times` times.
    #[inline]
    pub(crate) fn record(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        self.buckets[bucket_of(value)] += times;
        self.count += times;
        self.sum += u128::from(value) * u128::from(times);
        self.max = self.max.max(value);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }

    /// The smallest value that `percent` of all values do not exceed, up to its bucket's end.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((self.count as f64 * percent / 100.0).ceil() as u64).clamp(1, u64::MAX);
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return bucket_last(bucket).min(self.max);
            }
        }
        self.max
    }

    /// One bar for each doubling, from the first that is not empty to the last.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let octaves = self.buckets.chunks(OCTAVE).enumerate();
        let mut bars: Vec<Bar> = octaves
            .map(|(octave, counts)| Bar {
                to: bucket_last(octave * OCTAVE + OCTAVE - 1),
                count: counts.iter().sum(),
            })
            .skip_while(|bar| bar.count == 0)
            .collect();
        while bars.last().is_some_and(|bar| bar.count == 0) {
            bars.pop();
        }
        bars
    }
}

#[inline]
fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS_MAX) - 1);
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(OCTAVE_BITS + 1);
    // The top bit of a value past the first octave says again what `shift` says.
    shift as usize * OCTAVE + (value >> shift) as usize
}

/// The largest value that a bucket takes.
fn bucket_last(bucket: usize) -> u64 {
    let shift = (bucket / OCTAVE).saturating_sub(1);
    let front = (bucket - shift * OCTAVE) as u64;
    ((front + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_begins_where_the_one_before_ended() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(next), bucket, "{next}");
            assert_eq!(bucket_of(bucket_last(bucket)), bucket);
            next = bucket_last(bucket) + 1;
        }
        assert_eq!(next, 1 << VALUE_BITS_MAX);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_close_from_above() {
        let mut histogram = Histogram::new();
        for value in 1..=100_000 {
            histogram.record(value, 1);
        }
        for (percent, exact) in [(50.0, 50_000), (90.0, 90_000), (99.9, 99_900)] {
            let found = histogram.percentile(percent);
            assert!(found >= exact && found <= exact + exact / 128, "{found}");
        }
        assert_eq!(histogram.percentile(100.0), 100_000);
        assert_eq!(histogram.percentile(0.0), 1);
        assert!((histogram.mean() - 50_000.5).abs() < 0.01);
    }

    #[test]
    fn merged_halves_equal_the_whole() {
        let (mut whole, mut left, mut right) =
            (Histogram::new(), Histogram::new(), Histogram::new());
        for value in (0..1_000_000).step_by(317) {
            whole.record(value, 2);
            let half = if value % 2 == 0 {
                &mut left
            } else {
                &mut right
            };
            half.record(value, 2);
        }
        left.merge(&right);
        assert_eq!(left.buckets, whole.buckets);
        assert_eq!(
            (left.count, left.sum, left.max),
            (whole.count, whole.sum, whole.max)
        );
    }

    #[test]
    fn nothing_recorded_is_zero_everywhere() {
        let histogram = Histogram::new();
        assert_eq!((histogram.percentile(99.0), histogram.max()), (0, 0));
        assert_eq!(histogram.bars(), []);
    }

    #[test]
    fn bars_double() {
        let mut histogram = Histogram::new();
        histogram.record(300, 5);
        histogram.record(1500, 2);
        let bars = histogram.bars();
        let shape: Vec<(u64, u64)> = bars.iter().map(|bar| (bar.to, bar.count)).collect();
        assert_eq!(shape, [(511, 5), (1023, 0), (2047, 2)]);
    }
}
