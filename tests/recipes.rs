//! The recipes of the documentation: held word by word with a server, and followed by many at once.
//!
//! A test waits for what other clients do by asking again, as a client would, until a deadline.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use nuthatch::base::settings::Settings;
use nuthatch::server::{Running, Server};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const RECIPES: &str = include_str!("../src/recipes.md");

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const CROWD: usize = 100;

fn start() -> Running {
    let settings = Settings {
        tcp_port: Some(0),
        threads: 2,
        ..Settings::default()
    };
    Server::bind(settings).unwrap().spawn().unwrap()
}

/// A client that sends lines and reads lines.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream);
        Self { reader }
    }

    fn send(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// One line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap().into()
    }

    /// Sends a command and reads the one line of its answer.
    fn ask(&mut self, command: &str) -> String {
        self.send(&format!("{command}\r\n"));
        self.line()
    }

    /// Stores by `set`, `add` or `ms`, or by anything that takes a value after a line.
    fn store(&mut self, command: &str, value: &str) -> String {
        self.send(&format!("{command}\r\n{value}\r\n"));
        self.line()
    }

    /// A value and its CAS, by `gets`.
    fn gets(&mut self, key: &str) -> Option<(String, String)> {
        let header = self.ask(&format!("gets {key}"));
        if header == "END" {
            return None;
        }
        let value = self.line();
        assert_eq!(self.line(), "END");
        Some((value, header.split(' ').nth(4).unwrap().into()))
    }

    fn get(&mut self, key: &str) -> Option<String> {
        self.gets(key).map(|(value, _)| value)
    }

    /// A hit of `mg` with `v`, or of `ma`: the flags after `VA <size>`, and the value.
    fn meta(&mut self, command: &str) -> (Vec<String>, String) {
        let header = self.ask(command);
        assert!(header.starts_with("VA "), "{command}: {header}");
        let flags = header.split(' ').skip(2).map(String::from).collect();
        (flags, self.line())
    }
}

/// What each of a crowd of clients returns that all begin at once.
fn crowd<T: Send>(server: &Running, size: usize, act: impl Fn(Client) -> T + Sync) -> Vec<T> {
    let address = server.addresses()[0];
    let barrier = Barrier::new(size);
    thread::scope(|scope| {
        let member = || {
            let client = Client::at(address);
            barrier.wait();
            act(client)
        };
        let threads: Vec<_> = (0..size).map(|_| scope.spawn(member)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn client(server: &Running) -> Client {
    Client::at(server.addresses()[0])
}

/// How many say that they have won, or whatever the flag means.
fn count(answers: &[(Vec<String>, String)], flag: &str) -> usize {
    answers
        .iter()
        .filter(|(flags, _)| flags.iter().any(|one| one == flag))
        .count()
}

// ---- Word by word ------------------------------------------------------------------------------

#[test]
fn every_conversation_goes_as_written() {
    let mut conversations = 0;
    for block in RECIPES.split("```text\n").skip(1) {
        let (conversation, _) = block.split_once("```").unwrap();
        hold(conversation);
        conversations += 1;
    }
    assert_eq!(conversations, 10, "conversations are overlooked");
}

/// Plays all the clients of one conversation with a server of its own.
fn hold(conversation: &str) {
    let server = start();
    let mut clients = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    for line in conversation.lines() {
        let (name, rest) = line.split_at(1);
        let (direction, text) = rest.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        let client = clients.entry(name).or_insert_with(|| client(&server));
        match direction {
            ">" => {
                let text = with_numbers(text, &numbers);
                client.send(&format!("{text}\r\n"));
            }
            "<" => {
                let found = client.line();
                learn_number(text, &found, &mut numbers);
                assert_eq!(found, with_numbers(text, &numbers), "in:\n{conversation}");
            }
            _ => panic!("neither sent nor heard: {line}"),
        }
    }
    for client in clients.values_mut() {
        assert_eq!(client.ask("mn"), "MN", "more was heard in:\n{conversation}");
    }
    drop(clients); // whom the server would give time to leave
    server.stop().unwrap();
}

/// Puts what the server gave where `CAS1` and the like stand.
fn with_numbers(text: &str, numbers: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, number) in numbers {
        text = text.replace(name, number);
    }
    text
}

/// The first time that a name like `CAS1` is heard of, it is what stands in its place.
fn learn_number(text: &str, found: &str, numbers: &mut BTreeMap<String, String>) {
    let Some(at) = text.find("CAS") else { return };
    let name = &text[at..at + 4];
    if let Some(rest) = found.get(at..)
        && !numbers.contains_key(name)
    {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        numbers.insert(name.into(), rest[..digits].into());
    }
}

// ---- By many at once ---------------------------------------------------------------------------

#[test]
fn cache_aside_asks_the_database_only_on_a_miss() {
    let server = start();
    let mut client = client(&server);
    let database = Mutex::new("Alice");
    let mut asked = 0;
    let mut read = |client: &mut Client| {
        client.get("user:7").unwrap_or_else(|| {
            asked += 1;
            let name = *database.lock().unwrap();
            let command = format!("set user:7 0 300 {}", name.len());
            assert_eq!(client.store(&command, name), "STORED");
            name.into()
        })
    };
    for _ in 0..10 {
        assert_eq!(read(&mut client), "Alice");
    }
    *database.lock().unwrap() = "Bob";
    assert_eq!(client.ask("delete user:7"), "DELETED");
    for _ in 0..10 {
        assert_eq!(read(&mut client), "Bob");
    }
    assert_eq!(asked, 2);
}

#[test]
fn add_lets_one_of_a_crowd_compute() {
    let server = start();
    let computed = AtomicU32::new(0);
    let values = crowd(&server, CROWD, |mut client| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = client.get("report") {
                return value;
            }
            if client.store("add report:lock 0 30 1", "x") == "STORED" {
                if client.get("report").is_none() {
                    computed.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(client.store("set report 0 300 4", "done"), "STORED");
                }
                assert_eq!(client.ask("delete report:lock"), "DELETED");
            }
            assert!(Instant::now() < deadline, "no value came");
            thread::yield_now();
        }
    });
    assert_eq!(values, vec!["done"; CROWD]);
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn the_win_token_lets_one_of_a_crowd_compute() {
    let server = start();
    let computed = AtomicU32::new(0);
    let values = crowd(&server, CROWD, |mut client| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (flags, value) = client.meta("mg report v c N30");
            if flags.iter().any(|flag| flag == "W") {
                computed.fetch_add(1, Ordering::Relaxed);
                let cas = flags[0].strip_prefix('c').unwrap();
                let command = format!("ms report 4 T300 C{cas}");
                assert_eq!(client.store(&command, "done"), "HD");
            } else if !value.is_empty() {
                return value;
            }
            assert!(Instant::now() < deadline, "no value came");
            thread::yield_now();
        }
    });
    assert_eq!(values, vec!["done"; CROWD]);
    assert_eq!(computed.into_inner(), 1);
}

#[test]
fn one_of_a_crowd_recomputes_and_the_others_are_served_stale() {
    let server = start();
    let mut owner = client(&server);
    assert_eq!(owner.store("ms report 3 T300", "old"), "HD");
    assert_eq!(owner.ask("md report I T30"), "HD");
    // The winner takes longer than all the others together.
    let answered = Barrier::new(CROWD);
    let answers = crowd(&server, CROWD, |mut client| {
        let answer = client.meta("mg report v c");
        answered.wait();
        if answer.0.iter().any(|flag| flag == "W") {
            let cas = answer.0[0].strip_prefix('c').unwrap();
            let command = format!("ms report 3 T300 C{cas}");
            assert_eq!(client.store(&command, "new"), "HD");
        }
        answer
    });
    assert!(answers.iter().all(|(_, value)| value == "old"));
    assert_eq!(count(&answers, "W"), 1);
    assert_eq!(count(&answers, "Z"), CROWD - 1);
    assert_eq!(count(&answers, "X"), CROWD);
    assert_eq!(owner.meta("mg report v"), (vec![], "new".into()));
}

#[test]
fn a_winner_that_was_overtaken_stores_nothing() {
    let server = start();
    let mut client = client(&server);
    client.store("ms report 3 T300", "old");
    client.ask("md report I T30");
    let (flags, _) = client.meta("mg report v c");
    let cas = flags[0].strip_prefix('c').unwrap();
    client.ask("md report I T30");
    let command = format!("ms report 4 T300 C{cas}");
    assert_eq!(client.store(&command, "late"), "EX");
    let (flags, value) = client.meta("mg report v");
    assert_eq!((flags.concat(), value), ("XW".into(), "old".into()));
}

#[test]
fn one_of_a_crowd_recaches_early() {
    let server = start();
    let mut owner = client(&server);
    assert_eq!(owner.store("ms report 3 T20", "old"), "HD");
    let early = crowd(&server, CROWD, |mut client| client.meta("mg report v R10"));
    assert!(early.iter().all(|answer| *answer == (vec![], "old".into())));
    let answers = crowd(&server, CROWD, |mut client| client.meta("mg report v R30"));
    assert!(answers.iter().all(|(_, value)| value == "old"));
    assert_eq!(count(&answers, "W"), 1);
    assert_eq!(count(&answers, "Z"), CROWD - 1);
    assert_eq!(owner.store("ms report 3 T300", "new"), "HD");
    assert_eq!(owner.meta("mg report v R30"), (vec![], "new".into()));
}

#[test]
fn cas_lets_no_write_be_lost() {
    let server = start();
    assert_eq!(client(&server).store("set stock 0 300 3", "500"), "STORED");
    crowd(&server, 10, |mut client| {
        for _ in 0..50 {
            loop {
                let (stock, cas) = client.gets("stock").unwrap();
                let less = (stock.parse::<u32>().unwrap() - 1).to_string();
                let command = format!("cas stock 0 300 {} {cas}", less.len());
                match client.store(&command, &less).as_str() {
                    "STORED" => break,
                    "EXISTS" => {}
                    other => panic!("{other}"),
                }
            }
        }
    });
    assert_eq!(client(&server).get("stock").unwrap(), "0");
}

#[test]
fn counters_give_every_client_its_own_number() {
    let server = start();
    let mut numbers = crowd(&server, CROWD, |mut client| {
        client.store("add hits 0 60 1", "0");
        let number: usize = client.ask("incr hits 1").parse().unwrap();
        number
    });
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=CROWD));
    let mut numbers = crowd(&server, CROWD, |mut client| {
        let number: usize = client.meta("ma rate N60 J1 v").1.parse().unwrap();
        number
    });
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=CROWD));
}

#[test]
fn a_tenant_is_dropped_for_all_and_what_each_stores_then_stays() {
    let server = start();
    let mut operator = client(&server);
    let number = AtomicU32::new(0);
    let numbered = || number.fetch_add(1, Ordering::Relaxed);
    let stored = crowd(&server, CROWD, |mut client| {
        let mine = numbered();
        let answers = ["t:7:", "t:70:"]
            .map(|tenant| client.store(&format!("set {tenant}{mine} 0 300 3"), "old"));
        answers == ["STORED", "STORED"]
    });
    assert!(stored.iter().all(|&stored| stored));
    assert_eq!(operator.ask("flush_prefix t:7:"), "OK");
    number.store(0, Ordering::Relaxed);
    let seen = crowd(&server, CROWD, |mut client| {
        let mine = numbered();
        let found = ["t:7:", "t:70:"].map(|tenant| client.get(&format!("{tenant}{mine}")));
        let stored = client.store(&format!("set t:7:{mine} 0 300 3"), "new");
        (found, stored, client.get(&format!("t:7:{mine}")))
    });
    for answer in seen {
        let kept = [None, Some("old".into())];
        assert_eq!(answer, (kept, "STORED".into(), Some("new".into())));
    }
}

#[test]
fn a_namespace_is_dropped_by_raising_its_version() {
    let server = start();
    let mut client = client(&server);
    let key = |client: &mut Client, name: &str| {
        let version = client.get("group").unwrap();
        format!("group:{version}:{name}")
    };
    assert_eq!(client.store("add group 0 0 10", "1760000000"), "STORED");
    for name in ["a", "b", "c"] {
        let command = format!("set {} 0 300 1", key(&mut client, name));
        assert_eq!(client.store(&command, name), "STORED");
    }
    let before = key(&mut client, "a");
    assert_eq!(client.get(&before).unwrap(), "a");
    assert_eq!(client.ask("incr group 1"), "1760000001");
    for name in ["a", "b", "c"] {
        let key = key(&mut client, name);
        assert_eq!(client.get(&key), None);
    }
    assert_eq!(client.get(&before).unwrap(), "a", "nobody asks for it now");
}
