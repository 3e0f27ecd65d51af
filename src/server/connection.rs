//! One client: its socket, its conversation, and whatever of either is unfinished.
//!
//! An idle connection owns no buffer. The worker lends it a [`Desk`] for the length of a turn:
//!
//! ```text
//!            ┌───────── saved input, to the front ─────────┐
//!   socket ─read─▶ desk.scratch ─▶ session.advance ─▶ desk.output ─write─▶ socket
//!                       │                                   │
//!                       └─ not consumed: saved              └─ not sent: held
//! ```
//!
//! Of a large value only the beginning goes that way. The kernel writes the rest to where it will
//! lie in the store, and what follows the value to the scratch buffer, in one read.
//!
//! What the session leaves behind is of two kinds. After `NeedInput` it is less than one request,
//! at most [`Session::INPUT_MAX`] bytes. After `Yield` or `Full` it is *runnable*, at most a
//! scratch buffer's worth, and is executed from where it was saved before anything more is read.

use crate::base::clock::Now;
use crate::base::part::{Gap, Part};
use crate::server::Hub;
use crate::server::narrator;
use crate::server::os::{self, GAPS_MAX, PARTS_MAX};
use crate::server::roster::{self, Client, Entry, Roll};
use crate::server::socket::Socket;
use crate::session::{Context, Output, Progress, Session};
use crate::store::Lane;
use log::warn;
use mio::event::Event;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Bytes read in one turn at most. Large enough that a big value comes in few system calls, small
/// enough that a turn takes well under a millisecond.
pub(crate) const READ_LEN: usize = 256 << 10;

/// Bytes read at once where large values are expected: a request's line and the value's beginning.
/// What follows of the value is then received where it will lie, and not copied there. Also what is
/// read of a client that has yet to log in: several logins.
const HEAD_LEN: usize = 4 << 10;

/// Bytes sent in one turn at most, so that a client fetching a huge value shares the worker.
const SEND_MAX: usize = 1 << 20;

/// Replies that are worth a write of their own: with so many waiting, a connection that has used
/// up its request budget gives way whatever rounds it has left.
const ROUND_OUTPUT_MAX: usize = 64 << 10;

/// Turns' worth of sending that a stopping worker spends on one client at a time (64 MiB).
const WIND_UP_MAX: usize = 64;

/// Capacity that the worker's output buffer keeps between turns: the session's mark and a reply.
const OUTPUT_KEEP: usize = 512 << 10;

/// A new client on its way from the acceptor to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The accepted socket.
    pub(crate) socket: Socket,
    /// Where it comes from.
    pub(crate) client: Client,
}

/// What a worker owns once and lends to each connection in turn.
pub(crate) struct Desk {
    pub(crate) hub: Arc<Hub>,
    /// The worker's number.
    pub(crate) worker: usize,
    pub(crate) lane: Lane,
    /// What is read goes here: a saved request's beginning and [`READ_LEN`], or any datagram.
    pub(crate) scratch: Box<[u8]>,
    /// Empty between turns.
    pub(crate) output: Output,
}

impl Desk {
    /// The desk of worker number `worker`.
    pub(crate) fn new(hub: Arc<Hub>, worker: usize) -> Self {
        let lane = hub.shared.store.lane(worker);
        let scratch = vec![0; Session::INPUT_MAX + READ_LEN].into_boxed_slice();
        let counters = &hub.shared.server;
        counters.read_buf_count.fetch_add(1, Ordering::Relaxed);
        counters
            .read_buf_bytes
            .fetch_add(scratch.len() as u64, Ordering::Relaxed);
        Self {
            hub,
            worker,
            lane,
            scratch,
            output: Output::default(),
        }
    }

    /// Where the worker's connections are listed.
    fn roll(&self) -> &Roll {
        self.hub.roster.roll(self.worker)
    }
}

/// What is to become of a connection after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to do until the socket says so.
    Wait,
    /// More to do that no event will announce.
    Again,
    /// It is over.
    Close,
    /// It is over, and so is the process.
    Shutdown { graceful: bool },
}

/// How far sending got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The turn's share is used up.
    Enough,
    /// The peer is gone.
    Broken,
}

/// What a read has brought.
struct Received {
    count: usize,
    /// How much of it is the session's input; the rest is where it belongs already.
    input: usize,
    /// There was no room for more.
    filled: bool,
}

/// Input that was received and not consumed.
#[derive(Debug, Default)]
struct Saved {
    bytes: Vec<u8>,
    from: usize,
    /// Holds requests that can run without further bytes.
    runnable: bool,
}

/// One client's connection.
pub(crate) struct Connection {
    socket: Socket,
    session: Session,
    saved: Saved,
    /// Replies that the socket did not take. Boxed: most connections never need it.
    held: Option<Box<Output>>,
    /// What to do once `held` is sent, where that is more than carrying on.
    ending: Option<Turn>,
    /// Clock tick of the last bytes received.
    last_active: u64,
    /// What `stats conns` shows. Written to only when that changes.
    entry: Arc<Entry>,
    /// The state that the entry shows.
    state: &'static str,
    listener: u16,
    /// The socket may have bytes that no further edge will announce.
    readable: bool,
    /// Large values have been coming: less is read at once, so that less of the next is copied.
    large: bool,
    /// The peer has ended its direction: read on until the end is reached.
    hung_up: bool,
    /// WRITABLE has been asked for.
    pub(crate) watches_writable: bool,
    /// It is on the worker's ready list.
    pub(crate) queued: bool,
}

impl Connection {
    /// A connection that has said nothing yet.
    pub(crate) fn new(arrival: Arrival, desk: &Desk) -> Self {
        let Arrival { socket, client } = arrival;
        let protocol = desk.hub.listeners[usize::from(client.listener)].protocol;
        let ticks = desk.hub.shared.clock.now().ticks;
        let entry = Arc::new(Entry::client(socket.fd(), client, ticks));
        desk.roll().enter(&entry);
        Self {
            socket,
            session: Session::new(protocol),
            saved: Saved::default(),
            held: None,
            ending: None,
            last_active: ticks,
            entry,
            state: roster::NEW,
            listener: client.listener,
            readable: false,
            large: false,
            hung_up: false,
            watches_writable: false,
            queued: false,
        }
    }

    /// The socket, for registration.
    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Number of the listener that it came through.
    pub(crate) fn listener(&self) -> u16 {
        self.listener
    }

    /// Whether replies wait for the socket.
    pub(crate) fn is_blocked(&self) -> bool {
        self.held.is_some()
    }

    /// Whether it has waited for a request since before tick `since`, as the idle timeout counts.
    pub(crate) fn is_idle_since(&self, since: u64) -> bool {
        const WAITING: [&str; 3] = ["conn_new_cmd", "conn_read", "conn_waiting"];
        self.last_active < since
            && self.held.is_none()
            && self.socket.is_tcp()
            && WAITING.contains(&self.session.state_name())
    }

    /// Takes note of what an event says.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
    }

    /// Does one turn's work: sends what waited, runs or reads requests, sends the replies.
    ///
    /// `rounds` is how often the session may use up its request budget before others are served.
    pub(crate) fn turn(&mut self, desk: &mut Desk, rounds: u32) -> Turn {
        desk.roll().serve(self.socket.fd());
        let turn = self.take_turn(desk, rounds);
        desk.roll().rest();
        self.show_state();
        turn
    }

    /// Tells `stats conns` where the turn has left the conversation.
    fn show_state(&mut self) {
        let state = match self.held {
            Some(_) => "conn_mwrite",
            None => self.session.state_name(),
        };
        // The names are constants: a comparison of places is enough, and a wrong no costs little.
        if !std::ptr::eq(state, self.state) {
            self.state = state;
            self.entry.set_state(state);
        }
    }

    fn take_turn(&mut self, desk: &mut Desk, rounds: u32) -> Turn {
        match self.send_held(desk) {
            Sent::All => {}
            Sent::Enough => return Turn::Again,
            Sent::Blocked => return Turn::Wait,
            Sent::Broken => return Turn::Close,
        }
        if let Some(ending) = self.ending {
            return ending;
        }
        let next = if self.saved.runnable {
            self.resume(desk, rounds)
        } else {
            self.receive_all(desk, rounds)
        };
        match self.send(desk) {
            Sent::All => next,
            Sent::Broken => Turn::Close,
            sent => {
                self.ending = matches!(next, Turn::Close | Turn::Shutdown { .. }).then_some(next);
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
    pub(crate) fn wind_up(&mut self, desk: &mut Desk, deadline: Instant) -> bool {
        for _ in 0..WIND_UP_MAX {
            if Instant::now() >= deadline {
                break;
            }
            match self.send_held(desk) {
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
    pub(crate) fn discard_input(&mut self, desk: &mut Desk) -> bool {
        match self.socket.read(&mut desk.scratch) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !is_transient(&error),
        }
    }

    /// Gives back what the conversation holds. The last call.
    pub(crate) fn hang_up(&mut self, desk: &mut Desk) {
        self.session.hang_up(&mut desk.lane);
        desk.roll().leave(&self.entry);
    }

    /// Reads and runs what came; a large value of which the beginning has come is gone on with at
    /// once.
    fn receive_all(&mut self, desk: &mut Desk, rounds: u32) -> Turn {
        let read_head = self.large && !self.session.awaits_much();
        let next = self.receive(desk, rounds);
        if read_head && next == Turn::Again && self.session.awaits_much() {
            return self.receive(desk, rounds);
        }
        next
    }

    /// Reads once and runs what came.
    ///
    /// A short read proves that the socket is empty, and the next bytes raise an edge; reading
    /// again only to be told so would cost 7 % of an unpipelined request. Once the peer has hung
    /// up no edge follows, so then only the end itself is believed.
    fn receive(&mut self, desk: &mut Desk, rounds: u32) -> Turn {
        if !self.readable {
            return Turn::Wait;
        }
        let left = self.saved.bytes.len() - self.saved.from;
        let Some(room) = desk
            .scratch
            .get_mut(left..)
            .filter(|_| left <= Session::INPUT_MAX)
        else {
            return Turn::Close; // A request longer than the longest: the session let it pass.
        };
        let shared = &desk.hub.shared;
        let little = self.large || !self.session.is_admitted(&shared.settings);
        let most = if little { HEAD_LEN } else { room.len() };
        let room = &mut room[..most];
        let now = shared.clock.now();
        let read = if left == 0 && self.session.awaits_much() {
            self.read_value(&mut desk.lane, room, now)
        } else {
            self.socket.read(room).map(|count| Received {
                count,
                input: count,
                filled: count == most,
            })
        };
        let received = match read {
            Ok(received) if received.count == 0 => return Turn::Close,
            Ok(received) => received,
            Err(error) => return self.after_read_error(&error),
        };
        self.readable = received.filled || self.hung_up;
        desk.scratch[..left].copy_from_slice(&self.saved.bytes[self.saved.from..]);
        let bytes_read = &shared.counters[desk.worker].bytes_read;
        bytes_read.add(received.count as u64);
        if self.last_active != now.ticks {
            self.last_active = now.ticks;
            self.entry.set_active(now.ticks);
        }
        let input = &desk.scratch[..left + received.input];
        let mut run = Run {
            fd: self.socket.fd(),
            hub: &desk.hub,
            worker: desk.worker,
            lane: &mut desk.lane,
            output: &mut desk.output,
            rounds,
            large: false,
        };
        let (consumed, progress) = run.advance(&mut self.session, input);
        // Small requests that fill a short read end the expectation.
        self.large = run.large || self.large && !received.filled;
        self.saved = Saved {
            bytes: input[consumed..].to_vec(),
            from: 0,
            runnable: false,
        };
        self.next(progress)
    }

    /// Reads what is missing of the value that is coming in to where it will lie, and what follows
    /// it into `rest`.
    fn read_value(&mut self, lane: &mut Lane, rest: &mut [u8], now: Now) -> io::Result<Received> {
        let mut gaps = [Gap::EMPTY; GAPS_MAX];
        let most = READ_LEN as u32;
        let (gap_count, reach_end) = self.session.gaps(lane, most, &mut gaps, now);
        let gaps = &gaps[..gap_count];
        let room: usize = gaps.iter().map(Gap::len).sum();
        // Without any there is no memory: reading on finds that out.
        let rest_len = if reach_end || room == 0 {
            rest.len()
        } else {
            0
        };
        let read = os::read_gaps(self.socket.fd(), gaps, &mut rest[..rest_len]);
        let count = *read.as_ref().unwrap_or(&0);
        self.session.filled(lane, count.min(room) as u32);
        read.map(|count| Received {
            count,
            input: count.saturating_sub(room),
            filled: count == room + rest_len,
        })
    }

    fn after_read_error(&mut self, error: &io::Error) -> Turn {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.readable = false;
                Turn::Wait
            }
            io::ErrorKind::Interrupted => Turn::Again,
            _ => Turn::Close,
        }
    }

    /// Runs on where the session gave way, without reading.
    fn resume(&mut self, desk: &mut Desk, rounds: u32) -> Turn {
        let mut run = Run {
            fd: self.socket.fd(),
            hub: &desk.hub,
            worker: desk.worker,
            lane: &mut desk.lane,
            output: &mut desk.output,
            rounds,
            large: false,
        };
        let input = &self.saved.bytes[self.saved.from..];
        let (consumed, progress) = run.advance(&mut self.session, input);
        self.saved.from += consumed;
        let next = self.next(progress);
        if !self.saved.runnable {
            // What is left is part of one request: do not keep the whole batch's memory for it.
            let rest = self.saved.bytes[self.saved.from..].to_vec();
            self.saved = Saved {
                bytes: rest,
                from: 0,
                runnable: false,
            };
        }
        next
    }

    fn next(&mut self, progress: Progress) -> Turn {
        self.saved.runnable = matches!(progress, Progress::Yield | Progress::Full);
        match progress {
            Progress::NeedInput if self.readable => Turn::Again,
            Progress::NeedInput => Turn::Wait,
            Progress::Yield | Progress::Full => Turn::Again,
            Progress::Close => Turn::Close,
            Progress::Barred { failures } => {
                let client = self.entry.origin();
                warn!("{client}: closed after {failures} failed logins");
                Turn::Close
            }
            Progress::Shutdown { graceful } => Turn::Shutdown { graceful },
        }
    }

    /// Sends the worker's output; what the socket does not take is held here.
    fn send(&mut self, desk: &mut Desk) -> Sent {
        if desk.output.is_empty() {
            return Sent::All;
        }
        let (sent, count) = drain(&mut self.socket, &mut desk.output);
        desk.hub.shared.counters[desk.worker]
            .bytes_written
            .add(count);
        match sent {
            Sent::Blocked | Sent::Enough => {
                self.held = Some(Box::new(mem::take(&mut desk.output)));
            }
            Sent::All | Sent::Broken => desk.output.reset(OUTPUT_KEEP),
        }
        sent
    }

    fn send_held(&mut self, desk: &Desk) -> Sent {
        let Some(held) = &mut self.held else {
            return Sent::All;
        };
        let (sent, count) = drain(&mut self.socket, held);
        desk.hub.shared.counters[desk.worker]
            .bytes_written
            .add(count);
        if matches!(sent, Sent::All | Sent::Broken) {
            self.held = None;
        }
        sent
    }
}

/// What the session is lent, apart from the input.
struct Run<'a> {
    fd: RawFd,
    hub: &'a Hub,
    worker: usize,
    lane: &'a mut Lane,
    output: &'a mut Output,
    rounds: u32,
    /// A large value has come or begun to.
    large: bool,
}

impl Run<'_> {
    /// Runs requests until the input, the rounds or the room for replies are used up.
    fn advance(&mut self, session: &mut Session, input: &[u8]) -> (usize, Progress) {
        let shared = &self.hub.shared;
        let counters = &shared.counters[self.worker];
        let mut context = Context {
            shared,
            lane: self.lane,
            counters,
            now: shared.clock.now(),
        };
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            let step = narrator::advance(self.fd, session, &mut context, rest, self.output);
            consumed += step.consumed;
            self.large |= step.large;
            if step.progress != Progress::Yield {
                return (consumed, step.progress);
            }
            counters.conn_yields.add(1);
            if self.rounds == 0 || self.output.pending() >= ROUND_OUTPUT_MAX {
                return (consumed, step.progress);
            }
            self.rounds -= 1;
        }
    }
}

/// Writes until everything is out, the socket is full, or the turn's share is used up.
///
/// It stops at `WouldBlock` and not at a short write: only the refusal promises a WRITABLE edge.
fn drain(socket: &mut Socket, output: &mut Output) -> (Sent, u64) {
    let mut total = 0;
    while total < SEND_MAX {
        if output.is_empty() {
            return (Sent::All, total as u64);
        }
        match send(socket, output) {
            Ok(0) => return (Sent::Broken, total as u64),
            Ok(count) => {
                output.advance(count);
                total += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return (Sent::Blocked, total as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (Sent::Broken, total as u64),
        }
    }
    let sent = if output.is_empty() {
        Sent::All
    } else {
        Sent::Enough
    };
    (sent, total as u64)
}

/// One write: of the bytes as they are, or gathered where large values are among them.
fn send(socket: &mut Socket, output: &mut Output) -> io::Result<usize> {
    if !output.has_large() {
        return socket.write(output.front());
    }
    let mut parts = [Part::EMPTY; PARTS_MAX];
    let count = output.parts(&mut parts);
    os::write_parts(socket.fd(), &parts[..count])
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
