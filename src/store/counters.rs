//! Numbers that one lane writes and everybody may add up.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer: a load and a store instead of a locked instruction.
///
/// Amounts wrap, so that a lane may count down what another lane counted up; only the sum over the
/// lanes means something.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn sub(&self, n: u64) {
        self.0.store(self.get().wrapping_sub(n), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! class_tallies {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {
        /// What one lane has done in one class.
        #[repr(align(64))] // Whole cache lines: no lane's write evicts what another counts.
        #[derive(Debug, Default)]
        pub(crate) struct ClassTallies {
            $($(#[$doc])+ pub(crate) $name: Tally,)+
        }

        /// A class's tallies summed over the lanes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct ClassSums {
            $($(#[$doc])+ pub(crate) $name: u64,)+
        }

        impl ClassSums {
            /// Adds one lane's.
            pub(crate) fn add(&mut self, tallies: &ClassTallies) {
                $(self.$name = self.$name.wrapping_add(tallies.$name.get());)+
            }

            /// The growth since `baseline`, field by field.
            pub(crate) fn since(self, baseline: Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(baseline.$name),)+ }
            }

            /// Adds another class's.
            pub(crate) fn merge(&mut self, other: Self) {
                $(self.$name = self.$name.wrapping_add(other.$name);)+
            }
        }
    };
}

class_tallies! {
    /// Linked items whose first chunk is of this class.
    items,
    /// Of those, items of the main queue.
    main,
    /// Their bytes.
    bytes,
    /// Items ever linked.
    linked,
    /// Of those, items that took the place of another one.
    replaced,
    /// Accesses that were written down in the item: no more than one of an item in a second, but
    /// for the first few and for counting.
    used,
    /// Live items removed to make room.
    evicted,
    /// Of those, items with an expiry.
    evicted_nonzero,
    /// Of those, items never fetched.
    evicted_unfetched,
    /// Of those, items with hits still counted.
    evicted_active,
    /// Dead items met by an eviction.
    reclaimed,
    /// Dead items removed that were never fetched.
    expired_unfetched,
    /// Dead items removed in the background.
    crawler_reclaimed,
    /// Items looked at in the background.
    crawler_checked,
    /// Stores that found no memory.
    out_of_memory,
    /// Items that left the small queue for the main part.
    promoted,
    /// Gets that found the ghost of an item evicted from this class.
    ghost_hits,
    /// Items promoted after one hit that were hit again, and that were not.
    proven,
    /// See `proven`.
    failed,
    /// Items relocated by page moves.
    rescued,
    /// Further parts of long items relocated by page moves.
    chunks_rescued,
    /// Items that a page move found no free chunk for: evicted, or left where eviction is off.
    move_no_memory,
    /// Chunks that kept a page from being moved: pinned, or being filled.
    move_busy,
    /// Pages taken from this class for another or for the pool; of class 0, out of the pool.
    pages_lost,
}

/// What one lane has done.
#[derive(Debug)]
pub(crate) struct LaneTallies {
    /// Gets that found nothing.
    pub(crate) missed: Tally,
    classes: Box<[ClassTallies]>,
}

impl LaneTallies {
    pub(crate) fn new(classes: usize) -> Self {
        Self {
            missed: Tally::default(),
            classes: (0..classes).map(|_| ClassTallies::default()).collect(),
        }
    }

    /// The tallies of one class, by number.
    #[inline]
    pub(crate) fn class(&self, number: u8) -> &ClassTallies {
        &self.classes[usize::from(number)]
    }
}
