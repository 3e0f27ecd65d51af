//! How eagerly the crawler looks for what has expired, as the operator wants it.
//!
//! Only that: what a flush has killed is looked for at once, because the operator waits for its
//! memory, and so is what has become too old, because it must not become older.

use crate::base::clock::{Now, TICKS_PER_SECOND};
use crate::base::settings::CrawlerSettings;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Microseconds of a tick.
const TICK_US: u64 = 1_000_000 / TICKS_PER_SECOND;

/// The pause is for so many chunks that were looked at.
const CHUNKS_PER_PAUSE: u64 = 1000;

/// The operator's wish. It may change at any time.
#[derive(Debug)]
pub(crate) struct CrawlerPace {
    on: AtomicBool,
    sleep_us: AtomicU32,
}

impl CrawlerPace {
    pub(crate) fn new(settings: CrawlerSettings) -> Self {
        Self {
            on: AtomicBool::new(settings.on),
            sleep_us: AtomicU32::new(settings.sleep_us),
        }
    }

    pub(crate) fn settings(&self) -> CrawlerSettings {
        CrawlerSettings {
            on: self.on.load(Ordering::Relaxed),
            sleep_us: self.sleep_us.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set(&self, settings: CrawlerSettings) {
        self.on.store(settings.on, Ordering::Relaxed);
        self.sleep_us.store(settings.sleep_us, Ordering::Relaxed);
    }
}

/// The pauses that are still to be made. Time has no parts here that are shorter than a tick: a
/// tick's looks may be made together, and the next tick makes up for what took longer.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    until_us: u64,
}

impl Rest {
    /// Whether it is not yet over in this tick.
    pub(crate) fn lasts(&self, now: Now) -> bool {
        self.until_us >= (now.ticks + 1) * TICK_US
    }

    /// Adds the pause for `chunks` that were looked at.
    pub(crate) fn add(&mut self, chunks: u32, pace: CrawlerSettings, now: Now) {
        let pause_us = u64::from(chunks) * u64::from(pace.sleep_us) / CHUNKS_PER_PAUSE;
        self.until_us = self.until_us.max(now.ticks * TICK_US) + pause_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleep(sleep_us: u32) -> CrawlerSettings {
        CrawlerSettings { on: true, sleep_us }
    }

    #[test]
    fn a_pause_of_a_second_for_a_thousand_chunks_makes_a_thousand_chunks_a_second() {
        let (mut rest, mut looked) = (Rest::default(), 0);
        for ticks in 0..100 * TICKS_PER_SECOND {
            let now = Now {
                ticks,
                unix_zero_ms: 0,
            };
            while !rest.lasts(now) {
                rest.add(500, sleep(1_000_000), now);
                looked += 500;
            }
        }
        assert!((99_000..101_000).contains(&looked), "{looked}");
    }

    #[test]
    fn short_pauses_are_made_together() {
        let (mut rest, now) = (Rest::default(), Now::at_second(5));
        for _ in 0..62 {
            rest.add(1000, sleep(1000), now);
            assert!(!rest.lasts(now));
        }
        rest.add(1000, sleep(1000), now);
        assert!(rest.lasts(now) && !rest.lasts(now.plus_seconds(1)));
        rest.add(u32::MAX, sleep(0), now.plus_seconds(1));
        assert!(
            !rest.lasts(now.plus_seconds(1)),
            "without pauses it goes on"
        );
    }
}
