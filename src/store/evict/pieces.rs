//! Long items in classes that have only their last pieces: whether it is theirs to go.
//!
//! A long item is counted where its head is, in the class of the largest chunks. The ring of the
//! class that has its last piece does not know it, and items there compete for chunks all the same.

use crate::store::lane::{Lane, stock_size};
use crate::store::outcome::ClassId;
use crate::store::slab::ClassState;

/// They are looked for where they are more than one in so many chunks.
const PIECES_MIN: u64 = 16;

impl Lane {
    /// Whether what goes next is a long item that has its last piece in this class, where most of
    /// it is not. In turns, by how many chunks are such pieces: the ring does not know them.
    pub(crate) fn is_turn_of_pieces(&self, state: &mut ClassState, class: ClassId) -> bool {
        let slabs = &self.store.slabs;
        let used = slabs.used_locked(state, class);
        let pieces = self.pieces(class, used);
        state.pieces_due += pieces;
        let is_due = pieces > 0 && state.pieces_due >= used;
        state.pieces_due -= if is_due { used } else { 0 };
        is_due
    }

    /// Of so many `used` chunks those that are pieces of other classes' items, if not just a few.
    fn pieces(&self, class: ClassId, used: u64) -> u64 {
        let slabs = &self.store.slabs;
        let stocked = stock_size(slabs.table.size(class)) * self.store.desks.len();
        let others = slabs.demand(class).items() + stocked as u64;
        let pieces = used.saturating_sub(others);
        if pieces > used / PIECES_MIN {
            pieces
        } else {
            0
        }
    }

    /// Whether long items are to stay, though it would be their turn: with each that goes for a
    /// chunk here, many more would be free where there are enough of them.
    pub(crate) fn keeps_pieces(&self, class: ClassId) -> bool {
        let slabs = &self.store.slabs;
        let largest = slabs.table.largest();
        class != largest && slabs.page_count(largest) > 0 && slabs.spare_pages(largest) > 0
    }
}
