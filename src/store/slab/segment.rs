//! Chunks of the index's class: segments of the index and of the rings. They have no header, but
//! whoever has one can say where it is, so that it can move.

use crate::store::slab::{ChunkRef, INDEX, SEGMENT_SIZE, Slabs};

/// Moves a segment to another chunk, if there is one.
pub(crate) fn move_segment(slabs: &Slabs, segment: &mut ChunkRef) {
    if let Some(to) = slabs.take_one(INDEX) {
        let (from, len) = (*segment, SEGMENT_SIZE as usize);
        slabs.arena.copy(slabs.offset(from), slabs.offset(to), len);
        *segment = to;
        slabs.return_chunk(from);
    }
}
