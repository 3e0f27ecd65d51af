//! Rounds over all pages: what ends a flush, and keeps items from becoming too old.
//!
//! A round begins when a flush is pending. The crawler then looks at every page, and at the key of
//! every item there: what begins with a mark's prefix is judged under its stripe's lock. When it
//! has been everywhere nothing is left that the flush has killed, and every mark that was there
//! when the round began is lifted.
//!
//! The walk overlooks nothing. What is dead stays where it is: a page move frees it instead. Pages
//! that are new meanwhile hold nothing that was there before.
//!
//! An item knows 36 bits of its version (see [`Stripe`](crate::store::stripe::Stripe)), and what
//! has not been written for 2^36 writes to its stripe would seem new. So after every 2^33 writes to
//! any stripe, which takes hours, a round gives items older than 2^34 an age of that.

use crate::base::key::KEY_LEN_MAX;
use crate::store::slab::ChunkRef;
use crate::store::stripe::marks::{Marks, lift_flushes};
use crate::store::sweep::flush::Flushing;
use crate::store::table::Table;
use std::sync::Arc;

/// A walk over everything.
#[derive(Debug)]
pub(crate) struct Round {
    /// The last flush that it is for, and the marks by then.
    flush: u64,
    marks: Arc<Marks>,
    /// Whether items are looked at for their age.
    ages: bool,
    /// Pages left to be looked at.
    pub(crate) pages_left: u32,
}

impl Round {
    /// Whether the item in `chunk`, seen without a lock, is to be judged.
    pub(crate) fn concerns(&self, table: &Table, chunk: ChunkRef) -> bool {
        if self.ages {
            return true;
        }
        let mut buffer = [0; KEY_LEN_MAX];
        let key = table.slabs.key_of(chunk, &mut buffer);
        key.is_some_and(|key| self.marks.last_of(key.as_bytes()).is_some())
    }
}

/// The round that is to be made, if one is. Looks at the age of one stripe, whose number it counts
/// up.
pub(crate) fn next_round(table: &Table, flushing: &Flushing, stripe: &mut usize) -> Option<Round> {
    *stripe = (*stripe + 1) % table.stripes.len();
    let ages = table.stripes[*stripe].lock().is_to_be_aged();
    if !ages && flushing.pending() == 0 {
        return None;
    }
    let (flush, marks) = flushing.marks();
    Some(Round {
        flush,
        marks,
        ages,
        // After the flush: what was stored before it is in these.
        pages_left: table.slabs.page_total().max(1),
    })
}

/// Lifts the marks that the round was for.
pub(crate) fn end_round(table: &Table, flushing: &Flushing, round: &Round) {
    let mut lifted = 0;
    for stripe in &table.stripes {
        let mut stripe = stripe.lock();
        lifted += lift_flushes(&mut stripe.flushed, round.flush);
        if round.ages {
            stripe.aged = stripe.version;
        }
    }
    flushing.end(round.flush, lifted);
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::item::VERSIONS;
    use crate::store::stripe::AGE_CHECKED;
    use crate::store::{Fetch, Fetched, Lane, Store, StoreRequest};

    fn now() -> Now {
        Now::at_second(5)
    }

    fn lane() -> Lane {
        let settings = StoreSettings {
            memory_limit: 8 << 20,
            ..StoreSettings::default()
        };
        Store::new(&settings, 1).unwrap().lane(0)
    }

    fn put(lane: &mut Lane, key: &str) {
        let key = lane.hashed(Key::new(key.as_bytes()).unwrap());
        lane.put(&key, &StoreRequest::default(), b"value", now())
            .unwrap();
    }

    fn is_there(lane: &mut Lane, key: &str) -> bool {
        let key = lane.hashed(Key::new(key.as_bytes()).unwrap());
        lane.fetch(&key, Fetch::default(), now(), |_| ()) == Fetched::Hit(())
    }

    /// As if every stripe had been written to so often.
    fn write(lane: &Lane, times: u64) {
        for stripe in &lane.store().table.stripes {
            stripe.lock().version += times;
        }
    }

    fn settle(lane: &mut Lane) {
        while lane.maintain(now()) {}
    }

    #[test]
    fn no_item_is_too_old_to_be_flushed() {
        for times in [1, 1 << 31, (1 << 32) - 1, 1 << 32, VERSIONS - 9] {
            let mut lane = lane();
            put(&mut lane, "old");
            write(&lane, times);
            put(&mut lane, "young");
            lane.store().flush();
            put(&mut lane, "new");
            let seen = ["old", "young", "new"].map(|key| is_there(&mut lane, key));
            assert_eq!(seen, [false, false, true], "after {times} writes");
            write(&lane, times);
            assert!(is_there(&mut lane, "new"), "the flush was before it");
            settle(&mut lane);
            lane.store().validate();
        }
    }

    #[test]
    fn an_item_may_be_older_than_it_can_say() {
        for rounds in 1..20 {
            let mut lane = lane();
            put(&mut lane, "old");
            for _ in 0..rounds {
                write(&lane, AGE_CHECKED);
                // One stripe is asked at a time.
                for _ in 0..lane.store().table.stripes.len() * 2 {
                    lane.maintain(now());
                }
            }
            assert!(is_there(&mut lane, "old"), "after {rounds} rounds");
            lane.store().flush();
            // While the flush is pending what it killed gets older, and must not seem new.
            write(&lane, AGE_CHECKED);
            assert!(!is_there(&mut lane, "old"), "after {rounds} rounds");
        }
    }

    #[test]
    fn what_a_flushed_prefix_held_is_free_after_a_round() {
        let mut lane = lane();
        for number in 0..10_000 {
            put(&mut lane, &format!("tenant:{}:{number}", number % 4));
        }
        lane.store().flush_prefix(b"tenant:3:").unwrap();
        assert_eq!(lane.store().flushes_pending(), 1);
        assert!(!is_there(&mut lane, "tenant:3:7"));
        settle(&mut lane);
        let snapshot = lane.store().snapshot();
        assert_eq!((snapshot.items, snapshot.flushes_pending), (7_500, 0));
        for number in 0..10_000 {
            let key = format!("tenant:{}:{number}", number % 4);
            assert_eq!(is_there(&mut lane, &key), number % 4 != 3);
        }
        let mut stripes = lane.store().table.stripes.iter();
        assert!(stripes.all(|stripe| stripe.lock().flushed.is_none()));
        assert_eq!(lane.store().flushing.steps(), 0);
        lane.store().validate();
    }

    #[test]
    fn a_thousand_flushes_in_a_row_take_only_what_was_before_them() {
        let mut lane = lane();
        for round in 0..3 {
            for number in 0..1000 {
                let (prefix, key) = (format!("p{number}:"), format!("p{number}:k"));
                put(&mut lane, &key);
                lane.store().flush_prefix(prefix.as_bytes()).unwrap();
                assert!(!is_there(&mut lane, &key));
                put(&mut lane, &key);
                if number % 300 == 299 && round > 0 {
                    lane.maintain(now());
                }
                assert!(is_there(&mut lane, &key));
            }
            for number in 0..1000 {
                assert!(is_there(&mut lane, &format!("p{number}:k")), "{round}");
            }
        }
        settle(&mut lane);
        assert_eq!(lane.store().snapshot().items, 1000);
    }

    #[test]
    fn there_is_an_end_to_pending_flushes_but_not_to_what_can_be_flushed() {
        let mut lane = lane();
        put(&mut lane, "key");
        for number in 0..1024 {
            lane.store()
                .flush_prefix(format!("p{number}:").as_bytes())
                .unwrap();
        }
        assert!(lane.store().flush_prefix(b"key").is_err());
        assert!(is_there(&mut lane, "key"), "nothing was done");
        assert!(
            lane.store().flush_prefix(b"p7:").is_ok(),
            "that is none more"
        );
        lane.store().flush();
        assert!(!is_there(&mut lane, "key"));
        assert_eq!(
            lane.store().flushes_pending(),
            1,
            "it takes the others' place"
        );
        lane.store().flush_prefix(b"key").unwrap();
        settle(&mut lane);
        assert_eq!(lane.store().flushes_pending(), 0);
    }
}
