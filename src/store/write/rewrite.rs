//! Replacing an item by one that is made from it: append and prepend, numbers that outgrow their
//! chunk, items without their value or with room for a CAS id.

use crate::base::clock::{Expiry, Now};
use crate::store::item::{Layout, state};
use crate::store::outcome::{StoreError, StoreMode, StoreOutcome, StoreRequest, Stored};
use crate::store::read::pin::{PinnedValue, pin_chunk};
use crate::store::slab::ChunkRef;
use crate::store::stripe::{Found, Stripe};
use crate::store::table::HashedKey;
use crate::store::write::Writer;
use crate::store::write::condition::{Verdict, check};
use crate::store::write::link::{Heritage, Linked, Linking, link, link_new};
use crate::store::write::upload::{Upload, begin, fill, fill_from};

/// The item that another one is made from, as it was. It is pinned, so that making room for the new
/// one does not evict it.
pub(crate) struct Base {
    pub(crate) found: Found,
    pub(crate) layout: Layout,
    _pin: PinnedValue,
}

/// What a new value is put together from.
#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    /// The value of an item that is pinned or not linked.
    Item(ChunkRef),
}

/// What has been found, as a base.
pub(crate) fn base(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    stripe: &mut Stripe,
    found: Found,
) -> Base {
    let slabs = writer.slabs();
    let layout = slabs.layout_of(found.chunk, found.header);
    let mut pinned = found.header;
    pinned.state |= state::PINNED;
    let place = key.hash.place();
    let pin = pin_chunk(
        writer.seat.table,
        stripe,
        place,
        found.chunk,
        pinned.words(),
    );
    Base {
        found,
        layout,
        _pin: pin,
    }
}

/// A new item's value, complete.
pub(crate) fn assemble(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    value: &[Piece<'_>],
    now: Now,
) -> Result<Upload, StoreError> {
    let len = value.iter().map(|&piece| piece_len(writer, piece)).sum();
    let mut upload = begin(writer, key, request, len, now)?;
    for &piece in value {
        if let Err(error) = fill_piece(writer, &mut upload, piece, now) {
            writer.seat.free_chain(upload.first);
            return Err(error);
        }
    }
    Ok(upload)
}

/// Puts a new item in the place of `base`, and says when it expires; `None` if another one is
/// there meanwhile. `set` are state bits besides what it inherits.
pub(crate) fn rewrite(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    base: Base,
    made: Upload,
    (heritage, set): (Heritage, u16),
    now: Now,
) -> Result<Option<(Stored, Expiry)>, StoreError> {
    let (request, chunk) = made.into_parts();
    let linking = Linking {
        request: &request,
        chunk,
        over: Some(base.found.header.high),
        heritage,
        set,
    };
    // The old chunks are free as soon as the new ones are linked.
    drop(base);
    Ok(match link(writer, key, &linking, now)? {
        Linked::Done(stored, _, expiry) => Some((stored, expiry)),
        Linked::Changed => None,
    })
}

/// Append or prepend, by the request's mode.
pub(crate) fn extend(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    addition: Piece<'_>,
    now: Now,
) -> Result<Stored, StoreError> {
    let added = piece_len(writer, addition);
    // Retry only if another store won.
    loop {
        let base = match base_to_extend(writer, key, request, added, now) {
            Ok(base) => base,
            Err((StoreOutcome::NotStored, false)) if request.vivify.is_some() => {
                return create_from(writer, key, request, addition, now);
            }
            Err((outcome, _)) => return Ok(not_extended(writer, outcome, added)),
        };
        let combined = StoreRequest {
            mode: StoreMode::Set,
            client_flags: base.layout.client_flags,
            compare: None,
            ..*request
        };
        let value = match request.mode {
            StoreMode::Append => [Piece::Item(base.found.chunk), addition],
            _ => [addition, Piece::Item(base.found.chunk)],
        };
        let rewritten = assemble(writer, key, &combined, &value, now)
            .and_then(|made| rewrite(writer, key, base, made, (Heritage::OF_A_CHANGE, 0), now));
        match rewritten {
            Ok(None) => {}
            Ok(Some((stored, _))) => return Ok(stored),
            // memcached's word for a combined value that finds no room; the old one stays.
            Err(_) => return Ok(not_extended(writer, StoreOutcome::NotStored, added)),
        }
    }
}

fn not_extended(writer: Writer<'_>, outcome: StoreOutcome, added: u32) -> Stored {
    Stored {
        outcome,
        cas: 0,
        value_len: added,
        class: writer.slabs().sizes.largest(),
    }
}

/// The item to extend; `Err` is a refusal, and whether there is an item all the same.
fn base_to_extend(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    added: u32,
    now: Now,
) -> Result<Base, (StoreOutcome, bool)> {
    let table = writer.table();
    let place = key.hash.place();
    let mut stripe = table.stripe(place);
    let found = stripe.look(&table.slabs, key.key, table.fingerprint(key.hash));
    let live = stripe.alive(key.key, found, now);
    let checked = StoreRequest {
        compare: request.compare.filter(|&id| id != 0),
        ..*request
    };
    if let Verdict::Refuse(outcome) = check(table, place, live.as_ref(), &checked) {
        return Err((outcome, live.is_some()));
    }
    let found = live.expect("an append without an item is refused above");
    let value_len = table.slabs.value_len(found.chunk, found.header);
    if u64::from(value_len) + u64::from(added) > u64::from(table.value_len_max) {
        return Err((StoreOutcome::NotStored, true));
    }
    Ok(base(writer, key, &mut stripe, found))
}

/// Stores the addition alone, under a key that had no item.
fn create_from(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    addition: Piece<'_>,
    now: Now,
) -> Result<Stored, StoreError> {
    let fresh = StoreRequest {
        mode: StoreMode::Add,
        expiry: request.vivify.unwrap_or(request.expiry),
        ..*request
    };
    let upload = assemble(writer, key, &fresh, &[addition], now)?;
    let (request, chunk) = upload.into_parts();
    link_new(writer, key, &request, chunk, now)
}

fn piece_len(writer: Writer<'_>, piece: Piece<'_>) -> u32 {
    match piece {
        Piece::Bytes(bytes) => bytes.len() as u32,
        Piece::Item(first) => {
            let slabs = writer.slabs();
            slabs.value_len(first, slabs.header(first))
        }
    }
}

fn fill_piece(
    writer: Writer<'_>,
    upload: &mut Upload,
    piece: Piece<'_>,
    now: Now,
) -> Result<(), StoreError> {
    match piece {
        Piece::Bytes(bytes) => fill(writer, upload, bytes, now),
        Piece::Item(first) => fill_from(writer, upload, first, now),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{
        Arith, Counted, Deleted, Fetch, Fetched, Lane, MetaDelete, Store, StoreRequest,
    };

    fn now() -> Now {
        Now::at_second(5)
    }

    /// A lane of a store that is full of numbers of a thousand digits, and the first that is there.
    fn full() -> (Lane, String) {
        let settings = StoreSettings {
            memory_limit: 2 << 20,
            ..StoreSettings::default()
        };
        let mut lane = Store::new(&settings, 1).unwrap().lane(0);
        for number in 0..4_000 {
            let name = format!("number-{number}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let value = format!("{number:01000}");
            lane.put(&key, &StoreRequest::default(), value.as_bytes(), now())
                .unwrap();
        }
        let peek = Fetch {
            peek: true,
            ..Fetch::default()
        };
        let is_there = |name: &String| {
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            lane.fetch(&key, peek, now(), |_| ()) == Fetched::Hit(())
        };
        let oldest = (0..4_000).map(|n| format!("number-{n}")).find(is_there);
        let oldest = oldest.expect("something is there");
        assert_ne!(oldest, "number-0", "it is full");
        (lane, oldest)
    }

    #[test]
    fn the_item_that_another_is_made_from_does_not_go_for_it() {
        let (mut lane, oldest) = full();
        let key = lane.hashed(Key::new(oldest.as_bytes()).unwrap());
        let how = Arith {
            delta: 1,
            ..Arith::default()
        };
        let counted = lane.arith(&key, &how, now()).unwrap();
        assert!(matches!(counted, Counted::Number { .. }), "{counted:?}");
        lane.store().validate();

        let (mut lane, oldest) = full();
        let key = lane.hashed(Key::new(oldest.as_bytes()).unwrap());
        let how = MetaDelete {
            drop_value: true,
            ..MetaDelete::default()
        };
        let emptied = lane.meta_delete(&key, &how, now());
        assert!(matches!(emptied, Deleted::Deleted(_)), "{emptied:?}");
        let seen = lane.fetch(&key, Fetch::default(), now(), |item| item.value_len());
        assert_eq!(seen, Fetched::Hit(0));
        lane.store().validate();
    }

    #[test]
    fn an_item_that_gets_room_for_a_cas_id_is_the_same_otherwise() {
        let mut lane = Store::new(&StoreSettings::default(), 1).unwrap().lane(0);
        let key = lane.hashed(Key::new(b"key").unwrap());
        lane.put(&key, &StoreRequest::default(), b"value", now())
            .unwrap();
        lane.fetch(&key, Fetch::default(), now(), |_| ());
        let how = MetaDelete {
            invalidate: true,
            explicit_cas: Some(99),
            ..MetaDelete::default()
        };
        lane.meta_delete(&key, &how, now().plus_seconds(7));
        let later = now().plus_seconds(10);
        let seen = lane.fetch(&key, Fetch::default(), later, |item| {
            (item.was_fetched(), item.idle_seconds(), item.cas())
        });
        assert_eq!(seen, Fetched::Hit((true, 10, 99)));
    }
}
