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
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, Session, State, tally};
use crate::store::{COPY_MAX, Fetch, Fetched, HashedKey, Lane, PREFETCH_MAX};
use memchr::memchr;

/// Keys looked up together.
const BATCH: usize = PREFETCH_MAX;

/// A line of keys that is being answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyLine {
    /// Sends versions, too.
    cas: bool,
    /// The new expiry of gat.
    touch: Option<Expiry>,
    /// There has been a key. A line without any is an error, found at its end.
    any: bool,
}

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
pub(super) fn run_gets(turn: &mut Turn<'_, '_>) -> bool {
    let Some((key, len)) = single_get(turn.rest()) else {
        return false;
    };
    let (key, end) = (turn.context.lane.hashed(key), turn.at + len);
    if end == turn.input.len() {
        answer_get(turn, &key, end);
    } else {
        run_batch(turn, key, end);
    }
    true
}

/// Answers a `get` that ends at `end` and those after it.
fn run_batch<'t>(turn: &mut Turn<'t, '_>, first: HashedKey<'t>, end: usize) {
    let input = turn.input;
    let most = BATCH.min(turn.commands_left as usize);
    let (mut batch, mut at) = (Batch::new(), end);
    batch.push(first, end);
    while batch.len < most {
        let Some((key, len)) = single_get(&input[at..]) else {
            break;
        };
        at += len;
        batch.push(turn.context.lane.hashed(key), at);
    }
    batch.prefetch(turn.context.lane);
    for (key, end) in batch.iter() {
        if turn.is_full() {
            break;
        }
        answer_get(turn, key, *end);
    }
}

#[inline]
fn answer_get(turn: &mut Turn<'_, '_>, key: &HashedKey<'_>, end: usize) {
    answer(turn, key, SINGLE_GET);
    turn.say(END);
    turn.at = end;
    turn.count_command();
}

/// Starts with a retrieval line whose arguments begin `from` bytes into the rest of the input.
pub(super) fn begin(turn: &mut Turn<'_, '_>, verb: RetrievalVerb, from: usize) -> Step {
    let rest = turn.rest();
    let window = &rest[..rest.len().min(Session::INPUT_MAX)];
    let Some(newline) = memchr(b'\n', window) else {
        if rest.len() < Session::INPUT_MAX {
            return Step::stop(State::Command, Progress::NeedInput);
        }
        return begin_endless(turn, verb, from);
    };
    turn.count_command();
    match arguments(turn, verb, trim_cr(&rest[from..newline])) {
        Ok((touch, skipped)) => {
            turn.at += from + skipped;
            resume(
                turn,
                KeyLine {
                    cas: verb.cas,
                    touch,
                    any: true,
                },
            )
        }
        Err(error) => {
            turn.error(error);
            turn.at += newline + 1;
            Step::go(State::Command)
        }
    }
}

/// Judges all arguments of a line: the expiry of gat, and where the keys begin.
fn arguments(
    turn: &Turn<'_, '_>,
    verb: RetrievalVerb,
    arguments: &[u8],
) -> Result<(Option<Expiry>, usize), ErrorLine> {
    let (touch, keys_at) = expiry_argument(turn, verb, arguments)?;
    check_keys(&arguments[keys_at..])?;
    Ok((touch, keys_at))
}

fn expiry_argument(
    turn: &Turn<'_, '_>,
    verb: RetrievalVerb,
    arguments: &[u8],
) -> Result<(Option<Expiry>, usize), ErrorLine> {
    if !verb.touch {
        return Ok((None, 0));
    }
    let (exptime, keys_at) = split_exptime(arguments)?;
    Ok((Some(turn.expiry(exptime)), keys_at))
}

/// Starts with a line too long to be seen as a whole: its keys are answered as they come, and a
/// fault among them is reported where it occurs.
fn begin_endless(turn: &mut Turn<'_, '_>, verb: RetrievalVerb, from: usize) -> Step {
    let window = &turn.rest()[from..Session::INPUT_MAX];
    turn.count_command();
    match expiry_argument(turn, verb, window) {
        Ok((touch, skipped)) => {
            turn.at += from + skipped;
            resume(
                turn,
                KeyLine {
                    cas: verb.cas,
                    touch,
                    any: false,
                },
            )
        }
        Err(ErrorLine::BadExptime) => {
            turn.error(ErrorLine::BadExptime);
            Step::go(State::SkipLine)
        }
        // Nothing but spaces for 64 KiB: this is no client.
        Err(_) => Step::stop(State::Command, Progress::Close),
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
pub(super) fn resume(turn: &mut Turn<'_, '_>, mut line: KeyLine) -> Step {
    loop {
        let (batch, tail) = collect(turn);
        batch.prefetch(turn.context.lane);
        for (key, start) in batch.iter() {
            if turn.is_full() {
                turn.at = *start;
                return Step::stop(State::Keys(line), Progress::Full);
            }
            answer(turn, key, line);
            line.any = true;
        }
        match tail {
            // Each batch counts like a command: a line may have any number of keys.
            Tail::Batch(at) => {
                turn.at = at;
                turn.count_command();
                if turn.commands_left == 0 {
                    return Step::stop(State::Keys(line), Progress::Yield);
                }
            }
            Tail::End(at) => {
                turn.at = at;
                turn.say(if line.any {
                    END
                } else {
                    ErrorLine::BadFormat.as_bytes()
                });
                return Step::go(State::Command);
            }
            Tail::TooLong(at) => {
                turn.at = at;
                turn.error(ErrorLine::BadFormat);
                return Step::go(State::SkipLine);
            }
            Tail::Partial(at) => {
                turn.at = at;
                return Step::stop(State::Keys(line), Progress::NeedInput);
            }
        }
    }
}

/// Reads the next keys of a line.
fn collect<'t>(turn: &Turn<'t, '_>) -> (Batch<'t>, Tail) {
    let input = turn.input;
    let (mut batch, mut at) = (Batch::new(), turn.at);
    while batch.len < BATCH {
        match next_key(&input[at..]) {
            Next::Key(key, len) => {
                batch.push(turn.context.lane.hashed(key), at);
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
fn answer(turn: &mut Turn<'_, '_>, key: &HashedKey<'_>, line: KeyLine) {
    let how = Fetch {
        touch: line.touch,
        peek: false,
    };
    let (name, now) = (key.key.as_bytes(), turn.context.now);
    let bytes = turn.out.bytes_mut();
    let found = turn.context.lane.fetch(key, how, now, |item| {
        let head = ValueHead {
            client_flags: item.client_flags(),
            value_len: item.value_len(),
            cas: line.cas.then(|| item.cas()),
        };
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
                turn.out.push_value(value);
                turn.say(CRLF);
            }
            match line.touch {
                None => tally::get_hit(turn.counters(), class),
                Some(_) => tally::touch_hit(turn.counters(), class),
            }
            tally::prefix_get(turn.shared(), name, true);
        }
        Fetched::Miss(miss) => {
            match line.touch {
                None => tally::get_miss(turn.counters(), miss),
                Some(_) => tally::touch_miss(turn.counters(), miss),
            }
            tally::prefix_get(turn.shared(), name, false);
        }
    }
}
