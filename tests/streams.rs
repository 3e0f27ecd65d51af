//! Replies without a bound of their own: produced as they are read, and never whole in memory.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Talk, settings};
use nuthatch::base::settings::Settings;
use nuthatch::session::OUTPUT_MAX;
use nuthatch::stats::PREFIXES_MAX;

fn counting_prefixes() -> Talk {
    Talk::new(Settings {
        detail_enabled: true,
        ..settings()
    })
}

#[test]
fn a_dump_of_all_prefixes_never_waits_whole() {
    let mut talk = counting_prefixes();
    for first in (0..PREFIXES_MAX).step_by(1000) {
        let gets: String = (first..first + 1000)
            .map(|number| format!("get prefix-{number}:k\r\n"))
            .collect();
        talk.ask(gets.as_bytes());
    }
    talk.pending_max = 0;
    let yields = talk.yields;
    let dump = talk.ask(b"stats detail dump\r\nversion\r\n");
    assert_eq!(dump.matches("PREFIX prefix-").count(), PREFIXES_MAX);
    assert!(dump.ends_with("END\r\nVERSION 1.6.45\r\n"));
    assert!(dump.len() > 8 * OUTPUT_MAX);
    // One piece above the mark at most, and others have their turn on the way.
    assert!(
        talk.pending_max < OUTPUT_MAX + 8_000,
        "{}",
        talk.pending_max
    );
    assert!(talk.yields - yields > 100, "{}", talk.yields - yields);
    let mut lines: Vec<_> = dump
        .lines()
        .filter(|line| line.starts_with("PREFIX"))
        .collect();
    let as_sent = lines.clone();
    lines.sort_unstable_by_key(|line| line.split(' ').nth(1).unwrap().to_owned());
    assert!(lines == as_sent, "by name");
}

#[test]
fn a_long_turn_ends_where_the_output_is_full() {
    let mut talk = Talk::new(Settings {
        detail_enabled: true,
        requests_per_event: u32::MAX,
        ..settings()
    });
    let gets: String = (0..20_000)
        .map(|number| format!("get {number}:k\r\n"))
        .collect();
    talk.ask(gets.as_bytes());
    talk.pending_max = 0;
    let dump = talk.ask(b"stats detail dump\r\n");
    assert!(dump.len() > 2 * OUTPUT_MAX);
    let most = talk.pending_max;
    assert!(most < OUTPUT_MAX + 8_000, "{most}");
}

#[test]
fn long_prefixes_have_a_bound_of_their_own() {
    let mut talk = counting_prefixes();
    for first in (0..PREFIXES_MAX).step_by(1000) {
        let gets: String = (first..first + 1000)
            .map(|number| format!("get {number:0>248}:\r\n"))
            .collect();
        talk.ask(gets.as_bytes());
    }
    let dump = talk.ask(b"stats detail dump\r\n");
    let count = dump.matches("PREFIX ").count();
    assert!((16_000..17_000).contains(&count), "{count}");
}

/// Stores items whose keys have the same length, in a store with room for all.
fn filled(count: u32) -> Talk {
    let mut talk = Talk::new(settings());
    for first in (0..count).step_by(1000) {
        let sets: String = (first..(first + 1000).min(count))
            .map(|number| format!("set k{number:07} 0 0 1\r\nv\r\n"))
            .collect();
        talk.ask(sets.as_bytes());
    }
    talk
}

#[test]
fn a_dump_of_all_items_never_waits_whole_and_others_have_their_turn() {
    let mut talk = filled(50_000);
    for command in ["lru_crawler metadump all", "lru_crawler mgdump all"] {
        talk.pending_max = 0;
        let yields = talk.yields;
        let dump = talk.ask(format!("{command}\r\nversion\r\n").as_bytes());
        let mut lines: Vec<_> = dump.lines().collect();
        assert_eq!(lines.len(), 50_003, "{command}");
        assert!(dump.starts_with("OK\r\n") && dump.ends_with("\r\nVERSION 1.6.45\r\n"));
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 50_003, "each item once");
        // A piece at a time, and others may be served.
        assert!(talk.pending_max < 16 << 10, "{}", talk.pending_max);
        let turns = talk.yields - yields;
        assert!((1_500..2_600).contains(&turns), "{turns}");
    }
}

#[test]
fn a_class_is_shown_up_to_two_mebibytes_of_it() {
    let mut talk = filled(100_000);
    let class = talk.ask(b"me k0000001\r\n");
    let class = class.split("cls=").nth(1).unwrap();
    let class = class.split(' ').next().unwrap();
    talk.pending_max = 0;
    let dump = talk.ask(format!("stats cachedump {class} 0\r\n").as_bytes());
    assert!(talk.pending_max < 20 << 10, "{}", talk.pending_max);
    let line_len = "ITEM k0000001 [1 b; 0 s]\r\n".len();
    let lines = (2 << 20) / line_len;
    assert!(dump.len() <= 2 << 20 && dump.lines().count() >= lines);
    assert!(dump.ends_with("s]\r\nEND\r\n"));
    let few = talk.ask(format!("stats cachedump {class} 7\r\n").as_bytes());
    assert_eq!(few.lines().count(), 8);
    // A hundred lines leave together, with their end.
    talk.pending_max = 0;
    let some = talk.ask(format!("stats cachedump {class} 100\r\n").as_bytes());
    assert_eq!((some.lines().count(), some.len()), (101, talk.pending_max));
}

#[test]
fn all_sizes_are_counted_and_told_piece_by_piece() {
    let mut talk = Talk::new(settings());
    for len in (0..6_000).step_by(16) {
        let value = "v".repeat(len);
        talk.ask(format!("set k{len} 0 0 {len}\r\n{value}\r\n").as_bytes());
    }
    let report = talk.ask(b"stats sizes\r\nversion\r\n");
    assert!(report.ends_with("END\r\nVERSION 1.6.45\r\n"));
    let lines = report.lines().filter_map(|line| line.strip_prefix("STAT "));
    let (mut before, mut items) = (0, 0);
    for line in lines {
        let (size, count) = line.split_once(' ').unwrap();
        let size: u32 = size.parse().unwrap();
        assert!(size > before && size.is_multiple_of(32), "{line}");
        before = size;
        items += count.parse::<u32>().unwrap();
    }
    assert_eq!((items, before), (375, 6_016));
}
