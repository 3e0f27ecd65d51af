//! What other threads have to tell one client: a bounded queue, and a poke when there is something.
//!
//! Nobody waits for a client. What finds no room in the queue is lost and counted; one poke is on
//! its way at a time, however much is pushed.

use crate::session::shared::{ConnectionId, Host};
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Lines on their way to one connection.
#[derive(Debug)]
pub struct Feed {
    connection: ConnectionId,
    lines: ArrayQueue<Box<[u8]>>,
    /// The connection has been poked and has not looked since.
    poked: AtomicBool,
    lost: AtomicU64,
}

impl Feed {
    /// A feed of `connection` in which at most `lines_max` lines wait.
    #[must_use]
    pub fn new(connection: ConnectionId, lines_max: usize) -> Self {
        Self {
            connection,
            lines: ArrayQueue::new(lines_max.max(1)),
            poked: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        }
    }

    /// Tells the client a line, given with its end, unless too many wait already.
    pub fn push(&self, host: &dyn Host, line: Box<[u8]>) {
        if self.lines.push(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if !self.poked.swap(true, Ordering::AcqRel) {
            host.poke(self.connection);
        }
    }

    /// Lines that found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The oldest line, for the connection.
    pub(super) fn take(&self) -> Option<Box<[u8]>> {
        // Before the look: what is pushed after it pokes again.
        self.poked.store(false, Ordering::Release);
        self.lines.pop()
    }
}
