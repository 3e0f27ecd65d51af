//! Long items in classes that have only their last pieces: whether it is theirs to go.
//!
//! A long item is counted where its head is, in the class of the largest chunks. The ring of the
//! class that has its last piece does not know it, and items there compete for chunks all the same.

use crate::store::outcome::ClassId;
use crate::store::slab::magazine::magazine_size;
use crate::store::slab::{ClassState, Slabs};
use crate::store::table::Table;

/// They are looked for where they are more than one in so many chunks.
const PIECES_MIN: u64 = 16;

/// Whether what goes next is a long item that has its last piece in this class, where most of
/// it is not. In turns, by how many chunks are such pieces: the ring does not know them.
pub(crate) fn is_turn_of_pieces(table: &Table, state: &mut ClassState, class: ClassId) -> bool {
    let slabs = &table.slabs;
    let used = slabs.used_locked(state, class);
    let pieces = pieces(table, class, used);
    state.pieces_due += pieces;
    let is_due = pieces > 0 && state.pieces_due >= used;
    state.pieces_due -= if is_due { used } else { 0 };
    is_due
}

/// How many of `used` chunks are pieces of other classes' items, if not just a few.
fn pieces(table: &Table, class: ClassId, used: u64) -> u64 {
    let slabs = &table.slabs;
    let stocked = magazine_size(slabs.sizes.size(class)) * table.magazines.len();
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
pub(crate) fn keeps_pieces(slabs: &Slabs, class: ClassId) -> bool {
    let largest = slabs.sizes.largest();
    class != largest && slabs.page_count(largest) > 0 && slabs.spare_pages(largest) > 0
}
