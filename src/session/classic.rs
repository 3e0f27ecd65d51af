//! The classic commands other than retrievals: from a line to the store and back to a reply.

use crate::base::key::Key;
use crate::protocol::text::keys::{RetrievalVerb, may_be_long};
use crate::protocol::text::reply::{push_number, push_version};
use crate::protocol::text::{
    ArithLine, ErrorLine, LINE_MAX, Rejected, Request, StoreLine, StoreVerb, TouchLine, parse_line,
};
use crate::session::turn::{Step, Turn};
use crate::session::upload::{Finish, Incoming, receive};
use crate::session::{Progress, Session, State, admin, retrieval};
use crate::stats::{COMPATIBLE_VERSION, Recorded};
use crate::store::{
    Arith, ClassId, Counted, Deleted, Fetch, Fetched, StoreMode, StoreOutcome, StoreRequest, Stored,
};
use memchr::memchr;

const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";

/// Runs what the input begins with: a batch of gets, a line of keys, or one line.
pub(super) fn command(turn: &mut Turn<'_, '_>) -> Step {
    let rest = turn.rest();
    if turn.commands_left == 0 && memchr(b'\n', rest).is_some() {
        return Step::stop(State::Command, Progress::Yield);
    }
    if retrieval::run_gets(turn) {
        return Step::go(State::Command);
    }
    if let Some((verb, from)) = RetrievalVerb::at_start_of(rest) {
        return retrieval::begin(turn, verb, from);
    }
    match memchr(b'\n', &rest[..rest.len().min(LINE_MAX + 1)]) {
        Some(newline) => run_line(turn, newline + 1),
        None if rest.len() > LINE_MAX => long_line(turn),
        None => Step::stop(State::Command, Progress::NeedInput),
    }
}

/// A line that goes on beyond what a command needs: only those that look like retrievals may, and
/// here they have spaces before the verb, which will make them unknown when they end.
fn long_line(turn: &mut Turn<'_, '_>) -> Step {
    let rest = turn.rest();
    if !may_be_long(rest) {
        return Step::stop(State::Command, Progress::Close);
    }
    match memchr(b'\n', &rest[..rest.len().min(Session::INPUT_MAX)]) {
        Some(newline) => run_line(turn, newline + 1),
        None if rest.len() >= Session::INPUT_MAX => Step::stop(State::Command, Progress::Close),
        None => Step::stop(State::Command, Progress::NeedInput),
    }
}

/// Takes a line of `len` bytes and runs it.
fn run_line(turn: &mut Turn<'_, '_>, len: usize) -> Step {
    let line = &turn.rest()[..len];
    turn.at += len;
    turn.count_command();
    match parse_line(line) {
        Ok(request) => run(turn, request, line),
        Err(rejected) => Step::go(reject(turn, rejected)),
    }
}

/// The meta grammar hooks in here; until it does, its verbs are unknown.
fn meta(turn: &mut Turn<'_, '_>, _line: &[u8]) -> Step {
    turn.error(ErrorLine::Unknown);
    Step::go(State::Command)
}

/// Tells what is wrong with a line, and skips the value that belongs to it.
fn reject(turn: &mut Turn<'_, '_>, rejected: Rejected) -> State {
    turn.say_unless(rejected.noreply, rejected.error.as_bytes());
    match rejected.value_len {
        Some(len) => State::Swallow(u64::from(len) + 2),
        None => State::Command,
    }
}

fn run(turn: &mut Turn<'_, '_>, request: Request<'_>, line: &[u8]) -> Step {
    match request {
        Request::Store(line) => return Step::go(store(turn, &line)),
        Request::Delete { key, noreply } => delete(turn, key, noreply),
        Request::Arith(line) => arith(turn, &line),
        Request::Touch(line) => touch(turn, &line),
        Request::Version => push_version(turn.out.bytes_mut(), COMPATIBLE_VERSION),
        Request::Stats(request) => admin::stats(turn, request),
        Request::Admin { request, noreply } => return admin::run(turn, request, noreply),
        Request::Meta => return meta(turn, line),
        Request::Watch => admin::watch(turn),
        Request::Quit | Request::Http => return Step::stop(State::Command, Progress::Close),
    }
    Step::go(State::Command)
}

fn store(turn: &mut Turn<'_, '_>, line: &StoreLine<'_>) -> State {
    turn.shared()
        .prefixes
        .record(line.key.as_bytes(), Recorded::Set);
    let request = StoreRequest {
        mode: match line.verb {
            StoreVerb::Set | StoreVerb::Cas => StoreMode::Set,
            StoreVerb::Add => StoreMode::Add,
            StoreVerb::Replace => StoreMode::Replace,
            StoreVerb::Append => StoreMode::Append,
            StoreVerb::Prepend => StoreMode::Prepend,
        },
        client_flags: line.client_flags,
        expiry: turn.expiry(line.exptime),
        compare: line.cas,
        ..StoreRequest::default()
    };
    let incoming = Incoming {
        key: turn.context.lane.hashed(line.key),
        request,
        value_len: line.value_len,
        finish: Finish::Classic(ClassicFinish {
            verb: line.verb,
            noreply: line.noreply,
        }),
    };
    receive(turn, incoming)
}

/// How a storage command answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassicFinish {
    verb: StoreVerb,
    noreply: bool,
}

impl ClassicFinish {
    /// Only `set` means to replace whatever is there.
    pub(super) fn removes_old(self) -> bool {
        self.verb == StoreVerb::Set
    }

    /// The store has judged the value.
    pub(super) fn stored(self, turn: &mut Turn<'_, '_>, stored: Stored) {
        let counters = turn.counters();
        let class = counters.class(stored.class);
        class.cmd_set.add(1);
        if self.verb == StoreVerb::Cas {
            match stored.outcome {
                StoreOutcome::Stored => class.cas_hits.add(1),
                StoreOutcome::Exists => class.cas_badval.add(1),
                StoreOutcome::NotFound => counters.cas_misses.add(1),
                StoreOutcome::NotStored => {}
            }
        }
        let reply: &[u8] = match stored.outcome {
            StoreOutcome::Stored => b"STORED\r\n",
            StoreOutcome::NotStored => b"NOT_STORED\r\n",
            StoreOutcome::Exists => b"EXISTS\r\n",
            StoreOutcome::NotFound => NOT_FOUND,
        };
        turn.say_unless(self.noreply, reply);
    }

    /// The value did not end where it should.
    pub(super) fn bad_chunk(self, turn: &mut Turn<'_, '_>) {
        // It came in, so it counts; its class is nobody's business any more.
        turn.counters().class(ClassId(0)).cmd_set.add(1);
        turn.say_unless(self.noreply, ErrorLine::BadChunk.as_bytes());
    }

    /// There is no room for the value.
    pub(super) fn failed(self, turn: &mut Turn<'_, '_>, error: ErrorLine) {
        let counters = turn.counters();
        match error {
            ErrorLine::TooLarge => counters.store_too_large.add(1),
            _ => counters.store_no_memory.add(1),
        }
        turn.say_unless(self.noreply, error.as_bytes());
    }
}

fn delete(turn: &mut Turn<'_, '_>, key: Key<'_>, noreply: bool) {
    turn.shared()
        .prefixes
        .record(key.as_bytes(), Recorded::Delete);
    let key = turn.context.lane.hashed(key);
    match turn.context.lane.delete(&key, None, turn.context.now) {
        Deleted::Deleted(class) => {
            turn.counters().class(class).delete_hits.add(1);
            turn.say_unless(noreply, b"DELETED\r\n");
        }
        Deleted::NotFound | Deleted::Exists => {
            turn.counters().delete_misses.add(1);
            turn.say_unless(noreply, NOT_FOUND);
        }
    }
}

fn arith(turn: &mut Turn<'_, '_>, line: &ArithLine<'_>) {
    let key = turn.context.lane.hashed(line.key);
    let how = Arith {
        delta: line.delta,
        down: line.down,
        ..Arith::default()
    };
    let counters = turn.counters();
    match turn.context.lane.arith(&key, &how, turn.context.now) {
        Ok(Counted::Number { value, class, .. }) => {
            let class = counters.class(class);
            let hits = if line.down {
                &class.decr_hits
            } else {
                &class.incr_hits
            };
            hits.add(1);
            if !line.noreply {
                push_number(turn.out.bytes_mut(), value);
            }
        }
        Ok(Counted::NotFound | Counted::Exists) => {
            let misses = if line.down {
                &counters.decr_misses
            } else {
                &counters.incr_misses
            };
            misses.add(1);
            turn.say_unless(line.noreply, NOT_FOUND);
        }
        Ok(Counted::NonNumeric) => {
            turn.say_unless(line.noreply, ErrorLine::NonNumeric.as_bytes());
        }
        Err(_) => turn.say_unless(line.noreply, ErrorLine::OutOfMemory.as_bytes()),
    }
}

fn touch(turn: &mut Turn<'_, '_>, line: &TouchLine<'_>) {
    let key = turn.context.lane.hashed(line.key);
    let how = Fetch {
        touch: Some(turn.expiry(line.exptime)),
        peek: false,
    };
    match turn
        .context
        .lane
        .fetch(&key, how, turn.context.now, |item| item.class())
    {
        Fetched::Hit(class) => {
            turn.counters().class(class).touch_hits.add(1);
            turn.say_unless(line.noreply, b"TOUCHED\r\n");
        }
        Fetched::Miss(miss) => {
            turn.counters().touch_misses.add(1);
            turn.count_death(miss);
            turn.say_unless(line.noreply, NOT_FOUND);
        }
    }
}
