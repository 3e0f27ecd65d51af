//! Pages out of use: what a class has had free throughout a window goes to the pool.
//!
//! A class that frees more than it takes in (its items expire, are deleted, or come in other sizes
//! now) would keep its pages until another one takes them by force. What it has not needed for a
//! whole window goes to the pool instead, its last items moved together, and none is evicted for
//! that. Looking at the least that was free in the window and not at what is free now keeps the
//! pages of a class that is being filled again where they are.

use crate::base::clock::{Now, TICKS_PER_SECOND};
use crate::store::outcome::ClassId;
use crate::store::pages::readings::Readings;
use crate::store::slab::PageId;

/// Free pages that a class keeps for what comes next.
pub(crate) const KEPT: u64 = 1;

/// What is known of pages that classes do not need. Ticks throughout; vectors by class number.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    next_look: u64,
    window_end: u64,
    /// The fewest free pages' worth of chunks that each class had in this window.
    lows: Vec<u64>,
    /// Pages that are still to go because of the last window.
    due: Vec<u64>,
    /// The page that was to be emptied last, so that others are tried.
    pub(crate) last: Option<PageId>,
}

impl Surplus {
    /// Looks at the classes once a second, and judges them when the window is over.
    pub(crate) fn look(&mut self, readings: &impl Readings, window: u64, now: Now) {
        if now.ticks < self.next_look {
            return;
        }
        self.next_look = now.ticks + TICKS_PER_SECOND;
        let is_first = self.lows.is_empty();
        let classes = readings.classes().count() + 1;
        self.lows.resize(classes, 0);
        self.due.resize(classes, 0);
        let is_over = now.ticks >= self.window_end;
        for class in readings.classes() {
            let (low, due) = self.of(class);
            if readings.pages(class) <= KEPT {
                (*low, *due) = (0, 0);
                continue;
            }
            let spare = readings.spare_pages(class);
            if !is_over {
                *low = spare.min(*low);
                continue;
            }
            if !is_first {
                *due = spare.min(*low).saturating_sub(KEPT);
            }
            *low = spare;
        }
        if is_over {
            self.window_end = now.ticks + window;
        }
    }

    fn of(&mut self, class: ClassId) -> (&mut u64, &mut u64) {
        let number = usize::from(class.0);
        (&mut self.lows[number], &mut self.due[number])
    }

    /// A class that has a page to give, which is then no longer counted.
    pub(crate) fn take(&mut self) -> Option<ClassId> {
        let number = self.due.iter().position(|&pages| pages > 0)?;
        self.due[number] -= 1;
        Some(ClassId(number as u8))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.due.iter().all(|&pages| pages == 0)
    }
}
