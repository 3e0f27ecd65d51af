//! The groups of `stats`, gathered from where the numbers are kept, for every protocol.

use crate::base::clock::Now;
use crate::protocol::binary::Reply;
use crate::protocol::text::Group;
use crate::protocol::text::reply::push_stat;
use crate::session::shared::Shared;
use crate::stats::{Adjusted, General, Process, Sink};
use crate::stats::{report_eviction, report_general, report_items, report_settings, report_slabs};
use std::sync::atomic::Ordering;

/// Writes a group.
pub(super) fn report(shared: &Shared, group: Group, now: Now, sink: &mut impl Sink) {
    match group {
        Group::General => report_general(sink, &general(shared, now)),
        Group::Settings => {
            let adjusted = Adjusted {
                verbosity: shared.verbosity.load(Ordering::Relaxed),
                detail: shared.prefixes.is_on(),
                memory_limit: shared.store.memory_limit(),
                automove: shared.store.automove(),
                automove_window_s: shared.store.automove_window_s(),
                crawler: shared.store.crawler(),
                shown: shared.shown(),
            };
            report_settings(sink, &shared.settings, adjusted);
        }
        Group::Items => {
            let classes = shared.store.classes(now);
            let temporary = shared.shown().temp_lru;
            report_items(sink, &classes, &shared.totals(), temporary);
        }
        Group::Slabs => {
            let classes = shared.store.classes(now);
            let page_size = shared.store.snapshot().page_size;
            report_slabs(sink, &classes, &shared.totals(), page_size);
        }
        Group::Eviction => {
            let policy = shared.settings.store.policy;
            report_eviction(sink, &shared.store.classes(now), policy);
        }
    }
}

fn general(shared: &Shared, now: Now) -> General {
    let (user_us, system_us) = shared.host.rusage_us();
    General {
        settings: shared.settings.clone(),
        totals: shared.totals(),
        server: shared.server_totals(),
        watchers: shared.watchers.count(),
        store: shared.store.snapshot(),
        process: Process {
            pid: shared.host.pid(),
            user_us,
            system_us,
        },
        now,
    }
}

/// Writes `STAT` lines.
pub(super) struct StatLines<'a>(pub(super) &'a mut Vec<u8>);

impl Sink for StatLines<'_> {
    fn stat(&mut self, name: &str, value: &str) {
        push_stat(self.0, name, value);
    }
}

/// Writes packets.
pub(super) struct StatPackets<'a> {
    /// Whose answer they are.
    pub(super) reply: Reply,
    /// Where they go.
    pub(super) out: &'a mut Vec<u8>,
}

impl Sink for StatPackets<'_> {
    fn stat(&mut self, name: &str, value: &str) {
        self.reply
            .push_stat(self.out, name.as_bytes(), value.as_bytes());
    }
}
