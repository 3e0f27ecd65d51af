//! Sockets that clients come in through: making them, naming them, clearing up after them.

use crate::base::settings::{ProtocolChoice, Settings};
use crate::server::address::{Endpoint, ListenSpec};
use crate::server::connection::Arrival;
use crate::server::roster::{Client, Entry, display};
use crate::server::socket::Socket;
use crate::server::{EXIT_OS, EXIT_USAGE, Failure};
use log::{debug, info};
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Type};
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Listeners at most: their numbers travel with connections in 16 bits.
const LISTENERS_MAX: usize = 1024;

/// A listening socket's description, for logs, `stats conns` and the port file.
#[derive(Clone, Debug)]
pub(crate) struct ListenerInfo {
    /// `tcp:127.0.0.1:11211`, `tcp6:[::1]:11211` or `unix:/path`.
    pub(crate) name: String,
    /// The bound address of a TCP listener.
    pub(crate) address: Option<SocketAddr>,
    /// What its clients may speak.
    pub(crate) protocol: ProtocolChoice,
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) info: ListenerInfo,
    /// A client may be waiting that no further edge will announce.
    pub(crate) pending: bool,
    door: Door,
}

#[derive(Debug)]
enum Door {
    Tcp(TcpListener),
    /// The file goes when the listener does.
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "held for its Drop")] SocketFile,
    ),
}

impl Listener {
    /// The next waiting client.
    pub(crate) fn accept(&self, number: u16) -> io::Result<Arrival> {
        let mut client = Client {
            listener: number,
            peer: None,
            local: None,
        };
        let socket = match &self.door {
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                client.peer = Some(peer);
                if self.is_wildcard() {
                    client.local = stream.local_addr().ok();
                }
                Socket::Tcp(stream)
            }
            Door::Unix(listener, _) => Socket::Unix(listener.accept()?.0),
        };
        Ok(Arrival { socket, client })
    }

    /// Whether clients can have reached it at different addresses of this machine.
    fn is_wildcard(&self) -> bool {
        let address = self.info.address;
        address.is_some_and(|address| address.ip().is_unspecified())
    }

    /// What `stats conns` shows of it.
    pub(crate) fn entry(&self, ticks: u64) -> Entry {
        let fd = match &self.door {
            Door::Tcp(listener) => listener.as_raw_fd(),
            Door::Unix(listener, _) => listener.as_raw_fd(),
        };
        Entry::listener(fd, self.info.name.clone(), ticks)
    }

    /// Has `registry` report waiting clients as `token`.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.door {
            Door::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Door::Unix(listener, _) => registry.register(listener, token, Interest::READABLE),
        }
    }
}

/// Opens everything that `settings` asks for, or nothing.
pub(crate) fn bind_all(settings: &Settings) -> Result<Vec<Listener>, Failure> {
    let mut binder = Binder {
        settings,
        listeners: vec![],
    };
    if let Some(path) = &settings.unix_socket {
        binder.unix(path, settings.protocol)?;
    } else if settings.listen.is_empty() {
        binder.loopback()?;
    } else {
        for value in &settings.listen {
            let specs = ListenSpec::parse_list(value)
                .map_err(|why| Failure::new(EXIT_USAGE, format!("-l {why}")))?;
            for spec in &specs {
                binder.spec(spec)?;
            }
        }
    }
    match binder.listeners.len() {
        0 => Err(Failure::new(
            EXIT_USAGE,
            "nothing to listen on: -p 0 without -s".into(),
        )),
        1..=LISTENERS_MAX => Ok(binder.listeners),
        _ => Err(Failure::new(
            EXIT_USAGE,
            format!("-l: more than {LISTENERS_MAX} addresses"),
        )),
    }
}

/// Writes the bound TCP ports where `MEMCACHED_PORT_FILENAME` says: into a file beside it first,
/// so that whoever waits for the name finds it complete.
pub(crate) fn write_port_file(path: &Path, listeners: &[ListenerInfo]) -> io::Result<()> {
    let mut text = String::new();
    for address in listeners.iter().filter_map(|listener| listener.address) {
        let family = if address.is_ipv4() { "INET" } else { "INET6" };
        text.push_str(&format!("TCP {family}: {}\n", address.port()));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".lck");
    fs::File::create(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(&unfinished, path)
}

struct Binder<'a> {
    settings: &'a Settings,
    listeners: Vec<Listener>,
}

impl Binder<'_> {
    /// Without `-l`: this machine only, on IPv4 and, where there is such a thing, on IPv6.
    fn loopback(&mut self) -> Result<(), Failure> {
        let Some(port) = self.settings.tcp_port else {
            return Ok(());
        };
        let protocol = self.settings.protocol;
        self.tcp((Ipv4Addr::LOCALHOST, port).into(), protocol)
            .map_err(|error| listen_failure(&format!("TCP port {port}"), &error))?;
        self.second_half(Ipv6Addr::LOCALHOST, port, protocol)?;
        info!("listening on this machine's loopback only; -l '*' opens the server to others");
        Ok(())
    }

    fn spec(&mut self, spec: &ListenSpec) -> Result<(), Failure> {
        let protocol = spec.protocol.unwrap_or(self.settings.protocol);
        match &spec.endpoint {
            Endpoint::Unix(path) => self.unix(path, protocol),
            Endpoint::Any { port } => match port.or(self.settings.tcp_port) {
                Some(port) => self.any(port, protocol),
                None => Ok(()),
            },
            Endpoint::Host { name, port } => match port.or(self.settings.tcp_port) {
                Some(port) => self.host(name, port, protocol),
                None => Ok(()),
            },
        }
    }

    fn any(&mut self, port: u16, protocol: ProtocolChoice) -> Result<(), Failure> {
        self.tcp((Ipv4Addr::UNSPECIFIED, port).into(), protocol)
            .map_err(|error| listen_failure(&format!("*:{port}"), &error))?;
        self.second_half(Ipv6Addr::UNSPECIFIED, port, protocol)
    }

    fn host(&mut self, name: &str, port: u16, protocol: ProtocolChoice) -> Result<(), Failure> {
        let addresses = (name, port).to_socket_addrs().map_err(|error| {
            Failure::new(
                EXIT_OS,
                format!("-l {name}: cannot resolve the name: {error}"),
            )
        })?;
        let mut addresses: Vec<_> = addresses.collect();
        addresses.dedup();
        for address in addresses {
            self.tcp(address, protocol)
                .map_err(|error| listen_failure(&address, &error))?;
        }
        Ok(())
    }

    /// The IPv6 listener beside the IPv4 one just added, on the same port where that was chosen by
    /// the system. A machine without IPv6 does without.
    fn second_half(
        &mut self,
        ip: Ipv6Addr,
        asked: u16,
        protocol: ProtocolChoice,
    ) -> Result<(), Failure> {
        let first = self
            .listeners
            .last()
            .and_then(|listener| listener.info.address);
        let port = first.map_or(asked, |address| address.port());
        let mut result = self.tcp((ip, port).into(), protocol);
        if asked == 0 && result.as_ref().is_err_and(is_in_use) {
            result = self.tcp((ip, 0).into(), protocol);
        }
        match result {
            Err(error) if is_in_use(&error) => {
                Err(listen_failure(&format!("[{ip}]:{port}"), &error))
            }
            Err(error) => {
                debug!("not listening on {ip}: {error}");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn tcp(&mut self, address: SocketAddr, protocol: ProtocolChoice) -> io::Result<()> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit these two: no system call each.
        socket.set_keepalive(true)?;
        socket.set_tcp_nodelay(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?; // The IPv4 half has a listener of its own.
        }
        socket.bind(&SockAddr::from(address))?;
        socket.listen(self.settings.backlog)?;
        let listener = TcpListener::from_std(socket.into());
        let bound = listener.local_addr()?;
        let name = display("tcp", bound);
        self.add(Door::Tcp(listener), name, Some(bound), protocol);
        Ok(())
    }

    fn unix(&mut self, path: &Path, protocol: ProtocolChoice) -> Result<(), Failure> {
        let listener = bind_unix(path, self.settings)
            .map_err(|error| listen_failure(&format!("UNIX socket {}", path.display()), &error))?;
        let door = Door::Unix(listener.0, listener.1);
        self.add(door, format!("unix:{}", path.display()), None, protocol);
        Ok(())
    }

    fn add(
        &mut self,
        door: Door,
        name: String,
        address: Option<SocketAddr>,
        protocol: ProtocolChoice,
    ) {
        debug!("listening on {name}");
        let info = ListenerInfo {
            name,
            address,
            protocol,
        };
        self.listeners.push(Listener {
            info,
            pending: true,
            door,
        });
    }
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn listen_failure(place: &dyn Display, error: &io::Error) -> Failure {
    Failure::new(EXIT_OS, format!("failed to listen on {place}: {error}"))
}

/// Between `bind` and `listen` nobody can connect, so the mode is right from the first client on.
fn bind_unix(path: &Path, settings: &Settings) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::at(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(settings.unix_mask))?;
    socket.listen(settings.backlog)?;
    Ok((UnixListener::from_std(socket.into()), file))
}

/// Removes a socket that nobody listens on any more. Other files stay, and make `bind` fail.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// The file of a UNIX socket, removed on drop unless another server has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            identity: identity(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Nothing is left to be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
