//! Two servers, one stream of commands: every reply must be the same, byte for byte.
//!
//! The peer is Debian's memcached; a newer one is also sent what Debian's does not know. A seeded
//! generator (`commands`, with `meta` and `binary`) makes batches of all protocols; `wire` sends
//! them in random pieces and cuts the replies into units; `allowed` lists, with reasons, the only
//! differences that pass. A failure names its seed; the same commands run again with
//!
//! ```text
//! SEED=n cargo test --release --test differential -- --ignored
//! ```
//!
//! `COMMANDS` sets how many commands a seed runs, `PEER_A` and `PEER_B` other binaries to compare
//! (the same binary twice must show no difference at all: that tests the test).

mod allowed;
mod binary;
mod commands;
mod dumps;
mod meta;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use commands::{Batch, Command, Generator, Protocol};
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::thread;
use support::{Random, Server};
use wire::{Peer, Unit};

const SEEDS: RangeInclusive<u64> = 1..=50;
const COMMANDS: usize = 10_000; // a seed: 500,000 in all

/// A run is a conversation, and waits more than it works: for a processor, on a busy machine.
const SEEDS_AT_A_TIME: usize = 8;

/// The room for the largest items the generator makes, many times over: nothing is evicted.
const FLAGS: &[&str] = &["-m", "1024"];

/// Connections to each server; a batch goes to one of them. They share the server's keys.
const CONNECTIONS: [Protocol; 5] = [
    Protocol::Text,
    Protocol::Binary,
    Protocol::Text,
    Protocol::Binary,
    Protocol::Text,
];

#[test]
#[ignore = "needs memcached; scripts/test installs it and runs this"]
fn replies_are_the_same() {
    let binary_a = env::var("PEER_A").unwrap_or_else(|_| "memcached".into());
    let binary_b = env::var("PEER_B").unwrap_or_else(|_| env!("CARGO_BIN_EXE_nuthatch").into());
    let count = number("COMMANDS").map_or(COMMANDS, |n| usize::try_from(n).expect("small"));
    let seeds = number("SEED").map_or(SEEDS, |seed| seed..=seed);
    let left = Mutex::new(seeds);
    thread::scope(|scope| {
        for _ in 0..SEEDS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(seed) = next(&left) {
                    let mut run = Run::new(seed, &binary_a, &binary_b);
                    run.commands(count);
                    run.assert_the_commands_meant_something(count);
                }
            });
        }
    });
}

fn next(seeds: &Mutex<RangeInclusive<u64>>) -> Option<u64> {
    let mut seeds = seeds.lock().expect("nobody fails while holding it");
    seeds.next()
}

/// Debian's memcached is 1.6.18. A version that is not a number is of one's own making, and new.
fn is_newer(server: &Server) -> bool {
    let stats = server.stats();
    let last = stats["version"].rsplit('.').next().map(str::parse::<u32>);
    !matches!(last, Some(Ok(0..=18)))
}

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value}: not a number")),
    )
}

/// One seed on one pair of fresh servers.
struct Run {
    seed: u64,
    /// Commands that have been compared.
    done: usize,
    /// Whether both servers are the same binary: then no difference is allowed.
    twins: bool,
    /// Whether both servers know what came after 1.6.18.
    newer: bool,
    _servers: [Server; 2],
    a: Peer,
    b: Peer,
    /// How often the peer gave which kind of reply.
    kinds: BTreeMap<String, usize>,
}

impl Run {
    fn new(seed: u64, binary_a: &str, binary_b: &str) -> Self {
        let servers = [
            Server::start(binary_a, FLAGS),
            Server::start(binary_b, FLAGS),
        ];
        let [a, b] = [0, 1].map(|side: usize| Peer::new(&servers[side], &CONNECTIONS));
        let twins = binary_a == binary_b;
        Self {
            seed,
            done: 0,
            twins,
            newer: servers.iter().all(is_newer),
            _servers: servers,
            a,
            b,
            kinds: BTreeMap::new(),
        }
    }

    fn commands(&mut self, count: usize) {
        let mut random = Random::new(self.seed);
        let mut generator = Generator::new(self.seed, self.newer);
        while self.done < count {
            let connection = random.below(CONNECTIONS.len());
            let batch = generator.batch(CONNECTIONS[connection]);
            let cuts = random.next();
            match &batch {
                Batch::Fenced(commands) => self.fenced(connection, cuts, commands),
                Batch::Open(commands) => self.open(connection, cuts, commands),
                Batch::Closing(command) => self.closing(connection, command),
            }
            self.done += batch.len();
        }
    }

    /// Each command with a fence after it: each reply belongs to a known command.
    fn fenced(&mut self, connection: usize, cuts: u64, commands: &[Command]) {
        let replies_a = self.a.fenced(connection, cuts, commands);
        let replies_b = self.b.fenced(connection, cuts, commands);
        for (position, command) in commands.iter().enumerate() {
            let (a, b) = (reply(&replies_a, position), reply(&replies_b, position));
            self.count(a);
            if !allowed::agree(command, a, b, self.twins) {
                let shown = command.show() + &allowed::explain(command);
                self.fail(position, &shown, a, b);
            }
        }
    }

    /// A batch with one fence at its end: the servers see a real pipeline.
    fn open(&mut self, connection: usize, cuts: u64, commands: &[Command]) {
        let a = self.a.open(connection, cuts, commands);
        let b = self.b.open(connection, cuts, commands);
        self.count(&a);
        if allowed::same_reply(&a, &b) {
            return;
        }
        let differ = a
            .iter()
            .zip(&b)
            .position(|(a, b)| !allowed::same_unit(a, b));
        let from = differ.unwrap_or(a.len().min(b.len()));
        let mut shown = format!("a pipeline; the replies differ from unit {from} on\n");
        for command in commands {
            writeln!(shown, "  {}", command.show()).expect("strings can be written to");
        }
        self.fail(0, &shown, &a[from..], &b[from..]);
    }

    /// Input after which the server hangs up.
    fn closing(&mut self, connection: usize, command: &Command) {
        let a = self.a.closing(connection, command);
        let b = self.b.closing(connection, command);
        if !allowed::agree(command, &a, &b, self.twins) {
            let shown = command.show() + &allowed::explain(command);
            self.fail(0, &shown, &a, &b);
        }
    }

    fn count(&mut self, units: &[Unit]) {
        for unit in units {
            *self.kinds.entry(unit.kind()).or_default() += 1;
        }
    }

    fn fail(&self, position: usize, command: &str, a: &[Unit], b: &[Unit]) -> ! {
        panic!(
            "SEED={} differs at command {}:\n{command}\n--- memcached\n{}--- nuthatch\n{}",
            self.seed,
            self.done + position,
            wire::show_units(a),
            wire::show_units(b),
        );
    }

    /// A generator whose commands all miss would find nothing and look fine.
    fn assert_the_commands_meant_something(&self, count: usize) {
        if count < COMMANDS {
            return;
        }
        for kind in [
            "STORED",
            "NOT_STORED",
            "EXISTS",
            "NOT_FOUND",
            "DELETED",
            "TOUCHED",
            "OK",
            "VALUE",
            "END",
            "ERROR",
            "CLIENT_ERROR",
            "number",
            "HD",
            "VA",
            "EN",
            "NS",
            "NF",
            "EX",
            "ME",
            "won",
            "status 00",
            "status 01",
            "status 02",
            "status 05",
            "status 06",
            "status 81",
        ] {
            let seen = self.kinds.get(kind).copied().unwrap_or(0);
            assert!(
                seen >= 5,
                "SEED={}: only {seen} replies are {kind}",
                self.seed
            );
        }
    }
}

fn reply(replies: &[Vec<Unit>], position: usize) -> &[Unit] {
    replies.get(position).map_or(&[], Vec::as_slice)
}
