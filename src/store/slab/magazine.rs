//! Free chunks that a lane keeps at hand.

use crate::store::outcome::ClassId;
use crate::store::slab::{ChunkRef, RingEntry};

/// Bytes of free chunks that a lane may keep of one class. Large enough that most sets of small
/// items lock no class, small enough that all lanes' magazines together are a fraction of a
/// percent.
const MAGAZINE_BYTES: usize = 4 << 10;

/// Chunks in a magazine at most.
pub(crate) const MAGAZINE_MAX: usize = 32;

/// A lane's free chunks of one class, and its new items there.
#[repr(align(64))] // Whole cache lines, so that no two lanes' magazines meet in one.
#[derive(Debug, Default)]
pub(crate) struct Magazine {
    /// Free chunks.
    pub(crate) free: Vec<ChunkRef>,
    /// Items linked since the last refill, to go on the class's ring.
    pub(crate) fresh: Vec<RingEntry>,
    /// The lane's items of the class, those of the main queue, and its new ones ever, when it last
    /// reported them.
    pub(crate) items: u64,
    pub(crate) main: u64,
    pub(crate) created: u64,
}

/// A lane's magazines by class. Behind a mutex only so that a page move can take back chunks of
/// the page; nobody else ever waits for it.
#[derive(Debug)]
pub(crate) struct Magazines {
    by_class: Box<[Magazine]>,
}

impl Magazines {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            by_class: (0..classes).map(|_| Magazine::default()).collect(),
        }
    }

    /// The magazine of a class.
    pub(crate) fn of(&mut self, class: ClassId) -> &mut Magazine {
        &mut self.by_class[usize::from(class.0)]
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Magazine> {
        self.by_class.iter()
    }
}

/// How many chunks of `size` bytes a magazine holds.
pub(crate) fn magazine_size(size: u32) -> usize {
    (MAGAZINE_BYTES / size as usize).clamp(1, MAGAZINE_MAX)
}
