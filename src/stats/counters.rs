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
macro_rules! counters {
    (
        $(#[$meta:meta])* $live:ident, $total:ident
        { $($(#[$doc:meta])+ $name:ident),+ $(,)? }
        $(per class $each:ident, $each_total:ident)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub struct $live {
            $($(#[$doc])+ pub $name: Counter,)+
            $(/// By slab class.
            pub classes: PerClass<$each>,)?
        }

        #[doc = concat!("Sums of [`", stringify!($live), "`].")]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $total {
            $($(#[$doc])+ pub $name: u64,)+
            $(/// By slab class.
            pub classes: PerClass<$each_total>,)?
        }

        impl $total {
            /// Adds what `live` has counted.
            pub fn add(&mut self, live: &$live) {
                $(self.$name += live.$name.get();)+
                $(
                    let each: &PerClass<$each> = &live.classes;
                    for (total, live) in self.classes.0.iter_mut().zip(each.0.iter()) {
                        total.add(live);
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
        /// Keys found by a get.
        get_hits,
        /// Values that came in for storing.
        cmd_set,
        /// Keys found by touch, gat and their like.
        touch_hits,
        /// Items deleted.
        delete_hits,
        /// Numbers added to.
        incr_hits,
        /// Numbers subtracted from.
        decr_hits,
        /// Compare-and-swaps that stored.
        cas_hits,
        /// Compare-and-swaps that met another version.
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
        /// Network bytes received.
        bytes_read,
        /// Network bytes sent.
        bytes_written,
        /// Times a connection gave way to others.
        conn_yields,
        /// Keys not found, or found dead, by a get.
        get_misses,
        /// Lookups that found an item whose time was over.
        get_expired,
        /// Lookups that found a flushed item.
        get_flushed,
        /// Keys not found by touch, gat and their like.
        touch_misses,
        /// Deletes of nothing.
        delete_misses,
        /// Increments of nothing.
        incr_misses,
        /// Decrements of nothing.
        decr_misses,
        /// Compare-and-swaps of nothing.
        cas_misses,
        /// Flush commands, refused ones too.
        cmd_flush,
        /// The same for `flush_prefix`.
        cmd_flush_prefix,
        /// `me` commands.
        cmd_meta,
        /// Values over the item size limit.
        store_too_large,
        /// Values without memory to hold them.
        store_no_memory,
        /// Attempts to log in.
        auth_cmds,
        /// Failed ones.
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

    /// The sum over all classes.
    #[must_use]
    pub fn all_classes(&self) -> ClassTotals {
        let mut all = ClassTotals::default();
        for class in self.classes.0.iter() {
            all.get_hits += class.get_hits;
            all.cmd_set += class.cmd_set;
            all.touch_hits += class.touch_hits;
            all.delete_hits += class.delete_hits;
            all.incr_hits += class.incr_hits;
            all.decr_hits += class.decr_hits;
            all.cas_hits += class.cas_hits;
            all.cas_badval += class.cas_badval;
        }
        all
    }
}

/// Numbers about sockets, kept by `server`; several threads add to them.
#[repr(align(128))] // Connections that come and go do not evict what every request reads.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Open sockets, listeners included.
    pub curr_connections: AtomicU64,
    /// Sockets ever opened.
    pub total_connections: AtomicU64,
    /// Connections refused at the limit.
    pub rejected_connections: AtomicU64,
    /// Connection objects ever allocated.
    pub connection_structures: AtomicU64,
    /// Connections closed for idleness, or for being stuck.
    pub idle_kicks: AtomicU64,
    /// Times the listeners were paused.
    pub listen_disabled_num: AtomicU64,
    /// Microseconds they were.
    pub time_in_listen_disabled_us: AtomicU64,
    /// 1 while accepting.
    pub accepting: AtomicU64,
    /// Read buffers allocated.
    pub read_buf_count: AtomicU64,
    /// Their bytes.
    pub read_buf_bytes: AtomicU64,
    /// Bytes that connections hold of what they received and did not run.
    pub conn_input_bytes: AtomicU64,
    /// Bytes of replies that connections hold because nobody reads them.
    pub conn_output_bytes: AtomicU64,
    /// Bytes of values that connections are in the middle of.
    pub conn_pinned_bytes: AtomicU64,
    /// Connections closed for holding too much.
    pub conn_memory_kicks: AtomicU64,
    /// Events that found no room on their way to watchers.
    pub log_worker_dropped: AtomicU64,
    /// Events that found it.
    pub log_worker_written: AtomicU64,
    /// Lines that a watcher was not sent because it reads too slowly.
    pub log_watcher_skipped: AtomicU64,
    /// Lines that one was.
    pub log_watcher_sent: AtomicU64,
}

/// A reading of [`ServerCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Open sockets, listeners included.
    pub curr_connections: u64,
    /// Sockets opened.
    pub total_connections: u64,
    /// Connections refused at the limit.
    pub rejected_connections: u64,
    /// Connection objects ever allocated.
    pub connection_structures: u64,
    /// Connections closed for idleness, or for being stuck.
    pub idle_kicks: u64,
    /// Times the listeners were paused.
    pub listen_disabled_num: u64,
    /// Microseconds they were.
    pub time_in_listen_disabled_us: u64,
    /// 1 while accepting.
    pub accepting: u64,
    /// Read buffers allocated.
    pub read_buf_count: u64,
    /// Their bytes.
    pub read_buf_bytes: u64,
    /// Bytes that connections hold of what they received and did not run.
    pub conn_input_bytes: u64,
    /// Bytes of replies that connections hold because nobody reads them.
    pub conn_output_bytes: u64,
    /// Bytes of values that connections are in the middle of.
    pub conn_pinned_bytes: u64,
    /// Connections closed for holding too much.
    pub conn_memory_kicks: u64,
    /// Events that found no room on their way to watchers.
    pub log_worker_dropped: u64,
    /// Events that found it.
    pub log_worker_written: u64,
    /// Lines that a watcher was not sent because it reads too slowly.
    pub log_watcher_skipped: u64,
    /// Lines that one was.
    pub log_watcher_sent: u64,
}

impl ServerCounters {
    /// The present values.
    #[must_use]
    pub fn read(&self) -> ServerTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerTotals {
            curr_connections: get(&self.curr_connections),
            total_connections: get(&self.total_connections),
            rejected_connections: get(&self.rejected_connections),
            connection_structures: get(&self.connection_structures),
            idle_kicks: get(&self.idle_kicks),
            listen_disabled_num: get(&self.listen_disabled_num),
            time_in_listen_disabled_us: get(&self.time_in_listen_disabled_us),
            accepting: get(&self.accepting),
            read_buf_count: get(&self.read_buf_count),
            read_buf_bytes: get(&self.read_buf_bytes),
            conn_input_bytes: get(&self.conn_input_bytes),
            conn_output_bytes: get(&self.conn_output_bytes),
            conn_pinned_bytes: get(&self.conn_pinned_bytes),
            conn_memory_kicks: get(&self.conn_memory_kicks),
            log_worker_dropped: get(&self.log_worker_dropped),
            log_worker_written: get(&self.log_worker_written),
            log_watcher_skipped: get(&self.log_watcher_skipped),
            log_watcher_sent: get(&self.log_watcher_sent),
        }
    }

    /// Bytes of requests and replies that connections hold.
    #[inline]
    #[must_use]
    pub fn conn_memory(&self) -> u64 {
        let input = self.conn_input_bytes.load(Ordering::Relaxed);
        input + self.conn_output_bytes.load(Ordering::Relaxed)
    }
}

impl ServerTotals {
    /// Counts since `then`; what is a state and no count stays.
    #[must_use]
    pub fn since(self, then: &Self) -> Self {
        let less = |now: u64, then: u64| now.saturating_sub(then);
        Self {
            total_connections: less(self.total_connections, then.total_connections),
            rejected_connections: less(self.rejected_connections, then.rejected_connections),
            idle_kicks: less(self.idle_kicks, then.idle_kicks),
            conn_memory_kicks: less(self.conn_memory_kicks, then.conn_memory_kicks),
            log_worker_dropped: less(self.log_worker_dropped, then.log_worker_dropped),
            log_worker_written: less(self.log_worker_written, then.log_worker_written),
            log_watcher_skipped: less(self.log_watcher_skipped, then.log_watcher_skipped),
            log_watcher_sent: less(self.log_watcher_sent, then.log_watcher_sent),
            listen_disabled_num: less(self.listen_disabled_num, then.listen_disabled_num),
            time_in_listen_disabled_us: less(
                self.time_in_listen_disabled_us,
                then.time_in_listen_disabled_us,
            ),
            ..self
        }
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
        assert_eq!(
            (baseline.get_misses, baseline.all_classes().get_hits),
            (5, 1)
        );

        a.get_misses.add(1);
        a.class(ClassId(5)).get_hits.add(4);
        let since = Totals::sum([&a, &b]).since(&baseline);
        assert_eq!((since.get_misses, since.all_classes().get_hits), (1, 4));
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
