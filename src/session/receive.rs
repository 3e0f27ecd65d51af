//! Values on their way in, for every protocol.
//!
//! The protocols differ in how a value ends ([`Finish`]). The rest is the same: a value that is
//! whole in the input is stored at once, another is received piece by piece, a refused one is
//! answered and then skipped.

use crate::base::key::Key;
use crate::base::number::usize_from;
use crate::session::call::Call;
use crate::session::events;
use crate::session::finish::{Finish, Refusal};
use crate::session::receiving::Receiving;
use crate::session::state::{Progress, State, Step};
use crate::store::{HashedKey, StoreError, StoreRequest, Upload};

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

/// Begins to receive a value.
pub(super) fn receive(call: &mut Call<'_, '_>, incoming: Incoming<'_>) -> State {
    let (rest, trailer) = (call.rest(), incoming.finish.trailer());
    let len = usize_from(u64::from(incoming.value_len));
    call.large |= len >= LARGE_MIN;
    if rest.len() < len + trailer.len() || !incoming.finish.is_followed_by(&rest[len..]) {
        return receive_slowly(call, &incoming);
    }
    let Incoming {
        key,
        request,
        finish,
        ..
    } = &incoming;
    events::before_change(call.context, key);
    match call
        .context
        .lane
        .put(key, request, &rest[..len], call.context.now)
    {
        Ok(stored) => {
            events::stored(call.context, key, request, &stored);
            call.at += len + trailer.len();
            finish.stored(call, stored);
            State::Request
        }
        Err(error) => refuse(call, &incoming, error),
    }
}

/// Receives a value that is not all here, or ends badly: which must be known before it is linked,
/// and reported only if it would have been accepted.
fn receive_slowly(call: &mut Call<'_, '_>, incoming: &Incoming<'_>) -> State {
    let Incoming {
        key,
        request,
        value_len,
        finish,
    } = incoming;
    match call
        .context
        .lane
        .begin(key, request, *value_len, call.context.now)
    {
        Ok(inner) => State::Receiving(Box::new(Receiving {
            inner,
            value_len: *value_len,
            finish: finish.keep(),
            trailer: finish.trailer(),
            key: key.key.as_bytes().into(),
        })),
        Err(error) => refuse(call, incoming, error),
    }
}

/// Answers at once and skips the value.
fn refuse(call: &mut Call<'_, '_>, incoming: &Incoming<'_>, error: StoreError) -> State {
    let Incoming { key, finish, .. } = incoming;
    events::refused(call.context, key.key, &incoming.request, error);
    finish.refused(call, key, refusal(error));
    State::Swallow(u64::from(incoming.value_len) + finish.trailer().len() as u64)
}

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::TooLarge => Refusal::TooLarge,
        StoreError::OutOfMemory => Refusal::NoMemory,
    }
}

/// Goes on receiving.
pub(super) fn resume(call: &mut Call<'_, '_>, mut upload: Box<Receiving>) -> Step {
    let missing = usize_from(u64::from(upload.inner.missing()));
    let rest = call.rest();
    let piece = &rest[..missing.min(rest.len())];
    if !piece.is_empty() {
        if call
            .context
            .lane
            .fill(&mut upload.inner, piece, call.context.now)
            .is_err()
        {
            return give_up(call, *upload);
        }
        call.at += piece.len();
    }
    let left = missing - piece.len() + upload.trailer.len();
    if piece.len() < missing || call.rest().len() < left {
        return Step::stop(State::Receiving(upload), Progress::NeedInput);
    }
    complete(call, *upload);
    Step::go(State::Request)
}

/// The key that a value comes for, as the store knows it.
fn hashed<'a>(upload: &Upload, key: &'a [u8]) -> HashedKey<'a> {
    upload.hashed(Key::new(key).expect("it was a key when the upload began"))
}

/// All of the value is here, and as many bytes as should end it.
fn complete(call: &mut Call<'_, '_>, upload: Receiving) {
    let ends_well = call.rest().starts_with(upload.trailer);
    call.at += upload.trailer.len();
    if !ends_well {
        call.context.lane.abandon(upload.inner);
        upload.finish.then(|finish| finish.bad_chunk(call));
        return;
    }
    let (key, request) = (hashed(&upload.inner, &upload.key), *upload.inner.request());
    events::before_change(call.context, &key);
    match call.context.lane.commit(upload.inner, call.context.now) {
        Ok(stored) => {
            events::stored(call.context, &key, &request, &stored);
            upload.finish.then(|finish| finish.stored(call, stored));
        }
        Err(error) => {
            events::refused(call.context, key.key, &request, error);
            let refusal = refusal(error);
            upload
                .finish
                .then(|finish| finish.refused(call, &key, refusal));
        }
    }
}

/// There is no memory for the next piece.
fn give_up(call: &mut Call<'_, '_>, upload: Receiving) -> Step {
    let missing = u64::from(upload.inner.missing());
    let (key, error) = (hashed(&upload.inner, &upload.key), StoreError::OutOfMemory);
    events::refused(call.context, key.key, upload.inner.request(), error);
    call.context.lane.abandon(upload.inner);
    let refusal = Refusal::NoMemoryMidway;
    upload
        .finish
        .then(|finish| finish.refused(call, &key, refusal));
    Step::go(State::Swallow(missing + upload.trailer.len() as u64))
}
