//! One thread, one `mio::Poll`, and the connections that were handed to it.
//!
//! ```text
//!             ┌──────────────── poll ────────────────┐
//!             ▼                                      │
//!   mail ─▶ adopt      events ─▶ serve each ─▶ ready list, once round ─▶ idle scan
//!                                  │    ▲
//!                                  └────┘ Turn::Again: to the end of the ready list
//! ```
//!
//! mio registers sockets edge-triggered: an edge that is not acted on is never repeated. Hence:
//!
//! 1. **A short read ends reading.** The socket was empty then, so new bytes raise a new edge. A
//!    read that filled the buffer, and a peer that has hung up, leave the connection readable.
//! 2. **A connection with more to do goes on the ready list.** No edge will announce it.
//! 3. **WRITABLE is asked for only after the socket refused bytes**, and then kept: an edge comes
//!    only after the next refusal, so keeping it costs nothing.

use crate::base::clock::TICKS_PER_SECOND;
use crate::base::events::CloseReason;
use crate::server::budget::Overdraft;
use crate::server::connection::{Connection, Turn};
use crate::server::datagram::DatagramSocket;
use crate::server::hub::Hub;
use crate::server::mailbox::{Arrival, Message, WAKE};
use crate::server::table::TokenTable;
use crate::server::workbench::Workbench;
use log::{debug, info};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Events taken from the system at a time.
const EVENTS_LEN: usize = 1024;

/// How often more a connection may use up its request budget in one turn while nobody else has
/// anything to do. Sixteen budgets of 20 requests are some 100 µs: a newcomer waits no longer.
const ROUNDS_ALONE: u32 = 15;

/// The same while others wait. Giving way means a write, which costs as much as some twenty small
/// requests do. With 50 clients that each pipeline 50 gets, and a session that does next to
/// nothing, a write for every budget of 20 took 0.43 µs of CPU a request, one for four 0.22 µs.
const ROUNDS_SHARED: u32 = 3;

/// How long a worker waits, after the order to stop, for clients to take their last replies and
/// to close. The whole process has a second.
const DRAIN: Duration = Duration::from_millis(400);

/// Bytes that make one connection worse than another: with less between them it is the silence.
const OFFENCE: u64 = 64 << 10;

/// A worker, before and while it runs.
pub(crate) struct Worker {
    hub: Arc<Hub>,
    number: usize,
    poll: Poll,
    bench: Workbench,
    table: TokenTable<Connection>,
    /// UDP sockets that are this worker's.
    datagrams: Vec<DatagramSocket>,
    /// Connections that have more to do; each at most once (`Connection::queued`).
    ready: VecDeque<Token>,
    /// Clock second of the last idle scan.
    scanned_at: u64,
    /// Some connection has been in the middle of something since that scan.
    midway: bool,
    stopping: bool,
}

impl Worker {
    /// Worker `number`, which waits on `poll` and serves `datagrams` beside its connections.
    pub(crate) fn new(
        hub: Arc<Hub>,
        number: usize,
        poll: Poll,
        datagrams: Vec<DatagramSocket>,
    ) -> Self {
        let bench = Workbench::new(Arc::clone(&hub), number);
        Self {
            hub,
            number,
            poll,
            bench,
            table: TokenTable::default(),
            datagrams,
            ready: VecDeque::new(),
            scanned_at: 0,
            midway: false,
            stopping: false,
        }
    }

    /// Serves until told to stop, then drains.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.watch_datagrams()?;
        let mut events = Events::with_capacity(EVENTS_LEN);
        while !self.stopping {
            self.wait(&mut events, self.patience())?;
            let alone = events.iter().take(2).count() + self.ready.len() <= 1;
            for event in &events {
                if event.token() == WAKE {
                    self.read_mail();
                } else if let Some(socket) = self.datagrams.get_mut(datagram_number(event.token()))
                {
                    socket.pending = true;
                } else if self.note(event.token(), event) {
                    self.serve(event.token(), alone);
                }
            }
            for _ in 0..self.ready.len() {
                if let Some(token) = self.next_ready() {
                    self.serve(token, alone);
                }
            }
            self.serve_datagrams();
            self.kick_idle();
        }
        self.drain(&mut events)
    }

    fn wait(&mut self, events: &mut Events, patience: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() || self.datagrams.iter().any(|socket| socket.pending) {
            return Some(Duration::ZERO);
        }
        self.scans().then_some(Duration::from_secs(1))
    }

    fn read_mail(&mut self) {
        while let Some(message) = self.hub.mailboxes[self.number].take() {
            match message {
                Message::Adopt(_) if self.stopping => self.hub.connection_closed(),
                Message::Adopt(arrival) => self.adopt(arrival),
                Message::Poke(token) => self.poke(token),
                Message::Trim => {
                    self.trim();
                }
                Message::Stop => self.stopping = true,
            }
        }
    }

    fn adopt(&mut self, arrival: Arrival) {
        let name = &self.hub.listeners[usize::from(arrival.client.listener)].name;
        debug!(
            "<{} new client connection through {name}",
            arrival.transport.fd()
        );
        let token = self.table.insert(Connection::new(arrival, &self.bench));
        let connection = self.table.get_mut(token).expect("inserted above");
        connection.tell(&self.bench, None);
        let registry = self.poll.registry();
        if let Err(error) = connection.transport().register(registry, token) {
            debug!("cannot watch a new connection: {error}");
            self.close(token, CloseReason::Error);
        }
    }

    /// Has the session of a connection called at its next turn.
    fn poke(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else {
            return; // It has closed since.
        };
        connection.poke();
        if !connection.queued {
            connection.queued = true;
            self.ready.push_back(token);
        }
    }

    /// Passes an event on; `true` if the connection should be served at once.
    fn note(&mut self, token: Token, event: &Event) -> bool {
        let Some(connection) = self.table.get_mut(token) else {
            return false; // Closed earlier in this batch.
        };
        connection.note(event);
        // One on the ready list gets its turn from there, and not a second one before others.
        !connection.queued
    }

    fn next_ready(&mut self) -> Option<Token> {
        let token = self.ready.pop_front()?;
        let connection = self.table.get_mut(token)?;
        connection.queued = false;
        Some(token)
    }

    fn serve(&mut self, token: Token, alone: bool) {
        let Some(connection) = self.table.get_mut(token) else {
            return;
        };
        let rounds = if alone { ROUNDS_ALONE } else { ROUNDS_SHARED };
        self.bench.connection.token = token.0;
        self.bench.connection.fd = connection.transport().fd();
        let turn = connection.turn(&mut self.bench, rounds);
        self.midway |= connection.midway;
        match turn {
            Turn::Wait => self.watch(token),
            Turn::Again => {
                connection.queued = true;
                self.ready.push_back(token);
            }
            Turn::Close(reason) => self.close(token, reason),
            Turn::Shutdown { graceful } => {
                self.close(token, CloseReason::Shutdown);
                self.hub.stop(graceful);
            }
        }
        if mem::take(&mut self.bench.grew) && !self.trim() {
            self.hub.trim_elsewhere(self.number);
        }
    }

    /// While connections hold more than they may: closes the one here that holds most, of several
    /// the one that has been silent longest. `false` if all here hold less than the average: then
    /// another worker has a worse one.
    fn trim(&mut self) -> bool {
        while let Some((overdraft, average)) = self.overdraft() {
            let offenders = self.table.iter().filter_map(|(token, connection)| {
                let has = overdraft.of(connection.holding());
                (has >= average).then_some((token, has, connection.last_active()))
            });
            let worst = offenders.max_by_key(|(_, has, since)| (has / OFFENCE, Reverse(*since)));
            let Some((token, has, _)) = worst else {
                return false;
            };
            info!("closing a connection that holds {has} bytes {overdraft}");
            let kicks = &self.hub.shared.server.conn_memory_kicks;
            kicks.fetch_add(1, Ordering::Relaxed);
            self.close(token, CloseReason::Error);
        }
        true
    }

    fn overdraft(&self) -> Option<(Overdraft, u64)> {
        let (budget, shared) = (&self.hub.budget, &self.hub.shared);
        budget.overdraft(shared, self.hub.open())
    }

    fn watch_datagrams(&mut self) -> io::Result<()> {
        for (number, socket) in self.datagrams.iter_mut().enumerate() {
            let token = datagram_token(number);
            let registry = self.poll.registry();
            registry.register(socket.socket(), token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Answers a batch of datagrams of each socket that has some.
    fn serve_datagrams(&mut self) {
        for socket in self.datagrams.iter_mut().filter(|socket| socket.pending) {
            socket.serve(&mut self.bench);
        }
    }

    /// Asks for WRITABLE if replies wait for it for the first time.
    fn watch(&mut self, token: Token) {
        let Some(connection) = self.table.get_mut(token) else {
            return;
        };
        if !connection.is_blocked() {
            return;
        }
        let registry = self.poll.registry();
        if let Err(error) = connection.transport().watch_writable(registry, token) {
            debug!("cannot watch a connection for writing: {error}");
            self.close(token, CloseReason::Error);
        }
    }

    /// Ends a connection. Closing its descriptor also takes it out of the poll.
    fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(mut connection) = self.table.remove(token) else {
            return;
        };
        connection.tell(&self.bench, Some(reason));
        connection.hang_up(&mut self.bench);
        let name = &self.hub.listeners[usize::from(connection.listener())].name;
        debug!(
            "<{} connection through {name} closed",
            connection.transport().fd()
        );
        drop(connection);
        self.hub.connection_closed();
    }

    /// Once a second, if clients are to be closed at all for idleness or for being stuck: looks for
    /// them.
    fn kick_idle(&mut self) {
        let now = self.hub.shared.clock.now();
        if now.seconds() == self.scanned_at || !self.scans() {
            return;
        }
        self.scanned_at = now.seconds();
        let settings = &self.hub.shared.settings;
        // Of a timeout of 0, which is none, nothing is older than the beginning of time.
        let since = |timeout_s: u32| match timeout_s {
            0 => 0,
            s => now.ticks.saturating_sub(u64::from(s) * TICKS_PER_SECOND),
        };
        let idle = since(settings.idle_timeout_s);
        let stuck = since(settings.progress_timeout_s);
        let late = self.table.iter().filter(|(_, connection)| {
            connection.is_idle_since(idle) || connection.is_stuck_since(stuck)
        });
        let late: Vec<_> = late.map(|(token, _)| token).collect();
        self.midway = self.table.iter().any(|(_, connection)| connection.midway);
        for token in late {
            info!("closing a connection that is idle or stuck");
            let kicks = &self.hub.shared.server.idle_kicks;
            kicks.fetch_add(1, Ordering::Relaxed);
            self.close(token, CloseReason::IdleTimeout);
        }
    }

    /// Whether a connection can be idle or stuck for too long to be kept.
    fn scans(&self) -> bool {
        let settings = &self.hub.shared.settings;
        settings.idle_timeout_s > 0 && self.table.len() > 0
            || settings.progress_timeout_s > 0 && self.midway
    }

    /// Sends what is on its way, tells every client that it was the last, and waits a moment for
    /// them to read it and close.
    fn drain(&mut self, events: &mut Events) -> io::Result<()> {
        let deadline = Instant::now() + DRAIN;
        for token in self.table.tokens() {
            self.wind_up(token, deadline);
        }
        while self.table.len() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait(events, Some(left))?;
            self.read_mail();
            for event in events.iter() {
                self.wind_up(event.token(), deadline);
            }
        }
        for token in self.table.tokens() {
            self.close(token, CloseReason::Shutdown);
        }
        Ok(())
    }

    fn wind_up(&mut self, token: Token, deadline: Instant) {
        let Some(connection) = self.table.get_mut(token) else {
            return;
        };
        if !connection.wind_up(&mut self.bench, deadline) {
            self.watch(token);
            return;
        }
        let ended = connection.transport().shutdown_write().is_err();
        // A client that keeps sending keeps raising edges, so one read per edge is enough.
        if ended || connection.discard_input(&mut self.bench) {
            self.close(token, CloseReason::Shutdown);
        }
    }
}

/// The token of a worker's UDP socket: below [`WAKE`], where no connection's token is.
fn datagram_token(number: usize) -> Token {
    Token(WAKE.0 - 1 - number)
}

/// Which UDP socket a token means; a number that none has for all other tokens.
fn datagram_number(token: Token) -> usize {
    (WAKE.0 - 1).wrapping_sub(token.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::events;
    use crate::base::settings::Settings;
    use crate::server::Server;
    use crate::server::roster::Client;
    use crate::session::ConnectionId;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// A worker that is not running, with one connection; and the client's end of it.
    fn worker() -> (Worker, ConnectionId, UnixStream) {
        let settings = Settings {
            tcp_port: Some(0),
            threads: 1,
            watcher_logbuf_size: 2 << 20,
            ..Settings::default()
        };
        let mut server = Server::bind(settings).unwrap();
        let poll = server.polls.pop().unwrap();
        let mut worker = Worker::new(Arc::clone(&server.hub), 0, poll, vec![]);
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        worker.adopt(Arrival {
            transport: mio::net::UnixStream::from_std(ours).into(),
            client: Client {
                listener: 0,
                peer: None,
                local: None,
            },
        });
        let token = worker.table.tokens()[0];
        let id = ConnectionId {
            worker: 0,
            token: token.0,
            ..ConnectionId::default()
        };
        (worker, id, theirs)
    }

    fn read_line(client: &mut UnixStream) -> String {
        let mut line = vec![];
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Has the client watch.
    fn watch(worker: &mut Worker, client: &mut UnixStream) {
        client.write_all(b"watch sysevents\r\n").unwrap();
        let mut events = Events::with_capacity(1);
        worker.wait(&mut events, None).unwrap();
        for event in &events {
            assert!(worker.note(event.token(), event));
            worker.serve(event.token(), true);
        }
        assert_eq!(read_line(client), "OK\r\n");
    }

    /// Tells who watches of a page move.
    fn tell(hub: &Hub, source: u8) {
        let event = events::Event::PageMove {
            source,
            target: 0,
            is_done: true,
        };
        hub.shared.store.events().record(0, event);
        hub.shared.tell_watchers(&mut vec![]);
    }

    #[test]
    fn a_client_that_says_nothing_is_woken_from_outside() {
        let (mut worker, _, mut client) = worker();
        let hub = Arc::clone(&worker.hub);
        watch(&mut worker, &mut client);
        let thread = thread::spawn(move || worker.run().unwrap());
        for source in 1..100 {
            tell(&hub, source);
            let line = read_line(&mut client);
            assert!(line.contains(&format!(" src={source} ")), "{line}");
        }
        // What it says is not heard, and a poke after its end finds nobody.
        client.write_all(b"version\r\n").unwrap();
        tell(&hub, 100);
        assert!(read_line(&mut client).contains(" src=100 "));
        drop(client);
        tell(&hub, 101);
        hub.mailboxes[0].post(Message::Stop);
        thread.join().unwrap();
    }

    #[test]
    fn two_pokes_are_one_turn() {
        let (mut worker, id, _client) = worker();
        worker.poke(Token(id.token));
        worker.poke(Token(id.token));
        assert_eq!(worker.ready.len(), 1);
    }

    #[test]
    fn winding_up_ends_at_its_deadline_however_much_waits() {
        let (mut worker, id, mut client) = worker();
        let token = Token(id.token);
        watch(&mut worker, &mut client);
        while worker.hub.shared.server_totals().log_watcher_skipped == 0 {
            (0..100).for_each(|source| tell(&worker.hub, source));
        }
        let connection = worker.table.get_mut(token).unwrap();
        // Until the socket takes no more.
        while !connection.is_blocked() {
            connection.poke();
            connection.turn(&mut worker.bench, 1);
        }
        client.set_nonblocking(true).unwrap();
        let mut read_all = || {
            let mut bytes = vec![];
            let end = client.read_to_end(&mut bytes).unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
            bytes.len()
        };
        let first = read_all();
        assert!(first > 0);
        assert!(connection.wind_up(&mut worker.bench, Instant::now()));
        assert_eq!(read_all(), 0, "the time is up");
        let later = Instant::now() + DRAIN;
        connection.wind_up(&mut worker.bench, later);
        assert!(read_all() > 0, "there was more to send");
    }
}
