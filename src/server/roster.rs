//! Who is connected, for `stats conns`: read on demand, and next to free for those who serve.
//!
//! ```text
//!   worker ──owns──▶ Connection ──▶ SocketEntry ◀── Roll of the worker ◀── whoever asks
//!                       │             ▲
//!                       └─ writes when the tick or the state has changed
//! ```
//!
//! A socket enters its worker's roll when the worker adopts it and leaves before it is closed, so
//! that a descriptor is never on the roll twice. Between the two only the owner writes to the
//! entry: the time at most once a tick, the state when a request stops halfway or goes on. That a
//! request is being run is said by the roll alone, in a cache line that only its worker writes to.

use crate::base::events::Peer;
use crate::stats::SocketReport;
use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};

/// What a socket can be doing, by memcached's names.
const STATES: [&str; 8] = [
    NEW,
    "conn_listening",
    "conn_read",
    "conn_nread",
    "conn_swallow",
    "conn_mwrite",
    "conn_waiting",
    "conn_watch",
];

/// The state of a client that has said nothing yet.
pub(crate) const NEW: &str = "conn_new_cmd";

/// The state of a socket whose request is being run: at least that of whoever asks.
const SERVING: &str = "conn_parse_cmd";

/// No descriptor.
const NOBODY: RawFd = -1;

/// One open socket.
#[derive(Debug)]
pub(crate) struct SocketEntry {
    fd: RawFd,
    role: Role,
    /// Where in [`STATES`] its state is.
    state: AtomicU8,
    /// Clock tick of the last bytes received.
    last_active: AtomicU64,
}

/// What a socket is for.
#[derive(Debug)]
enum Role {
    /// Lets clients in.
    Listener { name: String },
    /// Takes datagrams, one peer's at a time.
    Datagrams {
        name: String,
        peer: Mutex<Option<SocketAddr>>,
    },
    /// Serves one client.
    Client(Client),
}

/// One client's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Number of the listener that it came through.
    pub(crate) listener: u16,
    /// Its address; none over a UNIX socket.
    pub(crate) peer: Option<SocketAddr>,
    /// Our address, where the listener's name does not tell.
    pub(crate) local: Option<SocketAddr>,
}

impl SocketEntry {
    /// The entry of a listening socket.
    pub(crate) fn listener(fd: RawFd, name: String, ticks: u64) -> Self {
        Self::new(fd, Role::Listener { name }, "conn_listening", ticks)
    }

    /// The entry of a client's socket.
    pub(crate) fn client(fd: RawFd, client: Client, ticks: u64) -> Self {
        Self::new(fd, Role::Client(client), NEW, ticks)
    }

    /// The entry of a UDP socket.
    pub(crate) fn datagrams(fd: RawFd, name: String) -> Self {
        let peer = Mutex::new(None);
        Self::new(fd, Role::Datagrams { name, peer }, "conn_read", 0)
    }

    fn new(fd: RawFd, role: Role, state: &'static str, ticks: u64) -> Self {
        let entry = Self {
            fd,
            role,
            state: AtomicU8::new(0),
            last_active: AtomicU64::new(ticks),
        };
        entry.set_state(state);
        entry
    }

    /// Notes what the socket is doing from now on.
    pub(crate) fn set_state(&self, state: &'static str) {
        let known = STATES.iter().position(|name| *name == state);
        debug_assert!(known.is_some(), "no such state: {state}");
        self.state
            .store(known.unwrap_or_default() as u8, Ordering::Relaxed);
    }

    /// Notes when bytes came.
    pub(crate) fn set_active(&self, ticks: u64) {
        self.last_active.store(ticks, Ordering::Relaxed);
    }

    /// Where a client comes from, for the log.
    pub(crate) fn origin(&self) -> String {
        match &self.role {
            Role::Client(Client {
                peer: Some(peer), ..
            }) => peer.to_string(),
            _ => "a local client".into(),
        }
    }

    /// The other end of a client's socket, for watchers.
    pub(crate) fn peer(&self) -> Peer {
        match &self.role {
            Role::Client(client) => client.peer.map_or(Peer::Local, Peer::Tcp),
            Role::Listener { .. } | Role::Datagrams { .. } => Peer::Local,
        }
    }

    /// Notes whose datagram a UDP socket is at.
    pub(crate) fn set_peer(&self, now: Option<SocketAddr>) {
        if let Role::Datagrams { peer, .. } = &self.role {
            *peer.lock() = now;
        }
    }

    fn report(&self, is_served: bool, roster: &Roster) -> SocketReport {
        let (is_udp, address, listen_address) = match &self.role {
            Role::Listener { name } => (false, name.clone(), None),
            Role::Datagrams { name, peer } => match *peer.lock() {
                Some(peer) => (true, display("udp", peer), Some(name.clone())),
                None => (true, name.clone(), None),
            },
            Role::Client(client) => {
                let (peer, local) = roster.addresses(client);
                (false, peer, Some(local))
            }
        };
        let state = STATES[usize::from(self.state.load(Ordering::Relaxed))];
        SocketReport {
            fd: self.fd,
            is_udp,
            address,
            listen_address,
            state: if is_served { SERVING } else { state },
            last_active: self.last_active.load(Ordering::Relaxed),
        }
    }
}

/// One worker's sockets.
#[derive(Debug)]
pub(crate) struct Roll {
    /// Locked when a socket comes or goes, and by whoever asks.
    entries: Mutex<BTreeMap<RawFd, Arc<SocketEntry>>>,
    /// Whose request is being run.
    serving: CachePadded<AtomicI32>,
}

impl Roll {
    fn new() -> Self {
        Self {
            entries: Mutex::default(),
            serving: CachePadded::new(AtomicI32::new(NOBODY)),
        }
    }

    /// Adds a socket.
    pub(crate) fn enter(&self, entry: &Arc<SocketEntry>) {
        self.entries.lock().insert(entry.fd, Arc::clone(entry));
    }

    /// Removes a socket that is about to be closed.
    pub(crate) fn leave(&self, entry: &SocketEntry) {
        self.entries.lock().remove(&entry.fd);
    }

    /// Notes that the socket's requests are being run, until [`rest`](Self::rest).
    #[inline]
    pub(crate) fn serve(&self, fd: RawFd) {
        self.serving.store(fd, Ordering::Relaxed);
    }

    /// Notes that no request is being run.
    #[inline]
    pub(crate) fn rest(&self) {
        self.serving.store(NOBODY, Ordering::Relaxed);
    }
}

/// All open sockets.
#[derive(Debug)]
pub(crate) struct Roster {
    /// By number, as clients name them.
    listeners: Box<[SocketEntry]>,
    rolls: Box<[Roll]>,
}

impl Roster {
    /// A roster of `listeners`, with an empty roll for each of `workers`.
    pub(crate) fn new(listeners: Box<[SocketEntry]>, workers: usize) -> Self {
        Self {
            listeners,
            rolls: (0..workers).map(|_| Roll::new()).collect(),
        }
    }

    /// The roll of worker number `worker`.
    pub(crate) fn roll(&self, worker: usize) -> &Roll {
        &self.rolls[worker]
    }

    /// The next sockets above descriptor `fd` as they are now, by descriptor, at most `most`.
    pub(crate) fn report_after(&self, fd: RawFd, most: usize) -> Vec<SocketReport> {
        let listeners = self.listeners.iter().filter(|entry| entry.fd > fd);
        let mut reports: Vec<_> = listeners.map(|entry| entry.report(false, self)).collect();
        for roll in &self.rolls {
            let serving = roll.serving.load(Ordering::Relaxed);
            let entries = roll.entries.lock();
            let next = entries.range((Bound::Excluded(fd), Bound::Unbounded));
            let next = next.take(most).map(|(_, entry)| entry);
            reports.extend(next.map(|entry| entry.report(entry.fd == serving, self)));
        }
        reports.sort_unstable_by_key(|report| report.fd);
        reports.truncate(most);
        reports
    }

    /// A client's address and ours, as text.
    fn addresses(&self, client: &Client) -> (String, String) {
        // A UNIX client has no address. memcached then shows the number of no address family.
        let peer = client
            .peer
            .map_or_else(|| "unix:<AF 0>".into(), |peer| display("tcp", peer));
        let local = match (client.local, &self.listeners[usize::from(client.listener)]) {
            (Some(local), _) => display("tcp", local),
            (None, listener) => listener.report(false, self).address,
        };
        (peer, local)
    }
}

/// `tcp:127.0.0.1:11211`, `udp6:[::1]:11211`: an address as memcached writes it.
pub(crate) fn display(transport: &str, address: SocketAddr) -> String {
    let six = if address.is_ipv6() { "6" } else { "" };
    format!("{transport}{six}:{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        let listeners = [
            SocketEntry::listener(5, "tcp:0.0.0.0:11211".into(), 32),
            SocketEntry::listener(4, "unix:/run/n.sock".into(), 32),
        ];
        Roster::new(listeners.into(), 2)
    }

    #[test]
    fn sockets_of_all_workers_are_listed_by_descriptor() {
        let roster = roster();
        let enter = |worker: usize, fd, client| {
            let entry = Arc::new(SocketEntry::client(fd, client, 40));
            roster.roll(worker).enter(&entry);
        };
        let client = Client {
            listener: 0,
            peer: Some("10.0.0.1:5000".parse().unwrap()),
            local: Some("[::1]:11211".parse().unwrap()),
        };
        enter(1, 9, client);
        let client = Client {
            listener: 1,
            peer: None,
            local: None,
        };
        enter(0, 10, client);
        let reports = roster.report_after(-1, 100);
        let fds: Vec<_> = reports.iter().map(|report| report.fd).collect();
        assert_eq!(fds, [4, 5, 9, 10]);
        assert_eq!(
            (reports[1].state, &reports[1].listen_address),
            ("conn_listening", &None)
        );
        assert_eq!(reports[2].address, "tcp:10.0.0.1:5000");
        assert_eq!(
            reports[2].listen_address.as_deref(),
            Some("tcp6:[::1]:11211")
        );
        assert_eq!(reports[3].address, "unix:<AF 0>");
        assert_eq!(
            reports[3].listen_address.as_deref(),
            Some("unix:/run/n.sock")
        );
    }

    #[test]
    fn a_udp_socket_shows_its_peer_while_it_is_at_its_datagram() {
        let roster = roster();
        let entry = Arc::new(SocketEntry::datagrams(9, "udp:127.0.0.1:11211".into()));
        roster.roll(1).enter(&entry);
        let addresses = || {
            let last = roster.report_after(-1, 100).pop().unwrap();
            assert!(last.is_udp);
            (last.address, last.listen_address)
        };
        let name = "udp:127.0.0.1:11211".to_string();
        assert_eq!(addresses(), (name.clone(), None));
        entry.set_peer(Some("127.0.0.1:5000".parse().unwrap()));
        assert_eq!(addresses(), ("udp:127.0.0.1:5000".into(), Some(name)));
    }

    #[test]
    fn whoever_is_served_shows_it_until_the_worker_rests() {
        let roster = roster();
        let client = Client {
            listener: 1,
            peer: None,
            local: None,
        };
        let entry = Arc::new(SocketEntry::client(9, client, 40));
        roster.roll(0).enter(&entry);
        let state = || {
            roster
                .report_after(-1, 100)
                .last()
                .map(|report| report.state)
        };
        assert_eq!(state(), Some(NEW));
        roster.roll(0).serve(9);
        assert_eq!(state(), Some(SERVING));
        roster.roll(0).rest();
        entry.set_state("conn_nread");
        assert_eq!(state(), Some("conn_nread"));
        roster.roll(0).leave(&entry);
        assert_eq!(roster.report_after(-1, 100).len(), 2);
    }
}
