//! The thread that keeps time and does the store's background work, a bounded step at a time.

use crate::base::clock::{Now, TICKS_PER_SECOND};
use crate::server::hub::Hub;
use crate::store::Lane;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds between two ticks of the clock.
const TICK_NS: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// Time for background work in one tick: 3 % of a processor while there is much to reclaim.
const UPKEEP_MAX: Duration = Duration::from_millis(2);

/// While memory is above a lowered limit, or a flush has not given its memory back, the operator
/// waits: then this thread works in bursts of this length and pauses in between, a quarter of a
/// processor. Short, as a worker may have to wait for the processor meanwhile.
const AWAITED_MAX: Duration = Duration::from_millis(1);
const AWAITED_PAUSE: Duration = Duration::from_millis(3);

/// The wall clock in milliseconds since 1970; 0 for a clock set before that.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Ticks the clock until the server stops; `started` is when the clock read its first value.
///
/// Ticks are due at fixed distances from the start and not from each other, so that a late wake-up
/// (a stopped process, a busy machine) is caught up at the next one.
pub(crate) fn run(hub: &Hub, started: Instant) {
    let mut lane = hub.shared.store.lane(hub.shared.settings.threads);
    while !hub.is_stopping() {
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        hub.shared.clock.set(elapsed_ms, unix_ms());
        let is_awaited = upkeep(&mut lane, hub.shared.clock.now());
        let pause = until_next_tick(started.elapsed());
        // Stopping unparks this thread; a spurious return only makes one tick come early.
        thread::park_timeout(if is_awaited {
            pause.min(AWAITED_PAUSE)
        } else {
            pause
        });
    }
}

/// The store's background work of one tick, or some that is awaited: true if there is more of that.
/// The lane after the workers' is this thread's.
fn upkeep(lane: &mut Lane, now: Now) -> bool {
    let started = Instant::now();
    loop {
        let more = lane.maintain(now);
        let is_awaited = lane.store().is_over_limit() || lane.store().flushes_pending() > 0;
        let budget = if is_awaited { AWAITED_MAX } else { UPKEEP_MAX };
        if !more || started.elapsed() >= budget {
            return more && is_awaited;
        }
        // Where a worker waits for this processor, it is the worker's.
        thread::yield_now();
    }
}

fn until_next_tick(elapsed: Duration) -> Duration {
    let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(TICK_NS - elapsed_ns % TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_due_at_multiples_of_a_sixteenth_from_the_start() {
        assert_eq!(
            until_next_tick(Duration::ZERO),
            Duration::from_micros(62_500)
        );
        assert_eq!(
            until_next_tick(Duration::from_millis(1000)),
            Duration::from_micros(62_500)
        );
        assert_eq!(
            until_next_tick(Duration::from_millis(1060)),
            Duration::from_micros(2_500)
        );
    }
}
