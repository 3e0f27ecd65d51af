//! Sockets, threads and signals: everything that touches the operating system.
//!
//! ```text
//!   main thread            worker 0..N            maintenance           teller
//!   ┌──────────┐  mailbox  ┌──────────────┐       ┌─────────────────┐   ┌───────────┐
//!   │ acceptor ├──────────▶│ poll, bench, │       │ clock, store    │   │ events to │
//!   │          │           │ connections  │       │ background work │   │ watchers  │
//!   └────▲─────┘           └──────┬───────┘       └────────┬────────┘   └─────┬─────┘
//!        │ stop, room             │                        │                  │
//!        └────────────────────── Hub ──────────────────────┴──────────────────┘
//! ```
//!
//! [`Server`] is the part that a test can run inside its own process, as often as it likes.
//! [`process::run`] adds what happens once in a process: limits, users, signals, files.

mod acceptor;
mod address;
mod budget;
mod connection;
mod datagram;
mod failure;
mod hub;
mod listener;
pub mod logging;
mod logins;
mod mailbox;
mod maintenance;
mod narrator;
mod os;
pub mod process;
mod roster;
mod table;
mod teller;
mod transport;
mod workbench;
mod worker;

pub use address::{Endpoint, ListenSpec};
pub use failure::{EXIT_NO_USER, EXIT_OS, EXIT_USAGE, Failure};

use crate::base::clock::Clock;
use crate::base::credentials::Credentials;
use crate::base::settings::Settings;
use crate::server::acceptor::Acceptor;
use crate::server::datagram::DatagramSocket;
use crate::server::hub::Hub;
use crate::server::listener::Sockets;
use crate::server::mailbox::{Mailbox, Message, WAKE};
use crate::server::roster::Roster;
use crate::server::worker::Worker;
use crate::session::{ConnectionId, Host, Shared};
use crate::stats::SocketReport;
use crate::store::Store;
use log::{LevelFilter, error};
use mio::{Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// The log level that so many `-v` ask for.
#[must_use]
pub fn log_level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    }
}

fn no_polling(error: io::Error) -> Failure {
    Failure::os("cannot set up event polling", &error)
}

/// A server whose sockets are open: clients can connect, and are served once it runs.
pub struct Server {
    hub: Arc<Hub>,
    acceptor: Acceptor,
    datagrams: Vec<DatagramSocket>,
    /// One per worker, in order.
    polls: Vec<Poll>,
    started: Instant,
}

impl Server {
    /// Reads the password file, opens the sockets and makes the store.
    ///
    /// # Errors
    /// When the password file cannot be used, the system refuses a socket, or the settings leave no
    /// store or nothing to listen on.
    pub fn bind(settings: Settings) -> Result<Self, Failure> {
        let users = logins::load(&settings)?;
        let sockets = listener::bind_all(&settings)?;
        Self::with_sockets(settings, users, sockets)
    }

    fn with_sockets(
        settings: Settings,
        users: Credentials,
        sockets: Sockets,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let threads = settings.threads;
        // One lane more than there are workers, for the maintenance thread.
        let store = Store::new(&settings.store, threads + 1)
            .map_err(|why| Failure::new(EXIT_OS, format!("cannot set up the cache: {why}")))?;
        let clock = Clock::new(maintenance::unix_ms());
        let ticks = clock.now().ticks;
        let entries = sockets.listeners.iter().map(|door| door.entry(ticks));
        let roster = Arc::new(Roster::new(entries.collect(), threads));
        let polls: io::Result<Vec<_>> = (0..threads).map(|_| Poll::new()).collect();
        let polls = polls.map_err(no_polling)?;
        let mailboxes: io::Result<Arc<[_]>> = polls.iter().map(Mailbox::new).collect();
        let mailboxes = mailboxes.map_err(no_polling)?;
        let host = ProcessHost {
            roster: Arc::clone(&roster),
            mailboxes: Arc::clone(&mailboxes),
        };
        let shared = Shared::new(settings, store, clock, Box::new(host));
        shared.logins.replace(users);
        teller::prepare(&shared);
        let poll = Poll::new().map_err(no_polling)?;
        let Sockets {
            listeners,
            datagrams,
        } = sockets;
        let infos = (
            listeners.iter().map(|door| door.info.clone()).collect(),
            datagrams.iter().map(|socket| socket.info.clone()).collect(),
        );
        let waker = Waker::new(poll.registry(), WAKE).map_err(no_polling)?;
        let hub = Arc::new(Hub::new(shared, mailboxes, roster, infos, waker));
        let acceptor = Acceptor::new(Arc::clone(&hub), poll, listeners).map_err(no_polling)?;
        Ok(Self {
            hub,
            acceptor,
            datagrams,
            polls,
            started,
        })
    }

    /// The bound TCP addresses, in the order asked for.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.hub.listeners.iter();
        listeners.filter_map(|info| info.address).collect()
    }

    /// The bound UDP addresses, in the order asked for.
    #[must_use]
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.hub.datagrams.iter();
        sockets.filter_map(|info| info.address).collect()
    }

    /// A handle that can stop the server from elsewhere.
    #[must_use]
    pub fn control(&self) -> Control {
        Control {
            hub: Arc::clone(&self.hub),
        }
    }

    /// Serves in this thread and others until told to stop; returns when all have ended.
    ///
    /// # Errors
    /// When the system refuses threads, or polling fails in one of them.
    pub fn run(mut self) -> Result<(), Failure> {
        let mut workers = vec![];
        let spawned = self.spawn_threads(&mut workers);
        let accepted = match &spawned {
            Ok(_) => self.acceptor.run(),
            Err(_) => Ok(()),
        };
        self.hub.stop(false);
        for mailbox in self.hub.mailboxes.iter() {
            mailbox.post(Message::Stop);
        }
        let others = spawned.map_err(|error| Failure::os("cannot start a thread", &error));
        let mut results = vec![accepted];
        results.extend(workers.into_iter().map(join));
        for thread in others? {
            thread.thread().unpark();
            join(thread).map_err(|error| Failure::os("background work", &error))?;
        }
        let served: io::Result<()> = results.into_iter().collect();
        served.map_err(|error| Failure::os("event polling failed", &error))
    }

    /// Serves in a thread of its own: for tests and for embedding.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn spawn(self) -> Result<Running, Failure> {
        let (addresses, udp_addresses) = (self.addresses(), self.udp_addresses());
        let control = self.control();
        let thread = thread::Builder::new()
            .name("acceptor".into())
            .spawn(move || self.run())
            .map_err(|error| Failure::os("cannot start a thread", &error))?;
        Ok(Running {
            addresses,
            udp_addresses,
            control,
            thread: Some(thread),
        })
    }

    /// Starts the workers, which it adds to `workers`, and the threads in the background.
    fn spawn_threads(
        &mut self,
        workers: &mut Vec<JoinHandle<io::Result<()>>>,
    ) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
        let shares = self.deal_datagrams();
        for (number, (poll, share)) in self.polls.drain(..).zip(shares).enumerate() {
            let hub = Arc::clone(&self.hub);
            workers.push(spawn(format!("worker-{number}"), move || {
                let result = Worker::new(Arc::clone(&hub), number, poll, share).run();
                hub.stop(false); // A worker that fails takes the server along.
                result
            })?);
        }
        let (hub, started) = (Arc::clone(&self.hub), self.started);
        let mut others = vec![spawn("maintenance".into(), move || {
            maintenance::run(&hub, started);
            Ok(())
        })?];
        if self.hub.shared.settings.watch_enabled {
            let hub = Arc::clone(&self.hub);
            others.push(spawn("teller".into(), move || {
                teller::run(&hub);
                Ok(())
            })?);
        }
        Ok(others)
    }

    /// Gives the UDP sockets to the workers in turn. One worker for each is enough: a datagram is
    /// answered at once, and nothing is kept of it.
    fn deal_datagrams(&mut self) -> Vec<Vec<DatagramSocket>> {
        let ticks = self.hub.shared.clock.now().ticks;
        let count = self.polls.len();
        let mut shares: Vec<_> = (0..count).map(|_| vec![]).collect();
        for (number, socket) in self.datagrams.drain(..).enumerate() {
            socket.entry.set_active(ticks);
            self.hub.roster.roll(number % count).enter(&socket.entry);
            shares[number % count].push(socket);
        }
        shares
    }
}

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name(name).spawn(body)
}

fn join(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}

/// Stops a server from elsewhere.
#[derive(Clone)]
pub struct Control {
    hub: Arc<Hub>,
}

impl Control {
    /// Orders the server to stop; returns at once.
    pub fn stop(&self, graceful: bool) {
        self.hub.stop(graceful);
    }

    /// Reads files again that may have changed (`SIGHUP`).
    pub fn reload(&self) {
        logins::reload(&self.hub.shared);
    }

    /// Client connections that are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.hub.open()
    }

    /// Whether the order to stop was to stop gracefully (`SIGUSR1`, `shutdown graceful`).
    #[must_use]
    pub fn stops_gracefully(&self) -> bool {
        self.hub.stops_gracefully()
    }
}

/// A server that runs in a thread of its own. Dropping it stops the server.
pub struct Running {
    addresses: Vec<SocketAddr>,
    udp_addresses: Vec<SocketAddr>,
    control: Control,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

impl Running {
    /// The bound TCP addresses, in the order asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The bound UDP addresses, in the order asked for.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp_addresses
    }

    /// A handle that can stop the server from elsewhere.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Stops the server and waits for its end.
    ///
    /// # Errors
    /// What [`Server::run`] reports.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.control.stop(false);
        self.wait()
    }

    /// Waits until something else has stopped the server.
    ///
    /// # Errors
    /// What [`Server::run`] reports.
    pub fn wait(&mut self) -> Result<(), Failure> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let panicked = |_| Err(Failure::new(EXIT_OS, "the server's thread panicked".into()));
        thread.join().unwrap_or_else(panicked)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop(false);
        if let Err(failure) = self.wait() {
            error!("{failure}");
        }
    }
}

/// The process, as sessions see it.
struct ProcessHost {
    roster: Arc<Roster>,
    mailboxes: Arc<[Mailbox]>,
}

impl Host for ProcessHost {
    fn rusage_us(&self) -> (u64, u64) {
        os::rusage_us()
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn sockets_after(&self, fd: i32, most: usize) -> Vec<SocketReport> {
        self.roster.report_after(fd, most)
    }

    fn poke(&self, connection: ConnectionId) {
        self.mailboxes[connection.worker].post(Message::Poke(Token(connection.token)));
    }

    fn set_verbosity(&self, level: u8) {
        log::set_max_level(log_level(level));
    }
}
