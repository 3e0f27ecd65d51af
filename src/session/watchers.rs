//! Who watches, and how what has happened gets to them.
//!
//! ```text
//!   events ── drain ──▶ one line each ──▶ a watcher's letter ── push ──▶ its feed ──▶ its client
//!                                           │ no room: the line is skipped and counted
//! ```
//!
//! One thread of `server` does this, a pass at a time. What waits for a client that does not read
//! has a bound, and then lines are skipped: the next one that finds room comes after a line that
//! says how many are missing.

use crate::base::events::{Drained, Record, Topics};
use crate::protocol::text::events::{push_event, push_skipped};
use crate::session::feed::Feed;
use crate::session::host::{ConnectionId, Host};
use crate::store::Store;
use parking_lot::Mutex;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections that may watch at a time: memcached's limit.
pub(super) const WATCHERS_MAX: usize = 20;

/// Bytes of lines that go to a client's feed together.
const PIECE_LEN: usize = 16 << 10;

/// Room for the line that tells of skipped ones.
const SKIPPED_LEN: usize = 32;

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Events that were told.
    pub(super) written: u64,
    /// Events that were lost before.
    pub(super) dropped: u64,
    /// Lines for all watchers.
    pub(super) sent: u64,
    /// Lines for which a watcher had no room.
    pub(super) skipped: u64,
}

/// One who watches.
#[derive(Debug)]
struct Watcher {
    topics: Topics,
    /// Events with numbers up to this one were before its time.
    since: u64,
    /// Lines that it has missed and not been told of.
    skipped: AtomicU64,
    feed: Feed,
}

impl Watcher {
    fn wants(&self, record: &Record) -> bool {
        record.number > self.since && self.topics.meet(record.event.topic())
    }
}

/// All who watch.
pub(super) struct Watchers {
    store: Arc<Store>,
    /// Held for a moment: to come, to go, and once a pass to look.
    list: Mutex<Vec<Arc<Watcher>>>,
}

impl Watchers {
    /// Nobody yet; `store` has the events.
    pub(super) fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            list: Mutex::default(),
        })
    }

    /// How many they are.
    pub(super) fn count(&self) -> usize {
        self.list.lock().len()
    }

    /// Has `connection` told of what happens from now on, while at most `bytes_max` bytes wait for
    /// it. `None` if too many watch already.
    pub(super) fn admit(
        self: &Arc<Self>,
        connection: ConnectionId,
        topics: Topics,
        bytes_max: usize,
    ) -> Option<Subscription> {
        let events = self.store.events();
        let mut list = self.list.lock();
        if list.len() >= WATCHERS_MAX {
            return None;
        }
        let watcher = Arc::new(Watcher {
            topics,
            since: events.next_number(),
            skipped: AtomicU64::new(0),
            feed: Feed::new(connection, bytes_max),
        });
        list.push(Arc::clone(&watcher));
        self.set_interest(&list);
        drop(list);
        events.wake_drainer();
        Some(Subscription {
            watcher,
            watchers: Arc::clone(self),
        })
    }

    /// Tells them what has happened since the last pass; `records` is room to work in.
    pub(super) fn tell(&self, host: &dyn Host, records: &mut Vec<Record>) -> Pass {
        let Drained { written, dropped } = self.store.events().drain(records);
        // After the drain: whoever is meant by an event that is drained is on the list by now.
        let list = self.list.lock().clone();
        let mut letters: Vec<_> = list.into_iter().map(Letter::to).collect();
        let mut line = vec![];
        for record in records.iter() {
            line.clear();
            push_event(&mut line, record);
            let wanting = letters.iter_mut().filter(|to| to.watcher.wants(record));
            wanting.for_each(|letter| letter.add(&line, host));
        }
        letters.iter_mut().for_each(|letter| letter.send(host));
        Pass {
            written,
            dropped,
            sent: letters.iter().map(|letter| letter.sent).sum(),
            skipped: letters.iter().map(|letter| letter.skipped).sum(),
        }
    }

    fn dismiss(&self, watcher: &Arc<Watcher>) {
        let mut list = self.list.lock();
        list.retain(|other| !Arc::ptr_eq(other, watcher));
        self.set_interest(&list);
    }

    fn set_interest(&self, list: &[Arc<Watcher>]) {
        let topics = list.iter().map(|watcher| watcher.topics);
        let all = topics.fold(Topics::NONE, |all, topics| all | topics);
        self.store.events().set_interest(all);
    }
}

/// A connection's part of watching; when it is dropped, that is over.
pub(super) struct Subscription {
    watcher: Arc<Watcher>,
    watchers: Arc<Watchers>,
}

impl Subscription {
    /// What the connection is to be told.
    pub(super) fn feed(&self) -> &Feed {
        &self.watcher.feed
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.watchers.dismiss(&self.watcher);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.watcher.fmt(f)
    }
}

/// The lines of one pass for one watcher.
struct Letter {
    watcher: Arc<Watcher>,
    lines: Vec<u8>,
    sent: u64,
    skipped: u64,
}

impl Letter {
    fn to(watcher: Arc<Watcher>) -> Self {
        Self {
            watcher,
            lines: vec![],
            sent: 0,
            skipped: 0,
        }
    }

    fn add(&mut self, line: &[u8], host: &dyn Host) {
        let watcher = &self.watcher;
        if self.lines.len() + SKIPPED_LEN + line.len() > watcher.feed.room() {
            watcher.skipped.fetch_add(1, Ordering::Relaxed);
            self.skipped += 1;
            return;
        }
        let missing = watcher.skipped.swap(0, Ordering::Relaxed);
        if missing > 0 {
            push_skipped(&mut self.lines, missing);
        }
        self.lines.extend_from_slice(line);
        self.sent += 1;
        if self.lines.len() >= PIECE_LEN {
            self.send(host);
        }
    }

    fn send(&mut self, host: &dyn Host) {
        let lines = mem::take(&mut self.lines);
        if !lines.is_empty() {
            self.watcher.feed.push(host, lines.into());
        }
    }
}
