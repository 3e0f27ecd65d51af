//! One connection's conversation, without the connection.
//!
//! A [`Session`] is fed bytes and appends bytes to an [`Output`]. It does not know whether they
//! come from TCP, a UNIX socket or a test, and it is told the time. Splitting the same input at
//! different places gives the same output; `tests/session_sim.rs` checks exactly that.
//!
//! ```text
//!                 ┌───────────────────────── line ──────────────────────────────┐
//!                 ▼                                                             │
//!              Request ──set, add, ...──▶ Receiving{n left} ──CRLF──▶ apply, reply
//!              │  ▲  │                        │
//!   get, gat.. │  │  │ too large, bad flags   └─ bad ending ─▶ CLIENT_ERROR ─▶ Request
//!              ▼  │  ▼
//!      Keys ──end─┤  Swallow{n left} ─▶ Request
//!        │        │
//!  long  ▼        │  The error line is out before the value that it refuses has come in: a
//!     SkipLine ───┘  client that waits for it before it sends the value is not left hanging.
//!
//!   advance ─▶ resume ─▶ run_all ─▶ run_one ─▶ execute   by state, by grammar, by verb
//! ```
//!
//! Packets go the same ways, without the lines of keys. The first byte of a connection decides what
//! it speaks, once. How far its login has come is kept beside that: until one has succeeded, where
//! the operator asks for logins, nothing else is understood in any grammar.
//!
//! A reply that may be long is a state, too: a `Stream`, which is asked for pieces while there is
//! room for them. That of `watch` has no end: `events` has what is told, and `watchers` to whom.
//!
//! A value that is whole in the input never becomes a `Receiving`: it is stored on the spot. What
//! is missing of one may also be brought past the input, by [`Session::next_read`]. A line of keys
//! is answered as it comes, so neither its length nor that of its answer bounds our memory: above
//! [`OUTPUT_MAX`] the session stops and remembers that it is inside a line.

mod admin;
mod ahead;
mod binary;
mod call;
mod classic;
mod count;
mod datagram;
mod dump;
mod events;
mod feed;
mod finish;
mod host;
mod login;
mod meta;
mod output;
mod receive;
mod receiving;
mod report;
mod retrieval;
mod shared;
mod state;
mod stream;
mod watchers;

pub use call::INPUT_MAX;
pub use datagram::answer_datagram;
pub use host::{ConnectionId, Host};
pub use output::{OUTPUT_MAX, Output};
pub use shared::{Context, Shared};
pub use state::Progress;

use crate::base::clock::Now;
use crate::base::number::usize_from;
use crate::base::part::Gap;
use crate::base::services::Services;
use crate::base::settings::Settings;
use crate::protocol::binary::MAGIC_REQUEST;
use crate::session::call::Call;
use crate::session::login::LoginState;
use crate::session::state::{State, Step};
use crate::session::stream::{Left, Stream};
use crate::store::Lane;
use memchr::memchr;
use std::mem;

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

/// What the connection's bytes mean.
///
/// ```text
///                ┌─ 0x80, or -B binary ─▶ Binary
///   Unheard ─────┤
///                └─ else, or -B ascii ──▶ Text
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grammar {
    /// Nothing has come yet.
    Unheard(Services),
    /// Lines: classic and meta commands.
    Text,
    /// Packets.
    Binary,
}

impl Grammar {
    /// What a connection speaks whose first byte this is.
    fn choose(services: Services, first: u8) -> Self {
        match (services.has(Services::TEXT), services.has(Services::BINARY)) {
            (true, true) if first == MAGIC_REQUEST => Self::Binary,
            (false, true) => Self::Binary,
            _ => Self::Text,
        }
    }
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    grammar: Grammar,
    login: LoginState,
    state: State,
    /// Large values have been coming: likely the next one is as large.
    large: bool,
    /// What changes the server is refused.
    guest: bool,
}

impl Session {
    /// A new conversation; `services` are what its listener speaks.
    #[must_use]
    pub fn new(services: Services, settings: &Settings) -> Self {
        Self {
            grammar: Grammar::Unheard(services),
            login: LoginState::new(settings.needs_login()),
            state: State::Request,
            large: false,
            guest: false,
        }
    }

    /// The conversation of one datagram, whose sender may be anybody.
    fn of_datagram(services: Services, settings: &Settings) -> Self {
        Self {
            guest: true,
            ..Self::new(services, settings)
        }
    }

    /// Uses up input and appends replies.
    pub fn advance(
        &mut self,
        context: &mut Context<'_>,
        input: &[u8],
        out: &mut Output,
    ) -> Advance {
        let mut call = Call::new(context, input, out, self.guest);
        loop {
            if let Some(progress) = self.step(&mut call) {
                if call.large != self.large {
                    self.large = call.large || self.still_expects_large(input.len());
                }
                return Advance {
                    consumed: call.at,
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
        let mut call = Call::new(context, input, out, self.guest);
        call.requests_left = 1;
        let stop = self.step(&mut call);
        Advance {
            consumed: call.at,
            progress: stop.unwrap_or(Progress::Yield),
        }
    }

    /// Goes on from where the conversation stands; why the call ends here, if it does.
    #[inline(always)] // Once in `advance`: a call of its own is 2 % of a get.
    fn step(&mut self, call: &mut Call<'_, '_>) -> Option<Progress> {
        let step = self.resume(call);
        self.state = step.state;
        step.stop
    }

    /// Whether the next byte begins a request.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Request)
    }

    /// Whether it may do more than log in.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        !self.login.is_locked()
    }

    /// Small requests that fill a read end the expectation of large ones.
    #[cold]
    fn still_expects_large(&self, input_len: usize) -> bool {
        input_len < HEAD_LEN || matches!(self.state, State::Receiving(_))
    }

    fn resume(&mut self, call: &mut Call<'_, '_>) -> Step {
        match mem::take(&mut self.state) {
            State::Request => self.run_all(call),
            State::Keys(line) => retrieval::resume(call, line),
            State::Receiving(value) => receive::resume(call, value),
            State::Swallow(left) => swallow(call, left),
            State::SkipLine => skip_line(call),
            State::Stream(stream) => pull(call, stream),
        }
    }

    /// Runs requests until one leaves the conversation elsewhere, or the turn ends.
    fn run_all(&mut self, call: &mut Call<'_, '_>) -> Step {
        loop {
            if call.at == call.input.len() {
                return Step::stop(State::Request, Progress::NeedInput);
            }
            let step = self.run_one(call);
            if step.stop.is_some() || !matches!(step.state, State::Request) {
                return step;
            }
        }
    }

    /// Runs the next request, or a batch of them.
    #[inline]
    fn run_one(&mut self, call: &mut Call<'_, '_>) -> Step {
        let Some(&first) = call.rest().first() else {
            return Step::stop(State::Request, Progress::NeedInput);
        };
        if call.is_full() {
            return Step::stop(State::Request, Progress::Full);
        }
        if let Grammar::Unheard(services) = self.grammar {
            self.grammar = Grammar::choose(services, first);
        }
        match self.grammar {
            Grammar::Binary => binary::run_one(call, &mut self.login),
            _ if self.login.is_locked() => login::run_one(call, &mut self.login),
            Grammar::Unheard(_) | Grammar::Text => classic::run_one(call),
        }
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
        // Before a login, and before it has said anything, much at once is not worth it.
        let is_new = matches!(self.grammar, Grammar::Unheard(_));
        let bytes = if self.large || is_new || self.login.is_locked() {
            HEAD_LEN
        } else {
            usize::MAX
        };
        let State::Receiving(value) = &mut self.state else {
            return NextRead::Bytes(bytes);
        };
        let missing = value.missing();
        if missing < GAP_MIN {
            return NextRead::Bytes(bytes);
        }
        let count = value.gaps(lane, most, gaps, now);
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
        if let State::Receiving(value) = &mut self.state {
            value.filled(lane, count);
        }
    }

    /// Bytes of an unfinished value that lie in the store.
    #[must_use]
    pub fn uploaded(&self) -> u64 {
        match &self.state {
            State::Receiving(value) => value.received().into(),
            _ => 0,
        }
    }

    /// Bytes that may wait for the client at any time beside its replies: of one that watches.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        match &self.state {
            State::Stream(stream) => stream.reserved(),
            _ => 0,
        }
    }

    /// Whether a request has come in part, beyond what is left of the input.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        !matches!(self.state, State::Request | State::Stream(_))
    }

    /// The connection is gone: gives back what an unfinished request holds.
    pub fn hang_up(&mut self, lane: &mut Lane) {
        if let State::Receiving(value) = mem::take(&mut self.state) {
            value.abandon(lane);
        }
    }

    /// memcached's name of the state, for `stats conns`.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        match &self.state {
            State::Request | State::SkipLine => "conn_read",
            State::Stream(stream) if stream.is_endless() => "conn_watch",
            State::Keys(_) | State::Stream(_) => "conn_mwrite",
            State::Receiving(_) => "conn_nread",
            State::Swallow(_) => "conn_swallow",
        }
    }
}

/// Goes on with a reply that is produced piece by piece.
#[inline(never)]
fn pull(call: &mut Call<'_, '_>, mut stream: Box<Stream>) -> Step {
    if stream.is_endless() {
        call.at = call.input.len(); // Whoever listens has nothing to say.
    }
    loop {
        if call.is_full() {
            return Step::stop(State::Stream(stream), Progress::Full);
        }
        if call.requests_left == 0 {
            return Step::stop(State::Stream(stream), Progress::Yield);
        }
        call.count_request();
        match stream.push_piece(call) {
            Left::More => {}
            Left::Later => return Step::stop(State::Stream(stream), Progress::NeedInput),
            Left::Nothing => {
                stream.push_end(call);
                return Step::go(State::Request);
            }
        }
    }
}

fn swallow(call: &mut Call<'_, '_>, left: u64) -> Step {
    let here = call.rest().len();
    let take = usize::try_from(left).unwrap_or(usize::MAX).min(here);
    call.at += take;
    match left - take as u64 {
        0 => Step::go(State::Request),
        left => Step::stop(State::Swallow(left), Progress::NeedInput),
    }
}

fn skip_line(call: &mut Call<'_, '_>) -> Step {
    match memchr(b'\n', call.rest()) {
        Some(newline) => {
            call.at += newline + 1;
            Step::go(State::Request)
        }
        None => {
            call.at = call.input.len();
            Step::stop(State::SkipLine, Progress::NeedInput)
        }
    }
}

const _: () = assert!(
    size_of::<Session>() <= 32,
    "ten thousand idle connections each have one"
);
