//! `watch`: who is told what, and that nobody waits for it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;
mod support;

use common::{Talk, settings};
use nuthatch::base::events::{Event, Topics};
use nuthatch::base::settings::Settings;
use nuthatch::session::Session;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use support::Server;

const NUTHATCH: &str = env!("CARGO_BIN_EXE_nuthatch");

/// A client and one that watches it, in one thread and in their own time.
struct Watched {
    talk: Talk,
    watcher: Session,
}

impl Watched {
    fn new(settings: Settings, topics: &str) -> Self {
        let mut talk = Talk::new(settings);
        tap(&talk);
        let watcher = watch(&mut talk, topics);
        Self { talk, watcher }
    }

    /// What the watcher is told when the client sends `request`.
    fn told(&mut self, request: &[u8]) -> Vec<String> {
        self.talk.send(request);
        self.talk.reply.clear();
        self.hear()
    }

    fn hear(&mut self) -> Vec<String> {
        self.talk.shared.tell_watchers(&mut vec![]);
        self.talk.swap(&mut self.watcher);
        let lines = self.talk.ask(b"");
        self.talk.swap(&mut self.watcher);
        lines.lines().map(plain).collect()
    }
}

fn tap(talk: &Talk) {
    let bytes = talk.shared.settings.worker_logbuf_size as usize;
    talk.shared.store.events().tap(bytes, || 7_000_000);
}

/// A connection that watches; the talk goes on with another one.
fn watch(talk: &mut Talk, topics: &str) -> Session {
    let request = format!("watch {topics}\r\n");
    assert_eq!(talk.ask(request.as_bytes()), "OK\r\n");
    assert_eq!(talk.state_name(), "conn_watch");
    let mut session = Session::new(talk.shared.settings.services, &talk.shared.settings);
    talk.swap(&mut session);
    session
}

/// A line without what is not the same in every run: time, number, class.
fn plain(line: &str) -> String {
    let varies = |field: &&str| {
        let name = field.split('=').next();
        matches!(name, Some("ts" | "gid" | "clsid"))
    };
    let fields: Vec<_> = line.split(' ').filter(|field| !varies(field)).collect();
    fields.join(" ")
}

/// A binary request.
fn packet(opcode: u8, key: &[u8], extras: &[u8], value: &[u8]) -> Vec<u8> {
    let mut packet = vec![
        0x80,
        opcode,
        0,
        key.len() as u8,
        extras.len() as u8,
        0,
        0,
        0,
    ];
    let len = (extras.len() + key.len() + value.len()) as u32;
    packet.extend_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&[0; 12]);
    packet.extend_from_slice(&[extras, key, value].concat());
    packet
}

/// What memcached 1.6.45 tells of each request; `|` stands for a line's end.
const TOLD: &str = "\
> get a
item_get key=a status=not_found cfd=0 size=0
> set a 0 100 3|abc
item_get key=a status=not_found cfd=0 size=0
item_store key=a status=stored cmd=set ttl=100 cfd=0 size=3
> get a b
item_get key=a status=found cfd=0 size=3
item_get key=b status=not_found cfd=0 size=0
> gat 50 a
item_get key=a status=found cfd=0 size=3
> touch a 40
item_get key=a status=found cfd=0 size=3
> touch nope 40
item_get key=nope status=not_found cfd=0 size=0
> add a 0 0 1|x
item_get key=a status=found cfd=0 size=3
item_store key=a status=not_stored cmd=add ttl=0 cfd=0 size=1
> append a 0 7 2|zz
item_get key=a status=found cfd=0 size=3
item_store key=a status=stored cmd=append ttl=40 cfd=0 size=5
> prepend nope 0 7 2|zz
item_get key=nope status=not_found cfd=0 size=0
item_store key=nope status=not_stored cmd=prepend ttl=7 cfd=0 size=2
> cas a 0 0 1 999|q
item_get key=a status=found cfd=0 size=5
item_store key=a status=exists cmd=cas ttl=0 cfd=0 size=1
> cas nope 0 0 1 999|q
item_get key=nope status=not_found cfd=0 size=0
item_store key=nope status=not_found cmd=cas ttl=0 cfd=0 size=1
> incr nope 1
item_get key=nope status=not_found cfd=0 size=0
> incr a 1
item_get key=a status=found cfd=0 size=5
> delete a
item_get key=a status=found cfd=0 size=5
deleted key=a cmd=delete size=5
> delete a
item_get key=a status=not_found cfd=0 size=0
> set b%,# 0 0 1 noreply|x
item_get key=b%25%2C%23 status=not_found cfd=0 size=0
item_store key=b%25%2C%23 status=stored cmd=set ttl=0 cfd=0 size=1
> mg viv N30 v
item_get key=viv status=not_found cfd=0 size=0
> mg viv T80
item_get key=viv status=found cfd=0 size=0
> me viv
item_get key=viv status=found cfd=0 size=0
> ms m 2 T9|ab
item_get key=m status=not_found cfd=0 size=0
item_store key=m status=stored cmd=set ttl=9 cfd=0 size=2
> ms m 2 MA|cd
item_get key=m status=found cfd=0 size=2
item_store key=m status=stored cmd=append ttl=9 cfd=0 size=4
> ms m 2 MR C1|ab
item_get key=m status=found cfd=0 size=4
item_store key=m status=exists cmd=cas ttl=0 cfd=0 size=2
> ma cnt N0 J13
item_get key=cnt status=not_found cfd=0 size=0
item_get key=cnt status=not_found cfd=0 size=0
item_store key=cnt status=stored cmd=add ttl=0 cfd=0 size=2
> ma cnt
item_get key=cnt status=found cfd=0 size=2
> md m I
item_get key=m status=found cfd=0 size=4
> md m
item_get key=m status=found cfd=0 size=4
deleted key=m cmd=md size=4
> md m
item_get key=m status=not_found cfd=0 size=0
> md a x I
item_get key=a status=not_found cfd=0 size=0
> md viv x I T9
item_get key=viv status=found cfd=0 size=0
item_get key=viv status=found cfd=0 size=0
item_store key=viv status=stored cmd=set ttl=9 cfd=0 size=0
> md cnt x
item_get key=cnt status=found cfd=0 size=2
item_get key=cnt status=found cfd=0 size=2
item_store key=cnt status=stored cmd=set ttl=0 cfd=0 size=0
deleted key=cnt cmd=md size=0
";

//= watch.lines
//= watch.fetchers
//= watch.keys
#[test]
fn each_request_is_told_as_memcached_tells_it() {
    let mut watched = Watched::new(settings(), "fetchers mutations deletions");
    for block in TOLD.split("> ").skip(1) {
        let (request, lines) = block.split_once('\n').unwrap();
        let bytes = format!("{}\r\n", request.replace('|', "\r\n"));
        let expected: Vec<_> = lines.lines().map(|line| format!("type={line}")).collect();
        assert_eq!(watched.told(bytes.as_bytes()), expected, "{request}");
    }
}

#[test]
fn binary_requests_are_told_too() {
    let mut watched = Watched::new(settings(), "fetchers mutations deletions");
    let exptime = 30_u32.to_be_bytes();
    let storing = [&[0; 4][..], &exptime].concat();
    let counting = [&1_u64.to_be_bytes()[..], &10_u64.to_be_bytes(), &[0; 4]].concat();
    let set = packet(0x01, b"k", &storing, b"val");
    let (delete, touch) = (
        packet(0x04, b"k", &[], b""),
        packet(0x1c, b"k", &exptime, b""),
    );
    let get = |found, size| format!("type=item_get key=k status={found} cfd=0 size={size}");
    let stored = "type=item_store key=k status=stored cmd=set ttl=30 cfd=0 size=3";
    assert_eq!(watched.told(&set), [&get("not_found", 0), stored]);
    assert_eq!(
        watched.told(&packet(0x00, b"k", &[], b"")),
        [get("found", 3)]
    );
    assert_eq!(watched.told(&touch), [get("found", 3)]);
    let mut compared = set.clone();
    compared[23] = 77;
    let exists = "type=item_store key=k status=exists cmd=cas ttl=30 cfd=0 size=3";
    assert_eq!(watched.told(&compared), [&get("found", 3), exists]);
    let deleted = "type=deleted key=k cmd=delete size=3";
    assert_eq!(watched.told(&delete), [&get("found", 3), deleted]);
    let created = "type=item_store key=k status=stored cmd=add ttl=0 cfd=0 size=2";
    let count = packet(0x05, b"k", &counting, b"");
    let missed = get("not_found", 0);
    assert_eq!(watched.told(&count), [&missed, &missed, created]);
}

#[test]
fn a_value_that_is_refused_is_told_with_its_verb_and_nothing_else() {
    let mut watched = Watched::new(settings(), "mutations");
    let value = "v".repeat(2_000_000);
    let told =
        |verb| format!("type=item_store key=k status=too_large cmd={verb} ttl=0 cfd=0 size=0");
    for (line, verb) in [
        ("set k 0 9 2000000", "set"),
        ("add k 0 9 2000000", "add"),
        ("ms k 2000000 ME T9", "add"),
    ] {
        let request = format!("{line}\r\n{value}\r\n");
        assert_eq!(watched.told(request.as_bytes()), [told(verb)], "{line}");
    }
    watched.talk.reconnect();
    let replace = packet(0x03, b"k", &[0; 8], value.as_bytes());
    assert_eq!(watched.told(&replace), [told("replace")]);
}

#[test]
fn a_value_that_comes_in_pieces_is_told_when_it_is_whole() {
    let mut watched = Watched::new(settings(), "fetchers mutations");
    assert!(watched.told(b"set k 0 0 6\r\nabc").is_empty());
    let lines = watched.told(b"def\r\n");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].ends_with("status=stored cmd=set ttl=0 cfd=0 size=6"));
    // One that does not end as it should was not stored.
    assert!(watched.told(b"set k 0 0 6\r\nabcdefgh").is_empty());
}

#[test]
fn watching_changes_no_statistics() {
    let run = |topics: Option<&str>| {
        let mut talk = Talk::new(settings());
        tap(&talk);
        let _watcher = topics.map(|topics| watch(&mut talk, topics));
        talk.ask(b"set gone 0 -1 1\r\nx\r\nget gone\r\n");
        talk.ask(b"set k 0 1 1\r\nx\r\n");
        talk.sleep(2);
        talk.ask(b"get k\r\nset k 0 0 1\r\nx\r\nget k nil\r\ndelete k\r\nflush_all\r\n");
        let names = [
            "get_hits",
            "get_misses",
            "get_expired",
            "expired_unfetched",
            "delete_hits",
        ];
        names.map(|name| talk.stat(name))
    };
    assert_eq!(run(Some("fetchers mutations deletions")), run(None));
}

//= watch.before
#[test]
fn a_watcher_is_told_what_it_has_asked_for_and_of_nothing_before() {
    let mut watched = Watched::new(settings(), "deletions");
    assert!(watched.told(b"set k 0 0 1\r\nx\r\nget k\r\n").is_empty());
    assert_eq!(watched.told(b"delete k\r\n").len(), 1);
    // The event is recorded for the first, and the second comes before it is told.
    watched.talk.ask(b"set k 0 0 1\r\nx\r\ndelete k\r\n");
    let mut second = watch(&mut watched.talk, "deletions fetchers");
    assert_eq!(watched.hear().len(), 1);
    watched.talk.swap(&mut second);
    assert_eq!(watched.talk.ask(b""), "");
    watched.talk.swap(&mut second);
    assert_eq!(watched.told(b"set k 0 0 1\r\nx\r\ndelete k\r\n").len(), 1);
    watched.talk.swap(&mut second);
    assert_eq!(watched.talk.ask(b"").lines().count(), 3);
}

//= watch.deaf
#[test]
fn what_a_watcher_sends_is_not_heard() {
    let mut talk = Talk::new(settings());
    tap(&talk);
    assert_eq!(talk.ask(b"watch\r\nversion\r\n"), "OK\r\n");
    assert_eq!(talk.ask(b"version\r\nwatch mutations\r\n"), "");
    assert_eq!((talk.unused.len(), talk.state_name()), (0, "conn_watch"));
    assert!(!talk.shared.store.events().wants(Topics::MUTATIONS));
}

//= watch.words
//= watch.nothing
#[test]
fn kinds_of_events_may_be_cut_short_and_some_have_none() {
    let mut watched = Watched::new(settings(), "m rawcmds proxyreqs");
    assert_eq!(watched.told(b"set k 0 0 1\r\nx\r\nget k\r\n").len(), 1);
    for words in ["x", "fetchersx", "fetchers x", "FETCHERS"] {
        let request = format!("watch {words}\r\n");
        assert_eq!(watched.talk.ask(request.as_bytes()), "ERROR\r\n");
    }
}

#[test]
fn a_pipeline_may_end_in_watch() {
    let mut talk = Talk::new(settings());
    let pipeline = b"get a\r\nwatch\r\nget b\r\n";
    assert_eq!(talk.ask(pipeline), "END\r\nOK\r\n");
}

//= watch.many
#[test]
fn twenty_may_watch_and_nothing_is_recorded_when_all_are_gone() {
    let mut talk = Talk::new(settings());
    tap(&talk);
    let mut watchers: Vec<_> = (0..20).map(|_| watch(&mut talk, "evictions")).collect();
    let refused = "WATCHER_TOO_MANY log watcher limit reached\r\n";
    assert_eq!(talk.ask(b"watch\r\n"), refused);
    assert_eq!(talk.stat("log_watchers"), 20);
    watchers.pop();
    watchers.push(watch(&mut talk, "mutations"));
    let wants = |talk: &Talk, topics| talk.shared.store.events().wants(topics);
    assert!(wants(&talk, Topics::MUTATIONS) && wants(&talk, Topics::EVICTIONS));
    watchers.pop();
    assert!(!wants(&talk, Topics::MUTATIONS) && wants(&talk, Topics::EVICTIONS));
    watchers.clear();
    assert!(!wants(&talk, Topics::EVICTIONS));
    assert_eq!(talk.stat("log_watchers"), 0);
}

fn page_moves(talk: &Talk, sources: std::ops::Range<u8>) {
    for source in sources {
        let event = Event::PageMove {
            source,
            target: 0,
            is_done: true,
        };
        talk.shared.store.events().record(0, event);
    }
    talk.shared.tell_watchers(&mut vec![]);
}

//= watch.skipped
#[test]
fn what_a_slow_watcher_misses_is_counted_and_told_before_the_next_line() {
    let mut talk = Talk::new(Settings {
        watcher_logbuf_size: 1 << 10,
        ..settings()
    });
    tap(&talk);
    let mut watcher = watch(&mut talk, "sysevents");
    page_moves(&talk, 0..60);
    assert_eq!(talk.pokes.load(Ordering::Relaxed), 1, "one poke for all");
    let (sent, skipped) = (
        talk.stat("log_watcher_sent"),
        talk.stat("log_watcher_skipped"),
    );
    assert_eq!((sent + skipped, talk.stat("log_worker_written")), (60, 60));
    assert!((10..20).contains(&sent), "{sent} lines are a kilobyte");
    talk.swap(&mut watcher);
    assert_eq!(talk.ask(b"").lines().count() as u64, sent);
    page_moves(&talk, 60..62);
    let lines = talk.ask(b"");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines[0], format!("skipped={skipped}"));
    assert!(lines[1].contains(" src=60 ") && lines[2].contains(" src=61 "));
    assert_eq!(talk.pokes.load(Ordering::Relaxed), 2);
    talk.swap(&mut watcher);
    talk.ask(b"stats reset\r\n");
    assert_eq!(talk.stat("log_watcher_sent"), 0);
}

#[test]
fn events_that_find_no_room_in_a_ring_are_counted() {
    let mut talk = Talk::new(Settings {
        worker_logbuf_size: 4 << 10,
        ..settings()
    });
    tap(&talk);
    let _watcher = watch(&mut talk, "sysevents");
    page_moves(&talk, 0..100);
    let written = talk.stat("log_worker_written");
    assert!((10..20).contains(&written), "{written}");
    assert_eq!(talk.stat("log_worker_dropped"), 100 - written);
}

// ---- With sockets.

struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n").as_bytes());
        self.line()
    }

    fn port(&self) -> String {
        self.0.get_ref().local_addr().unwrap().port().to_string()
    }

    /// The next line of the type about the client with this port. Whoever waited for the server to
    /// start was a client, too, and may be told of now.
    fn event_about(&mut self, kind: &str, port: &str) -> String {
        let lines = std::iter::repeat_with(|| self.line());
        let mut about = lines.filter(|line| field(line, "rport") == port);
        let line = about.next().unwrap();
        assert!(line.contains(&format!(" type={kind} ")), "{kind}: {line}");
        line
    }

    /// The next line, which must be of the type.
    fn event(&mut self, kind: &str) -> String {
        let line = self.line();
        assert!(line.contains(&format!(" type={kind} ")), "{kind}: {line}");
        line
    }
}

fn connect(server: &Server) -> Client {
    Client(BufReader::new(server.connect()))
}

fn watcher(server: &Server, topics: &str) -> Client {
    let mut watcher = connect(server);
    assert_eq!(watcher.ask(&format!("watch {topics}")), "OK\r\n");
    watcher
}

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let mut fields = line.trim_end().split(' ');
    let value = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}: {line}"))
}

//= watch.connections
#[test]
fn connections_are_told_when_they_come_and_why_they_go() {
    let server = Server::start(NUTHATCH, &["-o", "idle_timeout=1"]);
    let mut watcher = watcher(&server, "connevents");
    for (last_words, reason) in [
        (Some("quit\r\n"), "normal"),
        (Some("GET / HTTP/1.1\r\n"), "error"),
        (Some(""), "normal"),
        (None, "idle_timeout"),
    ] {
        let mut client = connect(&server);
        let port = client.port();
        let came = watcher.event_about("conn_new", &port);
        let from = ["rip", "transport"].map(|name| field(&came, name));
        assert_eq!(from, ["127.0.0.1", "tcp"]);
        let kept = match last_words {
            None => Some(client),
            Some(words) => {
                client.say(words.as_bytes());
                drop(client);
                None
            }
        };
        let went = watcher.event_about("conn_close", &port);
        assert_eq!(field(&went, "reason"), reason);
        for name in ["rip", "rport", "transport", "cfd"] {
            assert_eq!(field(&went, name), field(&came, name));
        }
        drop(kept);
    }
}

//= watch.cfd
#[test]
fn a_descriptor_is_the_one_of_stats_conns() {
    let server = Server::start(NUTHATCH, &[]);
    let mut watcher = watcher(&server, "fetchers");
    let mut client = connect(&server);
    let address = format!(":addr tcp:127.0.0.1:{}\r\n", client.port());
    client.say(b"stats conns\r\n");
    let (mut fd, mut line) = (String::new(), client.line());
    while line != "END\r\n" {
        let of = line.trim_start_matches("STAT ").split(':').next().unwrap();
        if line.ends_with(&address) {
            fd = of.to_owned();
        }
        line = client.line();
    }
    assert_eq!(client.ask("get nil"), "END\r\n");
    assert_eq!(field(&watcher.event("item_get"), "cfd"), fd);
}

//= watch.evictions
#[test]
fn each_eviction_is_told_once() {
    // A ring and a buffer that hold them all.
    let sizes = "worker_logbuf_size=4096,watcher_logbuf_size=4096";
    let server = Server::start(NUTHATCH, &["-t", "1", "-m", "8", "-o", sizes]);
    let mut watcher = watcher(&server, "evictions");
    let mut client = connect(&server);
    let value = "v".repeat(5_000);
    for number in 0..4_000 {
        client.say(format!("set key-{number} 0 600 5000 noreply\r\n{value}\r\n").as_bytes());
    }
    assert!(client.ask("version").starts_with("VERSION"));
    let stats = server.stats();
    assert_eq!(stats["log_worker_dropped"], "0");
    let evictions: usize = stats["evictions"].parse().unwrap();
    assert!(evictions > 2_000, "{evictions}");
    let mut keys = std::collections::HashSet::new();
    for _ in 0..evictions {
        let line = watcher.event("eviction");
        let of = ["fetch", "size"].map(|name| field(&line, name));
        assert_eq!(of, ["no", "5000"]);
        let (ttl, idle) = (field(&line, "ttl"), field(&line, "la"));
        let (ttl, idle): (u32, u32) = (ttl.parse().unwrap(), idle.parse().unwrap());
        assert!((500..=600).contains(&ttl) && idle <= 100, "{line}");
        assert!(keys.insert(field(&line, "key").to_owned()), "{line}");
        // It is gone.
        assert_eq!(client.ask(&format!("mg {}", field(&line, "key"))), "EN\r\n");
    }
}

#[test]
fn a_watcher_that_does_not_read_holds_nobody_up_and_no_more_than_it_may() {
    let server = Server::start(NUTHATCH, &["-t", "1", "-o", "watcher_logbuf_size=64"]);
    let mut watcher = watcher(&server, "fetchers");
    let mut client = connect(&server);
    // Until the sockets take no more, and then what the watcher may have.
    let gets = format!("get {}\r\n", "k".repeat(240)).repeat(100);
    let held = || {
        let stats = server.stats();
        let all_sent = stats["log_watcher_skipped"] == "0";
        let held: u64 = stats["conn_held_bytes"].parse().unwrap();
        if all_sent { 0 } else { held }
    };
    let mut rounds = 0;
    while held() < 64 << 10 {
        rounds += 1;
        assert!(rounds < 100, "300 MB of lines wait somewhere else");
        for _ in 0..100 {
            client.say(gets.as_bytes());
            for _ in 0..100 {
                assert_eq!(client.line(), "END\r\n");
            }
        }
    }
    assert!(held() < 1 << 20, "{}", held());
    // The line that tells what is missing comes before one that finds room, so there must be new
    // ones while the old are read.
    let is_notice = |line: &str| line.starts_with("skipped=");
    loop {
        assert_eq!(client.ask("get another"), "END\r\n");
        let line = watcher.line();
        if is_notice(&line) {
            break;
        }
    }
    watcher.event("item_get");
}

/// The requests of [`TOLD`] that memcached 1.6.18, which is Debian's, tells as 1.6.45 does.
fn old_requests() -> impl Iterator<Item = &'static str> {
    let requests = TOLD.lines().filter_map(|line| line.strip_prefix("> "));
    requests.filter(|request| !request.starts_with("md ") || !request.contains('x'))
}

/// What a server tells of each of those requests, from the coming of the client on.
fn told_by(binary: &str) -> Vec<Vec<String>> {
    let server = Server::start(binary, &[]);
    let mut watcher = watcher(&server, "fetchers mutations connevents");
    let mut client = connect(&server);
    let port = client.port();
    let mut told = vec![vec![watcher.event_about("conn_new", &port)]];
    for (number, request) in old_requests().enumerate() {
        let request = request.replace('|', "\r\n");
        // The fence: what is told before it belongs to the request.
        client.say(format!("{request}\r\nget fence-{number}\r\n").as_bytes());
        let fence = format!(" key=fence-{number} ");
        let lines = std::iter::repeat_with(|| watcher.line());
        let before = lines.take_while(|line| !line.contains(&fence));
        told.push(before.filter(|line| !line.contains(" rport=")).collect());
    }
    client.say(b"quit\r\n");
    told.push(vec![watcher.event_about("conn_close", &port)]);
    told
}

#[test]
#[ignore = "needs memcached; scripts/test installs it and runs this"]
fn memcached_tells_the_same() {
    let peer = std::env::var("PEER_A").unwrap_or_else(|_| "memcached".into());
    let [theirs, ours] = [told_by(&peer), told_by(NUTHATCH)].map(|told| {
        let lines = told
            .iter()
            .map(|lines| lines.iter().map(|line| comparable(line)).collect());
        lines.collect::<Vec<Vec<_>>>()
    });
    assert_eq!(theirs.len(), ours.len());
    let requests = old_requests().map(Some);
    let requests = std::iter::once(None).chain(requests).chain(Some(None));
    for ((request, theirs), ours) in requests.zip(theirs).zip(ours) {
        assert_eq!(ours, theirs, "{request:?}");
    }
}

/// A line without what two servers need not have in common: a second may pass on one of them, too.
fn comparable(line: &str) -> String {
    let line = plain(line.trim_end());
    let fields = line
        .split(' ')
        .filter_map(|field| match field.split_once('=') {
            Some(("cfd" | "rport", _)) => None,
            Some(("ttl", seconds)) if seconds != "0" => Some("ttl"),
            _ => Some(field),
        });
    fields.collect::<Vec<_>>().join(" ")
}
