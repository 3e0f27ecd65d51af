//! What a ghost remembers of its item, beside the bits of its place.
//!
//! ```text
//!   bit 13      8 7      2    1       0
//!   ├───────────┼────────┼───────┼───────┤
//!   │  class 6  │ date 6 │ asked │ queue │
//!   └───────────┴────────┴───────┴───────┘
//! ```
//!
//! The date is the class's, see [`Demand`](super::Demand); it repeats after [`DATES_KNOWN`].
//! *Asked* says that somebody has asked for the item since it was evicted.

use crate::store::outcome::ClassId;
use crate::store::slab::class::CLASSES;

/// Bits of an epitaph.
pub(crate) const EPITAPH_BITS: u32 = 14;

/// How often dates repeat.
pub(crate) const DATES_KNOWN: u64 = 64;

const ASKED: u16 = 1 << 1;

const _: () = assert!(CLASSES <= 1 << 6, "a class number has six bits");
const _: () = assert!(DATES_KNOWN == 1 << 6, "a date has six bits");
const _: () = assert!(6 + 6 + 1 + 1 == EPITAPH_BITS, "and the rest is two bits");

/// The queue that an item is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Under the clock hand.
    Main,
    /// In the order of arrival.
    Small,
}

/// The record of an evicted item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epitaph(u16);

impl Epitaph {
    /// The record of an item that `queue` of `class` evicts on `date`.
    pub(crate) fn new(class: ClassId, queue: Queue, date: u64) -> Self {
        let date = (date % DATES_KNOWN) as u16;
        Self(u16::from(class.0) << 8 | date << 2 | queue as u16)
    }

    /// Out of the low bits of a ghost's reference.
    pub(crate) fn from_reference(reference: u32) -> Self {
        Self(reference as u16 & ((1 << EPITAPH_BITS) - 1))
    }

    /// The low bits of a ghost's reference.
    pub(crate) fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// The class that the item's first chunk was of.
    pub(crate) fn class(self) -> ClassId {
        ClassId((self.0 >> 8) as u8)
    }

    /// The date, modulo [`DATES_KNOWN`].
    pub(crate) fn date(self) -> u64 {
        u64::from(self.0 >> 2) % DATES_KNOWN
    }

    /// The queue that it was evicted from.
    pub(crate) fn queue(self) -> Queue {
        if self.0 & 1 == Queue::Main as u16 {
            Queue::Main
        } else {
            Queue::Small
        }
    }

    /// Whether somebody has asked for it since.
    pub(crate) fn is_asked(self) -> bool {
        self.0 & ASKED != 0
    }

    /// The same, asked for.
    pub(crate) fn asked(self) -> Self {
        Self(self.0 | ASKED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back_out_of_a_reference() {
        for class in [1, 37, 63] {
            for queue in [Queue::Main, Queue::Small] {
                for date in [0, 1, 63, 64 + 5] {
                    let epitaph = Epitaph::new(ClassId(class), queue, date);
                    let reference = 0x3_ffff << EPITAPH_BITS | epitaph.bits();
                    let read = Epitaph::from_reference(reference);
                    assert_eq!(read, epitaph);
                    assert_eq!(read.class(), ClassId(class));
                    assert_eq!((read.queue(), read.date()), (queue, date % 64));
                    assert!(!read.is_asked() && read.asked().is_asked());
                    assert_eq!(read.asked().date(), date % 64);
                }
            }
        }
    }
}
