//! Prefix statistics: what is asked of the keys that begin alike (`stats detail`).

use crate::base::number::push_decimal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prefixes remembered at most; what comes later is not counted. A client that makes prefixes up
/// costs this many entries and no more.
pub const PREFIXES_MAX: usize = 65_536;

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
    table: Mutex<HashMap<Box<[u8]>, Counts, ahash::RandomState>>,
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
        if !table.contains_key(&key[..len]) {
            if table.len() >= PREFIXES_MAX {
                return;
            }
            table.insert(key[..len].into(), Counts::default());
        }
        let Some(counts) = table.get_mut(&key[..len]) else {
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
        self.table.lock().clear();
    }

    /// Appends one `PREFIX` line for each, by name, without an end mark.
    pub fn dump(&self, out: &mut Vec<u8>) {
        let table = self.table.lock();
        let mut prefixes: Vec<_> = table.iter().collect();
        prefixes.sort_unstable_by_key(|(prefix, _)| *prefix);
        for (prefix, counts) in prefixes {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(stats: &PrefixStats) -> String {
        let mut out = vec![];
        stats.dump(&mut out);
        String::from_utf8(out).unwrap()
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
        assert_eq!(stats.table.lock().len(), PREFIXES_MAX);
    }
}
