//! A session and its surroundings, without sockets: what the session benches drive.
#![allow(dead_code, reason = "each bench uses its part of this")]

use nuthatch::base::clock::{Clock, Now};
use nuthatch::base::services::Services;
use nuthatch::base::settings::Settings;
use nuthatch::session::{ConnectionId, Context, Host, Output, Progress, Session, Shared};
use nuthatch::stats::SocketReport;
use nuthatch::store::{Lane, Store};

/// A process that is nothing but a number.
struct Nobody;

impl Host for Nobody {
    fn rusage_us(&self) -> (u64, u64) {
        (0, 0)
    }

    fn pid(&self) -> u32 {
        1
    }

    fn set_verbosity(&self, _level: u8) {}

    fn sockets_after(&self, _fd: i32, _most: usize) -> Vec<SocketReport> {
        vec![]
    }

    fn poke(&self, _connection: ConnectionId) {}
}

/// One connection, fed by hand.
pub(crate) struct Talk {
    shared: Shared,
    lane: Lane,
    session: Session,
    output: Output,
}

impl Talk {
    /// A connection to an empty store of `megabytes`.
    pub(crate) fn new(megabytes: u64) -> Self {
        let mut settings = Settings {
            threads: 1,
            requests_per_event: 1000,
            ..Settings::default()
        };
        settings.store.memory_limit = megabytes << 20;
        settings.store.hash_seed = Some(1);
        let store = Store::new(&settings.store, 1).expect("memory is there");
        let lane = store.lane(0);
        let session = Session::new(Services::MEMCACHED, &settings);
        let shared = Shared::new(settings, store, Clock::new(0), Box::new(Nobody));
        Self {
            shared,
            lane,
            session,
            output: Output::default(),
        }
    }

    /// A new connection to the same store, which may speak another protocol.
    pub(crate) fn reconnect(&mut self) {
        self.session.hang_up(&mut self.lane);
        self.session = Session::new(Services::MEMCACHED, &self.shared.settings);
    }

    /// Runs all of `input`, throws the replies away and returns their length.
    pub(crate) fn say(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        let mut replied = 0;
        loop {
            let mut context = Context {
                shared: &self.shared,
                lane: &mut self.lane,
                counters: &self.shared.counters[0],
                now: Now::at_second(10),
                connection: ConnectionId::default(),
            };
            let step = self
                .session
                .advance(&mut context, &input[at..], &mut self.output);
            at += step.consumed;
            replied += self.output.pending();
            self.output.reset(512 << 10);
            if step.progress == Progress::NeedInput {
                assert_eq!(at, input.len(), "whole requests only");
                return replied;
            }
        }
    }
}
