//! Flushes: which items are dead because one came after they were stored.
//!
//! A flush adds a *mark* for its prefix to a list that all stripes share, and each stripe notes how
//! many writes it had counted by then. Nothing else is touched, however many items there are:
//!
//! ```text
//!   marks, by prefix          a stripe's steps, by number       an item of that stripe
//!   "session:"  number 7      up to 6: written 1,204 times      "session:9", written as 1,198th
//!   "user:1:"   number 5      up to 7: written 1,230 times       ─▶ flushed by number 7
//! ```
//!
//! An item is dead if the longest mark that its key begins with is younger than it is. The longest
//! is the youngest: a mark takes the place of all that are older and begin with its prefix. A round
//! over all pages frees what is dead and lifts the marks that were there before it.
//!
//! The order of items and flushes is exact, for any number of flushes: an item keeps the low 36
//! bits of the count of writes it was stored as (its CAS counter and the header's epoch), and what
//! is older than a quarter of that is refreshed (see [`round`](super::round)).

use crate::base::clock::{Expiry, Now};
use crate::store::Store;
use crate::store::outcome::TooManyFlushes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Marks and appointments at a time, at most: so many that no sensible use meets it, so few that
/// finding a key's is a search of ten steps.
const FLUSHES_MAX: usize = 1024;

/// Memory for all stripes' steps, at least, and the part of the limit that it may be. A step is
/// needed where a stripe was written to between two flushes; thousands of flushes in the seconds
/// that a round takes would need more than is sensible.
const STEPS_BYTES_MIN: u64 = 1 << 20;
const STEPS_SHARE: u64 = 256;

/// Steps beyond one for each mark that a stripe keeps before it looks which ones are of no use.
const STEPS_SLACK: usize = 8;

/// A flush that may have something left to kill.
#[derive(Clone, Debug)]
struct Mark {
    prefix: Arc<[u8]>,
    /// Flushes are numbered from 1 on.
    number: u64,
    /// The longest other mark whose prefix this one's begins with.
    within: Option<u32>,
}

/// The marks of all flushes, in the order of their prefixes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<Mark>,
    /// Their numbers, in order.
    numbers: Vec<u64>,
}

impl Marks {
    fn len(&self) -> usize {
        self.marks.len()
    }

    /// The number of the last flush whose prefix this key begins with.
    pub(crate) fn last_of(&self, key: &[u8]) -> Option<u64> {
        let not_after = |mark: &Mark| *mark.prefix <= *key;
        let mut at = self.marks.partition_point(not_after).checked_sub(1)?;
        loop {
            let mark = &self.marks[at];
            if key.starts_with(&mark.prefix) {
                return Some(mark.number);
            }
            // What the key begins with, the mark before it in order begins with as well.
            at = mark.within? as usize;
        }
    }

    /// Whether a flush of `prefix` takes the place of another.
    fn replaces(&self, prefix: &[u8]) -> bool {
        let mut marks = self.marks.iter();
        marks.any(|mark| mark.prefix.starts_with(prefix))
    }

    fn with(&self, prefix: &[u8], number: u64) -> Self {
        let older = self.marks.iter();
        let mut marks: Vec<Mark> = older
            .filter(|mark| !mark.prefix.starts_with(prefix))
            .cloned()
            .collect();
        let at = marks.partition_point(|mark| *mark.prefix < *prefix);
        let new = Mark {
            prefix: prefix.into(),
            number,
            within: None,
        };
        marks.insert(at, new);
        Self::of(marks)
    }

    fn without_up_to(&self, number: u64) -> Self {
        let younger = self.marks.iter().filter(|mark| mark.number > number);
        Self::of(younger.cloned().collect())
    }

    fn of(mut marks: Vec<Mark>) -> Self {
        let mut around: Vec<u32> = vec![];
        for at in 0..marks.len() {
            while let Some(&last) = around.last()
                && !marks[at].prefix.starts_with(&marks[last as usize].prefix)
            {
                around.pop();
            }
            marks[at].within = around.last().copied();
            around.push(at as u32);
        }
        let mut numbers: Vec<u64> = marks.iter().map(|mark| mark.number).collect();
        numbers.sort_unstable();
        Self { marks, numbers }
    }

    /// Whether there is a mark with a number after `from` and up to `to`.
    fn has_between(&self, from: u64, to: u64) -> bool {
        let next = self.numbers.partition_point(|&number| number <= from);
        self.numbers.get(next).is_some_and(|&number| number <= to)
    }
}

/// How far a stripe had been written to by some flushes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The last of them.
    pub(crate) number: u64,
    /// The stripe's version when they came.
    pub(crate) version: u64,
}

/// What a stripe knows of the flushes that no round has been made for.
#[derive(Debug)]
pub(crate) struct Flushed {
    marks: Arc<Marks>,
    /// The last flush that a round has been made for.
    lifted: u64,
    last: Step,
    /// Those before that one, in order. Mostly there is none: most stripes are not written to
    /// between two flushes.
    earlier: Vec<Step>,
}

impl Flushed {
    /// Whether an item with this key, written at this version of the stripe, has been flushed.
    pub(crate) fn kills(&self, key: &[u8], written: u64) -> bool {
        let Some(number) = self.marks.last_of(key).filter(|&last| last > self.lifted) else {
            return false;
        };
        let at = self.earlier.partition_point(|step| step.number < number);
        written <= self.earlier.get(at).unwrap_or(&self.last).version
    }

    /// Notes a flush.
    fn note(&mut self, marks: &Arc<Marks>, step: Step) {
        self.marks = Arc::clone(marks);
        let last = std::mem::replace(&mut self.last, step);
        if last.version == step.version {
            return;
        }
        self.earlier.push(last);
        if self.earlier.len() > self.marks.len() + STEPS_SLACK {
            self.forget_useless_steps();
        }
    }

    /// Drops the steps of marks that younger ones have taken the place of.
    fn forget_useless_steps(&mut self) {
        let mut before = self.lifted;
        self.earlier.retain(|step| {
            let from = std::mem::replace(&mut before, step.number);
            self.marks.has_between(from, step.number)
        });
    }
}

/// A stripe's part of a flush. Returns how many steps more it keeps.
pub(crate) fn note_flush(flushed: &mut Option<Flushed>, marks: &Arc<Marks>, step: Step) -> isize {
    let Some(flushed) = flushed else {
        *flushed = Some(Flushed {
            marks: Arc::clone(marks),
            // It knows of no flush before this one: all have been lifted.
            lifted: step.number - 1,
            last: step,
            earlier: vec![],
        });
        return 0;
    };
    let before = flushed.earlier.len();
    flushed.note(marks, step);
    flushed.earlier.len() as isize - before as isize
}

/// Forgets the flushes up to `number`. Returns how many steps fewer are kept.
pub(crate) fn lift_flushes(flushed: &mut Option<Flushed>, number: u64) -> isize {
    let Some(state) = flushed else {
        return 0;
    };
    let before = state.earlier.len();
    state.earlier.retain(|step| step.number > number);
    state.lifted = number;
    let lifted = before - state.earlier.len();
    if state.last.number <= number {
        *flushed = None;
    }
    lifted as isize
}

/// A flush that is to come.
#[derive(Debug)]
struct Appointment {
    when: Expiry,
    prefix: Box<[u8]>,
}

/// All flushes that are under way or to come.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    marks: Arc<Marks>,
    /// Flushes ever.
    number: u64,
    appointed: Vec<Appointment>,
}

impl Flushes {
    /// The last flush, and all that are pending.
    pub(crate) fn pending(&self) -> (u64, Arc<Marks>) {
        (self.number, Arc::clone(&self.marks))
    }

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

impl Store {
    /// Makes everything gone, for everyone, that was stored before this call.
    ///
    /// Takes some 100 ns a stripe, whatever is stored. Memory comes back as
    /// [`Lane::maintain`](crate::store::Lane::maintain) finds the items. An appointment is cancelled.
    pub fn flush(&self) {
        self.flush_now(&mut self.flushes.lock(), b"");
    }

    /// The same for what is stored under keys that begin with `prefix`.
    ///
    /// # Errors
    ///
    /// If too many flushes are pending; then nothing is done.
    pub fn flush_prefix(&self, prefix: &[u8]) -> Result<(), TooManyFlushes> {
        let mut flushes = self.flushes.lock();
        let has_room = flushes.has_room_for(prefix) || flushes.marks.replaces(prefix);
        if !has_room || !self.has_room_for_steps() {
            return Err(TooManyFlushes);
        }
        self.flush_now(&mut flushes, prefix);
        Ok(())
    }

    /// Appoints a flush; it replaces an earlier appointment. `NEVER` cancels.
    ///
    /// [`Lane::maintain`](crate::store::Lane::maintain) keeps the appointment.
    pub fn flush_at(&self, when: Expiry) {
        self.appoint(&mut self.flushes.lock(), b"", when);
    }

    /// The same for a prefix; it replaces an earlier appointment for that.
    ///
    /// # Errors
    ///
    /// If too many flushes are pending; then nothing is done.
    pub fn flush_prefix_at(&self, prefix: &[u8], when: Expiry) -> Result<(), TooManyFlushes> {
        let mut flushes = self.flushes.lock();
        if !flushes.has_room_for(prefix) {
            return Err(TooManyFlushes);
        }
        self.appoint(&mut flushes, prefix, when);
        Ok(())
    }

    /// Marks: flushes of which the memory may not be back yet.
    #[must_use]
    pub fn flushes_pending(&self) -> u32 {
        self.flushes_pending.load(Ordering::Relaxed)
    }

    fn flush_now(&self, flushes: &mut Flushes, prefix: &[u8]) {
        self.mark(flushes, prefix);
        flushes.cancel(prefix);
        self.flush_due.store(flushes.first_due(), Ordering::Relaxed);
    }

    fn appoint(&self, flushes: &mut Flushes, prefix: &[u8], when: Expiry) {
        flushes.cancel(prefix);
        if !when.is_never() {
            let prefix = prefix.into();
            flushes.appointed.push(Appointment { when, prefix });
        }
        self.flush_due.store(flushes.first_due(), Ordering::Relaxed);
    }

    /// The flush itself, stripe by stripe.
    fn mark(&self, flushes: &mut Flushes, prefix: &[u8]) {
        flushes.number += 1;
        flushes.marks = Arc::new(flushes.marks.with(prefix, flushes.number));
        self.show_pending(flushes);
        let (marks, number) = (&flushes.marks, flushes.number);
        let stripes = self.stripes.iter();
        let more: isize = stripes
            .map(|stripe| stripe.lock().flush(marks, number))
            .sum();
        self.flush_steps.fetch_add(more, Ordering::Relaxed);
    }

    fn has_room_for_steps(&self) -> bool {
        self.flush_steps.load(Ordering::Relaxed) < steps_max(self.memory_limit())
    }

    /// Keeps the appointments that are due, or those that there is room for.
    pub(crate) fn keep_appointments(&self, now: Now) {
        if self.flush_due.load(Ordering::Relaxed) > now.ticks {
            return;
        }
        let mut flushes = self.flushes.lock();
        while let Some(prefix) = flushes.due(now)
            && (prefix.is_empty() || self.has_room_for_steps())
        {
            self.flush_now(&mut flushes, &prefix);
        }
    }

    /// Forgets the flushes up to `number`, which have been lifted in every stripe; those keep so
    /// many steps fewer.
    pub(crate) fn end_flushes(&self, number: u64, lifted: isize) {
        self.flush_steps.fetch_sub(lifted, Ordering::Relaxed);
        let mut flushes = self.flushes.lock();
        flushes.marks = Arc::new(flushes.marks.without_up_to(number));
        self.show_pending(&flushes);
    }

    fn show_pending(&self, flushes: &Flushes) {
        let pending = flushes.marks.len() as u32;
        self.flushes_pending.store(pending, Ordering::Relaxed);
    }
}

/// Steps that all stripes together may have.
fn steps_max(limit: u64) -> isize {
    let bytes = (limit / STEPS_SHARE).max(STEPS_BYTES_MIN);
    bytes as isize / size_of::<Step>() as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(prefixes: &[&str]) -> Marks {
        let mut marks = Marks::default();
        for (number, prefix) in prefixes.iter().enumerate() {
            marks = marks.with(prefix.as_bytes(), number as u64 + 1);
        }
        marks
    }

    #[test]
    fn a_key_has_the_last_flush_of_those_it_begins_with() {
        let marks = marks(&["a", "b:1", "ab", "b", "abc", "ab", "x", "xyz", "xyzzy"]);
        let kept: Vec<_> = marks.marks.iter().map(|mark| &*mark.prefix).collect();
        let expected: [&[u8]; 6] = [b"a", b"ab", b"b", b"x", b"xyz", b"xyzzy"];
        assert_eq!(kept, expected, "a mark replaces those within it");
        for (key, number) in [
            ("a", Some(1)),
            ("aaa", Some(1)),
            ("az", Some(1)),
            ("ab", Some(6)),
            ("abcd", Some(6)),
            ("b:1", Some(4)),
            ("c", None),
            ("", None),
            ("xyzz", Some(8)),
            ("xyzzy!", Some(9)),
            ("xyzzx", Some(8)),
            ("xyzzz", Some(8)),
            ("xz", Some(7)),
            ("y", None),
            ("zzz", None),
        ] {
            assert_eq!(marks.last_of(key.as_bytes()), number, "{key}");
        }
        let later = marks.without_up_to(6);
        assert_eq!(later.last_of(b"ab"), None);
        assert_eq!(later.last_of(b"xyzzy"), Some(9));
        assert_eq!(
            marks.with(b"", 10).len(),
            1,
            "a flush of everything is the only one"
        );
    }

    #[test]
    fn the_order_of_writes_and_flushes_is_exact_for_any_number_of_them() {
        let mut all = Arc::new(Marks::default());
        let mut flushed = None;
        for number in 1..=1000_u64 {
            let prefix = format!("tag{:03}:", number % 250);
            all = Arc::new(all.with(prefix.as_bytes(), number));
            let version = number * 10;
            note_flush(&mut flushed, &all, Step { number, version });
            let flushed = flushed.as_ref().unwrap();
            let key = format!("{prefix}key");
            assert!(flushed.kills(key.as_bytes(), number * 10));
            assert!(!flushed.kills(key.as_bytes(), number * 10 + 1));
            assert!(
                flushed.earlier.len() <= 250 + STEPS_SLACK,
                "only what is of use"
            );
        }
        for number in 751..=1000_u64 {
            let key = format!("tag{:03}:key", number % 250);
            let flushed = flushed.as_ref().unwrap();
            assert!(flushed.kills(key.as_bytes(), number * 10));
            assert!(!flushed.kills(key.as_bytes(), number * 10 + 1));
        }
        lift_flushes(&mut flushed, 999);
        let left = flushed.as_ref().unwrap();
        assert!(left.kills(b"tag000:", 10_000) && !left.kills(b"tag249:", 1));
        lift_flushes(&mut flushed, 1000);
        assert!(flushed.is_none());
    }
}
