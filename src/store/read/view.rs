//! The view of a live item that callers get under its stripe's lock.

use crate::base::clock::{Expiry, Now};
use crate::base::hash::Place;
use crate::store::item::{Header, state};
use crate::store::outcome::ClassId;
use crate::store::read::pin::{PinnedValue, pin_chunk};
use crate::store::slab::ChunkRef;
use crate::store::stripe::Stripe;
use crate::store::table::Table;

/// A live item, seen under its stripe's lock.
pub struct Item<'a> {
    pub(crate) table: &'a Table,
    pub(crate) stripe: &'a mut Stripe,
    pub(crate) place: Place,
    pub(crate) chunk: ChunkRef,
    /// The header after this access, as it is stored. Packed: nobody needs all of it.
    pub(crate) words: [u64; 2],
    /// The header before this access.
    pub(crate) before: [u64; 2],
    pub(crate) now: Now,
    pub(crate) won: bool,
    pub(crate) created: bool,
}

impl Item<'_> {
    #[inline]
    pub(crate) fn header(&self) -> Header {
        let [first, second] = self.words;
        Header::unpack(first, second)
    }

    #[inline]
    fn before(&self) -> Header {
        let [first, second] = self.before;
        Header::unpack(first, second)
    }

    /// Its slab class.
    #[inline]
    #[must_use]
    pub fn class(&self) -> ClassId {
        self.table.slabs.class_of(self.chunk)
    }

    /// The client's 32 bits.
    #[inline]
    #[must_use]
    pub fn client_flags(&self) -> u32 {
        self.table.slabs.client_flags(self.chunk, self.header())
    }

    /// Its CAS id; 0 when they are off.
    #[inline]
    #[must_use]
    pub fn cas(&self) -> u64 {
        self.table.cas_id(self.place, self.chunk, self.header())
    }

    /// Bytes of its value.
    #[inline]
    #[must_use]
    pub fn value_len(&self) -> u32 {
        self.table.slabs.value_len(self.chunk, self.header())
    }

    /// When it dies.
    #[inline]
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.header().expiry()
    }

    /// Bytes it takes: header, key, value and what else it carries.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.table.slabs.item_size(self.chunk, self.header())
    }

    /// Whether it had been fetched before this fetch.
    #[inline]
    #[must_use]
    pub fn was_fetched(&self) -> bool {
        self.before().has(state::FETCHED)
    }

    /// Seconds since the access before this one.
    #[must_use]
    pub fn idle_seconds(&self) -> u64 {
        self.before().idle_seconds(self.now)
    }

    /// Whether it has been invalidated.
    #[inline]
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.header().has(state::STALE)
    }

    /// Whether another client has been told to recompute it.
    #[must_use]
    pub fn win_was_sent(&self) -> bool {
        self.before().has(state::WIN_SENT) && !self.created
    }

    /// Whether this request is the one to recompute it.
    #[inline]
    #[must_use]
    pub fn won(&self) -> bool {
        self.won
    }

    /// Whether this request has created it.
    #[inline]
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// Whether its key came base64-encoded.
    #[must_use]
    pub fn has_binary_key(&self) -> bool {
        self.header().has(state::BINARY_KEY)
    }

    /// Appends the value. Meant for values of at most [`COPY_MAX`](super::COPY_MAX) bytes: longer
    /// ones hold the lock for too long and should be pinned.
    #[inline]
    pub fn copy_value(&self, out: &mut Vec<u8>) {
        self.table
            .slabs
            .append_value(self.chunk, self.header(), out);
    }

    /// Keeps the value readable as it is, whatever happens to the item, until the pin is dropped.
    #[must_use]
    #[inline]
    pub fn pin(&mut self) -> PinnedValue {
        let pinned = Header {
            state: self.header().state | state::PINNED,
            ..self.header()
        };
        self.words = pinned.words();
        // By value: an item whose address nobody takes stays in registers.
        pin_chunk(self.table, self.stripe, self.place, self.chunk, self.words)
    }
}
