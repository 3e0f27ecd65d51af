//! What other threads have to tell one client: bytes with a bound, and a poke when there are some.
//!
//! Nobody waits for a client. Whoever tells something asks first whether there is room for it; one
//! poke is on its way at a time, however much is told.

use crate::session::host::{ConnectionId, Host};
use crossbeam::queue::SegQueue;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What keeping a piece costs besides its bytes, at most: its place in the queue, and what the
/// allocator adds.
const PIECE_COST: usize = 64;

/// Bytes on their way to one connection, in pieces that are whole lines.
#[derive(Debug)]
pub(super) struct Feed {
    connection: ConnectionId,
    pieces: SegQueue<Box<[u8]>>,
    /// Bytes of the pieces, and their cost.
    waiting: AtomicUsize,
    bytes_max: usize,
    /// The connection has been poked and has not looked since.
    poked: AtomicBool,
}

impl Feed {
    /// A feed of `connection` in which at most `bytes_max` bytes wait.
    pub(super) fn new(connection: ConnectionId, bytes_max: usize) -> Self {
        Self {
            connection,
            pieces: SegQueue::new(),
            waiting: AtomicUsize::new(0),
            bytes_max,
            poked: AtomicBool::new(false),
        }
    }

    /// The most bytes that ever wait.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that the next piece may have. Only one thread may ask and push.
    pub(super) fn room(&self) -> usize {
        let taken = self.waiting.load(Ordering::Acquire) + PIECE_COST;
        self.bytes_max.saturating_sub(taken)
    }

    /// Tells the client a piece for which there is room.
    pub(super) fn push(&self, host: &dyn Host, piece: Box<[u8]>) {
        debug_assert!(piece.len() <= self.room(), "whoever pushes has asked");
        let cost = piece.len() + PIECE_COST;
        self.waiting.fetch_add(cost, Ordering::AcqRel);
        self.pieces.push(piece);
        if !self.poked.swap(true, Ordering::AcqRel) {
            host.poke(self.connection);
        }
    }

    /// The oldest piece, for the connection.
    pub(super) fn take(&self) -> Option<Box<[u8]>> {
        // Before the look: what is pushed after it pokes again.
        self.poked.store(false, Ordering::Release);
        let piece = self.pieces.pop()?;
        let cost = piece.len() + PIECE_COST;
        self.waiting.fetch_sub(cost, Ordering::AcqRel);
        Some(piece)
    }
}
