//! What attackers sent to memcached and its kind over the years, each with the one right answer.
//!
//! A case is bytes and an outcome. Every case is played whole and in pieces, and afterwards the
//! conversation must be in step: where the connection lives, the next command is answered as if
//! nothing had been; where it does not, another one is, and what was stored before is still there.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Talk, settings};
use nuthatch::base::credentials::Credentials;
use nuthatch::base::settings::Settings;
use nuthatch::session::{OUTPUT_MAX, Progress};

/// What the answer to a case must be.
enum Answer {
    /// These bytes, and the connection lives.
    Line(&'static str),
    /// These bytes, then the end.
    LineThenClose(&'static str),
    /// Packets of these statuses, and the connection lives.
    Status(&'static [u8]),
    /// Packets of these statuses, then the end.
    StatusThenClose(&'static [u8]),
}

use Answer::{Line, LineThenClose, Status, StatusThenClose};

/// Who may speak.
#[derive(Clone, Copy)]
enum Door {
    Open,
    Login,
    NoDump,
}

struct Case {
    what: &'static str,
    door: Door,
    sent: Vec<u8>,
    answer: Answer,
}

fn case(what: &'static str, sent: impl Into<Vec<u8>>, answer: Answer) -> Case {
    Case {
        what,
        door: Door::Open,
        sent: sent.into(),
        answer,
    }
}

fn behind(door: Door, case: Case) -> Case {
    Case { door, ..case }
}

fn talk(door: Door) -> Talk {
    let mut settings = settings();
    match door {
        Door::Open => {}
        Door::Login => settings.auth_file = Some("/users".into()),
        Door::NoDump => settings.dump_enabled = false,
    }
    let talk = Talk::new(settings);
    let users = Credentials::parse(b"ann:pw").unwrap();
    talk.shared.logins.replace(users);
    talk
}

/// A header with the lengths it claims, and whatever follows it.
fn packet(opcode: u8, (key_len, extras_len, body_len): (u16, u8, u32), body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, opcode];
    packet.extend_from_slice(&key_len.to_be_bytes());
    packet.extend_from_slice(&[extras_len, 0, 0, 0]);
    packet.extend_from_slice(&body_len.to_be_bytes());
    packet.resize(24, 0);
    packet.extend_from_slice(body);
    packet
}

/// A well-formed packet.
fn request(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = [extras, key, value].concat();
    let lens = (key.len() as u16, extras.len() as u8, body.len() as u32);
    packet(opcode, lens, &body)
}

fn statuses(mut reply: &[u8]) -> Vec<u8> {
    let mut statuses = vec![];
    while !reply.is_empty() {
        assert_eq!((reply[0], reply[6]), (0x81, 0), "a packet");
        let body_len = u32::from_be_bytes(*reply[8..].first_chunk().unwrap());
        statuses.push(reply[7]);
        reply = &reply[24 + body_len as usize..];
    }
    statuses
}

fn play(case: &Case, piece_len: usize) {
    let what = format!("{}, in pieces of {piece_len}", case.what);
    let mut talk = talk(case.door);
    if matches!(case.door, Door::Open) {
        assert_eq!(talk.ask(b"set kept 0 0 2\r\nok\r\n"), "STORED\r\n");
        talk.reconnect();
    }
    for piece in case.sent.chunks(piece_len) {
        talk.send(piece);
    }
    let reply = std::mem::take(&mut talk.reply);
    let (closes, binary) = match case.answer {
        Line(line) | LineThenClose(line) => {
            assert_eq!(
                reply.escape_ascii().to_string(),
                line.as_bytes().escape_ascii().to_string(),
                "{what}"
            );
            (matches!(case.answer, LineThenClose(_)), false)
        }
        Status(expected) | StatusThenClose(expected) => {
            assert_eq!(statuses(&reply), expected, "{what}");
            (matches!(case.answer, StatusThenClose(_)), true)
        }
    };
    let closed = matches!(talk.ended, Some(Progress::Close | Progress::Quit));
    assert_eq!(closed, closes, "{what}: {:?}", talk.ended);
    if closes {
        talk.reconnect();
    } else if binary {
        // A version packet: the one request that is answered before a login, too.
        talk.send(&request(0x0b, b"", b"", b""));
        assert_eq!(statuses(&std::mem::take(&mut talk.reply)), [0], "{what}");
        talk.reconnect();
    }
    if matches!(case.door, Door::Open) {
        assert_eq!(
            talk.ask(b"get kept\r\n"),
            "VALUE kept 0 2\r\nok\r\nEND\r\n",
            "{what}"
        );
    } else if matches!(case.door, Door::Login) {
        assert_eq!(
            talk.ask(b"set a 0 0 6\r\nann pw\r\n"),
            "STORED\r\n",
            "{what}"
        );
    }
}

fn play_all(cases: impl IntoIterator<Item = Case>) {
    for case in cases {
        play(&case, case.sent.len());
        play(&case, 1 + case.sent.len() / 3_000);
    }
}

const ERROR: Answer = Line("ERROR\r\n");
const BAD_FORMAT: Answer = Line("CLIENT_ERROR bad command line format\r\n");
const CLOSE: Answer = LineThenClose("");

#[test]
fn lines_that_once_read_or_told_too_much() {
    play_all([
        case("addresses in statistics", "stats maps\r\n", ERROR),
        case("addresses in statistics", "stats malloc\r\n", ERROR),
        case("no newline", vec![b'x'; 1 << 20], CLOSE),
        case(
            "no newline behind a verb",
            [b"set ".to_vec(), vec![b'x'; 5000]].concat(),
            CLOSE,
        ),
        case("NULs", vec![0; 5000], CLOSE),
        case("NULs and a newline", "\0\0\0\0\r\n", ERROR),
        case("NULs in a key", "get a\0b\r\n", Line("END\r\n")),
        case("spaces without end", vec![b' '; 65_535], CLOSE),
        case("a line of spaces", "     \r\n", ERROR),
        case(
            "spaces before an end",
            [b"get".to_vec(), vec![b' '; 65_535], b"\r\n".to_vec()].concat(),
            BAD_FORMAT,
        ),
        case(
            "a newline alone ends a line",
            "get none\nget none\n",
            Line("END\r\nEND\r\n"),
        ),
        case(
            "a thousand tokens",
            format!("stats {}\r\n", "a ".repeat(1000)),
            ERROR,
        ),
        case(
            "lru without an argument",
            "lru mode\r\nlru temp_ttl\r\n",
            Line("ERROR\r\nERROR\r\n"),
        ),
        case(
            "classes that do not exist",
            "slabs reassign 31 64\r\nslabs reassign 64 1\r\n",
            Line(
                "BADCLASS invalid src or dst class id\r\n\
                  BADCLASS invalid src or dst class id\r\n",
            ),
        ),
        case(
            "a window of nothing",
            "slabs automove window 0\r\n",
            Line("CLIENT_ERROR automove window too low or too high\r\n"),
        ),
    ]);
}

#[test]
fn lengths_that_once_became_negative() {
    play_all([
        case("a negative length", "set k 0 0 -1\r\n", BAD_FORMAT),
        case("a length near 2^32", "set k 0 0 4294967295\r\n", BAD_FORMAT),
        case(
            "a length of 2^64",
            "set k 0 0 18446744073709551616\r\n",
            BAD_FORMAT,
        ),
        case("a negative length", "ms k -1\r\n", BAD_FORMAT),
        case("a length near 2^32", "ms k 4294967295\r\n", BAD_FORMAT),
        case(
            "a length of 2^64",
            "ms k 18446744073709551616\r\n",
            BAD_FORMAT,
        ),
        case(
            "counting in an empty value",
            "set k 0 0 0\r\n\r\nincr k 1\r\n",
            Line("STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
        ),
        case(
            "a number that got shorter",
            "set k 0 0 3\r\n100\r\ndecr k 1\r\nget k\r\n",
            Line("STORED\r\n99\r\nVALUE k 0 2\r\n99\r\nEND\r\n"),
        ),
        case(
            "a large value without its end",
            [b"set k 0 0 600000\r\n".to_vec(), vec![b'x'; 600_002]].concat(),
            Line("CLIENT_ERROR bad data chunk\r\n"),
        ),
    ]);
}

#[test]
fn meta_flags_that_once_were_read_past_their_end() {
    for command in ["mg k", "md k", "ms k 2", "ma k"] {
        for letter in "TNRCEFDJ".chars() {
            let mut talk = talk(Door::Open);
            let value = if command.starts_with("ms") {
                "hi\r\n"
            } else {
                ""
            };
            let reply = talk.ask(format!("{command} {letter}\r\n{value}mn\r\n").as_bytes());
            assert!(
                reply.starts_with("CLIENT_ERROR "),
                "{command} {letter}: {reply}"
            );
            assert!(reply.ends_with("\r\nMN\r\n"), "{command} {letter}: {reply}");
            assert_eq!(reply.lines().count(), 2);
        }
    }
    let opaque = "o".repeat(33);
    play_all([
        case("no argument", "mg k F\r\n", BAD_FORMAT),
        case(
            "no such flag",
            "mg k S\r\n",
            Line("CLIENT_ERROR invalid flag\r\n"),
        ),
        case(
            "a long opaque on a hot key",
            format!("mg kept O{opaque}\r\n").repeat(100),
            Line(Box::leak(
                "CLIENT_ERROR opaque token too long\r\n"
                    .repeat(100)
                    .into_boxed_str(),
            )),
        ),
        case(
            "a long opaque and a value",
            format!("ms k 7 O{opaque}\r\nversion\r\n"),
            Line("CLIENT_ERROR opaque token too long\r\n"),
        ),
        case(
            "a key that is no base64",
            "mg !!!! b\r\n",
            Line("CLIENT_ERROR error decoding key\r\n"),
        ),
    ]);
}

#[test]
fn packets_whose_lengths_contradict_each_other() {
    const UNKNOWN: Answer = StatusThenClose(&[0x81]);
    const INVALID: Answer = StatusThenClose(&[0x04]);
    let stuff = [b'k'; 600];
    let mut cases = vec![];
    for opcode in [0x0e, 0x0f, 0x19, 0x1a] {
        cases.push(case(
            "a body of -24",
            packet(opcode, (1, 0, 0xffff_ffe8), &stuff),
            INVALID,
        ));
        for body_len in [0, 1, 100, 249] {
            let sent = packet(opcode, (250, 0, body_len), &stuff);
            cases.push(case("a key longer than the body", sent, UNKNOWN));
        }
    }
    for opcode in [0x01, 0x02, 0x03, 0x11, 0x12, 0x13] {
        cases.push(case(
            "a body of -24",
            packet(opcode, (1, 8, 0xffff_ffe8), &stuff),
            INVALID,
        ));
        cases.push(case(
            "a body of -48",
            packet(opcode, (250, 8, 0xffff_ffd0), &stuff),
            INVALID,
        ));
        for body_len in [0, 8, 250, 257] {
            let sent = packet(opcode, (250, 8, body_len), &stuff);
            cases.push(case("key and extras longer than the body", sent, UNKNOWN));
        }
    }
    for extras_len in [0x30, 0xff] {
        for opcode in [0x00, 0x09, 0x0c, 0x0d] {
            let sent = packet(opcode, (1, extras_len, 1 + u32::from(extras_len)), &stuff);
            cases.push(case("a get with extras", sent, INVALID));
        }
    }
    for opcode in [0x00, 0x01, 0x04, 0x05, 0x08, 0x10, 0x1c, 0x21] {
        let sent = packet(opcode, (0, 0, 0x8000_0001), &stuff);
        cases.push(case("a body over 2^31", sent, INVALID));
    }
    cases.push(case(
        "a key of 251 bytes",
        packet(0x00, (251, 0, 251), &stuff),
        INVALID,
    ));
    cases.push(case(
        "a login with a short body, where there is none",
        packet(0x21, (32, 0, 1), &stuff),
        UNKNOWN,
    ));
    cases.push(case(
        "no such opcode",
        packet(0x77, (3, 5, 600), &stuff),
        Status(&[0x81]),
    ));
    cases.push(case(
        "a login where there is none",
        request(0x21, b"", b"PLAIN", b"\0ann\0pw"),
        Status(&[0x81]),
    ));
    cases.push(case(
        "another magic in step",
        [request(0x0a, b"", b"", b""), b"get kept\r\n".to_vec()].concat(),
        StatusThenClose(&[0]),
    ));
    cases.push(case(
        "extras and key only",
        request(0x01, &[0; 8], &[b'k'; 250], b""),
        Status(&[0]),
    ));
    play_all(cases);
}

#[test]
fn doors_that_once_stood_open() {
    const UNAUTHENTICATED: Answer = Line("CLIENT_ERROR unauthenticated\r\n");
    const TOO_LONG: Answer = Line("CLIENT_ERROR auth token too long\r\n");
    let login = |password: &[u8]| request(0x21, b"", b"PLAIN", &[b"\0ann\0", password].concat());
    let get = || request(0x00, b"", b"k", b"");
    let megabyte = [b"set a 0 0 1000000\r\n".to_vec(), vec![b'x'; 1_000_002]].concat();
    let cases = [
        case("a get", "get k\r\n", UNAUTHENTICATED),
        case("a meta get", "mg k v\r\n", UNAUTHENTICATED),
        case("a token of a megabyte", megabyte, TOO_LONG),
        case("many empty lines", "\n".repeat(3000), CLOSE),
        case("no newline", vec![b's'; 3000], CLOSE),
        case("a packet", get(), StatusThenClose(&[0x20])),
        case(
            "statistics",
            request(0x10, b"", b"", b""),
            StatusThenClose(&[0x20]),
        ),
        case(
            "no such opcode",
            request(0x77, b"", b"", b""),
            StatusThenClose(&[0x20]),
        ),
        case(
            "a get behind a failed login",
            [login(b"x"), get()].concat(),
            StatusThenClose(&[0x20, 0x20]),
        ),
        case(
            "a get behind a success undone",
            [login(b"pw"), login(b"x"), get()].concat(),
            StatusThenClose(&[0, 0x20, 0x20]),
        ),
        case(
            "a get behind a login",
            [login(b"pw"), get()].concat(),
            Status(&[0, 1]),
        ),
        case(
            "a step without a start",
            request(0x22, b"", b"PLAIN", b"\0ann\0pw"),
            Status(&[0x20]),
        ),
        case(
            "a step longer than its start",
            [
                request(0x21, b"", b"PLAIN", b""),
                request(0x22, b"", b"PLAIN", &[b'x'; 16_000]),
            ]
            .concat(),
            StatusThenClose(&[0x21, 0x04]),
        ),
        case(
            "a mechanism longer than the body",
            packet(0x21, (32, 0, 1), b"x"),
            StatusThenClose(&[0x81]),
        ),
        case(
            "a mechanism with a long name",
            request(0x21, b"", &[b'M'; 33], b""),
            Status(&[0x04]),
        ),
    ];
    play_all(cases.map(|case| behind(Door::Login, case)));
    let mut talk = talk(Door::Login);
    talk.ask(b"set foo 0 0 2147483645\r\n");
    assert_eq!(talk.state_name(), "conn_swallow", "without memory for it");
    let dump = case(
        "a forbidden dump",
        request(0x10, b"", b"detail dump", b""),
        Status(&[0x20]),
    );
    play_all([behind(Door::NoDump, dump)]);
}

#[test]
fn one_key_tens_of_thousands_of_times() {
    const COUNT: usize = 70_000;
    let mut talk = talk(Door::Open);
    assert_eq!(talk.ask(b"set k 0 0 3\r\nabc\r\n"), "STORED\r\n");
    let line = [b"get".to_vec(), b" k".repeat(COUNT), b"\r\n".to_vec()].concat();
    let reply = talk.ask(&line);
    assert_eq!(reply.matches("VALUE k 0 3\r\nabc\r\n").count(), COUNT);
    talk.reconnect();
    let touching_get = request(0x1d, &[0; 4], b"k", b"");
    talk.send(&touching_get.repeat(COUNT));
    assert_eq!(statuses(&std::mem::take(&mut talk.reply)).len(), COUNT);
    talk.reconnect();
    // Values that are referred to until they have been sent.
    let value = [
        b"set k 0 0 20000\r\n".to_vec(),
        vec![b'v'; 20_000],
        b"\r\n".to_vec(),
    ]
    .concat();
    assert_eq!(talk.ask(&value), "STORED\r\n");
    talk.reconnect();
    talk.send(&touching_get.repeat(3000));
    let replies = statuses(&std::mem::take(&mut talk.reply));
    assert_eq!((replies.len(), replies.iter().max()), (3000, Some(&0)));
    assert!(talk.pending_max < OUTPUT_MAX + 25_000);
    talk.reconnect();
    assert_eq!(talk.ask(b"delete k\r\nget k\r\n"), "DELETED\r\nEND\r\n");
    assert_eq!(talk.stat("curr_items"), 0);
}

#[test]
fn nobody_answers_datagrams_unless_asked_to() {
    assert_eq!(Settings::default().udp_port, None);
}
