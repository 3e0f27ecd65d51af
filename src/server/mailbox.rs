//! How anything reaches a worker: a queue, and a waker that interrupts its wait.

use crate::server::roster::Client;
use crate::server::transport::Transport;
use crossbeam::queue::SegQueue;
use log::error;
use mio::{Poll, Token, Waker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The token that a waker's events carry, in workers and in the acceptor.
pub(crate) const WAKE: Token = Token(usize::MAX);

/// A new client on its way from the acceptor to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The accepted connection.
    pub(crate) transport: Transport,
    /// Where it comes from.
    pub(crate) client: Client,
}

/// What a worker can be told.
pub(crate) enum Message {
    /// Serve this connection from now on.
    Adopt(Arrival),
    /// Call this connection's session again.
    Poke(Token),
    /// Connections hold more than they may: close those of yours that hold too much.
    Trim,
    /// Flush what is on its way, close everything and end.
    Stop,
}

/// One worker's letter box.
///
/// The queue has no bound of its own and needs none: an arrival is counted as open before it is
/// posted, so at most `connections_max` of them exist, one `Trim` waits at a time, one `Poke` for
/// each watcher, and one `Stop` follows.
pub(crate) struct Mailbox {
    queue: SegQueue<Message>,
    waker: Waker,
    /// A `Trim` is among the messages.
    trims: AtomicBool,
}

impl Mailbox {
    /// The letter box of the thread that waits on `poll`.
    pub(crate) fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self {
            queue: SegQueue::new(),
            waker: Waker::new(poll.registry(), WAKE)?,
            trims: AtomicBool::new(false),
        })
    }

    /// Leaves a message and wakes the worker.
    pub(crate) fn post(&self, message: Message) {
        self.queue.push(message);
        if let Err(error) = self.waker.wake() {
            // The eventfd is full or gone; the worker finds the message at its next event.
            error!("cannot wake a worker: {error}");
        }
    }

    /// Leaves a [`Message::Trim`], unless one waits already.
    pub(crate) fn post_trim(&self) {
        if !self.trims.swap(true, Ordering::AcqRel) {
            self.post(Message::Trim);
        }
    }

    /// The oldest message, if any.
    pub(crate) fn take(&self) -> Option<Message> {
        let message = self.queue.pop()?;
        if matches!(message, Message::Trim) {
            self.trims.store(false, Ordering::Release);
        }
        Some(message)
    }
}
