//! What becomes of an item that is up for eviction: a pure function of its header and the queue.
//!
//! The two bits of a header that count hits mean something else in each queue:
//!
//! | hits | in the small queue | in the main queue                                   |
//! |------|--------------------|-----------------------------------------------------|
//! | 0    | never hit          | on trial: promoted after one hit, and not hit since |
//! | 1    | hit once           | proven; no chance left                              |
//! | 2, 3 | hit so often       | proven; one or two chances left                     |
//!
//! A promotion after a single hit is a *trial* with a verdict: the item is hit in the main queue,
//! or the hand meets it without. Whether one hit is worth a promotion depends on the load: where
//! popularity follows Zipf's law 20 to 60 % of the trials succeed, and of items that are read
//! exactly once none. So trials are made as long as enough of them succeed, and always for one key
//! in [`ALWAYS_TRIED`], so that a change shows.

use crate::base::hash::Place;
use crate::base::settings::EvictionPolicy;
use crate::store::item::{Header, state};

/// One key in so many is promoted after one hit whatever became of others. Within a percent the
/// same from 16 to 64.
const ALWAYS_TRIED: u32 = 64;

/// How an item was found to be up for eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// It is the oldest of the small queue.
    Ring,
    /// The clock hand has met it.
    Hand,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays where it is, with so many hits from now on.
    Spare(u16),
    /// It goes to the main queue, with so many hits.
    Promote(u16),
    /// It goes.
    Evict,
}

/// Decides on an item that is linked, alive and not pinned.
///
/// `tries` says whether a promotion after one hit is tried. With `force` the answer is always
/// [`Fate::Evict`]: the bound on the work of one request.
pub(crate) fn fate(
    policy: EvictionPolicy,
    header: Header,
    via: Via,
    tries: bool,
    force: bool,
) -> Fate {
    let hits = header.freq();
    if force {
        return Fate::Evict;
    }
    match (policy, via) {
        (EvictionPolicy::S3Clock, Via::Ring) => match hits {
            0 => Fate::Evict,
            1 if !tries => Fate::Evict,
            _ => Fate::Promote(hits - 1),
        },
        // A proven item has a chance less than hits.
        (EvictionPolicy::S3Clock, Via::Hand) if header.has(state::MAIN) => match hits {
            0 | 1 => Fate::Evict,
            _ => Fate::Spare(hits - 1),
        },
        (EvictionPolicy::Lru, _) if hits > 0 => Fate::Spare(0),
        (_, _) if hits > 0 => Fate::Spare(hits - 1),
        _ => Fate::Evict,
    }
}

/// Whether the key with this place is promoted after one hit whatever the class has learned.
pub(crate) fn is_always_tried(place: Place) -> bool {
    (place.0 >> 16).is_multiple_of(ALWAYS_TRIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(main: bool, hits: u16) -> Header {
        let mut header = Header::unpack(0, 0).with_freq(hits);
        header.state |= state::LINKED | if main { state::MAIN } else { 0 };
        header
    }

    #[test]
    fn every_case_of_the_default_policy() {
        use Fate::{Evict, Promote, Spare};
        let decide = |main, hits, via, tries| {
            fate(EvictionPolicy::S3Clock, item(main, hits), via, tries, false)
        };
        for (hits, tried, not_tried) in [
            (0, Evict, Evict),
            (1, Promote(0), Evict),
            (2, Promote(1), Promote(1)),
            (3, Promote(2), Promote(2)),
        ] {
            assert_eq!(decide(false, hits, Via::Ring, true), tried, "{hits} hits");
            assert_eq!(decide(false, hits, Via::Ring, false), not_tried);
        }
        for (hits, expected) in [(0, Evict), (1, Evict), (2, Spare(1)), (3, Spare(2))] {
            assert_eq!(decide(true, hits, Via::Hand, true), expected, "{hits} hits");
        }
        for (hits, expected) in [(0, Evict), (1, Spare(0)), (2, Spare(1)), (3, Spare(2))] {
            assert_eq!(decide(false, hits, Via::Hand, true), expected);
        }
    }

    #[test]
    fn lru_knows_one_hit_and_lfu_counts_them() {
        for hits in 0..4 {
            let decide = |policy| fate(policy, item(true, hits), Via::Hand, false, false);
            let (lru, lfu) = match hits {
                0 => (Fate::Evict, Fate::Evict),
                _ => (Fate::Spare(0), Fate::Spare(hits - 1)),
            };
            assert_eq!(decide(EvictionPolicy::Lru), lru);
            assert_eq!(decide(EvictionPolicy::Lfu), lfu);
        }
    }

    #[test]
    fn what_must_go_goes() {
        for policy in [
            EvictionPolicy::S3Clock,
            EvictionPolicy::Lru,
            EvictionPolicy::Lfu,
        ] {
            for via in [Via::Ring, Via::Hand] {
                let decided = fate(policy, item(false, 3), via, true, true);
                assert_eq!(decided, Fate::Evict);
            }
        }
    }
}
