//! The thread that lets clients in, up to the limit, and hands them to the workers in turn.

use crate::server::hub::Hub;
use crate::server::listener::Listener;
use crate::server::mailbox::{Arrival, Message, WAKE};
use log::{debug, info};
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Clients accepted from one listener before the others, and the order to stop, get a look.
const BATCH_LEN: usize = 64;

/// How often a paused acceptor looks again by itself. Descriptors can also come free in ways that
/// no worker reports, and ten looks a second cost nothing.
const RETRY: Duration = Duration::from_millis(100);

/// What a client above the limit is told. Clients match on these very bytes.
const REFUSAL: &[u8] = b"ERROR Too many open connections\r\n";

/// Everything that the accepting thread owns.
pub(crate) struct Acceptor {
    hub: Arc<Hub>,
    poll: Poll,
    listeners: Vec<Listener>,
    next_worker: usize,
    /// When accepting paused, because of the limit or because descriptors ran out.
    paused: Option<Instant>,
}

/// How one attempt to accept ended.
enum Attempt {
    /// A client came and was dealt with.
    Client,
    /// None is waiting.
    Nobody,
    /// None can be taken now.
    NoRoom,
}

impl Acceptor {
    /// Accepts from `listeners`, waiting on `poll`.
    pub(crate) fn new(hub: Arc<Hub>, poll: Poll, listeners: Vec<Listener>) -> io::Result<Self> {
        let mut acceptor = Self {
            hub,
            poll,
            listeners,
            next_worker: 0,
            paused: None,
        };
        for (number, listener) in acceptor.listeners.iter_mut().enumerate() {
            listener.register(acceptor.poll.registry(), Token(number))?;
        }
        Ok(acceptor)
    }

    /// Lets clients in until the server is told to stop.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(BATCH_LEN);
        while !self.hub.is_stopping() {
            self.accept_all();
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.listeners[event.token().0].pending = true;
            }
        }
        Ok(())
    }

    fn patience(&self) -> Option<Duration> {
        let pending = self.listeners.iter().any(|listener| listener.pending);
        match self.paused {
            Some(_) => Some(RETRY),
            None => pending.then_some(Duration::ZERO),
        }
    }

    fn accept_all(&mut self) {
        for number in 0..self.listeners.len() {
            if self.listeners[number].pending && !self.accept_batch(number) {
                return;
            }
        }
    }

    /// Accepts from one listener; `false` when there is no room for anyone.
    fn accept_batch(&mut self, number: usize) -> bool {
        for _ in 0..BATCH_LEN {
            match self.accept_one(number) {
                Attempt::Client => self.resume(),
                Attempt::Nobody => {
                    self.listeners[number].pending = false;
                    self.resume();
                    return true;
                }
                Attempt::NoRoom => {
                    self.pause();
                    return false;
                }
            }
        }
        true
    }

    fn accept_one(&mut self, number: usize) -> Attempt {
        let full = self.hub.open() >= self.hub.shared.settings.connections_max;
        if full && !self.hub.shared.settings.connections_refuse {
            return Attempt::NoRoom;
        }
        let listener_number = u16::try_from(number).expect("bind_all bounds the listeners");
        match self.listeners[number].accept(listener_number) {
            Ok(arrival) if full => self.refuse(arrival),
            Ok(arrival) => self.admit(arrival),
            Err(error) => return after_accept_error(&error),
        }
        Attempt::Client
    }

    fn admit(&mut self, arrival: Arrival) {
        self.hub.connection_opened();
        let mailboxes = &self.hub.mailboxes;
        mailboxes[self.next_worker].post(Message::Adopt(arrival));
        self.next_worker = (self.next_worker + 1) % mailboxes.len();
    }

    fn refuse(&self, mut arrival: Arrival) {
        self.hub
            .shared
            .server
            .rejected_connections
            .fetch_add(1, Ordering::Relaxed);
        // An empty socket buffer always has room for a line; a peer already gone needs none.
        if let Err(error) = arrival.transport.write(REFUSAL) {
            debug!("cannot tell a client that there is no room: {error}");
        }
    }

    fn pause(&mut self) {
        if self.paused.is_some() {
            return;
        }
        info!("not accepting: {} connections are open", self.hub.open());
        self.paused = Some(Instant::now());
        self.hub.set_accepting(false);
        self.hub
            .shared
            .server
            .listen_disabled_num
            .fetch_add(1, Ordering::Relaxed);
    }

    fn resume(&mut self) {
        let Some(since) = self.paused.take() else {
            return;
        };
        self.hub.set_accepting(true);
        let paused_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let total = &self.hub.shared.server.time_in_listen_disabled_us;
        total.fetch_add(paused_us, Ordering::Relaxed);
        debug!("accepting again after {paused_us} us");
    }
}

/// What an accept that failed means for the next one. An error that is not known to be one
/// client's may come back at once and for ever: it makes a pause, as want of descriptors does.
fn after_accept_error(error: &io::Error) -> Attempt {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Attempt::Nobody;
    }
    debug!("accept failed: {error}");
    match error.raw_os_error() {
        // The client left between its arrival and our look, or its network failed, or a firewall
        // does not want it: the next one may be fine. The list is that of accept(2).
        Some(
            libc::ECONNABORTED
            | libc::EINTR
            | libc::EPERM
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET,
        ) => Attempt::Client,
        _ => Attempt::NoRoom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_may_last_makes_a_pause() {
        let after = |code| after_accept_error(&io::Error::from_raw_os_error(code));
        assert!(matches!(after(libc::EAGAIN), Attempt::Nobody));
        assert!(matches!(after(libc::ECONNABORTED), Attempt::Client));
        for code in [libc::EMFILE, libc::ENOMEM, libc::EBADF, libc::EINVAL] {
            assert!(matches!(after(code), Attempt::NoRoom), "{code}");
        }
    }
}
