//! One thread of the load: an event loop, its connections, and when each may send.
//!
//! ```text
//!   idle connection ──due──▶ one batch, one write ──▶ replies, large reads ──all in──▶ idle
//! ```
//!
//! In a closed loop a batch is due whenever a connection is idle, and time counts from its write.
//! In an open loop requests are due at a fixed rate whether or not anybody is free, and time
//! counts from when each was due: a server that stalls is charged for all it kept waiting.

use crate::failure::Failure;
use crate::load::{Chooser, Content, KEY_SIZE_MAX, Part};
use crate::plan::{Plan, Workload};
use crate::replies::{Asked, Replies};
use crate::socket::Stream;
use crate::tally::Tally;
use crate::wire::{HEAD_MAX, Wire};
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A read takes at most this: as much as a socket's buffer usually holds.
const READ_LEN: usize = 256 << 10;

/// Without any sign of life for this long the server is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// The poll's own resolution: what is due sooner is waited for by polling without pause.
const SPIN: Duration = Duration::from_millis(2);

/// When requests are due.
#[derive(Debug)]
struct Pace {
    start: Instant,
    /// Requests that may still be sent.
    left: u64,
    until: Option<Instant>,
    /// Seconds from one request to the next, in an open loop.
    interval_s: Option<f64>,
    issued: u64,
}

impl Pace {
    fn of(plan: &Plan, part: Part, start: Instant) -> Self {
        Self {
            start,
            left: plan.requests.map_or(u64::MAX, |total| part.share(total)),
            until: plan.duration.map(|duration| start + duration),
            interval_s: plan.rate.map(|rate| part.of as f64 / rate),
            issued: 0,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.left == 0 || self.until.is_some_and(|until| now >= until)
    }

    /// Takes up to `most` requests that are due: the number of the first, and how many.
    fn take(&mut self, now: Instant, most: u64) -> Option<(u64, u64)> {
        if self.is_over(now) {
            return None;
        }
        let due = match self.interval_s {
            None => most,
            Some(interval) => {
                let passed = (now - self.start).as_secs_f64();
                ((passed / interval) as u64 + 1).saturating_sub(self.issued)
            }
        };
        let count = due.min(most).min(self.left);
        let first = self.issued;
        self.issued += count;
        self.left -= count;
        (count > 0).then_some((first, count))
    }

    /// When request `number` of an open loop is due.
    fn due(&self, number: u64) -> Option<Instant> {
        let interval = self.interval_s?;
        Some(self.start + Duration::from_secs_f64(interval * number as f64))
    }

    /// How long the loop may sleep if all that is outstanding stays so.
    fn nap(&self, now: Instant, can_send: bool) -> Duration {
        let next = match self.due(self.issued) {
            Some(due) if can_send && !self.is_over(now) => due.saturating_duration_since(now),
            _ => return Duration::from_secs(1),
        };
        if next < SPIN {
            return Duration::ZERO;
        }
        next.min(Duration::from_secs(1)) - SPIN / 2
    }
}

/// A connection and what it has under way.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    replies: Replies,
    out: Vec<u8>,
    written: usize,
    outstanding: usize,
    sent: Instant,
    /// The number of the oldest request without a reply.
    oldest: u64,
}

impl Connection {
    /// Writes what the socket takes; the rest follows when it says so.
    fn flush(&mut self, tally: &mut Tally) -> Result<(), Failure> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    tally.bytes_sent += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(lost("write to the server", error, tally)),
            }
        }
        Ok(())
    }
}

/// One thread's share of the load.
pub(crate) struct Engine<'p> {
    plan: &'p Plan,
    content: &'p Content,
    done: &'p AtomicU64,
    poll: Poll,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    input: Vec<u8>,
    composer: Composer,
    pace: Pace,
    tally: Tally,
}

/// Everything that the threads of a run share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) content: &'p Content,
    /// Operations done by all threads, for whoever looks on.
    pub(crate) done: &'p AtomicU64,
}

impl<'p> Engine<'p> {
    pub(crate) fn new(
        common: Common<'p>,
        part: Part,
        streams: Vec<Stream>,
    ) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::during("create a poll"))?;
        let plan = common.plan;
        let start = Instant::now();
        let mut connections = vec![];
        for (number, mut stream) in streams.into_iter().enumerate() {
            let registered = stream.register(poll.registry(), Token(number));
            registered.map_err(Failure::during("watch a socket"))?;
            connections.push(Connection {
                stream,
                replies: Replies::new(plan.wire, plan.verify),
                out: vec![],
                written: 0,
                outstanding: 0,
                sent: start,
                oldest: 0,
            });
        }
        Ok(Self {
            plan,
            content: common.content,
            done: common.done,
            poll,
            idle: (0..connections.len()).collect(),
            connections,
            input: vec![0; HEAD_MAX + READ_LEN],
            composer: Composer::new(plan, part),
            pace: Pace::of(plan, part, start),
            tally: Tally::new(),
        })
    }

    /// Runs until all is sent and answered.
    pub(crate) fn run(mut self) -> Result<Tally, Failure> {
        let mut events = Events::with_capacity(self.connections.len().clamp(16, 1024));
        let mut last_sign = Instant::now();
        loop {
            let now = Instant::now();
            self.issue(now)?;
            if self.idle.len() == self.connections.len() && self.pace.is_over(now) {
                return Ok(self.tally);
            }
            let nap = self.pace.nap(now, !self.idle.is_empty());
            match self.poll.poll(&mut events, Some(nap)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(Failure::during("poll")(error));
                }
                _ => {}
            }
            if !events.is_empty() || self.idle.len() == self.connections.len() {
                last_sign = now;
            } else if now - last_sign > PATIENCE {
                return Err(Failure::new("the server does not answer"));
            }
            let before = self.tally.operations();
            for event in &events {
                let number = event.token().0;
                if event.is_writable() {
                    self.connections[number].flush(&mut self.tally)?;
                }
                if event.is_readable() || event.is_read_closed() {
                    self.receive(number)?;
                }
            }
            let news = self.tally.operations() - before;
            self.done.fetch_add(news, Ordering::Relaxed);
        }
    }

    /// Gives every idle connection what is due.
    fn issue(&mut self, now: Instant) -> Result<(), Failure> {
        while let Some(&number) = self.idle.front() {
            let Some((first, count)) = self.pace.take(now, self.plan.depth as u64) else {
                return Ok(());
            };
            self.idle.pop_front();
            let connection = &mut self.connections[number];
            connection.out.clear();
            connection.written = 0;
            connection.outstanding = count as usize;
            connection.oldest = first;
            let asked = connection.replies.asked();
            let requests = (&mut connection.out, asked);
            self.composer.compose(self.content, count, requests);
            connection.sent = Instant::now();
            connection.flush(&mut self.tally)?;
        }
        Ok(())
    }

    /// Reads until the socket is empty: an edge that is not used up does not come again.
    fn receive(&mut self, number: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[number];
        loop {
            let kept = connection.replies.resume(&mut self.input);
            let result = connection.stream.read(&mut self.input[kept..]);
            let count = match result {
                Ok(0) => return Err(closed(&self.tally)),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost("read from the server", error, &self.tally)),
            };
            self.tally.bytes_received += count as u64;
            let input = &self.input[..kept + count];
            let finished = connection
                .replies
                .digest(input, self.content, &mut self.tally)?;
            if finished > connection.outstanding {
                return Err(Failure::new("the server answers what nobody asked"));
            }
            record(connection, finished, &self.pace, &mut self.tally);
            if finished > 0 && connection.outstanding == 0 {
                self.idle.push_back(number);
            }
            if count < self.input.len() - kept {
                return Ok(());
            }
        }
    }
}

/// Why a connection is of no more use.
fn lost(what: &str, error: io::Error, tally: &Tally) -> Failure {
    match error.kind() {
        // What was sent after the server hung up is answered so.
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => closed(tally),
        _ => Failure::during(what)(error),
    }
}

/// A server that hangs up may have said why, here or on another connection.
fn closed(tally: &Tally) -> Failure {
    let answer = match &tally.complaint {
        Some(complaint) => format!("; before, it answered `{complaint}`"),
        None => String::new(),
    };
    Failure::new(format!("the server closed a connection{answer}"))
}

/// Notes how long the next `finished` requests took.
fn record(connection: &mut Connection, finished: usize, pace: &Pace, tally: &mut Tally) {
    if finished == 0 {
        return;
    }
    let now = Instant::now();
    connection.outstanding -= finished;
    if pace.interval_s.is_none() {
        let took = (now - connection.sent).as_nanos() as u64;
        tally.latency_ns.record(took, finished as u64);
        return;
    }
    for _ in 0..finished {
        let due = pace.due(connection.oldest).unwrap_or(connection.sent);
        let took = now.saturating_duration_since(due).as_nanos() as u64;
        tally.latency_ns.record(took, 1);
        connection.oldest += 1;
    }
}

/// Writes batches of requests.
#[derive(Debug)]
struct Composer {
    wire: Wire,
    workload: Workload,
    chooser: Chooser,
    key: [u8; KEY_SIZE_MAX],
}

impl Composer {
    fn new(plan: &Plan, part: Part) -> Self {
        let seed = (part, plan.seed);
        Self {
            wire: plan.wire,
            workload: plan.workload,
            chooser: Chooser::new(&plan.choice, plan.keys, plan.hit_ratio, seed),
            key: [0; KEY_SIZE_MAX],
        }
    }

    fn compose(
        &mut self,
        content: &Content,
        count: u64,
        requests: (&mut Vec<u8>, Option<&mut VecDeque<Asked>>),
    ) {
        let (out, mut asked) = requests;
        for _ in 0..count {
            let is_get = match self.workload {
                Workload::Get => true,
                Workload::Set => false,
                Workload::Mixed { get_share } => self.chooser.toss(get_share),
            };
            if !is_get {
                let id = self.chooser.stored_key();
                let key = content.key(id, &mut self.key);
                self.wire.push_set(out, key, content.value(id));
                asked
                    .iter_mut()
                    .for_each(|asked| asked.push_back(Asked::Set));
                continue;
            }
            for index in 0..self.wire.keys_per_get {
                let id = self.chooser.wanted_key();
                let key = content.key(id, &mut self.key);
                self.wire.push_get(out, key, index == 0);
                asked
                    .iter_mut()
                    .for_each(|asked| asked.push_back(Asked::Get(id)));
            }
            self.wire.finish_get(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(left: u64, interval_s: Option<f64>) -> Pace {
        Pace {
            start: Instant::now(),
            left,
            until: None,
            interval_s,
            issued: 0,
        }
    }

    #[test]
    fn a_closed_loop_sends_full_batches_until_the_last() {
        let mut pace = pace(20, None);
        let now = pace.start;
        assert_eq!(pace.take(now, 16), Some((0, 16)));
        assert_eq!(pace.take(now, 16), Some((16, 4)));
        assert_eq!(pace.take(now, 16), None);
        assert!(pace.is_over(now));
    }

    #[test]
    fn an_open_loop_catches_up_with_what_was_due() {
        let mut pace = pace(1000, Some(0.01));
        let start = pace.start;
        assert_eq!(pace.take(start, 16), Some((0, 1)));
        assert_eq!(pace.take(start, 16), None);
        let late = start + Duration::from_millis(95);
        assert_eq!(pace.take(late, 4), Some((1, 4)));
        assert_eq!(pace.take(late, 16), Some((5, 5)));
        assert_eq!(pace.due(10), Some(start + Duration::from_millis(100)));
        assert_eq!(pace.nap(late, true), Duration::from_millis(4));
        assert_eq!(
            pace.nap(start + Duration::from_millis(99), true),
            Duration::ZERO
        );
    }
}
