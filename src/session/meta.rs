//! Meta commands on the store: a line in, a reply out.
//!
//! Silence (`q`) hides the expected answer only: a miss of `mg`, the success of the others.

use crate::base::clock::{Expiry, Now, seconds_of};
use crate::base::number::usize_from;
use crate::protocol::ErrorLine;
use crate::protocol::meta::{
    Code, DebugFacts, Direction, MetaCommand, MetaLine, MetaRequest, parse, push_code, push_debug,
    push_end, push_key, push_letter, push_number, push_ttl, push_value_head,
};
use crate::protocol::peek;
use crate::protocol::text::reply::CRLF;
use crate::session::call::Call;
use crate::session::finish::{Finish, MetaFinish, compare, store_mode, write_key, write_opaque};
use crate::session::receive::{Incoming, receive};
use crate::session::state::{State, Step};
use crate::session::{Context, Output, ahead, count, events};
use crate::store::{
    Arith, COPY_MAX, ClassId, Counted, Deleted, Fetch, Fetched, HashedKey, Item, MetaDelete,
    MetaFetch, Miss, PinnedValue, StoreMode, StoreRequest,
};

/// Carries out a line, given with its line end.
pub(super) fn run_line(call: &mut Call<'_, '_>, line: &[u8]) -> Step {
    let from = call.at - line.len();
    let line = trim_end(line);
    let mut decoded = None;
    let parsed = parse(line, &mut decoded);
    let request = match &parsed {
        Ok(MetaLine::Request(request)) => request,
        Ok(MetaLine::Noop) => {
            push_code(call.out.bytes_mut(), Code::Noop);
            push_end(call.out.bytes_mut());
            return Step::go(State::Request);
        }
        Err(rejected) => {
            call.error(rejected.error);
            return Step::go(match rejected.skip {
                0 => State::Request,
                skip => State::Swallow(skip),
            });
        }
    };
    let value_end = match request.command {
        MetaCommand::Set(_) => call.at + usize_from(u64::from(request.value_len)) + CRLF.len(),
        _ => call.at,
    };
    ahead::look(call, from, value_end, peek::text);
    let (context, out) = (&mut *call.context, &mut *call.out);
    match request.command {
        MetaCommand::Get => run_get(context, request, out),
        MetaCommand::Delete => run_delete(context, request, out.bytes_mut()),
        MetaCommand::Arithmetic(direction) => {
            run_arithmetic(context, request, direction, out.bytes_mut());
        }
        MetaCommand::Debug => run_debug(context, request, out.bytes_mut()),
        MetaCommand::Set(_) => return Step::go(begin_set(call, line, request)),
    }
    Step::go(State::Request)
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

// ---- mg

/// What a hit leaves behind once the stripe's lock is released.
struct Hit {
    class: ClassId,
    created: bool,
    /// A value too long to be copied under the lock.
    pinned: Option<PinnedValue>,
}

fn run_get(context: &mut Context<'_>, request: &MetaRequest<'_>, out: &mut Output) {
    let now = context.now;
    let flags = &request.flags;
    let how = MetaFetch {
        touch: flags.ttl.map(|exptime| Expiry::from_exptime(exptime, now)),
        no_bump: flags.has(b'u'),
        vivify: flags
            .vivify
            .map(|exptime| Expiry::from_exptime(exptime, now)),
        recache_s: flags.recache.map(seconds_of),
        explicit_cas: flags.explicit_cas,
        binary_key: request.key.is_binary(),
    };
    let key = context.lane.hashed(request.key.key());
    let bytes = out.bytes_mut();
    let mut value_len = 0;
    let read = |item: &mut Item<'_>| {
        value_len = item.value_len();
        write_hit(item, request, now, bytes)
    };
    match context.lane.meta_fetch(&key, &how, now, read) {
        Ok(Fetched::Hit(hit)) => {
            count::prefix_get(context.shared, key.key.as_bytes(), !hit.created);
            count_get(context, request, &hit);
            events::hit_or_created(context, key.key, hit.created, (hit.class, value_len));
            if let Some(pinned) = hit.pinned {
                out.push_value(pinned);
                push_end(out.bytes_mut());
            }
        }
        Ok(Fetched::Miss(miss)) => {
            events::miss(context, key.key, miss);
            count::prefix_get(context.shared, key.key.as_bytes(), false);
            count::get_miss(context.counters, miss);
            if !flags.has(b'q') {
                answer(request, Code::Miss, out.bytes_mut());
            }
        }
        Err(_) => out
            .bytes_mut()
            .extend_from_slice(ErrorLine::OutOfMemory.as_bytes()),
    }
}

fn count_get(context: &Context<'_>, request: &MetaRequest<'_>, hit: &Hit) {
    if hit.created {
        count::get_miss(context.counters, Miss::Absent);
    } else if request.flags.ttl.is_some() {
        count::touch_hit(context.counters, hit.class);
    } else {
        count::get_hit(context.counters, hit.class);
    }
}

/// Writes the reply to a hit, under the stripe's lock.
fn write_hit(item: &mut Item<'_>, request: &MetaRequest<'_>, now: Now, out: &mut Vec<u8>) -> Hit {
    let flags = &request.flags;
    let unchanged = flags.compare.is_some_and(|id| id == item.cas());
    let with_value = flags.has(b'v') && !unchanged;
    let value_len = item.value_len();
    if with_value {
        push_value_head(out, u64::from(value_len));
    } else {
        push_code(out, Code::Done);
    }
    write_item_flags(item, request, now, out);
    push_end(out);
    let mut hit = Hit {
        class: item.class(),
        created: item.created(),
        pinned: None,
    };
    if with_value && value_len <= COPY_MAX {
        item.copy_value(out);
        push_end(out);
    } else if with_value {
        hit.pinned = Some(item.pin());
    }
    hit
}

fn write_item_flags(item: &Item<'_>, request: &MetaRequest<'_>, now: Now, out: &mut Vec<u8>) {
    if request.flags.any_reflected() {
        reflect_item_flags(item, request, now, out);
    }
    for (letter, holds) in [
        (b'Z', item.win_was_sent()),
        (b'X', item.is_stale()),
        (b'W', item.won()),
    ] {
        if holds {
            push_letter(out, letter);
        }
    }
}

// Not inlined: what a loop over flags prepares for costs more than the reply to a plain `mg`.
#[inline(never)]
fn reflect_item_flags(item: &Item<'_>, request: &MetaRequest<'_>, now: Now, out: &mut Vec<u8>) {
    // The store touches after this: `t` before `T` shows the old TTL, after it the new one.
    // Of an item that this request creates, `N` is what gives it a TTL.
    let mut dies = if item.created() {
        Expiry::NEVER
    } else {
        item.expiry()
    };
    for flag in request.flags.iter() {
        match flag.letter {
            b'N' if item.created() => dies = item.expiry(),
            b'T' => dies = Expiry::from_exptime(request.flags.ttl.unwrap_or(0), now),
            b't' => push_ttl(out, dies.ttl(now)),
            b's' => push_number(out, b's', u64::from(item.value_len())),
            b'f' => push_number(out, b'f', u64::from(item.client_flags())),
            b'c' => push_number(out, b'c', item.cas()),
            b'h' => push_number(out, b'h', u64::from(item.was_fetched())),
            b'l' => push_number(out, b'l', item.idle_seconds()),
            b'k' => push_key(out, request.key.key(), item.has_binary_key()),
            _ => write_opaque(flag, out),
        }
    }
}

// ---- what replies without an item reflect

/// A whole reply that reflects key and opaque only.
fn answer(request: &MetaRequest<'_>, code: Code, out: &mut Vec<u8>) {
    push_code(out, code);
    for flag in request.flags.iter() {
        match flag.letter {
            b'k' => write_key(&request.key, out),
            _ => write_opaque(flag, out),
        }
    }
    push_end(out);
}

/// The same, unless it says what a quiet client expects anyway.
fn answer_unless_quiet(request: &MetaRequest<'_>, code: Code, out: &mut Vec<u8>) {
    if !(code == Code::Done && request.flags.has(b'q')) {
        answer(request, code, out);
    }
}

// ---- ms

fn begin_set(call: &mut Call<'_, '_>, line: &[u8], request: &MetaRequest<'_>) -> State {
    count::prefix_set(call.shared(), request.key.key().as_bytes());
    let incoming = Incoming {
        key: call.context.lane.hashed(request.key.key()),
        request: store_request(request, call.context.now),
        value_len: request.value_len,
        finish: Finish::Meta(MetaFinish { line, request }),
    };
    receive(call, incoming)
}

/// What the store is asked for.
fn store_request(request: &MetaRequest<'_>, now: Now) -> StoreRequest {
    let flags = &request.flags;
    let mode = store_mode(request);
    let combines = matches!(mode, StoreMode::Append | StoreMode::Prepend);
    StoreRequest {
        mode,
        client_flags: flags.client_flags.unwrap_or(0),
        expiry: flags
            .ttl
            .map_or(Expiry::NEVER, |exptime| Expiry::from_exptime(exptime, now)),
        compare: compare(request),
        explicit_cas: flags.explicit_cas,
        invalidate: flags.has(b'I') && matches!(mode, StoreMode::Set | StoreMode::Replace),
        vivify: flags
            .vivify
            .filter(|_| combines)
            .map(|exptime| Expiry::from_exptime(exptime, now)),
        binary_key: request.key.is_binary(),
    }
}

// ---- md

fn run_delete(context: &mut Context<'_>, request: &MetaRequest<'_>, out: &mut Vec<u8>) {
    let flags = &request.flags;
    let how = MetaDelete {
        compare: flags.compare,
        invalidate: flags.has(b'I'),
        drop_value: flags.has(b'x'),
        touch: flags
            .ttl
            .map(|exptime| Expiry::from_exptime(exptime, context.now)),
        client_flags: flags.client_flags.unwrap_or(0),
        explicit_cas: flags.explicit_cas,
    };
    let key = context.lane.hashed(request.key.key());
    count::prefix_delete(context.shared, key.key.as_bytes());
    let item = events::before_delete(context, &key);
    let deleted = meta_delete(context, &key, &how);
    if let (Some(item), Deleted::Deleted(_)) = (item, deleted) {
        events::meta_deleted(context, key.key, item, &how);
    }
    let code = match deleted {
        Deleted::Deleted(class) => {
            if !how.invalidate {
                count::delete_hit(context.counters, class);
            }
            Code::Done
        }
        Deleted::NotFound => {
            count::delete_miss(context.counters);
            Code::NotFound
        }
        Deleted::Exists => {
            count::delete_miss(context.counters);
            Code::Exists
        }
    };
    answer_unless_quiet(request, code, out);
}

fn meta_delete(context: &mut Context<'_>, key: &HashedKey<'_>, how: &MetaDelete) -> Deleted {
    if how.invalidate || how.drop_value {
        context.lane.meta_delete(key, how, context.now)
    } else {
        context.lane.delete(key, how.compare, context.now)
    }
}

// ---- ma

fn run_arithmetic(
    context: &mut Context<'_>,
    request: &MetaRequest<'_>,
    direction: Direction,
    out: &mut Vec<u8>,
) {
    let (now, flags) = (context.now, &request.flags);
    count::prefix_set(context.shared, request.key.key().as_bytes());
    let down = direction == Direction::Down;
    let how = Arith {
        delta: flags.delta,
        down,
        compare: flags.compare.filter(|&cas| cas != 0),
        explicit_cas: flags.explicit_cas,
        touch: flags.ttl.map(|exptime| Expiry::from_exptime(exptime, now)),
        initial: flags
            .vivify
            .map(|exptime| (flags.initial, Expiry::from_exptime(exptime, now))),
        binary_key: request.key.is_binary(),
    };
    let key = context.lane.hashed(request.key.key());
    events::before_change(context, &key);
    let counted = context.lane.arith(&key, &how, now);
    events::counted(context, key.key, &counted);
    match counted {
        Ok(Counted::Number {
            value,
            cas,
            expiry,
            class,
            created,
        }) => {
            if !created {
                count::count_hit(context.counters, class, down);
            }
            if !flags.has(b'q') {
                write_number(request, value, (cas, expiry.ttl(now)), out);
            }
        }
        Ok(Counted::NotFound) => {
            count::count_miss(context.counters, down);
            answer(request, Code::NotFound, out);
        }
        Ok(Counted::Exists) => answer(request, Code::Exists, out),
        Ok(Counted::NonNumeric) => out.extend_from_slice(ErrorLine::NonNumeric.as_bytes()),
        Err(_) => out.extend_from_slice(ErrorLine::OutOfMemory.as_bytes()),
    }
}

fn write_number(
    request: &MetaRequest<'_>,
    value: u64,
    (cas, ttl): (u64, Option<u64>),
    out: &mut Vec<u8>,
) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(value).as_bytes();
    let with_value = request.flags.has(b'v');
    if with_value {
        push_value_head(out, digits.len() as u64);
    } else {
        push_code(out, Code::Done);
    }
    for flag in request.flags.iter() {
        match flag.letter {
            b't' => push_ttl(out, ttl),
            b'c' => push_number(out, b'c', cas),
            b'k' => write_key(&request.key, out),
            _ => write_opaque(flag, out),
        }
    }
    push_end(out);
    if with_value {
        out.extend_from_slice(digits);
        push_end(out);
    }
}

// ---- me

fn run_debug(context: &mut Context<'_>, request: &MetaRequest<'_>, out: &mut Vec<u8>) {
    let now = context.now;
    let key = context.lane.hashed(request.key.key());
    let how = Fetch {
        touch: None,
        peek: true,
    };
    let found = context.lane.fetch(&key, how, now, |item| {
        let facts = DebugFacts {
            ttl: item.expiry().ttl(now),
            idle_s: item.idle_seconds(),
            cas: item.cas(),
            fetched: item.was_fetched(),
            class: item.class().0,
            size: u64::from(item.size()),
            binary_key: item.has_binary_key(),
        };
        (facts, item.class(), item.value_len())
    });
    count::meta_debug(context.counters);
    match found {
        Fetched::Hit((facts, class, value_len)) => {
            events::hit(context, key.key, class, value_len);
            push_debug(out, key.key, &facts);
        }
        Fetched::Miss(miss) => {
            events::miss(context, key.key, miss);
            push_code(out, Code::Miss);
            push_end(out);
        }
    }
}
