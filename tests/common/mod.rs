//! A client and a server in one thread: a session fed by hand, without sockets, in its own time.
#![allow(dead_code, reason = "each test uses its part of this")]

use nuthatch::base::clock::{Clock, Now};
use nuthatch::base::settings::Settings;
use nuthatch::session::{
    ConnectionId, Context, Host, INPUT_MAX, OUTPUT_MAX, Output, Progress, Session, Shared,
};
use nuthatch::stats::SocketReport;
use nuthatch::store::{Lane, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A process that is nothing but a number, and counts how often it was asked to wake a connection.
#[derive(Default)]
struct Nobody {
    pokes: Arc<AtomicUsize>,
}

impl Host for Nobody {
    fn rusage_us(&self) -> (u64, u64) {
        (1_500_000, 250_000)
    }

    fn pid(&self) -> u32 {
        42
    }

    fn sockets_after(&self, fd: i32, _most: usize) -> Vec<SocketReport> {
        let socket = SocketReport {
            fd: 7,
            is_udp: false,
            address: "tcp:127.0.0.1:5000".into(),
            listen_address: Some("tcp:127.0.0.1:11211".into()),
            state: "conn_parse_cmd",
            last_active: 0,
        };
        Some(socket)
            .filter(|socket| socket.fd > fd)
            .into_iter()
            .collect()
    }

    fn poke(&self, _connection: ConnectionId) {
        self.pokes.fetch_add(1, Ordering::Relaxed);
    }

    fn set_verbosity(&self, _level: u8) {}
}

/// Settings under which two runs give the same answers.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings {
        threads: 1,
        ..Settings::default()
    };
    settings.store.hash_seed = Some(1);
    settings
}

/// One connection to a store of its own.
pub(crate) struct Talk {
    pub(crate) shared: Shared,
    lane: Lane,
    session: Session,
    out: Output,
    /// Input that the session has not used up.
    pub(crate) unused: Vec<u8>,
    /// What the client has read and not looked at.
    pub(crate) reply: Vec<u8>,
    /// How the session ended, once it has.
    pub(crate) ended: Option<Progress>,
    /// The time; starts at memcached's two seconds of uptime.
    pub(crate) now: Now,
    /// The most output that was ever waiting.
    pub(crate) pending_max: usize,
    /// Times the session gave way.
    pub(crate) yields: u32,
    /// Times somebody poked the connection.
    pub(crate) pokes: Arc<AtomicUsize>,
}

impl Talk {
    pub(crate) fn new(settings: Settings) -> Self {
        let store = Store::new(&settings.store, 1).unwrap();
        let lane = store.lane(0);
        let session = Session::new(settings.services, &settings);
        let host = Nobody::default();
        Self {
            pokes: Arc::clone(&host.pokes),
            shared: Shared::new(settings, store, Clock::new(0), Box::new(host)),
            lane,
            session,
            out: Output::default(),
            unused: vec![],
            reply: vec![],
            ended: None,
            now: Now::at_second(2),
            pending_max: 0,
            yields: 0,
        }
    }

    /// A new connection to the same store.
    pub(crate) fn reconnect(&mut self) {
        self.session.hang_up(&mut self.lane);
        self.session = Session::new(self.shared.settings.services, &self.shared.settings);
        self.out.reset(0);
        self.unused.clear();
        self.ended = None;
    }

    /// Another connection to the same store: the one that `other` holds, which gets this one.
    pub(crate) fn swap(&mut self, other: &mut Session) {
        std::mem::swap(&mut self.session, other);
    }

    /// Lets time pass, with the background work that the server would do meanwhile.
    pub(crate) fn sleep(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds);
        while self.lane.maintain(self.now) {}
    }

    /// Sends bytes and reads all that comes back.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.ended.is_some() {
            return;
        }
        self.unused.extend_from_slice(bytes);
        while self.step() {}
    }

    /// One call of the session; whether it wants another one.
    fn step(&mut self) -> bool {
        let mut context = Context {
            shared: &self.shared,
            lane: &mut self.lane,
            counters: &self.shared.counters[0],
            now: self.now,
            connection: ConnectionId::default(),
        };
        let advance = self
            .session
            .advance(&mut context, &self.unused, &mut self.out);
        self.unused.drain(..advance.consumed);
        self.pending_max = self.pending_max.max(self.out.pending());
        if advance.progress == Progress::Full {
            assert!(self.out.pending() > OUTPUT_MAX);
        }
        self.read();
        match advance.progress {
            Progress::NeedInput => {
                assert!(self.unused.len() < INPUT_MAX, "input is left lying");
                false
            }
            Progress::Yield => {
                self.yields += 1;
                true
            }
            Progress::Full => true,
            Progress::Close
            | Progress::Quit
            | Progress::Barred { .. }
            | Progress::Shutdown { .. } => {
                self.ended = Some(advance.progress);
                false
            }
        }
    }

    /// Reads all output, in pieces as a socket would take them.
    fn read(&mut self) {
        let mut size = 1;
        while !self.out.is_empty() {
            let front = self.out.front();
            assert!(!front.is_empty(), "output is pending and none is offered");
            let piece = front.len().min(size);
            self.reply.extend_from_slice(&front[..piece]);
            self.out.advance(piece);
            size = size * 2 + 1;
        }
        assert!(self.out.front().is_empty());
    }

    /// Sends bytes and returns the answer.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> String {
        self.send(bytes);
        String::from_utf8_lossy(&std::mem::take(&mut self.reply)).into_owned()
    }

    /// The value of a statistic.
    pub(crate) fn stat(&mut self, name: &str) -> u64 {
        let answer = self.ask(b"stats\r\n");
        let prefix = format!("STAT {name} ");
        let line = answer.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    pub(crate) fn state_name(&self) -> &'static str {
        self.session.state_name()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.session.hang_up(&mut self.lane);
    }
}

/// A small generator, the same in every run for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
