//! Binary requests on the store: a request in, a reply out.
//!
//! A quiet request hides status 0 only; a quiet read hides its miss instead. `noop` makes the
//! client's wait end: replies are in order, so all of them are out before it is answered.

use crate::base::clock::Expiry;
use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::protocol::binary::{
    Command, Gate, HEADER_LEN, HitReply, Login, PacketRejection, PacketRequest, Parsed, Reply,
    Status, Then, parse,
};
use crate::protocol::peek;
use crate::protocol::text::reply::END;
use crate::protocol::text::{DetailRequest, StatsRequest, parse_stats_key};
use crate::session::admin::{appointment, flush};
use crate::session::call::Call;
use crate::session::dump::Sizes;
use crate::session::finish::{Finish, StoreTicket};
use crate::session::login::LoginState;
use crate::session::receive::{Incoming, receive};
use crate::session::report::{StatPackets, report};
use crate::session::state::{Progress, State, Step};
use crate::session::stream::Stream;
use crate::session::{Context, Output, Shared, ahead, count, events};
use crate::stats::COMPATIBLE_VERSION;
use crate::store::{
    Arith, COPY_MAX, ClassId, Counted, Deleted, Fetch, Fetched, Item, PinnedValue, StoreError,
    StoreMode, StoreRequest,
};

/// Carries out the request at the front of the input.
pub(super) fn run_one(call: &mut Call<'_, '_>, login: &mut LoginState) -> Step {
    let rest = call.rest();
    if call.requests_left == 0 && rest.len() >= HEADER_LEN {
        return Step::stop(State::Request, Progress::Yield);
    }
    let gate = login.gate();
    match parse(rest, gate) {
        Parsed::Incomplete { .. } => Step::stop(State::Request, Progress::NeedInput),
        Parsed::Rejected(rejection) => {
            call.count_request();
            reject(call, &rejection)
        }
        Parsed::Request(request) => {
            let from = call.at;
            call.count_request();
            call.at += request.consumed;
            if gate == Gate::Locked {
                login.ask();
            } else {
                let end = call.at
                    + match request.command {
                        Command::Store { value_len, .. } => usize_from(u64::from(value_len)),
                        _ => 0,
                    };
                ahead::look(call, from, end, peek::binary);
            }
            execute(call, login, &request)
        }
    }
}

/// Answers what is not carried out. What it takes up is skipped as it comes, however long it is.
fn reject(call: &mut Call<'_, '_>, rejection: &PacketRejection) -> Step {
    if let Some((reply, status)) = rejection.reply {
        reply.push_status(call.out.bytes_mut(), status);
    }
    match rejection.then {
        Then::Close => Step::stop(State::Request, Progress::Close),
        Then::Skip(len) => Step::go(State::Swallow(len)),
    }
}

#[inline]
fn execute(call: &mut Call<'_, '_>, login: &mut LoginState, request: &PacketRequest<'_>) -> Step {
    let (context, out) = (&mut *call.context, &mut *call.out);
    let reply = request.reply;
    match request.command {
        command if call.guest && is_for_operators(command) => {
            reply.push_status(out.bytes_mut(), Status::AuthFailure);
        }
        Command::Store { .. } => return Step::go(begin_store(call, request)),
        Command::Get { .. } => run_get(context, request, out),
        Command::Touch { key, exptime } => {
            run_touch(context, request, (key, exptime), out.bytes_mut());
        }
        Command::Delete { key } => run_delete(context, request, key, out.bytes_mut()),
        Command::Count { .. } => run_count(context, request, out.bytes_mut()),
        Command::Flush { exptime } => run_flush(context, request, exptime, out.bytes_mut()),
        Command::Stat { group } => match parse_stats_key(group) {
            Some(StatsRequest::Sizes) => {
                return Step::stream(Stream::Sizes(Sizes::new(Some(reply))));
            }
            asked => run_stat(context, (reply, asked), out.bytes_mut()),
        },
        Command::Login(message) => {
            run_login(context, login, (reply, message), out.bytes_mut());
            return may_go_on(*login);
        }
        Command::Version => {
            let version = COMPATIBLE_VERSION.as_bytes();
            reply.push_text(out.bytes_mut(), Status::Success, version);
            return may_go_on(*login);
        }
        Command::Noop => reply.push_done(out.bytes_mut(), 0),
        Command::Quit => {
            push_success(request, 0, out.bytes_mut());
            return Step::stop(State::Request, Progress::Quit);
        }
    }
    Step::go(State::Request)
}

/// Whether it changes the server, and not only items, or looks at all of them.
fn is_for_operators(command: Command<'_>) -> bool {
    match command {
        Command::Flush { .. } => true,
        Command::Stat { group } => matches!(
            parse_stats_key(group),
            Some(StatsRequest::Reset | StatsRequest::Detail(_) | StatsRequest::Sizes)
        ),
        _ => false,
    }
}

/// The end of a request that is answered without a login.
fn may_go_on(login: LoginState) -> Step {
    Step {
        state: State::Request,
        stop: login.ending(),
    }
}

/// Success without a body, unless the client wants silence.
fn push_success(request: &PacketRequest<'_>, cas: u64, out: &mut Vec<u8>) {
    if !request.opcode.quiet {
        request.reply.push_done(out, cas);
    }
}

// ---- reads

/// What a hit leaves behind once the stripe's lock is released.
struct PacketHit {
    class: ClassId,
    value_len: u32,
    pinned: Option<PinnedValue>,
}

fn run_get(context: &mut Context<'_>, request: &PacketRequest<'_>, out: &mut Output) {
    let Command::Get {
        key,
        touch,
        with_key,
    } = request.command
    else {
        return;
    };
    let now = context.now;
    let how = Fetch {
        touch: touch.map(|exptime| Expiry::from_exptime(exptime, now)),
        peek: false,
    };
    let hashed = context.lane.hashed(key);
    let bytes = out.bytes_mut();
    let shown = with_key.then_some(key);
    let read = |item: &mut Item<'_>| write_hit(item, request.reply, shown, bytes);
    let fetched = context.lane.fetch(&hashed, how, now, read);
    let hit = matches!(fetched, Fetched::Hit(_));
    count::prefix_get(context.shared, key.as_bytes(), hit);
    let counters = context.counters;
    match fetched {
        Fetched::Hit(found) => {
            events::hit(context, key, found.class, found.value_len);
            match touch {
                Some(_) => count::touch_hit(counters, found.class),
                None => count::get_hit(counters, found.class),
            }
            if let Some(pinned) = found.pinned {
                out.push_value(pinned);
            }
        }
        Fetched::Miss(miss) => {
            events::miss(context, key, miss);
            match touch {
                Some(_) => count::touch_miss(counters, miss),
                None => count::get_miss(counters, miss),
            }
            if !request.opcode.quiet {
                write_miss(request.reply, shown, out.bytes_mut());
            }
        }
    }
}

fn write_hit(
    item: &mut Item<'_>,
    reply: Reply,
    key: Option<Key<'_>>,
    out: &mut Vec<u8>,
) -> PacketHit {
    let value_len = item.value_len();
    let client_flags = item.client_flags();
    reply.push_hit(
        out,
        &HitReply {
            cas: item.cas(),
            client_flags,
            key,
            value_len,
        },
    );
    let mut found = PacketHit {
        class: item.class(),
        value_len,
        pinned: None,
    };
    if value_len <= COPY_MAX {
        item.copy_value(out);
    } else {
        found.pinned = Some(item.pin());
    }
    found
}

fn write_miss(reply: Reply, key: Option<Key<'_>>, out: &mut Vec<u8>) {
    match key {
        Some(key) => reply.push_key_miss(out, key),
        None => reply.push_status(out, Status::NotFound),
    }
}

fn run_touch(
    context: &mut Context<'_>,
    request: &PacketRequest<'_>,
    (key, exptime): (Key<'_>, i64),
    out: &mut Vec<u8>,
) {
    let how = Fetch {
        touch: Some(Expiry::from_exptime(exptime, context.now)),
        peek: false,
    };
    let hashed = context.lane.hashed(key);
    let found = context.lane.fetch(&hashed, how, context.now, |item| {
        let place = (item.class(), item.value_len());
        (place, item.cas(), item.client_flags())
    });
    let hit = matches!(found, Fetched::Hit(_));
    count::prefix_get(context.shared, key.as_bytes(), hit);
    match found {
        Fetched::Hit(((class, value_len), cas, client_flags)) => {
            events::hit(context, key, class, value_len);
            count::touch_hit(context.counters, class);
            request.reply.push_hit(
                out,
                &HitReply {
                    cas,
                    client_flags,
                    key: None,
                    value_len: 0,
                },
            );
        }
        Fetched::Miss(miss) => {
            events::miss(context, key, miss);
            count::touch_miss(context.counters, miss);
            request.reply.push_status(out, Status::NotFound);
        }
    }
}

// ---- stores

fn begin_store(call: &mut Call<'_, '_>, request: &PacketRequest<'_>) -> State {
    let Command::Store {
        mode,
        key,
        client_flags,
        exptime,
        value_len,
    } = request.command
    else {
        return State::Request;
    };
    count::prefix_set(call.shared(), key.as_bytes());
    let how = StoreRequest {
        mode: match mode {
            // With a CAS id, adding is comparing and swapping.
            StoreMode::Add if request.compare.is_some() => StoreMode::Set,
            mode => mode,
        },
        client_flags,
        expiry: call.expiry(exptime),
        compare: request.compare,
        ..StoreRequest::default()
    };
    let incoming = Incoming {
        key: call.context.lane.hashed(key),
        request: how,
        value_len,
        finish: Finish::Binary(StoreTicket {
            reply: request.reply,
            quiet: request.opcode.quiet,
            compared: request.compare.is_some(),
            mode,
        }),
    };
    receive(call, incoming)
}

fn error_status(error: StoreError) -> Status {
    match error {
        StoreError::TooLarge => Status::TooLarge,
        StoreError::OutOfMemory => Status::OutOfMemory,
    }
}

// ---- the rest

fn run_delete(
    context: &mut Context<'_>,
    request: &PacketRequest<'_>,
    key: Key<'_>,
    out: &mut Vec<u8>,
) {
    count::prefix_delete(context.shared, key.as_bytes());
    let hashed = context.lane.hashed(key);
    let item = events::before_delete(context, &hashed);
    let deleted = context.lane.delete(&hashed, request.compare, context.now);
    events::deleted(context, key, item, deleted);
    match deleted {
        Deleted::Deleted(class) => {
            count::delete_hit(context.counters, class);
            push_success(request, 0, out);
        }
        Deleted::NotFound => {
            count::delete_miss(context.counters);
            request.reply.push_status(out, Status::NotFound);
        }
        Deleted::Exists => request.reply.push_status(out, Status::Exists),
    }
}

fn run_count(context: &mut Context<'_>, request: &PacketRequest<'_>, out: &mut Vec<u8>) {
    let Command::Count {
        key,
        delta,
        down,
        initial,
    } = request.command
    else {
        return;
    };
    count::prefix_set(context.shared, key.as_bytes());
    let now = context.now;
    let how = Arith {
        delta,
        down,
        compare: request.compare,
        initial: initial.map(|(number, exptime)| (number, Expiry::from_exptime(exptime, now))),
        ..Arith::default()
    };
    let hashed = context.lane.hashed(key);
    events::before_change(context, &hashed);
    let counted = context.lane.arith(&hashed, &how, now);
    events::counted(context, key, &counted);
    let status = match counted {
        Ok(Counted::Number {
            value,
            cas,
            class,
            created,
            ..
        }) => {
            if !created {
                count::count_hit(context.counters, class, down);
            }
            if !request.opcode.quiet {
                request.reply.push_count(out, value, cas);
            }
            return;
        }
        Ok(Counted::NotFound) => {
            count::count_miss(context.counters, down);
            Status::NotFound
        }
        Ok(Counted::Exists) => Status::Exists,
        Ok(Counted::NonNumeric) => Status::NonNumeric,
        Err(error) => error_status(error),
    };
    request.reply.push_status(out, status);
}

fn run_flush(
    context: &mut Context<'_>,
    request: &PacketRequest<'_>,
    exptime: Option<i64>,
    out: &mut Vec<u8>,
) {
    if !context.shared.settings.flush_enabled {
        request.reply.push_status(out, Status::AuthFailure);
        return;
    }
    count::flush(context.counters);
    let when = exptime.and_then(|exptime| appointment(exptime, context.now));
    flush(context.shared, when);
    push_success(request, 0, out);
}

#[inline(never)]
fn run_stat(
    context: &Context<'_>,
    (reply, asked): (Reply, Option<StatsRequest>),
    out: &mut Vec<u8>,
) {
    let shared = context.shared;
    let mut packets = StatPackets { reply, out };
    let status = match asked {
        Some(StatsRequest::Group(group)) => {
            report(shared, group, context.now, &mut packets);
            Status::Success
        }
        Some(StatsRequest::Detail(request)) => run_detail(shared, request, &mut packets),
        Some(StatsRequest::Reset) => {
            shared.reset_stats();
            Status::Success
        }
        _ => Status::NotFound,
    };
    match status {
        Status::Success => reply.push_stat(out, b"", b""),
        status => reply.push_status(out, status),
    }
}

/// Prefix lines in a packet, at most: its length comes first, so it cannot be sent piece by piece.
const DUMP_LEN_MAX: usize = 256 << 10;

/// Prefix statistics, under the same rule as over text.
fn run_detail(shared: &Shared, request: DetailRequest, packets: &mut StatPackets<'_>) -> Status {
    if !shared.settings.dump_enabled {
        return Status::AuthFailure;
    }
    match request {
        DetailRequest::On | DetailRequest::Off => {
            shared.prefixes.switch(request == DetailRequest::On);
        }
        DetailRequest::Dump => {
            let mut lines = shared.prefixes.dump(DUMP_LEN_MAX);
            lines.extend_from_slice(END);
            packets.reply.push_stat(packets.out, b"detailed", &lines);
        }
        DetailRequest::Usage => return Status::NotFound,
    }
    Status::Success
}

#[inline(never)]
fn run_login(
    context: &Context<'_>,
    login: &mut LoginState,
    (reply, message): (Reply, Login<'_>),
    out: &mut Vec<u8>,
) {
    let answer = login.answer(&context.shared.logins, &message);
    if answer.is_attempt {
        count::login(context.counters, answer.status == Status::Success);
    }
    reply.push_text(out, answer.status, answer.text);
}
