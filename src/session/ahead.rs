//! Looking ahead in a pipeline: what the next requests will read is loaded while this one runs.
//!
//! A lookup in a large store waits for memory two or three times, 200 to 300 ns each where the
//! page tables are deep. Asked for in a batch the waits overlap.

use crate::protocol::peek::Peeked;
use crate::session::call::Call;
use crate::store::PREFETCH_MAX;

/// Starts loading what the next requests are about, unless that has been done already.
///
/// The request that is about to run begins at `from` and ends at `end`, with its value. One that is
/// alone, or the last, has nothing to overlap with and would only pay for it.
#[inline]
pub(super) fn look(
    call: &mut Call<'_, '_>,
    from: usize,
    end: usize,
    peek: impl Fn(&[u8]) -> Option<Peeked<'_>>,
) {
    if end < call.input.len() && from >= call.looked_to {
        look_from(call, from, peek);
    }
}

#[inline(never)]
fn look_from(call: &mut Call<'_, '_>, from: usize, peek: impl Fn(&[u8]) -> Option<Peeked<'_>>) {
    let lane = &*call.context.lane;
    let mut keys = [None; PREFETCH_MAX];
    let mut at = from;
    for place in &mut keys {
        let Some((key, len)) = call.input.get(at..).and_then(&peek) else {
            break;
        };
        at += len;
        *place = key.map(|key| lane.hashed(key));
    }
    call.looked_to = at.max(from + 1);
    lane.prefetch(keys.iter().flatten());
}
