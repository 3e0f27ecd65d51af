//! What a session promises beyond single replies: bounds, fairness, order, cleaning up.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Talk, settings};
use nuthatch::base::settings::Settings;
use nuthatch::session::{INPUT_MAX, OUTPUT_MAX, Progress};

/// A store with a value of `len` bytes under `key`.
fn with_value(key: &str, len: usize) -> Talk {
    let mut talk = Talk::new(settings());
    let mut command = format!("set {key} 0 0 {len}\r\n").into_bytes();
    command.resize(command.len() + len, b'v');
    command.extend_from_slice(b"\r\n");
    assert_eq!(talk.ask(&command), "STORED\r\n");
    talk
}

#[test]
fn an_endless_line_of_keys_is_answered_with_bounded_memory() {
    let mut talk = with_value("k", 1000);
    let line = [b"get".to_vec(), b" k".repeat(70_000), b"\r\n".to_vec()].concat();
    let answer = talk.ask(&line);
    assert_eq!(answer.matches("VALUE k 0 1000\r\n").count(), 70_000);
    assert!(answer.ends_with("END\r\n"));
    assert!(talk.pending_max < OUTPUT_MAX + 2000);
}

#[test]
fn a_long_key_late_in_an_endless_line_is_told_there_and_ends_it() {
    let mut talk = with_value("k", 1);
    let long = [b' ']
        .iter()
        .chain(&[b'x'; 251])
        .copied()
        .collect::<Vec<u8>>();
    let keys = b" k".repeat(40_000);
    let line = [b"get", &keys[..], &long, b" k k\r\nversion\r\n"].concat();
    for size in [line.len(), 60_000, 977] {
        let answer: String = line.chunks(size).map(|chunk| talk.ask(chunk)).collect();
        assert_eq!(answer.matches("VALUE").count(), 40_000, "chunks of {size}");
        let end = "CLIENT_ERROR bad command line format\r\nVERSION 1.6.45\r\n";
        assert!(answer.ends_with(end) && !answer.contains("END"));
    }
}

#[test]
fn an_endless_line_without_a_key_is_an_error_at_its_end() {
    let mut talk = Talk::new(settings());
    let line = [b"get".to_vec(), vec![b' '; 200_000]].concat();
    assert_eq!(talk.ask(&line), "");
    assert_eq!(
        talk.ask(b"\r\n"),
        "CLIENT_ERROR bad command line format\r\n"
    );
    assert_eq!(talk.ask(b"version\r\n"), "VERSION 1.6.45\r\n");
}

#[test]
fn gat_keeps_its_expiry_through_an_endless_line() {
    let mut talk = with_value("k", 1);
    let line = [b"gat 5".to_vec(), b" x".repeat(50_000), b" k\r\n".to_vec()].concat();
    assert!(line.len() > INPUT_MAX);
    assert_eq!(talk.ask(&line), "VALUE k 0 1\r\nv\r\nEND\r\n");
    talk.now = talk.now.plus_seconds(6);
    assert_eq!(talk.ask(b"get k\r\n"), "END\r\n");
}

#[test]
fn pipelined_large_values_stop_at_the_mark_and_come_in_order() {
    let mut talk = with_value("k", 100_000);
    let answer = talk.ask(&b"get k\r\n".repeat(50));
    assert_eq!(
        answer.len(),
        50 * ("VALUE k 0 100000\r\n".len() + 100_000 + 2 + 5)
    );
    assert!(talk.pending_max <= OUTPUT_MAX + 101_000);
}

//= conn.turns
#[test]
fn a_turn_is_as_many_commands_as_the_operator_says() {
    let mut talk = Talk::new(Settings {
        requests_per_event: 5,
        ..settings()
    });
    talk.send(&b"version\r\n".repeat(5));
    assert_eq!(talk.yields, 0);
    talk.send(&b"version\r\n".repeat(11));
    assert_eq!(talk.yields, 2);
    talk.send(&b"get k\r\n".repeat(11));
    assert_eq!(talk.yields, 4);
    talk.send(&b"get a b c d e f g h\r\n".repeat(5));
    assert_eq!(talk.yields, 4);
    talk.send(b"version\r\nversion\r\nversion\r\nversion\r\nversion\r\nversi");
    assert_eq!(talk.yields, 4);
}

//= value.refused-when
#[test]
fn a_refused_value_is_told_before_it_comes() {
    let mut talk = Talk::new(settings());
    let answer = talk.ask(b"set k 0 0 2000000\r\n");
    assert_eq!(answer, "SERVER_ERROR object too large for cache\r\n");
    assert_eq!(talk.state_name(), "conn_swallow");
    assert_eq!(talk.ask(&[b'v'; 2_000_000]), "");
    assert_eq!(talk.ask(b"\r\nversion\r\n"), "VERSION 1.6.45\r\n");
}

//= value.old-until-new
#[test]
fn an_old_value_is_read_until_the_new_one_is_complete() {
    let mut talk = with_value("k", 1);
    talk.send(b"set k 0 0 10\r\nhalf ");
    assert_eq!(talk.state_name(), "conn_nread");
    talk.reconnect();
    assert_eq!(talk.ask(b"get k\r\n"), "VALUE k 0 1\r\nv\r\nEND\r\n");
}

#[test]
fn values_that_are_announced_and_never_sent_leave_nothing_behind() {
    let mut talk = Talk::new(settings());
    for _ in 0..1000 {
        talk.send(b"set k 0 0 1000000\r\nabc");
        talk.reconnect();
    }
    assert_eq!(talk.stat("curr_items"), 0);
    assert_eq!(talk.stat("store_no_memory"), 0);
    assert_eq!(talk.ask(b"set k 0 0 1\r\nv\r\n"), "STORED\r\n");
}

#[test]
fn hits_are_counted_with_the_class_of_the_item() {
    let mut talk = with_value("k", 100);
    talk.ask(b"get k\r\nget k\r\ngat 0 k\r\n");
    let slabs = talk.ask(b"stats slabs\r\n");
    assert!(slabs.contains(":get_hits 2\r\n"), "{slabs}");
    assert!(slabs.contains(":cmd_set 1\r\n") && slabs.contains(":touch_hits 1\r\n"));
    let items = talk.ask(b"stats items\r\n");
    assert!(items.contains(":number 1\r\n"), "{items}");
    talk.ask(b"stats reset\r\n");
    assert!(talk.ask(b"stats slabs\r\n").contains(":get_hits 0\r\n"));
}

#[test]
fn nothing_is_run_behind_quit() {
    let mut talk = Talk::new(settings());
    assert_eq!(
        talk.ask(b"version\r\nquit\r\nversion\r\n"),
        "VERSION 1.6.45\r\n"
    );
    assert_eq!(talk.ended, Some(Progress::Quit));
}

#[test]
fn the_settings_name_who_is_really_speaking() {
    let mut talk = Talk::new(settings());
    assert!(
        talk.ask(b"stats settings\r\n")
            .contains("STAT server nuthatch-")
    );
}

#[test]
fn a_line_of_many_keys_gives_way_to_others() {
    const KEYS: usize = 160_000;
    let mut talk = Talk::new(settings());
    let line = [b"get".to_vec(), b" k".repeat(KEYS), b"\r\n".to_vec()].concat();
    assert_eq!(talk.ask(&line), "END\r\n");
    // A turn is 20 commands, and each 16 keys are one.
    let turns = u32::try_from(KEYS / (20 * 16)).unwrap();
    assert!(
        (turns..turns + 20).contains(&talk.yields),
        "{}",
        talk.yields
    );
    let before = talk.yields;
    let line = [b"get".to_vec(), b" k".repeat(100), b"\r\n".to_vec()].concat();
    assert_eq!(talk.ask(&line.repeat(1_000)).len(), 5_000);
    let turns = talk.yields - before;
    assert!(
        (300..400).contains(&turns),
        "{turns} turns of 7,000 commands"
    );
}
