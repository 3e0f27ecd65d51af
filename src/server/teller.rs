//! The thread that tells those who watch what has happened.
//!
//! It sleeps while nobody watches. While somebody does it looks after the rings at short intervals,
//! and at once when one is half full.

use crate::server::hub::Hub;
use crate::session::Shared;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How late a line is at most, where little happens. A hundred looks a second at a few empty rings
/// are a thousandth of a processor.
const PAUSE: Duration = Duration::from_millis(10);

/// Lets events be recorded: before there are threads, as a client may watch at once.
pub(crate) fn prepare(shared: &Shared) {
    let ring_bytes = shared.settings.worker_logbuf_size as usize;
    shared.store.events().tap(ring_bytes, unix_us);
}

/// The wall clock in microseconds since 1970; 0 for a clock set before that.
fn unix_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Tells watchers until the server stops, which unparks this thread as the first watcher does.
pub(crate) fn run(hub: &Hub) {
    let shared = &hub.shared;
    let events = shared.store.events();
    events.set_drainer(thread::current());
    let mut records = vec![];
    while !hub.is_stopping() {
        events.heed_wakes();
        if shared.is_watched() {
            shared.tell_watchers(&mut records);
            thread::park_timeout(PAUSE);
        } else {
            records = vec![];
            thread::park();
        }
    }
}
