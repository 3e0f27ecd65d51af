//! get, gets, gat, gats: batches of keys, each batch looked up with its memory on the way.
//!
//! The keys of a batch are hashed, their index lines prefetched, then their items, and only then is
//! the first one fetched: the latency of memory is paid once per batch. A batch is a part of a
//! multi-key line, or a run of pipelined single-key `get`s, which is what most clients send.

use crate::base::clock::Expiry;
use crate::protocol::ErrorLine;
use crate::protocol::text::keys::{
    Next, RetrievalVerb, check_keys, next_key, single_get, split_exptime, trim_cr,
};
use crate::protocol::text::reply::{CRLF, END, ValueHead, push_value_head};
use crate::session::call::{Call, INPUT_MAX};
use crate::session::state::{KeyLine, Progress, State, Step};
use crate::session::{count, events};
use crate::store::{COPY_MAX, Fetch, Fetched, HashedKey, Lane, PREFETCH_MAX};
use memchr::memchr;

/// Keys looked up together.
const BATCH: usize = PREFETCH_MAX;

/// Keys to look up, and where in the input each one's request ends or begins.
struct Batch<'a> {
    keys: [Option<(HashedKey<'a>, usize)>; BATCH],
    len: usize,
}

impl<'a> Batch<'a> {
    fn new() -> Self {
        Self {
            keys: [None; BATCH],
            len: 0,
        }
    }

    #[inline]
    fn push(&mut self, key: HashedKey<'a>, at: usize) {
        self.keys[self.len] = Some((key, at));
        self.len += 1;
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = &(HashedKey<'a>, usize)> + Clone {
        self.keys[..self.len].iter().flatten()
    }

    /// Starts loading what the fetches will read. One key alone would only pay for it.
    #[inline]
    fn prefetch(&self, lane: &Lane) {
        if self.len > 1 {
            lane.prefetch(self.iter().map(|(key, _)| key));
        }
    }
}

/// What a `get` of one key is in the middle of.
const SINGLE_GET: KeyLine = KeyLine {
    cas: false,
    touch: None,
    any: true,
};

/// Answers the single-key `get`s at the front of the input, a batch of them at most. Returns
/// whether there was one.
#[inline]
pub(super) fn run_gets(call: &mut Call<'_, '_>) -> bool {
    let Some((key, len)) = single_get(call.rest()) else {
        return false;
    };
    let (key, end) = (call.context.lane.hashed(key), call.at + len);
    if end == call.input.len() {
        answer_get(call, &key, end);
    } else {
        run_batch(call, key, end);
    }
    true
}

/// Answers a `get` that ends at `end` and those after it.
fn run_batch<'t>(call: &mut Call<'t, '_>, first: HashedKey<'t>, end: usize) {
    let input = call.input;
    let most = BATCH.min(call.requests_left as usize);
    let (mut batch, mut at) = (Batch::new(), end);
    batch.push(first, end);
    while batch.len < most {
        let Some((key, len)) = single_get(&input[at..]) else {
            break;
        };
        at += len;
        batch.push(call.context.lane.hashed(key), at);
    }
    batch.prefetch(call.context.lane);
    for (key, end) in batch.iter() {
        if call.is_full() {
            break;
        }
        answer_get(call, key, *end);
    }
}

#[inline]
fn answer_get(call: &mut Call<'_, '_>, key: &HashedKey<'_>, end: usize) {
    answer(call, key, SINGLE_GET);
    call.say(END);
    call.at = end;
    call.count_request();
}

/// Starts with a retrieval line whose arguments begin `from` bytes into the rest of the input.
pub(super) fn begin(call: &mut Call<'_, '_>, verb: RetrievalVerb, from: usize) -> Step {
    let rest = call.rest();
    let window = &rest[..rest.len().min(INPUT_MAX)];
    let Some(newline) = memchr(b'\n', window) else {
        if rest.len() < INPUT_MAX {
            return Step::stop(State::Request, Progress::NeedInput);
        }
        return begin_endless(call, verb, from);
    };
    call.count_request();
    match arguments(call, verb, trim_cr(&rest[from..newline])) {
        Ok((touch, skipped)) => {
            call.at += from + skipped;
            resume(
                call,
                KeyLine {
                    cas: verb.cas,
                    touch,
                    any: true,
                },
            )
        }
        Err(error) => {
            call.error(error);
            call.at += newline + 1;
            Step::go(State::Request)
        }
    }
}

/// Judges all arguments of a line: the expiry of gat, and where the keys begin.
fn arguments(
    call: &Call<'_, '_>,
    verb: RetrievalVerb,
    arguments: &[u8],
) -> Result<(Option<Expiry>, usize), ErrorLine> {
    let (touch, keys_at) = expiry_argument(call, verb, arguments)?;
    check_keys(&arguments[keys_at..])?;
    Ok((touch, keys_at))
}

fn expiry_argument(
    call: &Call<'_, '_>,
    verb: RetrievalVerb,
    arguments: &[u8],
) -> Result<(Option<Expiry>, usize), ErrorLine> {
    if !verb.touch {
        return Ok((None, 0));
    }
    let (exptime, keys_at) = split_exptime(arguments)?;
    Ok((Some(call.expiry(exptime)), keys_at))
}

/// Starts with a line too long to be seen as a whole: its keys are answered as they come, and a
/// fault among them is reported where it occurs.
fn begin_endless(call: &mut Call<'_, '_>, verb: RetrievalVerb, from: usize) -> Step {
    let window = &call.rest()[from..INPUT_MAX];
    call.count_request();
    match expiry_argument(call, verb, window) {
        Ok((touch, skipped)) => {
            call.at += from + skipped;
            resume(
                call,
                KeyLine {
                    cas: verb.cas,
                    touch,
                    any: false,
                },
            )
        }
        Err(ErrorLine::BadExptime) => {
            call.error(ErrorLine::BadExptime);
            Step::go(State::SkipLine)
        }
        // Nothing but spaces for 64 KiB: this is no client.
        Err(_) => Step::stop(State::Request, Progress::Close),
    }
}

/// Why a batch ended.
enum Tail {
    Batch(usize),
    End(usize),
    TooLong(usize),
    Partial(usize),
}

/// Answers keys until the line ends, the input ends, the output is full or the turn is used up.
pub(super) fn resume(call: &mut Call<'_, '_>, mut line: KeyLine) -> Step {
    loop {
        let (batch, tail) = collect(call);
        batch.prefetch(call.context.lane);
        for (key, start) in batch.iter() {
            if call.is_full() {
                call.at = *start;
                return Step::stop(State::Keys(line), Progress::Full);
            }
            answer(call, key, line);
            line.any = true;
        }
        match tail {
            // Each batch counts like a command: a line may have any number of keys.
            Tail::Batch(at) => {
                call.at = at;
                call.count_request();
                if call.requests_left == 0 {
                    return Step::stop(State::Keys(line), Progress::Yield);
                }
            }
            Tail::End(at) => {
                call.at = at;
                call.say(if line.any {
                    END
                } else {
                    ErrorLine::BadFormat.as_bytes()
                });
                return Step::go(State::Request);
            }
            Tail::TooLong(at) => {
                call.at = at;
                call.error(ErrorLine::BadFormat);
                return Step::go(State::SkipLine);
            }
            Tail::Partial(at) => {
                call.at = at;
                return Step::stop(State::Keys(line), Progress::NeedInput);
            }
        }
    }
}

/// Reads the next keys of a line.
fn collect<'t>(call: &Call<'t, '_>) -> (Batch<'t>, Tail) {
    let input = call.input;
    let (mut batch, mut at) = (Batch::new(), call.at);
    while batch.len < BATCH {
        match next_key(&input[at..]) {
            Next::Key(key, len) => {
                batch.push(call.context.lane.hashed(key), at);
                at += len;
            }
            Next::End(len) => return (batch, Tail::End(at + len)),
            Next::TooLong => return (batch, Tail::TooLong(at)),
            Next::Partial(spaces) => return (batch, Tail::Partial(at + spaces)),
        }
    }
    (batch, Tail::Batch(at))
}

/// Looks a key up and appends its `VALUE`, if there is one.
#[inline]
fn answer(call: &mut Call<'_, '_>, key: &HashedKey<'_>, line: KeyLine) {
    let how = Fetch {
        touch: line.touch,
        peek: false,
    };
    let (name, now) = (key.key.as_bytes(), call.context.now);
    let bytes = call.out.bytes_mut();
    let mut value_len = 0; // Not part of what the closure returns: that would be copied.
    let found = call.context.lane.fetch(key, how, now, |item| {
        let head = ValueHead {
            client_flags: item.client_flags(),
            value_len: item.value_len(),
            cas: line.cas.then(|| item.cas()),
        };
        value_len = head.value_len;
        push_value_head(bytes, name, head);
        if head.value_len > COPY_MAX {
            return (item.class(), Some(item.pin()));
        }
        item.copy_value(bytes);
        bytes.extend_from_slice(CRLF);
        (item.class(), None)
    });
    match found {
        Fetched::Hit((class, pinned)) => {
            if let Some(value) = pinned {
                call.out.push_value(value);
                call.say(CRLF);
            }
            match line.touch {
                None => count::get_hit(call.counters(), class),
                Some(_) => count::touch_hit(call.counters(), class),
            }
            count::prefix_get(call.shared(), name, true);
            events::hit(call.context, key.key, class, value_len);
        }
        Fetched::Miss(miss) => {
            events::miss(call.context, key.key, miss);
            match line.touch {
                None => count::get_miss(call.counters(), miss),
                Some(_) => count::touch_miss(call.counters(), miss),
            }
            count::prefix_get(call.shared(), name, false);
        }
    }
}
