//! Prefix statistics: what is asked of the keys that begin alike (`stats detail`).

use crate::base::number::push_decimal;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prefixes remembered at most; what comes later is not counted. A client that makes prefixes up
/// costs this many entries and no more.
pub const PREFIXES_MAX: usize = 65_536;

/// Bytes of their names at most: prefixes are short where somebody means to read about them.
const NAMES_LEN_MAX: usize = 4 << 20;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was fetched.
    Hit,
    /// It was asked for and not there.
    Miss,
    /// A store was asked for.
    Set,
    /// A delete was asked for.
    Delete,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    get: u64,
    hit: u64,
    set: u64,
    del: u64,
}

/// Counts by prefix. While off, which is the normal case, it costs one relaxed load.
#[derive(Debug)]
pub struct PrefixStats {
    on: AtomicBool,
    delimiter: u8,
    table: Mutex<PrefixTable>,
}

/// By name, so that a dump can go on from any.
#[derive(Debug, Default)]
struct PrefixTable {
    prefixes: BTreeMap<Box<[u8]>, Counts>,
    /// Bytes of their names.
    names_len: usize,
}

impl PrefixStats {
    /// A prefix ends before the first `delimiter`.
    #[must_use]
    pub fn new(on: bool, delimiter: u8) -> Self {
        Self {
            on: AtomicBool::new(on),
            delimiter,
            table: Mutex::default(),
        }
    }

    /// Whether it counts.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Starts or stops counting; what was counted stays.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Counts, if on and if `key` has a prefix.
    #[inline]
    pub fn record(&self, key: &[u8], what: Recorded) {
        if self.is_on() {
            self.record_slowly(key, what);
        }
    }

    #[cold]
    fn record_slowly(&self, key: &[u8], what: Recorded) {
        let Some(len) = memchr::memchr(self.delimiter, key) else {
            return;
        };
        let mut table = self.table.lock();
        if !table.prefixes.contains_key(&key[..len]) {
            if table.prefixes.len() >= PREFIXES_MAX || table.names_len + len > NAMES_LEN_MAX {
                return;
            }
            table.prefixes.insert(key[..len].into(), Counts::default());
            table.names_len += len;
        }
        let Some(counts) = table.prefixes.get_mut(&key[..len]) else {
            return;
        };
        match what {
            Recorded::Hit => {
                counts.get += 1;
                counts.hit += 1;
            }
            Recorded::Miss => counts.get += 1,
            Recorded::Set => counts.set += 1,
            Recorded::Delete => counts.del += 1,
        }
    }

    /// Forgets all prefixes.
    pub fn clear(&self) {
        *self.table.lock() = PrefixTable::default();
    }

    /// Appends one `PREFIX` line for each of the next prefixes after `after`, at most `most` of
    /// them, by name; says which was the last, or `None` if there was none.
    pub fn dump_after(
        &self,
        after: Option<&[u8]>,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Option<Box<[u8]>> {
        let table = self.table.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let next = table.prefixes.range::<[u8], _>((from, Bound::Unbounded));
        let mut last = None;
        for (prefix, counts) in next.take(most) {
            push_line(out, prefix, *counts);
            last = Some(prefix);
        }
        last.cloned()
    }

    /// The lines of all prefixes, or of as many as take `len_max` bytes.
    #[must_use]
    pub fn dump(&self, len_max: usize) -> Vec<u8> {
        let mut out = vec![];
        for (prefix, counts) in &self.table.lock().prefixes {
            let before = out.len();
            push_line(&mut out, prefix, *counts);
            if out.len() > len_max {
                out.truncate(before);
                break;
            }
        }
        out
    }
}

fn push_line(out: &mut Vec<u8>, prefix: &[u8], counts: Counts) {
    out.extend_from_slice(b"PREFIX ");
    out.extend_from_slice(prefix);
    let numbers = [counts.get, counts.hit, counts.set, counts.del];
    for (name, number) in [" get ", " hit ", " set ", " del "]
        .into_iter()
        .zip(numbers)
    {
        out.extend_from_slice(name.as_bytes());
        push_decimal(out, number);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(stats: &PrefixStats) -> String {
        String::from_utf8(stats.dump(usize::MAX)).unwrap()
    }

    #[test]
    fn keys_are_counted_by_what_stands_before_the_delimiter() {
        let stats = PrefixStats::new(true, b':');
        stats.record(b"b:1", Recorded::Hit);
        stats.record(b"b:2:3", Recorded::Miss);
        stats.record(b"a:1", Recorded::Set);
        stats.record(b"a:1", Recorded::Delete);
        stats.record(b"plain", Recorded::Hit);
        let expected = "PREFIX a get 0 hit 0 set 1 del 1\r\nPREFIX b get 2 hit 1 set 0 del 0\r\n";
        assert_eq!(dump(&stats), expected);
        stats.clear();
        assert_eq!(dump(&stats), "");
    }

    #[test]
    fn nothing_is_counted_while_off() {
        let stats = PrefixStats::new(false, b':');
        stats.record(b"a:1", Recorded::Set);
        assert_eq!(dump(&stats), "");
        stats.switch(true);
        stats.record(b"a:1", Recorded::Set);
        assert_eq!(dump(&stats), "PREFIX a get 0 hit 0 set 1 del 0\r\n");
    }

    #[test]
    fn made_up_prefixes_cost_a_bounded_table() {
        let stats = PrefixStats::new(true, b':');
        for number in 0..=PREFIXES_MAX {
            stats.record(format!("{number}:k").as_bytes(), Recorded::Set);
        }
        assert_eq!(stats.table.lock().prefixes.len(), PREFIXES_MAX);
        stats.clear();
        for number in 0..PREFIXES_MAX {
            stats.record(format!("{number:0>249}:k").as_bytes(), Recorded::Set);
        }
        assert_eq!(stats.table.lock().prefixes.len(), NAMES_LEN_MAX / 249);
    }

    #[test]
    fn pieces_of_a_dump_make_the_whole() {
        let stats = PrefixStats::new(true, b':');
        for number in 0..100 {
            stats.record(format!("{number}:k").as_bytes(), Recorded::Set);
        }
        let whole = dump(&stats);
        let (mut pieces, mut last) = (vec![], None);
        loop {
            let before = pieces.len();
            last = stats.dump_after(last.as_deref(), 7, &mut pieces);
            let lines = pieces[before..].iter().filter(|byte| **byte == b'\n');
            assert!(lines.count() <= 7);
            if last.is_none() {
                break;
            }
        }
        assert_eq!(String::from_utf8(pieces).unwrap(), whole);
        let part = stats.dump(whole.len() - 1);
        assert!(part.ends_with(b"\r\n") && whole.as_bytes().starts_with(&part));
    }
}
