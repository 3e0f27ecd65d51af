//! Sockets that clients come in through: making them, naming them, clearing up after them.

use crate::base::services::Services;
use crate::base::settings::Settings;
use crate::server::address::{Endpoint, ListenSpec, ListenerInfo};
use crate::server::datagram::DatagramSocket;
use crate::server::failure::{EXIT_OS, EXIT_USAGE, Failure};
use crate::server::mailbox::Arrival;
use crate::server::roster::{Client, SocketEntry, display};
use log::{debug, info, warn};
use mio::net::{TcpListener, UdpSocket, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Type};
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Listeners, and UDP sockets, at most: their numbers travel with connections in 16 bits.
const LISTENERS_MAX: usize = 1024;

/// All sockets that clients come in through.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) datagrams: Vec<DatagramSocket>,
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
        let transport = match &self.door {
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                client.peer = Some(peer);
                if self.is_wildcard() {
                    client.local = stream.local_addr().ok();
                }
                stream.into()
            }
            Door::Unix(listener, _) => listener.accept()?.0.into(),
        };
        Ok(Arrival { transport, client })
    }

    /// Whether clients can have reached it at different addresses of this machine.
    fn is_wildcard(&self) -> bool {
        let address = self.info.address;
        address.is_some_and(|address| address.ip().is_unspecified())
    }

    /// What `stats conns` shows of it.
    pub(crate) fn entry(&self, ticks: u64) -> SocketEntry {
        let fd = match &self.door {
            Door::Tcp(listener) => listener.as_raw_fd(),
            Door::Unix(listener, _) => listener.as_raw_fd(),
        };
        SocketEntry::listener(fd, self.info.name.clone(), ticks)
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
pub(crate) fn bind_all(settings: &Settings) -> Result<Sockets, Failure> {
    let mut binder = Binder {
        settings,
        sockets: Sockets::default(),
    };
    if let Some(path) = &settings.unix_socket {
        binder.unix(path, settings.services)?;
    } else {
        binder.internet(Carrier::Tcp)?;
        if settings.udp_port.is_some() {
            binder.internet(Carrier::Udp)?;
        }
    }
    let Sockets {
        listeners,
        datagrams,
    } = &binder.sockets;
    match listeners.len().max(datagrams.len()) {
        0 => warn!("no client can connect: -p 0 without -U or -s"), // memcached runs so as well.
        1..=LISTENERS_MAX => {}
        _ => {
            return Err(Failure::new(
                EXIT_USAGE,
                format!("-l: more than {LISTENERS_MAX} addresses"),
            ));
        }
    }
    Ok(binder.sockets)
}

/// Writes the bound ports where `MEMCACHED_PORT_FILENAME` says: into a file beside it first, so
/// that whoever waits for the name finds it complete.
pub(crate) fn write_port_file(
    path: &Path,
    tcp: &[ListenerInfo],
    udp: &[ListenerInfo],
) -> io::Result<()> {
    let mut text = String::new();
    for (carrier, infos) in [("TCP", tcp), ("UDP", udp)] {
        for address in infos.iter().filter_map(|info| info.address) {
            let family = if address.is_ipv4() { "INET" } else { "INET6" };
            text.push_str(&format!("{carrier} {family}: {}\n", address.port()));
        }
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".lck");
    fs::File::create(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(&unfinished, path)
}

/// What carries the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Tcp,
    Udp,
}

struct Binder<'a> {
    settings: &'a Settings,
    sockets: Sockets,
}

impl Binder<'_> {
    /// The sockets of one carrier: as `-l` lists them, or on loopback.
    fn internet(&mut self, carrier: Carrier) -> Result<(), Failure> {
        if self.settings.listen.is_empty() {
            return self.loopback(carrier);
        }
        for value in &self.settings.listen {
            let specs = ListenSpec::parse_list(value)
                .map_err(|why| Failure::new(EXIT_USAGE, format!("-l {why}")))?;
            for spec in &specs {
                self.spec(spec, carrier)?;
            }
        }
        Ok(())
    }

    /// The port where an address names none; `None` if the carrier is off.
    fn port(&self, carrier: Carrier) -> Option<u16> {
        match carrier {
            Carrier::Tcp => self.settings.tcp_port,
            Carrier::Udp => self.settings.udp_port,
        }
    }

    /// Without `-l`: this machine only, on IPv4 and, where there is such a thing, on IPv6.
    fn loopback(&mut self, carrier: Carrier) -> Result<(), Failure> {
        let Some(port) = self.port(carrier) else {
            return Ok(());
        };
        let opening = Opening {
            carrier,
            services: self.settings.services,
        };
        self.pair(opening, Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST, port)?;
        if carrier == Carrier::Tcp {
            info!("listening on this machine's loopback only; -l '*' opens the server to others");
        }
        Ok(())
    }

    fn spec(&mut self, spec: &ListenSpec, carrier: Carrier) -> Result<(), Failure> {
        let opening = Opening {
            carrier,
            services: spec.services.unwrap_or(self.settings.services),
        };
        match &spec.endpoint {
            Endpoint::Unix(path) if carrier == Carrier::Tcp => self.unix(path, opening.services),
            Endpoint::Unix(_) => Ok(()),
            // A port of its own holds for both transports, as in memcached.
            Endpoint::Any { port } => match port.or(self.port(carrier)) {
                Some(port) => {
                    self.pair(opening, Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED, port)
                }
                None => Ok(()),
            },
            Endpoint::Host { name, port } => match port.or(self.port(carrier)) {
                Some(port) => self.host(opening, name, port),
                None => Ok(()),
            },
        }
    }

    fn host(&mut self, opening: Opening, name: &str, port: u16) -> Result<(), Failure> {
        let addresses = (name, port).to_socket_addrs().map_err(|error| {
            Failure::new(
                EXIT_OS,
                format!("-l {name}: cannot resolve the name: {error}"),
            )
        })?;
        let mut addresses: Vec<_> = addresses.collect();
        addresses.dedup();
        for address in addresses {
            self.open(opening, address)
                .map_err(|error| listen_failure(&opening.describe(&address), &error))?;
        }
        Ok(())
    }

    /// An IPv4 socket and the IPv6 one beside it, on the same port where the system chose it. A
    /// machine without IPv6 does without.
    fn pair(
        &mut self,
        opening: Opening,
        four: Ipv4Addr,
        six: Ipv6Addr,
        asked: u16,
    ) -> Result<(), Failure> {
        let fail = |address: SocketAddr, error: io::Error| {
            Err(listen_failure(&opening.describe(&address), &error))
        };
        let first = match self.open(opening, (four, asked).into()) {
            Ok(bound) => bound,
            Err(error) => return fail((four, asked).into(), error),
        };
        let second = (six, first.port()).into();
        let mut result = self.open(opening, second);
        if asked == 0 && result.as_ref().is_err_and(is_in_use) {
            result = self.open(opening, (six, 0).into());
        }
        match result {
            Err(error) if is_in_use(&error) => fail(second, error),
            Err(error) => {
                debug!("not listening on {six}: {error}");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Binds a socket; says to what.
    fn open(&mut self, opening: Opening, address: SocketAddr) -> io::Result<SocketAddr> {
        match opening.carrier {
            Carrier::Tcp => self.tcp(address, opening.services),
            Carrier::Udp => self.udp(address, opening.services),
        }
    }

    fn tcp(&mut self, address: SocketAddr, services: Services) -> io::Result<SocketAddr> {
        let socket = new_socket(address, Type::STREAM)?;
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit these two: no system call each.
        socket.set_keepalive(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(self.settings.backlog)?;
        let listener = TcpListener::from_std(socket.into());
        let bound = listener.local_addr()?;
        let name = display("tcp", bound);
        self.add(Door::Tcp(listener), name, Some(bound), services);
        Ok(bound)
    }

    /// Without SO_REUSEADDR, which over UDP lets two servers share a port without noticing.
    fn udp(&mut self, address: SocketAddr, services: Services) -> io::Result<SocketAddr> {
        let socket = new_socket(address, Type::DGRAM)?;
        socket.bind(&SockAddr::from(address))?;
        let socket = UdpSocket::from_std(socket.into());
        let bound = socket.local_addr()?;
        let info = ListenerInfo {
            name: display("udp", bound),
            address: Some(bound),
            services,
        };
        debug!("listening on {}", info.name);
        self.sockets
            .datagrams
            .push(DatagramSocket::new(socket, info));
        Ok(bound)
    }

    fn unix(&mut self, path: &Path, services: Services) -> Result<(), Failure> {
        let listener = bind_unix(path, self.settings)
            .map_err(|error| listen_failure(&format!("UNIX socket {}", path.display()), &error))?;
        let door = Door::Unix(listener.0, listener.1);
        self.add(door, format!("unix:{}", path.display()), None, services);
        Ok(())
    }

    fn add(&mut self, door: Door, name: String, address: Option<SocketAddr>, services: Services) {
        debug!("listening on {name}");
        let info = ListenerInfo {
            name,
            address,
            services,
        };
        self.sockets.listeners.push(Listener {
            info,
            pending: true,
            door,
        });
    }
}

/// How a socket is to be opened, apart from its address.
#[derive(Clone, Copy, Debug)]
struct Opening {
    carrier: Carrier,
    services: Services,
}

impl Opening {
    /// The address with its carrier, as messages name it.
    fn describe(self, address: &SocketAddr) -> String {
        match self.carrier {
            Carrier::Tcp => format!("TCP {address}"),
            Carrier::Udp => format!("UDP {address}"),
        }
    }
}

fn new_socket(address: SocketAddr, kind: Type) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // The IPv4 half has a socket of its own.
    }
    Ok(socket)
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn listen_failure(opening: &dyn Display, error: &io::Error) -> Failure {
    Failure::new(EXIT_OS, format!("failed to listen on {opening}: {error}"))
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
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A server that accepts nobody, and has a full backlog, would let it wait for ever.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::AddrInUse.into())
        }
        Err(error) => Err(error),
        Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
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
