//! The classic commands other than retrievals: from a line to the store and back to a reply.

use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::base::scan::find;
use crate::protocol::peek;
use crate::protocol::text::keys::{RetrievalVerb, may_be_long};
use crate::protocol::text::reply::{CRLF, push_number, push_version};
use crate::protocol::text::{ArithLine, LINE_MAX, Request, StoreLine, TouchLine, parse_line};
use crate::protocol::{ErrorLine, Rejection};
use crate::session::call::{Call, INPUT_MAX};
use crate::session::finish::{ClassicFinish, Finish};
use crate::session::receive::{Incoming, receive};
use crate::session::state::{Progress, State, Step};
use crate::session::{admin, ahead, count, events, meta, retrieval};
use crate::stats::COMPATIBLE_VERSION;
use crate::store::{Arith, Counted, Deleted, Fetch, Fetched, StoreMode, StoreRequest};
use memchr::memchr;

const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";

/// Runs what the input begins with: a batch of gets, a line of keys, or one line.
pub(super) fn run_one(call: &mut Call<'_, '_>) -> Step {
    let rest = call.rest();
    if call.requests_left == 0 && memchr(b'\n', rest).is_some() {
        return Step::stop(State::Request, Progress::Yield);
    }
    if retrieval::run_gets(call) {
        return Step::go(State::Request);
    }
    if let Some((verb, from)) = RetrievalVerb::at_start_of(rest) {
        return retrieval::begin(call, verb, from);
    }
    match find(b'\n', &rest[..rest.len().min(LINE_MAX + 1)]) {
        Some(newline) => run_line(call, newline + 1),
        None if rest.len() > LINE_MAX => long_line(call),
        None => Step::stop(State::Request, Progress::NeedInput),
    }
}

/// A line that goes on beyond what a command needs: only those that look like retrievals may, and
/// here they have spaces before the verb, which will make them unknown when they end.
fn long_line(call: &mut Call<'_, '_>) -> Step {
    let rest = call.rest();
    if !may_be_long(rest) {
        return Step::stop(State::Request, Progress::Close);
    }
    match memchr(b'\n', &rest[..rest.len().min(INPUT_MAX)]) {
        Some(newline) => run_line(call, newline + 1),
        None if rest.len() >= INPUT_MAX => Step::stop(State::Request, Progress::Close),
        None => Step::stop(State::Request, Progress::NeedInput),
    }
}

/// Takes a line of `len` bytes and runs it.
fn run_line(call: &mut Call<'_, '_>, len: usize) -> Step {
    let from = call.at;
    let line = &call.rest()[..len];
    call.at += len;
    call.count_request();
    match parse_line(line) {
        Ok(Request::Store(store_line)) => {
            let value_end = call.at + usize_from(u64::from(store_line.value_len)) + CRLF.len();
            ahead::look(call, from, value_end, peek::text);
            Step::go(store(call, &store_line))
        }
        Ok(Request::Meta) => meta::run_line(call, line),
        Ok(request) => {
            ahead::look(call, from, call.at, peek::text);
            execute(call, request)
        }
        Err(rejection) => Step::go(reject(call, rejection)),
    }
}

/// Tells what is wrong with a line, and skips the value that belongs to it.
fn reject(call: &mut Call<'_, '_>, rejection: Rejection) -> State {
    call.say_unless(rejection.noreply, rejection.error.as_bytes());
    match rejection.skip {
        0 => State::Request,
        skip => State::Swallow(skip),
    }
}

fn execute(call: &mut Call<'_, '_>, request: Request<'_>) -> Step {
    match request {
        Request::Delete { key, noreply } => delete(call, key, noreply),
        Request::Arith(line) => arith(call, &line),
        Request::Touch(line) => touch(call, &line),
        Request::Version => push_version(call.out.bytes_mut(), COMPATIBLE_VERSION),
        Request::Stats(request) => return admin::stats(call, request),
        Request::Admin { request, noreply } => return admin::run(call, request, noreply),
        Request::Watch(topics) => return admin::watch(call, topics),
        Request::Store(_) | Request::Meta => unreachable!("run_line has taken them"),
        Request::Quit => return Step::stop(State::Request, Progress::Quit),
        Request::Http => return Step::stop(State::Request, Progress::Close),
    }
    Step::go(State::Request)
}

fn store(call: &mut Call<'_, '_>, line: &StoreLine<'_>) -> State {
    count::prefix_set(call.shared(), line.key.as_bytes());
    let request = StoreRequest {
        mode: line.mode,
        client_flags: line.client_flags,
        expiry: call.expiry(line.exptime),
        compare: line.cas,
        ..StoreRequest::default()
    };
    let incoming = Incoming {
        key: call.context.lane.hashed(line.key),
        request,
        value_len: line.value_len,
        finish: Finish::Classic(ClassicFinish {
            replaces: line.mode == StoreMode::Set && line.cas.is_none(),
            compared: line.cas.is_some(),
            noreply: line.noreply,
        }),
    };
    receive(call, incoming)
}

fn delete(call: &mut Call<'_, '_>, key: Key<'_>, noreply: bool) {
    count::prefix_delete(call.shared(), key.as_bytes());
    let key = call.context.lane.hashed(key);
    let item = events::before_delete(call.context, &key);
    let deleted = call.context.lane.delete(&key, None, call.context.now);
    events::deleted(call.context, key.key, item, deleted);
    match deleted {
        Deleted::Deleted(class) => {
            count::delete_hit(call.counters(), class);
            call.say_unless(noreply, b"DELETED\r\n");
        }
        Deleted::NotFound | Deleted::Exists => {
            count::delete_miss(call.counters());
            call.say_unless(noreply, NOT_FOUND);
        }
    }
}

fn arith(call: &mut Call<'_, '_>, line: &ArithLine<'_>) {
    count::prefix_set(call.shared(), line.key.as_bytes());
    let key = call.context.lane.hashed(line.key);
    let how = Arith {
        delta: line.delta,
        down: line.down,
        ..Arith::default()
    };
    events::before_change(call.context, &key);
    match call.context.lane.arith(&key, &how, call.context.now) {
        Ok(Counted::Number { value, class, .. }) => {
            count::count_hit(call.counters(), class, line.down);
            if !line.noreply {
                push_number(call.out.bytes_mut(), value);
            }
        }
        Ok(Counted::NotFound | Counted::Exists) => {
            count::count_miss(call.counters(), line.down);
            call.say_unless(line.noreply, NOT_FOUND);
        }
        Ok(Counted::NonNumeric) => {
            call.say_unless(line.noreply, ErrorLine::NonNumeric.as_bytes());
        }
        Err(_) => call.say_unless(line.noreply, ErrorLine::OutOfMemory.as_bytes()),
    }
}

fn touch(call: &mut Call<'_, '_>, line: &TouchLine<'_>) {
    let key = call.context.lane.hashed(line.key);
    let how = Fetch {
        touch: Some(call.expiry(line.exptime)),
        peek: false,
    };
    let found = call
        .context
        .lane
        .fetch(&key, how, call.context.now, |item| {
            (item.class(), item.value_len())
        });
    let hit = matches!(found, Fetched::Hit(_));
    count::prefix_get(call.shared(), line.key.as_bytes(), hit);
    match found {
        Fetched::Hit((class, value_len)) => {
            events::hit(call.context, key.key, class, value_len);
            count::touch_hit(call.counters(), class);
            call.say_unless(line.noreply, b"TOUCHED\r\n");
        }
        Fetched::Miss(miss) => {
            events::miss(call.context, key.key, miss);
            count::touch_miss(call.counters(), miss);
            call.say_unless(line.noreply, NOT_FOUND);
        }
    }
}
