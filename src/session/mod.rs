//! One connection's conversation, without the connection.
//!
//! A [`Session`] is fed bytes and appends bytes to an [`Output`]. It does not know whether they
//! come from TCP, a UNIX socket or a test, and it is told the time. Splitting the same input at
//! different places gives the same output; `tests/session_sim.rs` checks exactly that.
//!
//! ```text
//!                 ┌───────────────────────── line ──────────────────────────┐
//!                 ▼                                                         │
//!              Command ──set, add, ...──▶ Upload{n left} ──CRLF──▶ apply, reply
//!              │  ▲  │                       │
//!   get, gat.. │  │  │ too large, bad flags  └─ bad ending ─▶ CLIENT_ERROR ─▶ Command
//!              ▼  │  ▼
//!      Keys ──end─┤  Swallow{n left} ─▶ Command
//!        │        │
//!  long  ▼        │  The error line is out before the value that it refuses has come in: a
//!     SkipLine ───┘  client that waits for it before it sends the value is not left hanging.
//! ```
//!
//! Packets go the same ways, without the lines of keys. The first byte of a connection decides what
//! it speaks, once. Where the operator asks for logins, a connection begins in a state in which
//! nothing but a login is understood.
//!
//! A reply that may be long is a state, too: a `Stream`, which is asked for pieces while there is
//! room for them.
//!
//! A value that is whole in the input never becomes an `Upload`: it is stored on the spot. What is
//! missing of an upload may also be brought past the input, by [`Session::next_read`]. A line
//! of keys is answered as it comes, so neither its length nor that of its answer bounds our memory:
//! above [`OUTPUT_MARK`] the session stops and remembers that it is inside a line.

mod admin;
mod ahead;
mod auth;
mod binary;
mod classic;
mod datagram;
mod feed;
mod finish;
mod meta;
mod output;
mod report;
mod retrieval;
mod shared;
mod stream;
mod tally;
mod turn;
mod upload;

pub use datagram::answer_datagram;
pub use feed::Feed;
pub use output::Output;
pub use shared::{ConnectionId, Context, Host, Shared};

use crate::base::clock::Now;
use crate::base::number::usize_from;
use crate::base::part::Gap;
use crate::base::services::Services;
use crate::base::settings::Settings;
use crate::protocol::binary::{Gate, MAGIC_REQUEST};
use crate::session::auth::{Sasl, TextLogin, Tries};
use crate::session::retrieval::KeyLine;
use crate::session::stream::Stream;
use crate::session::turn::{Step, Turn};
use crate::session::upload::Upload;
use crate::store::Lane;
use memchr::memchr;
use std::mem;
use std::sync::Arc;

/// Pending output above which a session stops producing.
///
/// Large enough that a pipeline of ordinary replies leaves in one write, small enough that a
/// client that does not read costs little.
pub const OUTPUT_MARK: usize = 256 << 10;

/// Bytes of a value that are worth receiving where they will lie.
const GAP_MIN: u32 = 8 << 10;

/// Bytes read at once where large values are expected: a request's line and the value's beginning.
/// What follows of the value is then received where it will lie, and not copied there. A connection
/// that has said nothing yet gets no more, either.
const HEAD_LEN: usize = 4 << 10;

/// How far a call got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Input bytes used up; the rest must be offered again in front of what comes next.
    pub consumed: usize,
    /// Why it went no further.
    pub progress: Progress,
}

/// What a session wants read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRead {
    /// Requests: at most this many bytes.
    Bytes(usize),
    /// A value, to where it will lie, and what follows it.
    Value {
        /// How many gaps there are for the kernel to write.
        gaps: usize,
        /// How many bytes of requests may be read after them.
        rest: usize,
    },
}

/// Why a call went no further, and what the connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing more can be done with this input: wait for bytes.
    NeedInput,
    /// The turn's `requests_per_event` are used up: serve others, then call again with the rest. No
    /// new bytes are needed.
    Yield,
    /// Output is above [`OUTPUT_MARK`]: call again, with the rest, when it has drained.
    Full,
    /// Flush the output, then close.
    Close,
    /// The same, and to be logged: too many logins have failed.
    Barred {
        /// How many.
        failures: u8,
    },
    /// The client asked the process to stop. Close, then stop.
    Shutdown {
        /// As on SIGUSR1 instead of SIGINT.
        graceful: bool,
    },
}

/// What the connection's bytes mean.
///
/// ```text
///                ┌─ 0x80, or -B binary ──────────────▶ Binary
///   Unheard ─────┤
///                └─ else, or -B ascii ──┬─ -Y, -S ─▶ Login ─ login ─▶ Text
///                                       └─ no logins ───────────────▶ Text
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grammar {
    /// Nothing has come yet.
    Unheard(Services),
    /// Lines of which only logins are heard.
    Login(Tries),
    /// Lines: classic and meta commands.
    Text,
    /// Packets, and how far their login has come.
    Binary(Sasl),
}

impl Grammar {
    /// What a connection speaks whose first byte this is.
    fn choose(services: Services, first: u8, settings: &Settings) -> Self {
        let binary = match (services.has(Services::TEXT), services.has(Services::BINARY)) {
            (true, true) => first == MAGIC_REQUEST,
            (_, binary) => binary,
        };
        if binary {
            Self::Binary(Sasl::new(settings.needs_login()))
        } else if settings.needs_login() {
            Self::Login(Tries::default())
        } else {
            Self::Text
        }
    }
}

/// Where the conversation stands.
#[derive(Debug, Default)]
enum State {
    /// Between requests, or in an unfinished line.
    #[default]
    Command,
    /// Inside a line of keys.
    Keys(KeyLine),
    /// Inside a value. Boxed: it is rare, and idle connections should be small.
    Upload(Box<Upload>),
    /// Inside a rejected value; bytes left.
    Swallow(u64),
    /// Inside a line that has been answered.
    SkipLine,
    /// Inside a reply. Boxed: it is rare.
    Stream(Box<Stream>),
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    grammar: Grammar,
    state: State,
    /// Large values have been coming: likely the next one is as large.
    large: bool,
    /// What changes the server is refused.
    guest: bool,
}

impl Session {
    /// The largest number of input bytes that may stay unconsumed: a whole command line or header.
    ///
    /// A line of keys that fits is judged as a whole before its first key is answered; a longer one
    /// is answered as it comes.
    pub const INPUT_MAX: usize = 64 << 10;

    /// A new conversation; `services` are what its listener speaks.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self {
            grammar: Grammar::Unheard(services),
            state: State::Command,
            large: false,
            guest: false,
        }
    }

    /// The conversation of one datagram, whose sender may be anybody.
    fn of_datagram(services: Services) -> Self {
        Self {
            guest: true,
            ..Self::new(services)
        }
    }

    /// Uses up input and appends replies.
    pub fn advance(
        &mut self,
        context: &mut Context<'_>,
        input: &[u8],
        out: &mut Output,
    ) -> Advance {
        let mut turn = Turn::new(context, input, out);
        turn.guest = self.guest;
        loop {
            let step = self.resume(&mut turn);
            self.state = step.state;
            if let Some(progress) = step.stop {
                if turn.large != self.large {
                    self.large = turn.large || self.still_expects_large(input.len());
                }
                return Advance {
                    consumed: turn.at,
                    progress,
                };
            }
        }
    }

    /// The same, of one request or one piece of a longer one; `Yield` if more may be done.
    pub fn advance_one(
        &mut self,
        context: &mut Context<'_>,
        input: &[u8],
        out: &mut Output,
    ) -> Advance {
        let mut turn = Turn::new(context, input, out);
        turn.guest = self.guest;
        turn.commands_left = 1;
        let step = self.resume(&mut turn);
        self.state = step.state;
        Advance {
            consumed: turn.at,
            progress: step.stop.unwrap_or(Progress::Yield),
        }
    }

    /// Whether the next byte begins a request.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Command)
    }

    /// Whether it may do more than log in.
    #[must_use]
    pub fn is_admitted(&self, settings: &Settings) -> bool {
        match self.grammar {
            Grammar::Text => true,
            Grammar::Unheard(_) => !settings.needs_login(),
            Grammar::Login(_) => false,
            Grammar::Binary(sasl) => sasl.gate() != Gate::Locked,
        }
    }

    /// Small requests that fill a read end the expectation of large ones.
    #[cold]
    fn still_expects_large(&self, input_len: usize) -> bool {
        input_len < HEAD_LEN || matches!(self.state, State::Upload(_))
    }

    fn resume(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        match mem::take(&mut self.state) {
            State::Command => self.run_all(turn),
            State::Keys(line) => retrieval::resume(turn, line),
            State::Upload(upload) => upload::resume(turn, upload),
            State::Swallow(left) => swallow(turn, left),
            State::SkipLine => skip_line(turn),
            State::Stream(stream) => stream::resume(turn, stream),
        }
    }

    /// Runs requests until one leaves the conversation elsewhere, or the turn ends.
    fn run_all(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        loop {
            if turn.at == turn.input.len() {
                return Step::stop(State::Command, Progress::NeedInput);
            }
            let step = self.run_one(turn);
            if step.stop.is_some() || !matches!(step.state, State::Command) {
                return step;
            }
        }
    }

    /// Runs the next request, or a batch of them.
    #[inline]
    fn run_one(&mut self, turn: &mut Turn<'_, '_>) -> Step {
        let Some(&first) = turn.rest().first() else {
            return Step::stop(State::Command, Progress::NeedInput);
        };
        if turn.is_full() {
            return Step::stop(State::Command, Progress::Full);
        }
        if let Grammar::Unheard(services) = self.grammar {
            self.grammar = Grammar::choose(services, first, &turn.shared().settings);
        }
        match &mut self.grammar {
            Grammar::Binary(sasl) => binary::command(turn, sasl),
            Grammar::Login(tries) => {
                let TextLogin { step, admitted } = auth::run_one(turn, tries);
                if admitted {
                    self.grammar = Grammar::Text;
                }
                step
            }
            Grammar::Unheard(_) | Grammar::Text => classic::command(turn),
        }
    }

    /// From now on the client is sent what `feed` has for it, and what it sends is ignored.
    pub fn follow(&mut self, feed: Arc<Feed>) {
        self.state = State::Stream(Box::new(Stream::Feed(feed)));
    }

    /// What to read next. For a large value that is coming in it is the value itself: then `gaps`
    /// has been given the places, for at most `most` bytes, and [`filled`](Self::filled) must be
    /// told how many bytes came, before anything else.
    pub fn next_read<'a>(
        &mut self,
        lane: &'a mut Lane,
        most: u32,
        gaps: &mut [Gap<'a>],
        now: Now,
    ) -> NextRead {
        let bytes = match self.grammar {
            _ if self.large => HEAD_LEN,
            // Before a login nothing is worth reading at once.
            Grammar::Unheard(_) | Grammar::Login(_) => HEAD_LEN,
            Grammar::Binary(sasl) if sasl.gate() == Gate::Locked => HEAD_LEN,
            _ => usize::MAX,
        };
        let State::Upload(upload) = &mut self.state else {
            return NextRead::Bytes(bytes);
        };
        let missing = upload.missing();
        if missing < GAP_MIN {
            return NextRead::Bytes(bytes);
        }
        let count = upload.gaps(lane, most, gaps, now);
        let room: usize = gaps[..count].iter().map(Gap::len).sum();
        match count {
            // There is no memory: reading on finds that out.
            0 => NextRead::Bytes(bytes),
            gaps => NextRead::Value {
                gaps,
                rest: if room == usize_from(u64::from(missing)) {
                    bytes
                } else {
                    0
                },
            },
        }
    }

    /// `count` bytes of the value are in the gaps.
    pub fn filled(&mut self, lane: &mut Lane, count: u32) {
        if let State::Upload(upload) = &mut self.state {
            upload.filled(lane, count);
        }
    }

    /// Bytes of an unfinished value that lie in the store.
    #[must_use]
    pub fn uploaded(&self) -> u64 {
        match &self.state {
            State::Upload(upload) => upload.received().into(),
            _ => 0,
        }
    }

    /// Whether a request has come in part, beyond what is left of the input.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        !matches!(self.state, State::Command | State::Stream(_))
    }

    /// The connection is gone: gives back what an unfinished request holds.
    pub fn hang_up(&mut self, lane: &mut Lane) {
        if let State::Upload(upload) = mem::take(&mut self.state) {
            upload.abandon(lane);
        }
    }

    /// memcached's name of the state, for `stats conns`.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match &self.state {
            State::Command | State::SkipLine => "conn_read",
            State::Stream(stream) if stream.is_endless() => "conn_watch",
            State::Keys(_) | State::Stream(_) => "conn_mwrite",
            State::Upload(_) => "conn_nread",
            State::Swallow(_) => "conn_swallow",
        }
    }
}

fn swallow(turn: &mut Turn<'_, '_>, left: u64) -> Step {
    let here = turn.rest().len();
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
    turn.at += take;
    match left - take as u64 {
        0 => Step::go(State::Command),
        left => Step::stop(State::Swallow(left), Progress::NeedInput),
    }
}

fn skip_line(turn: &mut Turn<'_, '_>) -> Step {
    match memchr(b'\n', turn.rest()) {
        Some(newline) => {
            turn.at += newline + 1;
            Step::go(State::Command)
        }
        None => {
            turn.at = turn.input.len();
            Step::stop(State::SkipLine, Progress::NeedInput)
        }
    }
}

const _: () = assert!(
    size_of::<Session>() <= 32,
    "ten thousand idle connections each have one"
);
