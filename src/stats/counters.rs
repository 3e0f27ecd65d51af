//! Counters: one list, from which the storage, the sum and the difference all follow.

use crate::store::ClassId;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up; one thread writes it, anyone may read it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Must be called by the owning thread only.
    ///
    /// With a single writer a load and a store are enough, which spares the hot path a locked
    /// instruction. Readers see a value that is late, never wrong.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The current value.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Class numbers are below this.
const CLASS_COUNT: usize = 64;

/// One `T` for each slab class. Class 0 takes what belongs to no class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerClass<T>(Box<[T; CLASS_COUNT]>);

impl<T: Default> Default for PerClass<T> {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| T::default())))
    }
}

impl<T> PerClass<T> {
    /// The class's own.
    #[inline]
    #[must_use]
    pub fn of(&self, class: ClassId) -> &T {
        &self.0[usize::from(class.0) % CLASS_COUNT]
    }
}

/// Declares counters, their plain sums, and the difference between two sums.
///
/// Adding a statistic is one line in a list below. Field, sum and difference cannot drift apart
/// because nobody writes them. `per class` adds a list of another such struct for each slab class.
/// A field is named as its line in the reports, whose tables say what it means.
macro_rules! counters {
    (
        $(#[$meta:meta])* $live:ident, $total:ident
        { $($name:ident),+ $(,)? }
        $(per class $each:ident, $each_total:ident)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $live {
            $(#[doc = concat!("Shown as `", stringify!($name), "`.")] pub $name: Counter,)+
            $(/// By slab class.
            pub classes: PerClass<$each>,)?
        }

        #[doc = concat!("Sums of [`", stringify!($live), "`].")]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $total {
            $(#[doc = concat!("Shown as `", stringify!($name), "`.")] pub $name: u64,)+
            $(/// By slab class.
            pub classes: PerClass<$each_total>,
            /// Over all classes.
            pub all: $each_total,)?
        }

        impl $total {
            /// Adds what `live` has counted.
            pub fn add(&mut self, live: &$live) {
                $(self.$name += live.$name.get();)+
                $(
                    let each: &PerClass<$each> = &live.classes;
                    for (total, live) in self.classes.0.iter_mut().zip(each.0.iter()) {
                        total.add(live);
                        self.all.add(live);
                    }
                )?
            }

            /// What has been counted since `then`.
            ///
            /// A reset is a baseline remembered by the reader. Zeroing the counters instead would
            /// make a second writer, and cost every `add` an atomic read-modify-write.
            #[must_use]
            pub fn since(mut self, then: &Self) -> Self {
                $(self.$name = self.$name.saturating_sub(then.$name);)+
                $(
                    let each: &PerClass<$each_total> = &then.classes;
                    for (total, then) in self.classes.0.iter_mut().zip(each.0.iter()) {
                        *total = total.clone().since(then);
                    }
                    self.all = self.all.since(&then.all);
                )?
                self
            }
        }
    };
}

counters! {
    /// What one worker has done with items of one slab class.
    #[repr(align(64))] // One cache line: a hit dirties no more than this.
    ClassCounters, ClassTotals {
        get_hits,
        cmd_set,
        touch_hits,
        delete_hits,
        incr_hits,
        decr_hits,
        cas_hits,
        cas_badval,
    }
}

counters! {
    /// What one worker has done. Only that worker writes.
    ///
    /// A hit is counted with its class only, and commands that are all hits and misses are not
    /// counted again: `cmd_get` is `get_hits + get_misses`, and so is `cmd_touch`.
    #[repr(align(128))] // Two cache lines: no worker's write evicts a neighbour's counters.
    Counters, Totals {
        bytes_read,
        bytes_written,
        conn_yields,
        get_misses,
        get_expired,
        get_flushed,
        touch_misses,
        delete_misses,
        incr_misses,
        decr_misses,
        cas_misses,
        cmd_flush,
        cmd_flush_prefix,
        cmd_meta,
        store_too_large,
        store_no_memory,
        auth_cmds,
        auth_errors,
    }
    per class ClassCounters, ClassTotals
}

impl Counters {
    /// The counters of one class.
    #[inline]
    #[must_use]
    pub fn class(&self, class: ClassId) -> &ClassCounters {
        self.classes.of(class)
    }
}

impl Totals {
    /// Sums over `workers`.
    #[must_use]
    pub fn sum<'a>(workers: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut totals = Self::default();
        for worker in workers {
            totals.add(worker);
        }
        totals
    }
}

/// Declares numbers that several threads add to, and a reading of them.
///
/// Of a `counter` a reading is what has been counted since a baseline; a `state` is as it is.
macro_rules! shared_counters {
    (
        $(#[$meta:meta])* $numbers:ident, $reading:ident {
            counters { $($(#[$counter_doc:meta])* $counter:ident),+ $(,)? }
            states { $($(#[$state_doc:meta])* $state:ident),+ $(,)? }
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $numbers {
            $($(#[$counter_doc])* pub $counter: AtomicU64,)+
            $($(#[$state_doc])* pub $state: AtomicU64,)+
        }

        #[doc = concat!("A reading of [`", stringify!($numbers), "`].")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $reading {
            $($(#[$counter_doc])* pub $counter: u64,)+
            $($(#[$state_doc])* pub $state: u64,)+
        }

        impl $numbers {
            /// The present values.
            #[must_use]
            pub fn read(&self) -> $reading {
                $reading {
                    $($counter: self.$counter.load(Ordering::Relaxed),)+
                    $($state: self.$state.load(Ordering::Relaxed),)+
                }
            }
        }

        impl $reading {
            /// Counts since `then`; what is a state and no count stays.
            #[must_use]
            pub fn since(self, then: &Self) -> Self {
                Self {
                    $($counter: self.$counter.saturating_sub(then.$counter),)+
                    $($state: self.$state,)+
                }
            }
        }
    };
}

shared_counters! {
    /// Numbers about sockets, kept by `server`; several threads add to them.
    #[repr(align(128))] // Connections that come and go do not evict what every request reads.
    ServerCounters, ServerTotals {
        counters {
            /// Sockets opened.
            total_connections,
            /// Connections refused at the limit.
            rejected_connections,
            /// Connections closed for idleness, or for being stuck.
            idle_kicks,
            /// Connections closed for holding too much.
            conn_memory_kicks,
            /// Times the listeners were paused.
            listen_disabled_num,
            /// Microseconds they were.
            time_in_listen_disabled_us,
            /// Events that found no room on their way to watchers.
            log_worker_dropped,
            /// Events that found it.
            log_worker_written,
            /// Lines that a watcher was not sent because it reads too slowly.
            log_watcher_skipped,
            /// Lines that one was.
            log_watcher_sent,
        }
        states {
            /// Open sockets, listeners included.
            curr_connections,
            /// The most of them at once.
            connection_structures,
            /// 1 while accepting.
            accepting,
            /// Read buffers allocated.
            read_buf_count,
            /// Their bytes.
            read_buf_bytes,
            /// Bytes that connections hold of what they received and did not run.
            conn_input_bytes,
            /// Bytes of replies that connections hold because nobody reads them.
            conn_output_bytes,
            /// Bytes of values that connections are in the middle of.
            conn_pinned_bytes,
        }
    }
}

impl ServerCounters {
    /// Bytes of requests and replies that connections hold.
    #[inline]
    #[must_use]
    pub fn conn_memory(&self) -> u64 {
        let input = self.conn_input_bytes.load(Ordering::Relaxed);
        input + self.conn_output_bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_the_workers_since_the_baseline() {
        let (a, b) = (Counters::default(), Counters::default());
        a.get_misses.add(2);
        b.get_misses.add(3);
        b.class(ClassId(5)).get_hits.add(1);
        let baseline = Totals::sum([&a, &b]);
        assert_eq!((baseline.get_misses, baseline.all.get_hits), (5, 1));

        a.get_misses.add(1);
        a.class(ClassId(5)).get_hits.add(4);
        let since = Totals::sum([&a, &b]).since(&baseline);
        assert_eq!((since.get_misses, since.all.get_hits), (1, 4));
        assert_eq!(since.classes.of(ClassId(5)).get_hits, 4);
    }

    #[test]
    fn a_baseline_leaves_states_alone() {
        let counters = ServerCounters::default();
        counters.curr_connections.store(7, Ordering::Relaxed);
        counters.total_connections.store(9, Ordering::Relaxed);
        counters.log_watcher_sent.store(3, Ordering::Relaxed);
        let now = counters.read();
        let since = now.since(&now);
        assert_eq!((since.curr_connections, since.total_connections), (7, 0));
        assert_eq!((now.log_watcher_sent, since.log_watcher_sent), (3, 0));
    }

    #[test]
    fn the_counters_of_a_class_are_one_cache_line() {
        assert_eq!(size_of::<ClassCounters>(), 64);
    }
}
