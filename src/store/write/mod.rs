//! Writing items: new ones, in place, and ones that are made from others.

pub(crate) mod arith;
mod condition;
pub(crate) mod delete;
mod link;
pub(crate) mod meta;
pub(crate) mod put;
mod rewrite;
pub(crate) mod upload;

use crate::base::clock::Now;
use crate::store::outcome::ClassId;
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, Slabs};
use crate::store::supply::Supply;
use crate::store::table::Table;

/// A lane that writes: its seat, and where chunks come from.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) seat: Seat<'a>,
    pub(crate) supply: &'a Supply,
}

impl<'a> Writer<'a> {
    #[inline]
    fn table(self) -> &'a Table {
        self.seat.table
    }

    #[inline]
    fn slabs(self) -> &'a Slabs {
        &self.seat.table.slabs
    }

    /// A free chunk of `class`, evicting if need be.
    #[inline]
    fn take_chunk(self, class: ClassId, now: Now) -> Option<ChunkRef> {
        self.supply.take_chunk(self.seat, class, now)
    }
}
