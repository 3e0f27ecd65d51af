//! How an item lies in its chunk.
//!
//! ```text
//!   byte 0      1           4             6         6 1/2      8           12       16
//!   ┌───────────┬───────────┬─────────────┬─────────┬──────────┬───────────┬────────┐
//!   │ key_len 8 │ access 24 │ part_len 16 │ epoch 4 │ state 12 │ expiry 32 │ cas 32 │  header
//!   ├───────────┴───────────┴──────┬──────┴─────────┴───┬──────┴───────────┴──┬─────┘
//!   │ key                          │ [client flags 4]   │ [explicit cas 8]    │
//!   ├──────────────────────────────┴────────────────────┴─────────────────────┤
//!   │ [value length 4, next chunk 4]   value (its first part)                 │
//!   └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What is in brackets is there only when a state bit says so; the last pair belongs to chained
//! items, whose value goes on in continuation chunks:
//!
//! ```text
//!   │ 0 │ 0 │ part_len 16 │ 0 │ LINKED │ next chunk 32 │ owner 32 │ value (a further part) │
//! ```
//!
//! A key has at least one byte, so a key length of 0 marks a continuation. `owner` is the item's
//! first chunk. A chunk whose state is 0 is free or being filled. No list links, no reference
//! count, no terminators: 16 bytes of header where memcached has 56 and three bytes of padding.
//!
//! The header's words are written only under the item's stripe lock, or by the one thread that
//! holds an unlinked chunk.

use crate::base::clock::{Expiry, Now};
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::store::slab::{CHUNK_MAX, ChunkRef, Slabs, WHOLE_MAX};

/// Bytes of the header.
pub(crate) const HEADER: usize = 16;

/// The state bits of a chunk.
pub(crate) mod state {
    /// An item in the index, or a part of one.
    pub(crate) const LINKED: u16 = 1;
    /// In the main part of its class; otherwise in the small queue.
    pub(crate) const MAIN: u16 = 1 << 1;
    /// Hits counted for eviction, 0 to 3, by the queue's own rule (see `policy`): two bits.
    pub(crate) const HITS: u16 = 3 << 2;
    /// One hit.
    pub(crate) const HIT: u16 = 1 << 2;
    /// Fetched since it was stored.
    pub(crate) const FETCHED: u16 = 1 << 4;
    /// Marked stale by an invalidation.
    pub(crate) const STALE: u16 = 1 << 5;
    /// A client has been told to recompute it.
    pub(crate) const WIN_SENT: u16 = 1 << 6;
    /// The key came base64-encoded and is echoed that way.
    pub(crate) const BINARY_KEY: u16 = 1 << 7;
    /// Four bytes of client flags follow the key.
    pub(crate) const HAS_FLAGS: u16 = 1 << 8;
    /// Eight bytes of CAS id follow the key.
    pub(crate) const HAS_CAS: u16 = 1 << 9;
    /// The value goes on in other chunks.
    pub(crate) const CHAINED: u16 = 1 << 10;
    /// Being sent: the chunks stay until the last pin is gone.
    pub(crate) const PINNED: u16 = 1 << 11;
}

/// The seconds of last access that fit: 24 bits, 194 days, counted modulo that.
const ACCESS_MASK: u64 = 0x00ff_ffff;

/// Versions that an item can tell apart: 32 bits of CAS counter, and 4 of epoch above them.
pub(crate) const VERSIONS: u64 = 1 << 36;

const EPOCH_MASK: u64 = (VERSIONS >> 32) - 1;

/// Where the parts of the first word begin.
const ACCESS_SHIFT: u32 = 8;
const PART_SHIFT: u32 = 32;
const EPOCH_SHIFT: u32 = 48;
const STATE_SHIFT: u32 = 52;

/// The longest part, in bytes.
const PART_MAX: u64 = 0xffff;

const _: () = assert!(
    KEY_LEN_MAX < 1 << ACCESS_SHIFT,
    "key_len ends before access"
);
const _: () = assert!(
    ACCESS_MASK < 1 << (PART_SHIFT - ACCESS_SHIFT),
    "access before part_len"
);
const _: () = assert!(
    PART_MAX < 1 << (EPOCH_SHIFT - PART_SHIFT),
    "part_len before epoch"
);
const _: () = assert!(
    EPOCH_MASK < 1 << (STATE_SHIFT - EPOCH_SHIFT),
    "epoch before state"
);
const _: () = assert!(
    state::PINNED < 1 << (u64::BITS - STATE_SHIFT),
    "state within the word"
);
const _: () = assert!(
    CHUNK_MAX as u64 - HEADER as u64 <= PART_MAX,
    "a chunk's part can be told"
);

/// A chunk's header, unpacked from its two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key_len: u8,
    pub(crate) access: u32,
    /// Value bytes in this chunk.
    pub(crate) part_len: u32,
    /// The high bits of its stripe's version when it was written.
    pub(crate) epoch: u8,
    pub(crate) state: u16,
    /// Second word, low half: the expiry's bits, or a continuation's next chunk.
    pub(crate) low: u32,
    /// Second word, high half: the CAS counter, or a continuation's owner.
    pub(crate) high: u32,
}

impl Header {
    #[inline]
    pub(crate) fn unpack(first: u64, second: u64) -> Self {
        Self {
            key_len: first as u8,
            access: (first >> ACCESS_SHIFT) as u32 & ACCESS_MASK as u32,
            part_len: (first >> PART_SHIFT) as u32 & PART_MAX as u32,
            epoch: (first >> EPOCH_SHIFT) as u8 & EPOCH_MASK as u8,
            state: (first >> STATE_SHIFT) as u16,
            low: second as u32,
            high: (second >> 32) as u32,
        }
    }

    #[inline]
    pub(crate) fn first(self) -> u64 {
        u64::from(self.key_len)
            | u64::from(self.access) << ACCESS_SHIFT
            | u64::from(self.part_len) << PART_SHIFT
            | u64::from(self.epoch) << EPOCH_SHIFT
            | u64::from(self.state) << STATE_SHIFT
    }

    #[inline]
    pub(crate) fn second(self) -> u64 {
        u64::from(self.low) | u64::from(self.high) << 32
    }

    /// Both words, as they are stored.
    #[inline]
    pub(crate) fn words(self) -> [u64; 2] {
        [self.first(), self.second()]
    }

    /// Whether the chunk holds an item that is in the index.
    #[inline]
    pub(crate) fn is_linked_item(self) -> bool {
        self.key_len != 0 && self.has(state::LINKED)
    }

    /// Whether the chunk holds a further part of an item.
    pub(crate) fn is_continuation(self) -> bool {
        self.key_len == 0 && self.has(state::LINKED)
    }

    #[inline]
    pub(crate) fn has(self, bit: u16) -> bool {
        self.state & bit != 0
    }

    /// The low 36 bits of its stripe's version when it was written.
    pub(crate) fn version(self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.high)
    }

    #[inline(always)] // as `write_options`
    pub(crate) fn with_version(mut self, version: u64) -> Self {
        self.high = version as u32;
        self.epoch = (version >> 32 & EPOCH_MASK) as u8;
        self
    }

    #[inline]
    pub(crate) fn expiry(self) -> Expiry {
        Expiry::from_bits(self.low)
    }

    /// Hits counted for eviction.
    #[inline]
    pub(crate) fn hits(self) -> u16 {
        (self.state & state::HITS) >> state::HIT.trailing_zeros()
    }

    pub(crate) fn with_hits(mut self, hits: u16) -> Self {
        self.state = self.state & !state::HITS | hits << state::HIT.trailing_zeros();
        self
    }

    /// Seconds since the last access, modulo 194 days.
    pub(crate) fn idle_seconds(self, now: Now) -> u64 {
        now.seconds().wrapping_sub(u64::from(self.access)) & ACCESS_MASK
    }

    /// Records a hit: an access that has fetched the item.
    #[inline]
    pub(crate) fn touched(mut self, now: Now) -> Self {
        self.state |= state::FETCHED;
        self.accessed(now)
    }

    /// Records an access: one more in the frequency, accessed now.
    #[inline]
    pub(crate) fn accessed(mut self, now: Now) -> Self {
        if self.hits() < 3 {
            self.state += state::HIT;
            // The first hit in the main queue proves the item, and is its first chance too.
            if self.state & (state::MAIN | state::HITS) == state::MAIN | state::HIT {
                self.state += state::HIT;
            }
        }
        self.access = access_at(now);
        self
    }

    /// Whether it is in the main queue.
    #[inline]
    pub(crate) fn is_main(self) -> bool {
        self.has(state::MAIN)
    }

    /// Whether it was promoted after one hit and has not been hit since.
    #[inline]
    pub(crate) fn is_on_trial(self) -> bool {
        self.state & (state::MAIN | state::HITS) == state::MAIN
    }

    /// Bytes between the header and the value's first byte.
    #[inline]
    pub(crate) fn value_offset(self) -> usize {
        let flags = if self.has(state::HAS_FLAGS) { 4 } else { 0 };
        let cas = if self.has(state::HAS_CAS) { 8 } else { 0 };
        let chain = if self.has(state::CHAINED) { 8 } else { 0 };
        HEADER + usize::from(self.key_len) + flags + cas + chain
    }

    /// Where the optional CAS id is.
    fn cas_offset(self) -> usize {
        let flags = if self.has(state::HAS_FLAGS) { 4 } else { 0 };
        HEADER + usize::from(self.key_len) + flags
    }

    /// Where a chained item keeps value length and next chunk.
    fn chain_offset(self) -> usize {
        self.value_offset() - 8
    }
}

/// The 24 bits that stand for `now` in a header.
#[inline]
pub(crate) fn access_at(now: Now) -> u32 {
    (now.seconds() & ACCESS_MASK) as u32
}

/// What decides an item's layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) key_len: usize,
    pub(crate) client_flags: u32,
    pub(crate) explicit_cas: Option<u64>,
    pub(crate) value_len: u32,
}

impl Layout {
    #[inline]
    fn optional(self) -> usize {
        let flags = if self.client_flags == 0 { 0 } else { 4 };
        flags + if self.explicit_cas.is_some() { 8 } else { 0 }
    }

    /// Bytes of the item in one chunk; more than a chunk has if it must be chained.
    #[inline(always)] // of a layout in registers; a call would write it to memory
    pub(crate) fn whole_len(self) -> usize {
        HEADER + self.key_len + self.optional() + self.value_len as usize
    }

    /// Bytes in front of the value, of an item in one chunk.
    #[inline(always)] // as `whole_len`
    pub(crate) fn value_offset(self) -> usize {
        HEADER + self.key_len + self.optional()
    }

    /// Whether it is too long for one chunk.
    #[inline]
    pub(crate) fn is_chained(self) -> bool {
        self.whole_len() > WHOLE_MAX as usize
    }

    /// Bytes that want a place in the first chunk: the whole item, and what a chain adds.
    #[inline]
    pub(crate) fn first_len(self) -> usize {
        self.whole_len() + if self.is_chained() { 8 } else { 0 }
    }

    /// Value bytes that fill the first chunk of a chain, if that is one of `size` bytes.
    fn first_part(self, size: u32) -> u32 {
        size - (self.first_len() as u32 - self.value_len)
    }
}

/// Reading and writing of items in chunks.
impl Slabs {
    #[inline]
    pub(crate) fn header(&self, chunk: ChunkRef) -> Header {
        let [first, second] = self.header_words(chunk);
        Header::unpack(first, second)
    }

    /// The header as it is stored.
    #[inline]
    pub(crate) fn header_words(&self, chunk: ChunkRef) -> [u64; 2] {
        self.arena.load_two(self.offset(chunk))
    }

    #[inline(always)] // as `write_options`
    pub(crate) fn set_header(&self, chunk: ChunkRef, header: Header) {
        self.arena.store_two(self.offset(chunk), header.words());
    }

    #[inline]
    pub(crate) fn set_header_words(&self, chunk: ChunkRef, words: [u64; 2]) {
        self.arena.store_two(self.offset(chunk), words);
    }

    /// Writes the header's first word only: state, access and lengths.
    #[inline]
    pub(crate) fn set_header_first(&self, chunk: ChunkRef, header: Header) {
        self.arena.store(self.offset(chunk), header.first());
    }

    /// Whether the chunk holds an item with this key.
    // Not inlined: a loop over candidates, mostly one, would prepare for many.
    #[inline(never)]
    pub(crate) fn has_key(&self, chunk: ChunkRef, key: Key<'_>) -> bool {
        let at = self.offset(chunk);
        let bytes = key.as_bytes();
        self.arena.load(at) as u8 as usize == bytes.len()
            && self.arena.equals(at.wrapping_add(HEADER), bytes)
    }

    /// Copies the key of the item in `chunk`; `None` if the chunk holds none just now.
    pub(crate) fn key_of<'a>(
        &self,
        chunk: ChunkRef,
        buffer: &'a mut [u8; KEY_LEN_MAX],
    ) -> Option<Key<'a>> {
        let len = self.header(chunk).key_len;
        let bytes = buffer.get_mut(..usize::from(len))?;
        let at = self.offset(chunk) + HEADER;
        // Without its stripe's lock the header may be anything by now, at the arena's end too.
        if at + bytes.len() > self.arena.len() {
            return None;
        }
        self.arena.read(at, bytes);
        Key::new(bytes)
    }

    /// The first chunk of the item that `part` continues; `None` if that cannot be, as when the
    /// header was read without a lock while it was written.
    pub(crate) fn owner_of(&self, part: Header) -> Option<ChunkRef> {
        let owner = ChunkRef(part.high);
        let is_near = !owner.is_none() && self.page_of(owner).0 < self.page_total();
        (part.is_continuation() && is_near).then_some(owner)
    }

    /// Writes everything of an unlinked item but its value.
    ///
    /// `header.state` gains the bits that `layout` implies; the new header is returned.
    #[inline]
    pub(crate) fn write_item_head(
        &self,
        chunk: ChunkRef,
        mut header: Header,
        key: Key<'_>,
        layout: Layout,
    ) -> Header {
        header.key_len = key.as_bytes().len() as u8;
        header.part_len = if layout.is_chained() {
            layout.first_part(self.sizes.size(self.class_of(chunk)))
        } else {
            layout.value_len
        };
        self.arena
            .write(self.offset(chunk) + HEADER, key.as_bytes());
        self.write_options(chunk, header, layout)
    }

    /// Writes what depends on `layout` after the key, and the header.
    // Always inlined: a header that is handed on in memory costs as much as the rest of this.
    #[inline(always)]
    pub(crate) fn write_options(
        &self,
        chunk: ChunkRef,
        mut header: Header,
        layout: Layout,
    ) -> Header {
        header.state &= !(state::HAS_FLAGS | state::HAS_CAS | state::CHAINED);
        if layout.optional() != 0 || layout.is_chained() {
            header = self.write_rare_options(chunk, header, layout);
        }
        self.set_header(chunk, header);
        header
    }

    #[inline(never)]
    fn write_rare_options(&self, chunk: ChunkRef, mut header: Header, layout: Layout) -> Header {
        let at = self.offset(chunk);
        if layout.client_flags != 0 {
            header.state |= state::HAS_FLAGS;
            let flags = layout.client_flags.to_le_bytes();
            self.arena
                .write(at + HEADER + usize::from(header.key_len), &flags);
        }
        if let Some(cas) = layout.explicit_cas {
            header.state |= state::HAS_CAS;
            self.arena
                .write(at + header.cas_offset(), &cas.to_le_bytes());
        }
        if layout.is_chained() {
            header.state |= state::CHAINED;
            self.arena
                .write(at + header.chain_offset(), &layout.value_len.to_le_bytes());
            self.set_next(chunk, header, ChunkRef::NONE);
        }
        header
    }

    #[inline]
    pub(crate) fn client_flags(&self, chunk: ChunkRef, header: Header) -> u32 {
        if !header.has(state::HAS_FLAGS) {
            return 0;
        }
        self.read_u32(self.offset(chunk) + HEADER + usize::from(header.key_len))
    }

    /// The item's own CAS id, if it was given one.
    #[inline]
    pub(crate) fn explicit_cas(&self, chunk: ChunkRef, header: Header) -> Option<u64> {
        header
            .has(state::HAS_CAS)
            .then(|| self.read_u64(self.offset(chunk) + header.cas_offset()))
    }

    /// Overwrites an explicit CAS id that is there already.
    pub(crate) fn set_explicit_cas(&self, chunk: ChunkRef, header: Header, cas: u64) {
        self.arena
            .write(self.offset(chunk) + header.cas_offset(), &cas.to_le_bytes());
    }

    #[inline]
    pub(crate) fn value_len(&self, chunk: ChunkRef, header: Header) -> u32 {
        if header.has(state::CHAINED) {
            self.read_u32(self.offset(chunk) + header.chain_offset())
        } else {
            header.part_len
        }
    }

    /// The chunk after `chunk` in its item.
    #[inline]
    pub(crate) fn next(&self, chunk: ChunkRef, header: Header) -> ChunkRef {
        if header.key_len == 0 {
            ChunkRef(header.low)
        } else if header.has(state::CHAINED) {
            ChunkRef(self.read_u32(self.offset(chunk) + header.chain_offset() + 4))
        } else {
            ChunkRef::NONE
        }
    }

    /// Sets the chunk after `chunk`; `header` is `chunk`'s, a chained head or a continuation.
    pub(crate) fn set_next(&self, chunk: ChunkRef, header: Header, next: ChunkRef) {
        if header.key_len == 0 {
            self.set_header(
                chunk,
                Header {
                    low: next.0,
                    ..header
                },
            );
        } else {
            let at = self.offset(chunk) + header.chain_offset() + 4;
            self.arena.write(at, &next.0.to_le_bytes());
        }
    }

    /// Where the value bytes of a head or a continuation begin.
    #[inline]
    pub(crate) fn part_at(&self, chunk: ChunkRef, header: Header) -> usize {
        let skip = if header.key_len == 0 {
            HEADER
        } else {
            header.value_offset()
        };
        self.offset(chunk) + skip
    }

    /// The layout of a linked or complete item.
    #[inline(always)] // as `write_options`
    pub(crate) fn layout_of(&self, chunk: ChunkRef, header: Header) -> Layout {
        Layout {
            key_len: usize::from(header.key_len),
            client_flags: self.client_flags(chunk, header),
            explicit_cas: self.explicit_cas(chunk, header),
            value_len: self.value_len(chunk, header),
        }
    }

    /// Appends the whole value to `out`.
    #[inline]
    pub(crate) fn append_value(&self, chunk: ChunkRef, header: Header, out: &mut Vec<u8>) {
        self.arena
            .append(self.part_at(chunk, header), header.part_len as usize, out);
        if header.has(state::CHAINED) {
            self.append_rest(self.next(chunk, header), out);
        }
    }

    /// Appends the value bytes of continuation chunks from `next` on.
    #[cold]
    fn append_rest(&self, mut next: ChunkRef, out: &mut Vec<u8>) {
        while !next.is_none() {
            let part = self.header(next);
            self.arena
                .append(self.part_at(next, part), part.part_len as usize, out);
            next = self.next(next, part);
        }
    }

    /// Bytes an item takes without the waste of its chunks: what `bytes` sums up.
    #[inline(always)] // as `write_options`
    pub(crate) fn item_size(&self, chunk: ChunkRef, header: Header) -> u32 {
        let first = header.value_offset() as u32 + header.part_len;
        if header.has(state::CHAINED) {
            first + (self.value_len(chunk, header) - header.part_len)
        } else {
            first
        }
    }

    #[inline(never)]
    fn read_u64(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        self.arena.read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    // Few items have what it reads: not inlined, so that the path of the others stays short.
    #[inline(never)]
    fn read_u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        self.arena.read(at, &mut bytes);
        u32::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_packing() {
        let header = Header {
            key_len: 250,
            access: 0x00ff_fffe,
            part_len: 0xffff,
            epoch: 0xf,
            state: 0x0fff,
            low: 7,
            high: u32::MAX,
        };
        assert_eq!(Header::unpack(header.first(), header.second()), header);
    }

    #[test]
    fn frequency_stops_at_three_and_marks_the_item_fetched() {
        let mut header = Header::unpack(0, 0);
        for expected in [1, 2, 3, 3] {
            header = header.touched(Now::at_second(9));
            assert_eq!(header.hits(), expected);
        }
        assert!(header.has(state::FETCHED) && !header.has(state::STALE));
        assert_eq!(header.idle_seconds(Now::at_second(11)), 2);
    }

    #[test]
    fn metadata_is_sixteen_bytes_an_item() {
        let layout = Layout {
            key_len: 16,
            client_flags: 0,
            explicit_cas: None,
            value_len: 32,
        };
        assert_eq!(layout.whole_len(), 64);
        let flagged = Layout {
            client_flags: 1,
            explicit_cas: Some(1),
            ..layout
        };
        assert_eq!(flagged.whole_len(), 76);
    }
}
