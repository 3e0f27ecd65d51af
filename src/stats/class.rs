//! One class, read at one moment, for the reports that go by class.

use crate::stats::{ClassTotals, Totals};
use crate::store::ClassSnapshot;

/// What there is to show of a class.
#[derive(Clone, Debug)]
pub struct ClassReading {
    /// The store's numbers.
    pub class: ClassSnapshot,
    /// What the workers counted.
    pub counted: ClassTotals,
    /// Whether memcached's TEMP list is to be shown.
    pub temporary: bool,
}

impl ClassReading {
    /// A class with what was counted of it.
    pub(super) fn of(class: ClassSnapshot, totals: &Totals) -> Self {
        Self {
            class,
            counted: totals.classes.of(class.id).clone(),
            temporary: false,
        }
    }
}
