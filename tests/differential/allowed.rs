//! Every difference that may be seen, and why. Anything else fails.
//!
//! The peer is Debian's memcached 1.6.18; we follow 1.6.45, and leave its plain faults out. The
//! differences come in three kinds:
//!
//! 1. **Masked everywhere** ([`essence`]): the number after `VERSION`; the CAS ids in `gets`
//!    replies (each server counts its own); spaces at the end of a value under an `n…` key
//!    (memcached's `decr` pads a shortened number with spaces, ours shrinks it).
//! 2. **Pinned** ([`ODDITIES`] with two replies): exactly these bytes from each side.
//! 3. **Never sent**, because one side's state would differ from then on: delayed `flush_all` (the
//!    peer forgets earlier flushes), arithmetic that shortens a value which is then appended to,
//!    arithmetic on stored numbers of 2^63 and more (1.6.18 then looks for a minus sign beyond the
//!    value's end and finds one in what lay there before), lengths above 2^31 (1.6.18 wraps them
//!    and waits for data), NUL in keys, a lone `-` as a number, flags or times out of range under
//!    a key that is read, values that memcached's overhead puts over the item size limit and ours
//!    does not (a value of exactly the limit fits here), a key too long in a `get` with unsent
//!    replies before it (memcached drops them all).

use crate::commands::Command;
use crate::wire::{Unit, show_units};

/// Bad or unusual input. `{K}` stands for a key of 251 bytes, one too long. The key `nil` is never
/// stored; `odd` is stored and never read.
pub(crate) struct Allowed {
    pub(crate) sent: &'static str,
    /// Debian's reply and ours; `None` where they must be the same.
    pub(crate) replies: Option<[&'static str; 2]>,
    /// Whether no reply of another command may be on its way with its own.
    pub(crate) alone: bool,
    /// Why they differ.
    reason: &'static str,
}

const fn same(sent: &'static str) -> Allowed {
    Allowed {
        sent,
        replies: None,
        alone: false,
        reason: "",
    }
}

const fn alone(sent: &'static str) -> Allowed {
    Allowed {
        sent,
        replies: None,
        alone: true,
        reason: "",
    }
}

const fn differs(
    sent: &'static str,
    debian: &'static str,
    ours: &'static str,
    reason: &'static str,
) -> Allowed {
    Allowed {
        sent,
        replies: Some([debian, ours]),
        alone: true,
        reason,
    }
}

const ERROR: &str = "ERROR\r\n";
const FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
const FORMAT_ERROR: &str = "CLIENT_ERROR bad command line format\r\nERROR\r\n";
const CHUNK_ERROR: &str = "CLIENT_ERROR bad data chunk\r\nERROR\r\n";
const CHUNK_FORMAT: &str =
    "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n";
const DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
const EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
const STORED: &str = "STORED\r\n";
const NOT_FOUND: &str = "NOT_FOUND\r\n";

const SHORT: &str = "1.6.45 calls a line of less than 4 bytes badly formed, 1.6.18 unknown";
const FEW: &str = "1.6.45 names the fault when arguments are missing, 1.6.18 calls it unknown";
const SWALLOW: &str = "1.6.45 skips the data of a refused store, 1.6.18 runs it as a command";
const LAST_WORD: &str = "1.6.45 obeys noreply as the last word of any line";
const EXTRA: &str = "1.6.45 ignores further words";
const DIGITS: &str = "1.6.45 takes no plus sign in these numbers";
const RANGE: &str = "ours refuses numbers out of range; memcached cuts off their upper bits";
const LEADING: &str = "1.6.45 takes the command up to the first space, also if that is empty";

/// Input that a careful client would not send.
pub(crate) const ODDITIES: &[Allowed] = &[
    // Lines.
    differs("\n", ERROR, FORMAT, SHORT),
    differs("\r\n", ERROR, FORMAT, SHORT),
    differs("a\r\n", ERROR, FORMAT, SHORT),
    differs("ab\n", ERROR, FORMAT, SHORT),
    same("abc\r\n"),
    same("foo bar baz\r\n"),
    same("GET w0\r\n"),
    same("getx w0\r\n"),
    same("get\tw0\r\n"),
    same("stats bogus\r\n"),
    same("quitx\r\n"),
    same("cache_memlimit\r\n"),
    same("slabs\r\n"),
    same("lru\r\n"),
    differs("foo noreply\r\n", ERROR, "", LAST_WORD),
    differs(" get nil\r\n", "END\r\n", ERROR, LEADING),
    differs(" delete nil\r\n", NOT_FOUND, ERROR, LEADING),
    differs(
        "shutdown\r\n",
        "ERROR: shutdown not enabled\r\n",
        "SERVER_ERROR: shutdown not enabled\r\n",
        "1.6.45's wording",
    ),
    // Reading.
    differs("get\r\n", ERROR, FORMAT, FEW),
    differs("get \r\n", ERROR, FORMAT, FEW),
    differs("gets\r\n", ERROR, FORMAT, FEW),
    differs("gat\r\n", ERROR, FORMAT, FEW),
    differs("gat 1\r\n", "END\r\n", FORMAT, FEW),
    differs("gats 1\r\n", "END\r\n", FORMAT, FEW),
    same("gat x w0\r\n"),
    same("gats 1x w0\r\n"),
    alone("get {K}\r\n"),
    alone("get w0 {K} w1\r\n"),
    alone("gets w0 w1 {K}\r\n"),
    alone("gat 0 w0 {K}\r\n"),
    same("get w0 noreply\r\n"),
    same("get w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0 w0\r\n"),
    // Storing: the length is not known.
    differs("set\r\n", ERROR, FORMAT, FEW),
    differs("set odd\r\n", ERROR, FORMAT, FEW),
    differs("set odd 0\r\n", ERROR, FORMAT, FEW),
    differs("set odd 0 0\r\n", ERROR, FORMAT, FEW),
    differs("append odd 0 0\r\n", ERROR, FORMAT, FEW),
    same("set odd 0 0 -1\r\n"),
    same("set odd 0 0 -2147483648\r\n"),
    same("set odd 0 0 x\r\n"),
    same("set odd 0 0 5x\r\n"),
    same("set odd 0 0 1.5\r\n"),
    same("set odd 0 0 2147483646\r\n"),
    same("set odd 0 0 2147483647\r\n"),
    same("append odd 0 0 -1\r\n"),
    same("cas odd 0 0 -1 5\r\n"),
    differs(
        "set odd 0 0 x noreply\r\n",
        "",
        FORMAT,
        "1.6.45 has not yet looked for noreply",
    ),
    differs("set odd 0 0 +5\r\nabcde\r\n", STORED, FORMAT_ERROR, DIGITS),
    // Storing: the length is known, and so many bytes and two are skipped.
    differs("set odd x 0 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set odd 0 x 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set odd -1 0 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set odd 1.5 0 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set odd 0x1 0 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs(
        "set odd 0 99999999999999999999 2\r\nab\r\n",
        FORMAT_ERROR,
        FORMAT,
        SWALLOW,
    ),
    differs(
        "set odd 18446744073709551616 0 2\r\nab\r\n",
        FORMAT_ERROR,
        FORMAT,
        SWALLOW,
    ),
    differs("append odd x 0 1\r\na\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set {K} 0 0 2\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("set {K} 0 0 2 noreply\r\nab\r\n", ERROR, "", SWALLOW),
    differs("set odd x 0 2 noreply\r\nab\r\n", ERROR, "", SWALLOW),
    differs(
        "cas odd 0 0 2\r\nab\r\n",
        "ERROR\r\nERROR\r\n",
        FORMAT,
        SWALLOW,
    ),
    differs("cas odd 0 0 2 noreply\r\nab\r\n", ERROR, "", SWALLOW),
    differs("cas odd 0 0 2 x\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs("cas odd 0 0 2 -1\r\nab\r\n", FORMAT_ERROR, FORMAT, SWALLOW),
    differs(
        "cas odd 0 0 2 18446744073709551616\r\nab\r\n",
        FORMAT_ERROR,
        FORMAT,
        SWALLOW,
    ),
    differs(
        "set odd 0 0 2 noreply x\r\nab\r\n",
        "ERROR\r\nERROR\r\n",
        STORED,
        EXTRA,
    ),
    differs(
        "set odd 0 0 2 noreply noreply\r\nab\r\n",
        "ERROR\r\nERROR\r\n",
        "",
        EXTRA,
    ),
    differs("set odd 4294967296 0 2\r\nab\r\n", STORED, FORMAT, RANGE),
    differs("set odd 0 2147483648 2\r\nab\r\n", STORED, FORMAT, RANGE),
    differs("set odd 0 4294967296 2\r\nab\r\n", STORED, FORMAT, RANGE),
    same("set odd 4294967295 0 2\r\nab\r\n"),
    same("set odd 0 0 2\nab\r\n"),
    same("set odd 0 0 0\r\n\r\n"),
    same("set odd 0 0 00002\r\nab\r\n"),
    same("set odd 0 0 2 bogus\r\nab\r\n"),
    same("cas nil 0 0 2 0\r\nab\r\n"),
    same("cas nil 0 0 2 18446744073709551615\r\nab\r\n"),
    // Data that is not as long as it says.
    same("set odd 0 0 2\r\nabXXunknown\r\n"),
    same("set odd 0 0 2\r\nab\nXunknown\r\n"),
    same("set odd 0 0 2 noreply\r\nabXXunknown\r\n"),
    differs(
        "set odd 0 0 2\r\nabcd\r\n",
        CHUNK_ERROR,
        CHUNK_FORMAT,
        SHORT,
    ),
    differs("set odd 0 0 2\r\nabc\r\n", CHUNK_ERROR, CHUNK_FORMAT, SHORT),
    differs("set odd 0 0 2 noreply\r\nabcd\r\n", ERROR, FORMAT, SHORT),
    // Deleting, counting, touching.
    differs("delete\r\n", ERROR, FORMAT, FEW),
    differs("delete  \r\n", ERROR, FORMAT, FEW),
    differs(
        "delete nil 5\r\n",
        "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n",
        NOT_FOUND,
        EXTRA,
    ),
    differs("delete noreply\r\n", NOT_FOUND, "", LAST_WORD),
    same("delete nil 0\r\n"),
    same("delete nil 0 noreply\r\n"),
    same("delete nil 1 noreply\r\n"),
    same("delete {K}\r\n"),
    same("delete {K} noreply\r\n"),
    differs("incr\r\n", ERROR, FORMAT, FEW),
    differs("incr nil\r\n", ERROR, FORMAT, FEW),
    differs("decr nil\r\n", ERROR, FORMAT, FEW),
    differs("incr nil +1\r\n", NOT_FOUND, DELTA, DIGITS),
    same("incr n0 x\r\n"),
    same("incr n0 -1\r\n"),
    same("decr n0 1.5\r\n"),
    same("incr n0 18446744073709551616\r\n"),
    same("decr n0 x noreply\r\n"),
    same("incr nil 1 2\r\n"),
    same("incr {K} 1\r\n"),
    same("decr {K} 1 noreply\r\n"),
    differs("touch\r\n", ERROR, FORMAT, FEW),
    differs("touch nil\r\n", ERROR, FORMAT, FEW),
    differs("touch nil 99999999999\r\n", NOT_FOUND, EXPTIME, RANGE),
    same("touch w0 x\r\n"),
    same("touch w0 1x noreply\r\n"),
    same("touch nil 0 0\r\n"),
    same("touch {K} 0\r\n"),
    // Administration.
    same("version x\r\n"),
    same("version noreply\r\n"),
    differs("verbosity\r\n", ERROR, FORMAT, FEW),
    same("verbosity x\r\n"),
    same("verbosity -1\r\n"),
    same("verbosity 0 0\r\n"),
    same("flush_all x\r\n"),
    same("flush_all x noreply\r\n"),
];

/// The bytes that an oddity stands for.
pub(crate) fn expand(sent: &str) -> Vec<u8> {
    sent.replace("{K}", &"k".repeat(251)).into_bytes()
}

/// Whether the replies to one command are as they must be.
pub(crate) fn agree(command: &Command, a: &[Unit], b: &[Unit], twins: bool) -> bool {
    let pinned = command.allowed.and_then(|allowed| allowed.replies);
    let Some([debian, ours]) = pinned.filter(|_| !twins) else {
        return same_reply(a, b);
    };
    // A newer memcached may stand in for Debian's: then it answers as we do.
    let [a, b] = [a, b].map(text);
    b == ours && (a == debian || a == ours)
}

/// What had been agreed about a command, for the report of a failure.
pub(crate) fn explain(command: &Command) -> String {
    match command.allowed {
        Some(Allowed {
            replies: Some([debian, ours]),
            reason,
            ..
        }) => {
            format!("\nexpected {debian:?} and {ours:?}: {reason}")
        }
        _ => String::new(),
    }
}

/// Whether two replies are the same but for what is masked.
pub(crate) fn same_reply(a: &[Unit], b: &[Unit]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_unit(a, b))
}

pub(crate) fn same_unit(a: &Unit, b: &Unit) -> bool {
    a == b || essence(a.clone()) == essence(b.clone())
}

fn text(units: &[Unit]) -> String {
    let lines = units.iter().map(|unit| match unit {
        Unit::Line(line) => String::from_utf8_lossy(line).into_owned(),
        other => show_units(std::slice::from_ref(other)),
    });
    lines.collect()
}

/// A unit without what may differ.
fn essence(mut unit: Unit) -> Unit {
    match &mut unit {
        Unit::Line(line) if line.starts_with(b"VERSION ") => *line = b"VERSION".to_vec(),
        Unit::Value { key, cas, data, .. } => {
            *cas = cas.map(|_| 0);
            if key.starts_with(b"n") {
                data.truncate(data.trim_ascii_end().len());
            }
        }
        _ => {}
    }
    unit
}

#[test]
fn every_difference_has_a_reason() {
    for oddity in ODDITIES {
        assert_eq!(
            oddity.replies.is_some(),
            !oddity.reason.is_empty(),
            "{:?}",
            oddity.sent
        );
        if let Some([debian, ours]) = oddity.replies {
            assert_ne!(debian, ours, "{:?}", oddity.sent);
        }
    }
}

#[test]
fn only_what_is_listed_is_masked() {
    let line = |text: &str| Unit::Line(text.as_bytes().to_vec());
    let value = |key: &str, cas, data: &str| Unit::Value {
        key: key.into(),
        flags: b"0".to_vec(),
        cas,
        data: data.into(),
    };
    assert!(same_unit(
        &line("VERSION 1.6.18\r\n"),
        &line("VERSION 1.6.45\r\n")
    ));
    assert!(!same_unit(&line("ERROR\r\n"), &line("ERROR\n")));
    assert!(same_unit(
        &value("w0", Some(7), "x"),
        &value("w0", Some(9), "x")
    ));
    assert!(!same_unit(
        &value("w0", Some(7), "x"),
        &value("w0", None, "x")
    ));
    assert!(same_unit(&value("n0", None, "9 "), &value("n0", None, "9")));
    assert!(!same_unit(
        &value("w0", None, "9 "),
        &value("w0", None, "9")
    ));
    assert!(!same_unit(&value("n0", None, "9"), &value("n0", None, "8")));
}
