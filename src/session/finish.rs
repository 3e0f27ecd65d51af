//! What ends a value's way in: what is answered, and what becomes of the old value.
//!
//! The protocols differ in what follows a value and in what they answer; that is a [`Finish`].

use crate::protocol::ErrorLine;
use crate::protocol::binary::{Reply, Status};
use crate::protocol::meta::{
    Code, Flag, MetaCommand, MetaKey, MetaLine, MetaRequest, parse, push_code, push_end, push_key,
    push_number, push_opaque,
};
use crate::protocol::text::reply::CRLF;
use crate::session::call::Call;
use crate::session::{count, events};
use crate::store::{HashedKey, StoreError, StoreMode, StoreOutcome, Stored};

/// What to answer when a value has come in, or cannot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finish<'a> {
    /// `set` and its kin.
    Classic(ClassicFinish),
    /// `ms`.
    Meta(MetaFinish<'a>),
    /// A packet.
    Binary(StoreTicket),
}

/// Why a value is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No item may be so large.
    TooLarge,
    /// There is no memory for it.
    NoMemory,
    /// The memory ended while it came in.
    NoMemoryMidway,
}

impl Refusal {
    /// How the text protocols say it.
    pub(super) fn line(self) -> ErrorLine {
        match self {
            Self::TooLarge => ErrorLine::TooLarge,
            Self::NoMemory => ErrorLine::OutOfMemoryStoring,
            Self::NoMemoryMidway => ErrorLine::OutOfMemoryReading,
        }
    }
}

impl Finish<'_> {
    /// What must follow the value.
    #[inline]
    pub(super) fn trailer(&self) -> &'static [u8] {
        match self {
            Self::Classic(_) | Self::Meta(_) => CRLF,
            Self::Binary(_) => b"",
        }
    }

    /// Whether `rest` begins with what must follow the value.
    #[inline]
    pub(super) fn is_followed_by(&self, rest: &[u8]) -> bool {
        self.trailer().is_empty() || rest.starts_with(CRLF)
    }

    /// Whether a value that cannot be stored must at least end the life of the old one, so that
    /// nobody reads what its owner meant to replace.
    pub(super) fn removes_old(&self) -> bool {
        match self {
            Self::Classic(finish) => finish.removes_old(),
            Self::Meta(finish) => finish.removes_old(),
            Self::Binary(ticket) => ticket.removes_old(),
        }
    }

    /// The store has judged the value.
    pub(super) fn stored(&self, call: &mut Call<'_, '_>, stored: Stored) {
        match self {
            Self::Classic(finish) => finish.stored(call, stored),
            Self::Meta(finish) => finish.stored(call, stored),
            Self::Binary(ticket) => ticket.stored(call, stored),
        }
    }

    /// The value did not end where it should.
    pub(super) fn bad_chunk(&self, call: &mut Call<'_, '_>) {
        match self {
            Self::Classic(finish) => finish.bad_chunk(call),
            Self::Meta(_) => {
                count::stored_nothing(call.counters());
                call.error(ErrorLine::BadChunk);
            }
            Self::Binary(_) => {} // Nothing follows a packet's value, so nothing can be wrong.
        }
    }

    /// Tells that the value is not kept, and removes what it was to replace.
    pub(super) fn refused(&self, call: &mut Call<'_, '_>, key: &HashedKey<'_>, refusal: Refusal) {
        count::store_failed(
            call.counters(),
            match refusal {
                Refusal::TooLarge => StoreError::TooLarge,
                Refusal::NoMemory | Refusal::NoMemoryMidway => StoreError::OutOfMemory,
            },
        );
        if self.removes_old() {
            events::before_change(call.context, key);
            call.context.lane.delete(key, None, call.context.now);
        }
        match self {
            Self::Classic(finish) => finish.refused(call, refusal),
            Self::Meta(_) => call.error(refusal.line()),
            Self::Binary(ticket) => ticket.refused(call, refusal),
        }
    }

    /// What outlives the input.
    pub(super) fn keep(&self) -> Kept {
        match *self {
            Self::Classic(finish) => Kept::Classic(finish),
            Self::Meta(finish) => Kept::Meta(finish.line.into()),
            Self::Binary(ticket) => Kept::Binary(ticket),
        }
    }
}

/// A [`Finish`] that waits for its value.
#[derive(Debug)]
pub(super) enum Kept {
    /// `set` and its kin.
    Classic(ClassicFinish),
    /// The line, without its end. It is parsed again: its flags are as many as it has bytes.
    Meta(Box<[u8]>),
    /// A packet.
    Binary(StoreTicket),
}

impl Kept {
    /// Calls `act` with the finish.
    pub(super) fn then(&self, act: impl FnOnce(Finish<'_>)) {
        match self {
            Self::Classic(finish) => act(Finish::Classic(*finish)),
            Self::Binary(ticket) => act(Finish::Binary(*ticket)),
            Self::Meta(line) => {
                let mut decoded = None;
                let Ok(MetaLine::Request(request)) = parse(line, &mut decoded) else {
                    unreachable!("a line that was accepted once is accepted twice");
                };
                act(Finish::Meta(MetaFinish {
                    line,
                    request: &request,
                }));
            }
        }
    }
}

/// How a storage command answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassicFinish {
    /// It means to replace whatever is there.
    pub(super) replaces: bool,
    /// It has a CAS id.
    pub(super) compared: bool,
    /// The client wants no answer.
    pub(super) noreply: bool,
}

impl ClassicFinish {
    /// Only `set` means to replace whatever is there.
    fn removes_old(self) -> bool {
        self.replaces
    }

    /// The store has judged the value.
    fn stored(self, call: &mut Call<'_, '_>, stored: Stored) {
        count::stored(call.counters(), &stored, self.compared);
        match stored.outcome {
            // Apart from the others: a text of known length is two stores and no call.
            StoreOutcome::Stored => call.say_unless(self.noreply, b"STORED\r\n"),
            StoreOutcome::NotStored => call.say_unless(self.noreply, b"NOT_STORED\r\n"),
            StoreOutcome::Exists => call.say_unless(self.noreply, b"EXISTS\r\n"),
            StoreOutcome::NotFound => call.say_unless(self.noreply, b"NOT_FOUND\r\n"),
        }
    }

    /// The value did not end where it should.
    fn bad_chunk(self, call: &mut Call<'_, '_>) {
        count::stored_nothing(call.counters());
        call.say_unless(self.noreply, ErrorLine::BadChunk.as_bytes());
    }

    /// There is no room for the value.
    fn refused(self, call: &mut Call<'_, '_>, refusal: Refusal) {
        call.say_unless(self.noreply, refusal.line().as_bytes());
    }
}

/// How an `ms` answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct MetaFinish<'a> {
    /// The line without its end, for when the value comes later than the line.
    pub(super) line: &'a [u8],
    /// What it says.
    pub(super) request: &'a MetaRequest<'a>,
}

impl MetaFinish<'_> {
    /// Only the mode `S` means to replace whatever is there.
    fn removes_old(self) -> bool {
        self.request.command == MetaCommand::Set(StoreMode::Set)
    }

    /// The store has judged the value.
    fn stored(self, call: &mut Call<'_, '_>, stored: Stored) {
        let compared = compare(self.request).is_some();
        count::stored(call.counters(), &stored, compared);
        write_stored(self.request, &stored, call.out.bytes_mut());
    }
}

fn write_stored(request: &MetaRequest<'_>, stored: &Stored, out: &mut Vec<u8>) {
    let code = match stored.outcome {
        StoreOutcome::Stored if request.flags.has(b'q') => return,
        StoreOutcome::Stored => Code::Done,
        StoreOutcome::NotStored => Code::NotStored,
        StoreOutcome::Exists => Code::Exists,
        StoreOutcome::NotFound => Code::NotFound,
    };
    push_code(out, code);
    for flag in request.flags.iter() {
        match flag.letter {
            b'k' => write_key(&request.key, out),
            b'c' => push_number(out, b'c', stored.cas),
            b's' => push_number(out, b's', u64::from(stored.value_len)),
            _ => write_opaque(flag, out),
        }
    }
    push_end(out);
}

/// What an `ms` asks for.
pub(super) fn store_mode(request: &MetaRequest<'_>) -> StoreMode {
    match request.command {
        MetaCommand::Set(mode) => mode,
        _ => StoreMode::Set,
    }
}

/// The CAS id that an `ms` depends on: adding has none, and combining with C0 has none either.
pub(super) fn compare(request: &MetaRequest<'_>) -> Option<u64> {
    match store_mode(request) {
        StoreMode::Add => None,
        StoreMode::Set | StoreMode::Replace => request.flags.compare,
        StoreMode::Append | StoreMode::Prepend => request.flags.compare.filter(|&cas| cas != 0),
    }
}

/// Reflects the opaque, if this is its flag.
pub(super) fn write_opaque(flag: Flag<'_>, out: &mut Vec<u8>) {
    if flag.letter == b'O' {
        push_opaque(out, flag.argument);
    }
}

/// Reflects the key.
pub(super) fn write_key(key: &MetaKey<'_>, out: &mut Vec<u8>) {
    push_key(out, key.key(), key.is_binary());
}

/// What must be remembered of a store until its value is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreTicket {
    /// Where to answer.
    pub(super) reply: Reply,
    /// Success is not answered.
    pub(super) quiet: bool,
    /// It has a CAS id.
    pub(super) compared: bool,
    /// What was asked for.
    pub(super) mode: StoreMode,
}

impl StoreTicket {
    /// Only `set` means to replace whatever is there.
    fn removes_old(self) -> bool {
        self.mode == StoreMode::Set
    }

    /// The store has judged the value.
    fn stored(self, call: &mut Call<'_, '_>, stored: Stored) {
        count::stored(call.counters(), &stored, self.compared);
        let out = call.out.bytes_mut();
        match self.status(stored.outcome) {
            Status::Success if self.quiet => {}
            Status::Success => self.reply.push_done(out, stored.cas),
            status => self.reply.push_status(out, status),
        }
    }

    /// There is no room for the value.
    fn refused(self, call: &mut Call<'_, '_>, refusal: Refusal) {
        let status = match refusal {
            Refusal::TooLarge => Status::TooLarge,
            Refusal::NoMemory | Refusal::NoMemoryMidway => Status::OutOfMemory,
        };
        self.reply.push_status(call.out.bytes_mut(), status);
    }

    /// The status of a store that was tried.
    fn status(self, outcome: StoreOutcome) -> Status {
        match (outcome, self.mode) {
            (StoreOutcome::Stored, _) => Status::Success,
            (StoreOutcome::Exists, _) => Status::Exists,
            (StoreOutcome::NotFound, _) => Status::NotFound,
            (StoreOutcome::NotStored, StoreMode::Add) => Status::Exists,
            (StoreOutcome::NotStored, StoreMode::Replace) => Status::NotFound,
            (StoreOutcome::NotStored, _) => Status::NotStored,
        }
    }
}
