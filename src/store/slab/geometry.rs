//! How memory is cut up, and how a chunk is named.

use crate::store::slab::PAGE_MIN;

/// A chunk's address: its offset in the arena in units, plus one. Zero is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ChunkRef(pub(crate) u32);

impl ChunkRef {
    /// No chunk.
    pub(crate) const NONE: Self = Self(0);

    /// Whether it names no chunk.
    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// How memory is cut up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// Pages the limit allows at the start.
    pub(crate) pages: u32,
    /// log2 of the page size.
    pub(crate) page_shift: u32,
    /// log2 of the reference unit.
    pub(crate) unit_shift: u32,
}

impl Geometry {
    /// Chooses page size and unit for `bytes` of memory.
    ///
    /// A page is a 1024th of the limit as a power of two between 64 KiB and 256 KiB: small enough
    /// that small limits work with all classes in use, and that the few requests that empty one,
    /// each its share, are not many. The unit is the smallest power of two, 8 or more, with which
    /// 32 bits reach everything.
    pub(crate) fn for_limit(bytes: u64) -> Self {
        let page = (bytes / 1024)
            .next_power_of_two()
            .clamp(u64::from(PAGE_MIN), 256 << 10);
        let page_shift = page.trailing_zeros();
        let mut unit_shift = 3;
        while bytes >> unit_shift >= u64::from(u32::MAX) {
            unit_shift += 1;
        }
        let pages = u32::try_from(bytes >> page_shift).expect("a limit is below 2^52 bytes");
        Self {
            pages: pages.max(1),
            page_shift,
            unit_shift,
        }
    }

    /// Pages to reserve address space for so that the limit can become `bytes`; fewer where
    /// references do not reach that far.
    pub(super) fn reserve(self, bytes: u64) -> u32 {
        let reach = u64::from(u32::MAX) << self.unit_shift;
        let wanted = bytes.min(reach) >> self.page_shift;
        u32::try_from(wanted).map_or(self.pages, |pages| pages.max(self.pages))
    }

    /// Bytes of a page.
    pub(crate) fn page_size(self) -> usize {
        1 << self.page_shift
    }
}
