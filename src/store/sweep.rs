//! The sweeper: a bounded walk over the index, stripe by stripe, that ends flushes.
//!
//! A round begins when a flush is pending. It frees what the flush has killed, and when it has
//! been everywhere, every mark that was there when it began is lifted. A stripe's own are lifted as
//! soon as it has been walked, so that its hits do not ask about flushes any longer.
//!
//! The index grows by splitting buckets, and the further ones come last: a walk in the order of
//! bucket numbers meets every item that was there when it began.
//!
//! An item knows 36 bits of its version (see [`flush`](super::flush)), and what has not been
//! written for 2^36 writes to its stripe would seem new. So a stripe is also walked after every
//! 2^33 writes, which takes hours, to give items older than 2^34 an age of that.

use crate::base::clock::Now;
use crate::store::bucket::Slot;
use crate::store::item::{Header, VERSIONS};
use crate::store::lane::Lane;
use crate::store::slab::{ChunkRef, Slabs};
use crate::store::stripe::{Found, Stripe, Unlinked};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Items that one step looks at, at most: some tens of microseconds.
const ITEMS_PER_STEP: usize = 2048;

/// Writes to a stripe after which its items are looked at for their age.
const AGE_CHECKED: u64 = VERSIONS / 8;

/// Items older than this many writes get this age.
const AGE_MAX: u64 = VERSIONS / 4;

/// Where the walk is.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// The last flush that this round is for; `None` while none is pending.
    round: Option<u64>,
    stripe: usize,
    /// The next bucket of the stripe that is being walked, and the last flush that this is for.
    walk: Option<(u32, u64)>,
    /// Scratch: what is in a bucket, and what of it was dead.
    items: Vec<(Slot, ChunkRef)>,
    dead: Vec<Unlinked>,
}

impl Lane {
    /// A step of the sweeper. True if there is more to do at once.
    pub(crate) fn sweep(&mut self, sweeper: &mut Sweeper, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        if sweeper.round.is_none() && store.flushes_pending() > 0 {
            sweeper.round = store.flushes.lock().to_be_swept();
            (sweeper.stripe, sweeper.walk) = (0, None);
        }
        let mut looked = 0;
        while looked < ITEMS_PER_STEP {
            looked += 1 + self.sweep_on(sweeper, now);
            if sweeper.stripe == store.stripes.len() {
                sweeper.stripe = 0;
                if let Some(last) = sweeper.round.take() {
                    store.end_flushes(last);
                }
                return store.flushes_pending() > 0;
            }
            if sweeper.round.is_none() && sweeper.walk.is_none() {
                return false;
            }
        }
        true
    }

    /// Sweeps a bucket, or passes a stripe that need not be swept. Returns the items looked at.
    fn sweep_on(&mut self, sweeper: &mut Sweeper, now: Now) -> usize {
        let store = Arc::clone(&self.store);
        let mut stripe = store.stripes[sweeper.stripe].lock();
        let walk = sweeper.walk.or_else(|| stripe.begin_sweep());
        let (bucket, last) = match walk {
            Some((bucket, last)) if bucket < stripe.index.buckets() => (bucket, last),
            walk => {
                let lifted = walk.map_or(0, |(_, last)| stripe.end_sweep(last));
                store.flush_steps.fetch_sub(lifted, Ordering::Relaxed);
                sweeper.walk = None;
                sweeper.stripe += 1;
                return 0;
            }
        };
        sweeper.walk = Some((bucket + 1, last));
        stripe.sweep_bucket(&store.slabs, bucket, now, sweeper);
        drop(stripe);
        for (_, chunk) in &sweeper.items {
            self.tallies_of(*chunk).crawler_checked.add(1);
        }
        for gone in sweeper.dead.drain(..) {
            self.tallies(gone.class).crawler_reclaimed.add(1);
            self.discard_dead(gone);
        }
        sweeper.items.len()
    }
}

impl Stripe {
    /// Where a sweep of this stripe begins, and up to which flush, if it is due.
    fn begin_sweep(&mut self) -> Option<(u32, u64)> {
        let last = self.flushed.as_ref().map(|flushed| flushed.last());
        if last.is_none() && self.version - self.swept < AGE_CHECKED {
            return None;
        }
        self.swept = self.version;
        Some((0, last.unwrap_or(0)))
    }

    /// Takes what is dead out of a bucket and keeps what is old from becoming too old.
    fn sweep_bucket(&mut self, slabs: &Slabs, bucket: u32, now: Now, sweeper: &mut Sweeper) {
        let Sweeper { items, dead, .. } = sweeper;
        items.clear();
        self.index.for_each_in(slabs, bucket, |slot, _, chunk| {
            slabs.arena.prefetch(slabs.offset(chunk));
            items.push((slot, chunk));
        });
        for &(slot, chunk) in items.iter() {
            let header = slabs.header(chunk);
            if self.death(slabs, chunk, header, now).is_some() {
                let found = Found {
                    slot,
                    chunk,
                    header,
                };
                dead.push(self.unlink(slabs, bucket, found));
            } else if self.age(header) > AGE_MAX {
                slabs.set_header_first(chunk, self.made_younger(header));
            }
        }
    }

    /// The header with another epoch, of an item of about [`AGE_MAX`]. Younger than it is, but
    /// older than any flush to come; and those that have been did not kill it.
    fn made_younger(&self, header: Header) -> Header {
        let version = self.version.saturating_sub(AGE_MAX);
        let counter = header.high;
        Header {
            high: counter,
            ..header.with_version(version)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{Fetch, Fetched, Store, StoreRequest};

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
        for stripe in &lane.store.stripes {
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
            lane.store.flush();
            put(&mut lane, "new");
            let seen = ["old", "young", "new"].map(|key| is_there(&mut lane, key));
            assert_eq!(seen, [false, false, true], "after {times} writes");
            write(&lane, times);
            assert!(is_there(&mut lane, "new"), "the flush was before it");
            settle(&mut lane);
            lane.store.validate();
        }
    }

    #[test]
    fn an_item_may_be_older_than_it_can_say() {
        let mut lane = lane();
        put(&mut lane, "old");
        for _ in 0..40 {
            write(&lane, AGE_CHECKED);
            // A stripe at a time, as nothing is pending.
            for _ in 0..lane.store.stripes.len() * 2 {
                lane.maintain(now());
            }
            put(&mut lane, "young");
        }
        assert!(["old", "young"].map(|key| is_there(&mut lane, key)) == [true; 2]);
        lane.store.flush();
        assert!(["old", "young"].map(|key| is_there(&mut lane, key)) == [false; 2]);
    }

    #[test]
    fn what_a_flushed_prefix_held_is_free_after_a_round() {
        let mut lane = lane();
        for number in 0..10_000 {
            put(&mut lane, &format!("tenant:{}:{number}", number % 4));
        }
        lane.store.flush_prefix(b"tenant:3:").unwrap();
        assert_eq!(lane.store.flushes_pending(), 1);
        assert!(!is_there(&mut lane, "tenant:3:7"));
        settle(&mut lane);
        let snapshot = lane.store.snapshot();
        assert_eq!((snapshot.items, snapshot.flushes_pending), (7_500, 0));
        for number in 0..10_000 {
            let key = format!("tenant:{}:{number}", number % 4);
            assert_eq!(is_there(&mut lane, &key), number % 4 != 3);
        }
        let is_swept = |stripe: &Stripe| stripe.flushed.is_none();
        assert!(
            lane.store
                .stripes
                .iter()
                .all(|stripe| is_swept(&stripe.lock()))
        );
        assert_eq!(lane.store.flush_steps.load(Ordering::Relaxed), 0);
        lane.store.validate();
    }

    #[test]
    fn a_thousand_flushes_in_a_row_take_only_what_was_before_them() {
        let mut lane = lane();
        for round in 0..3 {
            for number in 0..1000 {
                let (prefix, key) = (format!("p{number}:"), format!("p{number}:k"));
                put(&mut lane, &key);
                lane.store.flush_prefix(prefix.as_bytes()).unwrap();
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
        assert_eq!(lane.store.snapshot().items, 1000);
    }

    #[test]
    fn there_is_an_end_to_pending_flushes_but_not_to_what_can_be_flushed() {
        let mut lane = lane();
        put(&mut lane, "key");
        for number in 0..1024 {
            lane.store
                .flush_prefix(format!("p{number}:").as_bytes())
                .unwrap();
        }
        assert!(lane.store.flush_prefix(b"key").is_err());
        assert!(is_there(&mut lane, "key"), "nothing was done");
        assert!(lane.store.flush_prefix(b"p7:").is_ok(), "that is none more");
        lane.store.flush();
        assert!(!is_there(&mut lane, "key"));
        assert_eq!(
            lane.store.flushes_pending(),
            1,
            "it takes the others' place"
        );
        lane.store.flush_prefix(b"key").unwrap();
        settle(&mut lane);
        assert_eq!(lane.store.flushes_pending(), 0);
    }
}
