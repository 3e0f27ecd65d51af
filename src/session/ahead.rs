//! Looking ahead in a pipeline: what the next requests will read is loaded while this one runs.
//!
//! A lookup in a large store waits for memory two or three times, 200 to 300 ns each where the
//! page tables are deep. Asked for in a batch the waits overlap.

use crate::protocol::peek::Peeked;
use crate::session::turn::Turn;

/// Requests looked at together.
const BATCH: usize = 16;

/// Starts loading what the next requests are about, unless that has been done already.
///
/// One request alone would only pay for it.
#[inline]
pub(super) fn look(turn: &mut Turn<'_, '_>, peek: impl Fn(&[u8]) -> Option<Peeked<'_>>) {
    if turn.at < turn.looked_to {
        return;
    }
    let lane = &*turn.context.lane;
    let mut keys = [None; BATCH];
    let (mut count, mut at) = (0, turn.at);
    while count < BATCH
        && let Some(rest) = turn.input.get(at..)
        && let Some((key, len)) = peek(rest)
    {
        at += len;
        if count == 0 && at >= turn.input.len() {
            break;
        }
        keys[count] = key.map(|key| lane.hashed(key));
        count += 1;
    }
    turn.looked_to = at.max(turn.at + 1);
    if count > 1 {
        keys.iter()
            .flatten()
            .for_each(|key| lane.prefetch_bucket(key));
        keys.iter()
            .flatten()
            .for_each(|key| lane.prefetch_item(key));
    }
}
