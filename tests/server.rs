//! A whole server in this process, and clients on real sockets.
//!
//! Every test has its own server on a port of its own. Nothing sleeps: whatever is waited for
//! comes through a socket, or is asked for again until a deadline.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "support/clients.rs"]
mod clients;
#[path = "support/scratch.rs"]
mod scratch;

use clients::{
    Client, PATIENCE, eventually, excerpt, found, resident, send_until_refused, set, settings,
    start,
};

use nuthatch::base::settings::Settings;
use nuthatch::server::{EXIT_OS, EXIT_USAGE, Running, Server, process};
use scratch::Scratch;
use socket2::{Domain, SockRef, Type};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A path of this test's own.
fn scratch_path(name: &str) -> Scratch {
    Scratch::new(name)
}

const REFUSAL: &[u8] = b"ERROR Too many open connections\r\n";

#[test]
fn what_is_set_can_be_got_by_another_client() {
    let server = start(settings());
    Client::of(&server).ask(&set("key", b"value"), b"STORED\r\n");
    Client::of(&server).ask(b"get key\r\n", &found("key", b"value"));
    server.stop().unwrap();
}

#[test]
fn without_listen_addresses_only_loopback_is_open() {
    let server = start(settings());
    assert!(
        server
            .addresses()
            .iter()
            .all(|address| address.ip().is_loopback())
    );
    server.stop().unwrap();
}

#[test]
fn values_larger_than_every_buffer_go_both_ways() {
    let server = start(settings());
    let value: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = Client::of(&server);
    client.ask(&set("large", &value), b"STORED\r\n");
    client.ask(b"get large\r\n", &found("large", &value));
    server.stop().unwrap();
}

#[test]
fn a_hundred_thousand_gets_in_one_write_are_all_answered() {
    const COUNT: usize = 100_000;
    let server = start(settings());
    let mut client = Client::of(&server);
    client.ask(&set("k", b"v"), b"STORED\r\n");
    let mut writer = client.stream.try_clone().unwrap();
    let sender = thread::spawn(move || writer.write_all(&b"get k\r\n".repeat(COUNT)).unwrap());
    client.expect(&found("k", b"v").repeat(COUNT));
    sender.join().unwrap();
    client.ask(b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
}

#[test]
fn two_long_pipelines_on_one_worker_both_finish() {
    const COUNT: usize = 20_000;
    let server = start(Settings {
        threads: 1,
        ..settings()
    });
    Client::of(&server).ask(&set("k", b"v"), b"STORED\r\n");
    let pipelines: Vec<_> = (0..2)
        .map(|_| {
            let mut client = Client::of(&server);
            thread::spawn(move || {
                let mut writer = client.stream.try_clone().unwrap();
                let sender = thread::spawn(move || writer.write_all(&b"get k\r\n".repeat(COUNT)));
                client.expect(&found("k", b"v").repeat(COUNT));
                sender.join().unwrap().unwrap();
            })
        })
        .collect();
    for pipeline in pipelines {
        pipeline.join().unwrap();
    }
    server.stop().unwrap();
}

//= line.pieces
#[test]
fn input_may_be_cut_anywhere() {
    let server = start(settings());
    let request = [&set("cut", b"some value")[..], b"get cut\r\n"].concat();
    let reply = [b"STORED\r\n", &found("cut", b"some value")[..]].concat();
    for cut in 1..request.len() {
        let mut client = Client::of(&server);
        client.send(&request[..cut]);
        // An answered question elsewhere gives the worker the time to meet the first half alone.
        Client::of(&server).ask(b"get none\r\n", b"END\r\n");
        client.ask(&request[cut..], &reply);
    }
    server.stop().unwrap();
}

/// What a client has sent before decides how much is read at once, and where to.
#[test]
fn large_values_come_in_pieces_of_any_length_with_small_requests_around_them() {
    for memory_limit in [64 << 20, 1 << 30] {
        let mut settings = settings();
        settings.store.memory_limit = memory_limit;
        let server = start(settings);
        let mut client = Client::of(&server);
        let mut random = 7_usize;
        for len in [40_000_usize, 102_400, 3, 300_000, 65_536, 16_000, 1_000_000] {
            let value: Vec<u8> = (0..len).map(|n| ((n * 7 + len) % 251) as u8).collect();
            let small = set("small", b"a value");
            let large = set("large", &value);
            let request = [&small[..], &large, &small, &large, b"get large small\r\n"].concat();
            let got = found("large", &value);
            let got = [
                &got[..got.len() - b"END\r\n".len()],
                &found("small", b"a value"),
            ]
            .concat();
            let mut rest = &request[..];
            while !rest.is_empty() {
                random = random * 69_069 % 1_000_003;
                let piece = [1, 100, 5_000, 70_000, 400_000][random % 5].min(rest.len());
                client.send(&rest[..piece]);
                rest = &rest[piece..];
                if random.is_multiple_of(3) {
                    Client::of(&server).ask(b"get none\r\n", b"END\r\n");
                }
            }
            client.expect(&b"STORED\r\n".repeat(4));
            client.expect(&got);
            client.ask(&small.repeat(2_000), &b"STORED\r\n".repeat(2_000));
        }
        let bad = [
            &b"set large 0 0 100000\r\n"[..],
            &[b'x'; 100_000],
            b"no end",
        ]
        .concat();
        client.ask(&bad, b"CLIENT_ERROR bad data chunk\r\n");
        server.stop().unwrap();
    }
}

#[test]
fn a_session_of_bare_line_feeds_can_be_typed_byte_by_byte() {
    let server = start(settings());
    let mut client = Client::of(&server);
    for byte in b"set typed 0 0 2\nhi\r\nget typed\n" {
        client.send(&[*byte]);
    }
    client.expect(b"STORED\r\nVALUE typed 0 2\r\nhi\r\nEND\r\n");
    server.stop().unwrap();
}

//= conn.half
#[test]
fn a_half_closed_client_hears_every_answer_and_then_the_end() {
    let server = start(settings());
    let mut client = Client::of(&server);
    let requests = [
        &set("half", b"closed")[..],
        &b"get half\r\n".repeat(1000),
        b"get unfini",
    ];
    client.send(&requests.concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    let expected = [b"STORED\r\n", &found("half", b"closed").repeat(1000)[..]].concat();
    assert!(client.rest() == expected);
    server.stop().unwrap();
}

/// A client that stops reading must cost its own connection only: replies of 100 kB to thousands
/// of requests would be gigabytes if they were all produced.
#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let server = start(Settings {
        threads: 1,
        ..settings()
    });
    let value = vec![b'x'; 100_000];
    let mut other = Client::of(&server);
    other.ask(&set("big", &value), b"STORED\r\n");
    let before = resident();
    let mut slow = Client::of(&server);
    let request = b"get big\r\n";
    let sent = send_until_refused(&mut slow.stream, request);
    assert!(sent > 100 * request.len());
    other.ask(b"get none\r\n", b"END\r\n");
    other.ask(b"get big\r\n", &found("big", &value));
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
    // Now it reads: the first replies are all there, in order.
    let reply = found("big", &value);
    for _ in 0..100 {
        slow.expect(&reply);
    }
    drop(slow);
    other.ask(b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
}

#[test]
fn a_slow_reader_loses_nothing() {
    let server = start(settings());
    let value = vec![b'y'; 10_000];
    let mut client = Client::of(&server);
    client.ask(&set("k", &value), b"STORED\r\n");
    let request = b"get k\r\n";
    let sent = send_until_refused(&mut client.stream, request);
    client.stream.shutdown(Shutdown::Write).unwrap();
    let whole = sent / request.len();
    let reply = found("k", &value);
    for _ in 0..whole {
        client.expect(&reply);
    }
    // The last request may have been cut by the refusal: it is dropped without a word.
    assert!(client.rest().is_empty());
    server.stop().unwrap();
}

//= value.whole
#[test]
fn large_values_arrive_whole_while_they_are_overwritten_and_deleted() {
    const SIZES: [usize; 6] = [1, 16_000, 16_385, 100_000, 400_000, 1 << 20];
    let server = start(settings());
    let value = |n: usize| -> Vec<u8> { (0..SIZES[n]).map(|at| (at * 31 / 7 + n) as u8).collect() };
    let mut client = Client::of(&server);
    let mut requests = vec![];
    let mut replies = vec![];
    for (n, _) in SIZES.iter().enumerate() {
        client.ask(&set(&format!("k{n}"), &value(n)), b"STORED\r\n");
    }
    for round in 0..12 {
        let key = format!("k{}", round * 5 % SIZES.len());
        requests.extend(format!("get {key}\r\n").bytes());
        replies.extend(found(&key, &value(round * 5 % SIZES.len())));
    }
    client.send(&requests);
    // The first bytes are here, so the rest is on its way, from where it lies.
    client.expect(&replies[..10]);
    let mut other = Client::of(&server);
    for (n, size) in SIZES.iter().enumerate() {
        other.ask(&set(&format!("k{n}"), &vec![b'!'; *size]), b"STORED\r\n");
        other.ask(format!("delete k{n}\r\n").as_bytes(), b"DELETED\r\n");
    }
    let mut at = 10;
    while at < replies.len() {
        let piece = 33_333.min(replies.len() - at);
        let mut read = vec![0; piece];
        client.stream.read_exact(&mut read).unwrap();
        // A get that had not been carried out yet finds other bytes, or nothing: stop there.
        if read != replies[at..at + piece] {
            break;
        }
        at += piece;
    }
    assert!(
        at > 100_000,
        "what had been asked for before came whole: {at} bytes"
    );
    server.stop().unwrap();
}

//= conn.limit
#[test]
fn clients_above_the_limit_are_refused_until_one_leaves() {
    let server = start(Settings {
        connections_max: 5,
        ..settings()
    });
    let mut clients: Vec<_> = (0..5).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.ask(b"get none\r\n", b"END\r\n");
    }
    assert_eq!(Client::of(&server).rest(), REFUSAL);
    clients.pop();
    eventually("the one that left makes room", || {
        server.control().open_connections() == 4
    });
    let mut newcomer = Client::of(&server);
    newcomer.ask(b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
}

//= conn.wait
#[test]
fn with_waiting_instead_of_refusal_a_client_is_served_when_one_leaves() {
    let limited = Settings {
        connections_max: 2,
        connections_refuse: false,
        ..settings()
    };
    let server = start(limited);
    let mut first = Client::of(&server);
    let mut second = Client::of(&server);
    first.ask(b"get none\r\n", b"END\r\n");
    second.ask(b"get none\r\n", b"END\r\n");
    let mut third = Client::of(&server);
    third.send(b"get none\r\n");
    first.ask(b"get none\r\n", b"END\r\n");
    assert_eq!(server.control().open_connections(), 2);
    drop(second);
    third.expect(b"END\r\n");
    server.stop().unwrap();
}

#[test]
fn a_thousand_idle_clients_are_all_still_served() {
    process::allow_open_files(4096).unwrap();
    let server = start(Settings {
        connections_max: 1100,
        ..settings()
    });
    let before = resident();
    let mut clients: Vec<_> = (0..1000)
        .map(|_| {
            let mut client = Client::of(&server);
            client.ask(b"get none\r\n", b"END\r\n");
            client
        })
        .collect();
    let each = resident().saturating_sub(before) / 1000;
    // Tests beside this one allocate too: the bound is far above what a connection needs.
    assert!(each < 64 << 10, "{each} bytes for each idle client");
    for client in clients.iter_mut().rev() {
        client.ask(b"get none\r\n", b"END\r\n");
    }
    server.stop().unwrap();
}

#[test]
fn stopping_never_cuts_a_reply() {
    let server = start(settings());
    let value = vec![b'z'; 5000];
    let mut client = Client::of(&server);
    client.ask(&set("k", &value), b"STORED\r\n");
    let mut writer = client.stream.try_clone().unwrap();
    // The server goes away in the middle, so the write may fail.
    let sender = thread::spawn(move || writer.write_all(&b"get k\r\n".repeat(100_000)).is_ok());
    let reply = found("k", &value);
    client.expect(&reply);
    let stopper = thread::spawn(move || server.stop().unwrap());
    let mut rest = vec![];
    if let Err(error) = client.stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(
        rest.len() % reply.len(),
        0,
        "after {} whole replies",
        rest.len() / reply.len()
    );
    assert!(rest.chunks(reply.len()).all(|chunk| chunk == reply));
    stopper.join().unwrap();
    drop(client);
    sender.join().unwrap();
}

#[test]
fn stopping_with_idle_clients_takes_less_than_a_second() {
    let server = start(settings());
    let mut clients: Vec<_> = (0..10).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.ask(b"get none\r\n", b"END\r\n");
    }
    let started = Instant::now();
    server.stop().unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    for client in &mut clients {
        assert!(client.rest().is_empty());
    }
}

#[test]
fn the_shutdown_command_ends_the_server() {
    let mut server = start(Settings {
        shutdown_enabled: true,
        ..settings()
    });
    let mut client = Client::of(&server);
    client.send(b"shutdown\r\n");
    assert!(client.rest().is_empty());
    server.wait().unwrap();
}

//= conn.idle
#[test]
fn idle_clients_are_closed_when_that_is_asked_for() {
    let server = start(Settings {
        idle_timeout_s: 1,
        ..settings()
    });
    let mut client = Client::of(&server);
    client.ask(b"get none\r\n", b"END\r\n");
    assert!(client.rest().is_empty());
    server.stop().unwrap();
}

//= conn.unix
#[test]
fn a_unix_socket_serves_with_its_mode_and_is_removed() {
    let path = scratch_path("socket");
    let unix = || Settings {
        unix_socket: Some(path.to_path_buf()),
        unix_mask: 0o750,
        ..settings()
    };
    drop(UnixListener::bind(&*path).unwrap()); // A file that a killed server left.
    let server = start(unix());
    assert!(server.addresses().is_empty());
    let metadata = fs::symlink_metadata(&*path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o750);
    let mut stream = UnixStream::connect(&*path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"get none\r\n").unwrap();
    let mut reply = [0; 5];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"END\r\n");
    let Err(failure) = Server::bind(unix()) else {
        panic!("took a living server's socket");
    };
    assert_eq!(failure.code, EXIT_OS);
    server.stop().unwrap();
    assert!(!path.exists());
}

/// A server that accepts nobody, and has as many clients waiting as it may.
#[test]
fn a_probe_of_a_socket_whose_server_hangs_does_not_hang() {
    let path = scratch_path("hung");
    let socket = |address: &socket2::SockAddr| {
        let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(address).map(|()| socket)
    };
    let hung = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(&*path).unwrap();
    hung.bind(&address).unwrap();
    hung.listen(0).unwrap();
    let mut waiting = vec![];
    while let Ok(client) = socket(&address) {
        waiting.push(client);
    }
    let unix = Settings {
        unix_socket: Some(path.to_path_buf()),
        ..settings()
    };
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(Server::bind(unix).err().map(|failure| failure.message)));
    let failure = receiver.recv_timeout(PATIENCE).expect("the probe hangs");
    let message = failure.expect("took a living server's socket");
    assert!(message.contains("in use"), "{message}");
    assert!(path.exists());
}

#[test]
fn listen_lists_mix_addresses_ports_and_unix_sockets() {
    let path = scratch_path("listed");
    let listen = vec![
        "127.0.0.1,localhost:0".into(),
        format!("unix:{}", path.display()),
    ];
    let server = start(Settings {
        listen,
        ..settings()
    });
    assert!(server.addresses().len() >= 2);
    for address in server.addresses() {
        Client::at(*address).ask(b"get none\r\n", b"END\r\n");
    }
    assert!(UnixStream::connect(&*path).is_ok());
    server.stop().unwrap();
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_listened_on_is_refused_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let bind = |listen: &str, tcp_port| {
        let listen = vec![listen.to_string()];
        match Server::bind(Settings {
            listen,
            tcp_port,
            ..settings()
        }) {
            Ok(_) => panic!("bound"),
            Err(failure) => failure,
        }
    };
    let failure = bind(&address.to_string(), Some(0));
    assert_eq!(failure.code, EXIT_OS);
    assert!(failure.message.contains(&address.to_string()), "{failure}");
    assert_eq!(bind("unix:", Some(0)).code, EXIT_USAGE);
    assert_eq!(bind("name.invalid", Some(0)).code, EXIT_OS);
}

/// As memcached does with `-p 0` alone; its tests count on it.
#[test]
fn a_server_without_sockets_runs_and_stops() {
    let server = start(Settings {
        tcp_port: None,
        ..settings()
    });
    assert!(server.addresses().is_empty() && server.udp_addresses().is_empty());
    server.stop().unwrap();
}

#[test]
fn clients_that_vanish_in_the_middle_of_a_value_leave_nothing_behind() {
    let server = start(settings());
    let mut witness = Client::of(&server);
    witness.ask(&set("kept", b"old"), b"STORED\r\n");
    for n in 0..200 {
        let mut client = Client::of(&server);
        client.send(b"set kept 0 0 100000\r\n");
        client.send(&vec![b'n'; n * 400]);
        // With a linger of zero the close is a reset, as when a machine dies.
        SockRef::from(&client.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    eventually("all of them are gone", || {
        server.control().open_connections() == 1
    });
    witness.ask(b"get kept\r\n", &found("kept", b"old"));
    server.stop().unwrap();
}

/// Settings with a password file; ann's password is `pw`.
fn with_users(name: &str) -> (Settings, Scratch) {
    let path = scratch_path(name);
    fs::write(&*path, "ann:pw").unwrap();
    let settings = Settings {
        auth_file: Some(path.to_path_buf()),
        ..settings()
    };
    (settings, path)
}

/// A binary request without extras.
fn packet(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, opcode, 0, key.len() as u8];
    packet.resize(24, 0);
    packet[11] = (key.len() + value.len()) as u8;
    [&packet, key, value].concat()
}

#[test]
fn a_text_connection_logs_in_and_another_must_do_so_again() {
    let (settings, _file) = with_users("text-users");
    let server = start(settings);
    let mut client = Client::of(&server);
    client.ask(b"get k\r\n", b"CLIENT_ERROR unauthenticated\r\n");
    client.ask(b"set a 0 0 6\r\nann pw\r\n", b"STORED\r\n");
    client.ask(&set("k", b"v"), b"STORED\r\n");
    client.ask(b"mg k v\r\n", b"VA 1\r\nv\r\n");
    let mut stranger = Client::of(&server);
    stranger.ask(b"get k\r\n", b"CLIENT_ERROR unauthenticated\r\n");
    stranger.send(b"get\r\n");
    assert_eq!(stranger.rest(), b"");
    // Nor is another protocol a way in.
    let mut stranger = Client::of(&server);
    stranger.send(&packet(0x00, b"k", b""));
    let answer = stranger.rest();
    assert_eq!((answer[7], &answer[24..]), (0x20, &b"Auth failure."[..]));
    server.stop().unwrap();
}

#[test]
fn a_binary_connection_logs_in_and_another_must_do_so_again() {
    let (settings, _file) = with_users("binary-users");
    let server = start(Settings {
        sasl: true,
        ..settings
    });
    let mut client = Client::of(&server);
    let mut welcome = packet(0x21, b"", b"");
    welcome[0] = 0x81;
    welcome[3] = 0;
    welcome[11] = 13;
    welcome.extend_from_slice(b"Authenticated");
    client.ask(&packet(0x21, b"PLAIN", b"\0ann\0pw"), &welcome);
    client.send(&packet(0x10, b"reset", b""));
    let mut reset = packet(0x10, b"", b"");
    reset[0] = 0x81;
    client.expect(&reset);
    let mut stranger = Client::of(&server);
    stranger.send(&[packet(0x10, b"reset", b""), packet(0x0a, b"", b"")].concat());
    let answer = stranger.rest();
    assert_eq!((answer[7], answer.len()), (0x20, 24 + 13));
    // Text needs a login of its own.
    let mut stranger = Client::of(&server);
    stranger.ask(b"version\r\n", b"CLIENT_ERROR unauthenticated\r\n");
    server.stop().unwrap();
}

/// The lines of `stats conns`, without `STAT`: descriptor and name, and the value.
fn sockets(client: &mut Client) -> Vec<(String, String)> {
    client.send(b"stats conns\r\n");
    let mut text = String::new();
    while !text.ends_with("END\r\n") {
        let mut byte = [0];
        client.stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("STAT "));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The descriptor whose line `name` has this value.
fn descriptor<'a>(lines: &'a [(String, String)], name: &str, value: &str) -> Option<&'a str> {
    let ending = format!(":{name}");
    lines
        .iter()
        .filter(|line| line.1 == value)
        .find_map(|line| line.0.strip_suffix(&ending))
}

fn value<'a>(lines: &'a [(String, String)], fd: &str, name: &str) -> Option<&'a str> {
    let name = format!("{fd}:{name}");
    let line = lines.iter().find(|line| line.0 == name);
    line.map(|line| line.1.as_str())
}

#[test]
fn stats_conns_shows_who_does_what() {
    let listen = vec!["0.0.0.0".into()];
    let server = start(Settings {
        listen,
        ..settings()
    });
    let port = server.addresses()[0].port();
    let connect = || Client::at((Ipv4Addr::LOCALHOST, port).into());
    let (mut asker, mut sender, mut quiet) = (connect(), connect(), connect());
    let mut midway = connect();
    let name = |client: &Client| format!("tcp:{}", client.stream.local_addr().unwrap());
    sender.send(b"set half 0 0 100\r\nabc");
    midway.send(b"get unfini");
    let state_of = |asker: &mut Client, client: &Client| {
        let lines = sockets(asker);
        let fd = descriptor(&lines, "addr", &name(client))?;
        value(&lines, fd, "state").map(str::to_string)
    };
    for (client, state) in [(&sender, "conn_nread"), (&midway, "conn_read")] {
        eventually(state, || {
            state_of(&mut asker, client).as_deref() == Some(state)
        });
    }
    eventually("the quiet one is adopted", || {
        state_of(&mut asker, &quiet).as_deref() == Some("conn_new_cmd")
    });
    let lines = sockets(&mut asker);
    let fd = descriptor(&lines, "addr", &name(&asker)).unwrap();
    assert_eq!(value(&lines, fd, "state"), Some("conn_parse_cmd"));
    assert!(value(&lines, fd, "secs_since_last_cmd").is_some());
    // The address that was connected to, not the one that was listened on.
    let ours = format!("tcp:127.0.0.1:{port}");
    assert_eq!(value(&lines, fd, "listen_addr"), Some(ours.as_str()));
    let fd = descriptor(&lines, "addr", &format!("tcp:0.0.0.0:{port}")).unwrap();
    assert_eq!(value(&lines, fd, "state"), Some("conn_listening"));
    assert_eq!(value(&lines, fd, "listen_addr"), None);
    quiet.ask(b"get none\r\n", b"END\r\n");
    assert_eq!(state_of(&mut asker, &quiet).as_deref(), Some("conn_read"));
    let gone = name(&sender);
    drop(sender);
    eventually("the sender is struck off", || {
        descriptor(&sockets(&mut asker), "addr", &gone).is_none()
    });
    server.stop().unwrap();
}

#[test]
fn stats_conns_shows_a_client_that_does_not_read() {
    let server = start(settings());
    let mut asker = Client::of(&server);
    asker.ask(&set("big", &vec![b'x'; 500_000]), b"STORED\r\n");
    let mut slow = Client::of(&server);
    slow.send(&b"get big\r\n".repeat(200));
    eventually("its replies wait", || {
        descriptor(&sockets(&mut asker), "state", "conn_mwrite").is_some()
    });
    server.stop().unwrap();
}

#[test]
fn stats_conns_names_unix_sockets_by_their_path() {
    let path = scratch_path("conns");
    let server = start(Settings {
        unix_socket: Some(path.to_path_buf()),
        ..settings()
    });
    let mut stream = UnixStream::connect(&*path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"stats conns\r\nquit\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let place = format!("unix:{}", path.display());
    assert!(text.contains(&format!(":addr {place}\r\n")), "{text}");
    assert!(
        text.contains(&format!(":listen_addr {place}\r\n")),
        "{text}"
    );
    server.stop().unwrap();
}

#[test]
fn a_page_moves_as_ordered_while_the_server_runs() {
    let server = start(settings());
    Client::of(&server).ask(b"slabs reassign 0 1\r\n", b"OK\r\n");
    eventually("the page has moved", || {
        let mut client = Client::of(&server);
        client.send(b"stats\r\nquit\r\n");
        let stats = String::from_utf8(client.rest()).unwrap();
        stats.contains("STAT slab_reassign_running 0\r\nSTAT slabs_moved 1\r\n")
    });
    server.stop().unwrap();
}

/// Numbers that the clients of the test below add to, and keys that they fight about.
const COUNTERS: usize = 4;
const KEYS: u64 = 24;

/// What clients were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    hits: u64,
    misses: u64,
    stored: u64,
    deleted: u64,
    not_deleted: u64,
    counted: u64,
}

impl Told {
    fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            stored: self.stored + other.stored,
            deleted: self.deleted + other.deleted,
            not_deleted: self.not_deleted + other.not_deleted,
            counted: self.counted + other.counted,
        }
    }
}

/// A client that asks for this and that, sixteen requests at a time, and believes nothing.
struct Fighter {
    replies: BufReader<TcpStream>,
    dice: u64,
    /// The highest value of each counter that it has been told.
    highest: [u64; COUNTERS],
    told: Told,
}

impl Fighter {
    fn of(server: &Running, seed: u64) -> Self {
        Self {
            replies: BufReader::new(Client::of(server).stream),
            dice: seed,
            highest: [0; COUNTERS],
            told: Told::default(),
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn fight(mut self, until: Instant) -> Told {
        while Instant::now() < until {
            let requests: Vec<_> = (0..16).map(|_| (self.roll(8), self.roll(KEYS))).collect();
            let bytes: Vec<u8> = requests
                .iter()
                .flat_map(|&(kind, key)| self.request(kind, key))
                .collect();
            self.replies.get_ref().write_all(&bytes).unwrap();
            for (kind, key) in requests {
                self.hear(kind, key);
            }
        }
        self.told
    }

    fn request(&mut self, kind: u64, key: u64) -> Vec<u8> {
        match kind {
            0..4 => format!("get k{key}\r\n").into_bytes(),
            4 | 5 => {
                // One in eight is sent from where it lies, the others are copied.
                let most = if self.roll(8) == 0 { 40_000 } else { 300 };
                let fill = b'a' + self.roll(26) as u8;
                let mut value = format!("k{key}:").into_bytes();
                value.resize(value.len() + self.roll(most) as usize, fill);
                set(&format!("k{key}"), &value)
            }
            6 => format!("delete k{key}\r\n").into_bytes(),
            _ => format!("incr n{} 1\r\n", key as usize % COUNTERS).into_bytes(),
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        line
    }

    fn hear(&mut self, kind: u64, key: u64) {
        let line = self.line();
        match (kind, line.trim_end()) {
            (0..4, "END") => self.told.misses += 1,
            (0..4, head) => self.hear_value(key, head),
            (4 | 5, "STORED") => self.told.stored += 1,
            (6, "DELETED") => self.told.deleted += 1,
            (6, "NOT_FOUND") => self.told.not_deleted += 1,
            (7, number) => {
                let value = number.parse().unwrap();
                let highest = &mut self.highest[key as usize % COUNTERS];
                assert!(value > *highest, "{value} after {highest}");
                *highest = value;
                self.told.counted += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn hear_value(&mut self, key: u64, head: &str) {
        let len = head.strip_prefix(&format!("VALUE k{key} 0 ")).unwrap();
        let len: usize = len.parse().unwrap();
        let mut value = vec![0; len + 2];
        self.replies.read_exact(&mut value).unwrap();
        let fill = value.strip_prefix(format!("k{key}:").as_bytes()).unwrap();
        let fill = fill.strip_suffix(b"\r\n").unwrap();
        assert!(
            fill.windows(2).all(|two| two[0] == two[1]),
            "a value of one writer: {}",
            excerpt(&value)
        );
        assert_eq!(self.line(), "END\r\n");
        self.told.hits += 1;
    }
}

#[test]
fn what_sixty_four_clients_of_eight_workers_are_told_adds_up() {
    let server = start(Settings {
        threads: 8,
        ..settings()
    });
    let mut client = Client::of(&server);
    for counter in 0..COUNTERS {
        client.ask(&set(&format!("n{counter}"), b"0"), b"STORED\r\n");
    }
    let until = Instant::now() + Duration::from_secs(2);
    let told = thread::scope(|scope| {
        let fighters: Vec<_> = (1..=64)
            .map(|seed| Fighter::of(&server, seed))
            .map(|fighter| scope.spawn(move || fighter.fight(until)))
            .collect();
        let told = fighters.into_iter().map(|fighter| fighter.join().unwrap());
        told.fold(Told::default(), Told::and)
    });
    client.send(b"stats\r\nget n0 n1 n2 n3\r\nquit\r\n");
    let text = String::from_utf8(client.rest()).unwrap();
    let stat = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| {
            let line = line.strip_prefix("STAT ")?.strip_prefix(name)?;
            line.strip_prefix(' ')
        });
        line.unwrap().parse().unwrap()
    };
    let counted = Told {
        hits: stat("get_hits"),
        misses: stat("get_misses"),
        stored: stat("cmd_set") - COUNTERS as u64,
        deleted: stat("delete_hits"),
        not_deleted: stat("delete_misses"),
        counted: stat("incr_hits"),
    };
    assert_eq!(counted, told);
    assert_eq!(stat("cmd_get"), told.hits + told.misses);
    let numbers = text.lines().filter_map(|line| line.parse::<u64>().ok());
    assert_eq!(numbers.sum::<u64>(), told.counted);
    assert!(told.hits > 0 && told.misses > 0 && told.deleted > 0 && told.not_deleted > 0);
    server.stop().unwrap();
}
