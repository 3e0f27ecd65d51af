//! Counting: adding to and subtracting from values that are decimal numbers.

use crate::base::clock::{Expiry, Now};
use crate::base::number::parse_u64;
use crate::store::evict::ghosts::ask_ghost;
use crate::store::item::{Header, state};
use crate::store::outcome::{Arith, Counted, StoreError, StoreMode, StoreOutcome, StoreRequest};
use crate::store::slab::Slabs;
use crate::store::stripe::Found;
use crate::store::table::HashedKey;
use crate::store::write::Writer;
use crate::store::write::link::Heritage;
use crate::store::write::put::{fits_in_place, put};
use crate::store::write::rewrite::{Base, Piece, assemble, base, rewrite};

/// Bytes of the longest number, and some for blanks around it.
const NUMBER_LEN: usize = 24;

/// A number with leading zeros may be long, but not as long as a chain.
const LONG_NUMBER_LEN: usize = 1024;

/// What the stripe's lock was let go with.
enum Tried {
    Answer(Counted),
    Missing,
    /// The number has outgrown its chunk: it goes into a new one.
    Move(Box<Base>, u64),
}

/// Adds to or subtracts from the number that an item's value is.
///
/// # Errors
///
/// [`StoreError::OutOfMemory`] if the item had to be created or moved and could not.
pub(crate) fn arith(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &Arith,
    now: Now,
) -> Result<Counted, StoreError> {
    match try_arith(writer, key, how, now) {
        Tried::Answer(counted) => Ok(counted),
        step => arith_anew(writer, step, key, how, now),
    }
}

/// Goes on after a `step` that needs another chunk.
#[inline(never)]
fn arith_anew(
    writer: Writer<'_>,
    mut step: Tried,
    key: &HashedKey<'_>,
    how: &Arith,
    now: Now,
) -> Result<Counted, StoreError> {
    loop {
        let done = match step {
            Tried::Answer(counted) => Some(counted),
            Tried::Missing => create_number(writer, key, how, now)?,
            Tried::Move(base, value) => move_number(writer, key, how, *base, value, now)?,
        };
        if let Some(counted) = done {
            return Ok(counted);
        }
        // Somebody else was quicker.
        step = try_arith(writer, key, how, now);
    }
}

/// Stores the initial number, if there is to be one; `None` if an item has appeared meanwhile.
fn create_number(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &Arith,
    now: Now,
) -> Result<Option<Counted>, StoreError> {
    let Some((number, expiry)) = how.initial else {
        return Ok(Some(Counted::NotFound));
    };
    let expiry = how.touch.unwrap_or(expiry);
    let request = StoreRequest {
        mode: StoreMode::Add,
        expiry,
        explicit_cas: how.explicit_cas,
        binary_key: how.binary_key,
        ..StoreRequest::default()
    };
    let mut digits = itoa::Buffer::new();
    let stored = put(writer, key, &request, digits.format(number).as_bytes(), now)?;
    let (cas, class) = (stored.cas, stored.class);
    Ok(
        (stored.outcome == StoreOutcome::Stored).then_some(Counted::Number {
            value: number,
            cas,
            expiry,
            class,
            created: true,
        }),
    )
}

#[inline]
fn try_arith(writer: Writer<'_>, key: &HashedKey<'_>, how: &Arith, now: Now) -> Tried {
    let table = writer.table();
    let place = key.hash.place();
    let mut stripe = table.stripe(place);
    let found = stripe.look(&table.slabs, key.key, table.fingerprint(key.hash));
    let absent = found.err();
    let Some(found) = stripe.alive(key.key, found, now) else {
        if absent.is_some_and(|absent| absent.may_have_a_ghost()) {
            ask_ghost(writer.seat, &mut stripe, key);
        }
        return Tried::Missing;
    };
    let id = table.cas_id(place, found.chunk, found.header);
    let value = match count(&table.slabs, &found, id, how) {
        Ok(value) => value,
        Err(refused) => return Tried::Answer(refused),
    };
    let mut digits = itoa::Buffer::new();
    let text = digits.format(value).as_bytes();
    let mut layout = table.slabs.layout_of(found.chunk, found.header);
    layout.value_len = text.len() as u32;
    layout.explicit_cas = how.explicit_cas.filter(|_| table.cas);
    let class = table.slabs.class_of(found.chunk);
    if !fits_in_place(table, found.header, class, layout) {
        return Tried::Move(Box::new(base(writer, key, &mut stripe, found)), value);
    }
    let before = table.slabs.item_size(found.chunk, found.header);
    let expiry = how.touch.unwrap_or(found.header.expiry());
    // Counting is an access, for eviction; but the new number has not been fetched.
    let accessed = found.header.accessed(now);
    let header = Header {
        part_len: layout.value_len,
        low: expiry.to_bits(),
        state: accessed.state & !state::FETCHED,
        ..accessed
    };
    let header = header.with_version(stripe.next_version());
    table.slabs.write_options(found.chunk, header, layout);
    let value_at = table.slabs.offset(found.chunk) + layout.value_offset();
    table.slabs.arena.write(value_at, text);
    table.slabs.note_expiry(found.chunk, expiry);
    drop(stripe);
    let cas = table.cas_shown(place, layout.explicit_cas, header.high);
    let grown = (layout.whole_len() as u64).wrapping_sub(u64::from(before));
    let tallies = writer.seat.tallies(class);
    tallies.bytes.add(grown);
    tallies.used.add(1);
    tallies.proven.add(u64::from(found.header.is_on_trial()));
    Tried::Answer(Counted::Number {
        value,
        cas,
        expiry,
        class,
        created: false,
    })
}

/// The number after the operation on the item, whose CAS id is `id`; `Err` is the refusal.
///
/// As in memcached an empty value is no number whatever its id; that other text
/// is none is reported only where the id is right.
fn count(slabs: &Slabs, found: &Found, id: u64, how: &Arith) -> Result<u64, Counted> {
    if found.header.part_len == 0 {
        return Err(Counted::NonNumeric);
    }
    if how.compare.is_some_and(|wanted| wanted != id) {
        return Err(Counted::Exists);
    }
    let old = number_in(slabs, found).ok_or(Counted::NonNumeric)?;
    Ok(if how.down {
        old.saturating_sub(how.delta)
    } else {
        old.wrapping_add(how.delta)
    })
}

/// Puts a new item with the number in place of `base`; `None` if that has changed.
fn move_number(
    writer: Writer<'_>,
    key: &HashedKey<'_>,
    how: &Arith,
    base: Base,
    value: u64,
    now: Now,
) -> Result<Option<Counted>, StoreError> {
    let request = StoreRequest {
        client_flags: base.layout.client_flags,
        expiry: how.touch.unwrap_or(Expiry::NEVER),
        explicit_cas: how.explicit_cas,
        ..StoreRequest::default()
    };
    let mut digits = itoa::Buffer::new();
    let text = Piece::Bytes(digits.format(value).as_bytes());
    let heritage = Heritage {
        expiry: how.touch.is_none(),
        ..Heritage::OF_A_CHANGE
    };
    let made = assemble(writer, key, &request, &[text], now)?;
    let rewritten = rewrite(writer, key, base, made, (heritage, 0), now)?;
    Ok(rewritten.map(|(stored, expiry)| Counted::Number {
        value,
        cas: stored.cas,
        expiry,
        class: stored.class,
        created: false,
    }))
}

fn number_in(slabs: &Slabs, found: &Found) -> Option<u64> {
    if found.header.has(state::CHAINED) {
        return None;
    }
    let len = found.header.part_len as usize;
    if len <= NUMBER_LEN {
        number_of::<NUMBER_LEN>(slabs, found)
    } else if len <= LONG_NUMBER_LEN {
        long_number_of(slabs, found)
    } else {
        None
    }
}

#[inline(never)]
fn long_number_of(slabs: &Slabs, found: &Found) -> Option<u64> {
    number_of::<LONG_NUMBER_LEN>(slabs, found)
}

#[inline]
fn number_of<const LEN: usize>(slabs: &Slabs, found: &Found) -> Option<u64> {
    let mut text = [0; LEN];
    let text = &mut text[..found.header.part_len as usize];
    let at = slabs.part_at(found.chunk, found.header);
    slabs.arena.read(at, text);
    parse_number(text)
}

/// Reads a stored value the way C's `strtoull` does, as counters in the field rely on: blanks and
/// a plus sign may come first, and it ends at a blank or a NUL.
fn parse_number(text: &[u8]) -> Option<u64> {
    // What a counter looks like that nobody but us has written.
    if let Some(number) = parse_u64(text) {
        return Some(number);
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let start = text.iter().position(|byte| !blank(byte))?;
    let text = &text[start..];
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let end = text
        .iter()
        .position(|byte| blank(byte) || *byte == 0)
        .unwrap_or(text.len());
    parse_u64(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, expected) in [
            (&b"0"[..], Some(0)),
            (b"  42 ", Some(42)),
            (b"+7", Some(7)),
            (b"007", Some(7)),
            (b"12\0rest", Some(12)),
            (b"12 rest", Some(12)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"-1", None),
            (b"12x", None),
            (b"", None),
            (b"   ", None),
            (b"+", None),
        ] {
            assert_eq!(parse_number(text), expected, "{}", text.escape_ascii());
        }
    }
}
