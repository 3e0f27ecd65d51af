//! What dumps tell of the same items, and how operators' commands are answered.

use crate::is_newer;
use crate::support::Server;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{Read, Write};

/// What both answer alike, with a line each, one after the other. Dumps of what is no class are not
/// here: 1.6.45 may send the rest of its answer to the next connection.
const STEERING: &[&str] = &[
    "lru_crawler mgdump",
    "lru_crawler metadump all more",
    "lru_crawler enable",
    "lru_crawler enable more",
    "lru_crawler disable",
    "lru_crawler disable",
    "lru_crawler crawl all",
    "lru_crawler metadump all",
    "lru_crawler mgdump x",
    "lru_crawler enable",
    "lru_crawler sleep 5 6",
    "lru_crawler sleep 1000001",
    "lru_crawler tocrawl 4294967296",
    "lru_crawler bogus 5",
    "lru tune 10 20 0.1",
    "lru tune 81 0 0.1 2",
    "lru mode flat",
    "lru mode segmented",
    "lru temp_ttl -1",
    "slabs automove 2",
    "slabs automove ratio -1",
    "slabs automove ratio 0.8",
    "slabs automove window 1801",
    "slabs automove 1",
    "slabs reassign 5 5",
    "slabs reassign 64 1",
    "stats sizes_enable",
    "verbosity",
    "shutdown graceful",
];

fn pair() -> [Server; 2] {
    let peer = env::var("PEER_A").unwrap_or_else(|_| "memcached".into());
    let ours = env::var("PEER_B").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nuthatch").into());
    [&peer, &ours].map(|binary| Server::start(binary, &["-m", "64"]))
}

/// The answer to what is sent, up to a line that is `end`.
fn ask(server: &Server, sent: &str, end: &str) -> String {
    let mut socket = server.connect();
    let sent = socket.write_all(format!("{sent}\r\n").as_bytes());
    sent.expect("the server reads");
    let mut reply = vec![];
    while !reply.ends_with(end.as_bytes()) {
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer).expect("the server answers");
        assert!(count > 0, "closed after {}", reply.escape_ascii());
        reply.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

/// Commands that store 300 items of many kinds and read a third of them.
fn sets() -> String {
    let items = (0..300_usize).map(|number| {
        let (key, value) = (format!("k%{number}:é"), "v".repeat(number * 11));
        let (flags, exptime) = (number * 7, [0, 2_000_000_000_u64][number % 2]);
        let len = value.len();
        let get = match number % 3 {
            0 => format!("get {key}\r\n"),
            _ => String::new(),
        };
        format!("set {key} {flags} {exptime} {len}\r\n{value}\r\n{get}")
    });
    items.collect()
}

/// The facts of each line of a dump, but for those that are the server's own.
fn facts<'a>(dump: &'a str, own: &[&str]) -> BTreeSet<BTreeMap<&'a str, &'a str>> {
    let lines = dump.lines().filter(|line| line.starts_with("key="));
    let words = lines.map(str::split_whitespace);
    let facts = words.map(|words| words.filter_map(|word| word.split_once('=')));
    let facts = facts.map(|facts| facts.filter(|(name, _)| !own.contains(name)));
    facts.map(Iterator::collect).collect()
}

#[test]
#[ignore = "needs memcached; scripts/test installs it and runs this"]
fn dumps_tell_the_same_of_every_item() {
    let [theirs, ours] = pair().map(|server| {
        ask(&server, &format!("{}mn", sets()), "MN\r\n");
        ask(&server, "lru_crawler metadump all", "END\r\n")
    });
    let mut own = vec!["la", "cas", "cls", "size"];
    if !theirs.contains(" flags=") {
        own.push("flags"); // 1.6.18 does not tell them.
    }
    let (theirs, ours) = (facts(&theirs, &own), facts(&ours, &own));
    assert_eq!(theirs.len(), 300);
    assert_eq!(theirs, ours);
}

#[test]
#[ignore = "needs memcached; scripts/test installs it and runs this"]
fn operators_are_answered_alike() {
    let servers = pair();
    if !servers.iter().all(is_newer) {
        return; // 1.6.18 says many things otherwise.
    }
    for command in STEERING {
        let [theirs, ours] = servers
            .each_ref()
            .map(|server| ask(server, command, "\r\n"));
        assert_eq!(theirs, ours, "{command}");
    }
}
