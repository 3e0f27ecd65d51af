//! The classic commands other than retrievals: from a line to the store and back to a reply.

use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::base::scan::find;
use crate::protocol::peek;
use crate::protocol::text::keys::{RetrievalVerb, may_be_long};
use crate::protocol::text::reply::{CRLF, push_number, push_version};
use crate::protocol::text::{ArithLine, LINE_MAX, Request, StoreLine, TouchLine, parse_line};
use crate::protocol::{ErrorLine, Rejection};
use crate::session::finish::{ClassicFinish, Finish};
use crate::session::turn::{Step, Turn};
use crate::session::upload::{Incoming, receive};
use crate::session::{Progress, Session, State, admin, ahead, meta, retrieval, tally};
use crate::stats::COMPATIBLE_VERSION;
use crate::store::{Arith, Counted, Deleted, Fetch, Fetched, StoreMode, StoreRequest};
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
    match find(b'\n', &rest[..rest.len().min(LINE_MAX + 1)]) {
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
    let from = turn.at;
    let line = &turn.rest()[..len];
    turn.at += len;
    turn.count_command();
    match parse_line(line) {
        Ok(Request::Store(store_line)) => {
            let value_end = turn.at + usize_from(u64::from(store_line.value_len)) + CRLF.len();
            ahead::look(turn, from, value_end, peek::text);
            Step::go(store(turn, &store_line))
        }
        Ok(Request::Meta) => meta::command(turn, line),
        Ok(request) => {
            ahead::look(turn, from, turn.at, peek::text);
            run(turn, request)
        }
        Err(rejection) => Step::go(reject(turn, rejection)),
    }
}

/// Tells what is wrong with a line, and skips the value that belongs to it.
fn reject(turn: &mut Turn<'_, '_>, rejection: Rejection) -> State {
    turn.say_unless(rejection.noreply, rejection.error.as_bytes());
    match rejection.skip {
        0 => State::Command,
        skip => State::Swallow(skip),
    }
}

fn run(turn: &mut Turn<'_, '_>, request: Request<'_>) -> Step {
    match request {
        Request::Delete { key, noreply } => delete(turn, key, noreply),
        Request::Arith(line) => arith(turn, &line),
        Request::Touch(line) => touch(turn, &line),
        Request::Version => push_version(turn.out.bytes_mut(), COMPATIBLE_VERSION),
        Request::Stats(request) => return admin::stats(turn, request),
        Request::Admin { request, noreply } => return admin::run(turn, request, noreply),
        Request::Watch => admin::watch(turn),
        Request::Store(_) | Request::Meta => unreachable!("run_line has taken them"),
        Request::Quit | Request::Http => return Step::stop(State::Command, Progress::Close),
    }
    Step::go(State::Command)
}

fn store(turn: &mut Turn<'_, '_>, line: &StoreLine<'_>) -> State {
    tally::prefix_set(turn.shared(), line.key.as_bytes());
    let request = StoreRequest {
        mode: line.mode,
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
            replaces: line.mode == StoreMode::Set && line.cas.is_none(),
            compared: line.cas.is_some(),
            noreply: line.noreply,
        }),
    };
    receive(turn, incoming)
}

fn delete(turn: &mut Turn<'_, '_>, key: Key<'_>, noreply: bool) {
    tally::prefix_delete(turn.shared(), key.as_bytes());
    let key = turn.context.lane.hashed(key);
    match turn.context.lane.delete(&key, None, turn.context.now) {
        Deleted::Deleted(class) => {
            tally::delete_hit(turn.counters(), class);
            turn.say_unless(noreply, b"DELETED\r\n");
        }
        Deleted::NotFound | Deleted::Exists => {
            tally::delete_miss(turn.counters());
            turn.say_unless(noreply, NOT_FOUND);
        }
    }
}

fn arith(turn: &mut Turn<'_, '_>, line: &ArithLine<'_>) {
    tally::prefix_set(turn.shared(), line.key.as_bytes());
    let key = turn.context.lane.hashed(line.key);
    let how = Arith {
        delta: line.delta,
        down: line.down,
        ..Arith::default()
    };
    match turn.context.lane.arith(&key, &how, turn.context.now) {
        Ok(Counted::Number { value, class, .. }) => {
            tally::count_hit(turn.counters(), class, line.down);
            if !line.noreply {
                push_number(turn.out.bytes_mut(), value);
            }
        }
        Ok(Counted::NotFound | Counted::Exists) => {
            tally::count_miss(turn.counters(), line.down);
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
    let found = turn
        .context
        .lane
        .fetch(&key, how, turn.context.now, |item| item.class());
    let hit = matches!(found, Fetched::Hit(_));
    tally::prefix_get(turn.shared(), line.key.as_bytes(), hit);
    match found {
        Fetched::Hit(class) => {
            tally::touch_hit(turn.counters(), class);
            turn.say_unless(line.noreply, b"TOUCHED\r\n");
        }
        Fetched::Miss(miss) => {
            tally::touch_miss(turn.counters(), miss);
            turn.say_unless(line.noreply, NOT_FOUND);
        }
    }
}
