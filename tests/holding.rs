//! What clients can make the server hold, and for how long.
//!
//! Each test is a client, or a crowd of them, that takes and does not give back. Everyone else
//! must be served meanwhile.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "support/clients.rs"]
mod clients;

use clients::{Client, eventually, found, resident, set, settings, start, stat, stats};
use nuthatch::base::settings::Settings;
use nuthatch::server::{Running, process};
use std::io::{ErrorKind, Write};

/// What each worker reads into.
const WORKER_BUFFER: u64 = 320 << 10;

/// Sends what is taken at once.
fn push(client: &mut Client, bytes: &[u8]) -> usize {
    client.stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < bytes.len() {
        match client.stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    client.stream.set_nonblocking(false).unwrap();
    sent
}

/// How many sockets `stats conns` shows in a state.
fn in_state(server: &Running, state: &str) -> usize {
    let mut client = Client::of(server);
    client.send(b"stats conns\r\nquit\r\n");
    let text = String::from_utf8(client.rest()).unwrap();
    text.matches(&format!(":state {state}\r\n")).count()
}

#[test]
fn clients_that_read_nothing_share_one_budget_and_lose_nothing() {
    const CLIENTS: usize = 300;
    const LIMIT: u64 = 8 << 20;
    process::allow_open_files(4096).unwrap();
    let server = start(Settings {
        conn_memory: Some(LIMIT),
        ..settings()
    });
    let value = vec![b'v'; 8_192];
    let mut other = Client::of(&server);
    other.ask(&set("slow", &value), b"STORED\r\n");
    let before = resident();
    let requests = b"get slow\r\n".repeat(30_000);
    let mut slow: Vec<_> = (0..CLIENTS).map(|_| Client::of(&server)).collect();
    let sent: Vec<_> = slow.iter_mut().map(|it| push(it, &requests)).collect();
    eventually("everybody's replies wait", || {
        other.ask(b"get none\r\n", b"END\r\n");
        in_state(&server, "conn_mwrite") == CLIENTS
    });
    let stats = stats(&server);
    let held = stats["conn_held_bytes"];
    assert!(held > 0 && held <= LIMIT, "{held} bytes are held");
    let input = stats["read_buf_bytes"] - 2 * WORKER_BUFFER;
    assert_eq!(held, stats["response_obj_bytes"] + input);
    assert_eq!(stats["response_obj_oom"], 0);
    let grown = resident().saturating_sub(before);
    assert!(grown < 3 * LIMIT, "grew by {grown} bytes");
    // Now some of them read, and the replies are all there, in order.
    let reply = found("slow", &value).repeat(200);
    for (client, sent) in slow.iter_mut().zip(sent).step_by(50) {
        assert!(sent > 200 * 10);
        client.expect(&reply);
    }
    drop(slow);
    eventually("all of it is given back", || {
        stat(&server, "conn_held_bytes") == 0
    });
    server.stop().unwrap();
}

#[test]
fn lines_that_never_end_cost_the_clients_that_send_them_their_connection() {
    const LIMIT: u64 = 1 << 20;
    let server = start(Settings {
        conn_memory: Some(LIMIT),
        ..settings()
    });
    let mut other = Client::of(&server);
    let line = [b"get".to_vec(), b" k".repeat(30_000)].concat();
    let endless: Vec<_> = (0..100)
        .map(|_| {
            let mut client = Client::of(&server);
            client.send(&line);
            other.ask(b"get none\r\n", b"END\r\n");
            client
        })
        .collect();
    eventually("some are closed", || {
        stat(&server, "response_obj_oom") >= 80
    });
    assert!(stat(&server, "conn_held_bytes") <= LIMIT);
    other.ask(&set("k", b"v"), b"STORED\r\n");
    other.ask(b"get k\r\n", &found("k", b"v"));
    drop(endless);
    server.stop().unwrap();
}

fn impatient() -> Settings {
    Settings {
        progress_timeout_s: 1,
        ..settings()
    }
}

#[test]
fn requests_that_stop_halfway_end_with_their_connection() {
    let server = start(impatient());
    let mut idle = Client::of(&server);
    idle.ask(b"get none\r\n", b"END\r\n");
    let too_large = format!("set k 0 0 {}\r\nabc", 20 << 20);
    let halves: [&[u8]; 6] = [
        b"get unfini",
        b"set half 0 0 100\r\nabc",
        b"set half 0 0 100000\r\nabc",
        b"ms half 100 T9\r\nabc",
        too_large.as_bytes(),
        b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x10",
    ];
    let mut stuck: Vec<_> = halves.iter().map(|_| Client::of(&server)).collect();
    for (client, half) in stuck.iter_mut().zip(halves) {
        client.send(half);
    }
    for client in &mut stuck {
        client.rest();
    }
    assert!(stat(&server, "idle_kicks") >= 6);
    idle.ask(b"get none\r\n", b"END\r\n");
    server.stop().unwrap();
}

#[test]
fn replies_that_nobody_reads_end_with_their_connection() {
    let server = start(impatient());
    let mut other = Client::of(&server);
    other.ask(&set("big", &vec![b'x'; 500_000]), b"STORED\r\n");
    let mut slow = Client::of(&server);
    slow.send(&b"get big\r\n".repeat(200));
    eventually("its replies wait", || in_state(&server, "conn_mwrite") == 1);
    eventually("it is closed", || in_state(&server, "conn_mwrite") == 0);
    other.ask(b"get none\r\n", b"END\r\n");
    assert_eq!(stat(&server, "idle_kicks"), 1);
    server.stop().unwrap();
}

#[test]
fn a_slow_client_stays_as_long_as_it_makes_progress() {
    const VALUE_LEN: usize = 1_000_000;
    let server = start(impatient());
    let begun = stat(&server, "uptime");
    let mut slow = Client::of(&server);
    slow.send(format!("set slow 0 0 {VALUE_LEN}\r\n").as_bytes());
    let mut sent = 0;
    while stat(&server, "uptime") < begun + 4 {
        slow.send(b"s");
        sent += 1;
    }
    slow.send(&vec![b's'; VALUE_LEN - sent]);
    slow.ask(b"\r\n", b"STORED\r\n");
    server.stop().unwrap();
}

#[test]
fn uploads_that_stall_at_their_last_byte_do_not_take_the_memory_of_others() {
    const VALUE_LEN: usize = 1 << 20;
    let server = start(settings()); // 64 MiB, and nobody is closed for being slow
    let almost = &set("stalled", &vec![b'x'; VALUE_LEN])[..VALUE_LEN];
    let stalled: Vec<_> = (0..65)
        .map(|_| {
            let mut client = Client::of(&server);
            client.send(almost);
            client
        })
        .collect();
    eventually("the server has taken what it wants", || {
        let left = server.control().open_connections();
        in_state(&server, "conn_nread") == left && left < stalled.len()
    });
    let mut other = Client::of(&server);
    for n in 0..20 {
        other.ask(
            &set(&format!("k{n}"), &vec![b'y'; VALUE_LEN]),
            b"STORED\r\n",
        );
    }
    assert!(stat(&server, "response_obj_oom") >= 30);
    server.stop().unwrap();
}
