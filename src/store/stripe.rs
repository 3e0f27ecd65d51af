//! What one lock guards: a part of the index, its CAS counter, its flush mark and its pins.

use crate::base::clock::Now;
use crate::store::HashedKey;
use crate::store::bucket::Slot;
use crate::store::index::{Absent, Index, Print};
use crate::store::item::{Header, state};
use crate::store::outcome::{ClassId, Miss};
use crate::store::slab::{ChunkRef, Epitaph, Slabs};

/// One stripe: everything here is guarded by the stripe's mutex.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) index: Index,
    /// CAS ids given out. An item keeps the low 32 bits; the id that clients see has the stripe's
    /// number below them, so that no two items ever share one without a counter for all.
    cas: u64,
    /// `flush_all`: items whose CAS counter is not after this one are dead.
    flush_mark: Option<u32>,
    pub(crate) pins: Pins,
}

impl Default for Stripe {
    fn default() -> Self {
        // Ids begin above 1: clients use 1 as "older than anything".
        Self {
            index: Index::default(),
            cas: 1,
            flush_mark: None,
            pins: Pins::default(),
        }
    }
}

/// An item in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) slot: Slot,
    pub(crate) chunk: ChunkRef,
    pub(crate) header: Header,
}

impl Stripe {
    /// The item with this key, dead or alive.
    #[inline]
    pub(crate) fn look(
        &self,
        slabs: &Slabs,
        key: &HashedKey<'_>,
        print: Print,
    ) -> Result<Found, Absent> {
        let (slot, chunk) = self.seek(slabs, key, print)?;
        Ok(Found {
            slot,
            chunk,
            header: slabs.header(chunk),
        })
    }

    // Not inlined, but the header is read and unpacked in the caller, who needs a part of it only.
    #[inline(never)]
    pub(crate) fn seek(
        &self,
        slabs: &Slabs,
        key: &HashedKey<'_>,
        print: Print,
    ) -> Result<(Slot, ChunkRef), Absent> {
        let is_it = |chunk| slabs.has_key(chunk, key.key);
        self.index.find(slabs, print, is_it)
    }

    /// The item in `chunk`, if that is one with this print.
    pub(crate) fn item_in(&self, slabs: &Slabs, print: Print, chunk: ChunkRef) -> Option<Found> {
        let is_it = |other| other == chunk;
        let (slot, chunk) = self.index.find(slabs, print, is_it).ok()?;
        Some(Found {
            slot,
            chunk,
            header: slabs.header(chunk),
        })
    }

    /// Why the item counts as gone, if it does.
    #[inline]
    pub(crate) fn death(&self, header: Header, now: Now) -> Option<Miss> {
        if header.expiry().has_passed(now) {
            return Some(Miss::Expired);
        }
        self.is_flushed(header).then_some(Miss::Flushed)
    }

    #[inline]
    fn is_flushed(&self, header: Header) -> bool {
        // Wrapping: the mark is lifted, by a walk over all items, long before 2^31 further ids.
        self.flush_mark
            .is_some_and(|mark| mark.wrapping_sub(header.high).cast_signed() >= 0)
    }

    /// The next CAS counter.
    #[inline]
    pub(crate) fn next_cas(&mut self) -> u32 {
        self.cas += 1;
        self.cas as u32
    }

    /// Makes everything that is in the stripe now dead.
    pub(crate) fn flush(&mut self) {
        self.flush_mark = Some(self.cas as u32);
    }

    /// Forgets the flush: no flushed item is left.
    pub(crate) fn lift_flush(&mut self) {
        self.flush_mark = None;
    }

    /// Takes the item out of the index and says who has to free its chunks.
    pub(crate) fn unlink(&mut self, slabs: &Slabs, bits: u32, found: Found) -> Unlinked {
        self.index.remove(slabs, bits, found.slot);
        self.retire(slabs, found)
    }

    /// As [`unlink`](Self::unlink), leaving a ghost.
    pub(crate) fn bury(
        &mut self,
        slabs: &Slabs,
        check: u32,
        found: Found,
        epitaph: Epitaph,
    ) -> Unlinked {
        self.index.bury(slabs, found.slot, check, epitaph);
        self.retire(slabs, found)
    }

    /// Marks an item whose slot is gone or points elsewhere as no longer linked.
    pub(crate) fn retire(&mut self, slabs: &Slabs, found: Found) -> Unlinked {
        let header = Header {
            state: found.header.state & !state::LINKED,
            ..found.header
        };
        slabs.set_header_first(found.chunk, header);
        Unlinked {
            chunk: found.chunk,
            header: found.header,
            class: slabs.class_of(found.chunk),
            size: slabs.item_size(found.chunk, found.header),
            free_now: !found.header.has(state::PINNED),
        }
    }
}

/// An item that is no longer in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlinked {
    pub(crate) chunk: ChunkRef,
    /// Its header while it was linked.
    pub(crate) header: Header,
    /// What it counts for. Once the lock is let go, the chunk of a pinned item may be anybody's.
    pub(crate) class: ClassId,
    pub(crate) size: u32,
    /// Whether its chunks are the caller's to free; else the last pin frees them.
    pub(crate) free_now: bool,
}

/// Which items are being sent, and by how many. Few at any time, mostly none.
#[derive(Debug, Default)]
pub(crate) struct Pins(Vec<(ChunkRef, u32)>);

impl Pins {
    /// Adds a pin.
    pub(crate) fn add(&mut self, chunk: ChunkRef) {
        match self.0.iter_mut().find(|(pinned, _)| *pinned == chunk) {
            Some((_, count)) => *count += 1,
            None => self.0.push((chunk, 1)),
        }
    }

    /// Removes a pin; true if it was the last.
    pub(crate) fn remove(&mut self, chunk: ChunkRef) -> bool {
        let position = self.0.iter().position(|(pinned, _)| *pinned == chunk);
        let position = position.expect("a pin is removed once, by its owner");
        self.0[position].1 -= 1;
        if self.0[position].1 > 0 {
            return false;
        }
        self.0.swap_remove(position);
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::base::clock::Now;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::index::Print;
    use crate::store::{Fetch, Fetched, Store, StoreRequest};

    #[test]
    fn an_item_is_counted_out_of_its_class_though_its_page_has_another_one() {
        let settings = StoreSettings {
            memory_limit: 2 << 20,
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).unwrap();
        let mut lane = store.lane(0);
        let now = Now::at_second(5);
        let request = StoreRequest::default();
        let key = lane.hashed(Key::new(b"sent").unwrap());
        lane.put(&key, &request, &[b's'; 9_000], now).unwrap();
        let Fetched::Hit(pin) = lane.fetch(&key, Fetch::default(), now, |item| item.pin()) else {
            panic!("it is there");
        };
        let gone = {
            let mut stripe = store.stripe(key.hash.place());
            let print = Print::new(key.hash, store.stripe_bits);
            let found = stripe.look(&store.slabs, &key, print).unwrap();
            stripe.unlink(&store.slabs, print.bits, found)
        };
        // It is sent before it is counted out, and others need the page.
        drop(pin);
        let key = lane.hashed(Key::new(b"other").unwrap());
        let other = lane.put(&key, &request, b"value", now).unwrap().class;
        while store.slabs.class_of(gone.chunk) == gone.class {
            assert!(lane.force_page(other, now), "there is a page to be had");
        }
        lane.discard(gone);
        store.validate();
    }
}
