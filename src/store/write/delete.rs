//! Removing an item.

use crate::base::clock::Now;
use crate::store::outcome::Deleted;
use crate::store::seat::Seat;
use crate::store::table::HashedKey;

/// Removes an item; with `compare`, only if that is its CAS id.
pub(crate) fn delete(
    seat: Seat<'_>,
    key: &HashedKey<'_>,
    compare: Option<u64>,
    now: Now,
) -> Deleted {
    let table = seat.table;
    let place = key.hash.place();
    let fingerprint = table.fingerprint(key.hash);
    let mut stripe = table.stripe(place);
    let Ok(found) = stripe.look(&table.slabs, key.key, fingerprint) else {
        return Deleted::NotFound;
    };
    let dead = stripe.death(key.key, found.header, now).is_some();
    if !dead && compare.is_some_and(|id| id != table.cas_id(place, found.chunk, found.header)) {
        return Deleted::Exists;
    }
    let gone = stripe.unlink(&table.slabs, fingerprint.bits, found);
    drop(stripe);
    if dead {
        seat.drop_dead(gone);
        return Deleted::NotFound;
    }
    let class = gone.class;
    seat.drop_item(gone);
    Deleted::Deleted(class)
}
