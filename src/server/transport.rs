//! What carries a conversation: a client's socket, and what is known of its readiness.
//!
//! Two kinds, TCP and UNIX. What only plain sockets promise is said here and nowhere else: that a
//! short read has emptied the socket, and that the kernel can write a value to where it will lie.
//! A third kind that decrypts would answer the same questions from its own buffer.

use crate::base::part::{Gap, Part};
use crate::server::os::{self, PARTS_MAX};
use crate::session::Output;
use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};

/// Bytes sent in one turn at most, so that a client fetching a huge value shares the worker.
const SEND_MAX: usize = 1 << 20;

/// A connected, non-blocking stream.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    /// It may have bytes that no further edge will announce.
    readable: bool,
    /// The peer has ended its direction: read on until the end is reached.
    hung_up: bool,
    /// WRITABLE has been asked for.
    watches_writable: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// How far sending got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing is left.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The turn's share is used up.
    Enough,
    /// The peer is gone.
    Broken,
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Self {
        Self::new(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(stream))
    }
}

impl Transport {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            readable: false,
            hung_up: false,
            watches_writable: false,
        }
    }

    /// Whether it came over TCP.
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_))
    }

    /// The number that logs and `stats conns` name it by.
    pub(crate) fn fd(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Has `registry` report as `token` what can be read.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.socket.source(), token, Interest::READABLE)
    }

    /// Has `registry` also report, from now on, that more can be written.
    pub(crate) fn watch_writable(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.watches_writable {
            return Ok(());
        }
        self.watches_writable = true;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.reregister(self.socket.source(), token, interest)
    }

    /// Takes note of what an event says.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
    }

    /// Whether reading may bring something.
    #[inline]
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Reads what there is, as far as there is room.
    #[inline]
    pub(crate) fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.socket {
            Socket::Tcp(stream) => stream.read(room),
            Socket::Unix(stream) => stream.read(room),
        };
        self.note_read(&read, room.len());
        read
    }

    /// Reads into `gaps` in order, and what comes after into `rest`.
    pub(crate) fn read_value(&mut self, gaps: &[Gap<'_>], rest: &mut [u8]) -> io::Result<usize> {
        let room = gaps.iter().map(Gap::len).sum::<usize>() + rest.len();
        let read = os::read_gaps(self.fd(), gaps, rest);
        self.note_read(&read, room);
        read
    }

    /// A short read proves that the socket is empty, and the next bytes raise an edge; reading
    /// again only to be told so would cost 7 % of an unpipelined request. Once the peer has hung
    /// up no edge follows, so then only the end itself is believed.
    #[inline]
    fn note_read(&mut self, read: &io::Result<usize>, room: usize) {
        match read {
            Ok(count) => self.readable = *count == room || self.hung_up,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            Err(_) => {}
        }
    }

    /// Sends until everything is out, the socket is full, or the turn's share is used up; and how
    /// many bytes that took.
    ///
    /// It stops at `WouldBlock` and not at a short write: only the refusal promises a WRITABLE
    /// edge.
    pub(crate) fn send(&mut self, output: &mut Output) -> (Sent, u64) {
        let mut total = 0;
        while total < SEND_MAX {
            if output.is_empty() {
                return (Sent::All, total as u64);
            }
            match self.write_once(output) {
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
    fn write_once(&mut self, output: &mut Output) -> io::Result<usize> {
        if !output.has_large() {
            return self.write(output.front());
        }
        let mut parts = [Part::EMPTY; PARTS_MAX];
        let count = output.parts(&mut parts);
        os::write_parts(self.fd(), &parts[..count])
    }

    /// Writes as many bytes as the socket takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    /// Ends our direction: the peer reads to the end and then sees the end.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}
