//! Values on their way in, for every protocol.
//!
//! The protocols differ in how a value ends ([`Finish`]). The rest is the same: a value that is
//! whole in the input is stored at once, another is received piece by piece, a refused one is
//! answered and then skipped.

use crate::base::clock::Now;
use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::base::part::Gap;
use crate::session::finish::{Finish, Kept, Refusal};
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State};
use crate::store::{self, HashedKey, Lane, StoreError, StoreRequest};

/// A value of this many bytes is better received where it will lie than copied there: that saves
/// more than another system call costs.
const LARGE_MIN: usize = 32 << 10;

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
/// and reported only if it would have been accepted.
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
