//! Values on their way in, for every protocol.
//!
//! The protocols differ in what follows a value and in what they answer; that is a [`Finish`]. The
//! rest is the same: a value that is whole in the input is stored at once, another is received
//! piece by piece, a refused one is answered and then skipped.

use crate::base::clock::Now;
use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::base::part::Gap;
use crate::protocol::meta::{MetaLine, parse};
use crate::protocol::text::ErrorLine;
use crate::protocol::text::reply::CRLF;
use crate::session::binary::StoreTicket;
use crate::session::classic::ClassicFinish;
use crate::session::meta::MetaFinish;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State, tally};
use crate::store::{self, HashedKey, Lane, StoreError, StoreRequest, Stored};

/// A value of so many bytes is better received where it will lie than copied there: that saves more
/// than another system call costs.
const LARGE_MIN: usize = 32 << 10;

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
    fn trailer(&self) -> &'static [u8] {
        match self {
            Self::Classic(_) | Self::Meta(_) => CRLF,
            Self::Binary(_) => b"",
        }
    }

    /// Whether `rest` goes on as it must behind the value.
    #[inline]
    fn is_followed_by(&self, rest: &[u8]) -> bool {
        self.trailer().is_empty() || rest.starts_with(CRLF)
    }

    /// Whether a value that cannot be stored must at least end the life of the old one, so that
    /// nobody reads what its owner meant to replace.
    fn removes_old(&self) -> bool {
        match self {
            Self::Classic(finish) => finish.removes_old(),
            Self::Meta(finish) => finish.removes_old(),
            Self::Binary(ticket) => ticket.removes_old(),
        }
    }

    fn stored(&self, turn: &mut Turn<'_, '_>, stored: Stored) {
        match self {
            Self::Classic(finish) => finish.stored(turn, stored),
            Self::Meta(finish) => finish.stored(turn, stored),
            Self::Binary(ticket) => ticket.stored(turn, stored),
        }
    }

    fn bad_chunk(&self, turn: &mut Turn<'_, '_>) {
        match self {
            Self::Classic(finish) => finish.bad_chunk(turn),
            Self::Meta(_) => {
                tally::stored_nothing(turn.counters());
                turn.error(ErrorLine::BadChunk);
            }
            Self::Binary(_) => {} // Nothing follows a packet's value, so nothing can be wrong.
        }
    }

    /// Tells that the value is not kept, and removes what it was to replace.
    fn refused(&self, turn: &mut Turn<'_, '_>, key: &HashedKey<'_>, refusal: Refusal) {
        tally::store_failed(
            turn.counters(),
            match refusal {
                Refusal::TooLarge => StoreError::TooLarge,
                Refusal::NoMemory | Refusal::NoMemoryMidway => StoreError::OutOfMemory,
            },
        );
        if self.removes_old() {
            turn.context.lane.delete(key, None, turn.context.now);
        }
        match self {
            Self::Classic(finish) => finish.refused(turn, refusal),
            Self::Meta(_) => turn.error(refusal.line()),
            Self::Binary(ticket) => ticket.refused(turn, refusal),
        }
    }

    /// What outlives the input.
    fn keep(&self) -> Kept {
        match *self {
            Self::Classic(finish) => Kept::Classic(finish),
            Self::Meta(finish) => Kept::Meta(finish.line.into()),
            Self::Binary(ticket) => Kept::Binary(ticket),
        }
    }
}

/// A [`Finish`] that waits for its value.
#[derive(Debug)]
enum Kept {
    Classic(ClassicFinish),
    /// The line, without its end. It is parsed again: its flags are as many as it has bytes.
    Meta(Box<[u8]>),
    Binary(StoreTicket),
}

impl Kept {
    fn then(&self, act: impl FnOnce(Finish<'_>)) {
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

/// A value that has been announced: its bytes come next in the input.
pub(super) struct Incoming<'a> {
    /// Where to store it.
    pub(super) key: HashedKey<'a>,
    /// How.
    pub(super) request: StoreRequest,
    /// Its length without what follows it.
    pub(super) value_len: u32,
    /// What to answer.
    pub(super) finish: Finish<'a>,
}

/// A value of which a part has come.
#[derive(Debug)]
pub(super) struct Upload {
    inner: store::Upload,
    value_len: u32,
    finish: Kept,
    /// What must follow.
    trailer: &'static [u8],
    /// Its key: the line that named it is gone.
    key: Box<[u8]>,
}

impl Upload {
    /// Bytes of the value that have come.
    pub(super) fn received(&self) -> u32 {
        self.value_len - self.missing()
    }

    /// Bytes of the value that are still to come.
    pub(super) fn missing(&self) -> u32 {
        self.inner.missing()
    }

    /// [`Lane::gaps`].
    pub(super) fn gaps<'a>(
        &mut self,
        lane: &'a mut Lane,
        most: u32,
        gaps: &mut [Gap<'a>],
        now: Now,
    ) -> usize {
        lane.gaps(&mut self.inner, most, gaps, now)
    }

    /// [`Lane::filled`].
    pub(super) fn filled(&mut self, lane: &mut Lane, count: u32) {
        lane.filled(&mut self.inner, count);
    }

    /// Gives its memory back.
    pub(super) fn abandon(self, lane: &mut Lane) {
        lane.abandon(self.inner);
    }
}

/// Begins to receive a value.
pub(super) fn receive(turn: &mut Turn<'_, '_>, incoming: Incoming<'_>) -> State {
    let (rest, trailer) = (turn.rest(), incoming.finish.trailer());
    let len = usize_from(u64::from(incoming.value_len));
    turn.large |= len >= LARGE_MIN;
    if rest.len() < len + trailer.len() || !incoming.finish.is_followed_by(&rest[len..]) {
        return receive_slowly(turn, &incoming);
    }
    let Incoming {
        key,
        request,
        finish,
        ..
    } = &incoming;
    match turn
        .context
        .lane
        .put(key, request, &rest[..len], turn.context.now)
    {
        Ok(stored) => {
            turn.at += len + trailer.len();
            finish.stored(turn, stored);
            State::Command
        }
        Err(error) => refuse(turn, &incoming, error),
    }
}

/// Receives a value that is not all here, or ends badly: which must be known before it is linked,
/// and told only if it would have been accepted.
fn receive_slowly(turn: &mut Turn<'_, '_>, incoming: &Incoming<'_>) -> State {
    let Incoming {
        key,
        request,
        value_len,
        finish,
    } = incoming;
    match turn
        .context
        .lane
        .begin(key, request, *value_len, turn.context.now)
    {
        Ok(inner) => State::Upload(Box::new(Upload {
            inner,
            value_len: *value_len,
            finish: finish.keep(),
            trailer: finish.trailer(),
            key: key.key.as_bytes().into(),
        })),
        Err(error) => refuse(turn, incoming, error),
    }
}

/// Answers at once and skips the value.
fn refuse(turn: &mut Turn<'_, '_>, incoming: &Incoming<'_>, error: StoreError) -> State {
    let finish = &incoming.finish;
    finish.refused(turn, &incoming.key, refusal(error));
    State::Swallow(u64::from(incoming.value_len) + finish.trailer().len() as u64)
}

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::TooLarge => Refusal::TooLarge,
        StoreError::OutOfMemory => Refusal::NoMemory,
    }
}

/// Goes on receiving.
pub(super) fn resume(turn: &mut Turn<'_, '_>, mut upload: Box<Upload>) -> Step {
    let missing = usize_from(u64::from(upload.inner.missing()));
    let rest = turn.rest();
    let piece = &rest[..missing.min(rest.len())];
    if !piece.is_empty() {
        if turn
            .context
            .lane
            .fill(&mut upload.inner, piece, turn.context.now)
            .is_err()
        {
            return give_up(turn, *upload);
        }
        turn.at += piece.len();
    }
    let left = missing - piece.len() + upload.trailer.len();
    if piece.len() < missing || turn.rest().len() < left {
        return Step::stop(State::Upload(upload), Progress::NeedInput);
    }
    complete(turn, *upload);
    Step::go(State::Command)
}

/// All of the value is here, and as many bytes as should end it.
fn complete(turn: &mut Turn<'_, '_>, upload: Upload) {
    let ends_well = turn.rest().starts_with(upload.trailer);
    turn.at += upload.trailer.len();
    if !ends_well {
        turn.context.lane.abandon(upload.inner);
        upload.finish.then(|finish| finish.bad_chunk(turn));
        return;
    }
    match turn.context.lane.commit(upload.inner, turn.context.now) {
        Ok(stored) => upload.finish.then(|finish| finish.stored(turn, stored)),
        Err(error) => refuse_late(turn, &upload.finish, &upload.key, refusal(error)),
    }
}

/// There is no memory for the next piece.
fn give_up(turn: &mut Turn<'_, '_>, upload: Upload) -> Step {
    let missing = u64::from(upload.inner.missing());
    turn.context.lane.abandon(upload.inner);
    refuse_late(turn, &upload.finish, &upload.key, Refusal::NoMemoryMidway);
    Step::go(State::Swallow(missing + upload.trailer.len() as u64))
}

fn refuse_late(turn: &mut Turn<'_, '_>, finish: &Kept, key: &[u8], refusal: Refusal) {
    let key = Key::new(key).expect("it was a key when the upload began");
    let key = turn.context.lane.hashed(key);
    finish.then(|finish| finish.refused(turn, &key, refusal));
}
