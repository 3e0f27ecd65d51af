//! Datagrams on real sockets: whole messages, and nothing that one peer can do to another.
//!
//! Nothing sleeps. That something is *not* answered is seen by what is answered next: on loopback
//! datagrams between two sockets stay in order.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use nuthatch::base::services::Services;
use nuthatch::base::settings::Settings;
use nuthatch::server::{Running, Server};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const HEADER_LEN: usize = 8;
const DATAGRAM_MAX: usize = 1400;

/// The most that an operator can allow.
const REPLY_MAX: usize = 32 << 10;

fn settings() -> Settings {
    Settings {
        tcp_port: Some(0),
        udp_port: Some(0),
        threads: 2,
        ..Settings::default()
    }
}

/// Settings with which a reply may be many datagrams long.
fn long_replies() -> Settings {
    Settings {
        udp_reply_max: REPLY_MAX,
        ..settings()
    }
}

fn start(settings: Settings) -> Running {
    Server::bind(settings).unwrap().spawn().unwrap()
}

/// One who sends datagrams.
struct Peer {
    socket: UdpSocket,
}

impl Peer {
    fn of(server: &Running) -> Self {
        Self::at(server.udp_addresses()[0])
    }

    fn at(address: SocketAddr) -> Self {
        let mut own = address;
        own.set_port(0);
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn send(&self, id: u16, requests: &[u8]) {
        self.send_raw(&[&fields([id, 0, 1, 0]), requests].concat());
    }

    fn send_raw(&self, datagram: &[u8]) {
        assert_eq!(self.socket.send(datagram).unwrap(), datagram.len());
    }

    /// Receives one whole message with this id.
    fn receive(&self, id: u16) -> Vec<u8> {
        let mut message = vec![];
        let mut sequence = 0;
        loop {
            let mut datagram = [0; 2 * DATAGRAM_MAX];
            let len = self.socket.recv(&mut datagram).unwrap();
            assert!(HEADER_LEN < len && len <= DATAGRAM_MAX);
            let (header, part) = datagram[..len].split_at(HEADER_LEN);
            let count = u16::from_be_bytes([header[4], header[5]]);
            assert_eq!(header, fields([id, sequence, count, 0]));
            message.extend_from_slice(part);
            sequence += 1;
            if sequence == count {
                return message;
            }
            assert_eq!(len, DATAGRAM_MAX, "only the last is short");
        }
    }

    fn ask(&self, id: u16, requests: &[u8], reply: &[u8]) {
        self.send(id, requests);
        let found = self.receive(id);
        let (found, reply) = (found.escape_ascii(), reply.escape_ascii());
        assert_eq!(found.to_string(), reply.to_string());
    }
}

fn fields(fields: [u16; 4]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    for (bytes, field) in header.chunks_exact_mut(2).zip(fields) {
        bytes.copy_from_slice(&field.to_be_bytes());
    }
    header
}

fn tcp_ask(server: &Running, request: &[u8], reply: &[u8]) {
    let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut found = vec![0; reply.len()];
    stream.read_exact(&mut found).unwrap();
    assert!(found == reply, "\"{}\"", found.escape_ascii());
}

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let line = format!("set {key} 0 0 {}\r\n", value.len());
    [line.as_bytes(), value, b"\r\n"].concat()
}

fn hit(key: &str, value: &[u8]) -> Vec<u8> {
    let line = format!("VALUE {key} 0 {}\r\n", value.len());
    [line.as_bytes(), value, b"\r\n"].concat()
}

/// A binary request without extras and value.
fn packet(opcode: u8, key: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 24];
    (packet[0], packet[1]) = (0x80, opcode);
    (packet[3], packet[11]) = (key.len() as u8, key.len() as u8);
    packet[12..16].copy_from_slice(b"opaq");
    packet.extend_from_slice(key);
    packet
}

//= udp.off
#[test]
fn udp_is_off_unless_asked_for() {
    let server = start(Settings {
        udp_port: None,
        ..settings()
    });
    assert!(server.udp_addresses().is_empty());
    server.stop().unwrap();
}

//= udp.frame udp.id
#[test]
fn replies_carry_the_id_of_their_request() {
    let server = start(settings());
    let peer = Peer::of(&server);
    for id in [0, 1, 160, u16::MAX] {
        peer.ask(id, &set("k", b"v"), b"STORED\r\n");
        peer.ask(id, b"get k\r\n", b"VALUE k 0 1\r\nv\r\nEND\r\n");
    }
    tcp_ask(&server, b"get k\r\n", b"VALUE k 0 1\r\nv\r\nEND\r\n");
    server.stop().unwrap();
}

#[test]
fn every_listening_address_has_its_udp_socket() {
    let listen = vec!["127.0.0.1,127.0.0.2".into()];
    let server = start(Settings {
        listen,
        ..settings()
    });
    assert_eq!(server.udp_addresses().len(), server.addresses().len());
    assert_eq!(server.udp_addresses().len(), 2);
    for (udp, tcp) in server.udp_addresses().iter().zip(server.addresses()) {
        assert_eq!(udp.ip(), tcp.ip());
        Peer::at(*udp).ask(1, b"get none\r\n", b"END\r\n");
    }
    server.stop().unwrap();
}

#[test]
fn a_port_of_a_listening_address_holds_for_both() {
    // Of an address that no other test uses, so that what is free stays free.
    let free = UdpSocket::bind((Ipv4Addr::new(127, 11, 2, 11), 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let listen = vec![address.to_string()];
    let server = start(Settings {
        listen,
        ..settings()
    });
    assert_eq!(server.udp_addresses(), [address]);
    assert_eq!(server.addresses(), [address]);
    server.stop().unwrap();
}

//= udp.messages
#[test]
fn all_replies_to_one_datagram_are_one_message() {
    let server = start(long_replies());
    let peer = Peer::of(&server);
    let (a, b) = (vec![b'a'; 1000], vec![b'b'; 20_000]);
    tcp_ask(&server, &set("a", &a), b"STORED\r\n");
    tcp_ask(&server, &set("b", &b), b"STORED\r\n");
    let both = [&hit("a", &a)[..], &hit("b", &b), b"END\r\n"].concat();
    peer.ask(7, b"get a b\r\n", &both);
    let apart = [&hit("a", &a)[..], b"END\r\n", &hit("b", &b), b"END\r\n"].concat();
    peer.ask(8, b"get a\r\nget b\r\n", &apart);
    peer.ask(9, &b"get none\r\n".repeat(100), &b"END\r\n".repeat(100));
    server.stop().unwrap();
}

//= udp.one udp.error
#[test]
fn what_is_no_request_is_dropped_without_a_word() {
    let server = start(settings());
    let peer = Peer::of(&server);
    let with = |header: [u16; 4], rest: &[u8]| [&fields(header), rest].concat();
    let junk = [
        vec![],
        vec![0; 7],
        vec![0; 8],
        b"\0\x01\0\0\0\0\0\x01\0".to_vec(),
        b"get none\r\n".to_vec(),
        with([1, 0, 1, 0], b""),
        with([1, 0, 0, 0], b"get none\r\n"),
        with([1, 0, 2, 0], b"get none\r\n"),
        with([1, 0, 1, 0], b"get none"),
        with([1, 0, 1, 0], b"\x80"),
        with([1, 0, 1, 0], &vec![b'x'; 60_000]),
        // What a server says is no request: else two of them could be made to talk forever.
        with([1, 0, 1, 0], b"ERROR\r\n"),
        with([1, 0, 1, 0], b"ERROR\r\nget none\r\n"),
    ];
    for datagram in junk {
        peer.send_raw(&datagram);
        peer.ask(2, b"get none\r\n", b"END\r\n");
    }
    // Requests do not count from anything, and the reserved field is anybody's.
    peer.send_raw(&with([3, 9, 1, 9], b"get none\r\n"));
    assert_eq!(peer.receive(3), b"END\r\n");
    server.stop().unwrap();
}

/// With memcached, a datagram that begins a value makes the next ones part of it, whoever sends
/// them: a handful of forged datagrams makes the port deaf.
//= udp.unfinished
#[test]
fn half_a_request_is_nobody_elses_business() {
    let server = start(Settings {
        threads: 1,
        ..settings()
    });
    let (peer, other) = (Peer::of(&server), Peer::of(&server));
    other.ask(1, &set("k", b"old"), b"STORED\r\n");
    for _ in 0..20 {
        peer.send(2, b"set k 0 0 1000000\r\nabc");
        peer.send(3, b"get none\r\nset k 0 0 10\r\nabc");
        assert_eq!(peer.receive(3), b"END\r\n");
        other.ask(4, b"get k\r\n", b"VALUE k 0 3\r\nold\r\nEND\r\n");
        peer.ask(5, b"get k\r\n", b"VALUE k 0 3\r\nold\r\nEND\r\n");
    }
    server.stop().unwrap();
}

//= udp.silent udp.quit
#[test]
fn silent_requests_stay_silent() {
    let server = start(settings());
    let peer = Peer::of(&server);
    peer.send(1, b"set k 0 0 1 noreply\r\nv\r\n");
    peer.send(2, b"quit\r\n");
    peer.ask(3, b"get k\r\n", b"VALUE k 0 1\r\nv\r\nEND\r\n");
    server.stop().unwrap();
}

//= udp.size udp.long
#[test]
fn a_long_reply_is_replaced_by_an_error() {
    const REFUSAL: &[u8] = b"SERVER_ERROR reply too large for UDP\r\n";
    let server = start(long_replies());
    let peer = Peer::of(&server);
    let framing = hit("k", b"").len() + b"END\r\n".len() + "10000".len() - 1;
    let most = vec![b'm'; REPLY_MAX - framing];
    tcp_ask(&server, &set("k", &most), b"STORED\r\n");
    let reply = [&hit("k", &most)[..], b"END\r\n"].concat();
    assert_eq!(reply.len(), REPLY_MAX);
    peer.ask(1, b"get k\r\n", &reply);
    peer.ask(2, b"get k\r\nget none\r\n", REFUSAL);
    peer.ask(3, &b"get k\r\n".repeat(9000), REFUSAL);
    let huge = vec![b'h'; 1_000_000];
    tcp_ask(&server, &set("huge", &huge), b"STORED\r\n");
    peer.ask(4, b"get huge\r\n", REFUSAL);
    peer.send(5, &packet(0x00, b"huge"));
    let found = peer.receive(5);
    assert_eq!((found[0], found[1]), (0x81, 0x00));
    assert_eq!(found[6..8], [0, 3], "too large");
    assert_eq!(&found[12..16], b"opaq");
    peer.ask(6, b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
}

//= udp.chooses
#[test]
fn each_datagram_chooses_its_protocol() {
    let server = start(settings());
    let peer = Peer::of(&server);
    peer.ask(1, &set("k", b"value"), b"STORED\r\n");
    peer.send(2, &packet(0x00, b"k"));
    let found = peer.receive(2);
    assert_eq!(found[..2], [0x81, 0x00]);
    assert_eq!(&found[28..], b"value");
    peer.ask(3, b"mg k v\r\n", b"VA 5\r\nvalue\r\n");
    server.stop().unwrap();
}

#[test]
fn a_protocol_that_is_not_wanted_is_not_spoken() {
    let only = |services| {
        start(Settings {
            services,
            ..settings()
        })
    };
    let server = only(Services::TEXT);
    let peer = Peer::of(&server);
    peer.send(1, &packet(0x00, b"k"));
    peer.ask(2, b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
    let server = only(Services::BINARY);
    let peer = Peer::of(&server);
    peer.send(3, b"get none\r\nget none\r\n");
    peer.send(4, &packet(0x0a, b""));
    assert_eq!(peer.receive(4)[..2], [0x81, 0x0a]);
    server.stop().unwrap();
}

#[test]
fn many_peers_and_a_connection_share_one_worker() {
    let server = start(Settings {
        threads: 1,
        ..settings()
    });
    let peers: Vec<_> = (0..50).map(|_| Peer::of(&server)).collect();
    for round in 0..10 {
        for peer in &peers {
            peer.send(round, b"incr n 1\r\n");
        }
        tcp_ask(&server, b"get none\r\n", b"END\r\n");
        for peer in &peers {
            assert_eq!(peer.receive(round), b"NOT_FOUND\r\n");
        }
    }
    server.stop().unwrap();
}

#[test]
fn stats_conns_shows_udp_sockets_and_who_is_being_answered() {
    let server = start(settings());
    let peer = Peer::of(&server);
    let here = server.udp_addresses()[0];
    let listed = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        let addresses = text.lines().filter(|line| line.contains(":addr udp"));
        assert_eq!(addresses.count(), server.udp_addresses().len());
        assert_eq!(
            text.matches(":UDP UDP").count(),
            server.udp_addresses().len()
        );
        text
    };
    peer.send(1, b"stats conns\r\n");
    let text = listed(peer.receive(1));
    let own = peer.socket.local_addr().unwrap();
    assert!(text.contains(&format!(":addr udp:{own}\r\n")), "{text}");
    assert!(text.contains(&format!(":listen_addr udp:{here}\r\n")));
    assert!(text.contains(":state conn_parse_cmd\r\n"));
    let mut stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"stats conns\r\nquit\r\n").unwrap();
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).unwrap();
    let text = listed(bytes);
    assert!(text.contains(&format!(":addr udp:{here}\r\n")), "{text}");
    assert!(!text.contains(":listen_addr udp"), "{text}");
    server.stop().unwrap();
}

#[test]
fn a_reply_is_one_datagram_unless_more_is_asked_for() {
    let server = start(settings());
    let peer = Peer::of(&server);
    let framing = hit("k", b"").len() + b"END\r\n".len() + "1000".len() - 1;
    let most = vec![b'm'; DATAGRAM_MAX - HEADER_LEN - framing];
    tcp_ask(&server, &set("k", &most), b"STORED\r\n");
    let reply = [&hit("k", &most)[..], b"END\r\n"].concat();
    peer.ask(1, b"get k\r\n", &reply);
    tcp_ask(&server, b"append k 0 0 1\r\nm\r\n", b"STORED\r\n");
    let refusal = b"SERVER_ERROR reply too large for UDP\r\n";
    peer.ask(2, b"get k\r\n", refusal);
    server.stop().unwrap();
}

//= udp.operators
#[test]
fn operators_do_not_come_by_datagram() {
    let server = start(Settings {
        shutdown_enabled: true,
        ..settings()
    });
    let peer = Peer::of(&server);
    peer.ask(1, &set("k", b"v"), b"STORED\r\n");
    let requests = [
        "shutdown",
        "shutdown graceful",
        "flush_all",
        "flush_all 10",
        "flush_prefix k",
        "cache_memlimit 8",
        "verbosity 1",
        "watch",
        "slabs reassign 1 2",
        "slabs automove 0",
        "lru mode flat",
        "lru_crawler crawl all",
        "lru_crawler metadump all",
        "lru_crawler mgdump all",
        "stats cachedump 1 0",
        "stats sizes",
        "stats reset",
        "stats detail on",
        "stats detail dump",
    ];
    for request in requests {
        let line = format!("{request}\r\n");
        peer.ask(2, line.as_bytes(), b"CLIENT_ERROR not allowed over UDP\r\n");
    }
    peer.send(3, b"flush_all noreply\r\n");
    for (opcode, key) in [
        (0x08, &b""[..]),
        (0x10, b"reset"),
        (0x10, b"detail on"),
        (0x10, b"sizes"),
    ] {
        peer.send(4, &packet(opcode, key));
        assert_eq!(peer.receive(4)[6..8], [0, 0x20], "{opcode:#x}");
    }
    peer.ask(5, b"get k\r\n", &[&hit("k", b"v")[..], b"END\r\n"].concat());
    tcp_ask(&server, b"flush_all\r\n", b"OK\r\n");
    peer.ask(6, b"get k\r\n", b"END\r\n");
    server.stop().unwrap();
}
