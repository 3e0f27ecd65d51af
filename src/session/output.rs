//! Replies on their way out: bytes, and large values that are copied out piece by piece.

use crate::base::number::usize_from;
use crate::store::PinnedValue;
use std::collections::VecDeque;

/// Bytes of a large value that are copied out of the store at a time.
const STAGE_LEN: usize = 64 << 10;

/// Sent bytes at the front of the buffer that are worth moving the rest for.
const SLACK_MAX: usize = 64 << 10;

/// What a connection has still to send, in order.
///
/// ```text
///   bytes:  ....sent....|VALUE a 0 100000\r\n|\r\nEND\r\n
///                       ^ taken              ^ large[0].at: the value goes here
///                                              staged: the piece of it that is being sent
/// ```
///
/// `taken <= large[0].at <= large[1].at ... <= bytes.len()`
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes at the front that have been sent.
    taken: usize,
    /// Values between the bytes.
    large: VecDeque<Large>,
    /// Bytes of those values that have not been sent.
    large_pending: usize,
    /// The front value's piece that is being sent: empty, or [`STAGE_LEN`] long.
    staged: Vec<u8>,
    /// Which part of `staged` has not been sent.
    staged_from: usize,
    staged_to: usize,
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
        self.bytes.len() - self.taken + self.large_pending
    }

    /// Whether all has been taken.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// The next bytes to send, at most 64 KiB of a large value; empty when nothing is pending.
    pub fn front(&mut self) -> &[u8] {
        match self.large.front_mut() {
            None => &self.bytes[self.taken..],
            Some(large) if large.at > self.taken => &self.bytes[self.taken..large.at],
            Some(large) => {
                if self.staged_from == self.staged_to {
                    self.staged.resize(STAGE_LEN, 0);
                    self.staged_from = 0;
                    self.staged_to = large.value.read_at(large.read, &mut self.staged);
                    large.read += self.staged_to as u32;
                }
                &self.staged[self.staged_from..self.staged_to]
            }
        }
    }

    /// Drops `count` bytes from the front: they have been sent.
    ///
    /// # Panics
    ///
    /// If [`front`](Self::front) did not offer so many.
    pub fn advance(&mut self, count: usize) {
        let Some(large) = self.large.front() else {
            self.taken += count;
            assert!(self.taken <= self.bytes.len(), "sent more than there was");
            self.reclaim();
            return;
        };
        if large.at > self.taken {
            self.taken += count;
            assert!(self.taken <= large.at, "sent more than the front");
            return;
        }
        self.staged_from += count;
        self.large_pending -= count;
        assert!(
            self.staged_from <= self.staged_to,
            "sent more than was staged"
        );
        if self.staged_from == self.staged_to && large.read == large.value.len() {
            self.large.pop_front();
            self.reclaim();
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
        self.staged_from = 0;
        self.staged_to = 0;
        if capacity < STAGE_LEN {
            self.staged = Vec::new();
        }
    }

    /// Where to append bytes. Nothing in it may be changed or removed.
    #[inline]
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a large value.
    pub(super) fn push_value(&mut self, value: PinnedValue) {
        if !value.is_empty() {
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
}
