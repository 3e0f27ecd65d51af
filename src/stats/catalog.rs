//! All lines of all reports: what a manual or an exporter is made from.

use crate::stats::conns::CONN_STATS;
use crate::stats::entry::{About, Stat};
use crate::stats::eviction::{EVICTION_STATS, POLICY_STATS};
use crate::stats::general::general_stats;
use crate::stats::items::ITEM_STATS;
use crate::stats::settings::settings_stats;
use crate::stats::slabs::{SLAB_STATS, SLAB_SUM_STATS};

/// What stands before the names of one table, and the table.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The command that shows it.
    pub command: &'static str,
    /// What is before each name: `<class>` and `<fd>` stand for numbers.
    pub prefix: &'static str,
    /// Its lines, in order.
    pub lines: Vec<&'static About>,
}

/// The whole catalog, by report.
#[must_use]
pub fn catalog() -> Vec<Chapter> {
    vec![
        chapter("stats", "", general_stats()),
        chapter("stats items", "items:<class>:", ITEM_STATS),
        chapter("stats slabs", "<class>:", SLAB_STATS),
        chapter("stats slabs", "", SLAB_SUM_STATS),
        chapter("stats eviction", "", POLICY_STATS),
        chapter("stats eviction", "eviction:<class>:", EVICTION_STATS),
        chapter("stats conns", "<fd>:", CONN_STATS),
        chapter("stats settings", "", settings_stats()),
    ]
}

fn chapter<R: 'static>(
    command: &'static str,
    prefix: &'static str,
    stats: impl IntoIterator<Item = &'static Stat<R>>,
) -> Chapter {
    Chapter {
        command,
        prefix,
        lines: stats.into_iter().map(|stat| &stat.about).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Kind;
    use std::collections::BTreeSet;

    /// Units in use: another word for one of them is a slip.
    const UNITS: &[&str] = &[
        "0 or 1",
        "bits",
        "buffers",
        "bytes",
        "chunks",
        "classes",
        "connections",
        "descriptors",
        "events",
        "flushes",
        "hundredths of a get",
        "items",
        "keys",
        "level",
        "lines",
        "log2 of buckets",
        "microseconds",
        "number",
        "octal",
        "on or off",
        "pages",
        "percent",
        "ratio",
        "replies",
        "requests",
        "seconds",
        "text",
        "threads",
        "times",
        "values",
        "yes or no",
    ];

    fn lines() -> impl Iterator<Item = (String, &'static About)> {
        catalog().into_iter().flat_map(|chapter| {
            let prefix = format!("{} {}", chapter.command, chapter.prefix);
            let lines = chapter.lines.into_iter();
            lines.map(move |about| (format!("{prefix}{}", about.name), about))
        })
    }

    #[test]
    fn each_line_is_there_once_and_says_in_a_sentence_what_it_means() {
        let mut seen = BTreeSet::new();
        for (name, about) in lines() {
            assert!(seen.insert(name.clone()), "{name} is there twice");
            assert!(!about.name.contains([' ', ':']), "{name} splits a line");
            for text in [about.meaning, about.advice] {
                let is_sentence =
                    text.ends_with(['.']) || (text.is_empty() && text == about.advice);
                assert!(is_sentence, "{name}: \"{text}\" is no sentence");
                assert!(
                    !text.contains("  ") && !text.contains('|'),
                    "{name}: {text}"
                );
            }
            for text in [about.condition, about.fixed.map_or("", |fixed| fixed.why)] {
                assert!(
                    !text.ends_with('.') && !text.contains('|'),
                    "{name}: {text}"
                );
            }
            assert!(
                UNITS.contains(&about.unit),
                "{name}: what is {}?",
                about.unit
            );
        }
        for unit in UNITS {
            assert!(lines().any(|(_, about)| about.unit == *unit), "{unit}");
        }
    }

    #[test]
    fn there_is_nothing_to_do_about_what_stays_as_it_is() {
        for (name, about) in lines() {
            let moves = matches!(about.kind, Kind::Counter | Kind::Gauge);
            let can_grow = moves && about.fixed.is_none();
            assert!(about.advice.is_empty() || can_grow, "{name}");
            let explained = about.fixed.is_none_or(|fixed| !fixed.why.is_empty());
            assert!(explained, "{name}: why?");
        }
    }
}
