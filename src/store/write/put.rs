//! Storing a value: in place where it fits, else as a new item.

use crate::base::clock::Now;
use crate::base::key::KEY_LEN_MAX;
use crate::store::item::{Header, Layout, access_at, state};
use crate::store::outcome::{ClassId, StoreError, StoreMode, StoreOutcome, StoreRequest, Stored};
use crate::store::table::{HashedKey, Table};
use crate::store::write::Writer;
use crate::store::write::condition::{Verdict, check};
use crate::store::write::link::{Linking, header_over, keep_of_stale, link_new, refusal, refused};
use crate::store::write::rewrite::{Piece, assemble, extend};
use crate::store::write::upload::{Upload, layout_for, new_item};

/// Stores a value that has arrived whole.
///
/// # Errors
///
/// [`StoreError::TooLarge`] for values over the item size limit, [`StoreError::OutOfMemory`]
/// when evictions are off and memory is full.
pub(crate) fn put(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    value: &[u8],
    now: Now,
) -> Result<Stored, StoreError> {
    let layout = layout_for(writer.table(), key, request, value.len())?;
    if matches!(request.mode, StoreMode::Append | StoreMode::Prepend) {
        return extend(writer, key, request, Piece::Bytes(value), now);
    }
    if layout.is_chained() {
        let made = assemble(writer, key, request, &[Piece::Bytes(value)], now)?;
        return commit(writer, made, now);
    }
    if let Some(answer) = put_in_place(writer, key, request, layout, value, now) {
        return Ok(answer);
    }
    let chunk = new_item(writer, key, request.expiry, layout, now)?;
    let slabs = writer.slabs();
    slabs
        .arena
        .write(slabs.part_at(chunk, slabs.header(chunk)), value);
    link_new(writer, key, request, chunk, now)
}

/// Links the complete item.
///
/// # Errors
///
/// As [`put`]; the upload is then gone already.
///
/// # Panics
///
/// If bytes are missing.
pub(crate) fn commit(writer: Writer<'_>, upload: Upload, now: Now) -> Result<Stored, StoreError> {
    assert_eq!(upload.missing(), 0, "only a complete value is linked");
    let mut buffer = [0; KEY_LEN_MAX];
    let key = writer.table().slabs.key_of(upload.first, &mut buffer);
    let key = HashedKey {
        key: key.expect("an upload has a key"),
        hash: upload.hash,
    };
    if matches!(upload.request.mode, StoreMode::Append | StoreMode::Prepend) {
        let stored = extend(
            writer,
            &key,
            &upload.request,
            Piece::Item(upload.first),
            now,
        );
        writer.seat.free_chain(upload.first);
        return stored;
    }
    link_new(writer, &key, &upload.request, upload.first, now)
}

/// Carries the request out under one lock, if no new chunk is needed for that.
#[inline]
fn put_in_place(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    layout: Layout,
    value: &[u8],
    now: Now,
) -> Option<Stored> {
    let table = writer.table();
    let place = key.hash.place();
    let mut stripe = table.stripe(place);
    let found = stripe.look(&table.slabs, key.key, table.fingerprint(key.hash));
    let live = stripe.alive(key.key, found, now);
    let stale = match check(table, place, live.as_ref(), request) {
        Verdict::Store { stale } => stale,
        Verdict::Refuse(outcome) => {
            let class = refused(writer.seat, live, now);
            return Some(refusal(outcome, class, layout.value_len));
        }
    };
    let found = live?;
    let class = table.slabs.class_of(found.chunk);
    if !fits_in_place(table, found.header, class, layout)
        || is_to_be_renewed(table, found.header, class)
    {
        return None;
    }
    let before = table.slabs.item_size(found.chunk, found.header);
    let linking = Linking::new(request, found.chunk);
    let blank = Header {
        key_len: found.header.key_len,
        access: access_at(now),
        part_len: layout.value_len,
        epoch: 0,
        state: 0,
        low: request.expiry.to_bits(),
        high: 0,
    };
    let blank = blank.with_version(stripe.next_version());
    let mut header = header_over(blank, Some(found.header), &linking);
    if stale {
        keep_of_stale(&mut header, Some(found.header));
    }
    table.slabs.write_options(found.chunk, header, layout);
    let value_at = table.slabs.offset(found.chunk) + layout.value_offset();
    table.slabs.arena.write(value_at, value);
    table.slabs.note_expiry(found.chunk, header.expiry());
    drop(stripe);
    let cas = table.cas_shown(place, layout.explicit_cas, header.high);
    let tallies = writer.seat.tallies(class);
    tallies.linked.add(1);
    tallies.replaced.add(1);
    let grown = (layout.whole_len() as u64).wrapping_sub(u64::from(before));
    tallies.bytes.add(grown);
    Some(Stored {
        outcome: StoreOutcome::Stored,
        cas,
        value_len: layout.value_len,
        class,
    })
}

/// Whether an item of `layout` can take the place of one with this header in a chunk of `class`.
#[inline]
pub(crate) fn fits_in_place(table: &Table, header: Header, class: ClassId, layout: Layout) -> bool {
    !header.has(state::PINNED | state::CHAINED)
        && table.slabs.sizes.fitting(layout.whole_len()) == Some(class)
}

/// Whether an item with this header that is overwritten is to be as young as a new one. Its
/// entry in the ring says when it came; so it gets another chunk, and a new entry with that.
///
/// Items of the main queue stay where they are: popular to write is not popular to read.
#[inline]
fn is_to_be_renewed(table: &Table, header: Header, class: ClassId) -> bool {
    !header.is_main() && table.slabs.demand(class).has_evicted()
}
