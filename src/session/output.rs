//! Replies on their way out: bytes, and large values that are copied out piece by piece.

use crate::base::number::usize_from;
use crate::base::part::Part;
use crate::store::PinnedValue;
use std::collections::VecDeque;

/// Pending output above which a session stops producing.
///
/// Large enough that a pipeline of ordinary replies leaves in one write, small enough that a
/// client that does not read costs little.
pub const OUTPUT_MAX: usize = 256 << 10;

/// Bytes that are put together for one write where large values are among them. Enough for most
/// large values with their line in one write, and it stays in the processor's cache meanwhile.
const STAGE_LEN: usize = 128 << 10;

/// Sent bytes at the front of the buffer that are worth moving the rest for.
const SLACK_MAX: usize = 64 << 10;

/// Unneeded memory of a held output that is not worth copying the rest for.
const COMPACT_MIN: usize = 4 << 10;

/// What a connection has still to send, in order.
///
/// ```text
///   staged: |what the next write takes|   put together from the front of what is below
///   bytes:  ....gone....|VALUE a 0 100000\r\n|\r\nEND\r\n
///                       ^ taken              ^ large[0].at: the value goes here
/// ```
///
/// `taken <= large[0].at <= large[1].at ... <= bytes.len()`. Nothing is staged without large
/// values, nor where they are sent as parts, from where they lie.
#[derive(Debug)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes at the front that have been sent or staged.
    taken: usize,
    /// Values between the bytes.
    large: VecDeque<Large>,
    /// Bytes of those values that have not been staged.
    large_pending: usize,
    /// At most [`STAGE_LEN`] bytes, of which the first `staged_sent` have been sent.
    staged: Vec<u8>,
    staged_sent: usize,
    /// With more pending bytes than this it is full.
    mark: usize,
    /// Values of up to this many bytes are copied at once and not held where they lie.
    copy_max: u32,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            bytes: vec![],
            taken: 0,
            large: VecDeque::new(),
            large_pending: 0,
            staged: vec![],
            staged_sent: 0,
            mark: OUTPUT_MAX,
            copy_max: 0,
        }
    }
}

#[derive(Debug)]
struct Large {
    /// Where among the bytes it goes.
    at: usize,
    value: PinnedValue,
    /// How much of it has been staged.
    read: u32,
}

impl Output {
    /// Bytes not yet taken, large values included.
    #[inline]
    #[must_use]
    pub fn pending(&self) -> usize {
        self.staged.len() - self.staged_sent + self.bytes.len() - self.taken + self.large_pending
    }

    /// Has the session stop above `mark` pending bytes instead of [`OUTPUT_MAX`], and copy
    /// values of up to `copy_max` bytes that it would keep where they lie.
    #[inline]
    pub fn limit(&mut self, mark: usize, copy_max: u32) {
        self.mark = mark.min(OUTPUT_MAX);
        self.copy_max = copy_max;
    }

    /// Whether no more may be produced for now.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending() > self.mark
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let large = self.large.capacity() * size_of::<Large>();
        self.bytes.capacity() + self.staged.capacity() + large
    }

    /// Bytes of the values that it keeps where they lie.
    #[must_use]
    pub fn pinned(&self) -> u64 {
        let lens = self.large.iter().map(|large| u64::from(large.value.len()));
        lens.sum()
    }

    /// Takes out what is pending, with no more memory than that needs.
    #[must_use]
    pub fn split_off(&mut self) -> Self {
        debug_assert!(self.staged.is_empty(), "what is staged is sent by `front`");
        let taken = self.taken;
        let large = self.large.drain(..).map(|large| Large {
            at: large.at - taken,
            ..large
        });
        let rest = Self {
            bytes: self.bytes[taken..].to_vec(),
            large: large.collect(),
            large_pending: self.large_pending,
            ..Self::default()
        };
        self.large_pending = 0;
        self.bytes.clear();
        self.taken = 0;
        rest
    }

    /// Gives memory back once most of it is not needed any more.
    pub fn compact(&mut self) {
        if self.bytes.capacity() > 2 * (self.bytes.len() - self.taken) + COMPACT_MIN {
            *self = self.split_off();
        }
    }

    /// Whether all has been taken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// The next bytes to send: all there are, or, with large values among them, a piece of at most
    /// `STAGE_LEN`; empty when nothing is pending.
    pub fn front(&mut self) -> &[u8] {
        if self.staged_sent == self.staged.len() {
            if self.large.is_empty() {
                return &self.bytes[self.taken..];
            }
            self.stage();
        }
        &self.staged[self.staged_sent..]
    }

    /// Puts the next piece together.
    fn stage(&mut self) {
        self.staged.clear();
        self.staged_sent = 0;
        while self.staged.len() < STAGE_LEN {
            let room = STAGE_LEN - self.staged.len();
            let until = self
                .large
                .front()
                .map_or(self.bytes.len(), |large| large.at);
            if until > self.taken {
                let count = room.min(until - self.taken);
                self.staged
                    .extend_from_slice(&self.bytes[self.taken..self.taken + count]);
                self.taken += count;
            } else if !self.stage_value(room) {
                return;
            }
        }
    }

    /// Stages a piece of the front value; false if there is none.
    fn stage_value(&mut self, room: usize) -> bool {
        let Some(large) = self.large.front_mut() else {
            return false;
        };
        let begin = self.staged.len();
        let left = usize_from(u64::from(large.value.len() - large.read));
        self.staged.resize(begin + room.min(left), 0);
        let count = large.value.read_at(large.read, &mut self.staged[begin..]);
        large.read += count as u32;
        self.large_pending -= count;
        if large.read == large.value.len() {
            self.large.pop_front();
        }
        true
    }

    /// Whether large values are among what is pending: better sent as [`parts`](Self::parts).
    #[must_use]
    pub fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// The next bytes to send as they lie in memory, without a copy; returns how many parts.
    ///
    /// Use this or [`front`](Self::front) for one output, not both in turn: what `front` has put
    /// together is no part.
    pub fn parts<'a>(&'a self, parts: &mut [Part<'a>]) -> usize {
        let (mut count, mut at) = (0, self.taken);
        for large in &self.large {
            if large.at > at && count < parts.len() {
                parts[count] = Part::of(&self.bytes[at..large.at]);
                count += 1;
            }
            let (more, whole) = large.value.parts(large.read, &mut parts[count..]);
            count += more;
            at = large.at;
            if !whole {
                return count;
            }
        }
        if at < self.bytes.len() && count < parts.len() {
            parts[count] = Part::of(&self.bytes[at..]);
            count += 1;
        }
        count
    }

    /// Drops `count` bytes from the front: they have been sent.
    ///
    /// # Panics
    ///
    /// If [`front`](Self::front) or [`parts`](Self::parts) did not offer that many.
    pub fn advance(&mut self, count: usize) {
        if self.staged_sent < self.staged.len() {
            self.staged_sent += count;
            assert!(
                self.staged_sent <= self.staged.len(),
                "sent more than was staged"
            );
            if self.staged_sent < self.staged.len() {
                return;
            }
            self.staged.clear();
            self.staged_sent = 0;
        } else {
            self.skip(count);
        }
        self.reclaim();
    }

    /// Drops bytes that were sent from where they lie.
    fn skip(&mut self, mut count: usize) {
        while count > 0 {
            let until = self
                .large
                .front()
                .map_or(self.bytes.len(), |large| large.at);
            let step = if until > self.taken {
                let step = count.min(until - self.taken);
                self.taken += step;
                step
            } else {
                let large = self.large.front_mut().expect("sent no more than there was");
                let left = usize_from(u64::from(large.value.len() - large.read));
                let step = count.min(left);
                large.read += step as u32;
                self.large_pending -= step;
                if step == left {
                    self.large.pop_front();
                }
                step
            };
            count -= step;
        }
    }

    /// Forgets sent bytes: all of them where nothing is left, else when they are many.
    fn reclaim(&mut self) {
        if self.taken == self.bytes.len() && self.large.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken >= SLACK_MAX && self.taken * 2 >= self.bytes.len() {
            self.bytes.drain(..self.taken);
            for large in &mut self.large {
                large.at -= self.taken;
            }
            self.taken = 0;
        }
    }

    /// Empties it, keeping at most `capacity` bytes of buffer.
    pub fn reset(&mut self, capacity: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(capacity);
        self.taken = 0;
        self.large.clear();
        self.large.shrink_to(0);
        self.large_pending = 0;
        self.staged.clear();
        self.staged_sent = 0;
        if capacity < STAGE_LEN {
            self.staged = Vec::new();
        }
    }

    /// Where the next reply begins: for [`since`](Self::since), until something is sent.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes appended since then, large values left out.
    #[must_use]
    pub fn since(&self, mark: usize) -> &[u8] {
        &self.bytes[mark..]
    }

    /// Where to append bytes. Nothing in it may be changed or removed.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a large value.
    pub(super) fn push_value(&mut self, value: PinnedValue) {
        if value.len() <= self.copy_max {
            let begin = self.bytes.len();
            let len = usize_from(u64::from(value.len()));
            self.bytes.resize(begin + len, 0);
            value.read_at(0, &mut self.bytes[begin..]);
        } else if !value.is_empty() {
            self.large_pending += usize_from(u64::from(value.len()));
            self.large.push_back(Large {
                at: self.bytes.len(),
                value,
                read: 0,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_the_buffer_is_used_again() {
        let mut out = Output::default();
        assert!(out.is_empty() && out.front().is_empty());
        out.bytes_mut().extend_from_slice(b"hello");
        out.advance(2);
        assert_eq!(out.front(), b"llo");
        assert_eq!(out.pending(), 3);
        out.bytes_mut().extend_from_slice(b"!");
        out.advance(4);
        assert!(out.is_empty());
        assert_eq!((out.taken, out.bytes.len()), (0, 0));
    }

    #[test]
    fn a_client_that_never_catches_up_does_not_grow_the_buffer() {
        let mut out = Output::default();
        for _ in 0..1000 {
            out.bytes_mut().extend_from_slice(&[7; 1000]);
            out.advance(999);
        }
        assert!(out.bytes.len() < 3 * SLACK_MAX);
        assert_eq!(out.pending(), 1000);
    }

    #[test]
    fn a_reset_forgets_all_and_keeps_little() {
        let mut out = Output::default();
        out.bytes_mut().extend_from_slice(&[7; 10_000]);
        out.reset(100);
        assert!(out.is_empty() && out.bytes.capacity() < 10_000);
    }

    #[test]
    fn what_is_split_off_takes_no_more_memory_than_it_needs() {
        let mut out = Output::default();
        out.bytes_mut().extend_from_slice(&[7; 100_000]);
        out.advance(99_999);
        let mut rest = out.split_off();
        assert_eq!(rest.front(), [7]);
        assert!(rest.capacity() < 100 && out.is_empty());
        out.bytes_mut().push(8);
        assert_eq!(out.front(), [8]);
    }

    #[test]
    fn memory_goes_back_once_most_of_it_has_been_sent() {
        let mut out = Output::default();
        out.bytes_mut().extend_from_slice(&[7; 60_000]);
        for left in [50_000, 20_000] {
            out.advance(out.pending() - left);
            out.compact();
        }
        assert_eq!((out.capacity(), out.pending()), (20_000, 20_000));
        out.limit(19_999, 0);
        assert!(out.is_full());
    }
}
