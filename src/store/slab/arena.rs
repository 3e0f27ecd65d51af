//! The store's memory: one reserved mapping, read and written through relaxed atomic words.
//!
//! # Why `unsafe` at all
//!
//! Two threads work on two chunks of one mapping at the same time, and a scanner may read a header
//! that another thread is changing. The borrow checker sees one allocation. Lending `&mut [u8]`
//! into it would make every safe caller responsible for never lending the same bytes twice; so
//! nothing here lends bytes at all.
//!
//! # The argument, once
//!
//! * **Mapped.** `map` is an anonymous private mapping of exactly `words * 8` bytes, made in
//!   [`Arena::new`] and unmapped only when the arena is dropped. Page-aligned, zero-filled, and
//!   readable and writable all its life.
//!   [`Arena::decommit`] takes memory away and not the mapping: the bytes read as zero.
//! * **Atomic.** The mapping is reached only as `&[AtomicU64]`, so a race between any two callers
//!   is a race between relaxed atomics: a stale or mixed value, never undefined behaviour.
//!
//! Hence every method is sound whatever a caller passes: offsets are bounds-checked by the slice,
//! and a caller that breaks the store's locking rules reads nonsense, which the store's `validate`
//! is there to find. On x86-64 and ARM a relaxed load or store is a plain one.

#![expect(
    unsafe_code,
    reason = "item memory is shared between stripes; see the module docs"
)]

use crate::base::part::{Gap, Part};
use memmap2::{MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes in a word.
const WORD: usize = size_of::<u64>();

/// Reserved address space, committed by the kernel page by page as it is first written.
pub(crate) struct Arena {
    map: MmapRaw,
    words: usize,
}

impl Arena {
    /// Reserves `bytes` of zeroed memory; a multiple of eight.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        assert!(
            bytes.is_multiple_of(WORD) && bytes > 0,
            "the arena is whole words"
        );
        let map: MmapMut = MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
        Ok(Self {
            map: MmapRaw::from(map),
            words: bytes / WORD,
        })
    }

    /// Asks the kernel for huge pages: lookups then wait for one page table less. Where there are
    /// none to be had nothing changes.
    pub(crate) fn use_huge_pages(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.map.advise(memmap2::Advice::HugePage);
    }

    /// Gives the memory of the `len` bytes from `at` on back to the system. They read as zero, and
    /// take memory again when they are written. Where the system refuses nothing changes.
    pub(crate) fn decommit(&self, at: usize, len: usize) {
        assert!(
            at.checked_add(len)
                .is_some_and(|end| end <= self.words * WORD),
            "what is given back lies in the arena"
        );
        // SAFETY: Mapped: the range is inside our private mapping, which stays. Atomic: nobody
        // holds a plain reference to its bytes; each word turns to zero as by a racing store.
        let _ = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, at, len)
        };
    }

    /// All of it.
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        let start = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: Mapped gives the length, the alignment and the lifetime (that of `self`);
        // `AtomicU64` has the layout of the eight zero bytes it starts as; Atomic rules out
        // any other kind of reference to the same bytes.
        unsafe { std::slice::from_raw_parts(start, self.words) }
    }

    /// The word at byte offset `at` (rounded down to a word).
    #[inline]
    pub(crate) fn load(&self, at: usize) -> u64 {
        self.words()[at / WORD].load(Ordering::Relaxed)
    }

    /// The word at byte offset `at` (rounded down to a word) and the next one.
    #[inline]
    pub(crate) fn load_two(&self, at: usize) -> [u64; 2] {
        let words = &self.words()[at / WORD..at / WORD + 2];
        [
            words[0].load(Ordering::Relaxed),
            words[1].load(Ordering::Relaxed),
        ]
    }

    /// Overwrites the word at byte offset `at` (rounded down to a word) and the next one.
    #[inline]
    pub(crate) fn store_two(&self, at: usize, [first, second]: [u64; 2]) {
        let words = &self.words()[at / WORD..at / WORD + 2];
        words[0].store(first, Ordering::Relaxed);
        words[1].store(second, Ordering::Relaxed);
    }

    /// Overwrites the word at byte offset `at` (rounded down to a word).
    #[inline]
    pub(crate) fn store(&self, at: usize, value: u64) {
        self.words()[at / WORD].store(value, Ordering::Relaxed);
    }

    /// Asks the processor to fetch the cache line at `at`, if that is in the arena: callers may
    /// have read the address without a lock.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        if let Some(word) = self.words().get(at / WORD) {
            prefetch(word);
        }
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        self.words().len() * WORD
    }

    /// Copies the bytes from `at` on into `out`.
    #[inline]
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        if out.is_empty() {
            return;
        }
        let words = &self.words()[at / WORD..(at + out.len()).div_ceil(WORD)];
        let skip = at % WORD;
        let (head, rest) = out.split_at_mut(out.len().min(WORD - skip));
        spread(words[0].load(Ordering::Relaxed) >> (skip * 8), head);
        let (pieces, tail) = rest.as_chunks_mut::<WORD>();
        for (piece, word) in pieces.iter_mut().zip(&words[1..]) {
            *piece = word.load(Ordering::Relaxed).to_le_bytes();
        }
        if !tail.is_empty() {
            spread(words[words.len() - 1].load(Ordering::Relaxed), tail);
        }
    }

    /// The `len` bytes from `at` on, for the kernel to read.
    pub(crate) fn part(&self, at: usize, len: usize) -> Part<'_> {
        let words = &self.words()[at / WORD..(at + len).div_ceil(WORD)];
        Part::of_words(words, at % WORD, len)
    }

    /// The `len` bytes from `at` on, for the kernel to write.
    pub(crate) fn gap(&self, at: usize, len: usize) -> Gap<'_> {
        let words = &self.words()[at / WORD..(at + len).div_ceil(WORD)];
        Gap::of_words(words, at % WORD, len)
    }

    /// Appends the `len` bytes from `at` on to `out`.
    ///
    /// Whole words are written, so that no piece of a word needs a loop or a call of its own; what
    /// the last one has too much stays beyond the end.
    #[inline]
    pub(crate) fn append(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        if len == 0 {
            return;
        }
        // A sum that wraps is an end before the beginning, which the slice refuses.
        let end = at.wrapping_add(len).wrapping_add(WORD - 1) / WORD;
        let words = &self.words()[at / WORD..end];
        let (first, rest) = words.split_first().expect("there is a first byte");
        let skip = at % WORD;
        let room = size_of_val(words);
        out.reserve(room);
        let spare = &mut out.spare_capacity_mut()[..room];
        spare[..WORD].copy_from_slice(&bytes_of(first.load(Ordering::Relaxed) >> (skip * 8)));
        let (pieces, _) = spare[WORD - skip..].as_chunks_mut();
        copy_words(rest, pieces);
        let end = out.len().wrapping_add(len);
        // SAFETY: the words hold `skip + len` bytes or more, and all of them from `skip` on were
        // written after the old end, inside of what was reserved.
        unsafe { out.set_len(end) };
    }

    /// Copies `bytes` to `at` and what follows. Bytes around them keep their value.
    #[inline]
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        let words = &self.words()[at / WORD..(at + bytes.len()).div_ceil(WORD)];
        let skip = at % WORD;
        let (Some(front), Some(back)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return write_few(words, skip, bytes);
        };
        if skip == 0 {
            words[0].store(u64::from_le_bytes(*front), Ordering::Relaxed);
        } else {
            patch(
                &words[0],
                !0 << (skip * 8),
                u64::from_le_bytes(*front) << (skip * 8),
            );
        }
        let (pieces, tail) = bytes[WORD - skip..].as_chunks();
        store_pieces(pieces, &words[1..]);
        if !tail.is_empty() {
            let gone = (WORD - tail.len()) * 8;
            let value = u64::from_le_bytes(*back) >> gone;
            patch(&words[words.len() - 1], !0 >> gone, value);
        }
    }

    /// Whether the bytes from the word-aligned offset `at` on equal `bytes`.
    #[inline]
    pub(crate) fn equals(&self, at: usize, bytes: &[u8]) -> bool {
        let words = &self.words()[at / WORD..][..bytes.len().wrapping_add(WORD - 1) / WORD];
        let (pieces, tail) = bytes.as_chunks();
        for (piece, word) in pieces.iter().zip(words) {
            if word.load(Ordering::Relaxed) != u64::from_le_bytes(*piece) {
                return false;
            }
        }
        if tail.is_empty() {
            return true;
        }
        let gone = (WORD - tail.len()) * 8;
        let value = match bytes.last_chunk() {
            Some(back) => u64::from_le_bytes(*back) >> gone,
            None => little(tail),
        };
        let word = words[words.len() - 1].load(Ordering::Relaxed);
        (word ^ value) << gone == 0
    }

    /// Copies `len` bytes (rounded up to words) from one word-aligned offset to another.
    pub(crate) fn copy(&self, from: usize, to: usize, len: usize) {
        let count = len.div_ceil(WORD);
        let source = &self.words()[from / WORD..from / WORD + count];
        let target = &self.words()[to / WORD..to / WORD + count];
        for (source, target) in source.iter().zip(target) {
            target.store(source.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Asks the processor to fetch the cache line of `word`.
#[inline]
fn prefetch(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless, and this one is that of a reference.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>((&raw const *word).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

/// Words that are copied in one round of a loop.
const ROUND: usize = 8;

/// Copies words to as many pieces, or more.
#[inline]
fn copy_words(words: &[AtomicU64], pieces: &mut [[MaybeUninit<u8>; WORD]]) {
    let (rounds, rest) = words.as_chunks::<ROUND>();
    let (targets, last) = pieces[..words.len()].as_chunks_mut::<ROUND>();
    for (round, target) in rounds.iter().zip(targets) {
        for (word, piece) in round.iter().zip(target) {
            *piece = bytes_of(word.load(Ordering::Relaxed));
        }
    }
    for (word, piece) in rest.iter().zip(last) {
        *piece = bytes_of(word.load(Ordering::Relaxed));
    }
}

/// Stores pieces in as many words, or more.
#[inline]
fn store_pieces(pieces: &[[u8; WORD]], words: &[AtomicU64]) {
    let (rounds, rest) = pieces.as_chunks::<ROUND>();
    let (targets, last) = words[..pieces.len()].as_chunks::<ROUND>();
    for (round, target) in rounds.iter().zip(targets) {
        for (piece, word) in round.iter().zip(target) {
            word.store(u64::from_le_bytes(*piece), Ordering::Relaxed);
        }
    }
    for (piece, word) in rest.iter().zip(last) {
        word.store(u64::from_le_bytes(*piece), Ordering::Relaxed);
    }
}

#[inline]
fn bytes_of(word: u64) -> [MaybeUninit<u8>; WORD] {
    word.to_le_bytes().map(MaybeUninit::new)
}

/// Writes the low bytes of `value`, at most eight, to `out`.
#[inline]
fn spread(value: u64, out: &mut [u8]) {
    if let Some(whole) = out.first_chunk_mut() {
        *whole = value.to_le_bytes();
        return;
    }
    for (byte, value) in out.iter_mut().zip(value.to_le_bytes()) {
        *byte = value;
    }
}

/// Replaces those bits of one word that are set in `mask`; `value` has no others.
#[inline]
fn patch(word: &AtomicU64, mask: u64, value: u64) {
    let kept = word.load(Ordering::Relaxed) & !mask;
    word.store(kept | value, Ordering::Relaxed);
}

/// [`Arena::write`] of fewer bytes than a word has, into one word or two.
#[inline]
fn write_few(words: &[AtomicU64], skip: usize, bytes: &[u8]) {
    let Some(first) = words.first().filter(|_| !bytes.is_empty()) else {
        return;
    };
    let (mask, value) = (!0 >> ((WORD - bytes.len()) * 8), little(bytes));
    patch(first, mask << (skip * 8), value << (skip * 8));
    if let Some(second) = words.get(1) {
        let done = (WORD - skip) * 8;
        patch(second, mask >> done, value >> done);
    }
}

/// Fewer than eight bytes as a number, the first one lowest.
#[inline]
fn little(bytes: &[u8]) -> u64 {
    if let (Some(front), Some(back)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (front, back) = (u32::from_le_bytes(*front), u32::from_le_bytes(*back));
        return u64::from(front) | u64::from(back) << ((bytes.len() - 4) * 8);
    }
    let bytes = bytes.iter().rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_every_offset_and_length() {
        let arena = Arena::new(4096).unwrap();
        let bytes: Vec<u8> = (0..2100).map(|n| (n % 251) as u8 + 1).collect();
        for at in 0..24 {
            for len in (0..64).chain(2000..2010) {
                arena.write(0, &[0xee; 2100]);
                arena.write(at, &bytes[..len]);
                let mut back = vec![0; 2100];
                arena.read(0, &mut back);
                let mut expected = vec![0xee; 2100];
                expected[at..at + len].copy_from_slice(&bytes[..len]);
                assert_eq!(back, expected, "{len} bytes at {at}");
                let mut appended = vec![7];
                arena.append(at, len, &mut appended);
                assert_eq!(appended[1..], bytes[..len]);
            }
        }
    }

    #[test]
    fn equality_looks_at_exactly_the_bytes_given() {
        let arena = Arena::new(64).unwrap();
        arena.write(8, b"0123456789abcdef");
        assert!(arena.equals(8, b"0123456789"));
        assert!(arena.equals(8, b"01234567"));
        assert!(!arena.equals(8, b"012345678x"));
        assert!(!arena.equals(8, b"x1234567"));
        let bytes = b"0123456789abcdef";
        for len in 0..=bytes.len() {
            assert!(arena.equals(8, &bytes[..len]), "{len} bytes");
            for wrong in 0..len {
                let mut other = *bytes;
                other[wrong] ^= 0x80;
                assert!(!arena.equals(8, &other[..len]), "{len}, not {wrong}");
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn discarded_bytes_read_as_zero_and_can_be_written_again() {
        let arena = Arena::new(1 << 20).unwrap();
        for at in [0, 65_528, 65_536, 131_064, 131_072] {
            arena.store(at, 9);
        }
        arena.decommit(65_536, 65_536);
        let words = [0, 65_528, 65_536, 131_064, 131_072].map(|at| arena.load(at));
        assert_eq!(words, [9, 9, 0, 0, 9]);
        arena.store(65_536, 8);
        assert_eq!(arena.load(65_536), 8);
    }

    #[test]
    #[should_panic(expected = "lies in the arena")]
    fn only_the_arena_can_be_discarded() {
        Arena::new(4096).unwrap().decommit(4096, 8);
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn reads_beyond_the_end_are_refused() {
        Arena::new(64).unwrap().read(60, &mut [0; 8]);
    }
}
