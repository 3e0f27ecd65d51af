//! What one lock guards: a part of the index, its count of writes, its flushes and its pins.

pub(crate) mod marks;

use crate::base::clock::Now;
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::store::index::bucket::Slot;
use crate::store::index::{Absent, Fingerprint, Index};
use crate::store::item::{Header, VERSIONS, state};
use crate::store::outcome::{ClassId, Miss};
use crate::store::slab::{ChunkRef, Epitaph, Slabs};
use crate::store::stripe::marks::{FlushStep, Flushed, Marks, note_flush};
use std::sync::Arc;

/// Writes to a stripe after which its items are looked at for their age.
pub(crate) const AGE_CHECKED: u64 = VERSIONS / 8;

/// Items older than this many writes get this age.
const AGE_MAX: u64 = VERSIONS / 4;

/// One stripe: everything here is guarded by the stripe's mutex.
#[derive(Debug)]
pub(crate) struct Stripe {
    pub(crate) index: Index,
    /// How often it was written to. An item keeps the low 36 bits: 32 are its CAS counter, the
    /// others its epoch. The CAS id that clients see has the stripe's number below the counter, so
    /// that no two items ever share one without a counter for all.
    pub(crate) version: u64,
    /// The version when its items were last looked at for their age.
    pub(crate) aged: u64,
    /// Flushes that no round has been made for.
    pub(crate) flushed: Option<Flushed>,
    pub(crate) pins: Pins,
}

impl Default for Stripe {
    fn default() -> Self {
        // Ids begin above 1: clients use 1 as "older than anything".
        Self {
            index: Index::default(),
            version: 1,
            aged: 1,
            flushed: None,
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
        key: Key<'_>,
        fingerprint: Fingerprint,
    ) -> Result<Found, Absent> {
        let (slot, chunk) = self.seek(slabs, key, fingerprint)?;
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
        key: Key<'_>,
        fingerprint: Fingerprint,
    ) -> Result<(Slot, ChunkRef), Absent> {
        let is_it = |chunk| slabs.has_key(chunk, key);
        self.index.find(slabs, fingerprint, is_it)
    }

    /// The item in `chunk`, if that is one with this fingerprint.
    pub(crate) fn item_in(
        &self,
        slabs: &Slabs,
        fingerprint: Fingerprint,
        chunk: ChunkRef,
    ) -> Option<Found> {
        let is_it = |other| other == chunk;
        let (slot, chunk) = self.index.find(slabs, fingerprint, is_it).ok()?;
        Some(Found {
            slot,
            chunk,
            header: slabs.header(chunk),
        })
    }

    /// The item that was found under this key, if it is alive.
    #[inline]
    pub(crate) fn alive(
        &self,
        key: Key<'_>,
        found: Result<Found, Absent>,
        now: Now,
    ) -> Option<Found> {
        let is_alive = |found: &Found| self.death(key, found.header, now).is_none();
        found.ok().filter(is_alive)
    }

    /// Why the item with this key and header counts as gone, if it does.
    #[inline]
    pub(crate) fn death(&self, key: Key<'_>, header: Header, now: Now) -> Option<Miss> {
        if header.expiry().has_passed(now) {
            return Some(Miss::Expired);
        }
        let is_flushed = self.flushed.is_some() && self.is_flushed(key, header);
        is_flushed.then_some(Miss::Flushed)
    }

    /// Whether the item in `chunk`, with this header, counts as gone.
    pub(crate) fn is_dead(&self, slabs: &Slabs, chunk: ChunkRef, header: Header, now: Now) -> bool {
        if self.flushed.is_none() {
            return header.expiry().has_passed(now);
        }
        let mut buffer = [0; KEY_LEN_MAX];
        let key = slabs.key_of(chunk, &mut buffer);
        key.is_some_and(|key| self.death(key, header, now).is_some())
    }

    #[inline(never)]
    fn is_flushed(&self, key: Key<'_>, header: Header) -> bool {
        let written = self.version - self.age(header);
        let flushed = self.flushed.as_ref();
        flushed.is_some_and(|flushed| flushed.kills(key.as_bytes(), written))
    }

    /// Writes to the stripe since this item's.
    pub(crate) fn age(&self, header: Header) -> u64 {
        self.version.wrapping_sub(header.version()) % VERSIONS
    }

    /// The version of what is written next.
    #[inline(always)] // a few instructions, in every write
    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += 1;
        if self.version as u32 == 0 {
            // No item has the CAS id 0: to clients that is none.
            self.version += 1;
        }
        self.version
    }

    /// Notes a flush that the store has numbered so. Returns how many steps more are kept.
    pub(crate) fn flush(&mut self, marks: &Arc<Marks>, number: u64) -> isize {
        let version = self.version;
        note_flush(&mut self.flushed, marks, FlushStep { number, version })
    }

    /// Whether so much was written since its items were last looked at that they are to be again.
    pub(crate) fn is_to_be_aged(&self) -> bool {
        self.version - self.aged >= AGE_CHECKED
    }

    /// Keeps an item that is older than [`AGE_MAX`] from becoming older than can be told. It seems
    /// younger than it is, but older than any flush to come; those that have been did not kill it.
    pub(crate) fn limit_age(&self, slabs: &Slabs, found: Found) {
        if self.age(found.header) > AGE_MAX {
            let version = self.version.saturating_sub(AGE_MAX);
            let header = Header {
                high: found.header.high,
                ..found.header.with_version(version)
            };
            slabs.set_header_first(found.chunk, header);
        }
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
    /// What it counts for. Once the lock is released, a pinned item's chunk may be in any class.
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
