//! Values on their way in, for every protocol.
//!
//! The protocols differ in what follows a value and in what they answer; that is a [`Finish`]. The
//! rest is the same: a value that is whole in the input is stored at once, another is received
//! piece by piece, a refused one is answered and then skipped.

use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::protocol::text::ErrorLine;
use crate::session::classic::ClassicFinish;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State};
use crate::store::{self, HashedKey, Lane, StoreError, StoreRequest, Stored};

/// What to answer when a value has come in, or cannot.
#[derive(Debug)]
pub(super) enum Finish {
    /// `set` and its kin.
    Classic(ClassicFinish),
}

impl Finish {
    /// What must follow the value.
    fn trailer(&self) -> &'static [u8] {
        match self {
            Self::Classic(_) => b"\r\n",
        }
    }

    /// Whether a value that cannot be stored must at least end the life of the old one, so that
    /// nobody reads what its owner meant to replace.
    fn removes_old(&self) -> bool {
        match self {
            Self::Classic(finish) => finish.removes_old(),
        }
    }

    fn stored(&self, turn: &mut Turn<'_, '_>, stored: Stored) {
        match self {
            Self::Classic(finish) => finish.stored(turn, stored),
        }
    }

    fn bad_chunk(&self, turn: &mut Turn<'_, '_>) {
        match self {
            Self::Classic(finish) => finish.bad_chunk(turn),
        }
    }

    fn failed(&self, turn: &mut Turn<'_, '_>, error: ErrorLine) {
        match self {
            Self::Classic(finish) => finish.failed(turn, error),
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
    pub(super) finish: Finish,
}

/// A value of which a part has come.
#[derive(Debug)]
pub(super) struct Upload {
    inner: store::Upload,
    finish: Finish,
    /// Its key: the line that named it is gone.
    key: Box<[u8]>,
}

impl Upload {
    /// Gives its memory back.
    pub(super) fn abandon(self, lane: &mut Lane) {
        lane.abandon(self.inner);
    }
}

/// Begins to receive a value.
pub(super) fn receive(turn: &mut Turn<'_, '_>, incoming: Incoming<'_>) -> State {
    let (rest, trailer) = (turn.rest(), incoming.finish.trailer());
    let len = usize_from(u64::from(incoming.value_len));
    if rest.len() < len + trailer.len() || !rest[len..].starts_with(trailer) {
        return receive_slowly(turn, incoming);
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
fn receive_slowly(turn: &mut Turn<'_, '_>, incoming: Incoming<'_>) -> State {
    let Incoming {
        key,
        request,
        value_len,
        ..
    } = &incoming;
    match turn
        .context
        .lane
        .begin(key, request, *value_len, turn.context.now)
    {
        Ok(inner) => State::Upload(Box::new(Upload {
            inner,
            key: key.key.as_bytes().into(),
            finish: incoming.finish,
        })),
        Err(error) => refuse(turn, &incoming, error),
    }
}

/// Answers at once and skips the value.
fn refuse(turn: &mut Turn<'_, '_>, incoming: &Incoming<'_>, error: StoreError) -> State {
    if incoming.finish.removes_old() {
        turn.context
            .lane
            .delete(&incoming.key, None, turn.context.now);
    }
    fail(turn, &incoming.finish, error);
    State::Swallow(u64::from(incoming.value_len) + incoming.finish.trailer().len() as u64)
}

fn fail(turn: &mut Turn<'_, '_>, finish: &Finish, error: StoreError) {
    match error {
        StoreError::TooLarge => finish.failed(turn, ErrorLine::TooLarge),
        StoreError::OutOfMemory => finish.failed(turn, ErrorLine::OutOfMemoryStoring),
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
    let left = missing - piece.len() + upload.finish.trailer().len();
    if piece.len() < missing || turn.rest().len() < left {
        return Step::stop(State::Upload(upload), Progress::NeedInput);
    }
    complete(turn, *upload);
    Step::go(State::Command)
}

/// All of the value is here, and as many bytes as should end it.
fn complete(turn: &mut Turn<'_, '_>, upload: Upload) {
    let trailer = upload.finish.trailer();
    let ends_well = turn.rest().starts_with(trailer);
    turn.at += trailer.len();
    if !ends_well {
        turn.context.lane.abandon(upload.inner);
        upload.finish.bad_chunk(turn);
        return;
    }
    match turn.context.lane.commit(upload.inner, turn.context.now) {
        Ok(stored) => upload.finish.stored(turn, stored),
        Err(error) => {
            remove_old(turn, &upload.finish, &upload.key);
            fail(turn, &upload.finish, error);
        }
    }
}

/// There is no memory for the next piece.
fn give_up(turn: &mut Turn<'_, '_>, upload: Upload) -> Step {
    let missing = u64::from(upload.inner.missing());
    turn.context.lane.abandon(upload.inner);
    remove_old(turn, &upload.finish, &upload.key);
    upload.finish.failed(turn, ErrorLine::OutOfMemoryReading);
    Step::go(State::Swallow(
        missing + upload.finish.trailer().len() as u64,
    ))
}

fn remove_old(turn: &mut Turn<'_, '_>, finish: &Finish, key: &[u8]) {
    if let Some(key) = Key::new(key).filter(|_| finish.removes_old()) {
        let key = turn.context.lane.hashed(key);
        turn.context.lane.delete(&key, None, turn.context.now);
    }
}
