//! Which counters an event moves: one list of events for every protocol.

use crate::session::shared::Shared;
use crate::stats::{Counters, Recorded};
use crate::store::{ClassId, Miss, StoreError, StoreOutcome, Stored};

/// A read found its item.
#[inline]
pub(super) fn get_hit(counters: &Counters, class: ClassId) {
    counters.class(class).get_hits.add(1);
}

/// A read found nothing, or created what it did not find.
#[inline]
pub(super) fn get_miss(counters: &Counters, miss: Miss) {
    counters.get_misses.add(1);
    death(counters, miss);
}

/// A touch, alone or with a read, found its item.
#[inline]
pub(super) fn touch_hit(counters: &Counters, class: ClassId) {
    counters.class(class).touch_hits.add(1);
}

/// A touch found nothing.
#[inline]
pub(super) fn touch_miss(counters: &Counters, miss: Miss) {
    counters.touch_misses.add(1);
    death(counters, miss);
}

fn death(counters: &Counters, miss: Miss) {
    match miss {
        Miss::Absent => {}
        Miss::Expired => counters.get_expired.add(1),
        Miss::Flushed => counters.get_flushed.add(1),
    }
}

/// A `me` was answered.
pub(super) fn meta_debug(counters: &Counters) {
    counters.cmd_meta.add(1);
}

/// A store was tried; `compared` if it had a CAS id.
#[inline]
pub(super) fn stored(counters: &Counters, stored: &Stored, compared: bool) {
    let class = counters.class(stored.class);
    class.cmd_set.add(1);
    if compared {
        match stored.outcome {
            StoreOutcome::Stored => class.cas_hits.add(1),
            StoreOutcome::Exists => class.cas_badval.add(1),
            StoreOutcome::NotFound => counters.cas_misses.add(1),
            StoreOutcome::NotStored => {}
        }
    }
}

/// A value came in and did not end as it should: it counts, in class 0.
pub(super) fn stored_nothing(counters: &Counters) {
    counters.class(ClassId(0)).cmd_set.add(1);
}

/// A store could not be tried.
pub(super) fn store_failed(counters: &Counters, error: StoreError) {
    match error {
        StoreError::TooLarge => counters.store_too_large.add(1),
        StoreError::OutOfMemory => counters.store_no_memory.add(1),
    }
}

/// A delete found its item.
#[inline]
pub(super) fn delete_hit(counters: &Counters, class: ClassId) {
    counters.class(class).delete_hits.add(1);
}

/// A delete found nothing to remove.
#[inline]
pub(super) fn delete_miss(counters: &Counters) {
    counters.delete_misses.add(1);
}

/// A counter was changed.
#[inline]
pub(super) fn count_hit(counters: &Counters, class: ClassId, down: bool) {
    let class = counters.class(class);
    if down {
        class.decr_hits.add(1);
    } else {
        class.incr_hits.add(1);
    }
}

/// There was no counter to change.
#[inline]
pub(super) fn count_miss(counters: &Counters, down: bool) {
    if down {
        counters.decr_misses.add(1);
    } else {
        counters.incr_misses.add(1);
    }
}

/// Somebody asked for a flush.
pub(super) fn flush(counters: &Counters) {
    counters.cmd_flush.add(1);
}

/// Somebody asked for a flush of a prefix.
pub(super) fn flush_prefix(counters: &Counters) {
    counters.cmd_flush_prefix.add(1);
}

/// Somebody tried to log in.
pub(super) fn login(counters: &Counters, succeeded: bool) {
    counters.auth_cmds.add(1);
    if !succeeded {
        counters.auth_errors.add(1);
    }
}

/// Prefix statistics of a read or a touch (`stats detail`).
#[inline]
pub(super) fn prefix_get(shared: &Shared, key: &[u8], hit: bool) {
    let what = if hit { Recorded::Hit } else { Recorded::Miss };
    shared.prefixes.record(key, what);
}

/// Prefix statistics of a store or a count that was asked for.
#[inline]
pub(super) fn prefix_set(shared: &Shared, key: &[u8]) {
    shared.prefixes.record(key, Recorded::Set);
}

/// Prefix statistics of a delete that was asked for.
#[inline]
pub(super) fn prefix_delete(shared: &Shared, key: &[u8]) {
    shared.prefixes.record(key, Recorded::Delete);
}
