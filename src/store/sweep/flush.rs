//! Flushing: marks that are added, lifted, and appointed for later.

use crate::base::clock::{Expiry, Now};
use crate::store::locks::{Rank, Ranked};
use crate::store::outcome::TooManyFlushes;
use crate::store::stripe::marks::{FlushStep, Marks};
use crate::store::table::Table;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicU64, Ordering};

/// Marks and appointments at a time, at most: so many that no sensible use meets it, so few that
/// finding a key's is a search of ten steps.
const FLUSHES_MAX: usize = 1024;

/// Memory for all stripes' steps, at least, and the part of the limit that it may be. A step is
/// needed where a stripe was written to between two flushes; thousands of flushes in the seconds
/// that a round takes would need more than is sensible.
const STEPS_BYTES_MIN: u64 = 1 << 20;
const STEPS_SHARE: u64 = 256;

/// A flush that is to come.
#[derive(Debug)]
struct Appointment {
    when: Expiry,
    prefix: Box<[u8]>,
}

/// All flushes that are under way or to come.
#[derive(Debug, Default)]
struct Flushes {
    marks: Arc<Marks>,
    /// Flushes ever.
    number: u64,
    appointed: Vec<Appointment>,
}

impl Flushes {
    /// Whether there may be one more, or this one is there already.
    fn has_room_for(&self, prefix: &[u8]) -> bool {
        let mut appointed = self.appointed.iter();
        self.marks.len() + self.appointed.len() < FLUSHES_MAX
            || appointed.any(|other| *other.prefix == *prefix)
    }

    fn cancel(&mut self, prefix: &[u8]) {
        self.appointed.retain(|other| *other.prefix != *prefix);
    }

    /// The prefix of an appointment that is due.
    fn due(&self, now: Now) -> Option<Box<[u8]>> {
        let mut appointed = self.appointed.iter();
        let due = appointed.find(|next| next.when.has_passed(now))?;
        Some(due.prefix.clone())
    }

    fn first_due(&self) -> u64 {
        let ticks = self.appointed.iter().map(|next| next.when.tick());
        ticks.min().unwrap_or(u64::MAX)
    }
}

/// The flushes of a store.
#[derive(Debug)]
pub(crate) struct Flushing {
    flushes: Ranked<Flushes>,
    /// The tick of the next appointed flush; `u64::MAX` for none.
    due: AtomicU64,
    /// Marks that have not been lifted yet.
    pending: AtomicU32,
    /// What all stripes have noted of them.
    steps: AtomicIsize,
}

impl Default for Flushing {
    fn default() -> Self {
        Self {
            flushes: Ranked::new(Rank::Flushes, Flushes::default()),
            due: AtomicU64::new(u64::MAX),
            pending: AtomicU32::new(0),
            steps: AtomicIsize::new(0),
        }
    }
}

impl Flushing {
    /// Flushes everything; see [`Store::flush`](crate::store::Store::flush).
    pub(crate) fn flush(&self, table: &Table) {
        self.flush_now(table, &mut self.flushes.lock(), b"");
    }

    /// Flushes a prefix, under a memory limit of `limit` bytes.
    pub(crate) fn flush_prefix(
        &self,
        table: &Table,
        prefix: &[u8],
        limit: u64,
    ) -> Result<(), TooManyFlushes> {
        let mut flushes = self.flushes.lock();
        let has_room = flushes.has_room_for(prefix) || flushes.marks.replaces(prefix);
        if !has_room || !self.has_room_for_steps(limit) {
            return Err(TooManyFlushes);
        }
        self.flush_now(table, &mut flushes, prefix);
        Ok(())
    }

    /// Appoints a flush of everything, or with [`Expiry::NEVER`] cancels it.
    pub(crate) fn flush_at(&self, when: Expiry) {
        self.appoint(&mut self.flushes.lock(), b"", when);
    }

    /// The same for a prefix.
    pub(crate) fn flush_prefix_at(
        &self,
        prefix: &[u8],
        when: Expiry,
    ) -> Result<(), TooManyFlushes> {
        let mut flushes = self.flushes.lock();
        if !flushes.has_room_for(prefix) {
            return Err(TooManyFlushes);
        }
        self.appoint(&mut flushes, prefix, when);
        Ok(())
    }

    /// Marks that have not been lifted.
    pub(crate) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// The last flush, and all marks that are pending.
    pub(crate) fn marks(&self) -> (u64, Arc<Marks>) {
        let flushes = self.flushes.lock();
        (flushes.number, Arc::clone(&flushes.marks))
    }

    fn flush_now(&self, table: &Table, flushes: &mut Flushes, prefix: &[u8]) {
        self.mark(table, flushes, prefix);
        flushes.cancel(prefix);
        self.due.store(flushes.first_due(), Ordering::Relaxed);
    }

    fn appoint(&self, flushes: &mut Flushes, prefix: &[u8], when: Expiry) {
        flushes.cancel(prefix);
        if !when.is_never() {
            let prefix = prefix.into();
            flushes.appointed.push(Appointment { when, prefix });
        }
        self.due.store(flushes.first_due(), Ordering::Relaxed);
    }

    /// The flush itself, stripe by stripe.
    fn mark(&self, table: &Table, flushes: &mut Flushes, prefix: &[u8]) {
        flushes.number += 1;
        flushes.marks = Arc::new(flushes.marks.with(prefix, flushes.number));
        self.show_pending(flushes);
        let (marks, number) = (&flushes.marks, flushes.number);
        let stripes = table.stripes.iter();
        let more: isize = stripes
            .map(|stripe| stripe.lock().flush(marks, number))
            .sum();
        self.steps.fetch_add(more, Ordering::Relaxed);
    }

    fn has_room_for_steps(&self, limit: u64) -> bool {
        self.steps.load(Ordering::Relaxed) < steps_max(limit)
    }

    /// Keeps the appointments that are due, or those that there is room for.
    pub(crate) fn keep_appointments(&self, table: &Table, limit: u64, now: Now) {
        if self.due.load(Ordering::Relaxed) > now.ticks {
            return;
        }
        let mut flushes = self.flushes.lock();
        while let Some(prefix) = flushes.due(now)
            && (prefix.is_empty() || self.has_room_for_steps(limit))
        {
            self.flush_now(table, &mut flushes, &prefix);
        }
    }

    /// Forgets the flushes up to `number`, which have been lifted in every stripe; those keep so
    /// many steps fewer.
    pub(crate) fn end(&self, number: u64, lifted: isize) {
        self.steps.fetch_sub(lifted, Ordering::Relaxed);
        let mut flushes = self.flushes.lock();
        flushes.marks = Arc::new(flushes.marks.without_up_to(number));
        self.show_pending(&flushes);
    }

    fn show_pending(&self, flushes: &Flushes) {
        let pending = flushes.marks.len() as u32;
        self.pending.store(pending, Ordering::Relaxed);
    }

    /// Steps that all stripes keep together.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> isize {
        self.steps.load(Ordering::Relaxed)
    }
}

/// Steps that all stripes together may have.
fn steps_max(limit: u64) -> isize {
    let bytes = (limit / STEPS_SHARE).max(STEPS_BYTES_MIN);
    bytes as isize / size_of::<FlushStep>() as isize
}
