//! Reads that create, win and recache, and deletes that keep the item: what meta commands need.

use crate::base::clock::{Expiry, Now};
use crate::store::evict::ghosts::ask_ghost;
use crate::store::item::state;
use crate::store::outcome::{
    ClassId, Deleted, Fetched, MetaDelete, MetaFetch, Miss, StoreError, StoreMode, StoreOutcome,
    StoreRequest,
};
use crate::store::read::view::Item;
use crate::store::stripe::{Found, Stripe};
use crate::store::table::HashedKey;
use crate::store::write::Writer;
use crate::store::write::delete::delete;
use crate::store::write::link::{Heritage, Linked, Linking, link};
use crate::store::write::rewrite::{Base, Piece, assemble, base, rewrite};
use crate::store::write::upload::{layout_for, new_item};

/// What a delete that keeps the item has to do once the stripe's lock is let go.
enum Rewrite {
    /// Nothing: it was done in place.
    Done(ClassId),
    /// The item, with this CAS id, gets a new chunk.
    Needed(Base, u64),
}

/// Finds an item, or creates it, and lets `read` look at it as it was before this access.
///
/// One fetch at most wins: the one that creates the item, or the first to find it stale or
/// near its end since it was stored or invalidated.
///
/// # Errors
///
/// [`StoreError::OutOfMemory`] if the item had to be created and could not.
pub(crate) fn meta_fetch<R>(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &MetaFetch,
    now: Now,
    read: impl FnOnce(&mut Item<'_>) -> R,
) -> Result<Fetched<R>, StoreError> {
    let mut created = None;
    loop {
        let table = writer.table();
        let fingerprint = table.fingerprint(key.hash);
        let mut stripe = table.stripe(key.hash.place());
        let mut miss = Miss::Absent;
        match stripe.look(&table.slabs, key.key, fingerprint) {
            Ok(found) => match stripe.death(key.key, found.header, now) {
                None => {
                    let created = created == Some(found.header.high);
                    return Ok(Fetched::Hit(read_meta(
                        writer,
                        (&mut stripe, found, created),
                        key,
                        how,
                        now,
                        read,
                    )));
                }
                Some(death) => {
                    miss = death;
                    let dead = stripe.unlink(&table.slabs, fingerprint.bits, found);
                    drop(stripe);
                    writer.seat.drop_dead(dead);
                }
            },
            Err(absent) => {
                if absent.may_have_a_ghost() && !how.no_bump {
                    ask_ghost(writer.seat, &mut stripe, key);
                }
                drop(stripe);
            }
        }
        writer.seat.count_miss();
        let Some(expiry) = how.vivify else {
            return Ok(Fetched::Miss(miss));
        };
        if expiry.has_passed(now) && created.is_some() {
            return Ok(Fetched::Miss(Miss::Expired));
        }
        created = vivify(writer, key, how, expiry, now)?;
    }
}

/// Links an empty item whose win token is given; returns its CAS counter, `None` if somebody
/// else was quicker.
fn vivify(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &MetaFetch,
    expiry: Expiry,
    now: Now,
) -> Result<Option<u32>, StoreError> {
    let request = StoreRequest {
        mode: StoreMode::Add,
        expiry,
        explicit_cas: how.explicit_cas,
        binary_key: how.binary_key,
        ..StoreRequest::default()
    };
    let layout = layout_for(writer.table(), key, &request, 0)?;
    let chunk = new_item(writer, key, expiry, layout, now)?;
    let linking = Linking {
        set: state::WIN_SENT,
        ..Linking::new(&request, chunk)
    };
    let Linked::Done(stored, counter, _) = link(writer, key, &linking, now)? else {
        unreachable!("nothing in particular was to be replaced");
    };
    if stored.outcome != StoreOutcome::Stored {
        return Ok(None);
    }
    Ok(Some(counter))
}

fn read_meta<R>(
    writer: Writer<'_>,
    (stripe, found, created): (&mut Stripe, Found, bool),
    key: &HashedKey<'_>,
    how: &MetaFetch,
    now: Now,
    read: impl FnOnce(&mut Item<'_>) -> R,
) -> R {
    let before = found.header;
    let ends_soon = how.recache_s.is_some_and(|seconds| {
        let ttl = before.expiry().ttl(now);
        ttl.is_some_and(|ttl| ttl < seconds)
    });
    let due = before.has(state::STALE) || ends_soon;
    let won = created || due && !before.has(state::WIN_SENT);
    let mut item = Item {
        table: writer.seat.table,
        stripe,
        place: key.hash.place(),
        chunk: found.chunk,
        words: before.words(),
        before: before.words(),
        now,
        won,
        created,
    };
    let answer = read(&mut item);
    let mut after = item.header();
    if created && !how.no_bump {
        // Fetched, but no hit: nobody has read the value that will be stored next.
        after.state |= state::FETCHED;
    } else if !how.no_bump {
        after = after.touched(now);
    }
    if won {
        after.state |= state::WIN_SENT;
    }
    let slabs = writer.slabs();
    if let Some(expiry) = how.touch {
        after.low = expiry.to_bits();
    }
    slabs.set_header(found.chunk, after);
    if let Some(expiry) = how.touch {
        slabs.note_expiry(found.chunk, expiry);
    }
    if !created {
        writer.seat.count_use(found.chunk, before);
    }
    answer
}

/// Marks an item stale, or empties it, or both.
pub(crate) fn meta_delete(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &MetaDelete,
    now: Now,
) -> Deleted {
    loop {
        let rewrite = match try_meta_delete(writer, key, how, now) {
            Ok(rewrite) => rewrite,
            Err(refused) => return refused,
        };
        let (base, id) = match rewrite {
            Rewrite::Done(class) => return Deleted::Deleted(class),
            Rewrite::Needed(base, id) => (base, id),
        };
        let rewritten = if how.drop_value {
            empty_item(writer, key, how, base, id, now)
        } else {
            give_room_for_cas(writer, key, base, id, now)
        };
        match rewritten {
            Ok(Some(class)) if how.drop_value => return Deleted::Deleted(class),
            Ok(_) => {}
            // An item that may not stay as it is and cannot be changed goes.
            Err(_) => return delete(writer.seat, key, None, now),
        }
    }
}

fn try_meta_delete(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &MetaDelete,
    now: Now,
) -> Result<Rewrite, Deleted> {
    let table = writer.table();
    let place = key.hash.place();
    let mut stripe = table.stripe(place);
    let found = stripe.look(&table.slabs, key.key, table.fingerprint(key.hash));
    let found = stripe.alive(key.key, found, now).ok_or(Deleted::NotFound)?;
    let id = table.cas_id(place, found.chunk, found.header);
    if how
        .compare
        .is_some_and(|wanted| wanted != id || wanted == 0)
    {
        return Err(Deleted::Exists);
    }
    let explicit = how.explicit_cas.filter(|_| table.cas);
    if how.drop_value || explicit.is_some() && !found.header.has(state::HAS_CAS) {
        let base = base(writer, key, &mut stripe, found);
        return Ok(Rewrite::Needed(base, id));
    }
    let mut header = found.header.with_version(stripe.next_version());
    header.state = header.state & !state::WIN_SENT | state::STALE;
    if let Some(expiry) = how.touch {
        header.low = expiry.to_bits();
    }
    table.slabs.set_header(found.chunk, header);
    table.slabs.note_expiry(found.chunk, header.expiry());
    if header.has(state::HAS_CAS) {
        let next = table.cas_shown(place, None, header.high);
        table
            .slabs
            .set_explicit_cas(found.chunk, header, explicit.unwrap_or(next));
    }
    Ok(Rewrite::Done(table.slabs.class_of(found.chunk)))
}

/// Replaces the item by one without value; `None` if it has changed meanwhile.
fn empty_item(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &MetaDelete,
    base: Base,
    id: u64,
    now: Now,
) -> Result<Option<ClassId>, StoreError> {
    let kept = if how.invalidate { None } else { Some(id) };
    let request = StoreRequest {
        client_flags: how.client_flags,
        expiry: how.touch.unwrap_or(Expiry::NEVER),
        explicit_cas: how.explicit_cas.or(kept),
        ..StoreRequest::default()
    };
    let (marks, set) = if how.invalidate {
        (state::BINARY_KEY, state::STALE)
    } else {
        (Heritage::OF_A_CHANGE.state, 0)
    };
    let heritage = Heritage {
        state: marks,
        ..Heritage::NONE
    };
    let made = assemble(writer, key, &request, &[], now)?;
    let rewritten = rewrite(writer, key, base, made, (heritage, set), now)?;
    Ok(rewritten.map(|(stored, _)| stored.class))
}

/// Moves the item to where it has room for a CAS id of its own: at first the one it has.
fn give_room_for_cas(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    base: Base,
    id: u64,
    now: Now,
) -> Result<Option<ClassId>, StoreError> {
    let request = StoreRequest {
        client_flags: base.layout.client_flags,
        explicit_cas: Some(id),
        ..StoreRequest::default()
    };
    let made = assemble(writer, key, &request, &[Piece::Item(base.found.chunk)], now)?;
    let rewritten = rewrite(writer, key, base, made, (Heritage::ALL, 0), now)?;
    Ok(rewritten.map(|(stored, _)| stored.class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{Lane, Store};

    #[test]
    fn one_fetch_wins_until_the_item_is_stored_again() {
        let store = Store::new(&StoreSettings::default(), 1).unwrap();
        let mut lane = store.lane(0);
        let now = Now::at_second(5);
        let key = lane.hashed(Key::new(b"k").unwrap());
        let how = MetaFetch {
            vivify: Some(Expiry::from_exptime(30, now)),
            recache_s: Some(10),
            ..MetaFetch::default()
        };
        let won = |lane: &mut Lane, now| {
            lane.meta_fetch(&key, &how, now, |item| (item.won(), item.win_was_sent()))
                .unwrap()
        };
        assert_eq!(
            won(&mut lane, now),
            Fetched::Hit((true, false)),
            "it was created"
        );
        assert_eq!(won(&mut lane, now), Fetched::Hit((false, true)));
        let invalidate = MetaDelete {
            invalidate: true,
            ..MetaDelete::default()
        };
        assert!(matches!(
            lane.meta_delete(&key, &invalidate, now),
            Deleted::Deleted(_)
        ));
        assert_eq!(
            won(&mut lane, now),
            Fetched::Hit((true, false)),
            "it is stale"
        );
        let request = StoreRequest {
            expiry: Expiry::from_exptime(30, now),
            ..StoreRequest::default()
        };
        lane.put(&key, &request, b"new", now).unwrap();
        assert_eq!(won(&mut lane, now), Fetched::Hit((false, false)));
        assert_eq!(
            won(&mut lane, now.plus_seconds(25)),
            Fetched::Hit((true, false)),
            "5 s left"
        );
        assert_eq!(
            won(&mut lane, now.plus_seconds(25)),
            Fetched::Hit((false, true))
        );
        store.validate();
    }

    #[test]
    fn an_emptied_item_keeps_its_cas_id_and_an_invalidated_one_takes_the_given() {
        let store = Store::new(&StoreSettings::default(), 1).unwrap();
        let mut lane = store.lane(0);
        let now = Now::at_second(5);
        let key = lane.hashed(Key::new(b"k").unwrap());
        let id = lane
            .put(&key, &StoreRequest::default(), &[b'v'; 50_000], now)
            .unwrap()
            .cas;
        let seen = |lane: &mut Lane| {
            lane.fetch(&key, crate::store::Fetch::default(), now, |item| {
                (
                    item.cas(),
                    item.value_len(),
                    item.is_stale(),
                    item.client_flags(),
                )
            })
        };
        let empty = MetaDelete {
            drop_value: true,
            client_flags: 7,
            ..MetaDelete::default()
        };
        assert!(matches!(
            lane.meta_delete(&key, &empty, now),
            Deleted::Deleted(_)
        ));
        assert_eq!(seen(&mut lane), Fetched::Hit((id, 0, false, 7)));
        let stale = MetaDelete {
            invalidate: true,
            explicit_cas: Some(99),
            ..MetaDelete::default()
        };
        lane.put(&key, &StoreRequest::default(), b"value", now)
            .unwrap();
        assert!(matches!(
            lane.meta_delete(&key, &stale, now),
            Deleted::Deleted(_)
        ));
        assert_eq!(seen(&mut lane), Fetched::Hit((99, 5, true, 0)));
        let wrong = MetaDelete {
            compare: Some(98),
            invalidate: true,
            ..MetaDelete::default()
        };
        assert_eq!(lane.meta_delete(&key, &wrong, now), Deleted::Exists);
        store.validate();
    }
}
