//! One client: its transport, its conversation, and whatever of either is unfinished.
//!
//! An idle connection owns no buffer. The worker lends it a [`Workbench`] for the length of a turn:
//!
//! ```text
//!               ┌────────── saved input, to the front ──────────┐
//!   transport ─read─▶ bench.scratch ─▶ session.advance ─▶ bench.output ─send─▶ transport
//!                          │                                    │
//!                          └─ not consumed: saved               └─ not sent: held
//! ```
//!
//! Of a large value only the beginning goes that way. The kernel writes the rest to where it will
//! lie in the store, and what follows the value to the scratch buffer, in one read: the session
//! says which by [`next_read`](Session::next_read).
//!
//! What the session leaves behind is of two kinds. After `NeedInput` it is less than one request,
//! at most [`INPUT_MAX`] bytes. After `Yield` or `Full` it is *runnable*, at most a
//! scratch buffer's worth, and is executed from where it was saved before anything more is read.

use crate::base::clock::Now;
use crate::base::events::{self, CloseReason, Topics};
use crate::base::part::Gap;
use crate::server::budget::{Holding, READ_LEN};
use crate::server::mailbox::Arrival;
use crate::server::os::GAPS_MAX;
use crate::server::roster::{self, SocketEntry};
use crate::server::transport::{Sent, Transport};
use crate::server::workbench::Workbench;
use crate::session::{INPUT_MAX, NextRead, Output, Progress, Session};
use log::{trace, warn};
use mio::event::Event;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Turns' worth of sending that a stopping worker spends on one client at a time (64 MiB).
const WIND_UP_MAX: usize = 64;

/// Capacity that the worker's output buffer keeps between turns: the session's mark and a reply.
const OUTPUT_KEEP: usize = 512 << 10;

/// What is to become of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to do until the transport says so.
    Wait,
    /// More to do that no event will announce.
    Again,
    /// It is over.
    Close(CloseReason),
    /// It is over, and so is the process.
    Shutdown { graceful: bool },
}

/// It is over because somebody broke a rule, or the transport broke.
const BROKEN: Turn = Turn::Close(CloseReason::Error);

/// What a read has brought.
struct Received {
    count: usize,
    /// How much of it is the session's input; the rest is where it belongs already.
    input: usize,
    /// Less was asked for than there is room.
    is_head: bool,
}

/// Input that was received and not consumed.
#[derive(Debug, Default)]
struct Saved {
    bytes: Vec<u8>,
    from: usize,
    /// Holds requests that can run without further bytes.
    runnable: bool,
}

impl Saved {
    fn has_some(&self) -> bool {
        self.from < self.bytes.len()
    }

    /// Gives memory back once half of it is not needed any more, and all of it at the end: what is
    /// left then is part of one request.
    fn compact(&mut self) {
        if !self.runnable || self.from * 2 >= self.bytes.len() {
            self.bytes = self.bytes[self.from..].to_vec();
            self.from = 0;
        }
    }
}

/// One client's connection.
pub(crate) struct Connection {
    transport: Transport,
    session: Session,
    saved: Saved,
    /// Replies that the transport did not take. Boxed: most connections never need it.
    held: Option<Box<Output>>,
    /// What it holds, as the budget has been told.
    holding: Holding,
    /// What to do once `held` is sent, where that is more than carrying on.
    ending: Option<Turn>,
    /// Clock tick of the last bytes received.
    last_active: u64,
    /// Clock tick at which held replies were last added or sent in part.
    last_sent: u64,
    /// It is in the middle of something: see [`is_stuck_since`](Self::is_stuck_since).
    pub(crate) midway: bool,
    /// What `stats conns` shows. Written to only when that changes.
    entry: Arc<SocketEntry>,
    /// The state that the entry shows.
    state: &'static str,
    listener: u16,
    /// It is on the worker's ready list.
    pub(crate) queued: bool,
}

impl Connection {
    /// A connection that has said nothing yet.
    pub(crate) fn new(arrival: Arrival, bench: &Workbench) -> Self {
        let Arrival { transport, client } = arrival;
        let services = bench.hub.listeners[usize::from(client.listener)].services;
        let ticks = bench.hub.shared.clock.now().ticks;
        let entry = Arc::new(SocketEntry::client(transport.fd(), client, ticks));
        bench.roll().enter(&entry);
        Self {
            transport,
            session: Session::new(services, &bench.hub.shared.settings),
            saved: Saved::default(),
            held: None,
            holding: Holding::default(),
            ending: None,
            last_active: ticks,
            last_sent: ticks,
            midway: false,
            entry,
            state: roster::NEW,
            listener: client.listener,
            queued: false,
        }
    }

    /// The transport, for registration.
    pub(crate) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Number of the listener that it came through.
    pub(crate) fn listener(&self) -> u16 {
        self.listener
    }

    /// Tells watchers that it has come or, where that has a reason, that it goes.
    pub(crate) fn tell(&self, bench: &Workbench, closed: Option<CloseReason>) {
        if bench.lane.is_watched(Topics::CONNEVENTS) {
            let (peer, fd) = (self.entry.peer(), self.transport.fd());
            bench.lane.tell(match closed {
                None => events::Event::Opened { peer, fd },
                Some(reason) => events::Event::Closed { peer, fd, reason },
            });
        }
    }

    /// Whether replies wait for the transport.
    pub(crate) fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    /// Whether it has waited for a request since before tick `since`, as the idle timeout counts.
    pub(crate) fn is_idle_since(&self, since: u64) -> bool {
        const WAITING: [&str; 3] = ["conn_new_cmd", "conn_read", "conn_waiting"];
        self.last_active < since
            && self.held.is_none()
            && self.transport.is_tcp()
            && WAITING.contains(&self.session.state_name())
    }

    /// Whether it has been in the middle of a request, or of sending replies, without a byte of
    /// progress since before tick `since`.
    pub(crate) fn is_stuck_since(&self, since: u64) -> bool {
        let progress = match self.held {
            Some(_) => self.last_sent,
            None => self.last_active,
        };
        self.midway && progress < since
    }

    /// Has the session called at the next turn, whether or not there is input.
    pub(crate) fn poke(&mut self) {
        self.saved.runnable = true;
    }

    /// Takes note of what an event says.
    pub(crate) fn note(&mut self, event: &Event) {
        self.transport.note(event);
    }

    /// Does one turn's work: sends what waited, runs or reads requests, sends the replies.
    ///
    /// `rounds` is how often the session may use up its request budget before others are served.
    pub(crate) fn turn(&mut self, bench: &mut Workbench, rounds: u32) -> Turn {
        bench.roll().serve(self.transport.fd());
        let turn = self.take_turn(bench, rounds);
        bench.roll().rest();
        self.show_state();
        self.account(bench);
        turn
    }

    /// Clock tick of the last bytes received.
    pub(crate) fn last_active(&self) -> u64 {
        self.last_active
    }

    /// What it holds.
    pub(crate) fn holding(&self) -> Holding {
        self.holding
    }

    /// Tells the budget what the connection holds after the turn: nothing, mostly.
    fn account(&mut self, bench: &mut Workbench) {
        // Requests that can run do not wait for the client.
        let waits = !self.saved.runnable && (self.session.is_midway() || self.saved.has_some());
        self.midway = self.held.is_some() || waits;
        let held = self.held.as_deref();
        // Of a client that watches and does not read, all that may come to wait counts at once: it
        // comes from another thread, and there is no turn when it does.
        let reserved = held.map_or(0, |_| self.session.reserved());
        let now = Holding {
            input: self.saved.bytes.capacity() as u64,
            output: held.map_or(0, Output::capacity) as u64 + reserved,
            pinned: self.session.uploaded() + held.map_or(0, Output::pinned),
        };
        if now != self.holding {
            let (budget, shared) = (&bench.hub.budget, &bench.hub.shared);
            budget.change(shared, self.holding, now);
            self.holding = now;
            bench.grew = true;
        }
    }

    /// Tells `stats conns` where the turn has left the conversation.
    fn show_state(&mut self) {
        let state = match self.held {
            Some(_) => "conn_mwrite",
            None => self.session.state_name(),
        };
        // The names are constants: a comparison of places is enough, and a wrong no costs little.
        if !std::ptr::eq(state, self.state) {
            let fd = self.transport.fd();
            trace!("{fd}: going from {} to {state}", self.state);
            self.state = state;
            self.entry.set_state(state);
        }
    }

    fn take_turn(&mut self, bench: &mut Workbench, rounds: u32) -> Turn {
        match self.send_held(bench) {
            Sent::All => {}
            Sent::Enough => return Turn::Again,
            Sent::Blocked => return Turn::Wait,
            Sent::Broken => return BROKEN,
        }
        if let Some(ending) = self.ending {
            return ending;
        }
        let share = bench.begin_turn();
        let next = if self.saved.runnable {
            self.resume(bench, rounds)
        } else {
            self.receive(bench, share, rounds)
        };
        match self.send(bench) {
            Sent::All => next,
            Sent::Broken => BROKEN,
            sent => {
                let is_end = matches!(next, Turn::Close(_) | Turn::Shutdown { .. });
                self.ending = is_end.then_some(next);
                if sent == Sent::Enough {
                    Turn::Again
                } else {
                    Turn::Wait
                }
            }
        }
    }

    /// Sends what it can of the held replies and drops the rest of the conversation; `true` once
    /// nothing is left to send, or `deadline` has passed. For the time between the order to stop
    /// and the end.
    pub(crate) fn wind_up(&mut self, bench: &mut Workbench, deadline: Instant) -> bool {
        for _ in 0..WIND_UP_MAX {
            if Instant::now() >= deadline {
                break;
            }
            match self.send_held(bench) {
                Sent::Enough => {}
                Sent::Blocked => return false,
                Sent::All | Sent::Broken => return true,
            }
        }
        true
    }

    /// Reads and drops what the peer still sends; `true` once it has closed too.
    ///
    /// Closing a TCP socket with unread bytes makes the system send a reset, which can overtake
    /// the last replies on their way to the peer.
    pub(crate) fn discard_input(&mut self, bench: &mut Workbench) -> bool {
        match self.transport.read(&mut bench.scratch) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !is_transient(&error),
        }
    }

    /// Gives back what the conversation holds. The last call.
    pub(crate) fn hang_up(&mut self, bench: &mut Workbench) {
        self.session.hang_up(&mut bench.lane);
        let (budget, shared) = (&bench.hub.budget, &bench.hub.shared);
        budget.change(shared, self.holding, Holding::default());
        bench.roll().leave(&self.entry);
    }

    /// Reads and runs what came. Where that was only the beginning of more, a large value likely,
    /// reads once more.
    fn receive(&mut self, bench: &mut Workbench, share: usize, rounds: u32) -> Turn {
        let (next, was_head) = self.receive_once(bench, share, rounds);
        if was_head && next == Turn::Again && !self.saved.runnable {
            return self.receive_once(bench, share, rounds).0;
        }
        next
    }

    /// Reads once and runs what came; and whether less was asked for than there is room.
    fn receive_once(&mut self, bench: &mut Workbench, share: usize, rounds: u32) -> (Turn, bool) {
        let left = self.saved.bytes.len() - self.saved.from;
        if !self.transport.is_readable() {
            return (Turn::Wait, false);
        }
        if left > INPUT_MAX {
            // A request longer than the longest: the session let it pass.
            return (BROKEN, false);
        }
        let now = bench.hub.shared.clock.now();
        let received = match self.read(bench, left, share, now) {
            Ok(received) if received.count == 0 => {
                return (Turn::Close(CloseReason::Normal), false);
            }
            Ok(received) => received,
            Err(error) => return (after_read_error(&error), false),
        };
        bench.scratch[..left].copy_from_slice(&self.saved.bytes[self.saved.from..]);
        let bytes_read = &bench.hub.shared.counters[bench.worker].bytes_read;
        bytes_read.add(received.count as u64);
        if self.last_active != now.ticks {
            self.last_active = now.ticks;
            self.entry.set_active(now.ticks);
        }
        let (run, scratch) = bench.split();
        let input = &scratch[..left + received.input];
        let (consumed, progress) = run.advance((&self.transport, &mut self.session), input, rounds);
        self.saved = Saved {
            bytes: input[consumed..].to_vec(),
            from: 0,
            runnable: false,
        };
        (self.next(progress), received.is_head)
    }

    /// Reads once: requests into the scratch buffer after the `left` bytes that will stand there,
    /// or what is missing of a value to where it will lie, and what follows it as requests.
    fn read(
        &mut self,
        bench: &mut Workbench,
        left: usize,
        share: usize,
        now: Now,
    ) -> io::Result<Received> {
        let room = &mut bench.scratch[left..left + share];
        let mut gaps = [Gap::EMPTY; GAPS_MAX];
        match self
            .session
            .next_read(&mut bench.lane, READ_LEN as u32, &mut gaps, now)
        {
            NextRead::Bytes(most) => {
                let most = most.min(room.len());
                let is_head = most < room.len();
                let count = self.transport.read(&mut room[..most])?;
                Ok(Received {
                    count,
                    input: count,
                    is_head,
                })
            }
            NextRead::Value { gaps: found, rest } => {
                let gaps = &gaps[..found];
                let value: usize = gaps.iter().map(Gap::len).sum();
                let rest = rest.min(room.len());
                let read = self.transport.read_value(gaps, &mut room[..rest]);
                let count = *read.as_ref().unwrap_or(&0);
                self.session
                    .filled(&mut bench.lane, count.min(value) as u32);
                read.map(|count| Received {
                    count,
                    input: count.saturating_sub(value),
                    is_head: false,
                })
            }
        }
    }

    /// Runs on where the session gave way, without reading.
    fn resume(&mut self, bench: &mut Workbench, rounds: u32) -> Turn {
        let (run, _) = bench.split();
        let input = &self.saved.bytes[self.saved.from..];
        let (consumed, progress) = run.advance((&self.transport, &mut self.session), input, rounds);
        self.saved.from += consumed;
        let next = self.next(progress);
        self.saved.compact();
        next
    }

    fn next(&mut self, progress: Progress) -> Turn {
        self.saved.runnable = matches!(progress, Progress::Yield | Progress::Full);
        match progress {
            Progress::NeedInput if self.transport.is_readable() => Turn::Again,
            Progress::NeedInput => Turn::Wait,
            Progress::Yield | Progress::Full => Turn::Again,
            Progress::Close => BROKEN,
            Progress::Quit => Turn::Close(CloseReason::Normal),
            Progress::Barred { failures } => {
                let client = self.entry.origin();
                warn!("{client}: closed after {failures} failed logins");
                BROKEN
            }
            Progress::Shutdown { graceful } => Turn::Shutdown { graceful },
        }
    }

    /// Sends the worker's output; what the transport does not take is held here.
    fn send(&mut self, bench: &mut Workbench) -> Sent {
        if bench.output.is_empty() {
            return Sent::All;
        }
        let (sent, count) = self.transport.send(&mut bench.output);
        bench.count_sent(count);
        match sent {
            Sent::Blocked | Sent::Enough => {
                self.held = Some(Box::new(bench.output.split_off()));
                self.last_sent = bench.hub.shared.clock.now().ticks;
            }
            Sent::All | Sent::Broken => {}
        }
        bench.output.reset(OUTPUT_KEEP);
        sent
    }

    fn send_held(&mut self, bench: &Workbench) -> Sent {
        let Some(held) = &mut self.held else {
            return Sent::All;
        };
        let (sent, count) = self.transport.send(held);
        bench.count_sent(count);
        if count > 0 {
            self.last_sent = bench.hub.shared.clock.now().ticks;
        }
        match sent {
            Sent::All | Sent::Broken => self.held = None,
            Sent::Blocked | Sent::Enough => held.compact(),
        }
        sent
    }
}

fn after_read_error(error: &io::Error) -> Turn {
    match error.kind() {
        io::ErrorKind::WouldBlock => Turn::Wait,
        io::ErrorKind::Interrupted => Turn::Again,
        _ => BROKEN,
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

const _: () = assert!(
    size_of::<Saved>() <= 48,
    "an idle connection must stay small"
);
