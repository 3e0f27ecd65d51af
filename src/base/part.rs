//! Runs of bytes for the kernel: parts of what one system call sends or receives.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU64;

/// Bytes that stay mapped for `'a`.
///
/// They may lie in memory that other threads write, so nothing in this process reads them through
/// a part: it only carries an address and a length to the system. What keeps their content as it
/// should be is up to whoever made it, as a pinned value does.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    start: *const u8,
    len: usize,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Part<'a> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        start: std::ptr::null(),
        len: 0,
        memory: PhantomData,
    };

    /// Ordinary bytes.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self {
            start: bytes.as_ptr(),
            len: bytes.len(),
            memory: PhantomData,
        }
    }

    /// `len` bytes of shared words, from byte `skip` on.
    ///
    /// # Panics
    ///
    /// If `words` holds fewer.
    #[must_use]
    pub fn of_words(words: &'a [AtomicU64], skip: usize, len: usize) -> Self {
        assert!(
            skip + len <= size_of_val(words),
            "a part lies inside its words"
        );
        Self {
            start: words.as_ptr().cast::<u8>().wrapping_add(skip),
            len,
            memory: PhantomData,
        }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> *const u8 {
        self.start
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Shared words that the kernel may write, and that stay mapped for `'a`.
///
/// Other threads may read them meanwhile, atomically, and find old bytes, new bytes or both.
#[derive(Clone, Copy, Debug)]
pub struct Gap<'a> {
    start: *mut u8,
    len: usize,
    memory: PhantomData<&'a [AtomicU64]>,
}

impl<'a> Gap<'a> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        start: std::ptr::null_mut(),
        len: 0,
        memory: PhantomData,
    };

    /// `len` bytes of shared words, from byte `skip` on.
    ///
    /// # Panics
    ///
    /// If `words` holds fewer.
    #[must_use]
    pub fn of_words(words: &'a [AtomicU64], skip: usize, len: usize) -> Self {
        let part = Part::of_words(words, skip, len);
        Self {
            start: part.start.cast_mut(),
            len,
            memory: PhantomData,
        }
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
