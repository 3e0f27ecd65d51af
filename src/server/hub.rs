//! What the threads of one server share, and how they reach each other.

use crate::server::address::ListenerInfo;
use crate::server::budget::Budget;
use crate::server::mailbox::Mailbox;
use crate::server::roster::Roster;
use crate::session::Shared;
use crossbeam::utils::CachePadded;
use log::error;
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

const RUNNING: u8 = 0;
const STOPPING: u8 = 1;
const STOPPING_GRACEFULLY: u8 = 2;

/// What the threads of one server share.
pub(crate) struct Hub {
    /// The sessions' part.
    pub(crate) shared: Shared,
    /// One per worker.
    pub(crate) mailboxes: Arc<[Mailbox]>,
    /// What connections came through, by number.
    pub(crate) listeners: Box<[ListenerInfo]>,
    /// UDP sockets.
    pub(crate) datagrams: Box<[ListenerInfo]>,
    /// Who is connected.
    pub(crate) roster: Arc<Roster>,
    /// What connections may hold.
    pub(crate) budget: Budget,
    acceptor: Waker,
    /// Client connections, counted from `accept` to close: what the limit limits.
    open: CachePadded<AtomicUsize>,
    accepting: AtomicBool,
    state: AtomicU8,
}

impl Hub {
    /// What the threads share before any of them runs; `acceptor` wakes the accepting one.
    pub(crate) fn new(
        shared: Shared,
        mailboxes: Arc<[Mailbox]>,
        roster: Arc<Roster>,
        (listeners, datagrams): (Box<[ListenerInfo]>, Box<[ListenerInfo]>),
        acceptor: Waker,
    ) -> Self {
        let hub = Self {
            budget: Budget::new(&shared.settings),
            shared,
            mailboxes,
            listeners,
            datagrams,
            roster,
            acceptor,
            open: CachePadded::default(),
            accepting: AtomicBool::new(true),
            state: AtomicU8::new(RUNNING),
        };
        hub.count_listeners();
        hub
    }

    /// Client connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a client that has been let in.
    pub(crate) fn connection_opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        let counters = &self.shared.server;
        counters.curr_connections.fetch_add(1, Ordering::Relaxed);
        counters.total_connections.fetch_add(1, Ordering::Relaxed);
        // memcached counts the structures it keeps for reuse: the most there ever were at once.
        let now_open = counters.curr_connections.load(Ordering::Relaxed) + 1;
        counters
            .connection_structures
            .fetch_max(now_open, Ordering::Relaxed);
    }

    /// Counts a client that is gone, for which somebody may wait.
    pub(crate) fn connection_closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.shared
            .server
            .curr_connections
            .fetch_sub(1, Ordering::Relaxed);
        if !self.accepting.load(Ordering::Relaxed) {
            self.wake_acceptor();
        }
    }

    /// Notes whether clients are let in.
    pub(crate) fn set_accepting(&self, accepting: bool) {
        self.accepting.store(accepting, Ordering::Relaxed);
        self.shared
            .server
            .accepting
            .store(u64::from(accepting), Ordering::Relaxed);
    }

    /// memcached's counters take listeners and UDP sockets for connections, and
    /// `curr_connections` leaves one out.
    fn count_listeners(&self) {
        let count = (self.listeners.len() + self.datagrams.len()) as u64;
        let counters = &self.shared.server;
        counters
            .curr_connections
            .store(count.saturating_sub(1), Ordering::Relaxed);
        counters.total_connections.store(count, Ordering::Relaxed);
        counters
            .connection_structures
            .store(count, Ordering::Relaxed);
        self.set_accepting(true);
    }

    /// Has the workers other than `worker` look for who holds too much.
    pub(crate) fn trim_elsewhere(&self, worker: usize) {
        for (number, mailbox) in self.mailboxes.iter().enumerate() {
            if number != worker {
                mailbox.post_trim();
            }
        }
    }

    /// Whether the order to stop has been given.
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::Acquire) != RUNNING
    }

    /// Whether the order was to stop gracefully.
    pub(crate) fn stops_gracefully(&self) -> bool {
        self.state.load(Ordering::Acquire) == STOPPING_GRACEFULLY
    }

    /// Orders the server to stop. The first order counts.
    pub(crate) fn stop(&self, graceful: bool) {
        let state = if graceful {
            STOPPING_GRACEFULLY
        } else {
            STOPPING
        };
        // A failed exchange means that it is stopping already.
        let _ = self
            .state
            .compare_exchange(RUNNING, state, Ordering::AcqRel, Ordering::Acquire);
        self.wake_acceptor();
    }

    fn wake_acceptor(&self) {
        if let Err(error) = self.acceptor.wake() {
            error!("cannot wake the acceptor: {error}");
        }
    }
}
