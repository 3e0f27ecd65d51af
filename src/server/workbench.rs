//! What a worker owns once and lends to each of its connections for a turn.

use crate::server::budget::READ_LEN;
use crate::server::hub::Hub;
use crate::server::narrator;
use crate::server::roster::Roll;
use crate::server::transport::Transport;
use crate::session::{ConnectionId, Context, INPUT_MAX, Output, Progress, Session};
use crate::store::Lane;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Replies that are worth a write of their own: with this many waiting, a connection that has used
/// up its request budget gives way whatever rounds it has left.
const ROUND_OUTPUT_MAX: usize = 64 << 10;

/// A worker's access to the store and its buffers.
pub(crate) struct Workbench {
    pub(crate) hub: Arc<Hub>,
    /// The worker's number.
    pub(crate) worker: usize,
    /// Whose turn it is.
    pub(crate) connection: ConnectionId,
    pub(crate) lane: Lane,
    /// What is read goes here: a saved request's beginning and [`READ_LEN`], or any datagram.
    pub(crate) scratch: Box<[u8]>,
    /// Empty between turns.
    pub(crate) output: Output,
    /// Connections hold more than they did: perhaps more than they may.
    pub(crate) grew: bool,
}

impl Workbench {
    /// The workbench of worker number `worker`.
    pub(crate) fn new(hub: Arc<Hub>, worker: usize) -> Self {
        let lane = hub.shared.store.lane(worker);
        let scratch = vec![0; INPUT_MAX + READ_LEN].into_boxed_slice();
        let counters = &hub.shared.server;
        counters.read_buf_count.fetch_add(1, Ordering::Relaxed);
        counters
            .read_buf_bytes
            .fetch_add(scratch.len() as u64, Ordering::Relaxed);
        Self {
            hub,
            worker,
            connection: ConnectionId {
                worker,
                ..ConnectionId::default()
            },
            lane,
            scratch,
            output: Output::default(),
            grew: false,
        }
    }

    /// Where the worker's connections are listed.
    pub(crate) fn roll(&self) -> &Roll {
        self.hub.roster.roll(self.worker)
    }

    /// Bytes that a connection may receive at once; its replies are held to as much.
    pub(crate) fn begin_turn(&mut self) -> usize {
        let (budget, shared) = (&self.hub.budget, &self.hub.shared);
        let share = budget.share(shared);
        self.output.limit(share, budget.copy_max(shared, share));
        share
    }

    /// Counts bytes that have been sent.
    pub(crate) fn count_sent(&self, count: u64) {
        let counters = &self.hub.shared.counters[self.worker];
        counters.bytes_written.add(count);
    }

    /// What a session is lent, and the scratch buffer beside it, where its input may lie.
    pub(crate) fn split(&mut self) -> (Run<'_>, &[u8]) {
        let run = Run {
            hub: &self.hub,
            worker: self.worker,
            connection: self.connection,
            lane: &mut self.lane,
            output: &mut self.output,
        };
        (run, &self.scratch)
    }
}

/// What a session is lent for a turn, apart from its input.
pub(crate) struct Run<'a> {
    hub: &'a Hub,
    worker: usize,
    connection: ConnectionId,
    lane: &'a mut Lane,
    output: &'a mut Output,
}

impl Run<'_> {
    /// Runs requests until the input, the rounds or the room for replies are used up: how much of
    /// the input that took, and what ended it.
    ///
    /// `rounds` is how often more the session may use up its request budget.
    pub(crate) fn advance(
        self,
        (transport, session): (&Transport, &mut Session),
        input: &[u8],
        mut rounds: u32,
    ) -> (usize, Progress) {
        let shared = &self.hub.shared;
        let counters = &shared.counters[self.worker];
        let mut context = Context {
            shared,
            lane: self.lane,
            counters,
            now: shared.clock.now(),
            connection: self.connection,
        };
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let step = narrator::advance(transport, session, &mut context, rest, self.output);
            consumed += step.consumed;
            if step.progress != Progress::Yield {
                return (consumed, step.progress);
            }
            counters.conn_yields.add(1);
            if rounds == 0 || self.output.pending() >= ROUND_OUTPUT_MAX {
                return (consumed, step.progress);
            }
            rounds -= 1;
        }
    }
}
