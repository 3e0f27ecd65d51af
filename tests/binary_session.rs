//! Binary requests in conversation with a store: packets in, packets out.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::settings;
use nuthatch::base::credentials::Credentials;
use nuthatch::base::services::Services;
use nuthatch::base::settings::Settings;
use nuthatch::protocol::binary::{MAGIC_REQUEST, RequestHeader};
use nuthatch::session::Progress;

/// A conversation in packets.
struct Talk(common::Talk);

/// A reply taken apart: status, CAS, extras and key and value.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    cas: u64,
    body: Vec<u8>,
}

#[derive(Default)]
struct Ask<'a> {
    opcode: u8,
    extras: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
    cas: u64,
}

impl Ask<'_> {
    fn bytes(&self) -> Vec<u8> {
        let body = [self.extras, self.key, self.value].concat();
        let header = RequestHeader {
            magic: MAGIC_REQUEST,
            opcode: self.opcode,
            key_len: self.key.len() as u16,
            extras_len: self.extras.len() as u8,
            body_len: body.len() as u32,
            opaque: 0xfeed,
            cas: self.cas,
        };
        [&header.to_bytes()[..], &body].concat()
    }
}

fn answers(mut out: &[u8]) -> Vec<Answer> {
    let mut answers = vec![];
    while let Some(header) = RequestHeader::read(out) {
        assert_eq!((header.magic, header.opaque), (0x81, 0xfeed));
        let end = 24 + header.body_len as usize;
        let status = u16::from_be_bytes([out[6], out[7]]);
        answers.push(Answer {
            status,
            cas: header.cas,
            body: out[24..end].to_vec(),
        });
        out = &out[end..];
    }
    assert!(out.is_empty());
    answers
}

impl Talk {
    fn new(settings: Settings) -> Self {
        let talk = common::Talk::new(settings);
        let users = Credentials::parse(b"ann:pw").unwrap();
        talk.shared.logins.replace(users);
        Self(talk)
    }

    /// Sends one request; returns the answers and whether the connection lives. If not, there is
    /// another one to the same store afterwards.
    fn ask(&mut self, ask: &Ask<'_>) -> (Vec<Answer>, bool) {
        self.0.send(&ask.bytes());
        let alive = self.0.ended.is_none();
        if alive {
            assert_eq!(self.0.unused, b"", "the request was whole");
        } else {
            assert!(matches!(
                self.0.ended,
                Some(Progress::Close | Progress::Quit)
            ));
            self.0.reconnect();
        }
        (answers(&std::mem::take(&mut self.0.reply)), alive)
    }

    /// The one answer of a request after which the connection lives.
    fn one(&mut self, ask: &Ask<'_>) -> Answer {
        let (mut answers, alive) = self.ask(ask);
        assert!(alive && answers.len() == 1);
        answers.remove(0)
    }

    fn status(&mut self, ask: &Ask<'_>) -> u16 {
        self.one(ask).status
    }

    fn silent(&mut self, ask: &Ask<'_>) {
        assert_eq!(self.ask(ask), (vec![], true));
    }
}

const FLAGS_FOREVER: &[u8] = &[0, 0, 0, 7, 0, 0, 0, 0];

fn set(opcode: u8, value: &[u8], cas: u64) -> Ask<'_> {
    Ask {
        opcode,
        extras: FLAGS_FOREVER,
        key: b"k",
        value,
        cas,
    }
}

fn plain(opcode: u8) -> Ask<'static> {
    Ask {
        opcode,
        key: b"k",
        ..Ask::default()
    }
}

#[test]
fn a_value_comes_back_with_flags_and_cas() {
    let mut talk = Talk::new(settings());
    let stored = talk.one(&set(0x01, b"hello", 0));
    assert!(stored.cas != 0);
    let hit = talk.one(&plain(0x00));
    assert_eq!(
        hit,
        Answer {
            status: 0,
            cas: stored.cas,
            body: b"\0\0\0\x07hello".to_vec()
        }
    );
    assert_eq!(talk.one(&plain(0x0d)).body, b"\0\0\0\x07khello");
    let touched = Ask {
        extras: &[0; 4],
        ..plain(0x1c)
    };
    assert_eq!(talk.one(&touched).body, b"\0\0\0\x07");
}

#[test]
fn quiet_reads_hide_misses_and_quiet_writes_hide_success() {
    let mut talk = Talk::new(settings());
    talk.silent(&plain(0x09));
    assert_eq!(talk.one(&plain(0x00)).body, b"Not found");
    assert_eq!(talk.one(&plain(0x0c)).body, b"k");
    assert_eq!(talk.status(&set(0x13, b"v", 0)), 0x01);
    assert_eq!(
        talk.status(&Ask {
            value: b"v",
            ..plain(0x19)
        }),
        0x05
    );
    assert_eq!(talk.status(&plain(0x14)), 0x01);
    talk.silent(&set(0x11, b"v", 0));
    talk.silent(&Ask {
        value: b"w",
        ..plain(0x19)
    });
    assert_eq!(talk.one(&plain(0x09)).body, b"\0\0\0\x07vw");
    assert_eq!(talk.status(&set(0x12, b"v", 0)), 0x02);
    talk.silent(&plain(0x14));
    assert_eq!(
        talk.status(&Ask {
            opcode: 0x0a,
            ..Ask::default()
        }),
        0
    );
}

#[test]
fn a_cas_id_makes_every_store_a_comparison() {
    let mut talk = Talk::new(settings());
    assert_eq!(talk.status(&set(0x01, b"v", 5)), 0x01);
    assert_eq!(talk.status(&set(0x02, b"v", 5)), 0x01);
    let cas = talk.one(&set(0x01, b"v", 0)).cas;
    assert_eq!(
        talk.one(&set(0x01, b"w", cas + 1)),
        Answer {
            status: 2,
            cas: 0,
            body: b"Data exists for key.".to_vec(),
        }
    );
    assert_eq!(
        talk.status(&Ask {
            cas: cas + 1,
            ..plain(0x04)
        }),
        0x02
    );
    let next = talk.one(&set(0x02, b"w", cas)).cas;
    assert_eq!(
        talk.status(&Ask {
            cas: next,
            ..plain(0x04)
        }),
        0
    );
}

#[test]
fn a_counter_is_created_unless_its_exptime_forbids_it() {
    let mut talk = Talk::new(settings());
    let mut extras = [0_u8; 20];
    extras[7] = 5;
    extras[15] = 40;
    let forbids = [&extras[..16], &[0xff; 4]].concat();
    assert_eq!(
        talk.status(&Ask {
            extras: &forbids,
            ..plain(0x05)
        }),
        0x01
    );
    let count = |opcode| Ask {
        opcode,
        extras: &extras,
        key: b"k",
        ..Ask::default()
    };
    assert_eq!(talk.one(&count(0x05)).body, 40_u64.to_be_bytes());
    assert_eq!(talk.one(&count(0x05)).body, 45_u64.to_be_bytes());
    talk.silent(&count(0x16));
    assert_eq!(talk.one(&plain(0x00)).body, b"\0\0\0\x0040");
    talk.silent(&set(0x11, b"x", 0));
    assert_eq!(talk.status(&count(0x15)), 0x06);
}

#[test]
fn a_negative_exptime_is_dead_at_once() {
    let mut talk = Talk::new(settings());
    let extras = &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    let dead = Ask {
        extras,
        ..set(0x01, b"v", 0)
    };
    assert_eq!(talk.status(&dead), 0);
    assert_eq!(talk.status(&plain(0x00)), 0x01);
}

#[test]
fn three_wrong_passwords_end_a_connection_and_logins_between_do_not_help() {
    let mut talk = Talk::new(Settings {
        sasl: true,
        ..settings()
    });
    let login = |value| Ask {
        opcode: 0x21,
        key: b"PLAIN",
        value,
        ..Ask::default()
    };
    for value in [&b"\0ann\0no"[..], b"\0ann\0pw", b"\0ann\0no", b"\0ann\0pw"] {
        assert!(talk.ask(&login(value)).1);
    }
    let wrong = login(b"\0ann\0no");
    talk.0.send(&[wrong.bytes(), plain(0x0b).bytes()].concat());
    assert_eq!(talk.0.ended, Some(Progress::Barred { failures: 3 }));
}

#[test]
fn without_a_login_versions_are_not_asked_for_ever() {
    let mut talk = Talk::new(Settings {
        sasl: true,
        ..settings()
    });
    let version = Ask {
        opcode: 0x0b,
        ..Ask::default()
    };
    talk.0.send(&version.bytes().repeat(100));
    assert_eq!(talk.0.ended, Some(Progress::Close));
    assert_eq!(talk.0.reply.len(), 16 * (24 + "1.6.45".len()));
}

fn stat(group: &str) -> Ask<'_> {
    Ask {
        opcode: 0x10,
        key: group.as_bytes(),
        ..Ask::default()
    }
}

#[test]
fn every_request_with_a_key_is_counted_by_its_prefix() {
    let mut talk = Talk::new(settings());
    assert_eq!(talk.status(&stat("detail on")), 0);
    for (opcode, extras) in [
        (0x1c, &[0; 4][..]), // touch
        (0x05, &[0; 20]),    // increment
        (0x1c, &[0; 4]),
        (0x04, &[]), // delete
    ] {
        talk.ask(&Ask {
            opcode,
            extras,
            key: b"a:b",
            ..Ask::default()
        });
    }
    let (dump, _) = talk.ask(&stat("detail dump"));
    let counted = &dump[0].body;
    let line = b"PREFIX a get 2 hit 1 set 1 del 1\r\n";
    assert!(counted.windows(line.len()).any(|part| part == line));
}

#[test]
fn a_group_of_numbers_ends_with_an_empty_packet() {
    let mut talk = Talk::new(settings());
    for (group, first) in [("", "pid42"), ("settings", "maxbytes67108864")] {
        let (answers, alive) = talk.ask(&stat(group));
        assert_eq!(answers[0].body, first.as_bytes());
        assert_eq!(answers.last().unwrap().body, b"");
        assert!(alive && answers.len() > 50);
    }
    assert_eq!(talk.one(&stat("reset")).body, b"");
    assert_eq!(talk.one(&stat("items")).body, b"");
    for group in ["conns", "cachedump 1 0", "detail", "detail x", "item"] {
        assert_eq!(talk.status(&stat(group)), 0x01, "{group}");
    }
}

#[test]
fn prefixes_are_counted_and_told_unless_dumping_is_off() {
    let mut talk = Talk::new(settings());
    assert_eq!(talk.status(&stat("detail on")), 0);
    let with = |opcode| Ask {
        opcode,
        key: b"a:1",
        ..Ask::default()
    };
    talk.one(&Ask {
        extras: FLAGS_FOREVER,
        ..with(0x01)
    });
    talk.one(&with(0x00));
    talk.one(&with(0x04));
    talk.one(&with(0x00));
    let (answers, _) = talk.ask(&stat("detail dump"));
    let told = "detailedPREFIX a get 2 hit 1 set 1 del 1\r\nEND\r\n";
    assert_eq!(
        (answers[0].body.as_slice(), answers.len()),
        (told.as_bytes(), 2)
    );
    talk.0.shared.settings.dump_enabled = false;
    for group in ["detail on", "detail dump"] {
        assert_eq!(talk.status(&stat(group)), 0x20, "{group}");
    }
}

#[test]
fn each_request_moves_its_counters() {
    let mut talk = Talk::new(settings());
    let touching = |opcode, key| Ask {
        opcode,
        extras: &[0; 4],
        key,
        ..Ask::default()
    };
    talk.one(&plain(0x00));
    talk.one(&set(0x01, b"5", 0));
    talk.one(&plain(0x00));
    talk.one(&touching(0x1c, b"k"));
    talk.one(&touching(0x1d, b"none"));
    talk.one(&set(0x01, b"5", 1));
    talk.one(&Ask {
        cas: 1,
        ..plain(0x04)
    });
    talk.one(&plain(0x04));
    talk.one(&plain(0x04));
    talk.one(&Ask {
        opcode: 0x08,
        ..Ask::default()
    });
    let (answers, _) = talk.ask(&stat(""));
    for told in [
        "cmd_get2",
        "get_hits1",
        "get_misses1",
        "cmd_touch2",
        "touch_hits1",
        "touch_misses1",
        "cmd_set2",
        "cas_badval1",
        "delete_hits1",
        "delete_misses1",
        "cmd_flush1",
    ] {
        assert!(
            answers.iter().any(|answer| answer.body == told.as_bytes()),
            "{told}"
        );
    }
}

#[test]
fn large_values_go_both_ways_in_pieces() {
    let mut talk = Talk::new(settings());
    let value: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    for piece in set(0x01, &value, 0).bytes().chunks(7_001) {
        talk.0.send(piece);
    }
    assert_eq!(answers(&std::mem::take(&mut talk.0.reply))[0].status, 0);
    assert_eq!(talk.one(&plain(0x00)).body[4..], value);
    let too_large = vec![b'x'; 2 << 20];
    assert_eq!(talk.status(&set(0x01, &too_large, 0)), 0x03);
    assert_eq!(talk.status(&plain(0x00)), 0x01);
}

#[test]
fn a_turn_counts_packets() {
    let mut talk = Talk::new(Settings {
        requests_per_event: 5,
        ..settings()
    });
    let noop = Ask {
        opcode: 0x0a,
        ..Ask::default()
    };
    talk.0.send(&noop.bytes().repeat(11));
    assert_eq!((talk.0.yields, talk.0.reply.len()), (2, 11 * 24));
}

//= bin.chooses bin.only
#[test]
fn the_first_byte_decides_where_both_are_spoken() {
    let noop = Ask {
        opcode: 0x0a,
        ..Ask::default()
    }
    .bytes();
    for (services, packets, lines) in [
        (Services::MEMCACHED, true, true),
        (Services::TEXT, false, true),
        (Services::BINARY, true, false),
    ] {
        let mut talk = common::Talk::new(Settings {
            services,
            ..settings()
        });
        talk.send(&noop);
        assert_eq!(talk.reply.first() == Some(&0x81), packets, "{services:?}");
        talk.reply.clear();
        talk.reconnect();
        assert_eq!(talk.ask(b"mn\r\n") == "MN\r\n", lines, "{services:?}");
        assert_eq!(talk.ended.is_none(), lines);
    }
}

//= bin.flush
#[test]
fn flush_may_be_forbidden_and_quit_ends() {
    let mut talk = Talk::new(settings());
    talk.silent(&set(0x11, b"v", 0));
    talk.silent(&Ask {
        opcode: 0x18,
        extras: &[0; 4],
        ..Ask::default()
    });
    assert_eq!(talk.status(&plain(0x00)), 0x01);
    talk.0.shared.settings.flush_enabled = false;
    assert_eq!(
        talk.status(&Ask {
            opcode: 0x08,
            ..Ask::default()
        }),
        0x20
    );
    let quit = |opcode| Ask {
        opcode,
        ..Ask::default()
    };
    assert_eq!(talk.one(&quit(0x0b)).body, b"1.6.45");
    assert_eq!(talk.ask(&quit(0x17)), (vec![], false));
    let (answers, alive) = talk.ask(&quit(0x07));
    assert_eq!((answers.len(), alive), (1, false));
}

#[test]
fn nothing_but_logging_in_works_before_a_login() {
    let mut talk = Talk::new(Settings {
        sasl: true,
        ..settings()
    });
    for opcode in [0x00, 0x01, 0x0a, 0x10, 0x08, 0x30] {
        let (answers, alive) = talk.ask(&Ask {
            opcode,
            ..Ask::default()
        });
        assert_eq!((answers[0].status, alive), (0x20, false), "{opcode:#x}");
    }
    assert_eq!(
        talk.one(&Ask {
            opcode: 0x20,
            ..Ask::default()
        })
        .body,
        b"PLAIN"
    );
    let login = |value| Ask {
        opcode: 0x21,
        key: b"PLAIN",
        value,
        ..Ask::default()
    };
    assert_eq!(talk.one(&login(b"\0ann\0no")).body, b"Auth failure.");
    assert!(!talk.ask(&plain(0x00)).1);
    assert_eq!(talk.one(&login(b"\0ann\0pw")).body, b"Authenticated");
    assert_eq!(talk.status(&plain(0x00)), 0x01);
    let counters = &talk.0.shared.counters[0];
    assert_eq!(
        (counters.auth_cmds.get(), counters.auth_errors.get()),
        (2, 1)
    );
}

#[test]
fn sizes_are_told_in_packets_and_end_as_every_list_of_them() {
    let mut talk = Talk::new(settings());
    let sizes = Ask {
        opcode: 0x10,
        key: b"sizes",
        ..Ask::default()
    };
    assert_eq!(talk.one(&sizes).body, b"");
    talk.one(&set(0x01, b"hello", 0));
    // The key is all that tells a packet of statistics from its end.
    let (answers, alive) = talk.ask(&sizes);
    let bodies: Vec<_> = answers.iter().map(|answer| &answer.body[..]).collect();
    assert_eq!((bodies, alive), (vec![&b"321"[..], b""], true));
    assert_eq!(talk.status(&plain(0x00)), 0, "the conversation goes on");
}
