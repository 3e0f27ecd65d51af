//! A value of which a part has come: what is known of it until the rest is there.

use crate::base::clock::Now;
use crate::base::part::Gap;
use crate::session::finish::Kept;
use crate::store::{Lane, Upload};

/// A value of which a part has come.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) inner: Upload,
    pub(super) value_len: u32,
    pub(super) finish: Kept,
    /// What must follow.
    pub(super) trailer: &'static [u8],
    /// Its key: the line that named it is gone.
    pub(super) key: Box<[u8]>,
}

impl Receiving {
    /// Bytes of the value that have come.
    pub(super) fn received(&self) -> u32 {
        self.value_len - self.missing()
    }

    /// Bytes of the value that are still to come.
    pub(super) fn missing(&self) -> u32 {
        self.inner.missing()
    }

    /// [`Lane::gaps`].
    pub(super) fn gaps<'a>(
        &mut self,
        lane: &'a mut Lane,
        most: u32,
        gaps: &mut [Gap<'a>],
        now: Now,
    ) -> usize {
        lane.gaps(&mut self.inner, most, gaps, now)
    }

    /// [`Lane::filled`].
    pub(super) fn filled(&mut self, lane: &mut Lane, count: u32) {
        lane.filled(&mut self.inner, count);
    }

    /// Gives its memory back.
    pub(super) fn abandon(self, lane: &mut Lane) {
        lane.abandon(self.inner);
    }
}
