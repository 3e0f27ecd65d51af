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
//! is older than a quarter of that is refreshed, see
//! [`Stripe::limit_age`](super::Stripe::limit_age).

use std::sync::Arc;

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
    pub(crate) fn len(&self) -> usize {
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
    pub(crate) fn replaces(&self, prefix: &[u8]) -> bool {
        let mut marks = self.marks.iter();
        marks.any(|mark| mark.prefix.starts_with(prefix))
    }

    pub(crate) fn with(&self, prefix: &[u8], number: u64) -> Self {
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

    pub(crate) fn without_up_to(&self, number: u64) -> Self {
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
pub(crate) struct FlushStep {
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
    last: FlushStep,
    /// Those before that one, in order. Mostly there is none: most stripes are not written to
    /// between two flushes.
    earlier: Vec<FlushStep>,
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
    fn note(&mut self, marks: &Arc<Marks>, step: FlushStep) {
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
pub(crate) fn note_flush(
    flushed: &mut Option<Flushed>,
    marks: &Arc<Marks>,
    step: FlushStep,
) -> isize {
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
            note_flush(&mut flushed, &all, FlushStep { number, version });
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
