//! Time as the cache sees it: ticks of a sixteenth of a second, ticked by one thread.
//!
//! Nothing below `server` reads the system clock. Every function is *told* what time it is, so a
//! test can live through a month in a microsecond. The tick is finer than memcached's second so
//! that a TTL of n lives n seconds and not less, and at most an eighth of a second more.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Ticks in a second.
pub const TICKS_PER_SECOND: u64 = 16;

/// Client expiry times above this many seconds (30 days) are Unix timestamps, not durations.
pub const EXPTIME_RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

/// The first of the Unix timestamps.
const DATE_MIN: i64 = EXPTIME_RELATIVE_MAX + 1;

/// The first of the 32-bit numbers that clients send for a negative one: some hold it in 32 bits
/// without a sign. Those from 2^31 up to it are dates of the years 2038 to 2072.
const WRAPPED_MIN: i64 = (1 << 32) - (1 << 30);

/// The last of them.
const WRAPPED_MAX: i64 = (1 << 32) - 1;

/// Where the clock starts, in seconds. Uptime begins at 2 as memcached's does: tools divide by it.
pub const START_SECONDS: u64 = 2;

/// A reading of the clock, passed down with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Ticks since [`START_SECONDS`] before the start; never goes back.
    pub ticks: u64,
    /// The Unix time of tick zero in milliseconds; follows the wall clock when that is set.
    pub unix_zero_ms: i64,
}

impl Now {
    /// A reading at `seconds` whole seconds after tick zero, which was Unix time zero: for tests.
    #[must_use]
    pub fn at_second(seconds: u64) -> Self {
        Self {
            ticks: seconds * TICKS_PER_SECOND,
            unix_zero_ms: 0,
        }
    }

    /// Whole seconds since tick zero.
    #[inline]
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.ticks / TICKS_PER_SECOND
    }

    /// Unix time in whole seconds.
    #[must_use]
    pub fn unix(self) -> i64 {
        (self.unix_zero_ms + ticks_to_ms(self.ticks)).div_euclid(1000)
    }

    /// The same wall clock, `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self {
            ticks: self.ticks + seconds * TICKS_PER_SECOND,
            ..self
        }
    }
}

/// The seconds that an exptime names where no date is meant; none if it is negative.
#[must_use]
pub fn seconds_of(exptime: i64) -> u64 {
    match exptime {
        ..0 | WRAPPED_MIN..=WRAPPED_MAX => 0,
        seconds => seconds.unsigned_abs(),
    }
}

fn ticks_to_ms(ticks: u64) -> i64 {
    i64::try_from(ticks * 1000 / TICKS_PER_SECOND).unwrap_or(i64::MAX)
}

/// When an item dies, in 32 bits.
///
/// The wire packs these meanings into one integer. They are unpacked once, here:
///
/// | exptime              | meaning                      | result                             |
/// |----------------------|------------------------------|------------------------------------|
/// | negative             | already dead                 | [`Expiry::PAST`]                   |
/// | 0                    | never                        | [`Expiry::NEVER`]                  |
/// | 1 to 30 days         | that many seconds from now   | that moment, rounded up to a tick  |
/// | up to 3 * 2^30 - 1   | a Unix timestamp             | that moment, or `PAST` if gone by  |
/// | up to 2^32 - 1       | negative, held in 32 bits    | [`Expiry::PAST`]                   |
/// | larger               | a date after the year 2106   | [`Expiry::NEVER`]                  |
///
/// Encoding: 0 is never; with the top bit clear the rest counts ticks (4 years of them), with the
/// top bit set it counts seconds (68 years, where it saturates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(u32);

const IN_SECONDS: u32 = 1 << 31;

impl Expiry {
    /// Lives until evicted, deleted or flushed.
    pub const NEVER: Self = Self(0);
    /// Stored dead. Storing it is legal and removes any older value.
    pub const PAST: Self = Self(1);

    /// Interprets a client's exptime at `now`.
    #[must_use]
    pub fn from_exptime(exptime: i64, now: Now) -> Self {
        match exptime {
            ..0 => Self::PAST,
            0 => Self::NEVER,
            // One tick more: the running tick is already partly spent.
            1..=EXPTIME_RELATIVE_MAX => {
                Self::at_tick(now.ticks + 1 + exptime.unsigned_abs() * TICKS_PER_SECOND)
            }
            DATE_MIN..WRAPPED_MIN => Self::from_unix(exptime, now),
            WRAPPED_MIN..=WRAPPED_MAX => Self::PAST,
            _ => Self::NEVER,
        }
    }

    /// When something that a client asked for in `exptime` seconds is to be done.
    ///
    /// The table above holds, but the moment is the last tick before it and not the first one
    /// after: a client that counts the seconds itself finds it done.
    #[must_use]
    pub fn appointment(exptime: i64, now: Now) -> Self {
        match exptime {
            1..=EXPTIME_RELATIVE_MAX => {
                Self::at_tick(now.ticks + exptime.unsigned_abs() * TICKS_PER_SECOND - 1)
            }
            _ => Self::from_exptime(exptime, now),
        }
    }

    /// The moment a Unix timestamp names, or [`PAST`](Self::PAST) if it is not after `now`.
    #[must_use]
    pub fn from_unix(unix: i64, now: Now) -> Self {
        let ms = unix.saturating_mul(1000).saturating_sub(now.unix_zero_ms);
        let Ok(ms) = u64::try_from(ms) else {
            return Self::PAST;
        };
        let tick = ms.saturating_mul(TICKS_PER_SECOND).div_ceil(1000);
        if tick <= now.ticks {
            Self::PAST
        } else {
            Self::at_tick(tick)
        }
    }

    fn at_tick(tick: u64) -> Self {
        match u32::try_from(tick) {
            Ok(tick) if tick < IN_SECONDS => Self(tick),
            _ => {
                let seconds = tick
                    .div_ceil(TICKS_PER_SECOND)
                    .min(u64::from(IN_SECONDS - 1));
                Self(IN_SECONDS | seconds as u32)
            }
        }
    }

    /// The tick at which it dies; `u64::MAX` for never.
    #[inline]
    #[must_use]
    pub fn tick(self) -> u64 {
        match self.0 {
            0 => u64::MAX,
            ticks if ticks < IN_SECONDS => u64::from(ticks),
            seconds => u64::from(seconds & !IN_SECONDS) * TICKS_PER_SECOND,
        }
    }

    /// Whether it has died by `now`.
    #[inline]
    #[must_use]
    pub fn has_passed(self, now: Now) -> bool {
        self.tick() <= now.ticks
    }

    /// Whether it never dies by time.
    #[must_use]
    pub fn is_never(self) -> bool {
        self == Self::NEVER
    }

    /// Seconds left, rounded up so that a live item never shows 0; `None` for never.
    #[must_use]
    pub fn ttl(self, now: Now) -> Option<u64> {
        // The tick that `from_exptime` adds is not part of what the client asked for.
        (!self.is_never()).then(|| {
            self.tick()
                .saturating_sub(now.ticks + 1)
                .div_ceil(TICKS_PER_SECOND)
        })
    }

    /// The Unix time at which it dies; `None` for never.
    #[must_use]
    pub fn unix(self, now: Now) -> Option<i64> {
        (!self.is_never()).then(|| (now.unix_zero_ms + ticks_to_ms(self.tick())).div_euclid(1000))
    }

    /// The 32 bits kept in an item.
    #[inline]
    #[must_use]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The inverse of [`to_bits`](Self::to_bits).
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The process's clock: one thread ticks it, everyone reads it.
#[derive(Debug)]
pub struct Clock {
    ticks: AtomicU64,
    unix_zero_ms: AtomicI64,
}

impl Clock {
    /// A clock at [`START_SECONDS`], given the Unix time of the start in milliseconds.
    #[must_use]
    pub fn new(unix_ms: i64) -> Self {
        let start = START_SECONDS * TICKS_PER_SECOND;
        Self {
            ticks: AtomicU64::new(start),
            unix_zero_ms: AtomicI64::new(unix_ms - ticks_to_ms(start)),
        }
    }

    /// Moves the clock: `elapsed_ms` of steady time since the start, `unix_ms` on the wall.
    ///
    /// Only the ticking thread calls this. Steady time decides what is relative; a step of the
    /// wall clock moves only what is given as a Unix timestamp from then on.
    pub fn set(&self, elapsed_ms: u64, unix_ms: i64) {
        let ticks = START_SECONDS * TICKS_PER_SECOND + elapsed_ms * TICKS_PER_SECOND / 1000;
        self.ticks.fetch_max(ticks, Ordering::Relaxed);
        let zero = unix_ms - ticks_to_ms(self.ticks.load(Ordering::Relaxed));
        // Rounding makes the zero point wobble by a tick; only a real step of the wall counts.
        if (zero - self.unix_zero_ms.load(Ordering::Relaxed)).abs() > 200 {
            self.unix_zero_ms.store(zero, Ordering::Relaxed);
        }
    }

    /// The present reading.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            ticks: self.ticks.load(Ordering::Relaxed),
            unix_zero_ms: self.unix_zero_ms.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_700_000_000;
    const NOW: Now = Now {
        ticks: 1600,
        unix_zero_ms: STARTED * 1000,
    };

    #[test]
    fn zero_is_immortal_and_negative_is_stillborn() {
        assert_eq!(Expiry::from_exptime(0, NOW), Expiry::NEVER);
        assert_eq!(Expiry::from_exptime(-1, NOW), Expiry::PAST);
        assert_eq!(Expiry::from_exptime(i64::MIN, NOW), Expiry::PAST);
        assert!(Expiry::PAST.has_passed(NOW));
    }

    #[test]
    fn thirty_days_is_the_last_relative_value() {
        let last = Expiry::from_exptime(EXPTIME_RELATIVE_MAX, NOW);
        assert_eq!(last.ttl(NOW), Some(EXPTIME_RELATIVE_MAX.unsigned_abs()));
        assert_eq!(
            Expiry::from_exptime(EXPTIME_RELATIVE_MAX + 1, NOW),
            Expiry::PAST
        );
    }

    #[test]
    fn a_negative_number_without_its_sign_is_still_negative() {
        for (exptime, expiry) in [
            (u32::MAX.into(), Expiry::PAST),
            (3 << 30, Expiry::PAST),
            (1 << 32, Expiry::NEVER),
            (i64::MAX, Expiry::NEVER),
        ] {
            assert_eq!(Expiry::from_exptime(exptime, NOW), expiry, "{exptime}");
            assert_eq!(Expiry::appointment(exptime, NOW), expiry, "{exptime}");
        }
        for date in [1 << 31, (3 << 30) - 1] {
            assert_eq!(Expiry::from_exptime(date, NOW).unix(NOW), Some(date));
        }
    }

    #[test]
    fn a_timestamp_is_dead_at_its_second_and_alive_before() {
        assert_eq!(Expiry::from_exptime(STARTED + 100, NOW), Expiry::PAST);
        let next = Expiry::from_exptime(STARTED + 101, NOW);
        assert!(!next.has_passed(NOW));
        assert!(next.has_passed(Now::at_second(101)));
        assert_eq!(next.unix(NOW), Some(STARTED + 101));
    }

    #[test]
    fn a_ttl_of_one_lives_a_whole_second_from_anywhere_in_a_tick() {
        let expiry = Expiry::from_exptime(1, NOW);
        let a_second_later = Now {
            ticks: NOW.ticks + 16,
            ..NOW
        };
        assert!(!expiry.has_passed(a_second_later));
        assert!(expiry.has_passed(Now {
            ticks: NOW.ticks + 17,
            ..NOW
        }));
        assert_eq!(expiry.ttl(NOW), Some(1));
    }

    #[test]
    fn an_appointment_is_kept_when_the_client_has_counted_its_seconds() {
        let appointed = Expiry::appointment(2, NOW);
        assert!(!appointed.has_passed(NOW.plus_seconds(1)));
        assert!(appointed.has_passed(NOW.plus_seconds(2)));
        assert_eq!(Expiry::appointment(-1, NOW), Expiry::PAST);
    }

    #[test]
    fn far_moments_are_kept_in_seconds() {
        let far = Expiry::from_unix(STARTED + 40 * 365 * 86_400, NOW);
        assert_eq!(far.unix(NOW), Some(STARTED + 40 * 365 * 86_400));
        let farthest = Expiry::from_unix(i64::MAX, NOW);
        assert!(!farthest.has_passed(NOW) && !farthest.is_never());
    }

    #[test]
    fn the_clock_never_goes_back_and_follows_the_wall() {
        let clock = Clock::new(STARTED * 1000);
        clock.set(5_000, STARTED * 1000 + 5_000);
        assert_eq!(
            (clock.now().seconds(), clock.now().unix()),
            (7, STARTED + 5)
        );
        clock.set(4_000, (STARTED + 3600) * 1000);
        assert_eq!(
            (clock.now().seconds(), clock.now().unix()),
            (7, STARTED + 3600)
        );
    }
}
