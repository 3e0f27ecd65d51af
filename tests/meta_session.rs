//! Meta commands in conversation with a store: lines in, replies out.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Talk, settings};
use nuthatch::store::COPY_MAX;

/// Each line, an `ms` with its value after the first line end, and its reply.
fn run(talk: &mut Talk, script: &[(&str, &str)]) {
    for (sent, reply) in script {
        assert_eq!(talk.ask(format!("{sent}\r\n").as_bytes()), *reply, "{sent}");
    }
}

fn run_anew(script: &[(&str, &str)]) {
    run(&mut Talk::new(settings()), script);
}

fn say(talk: &mut Talk, line: &str, value: &[u8]) -> String {
    talk.ask(&[line.as_bytes(), b"\r\n", value, b"\r\n"].concat())
}

#[test]
fn what_is_refused_has_neither_fetched_nor_a_cas_id() {
    run_anew(&[
        ("ms k 1\r\n1", "HD\r\n"),
        ("ms k 1 ME c\r\n2", "NS c0\r\n"),
        ("ms k 1 C99 c\r\n2", "EX c0\r\n"),
        ("ms k 1 C99 MA c\r\n2", "EX c0\r\n"),
        ("mg k h", "HD h0\r\n"),
    ]);
}

#[test]
fn what_is_empty_is_no_number_whatever_its_cas_id() {
    run_anew(&[
        ("ms k 1\r\nx", "HD\r\n"),
        ("ma k C99", "EX\r\n"),
        ("ms k 0\r\n", "HD\r\n"),
        (
            "ma k C99",
            "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        ),
    ]);
}

#[test]
fn a_number_is_unfetched_when_it_has_changed() {
    run_anew(&[
        ("ms n 1\r\n1", "HD\r\n"),
        ("mg n h", "HD h0\r\n"),
        ("ma n", "HD\r\n"),
        ("mg n h", "HD h0\r\n"),
        ("mg n h", "HD h1\r\n"),
        ("ma n D9", "HD\r\n"), // longer: it moves
        ("mg n h", "HD h0\r\n"),
    ]);
}

#[test]
fn flags_come_back_in_request_order() {
    run_anew(&[
        (
            "ms foo 2 c E9 Oq1 k s T30 F5\r\nhi",
            "HD c9 Oq1 kfoo s2\r\n",
        ),
        (
            "mg foo k O1 s f c t v",
            "VA 2 kfoo O1 s2 f5 c9 t30\r\nhi\r\n",
        ),
        ("mg foo t T90", "HD t30\r\n"),
        ("mg foo T60 t", "HD t60\r\n"),
        ("mg foo C9 v", "HD\r\n"),
        ("mg foo C8 v", "VA 2\r\nhi\r\n"),
        ("mg nope O1 k s v", "EN O1 knope\r\n"),
        ("mg nope O1 q", ""),
        ("mn", "MN\r\n"),
    ]);
}

#[test]
fn one_client_wins_the_right_to_recache() {
    run_anew(&[
        ("mg k s v N30 t E7 c", "VA 0 s0 t30 c7 W\r\n\r\n"),
        ("mg k N30", "HD Z\r\n"),
        ("ms k 1 T30 E8\r\na", "HD\r\n"),
        ("mg k R10", "HD\r\n"),
        ("mg k R40", "HD W\r\n"),
        ("mg k R40", "HD Z\r\n"),
        ("md k I E12 T20 q", ""),
        ("mg k t c v", "VA 1 t20 c12 X W\r\na\r\n"),
        ("mg k", "HD Z X\r\n"),
        ("ms k 1 I C11 E13\r\nb", "HD\r\n"),
        ("mg k v t", "VA 1 t20 Z X\r\nb\r\n"),
        ("ms k 1 I C99\r\nc", "EX\r\n"),
        ("ms k 1 I C0\r\nc", "EX\r\n"),
    ]);
}

#[test]
fn set_modes_have_their_answers() {
    run_anew(&[
        ("ms k 1 MR\r\na", "NS\r\n"),
        ("ms k 1 MA\r\na", "NS\r\n"),
        ("ms k 1 C5\r\na", "NF\r\n"),
        ("ms k 1 MA N0 E3 c s\r\na", "HD c3 s1\r\n"),
        ("ms k 1 ME\r\nx", "NS\r\n"),
        ("ms k 1 MA C4\r\nx", "EX\r\n"),
        ("ms k 1 MA C0 E5 s\r\nb", "HD s2\r\n"),
        ("ms k 1 MP q\r\n0", ""),
        ("ms k 1 C0 k\r\nx", "EX kk\r\n"),
        ("mg k v", "VA 3\r\n0ab\r\n"),
    ]);
}

#[test]
fn counting_creates_touches_and_compares() {
    run_anew(&[
        ("ma n", "NF\r\n"),
        ("ma n N0 J13 v t c E4", "VA 2 t-1 c4\r\n13\r\n"),
        ("ma n v D88 T60 t k", "VA 3 t60 kn\r\n101\r\n"),
        ("ma n MD D200 v", "VA 1\r\n0\r\n"),
        ("ma n q v", ""),
        ("ma n C77 E1 q O9", "EX O9\r\n"),
        ("ms s 1\r\nx", "HD\r\n"),
        (
            "ma s q",
            "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
        ),
    ]);
}

#[test]
fn a_delete_may_leave_something_behind() {
    run_anew(&[
        ("md k q", "NF\r\n"),
        ("ms k 2 E5 F9 T40\r\nhi", "HD\r\n"),
        ("md k C4 q Oa", "EX Oa\r\n"),
        ("md k x", "HD\r\n"),
        ("mg k v f t c", "VA 0 f0 t-1 c5\r\n\r\n"),
        ("md k C5 k q", ""),
        ("mg k", "EN\r\n"),
    ]);
}

#[test]
fn a_binary_key_is_never_echoed_raw() {
    let mut talk = Talk::new(settings());
    // a CR LF b, and foo
    run(
        &mut talk,
        &[
            ("mg YQ0KYg== b k N30", "HD kYQ0KYg== b W\r\n"),
            ("mg YQ0KYg== b k v", "VA 0 kYQ0KYg== b Z\r\n\r\n"),
            ("md YQ0KYg== k b", "HD kYQ0KYg== b\r\n"),
            ("mg YQ0KYg== b k", "EN kYQ0KYg== b\r\n"),
            ("ms Zm9v 1 b k\r\n1", "HD kZm9v b\r\n"),
            ("mg foo k", "HD kZm9v b\r\n"),
            ("ma Zm9v b D99 v k", "VA 3 kZm9v b\r\n100\r\n"),
            ("mg foo k", "HD kZm9v b\r\n"),
        ],
    );
    for line in ["me Zm9v b\r\n", "me foo\r\n"] {
        let facts = talk.ask(line.as_bytes());
        assert!(facts.starts_with("ME Zm9v b exp=-1 la=0 cas="), "{facts}");
    }
    assert_eq!(talk.ask(b"me Zm9v\r\n"), "EN\r\n");
}

#[test]
fn what_cannot_be_stored_leaves_no_old_value() {
    let mut talk = Talk::new(settings());
    let value = vec![b'x'; 2 << 20];
    assert_eq!(say(&mut talk, "ms k 1", b"a"), "HD\r\n");
    let line = format!("ms k {} q", value.len());
    assert_eq!(
        say(&mut talk, &line, &value),
        "SERVER_ERROR object too large for cache\r\n"
    );
    assert_eq!(talk.ask(b"mg k v\r\n"), "EN\r\n");
    assert_eq!(talk.shared.counters[0].store_too_large.get(), 1);
}

#[test]
fn a_large_value_is_followed_by_its_line_end() {
    let mut talk = Talk::new(settings());
    let value = "v".repeat(COPY_MAX as usize + 1);
    assert_eq!(
        say(
            &mut talk,
            &format!("ms k {}", value.len()),
            value.as_bytes()
        ),
        "HD\r\n"
    );
    let reply = format!("VA {}\r\n{value}\r\n", value.len());
    assert_eq!(talk.ask(b"mg k v q\r\n"), reply);
}

#[test]
fn a_refused_line_takes_its_value_along() {
    run_anew(&[
        (
            "ms k 9 ~\r\nversion\r\n",
            "CLIENT_ERROR bad command line format\r\n",
        ),
        ("mn", "MN\r\n"),
        (
            "ms k 2 c q\r\nabcd",
            "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n",
        ),
    ]);
}

#[test]
fn each_command_moves_its_counters() {
    let mut talk = Talk::new(settings());
    run(
        &mut talk,
        &[
            ("mg k v", "EN\r\n"),
            ("mg k T5", "EN\r\n"),
            ("mg n N30 t", "HD t30 W\r\n"),
            ("ms k 1 T90\r\n5", "HD\r\n"),
            ("mg k", "HD\r\n"),
            ("mg k T5", "HD\r\n"),
            ("ms k 1 C1\r\n5", "EX\r\n"),
            ("ms none 1 C1\r\n5", "NF\r\n"),
            ("ma k", "HD\r\n"),
            ("ma k MD", "HD\r\n"),
            ("ma none", "NF\r\n"),
            ("ma none MD", "NF\r\n"),
            ("ma made N0", "HD\r\n"),
            ("md k C1", "EX\r\n"),
            ("md k I", "HD\r\n"),
            ("md k", "HD\r\n"),
            ("md k", "NF\r\n"),
            ("me k", "EN\r\n"),
            ("mn", "MN\r\n"),
        ],
    );
    for (name, value) in [
        ("cmd_get", 4),
        ("get_hits", 1),
        ("get_misses", 3),
        ("cmd_touch", 1),
        ("touch_hits", 1),
        ("cmd_set", 3),
        ("cas_badval", 1),
        ("cas_misses", 1),
        ("incr_hits", 1),
        ("decr_hits", 1),
        ("incr_misses", 1),
        ("decr_misses", 1),
        ("delete_hits", 1),
        ("delete_misses", 2),
        ("cmd_meta", 1),
    ] {
        assert_eq!(talk.stat(name), value, "{name}");
    }
}

#[test]
fn a_turn_counts_meta_commands() {
    let mut talk = Talk::new(nuthatch::base::settings::Settings {
        requests_per_event: 5,
        ..settings()
    });
    talk.send(&b"mn\r\n".repeat(11));
    assert_eq!((talk.yields, talk.reply.len()), (2, 44));
}

#[test]
fn an_unfinished_value_remembers_its_flags() {
    let mut talk = Talk::new(settings());
    assert_eq!(talk.ask(b"ms k 4 k O7 s T90\r\nab"), "");
    assert_eq!(talk.state_name(), "conn_nread");
    assert_eq!(talk.ask(b"cd\r\n"), "HD kk O7 s4\r\n");
    assert_eq!(talk.ask(b"mg k t v\r\n"), "VA 4 t90\r\nabcd\r\n");
}
