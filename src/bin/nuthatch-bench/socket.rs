//! Where a server is, and a stream to it: TCP or a Unix socket.

use crate::failure::Failure;
use crate::login::Login;
use crate::wire::Protocol;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use std::fmt::{Display, Formatter};
use std::io::{self, ErrorKind, Read, Write};
use std::net;
use std::os::unix;
use std::path::PathBuf;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `host:port`.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// A server, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: Address,
    pub(crate) login: Option<Login>,
    /// What it speaks, to log in as well.
    pub(crate) protocol: Protocol,
}

impl Address {
    fn connect(&self) -> io::Result<Blocking> {
        match self {
            Self::Tcp(name) => net::TcpStream::connect(name).and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Blocking::Tcp(stream))
            }),
            Self::Unix(path) => unix::net::UnixStream::connect(path).map(Blocking::Unix),
        }
    }
}

impl Peer {
    /// A stream whose reads and writes wait.
    pub(crate) fn connect_blocking(&self) -> Result<Blocking, Failure> {
        let connected = self.address.connect();
        let mut stream = connected.map_err(|error| self.not_reached(&error))?;
        if let Some(login) = &self.login {
            login.perform(&mut stream, self.protocol)?;
        }
        Ok(stream)
    }

    /// A stream for an event loop.
    pub(crate) fn connect(&self) -> Result<Stream, Failure> {
        let convert = |stream| match stream {
            Blocking::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Ok(Stream::Tcp(mio::net::TcpStream::from_std(stream)))
            }
            Blocking::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(mio::net::UnixStream::from_std(stream)))
            }
        };
        convert(self.connect_blocking()?).map_err(|error| self.not_reached(&error))
    }

    fn not_reached(&self, error: &io::Error) -> Failure {
        let advice = match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                "\nIs a server running there? --server names another place."
            }
            _ => "",
        };
        let address = &self.address;
        Failure::new(format!("cannot connect to {address}: {error}{advice}"))
    }
}

impl Display for Address {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(name) => out.write_str(name),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// A stream that waits.
#[derive(Debug)]
pub(crate) enum Blocking {
    Tcp(net::TcpStream),
    Unix(unix::net::UnixStream),
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that never waits.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(mio::net::TcpStream),
    Unix(mio::net::UnixStream),
}

impl Stream {
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interest),
            Self::Unix(stream) => stream.register(registry, token, interest),
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
