//! Slab classes: which chunk sizes there are and which one fits.
//!
//! Built-in spacing, at most 63 classes because tools iterate over that many ids:
//!
//! | chunk           | spacing                         | why                                 |
//! |-----------------|---------------------------------|-------------------------------------|
//! | 24 .. 136 B     | 8 B                             | small items are many                |
//! | 136 B .. 2176 B | 8 an octave, at `136 * 2^n`     | round values, key and header fit    |
//! | 2 KiB .. 16 KiB | whole fractions of 64 KiB       | no tail is left in a page           |
//! | 32, 64 KiB      | halves, to a quarter of a page  | pieces of longer items              |
//!
//! Sizes between 136 B and 2 KiB are then widened to use up a 64 KiB page. The anchor is 136 and
//! not 128 because values of 2^n bytes are common and an item adds a header and a key to them.
//!
//! Items above 16 KiB are chains. Each piece fills the largest chunk that it can fill, and what
//! remains below 16 KiB at the end takes what fits: so large chunks waste nothing, however few
//! sizes of them there are. A page of 64 KiB, as small limits have, has no chunks above 16 KiB.

use crate::base::number::usize_from;
use crate::store::outcome::ClassId;

/// The longest item in one chunk, in bytes. Longer items are chains.
pub(crate) const WHOLE_MAX: u32 = 16 << 10;

/// Larger chunks, for pieces of chains, as far as pages hold four. Fewer pieces are fewer waits for
/// memory; much larger ones would keep a stripe locked for long when they are moved.
const LARGE: [u32; 2] = [32 << 10, 64 << 10];

/// The largest chunk.
pub(crate) const CHUNK_MAX: u32 = LARGE[1];

/// The smallest page; larger pages are multiples of it.
pub(crate) const PAGE_MIN: u32 = 64 << 10;

/// Class numbers are below this; number 0 is the index's.
pub(crate) const CLASSES: usize = 64;

/// A chunk of the index class: sixteen buckets of a cache line.
pub(crate) const SEGMENT_SIZE: u32 = 1 << 10;

const _: () = assert!(
    WHOLE_MAX * 4 <= PAGE_MIN,
    "the smallest page holds four of any item"
);
const _: () = assert!(
    PAGE_MIN.is_multiple_of(SEGMENT_SIZE),
    "segments leave no tail in a page"
);

const CHUNK_MIN: u32 = 24;
const FINE_MAX: u32 = 136;
const OCTAVE_MAX: u32 = 2176;

/// The sizes of all classes and the way from a length to a class.
#[derive(Debug)]
pub(crate) struct ClassTable {
    /// Chunk size by class number; `sizes[0]` is the index's.
    sizes: Vec<u32>,
    /// Class number by item length in units of eight bytes, rounded up; to [`WHOLE_MAX`].
    by_length: Vec<u8>,
}

/// How to space classes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spacing {
    /// Ratio between neighbours, as memcached's `-f`; `None` for the built-in table.
    pub(crate) factor: Option<f64>,
    /// The smallest chunk wanted; above [`WHOLE_MAX`] that.
    pub(crate) chunk_min: Option<u32>,
    /// Chunk sizes are multiples of this: the unit of item references.
    pub(crate) unit: u32,
    /// Use every second class only: for limits so small that pages are scarce.
    pub(crate) sparse: bool,
    /// Bytes of a page.
    pub(crate) page_size: u32,
}

impl ClassTable {
    /// Builds the table.
    pub(crate) fn new(spacing: Spacing) -> Self {
        let chunk_min = spacing.chunk_min.unwrap_or(CHUNK_MIN).min(WHOLE_MAX);
        let mut sizes = match spacing.factor {
            Some(factor) => geometric(factor, chunk_min),
            None => built_in(chunk_min, spacing.sparse),
        };
        for size in &mut sizes {
            *size = size.next_multiple_of(spacing.unit);
        }
        sizes.dedup();
        sizes.extend(LARGE.iter().filter(|&size| size * 4 <= spacing.page_size));
        sizes.insert(0, SEGMENT_SIZE);
        assert!(sizes.len() <= CLASSES, "tools iterate over 63 class ids");
        let by_length = lengths(&sizes);
        Self { sizes, by_length }
    }

    /// The class whose chunks fit `len` bytes best, if `len` fits a chunk at all.
    #[inline]
    pub(crate) fn fitting(&self, len: usize) -> Option<ClassId> {
        self.by_length
            .get(len.wrapping_add(7) / 8)
            .map(|&class| ClassId(class))
    }

    /// The class for the next piece of a chain of which `len` bytes are left, its header included:
    /// the largest that they fill, or that which fits.
    pub(crate) fn piece(&self, len: usize) -> ClassId {
        self.fitting(len).unwrap_or_else(|| {
            let filled = self.sizes.iter().rposition(|&size| size as usize <= len);
            ClassId(filled.expect("a chunk is shorter than what fits none") as u8)
        })
    }

    /// The class of the largest chunks.
    pub(crate) fn largest(&self) -> ClassId {
        ClassId((self.sizes.len() - 1) as u8)
    }

    /// Bytes of a chunk of `class`.
    #[inline]
    pub(crate) fn size(&self, class: ClassId) -> u32 {
        self.sizes[usize::from(class.0)]
    }

    /// All classes but the index's, by number.
    pub(crate) fn item_classes(&self) -> impl Iterator<Item = ClassId> + use<> {
        (1..self.sizes.len() as u8).map(ClassId)
    }

    /// Number of classes, the index's included.
    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }
}

fn lengths(sizes: &[u32]) -> Vec<u8> {
    let mut by_length = vec![];
    let mut class = 1;
    for units in 0..=usize_from(u64::from(WHOLE_MAX)) / 8 {
        while (sizes[class] as usize) < units * 8 {
            class += 1;
        }
        by_length.push(class as u8);
    }
    by_length
}

fn built_in(chunk_min: u32, sparse: bool) -> Vec<u32> {
    let mut sizes: Vec<u32> = (CHUNK_MIN..FINE_MAX).step_by(8).collect();
    let mut octave = FINE_MAX;
    while octave < OCTAVE_MAX {
        sizes.extend((0..8).map(|eighth| widened(octave + octave * eighth / 8)));
        octave *= 2;
    }
    // After the octaves: every few whole numbers of chunks to a page, then each one.
    let fractions = [30, 26, 22, 19, 16, 14, 12, 11, 10, 9, 8, 7, 6, 5, 4];
    sizes.extend(fractions.map(|chunks| PAGE_MIN / chunks / 8 * 8));
    if sparse {
        let last = sizes.len() - 1;
        sizes = sizes
            .iter()
            .enumerate()
            .filter(|(n, _)| (last - n).is_multiple_of(2))
            .map(|(_, &s)| s)
            .collect();
    }
    sizes.retain(|&size| size >= chunk_min);
    sizes.dedup();
    sizes
}

/// The largest chunk size of which as many fit a 64 KiB page as of `size`.
fn widened(size: u32) -> u32 {
    let size = size.next_multiple_of(8);
    PAGE_MIN / (PAGE_MIN / size) / 8 * 8
}

/// memcached's rule: each size is the one before times `factor`.
fn geometric(factor: f64, chunk_min: u32) -> Vec<u32> {
    let mut sizes = vec![];
    let mut size = chunk_min.next_multiple_of(8);
    while sizes.len() < CLASSES - 2 - LARGE.len() && f64::from(size) < f64::from(WHOLE_MAX) / factor
    {
        sizes.push(size);
        let next = (f64::from(size) * factor) as u32;
        size = next.next_multiple_of(8).max(size + 8);
    }
    sizes.push(WHOLE_MAX);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(factor: Option<f64>, unit: u32, sparse: bool) -> ClassTable {
        ClassTable::new(Spacing {
            factor,
            chunk_min: None,
            unit,
            sparse,
            page_size: 256 << 10,
        })
    }

    #[test]
    fn every_length_gets_the_smallest_chunk_that_fits() {
        for table in [
            table(None, 8, false),
            table(None, 8, true),
            table(None, 32, false),
            table(Some(1.25), 8, false),
            table(Some(1.01), 8, false),
            table(Some(2.0), 16, false),
        ] {
            for len in 1..=WHOLE_MAX as usize {
                let class = table.fitting(len).unwrap();
                assert!(
                    table.size(class) as usize >= len,
                    "{len} in class {class:?}"
                );
                let below = ClassId(class.0 - 1);
                assert!(class.0 == 1 || (table.size(below) as usize) < len);
            }
            assert_eq!(table.fitting(WHOLE_MAX as usize + 1), None);
            assert_eq!(table.size(table.largest()), LARGE[1]);
        }
    }

    #[test]
    fn pieces_fill_their_chunks_until_the_rest_fits_one() {
        let table = table(None, 8, false);
        for (len, sizes) in [
            (WHOLE_MAX + 1, vec![16]),
            ((32 << 10) - 1, vec![16]),
            (100 << 10, vec![64, 32]),
            (200 << 10, vec![64, 64, 64]),
        ] {
            let mut left = len;
            for size in sizes {
                assert_eq!(table.size(table.piece(left as usize)), size << 10);
                left -= size << 10;
            }
            assert_eq!(
                Some(table.piece(left as usize)),
                table.fitting(left as usize)
            );
        }
    }

    #[test]
    fn a_smallest_chunk_that_is_too_large_is_the_largest() {
        for factor in [None, Some(1.25)] {
            for chunk_min in [16_384, 16_385, 1 << 20, u32::MAX] {
                let table = ClassTable::new(Spacing {
                    factor,
                    chunk_min: Some(chunk_min),
                    unit: 8,
                    sparse: true,
                    page_size: 64 << 10,
                });
                assert_eq!(table.fitting(1), Some(ClassId(1)));
                assert_eq!(table.size(ClassId(1)), WHOLE_MAX);
            }
        }
    }

    #[test]
    fn chunks_are_at_most_a_quarter_of_a_page() {
        for (page_size, largest) in [(64 << 10, 16 << 10), (128 << 10, 32 << 10)] {
            let table = ClassTable::new(Spacing {
                factor: None,
                chunk_min: None,
                unit: 8,
                sparse: false,
                page_size,
            });
            assert_eq!(table.size(table.largest()), largest);
            assert_eq!(table.size(table.piece(1 << 20)), largest);
        }
    }

    #[test]
    fn built_in_spacing_wastes_little() {
        let table = table(None, 8, false);
        let lengths = 64..=WHOLE_MAX as usize;
        let wasted: f64 = lengths
            .clone()
            .map(|len| 1.0 - len as f64 / f64::from(table.size(table.fitting(len).unwrap())))
            .sum();
        assert!(wasted / (lengths.count() as f64) < 0.10);
        let small = 64..=2048_usize;
        let wasted: f64 = small
            .clone()
            .map(|len| 1.0 - len as f64 / f64::from(table.size(table.fitting(len).unwrap())))
            .sum();
        assert!(wasted / (small.count() as f64) < 0.05);
    }
}
