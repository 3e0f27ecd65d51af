//! Counting: adding to and subtracting from values that are decimal numbers.

use crate::base::clock::{Expiry, Now};
use crate::base::number::parse_u64;
use crate::store::HashedKey;
use crate::store::index::Print;
use crate::store::item::{Header, state};
use crate::store::lane::Lane;
use crate::store::outcome::{Arith, Counted, StoreError, StoreMode, StoreOutcome, StoreRequest};
use crate::store::stripe::Found;
use crate::store::write::put::Heritage;
use crate::store::write::rewrite::{Base, Piece};

/// Bytes of the longest number, and some for blanks around it.
const NUMBER_LEN: usize = 24;

/// A number with leading zeros may be long, but not as long as a chain.
const LONG_NUMBER_LEN: usize = 1024;

/// What the stripe's lock was let go with.
enum Step {
    Answer(Counted),
    Missing,
    /// The number has outgrown its chunk: it goes into a new one.
    Move(Box<Base>, u64),
}

impl Lane {
    /// Adds to or subtracts from the number that an item's value is.
    ///
    /// # Errors
    ///
    /// [`StoreError::OutOfMemory`] if the item had to be created or moved and could not.
    pub fn arith(
        &mut self,
        key: &HashedKey<'_>,
        how: &Arith,
        now: Now,
    ) -> Result<Counted, StoreError> {
        match self.try_arith(key, how, now) {
            Step::Answer(counted) => Ok(counted),
            step => self.arith_anew(step, key, how, now),
        }
    }

    /// Goes on after a `step` that needs another chunk.
    #[inline(never)]
    fn arith_anew(
        &mut self,
        mut step: Step,
        key: &HashedKey<'_>,
        how: &Arith,
        now: Now,
    ) -> Result<Counted, StoreError> {
        loop {
            let done = match step {
                Step::Answer(counted) => Some(counted),
                Step::Missing => self.create_number(key, how, now)?,
                Step::Move(base, value) => self.move_number(key, how, *base, value, now)?,
            };
            if let Some(counted) = done {
                return Ok(counted);
            }
            // Somebody else was quicker.
            step = self.try_arith(key, how, now);
        }
    }

    /// Stores the initial number, if there is to be one; `None` if an item has appeared meanwhile.
    fn create_number(
        &mut self,
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
        let stored = self.put(key, &request, digits.format(number).as_bytes(), now)?;
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
    fn try_arith(&mut self, key: &HashedKey<'_>, how: &Arith, now: Now) -> Step {
        let store = &*self.store;
        let place = key.hash.place();
        let mut stripe = store.stripe(place);
        let found = stripe.look(&store.slabs, key, Print::new(key.hash, store.stripe_bits));
        let Some(found) = stripe.alive(key.key, found, now) else {
            self.ask_ghost(&mut stripe, key);
            return Step::Missing;
        };
        let id = store.cas_id(place, found.chunk, found.header);
        let value = match self.count(&found, id, how) {
            Ok(value) => value,
            Err(refused) => return Step::Answer(refused),
        };
        let mut digits = itoa::Buffer::new();
        let text = digits.format(value).as_bytes();
        let mut shape = store.slabs.shape_of(found.chunk, found.header);
        shape.value_len = text.len() as u32;
        shape.explicit_cas = how.explicit_cas.filter(|_| store.cas);
        let class = store.slabs.class_of(found.chunk);
        if !store.fits_in_place(found.header, class, shape) {
            return Step::Move(Box::new(self.base(key, &mut stripe, found)), value);
        }
        let before = store.slabs.item_size(found.chunk, found.header);
        let expiry = how.touch.unwrap_or(found.header.expiry());
        // Counting is an access, for eviction; but the new number has not been fetched.
        let accessed = found.header.accessed(now);
        let header = Header {
            part_len: shape.value_len,
            low: expiry.to_bits(),
            state: accessed.state & !state::FETCHED,
            ..accessed
        };
        let header = header.with_version(stripe.next_version());
        store.slabs.write_options(found.chunk, header, shape);
        let value_at = store.slabs.offset(found.chunk) + shape.value_offset();
        store.slabs.arena.write(value_at, text);
        store.slabs.note_expiry(found.chunk, expiry);
        drop(stripe);
        let cas = store.cas_shown(place, shape.explicit_cas, header.high);
        let grown = (shape.whole_len() as u64).wrapping_sub(u64::from(before));
        let tallies = self.tallies(class);
        tallies.bytes.add(grown);
        tallies.used.add(1);
        tallies.proven.add(u64::from(found.header.is_on_trial()));
        Step::Answer(Counted::Number {
            value,
            cas,
            expiry,
            class,
            created: false,
        })
    }

    /// The number after the operation on the item, whose CAS id is `id`; `Err` is the refusal.
    ///
    /// As in memcached an empty value is no number whatever its id; of other text that is told only
    /// to who knows the id.
    fn count(&self, found: &Found, id: u64, how: &Arith) -> Result<u64, Counted> {
        if found.header.part_len == 0 {
            return Err(Counted::NonNumeric);
        }
        if how.compare.is_some_and(|wanted| wanted != id) {
            return Err(Counted::Exists);
        }
        let old = self.number_in(found).ok_or(Counted::NonNumeric)?;
        Ok(if how.down {
            old.saturating_sub(how.delta)
        } else {
            old.wrapping_add(how.delta)
        })
    }

    /// Puts a new item with the number in place of `base`; `None` if that has changed.
    fn move_number(
        &mut self,
        key: &HashedKey<'_>,
        how: &Arith,
        base: Base,
        value: u64,
        now: Now,
    ) -> Result<Option<Counted>, StoreError> {
        let request = StoreRequest {
            client_flags: base.shape.client_flags,
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
        let made = self.assemble(key, &request, &[text], now)?;
        let rewritten = self.rewrite(key, base, made, (heritage, 0), now)?;
        Ok(rewritten.map(|(stored, expiry)| Counted::Number {
            value,
            cas: stored.cas,
            expiry,
            class: stored.class,
            created: false,
        }))
    }

    fn number_in(&self, found: &Found) -> Option<u64> {
        if found.header.has(state::CHAINED) {
            return None;
        }
        let len = found.header.part_len as usize;
        if len <= NUMBER_LEN {
            self.number_of::<NUMBER_LEN>(found)
        } else if len <= LONG_NUMBER_LEN {
            self.long_number_of(found)
        } else {
            None
        }
    }

    #[inline(never)]
    fn long_number_of(&self, found: &Found) -> Option<u64> {
        self.number_of::<LONG_NUMBER_LEN>(found)
    }

    #[inline]
    fn number_of<const LEN: usize>(&self, found: &Found) -> Option<u64> {
        let mut text = [0; LEN];
        let text = &mut text[..found.header.part_len as usize];
        let slabs = &self.store.slabs;
        let at = slabs.part_at(found.chunk, found.header);
        slabs.arena.read(at, text);
        parse_number(text)
    }
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
