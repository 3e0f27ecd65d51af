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
//! The three policies differ by how many chances hits earn in the main queue: `s3` one less than
//! hits, `lru` one however many there were, so that it is recency that counts, and `lfu` all.
//!
//! A promotion after a single hit is a *trial* with a verdict: the item is hit in the main queue,
//! or the hand meets it without. Whether one hit is worth a promotion depends on the load: where
//! popularity follows Zipf's law 20 to 60 % of the trials succeed, and of items that are read
//! exactly once none. So trials are made as long as enough of them succeed, and always for one key
//! in [`ALWAYS_TRIED`], so that a change shows.

use crate::base::hash::Place;
use crate::base::settings::EvictionPolicy;
use crate::store::item::Header;

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
    /// It stays where it is, with this many hits from now on.
    Keep(u16),
    /// It goes to the main queue, with this many hits.
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
    if force {
        return Fate::Evict;
    }
    let hits = header.hits();
    match via {
        Via::Ring => match hits {
            0 => Fate::Evict,
            1 if !tries => Fate::Evict,
            1 => Fate::Promote(0),
            _ => Fate::Promote(match policy {
                EvictionPolicy::S3 => hits - 1,
                EvictionPolicy::Lru => 1,
                EvictionPolicy::Lfu => hits,
            }),
        },
        Via::Hand => {
            // What has no hits left goes; a proven item has a chance less than hits.
            let none = if header.is_main() { 1 } else { 0 };
            match policy {
                _ if hits <= none => Fate::Evict,
                EvictionPolicy::Lru => Fate::Keep(none),
                EvictionPolicy::S3 | EvictionPolicy::Lfu => Fate::Keep(hits - 1),
            }
        }
    }
}

/// Whether the key with this place is promoted after one hit whatever the class has learned.
pub(crate) fn is_always_tried(place: Place) -> bool {
    (place.0 >> 16).is_multiple_of(ALWAYS_TRIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::item::state;

    fn item(main: bool, hits: u16) -> Header {
        let mut header = Header::unpack(0, 0).with_hits(hits);
        header.state |= state::LINKED | if main { state::MAIN } else { 0 };
        header
    }

    #[test]
    fn every_case_of_the_default_policy() {
        use Fate::{Evict, Keep, Promote};
        let decide =
            |main, hits, via, tries| fate(EvictionPolicy::S3, item(main, hits), via, tries, false);
        for (hits, tried, not_tried) in [
            (0, Evict, Evict),
            (1, Promote(0), Evict),
            (2, Promote(1), Promote(1)),
            (3, Promote(2), Promote(2)),
        ] {
            assert_eq!(decide(false, hits, Via::Ring, true), tried, "{hits} hits");
            assert_eq!(decide(false, hits, Via::Ring, false), not_tried);
        }
        for (hits, expected) in [(0, Evict), (1, Evict), (2, Keep(1)), (3, Keep(2))] {
            assert_eq!(decide(true, hits, Via::Hand, true), expected, "{hits} hits");
        }
        for (hits, expected) in [(0, Evict), (1, Keep(0)), (2, Keep(1)), (3, Keep(2))] {
            assert_eq!(decide(false, hits, Via::Hand, true), expected);
        }
    }

    #[test]
    fn lru_gives_one_chance_and_lfu_all_that_were_earned() {
        for (hits, lru, lfu) in [(2, 1, 2), (3, 1, 3)] {
            let promoted = |policy| fate(policy, item(false, hits), Via::Ring, false, false);
            assert_eq!(promoted(EvictionPolicy::Lru), Fate::Promote(lru));
            assert_eq!(promoted(EvictionPolicy::Lfu), Fate::Promote(lfu));
            let kept = |policy| fate(policy, item(true, hits), Via::Hand, false, false);
            assert_eq!(kept(EvictionPolicy::Lru), Fate::Keep(1));
            assert_eq!(kept(EvictionPolicy::Lfu), Fate::Keep(hits - 1));
        }
        for policy in [EvictionPolicy::Lru, EvictionPolicy::Lfu] {
            for hits in [0, 1] {
                let met = fate(policy, item(true, hits), Via::Hand, true, false);
                assert_eq!(met, Fate::Evict);
            }
            let tried = |tries| fate(policy, item(false, 1), Via::Ring, tries, false);
            assert_eq!((tried(true), tried(false)), (Fate::Promote(0), Fate::Evict));
        }
    }

    #[test]
    fn what_must_go_goes() {
        for policy in [EvictionPolicy::S3, EvictionPolicy::Lru, EvictionPolicy::Lfu] {
            for via in [Via::Ring, Via::Hand] {
                let decided = fate(policy, item(false, 3), via, true, true);
                assert_eq!(decided, Fate::Evict);
            }
        }
    }
}
