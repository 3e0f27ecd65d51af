//! Every difference that may be seen, and why. Anything else fails.
//!
//! The peer is Debian's memcached 1.6.18; we follow 1.6.45, and leave its plain faults out. The
//! differences come in three kinds:
//!
//! 1. **Masked everywhere** ([`essence`], [`same_meta`]): the number after `VERSION`; CAS ids but
//!    those that were asked for (each server counts its own); spaces at the end of a value under an
//!    `n…` key, and its size (memcached's `decr` pads a shortened number with spaces, ours shrinks
//!    it); seconds since the last access, and a few seconds of times to live; of `me` also class
//!    and size; which statistics there are.
//! 2. **Pinned** ([`ODDITIES`], [`META_ODDITIES`] and [`BINARY_FAREWELLS`] with two replies):
//!    exactly these bytes from each side.
//! 3. **Never sent**, because one side's state would differ from then on: delayed `flush_all` (the
//!    peer forgets earlier flushes), arithmetic that shortens a value which is then appended to,
//!    arithmetic on stored numbers of 2^63 and more (1.6.18 then looks for a minus sign beyond the
//!    value's end and finds one in what lay there before), lengths above 2^31 (1.6.18 wraps them
//!    and waits for data), NUL in keys, a lone `-` as a number, flags out of range and times that
//!    are dates in a different year there, under a key that is read, values that memcached's
//!    overhead puts over the item size limit and ours does not (a value of exactly the limit fits
//!    here), a key too long in a `get` with unsent replies before it (memcached drops them all).
//!
//!    Flushes, to peers newer than 1.6.18: once in some hundred thousand commands an item survives
//!    one, and two servers of 1.6.45 then differ from each other.
//!
//!    Of the meta commands: what appends to or counts items with marks, and vivifies under base64
//!    (memcached loses the marks); `N` with a time in the past (memcached answers as if the item
//!    were there), `N` beside `T` (memcached obeys the last), `T` of `ma` (memcached forgets it
//!    when the number moves), `E` of `ma` (memcached forgets it when the number stays), `E` of `md`
//!    (ours forgets that the item was fetched), `t` behind a time in the past (memcached shows a
//!    negative number without its sign), `h` of numbers that were counted (memcached keeps it
//!    at times), a long opaque in an `ma` that counts (memcached counts before it
//!    complains), `me` with base64 (memcached wants one more word), and a flag of `ms` that is no
//!    letter (1.6.45 then runs the data as commands).
//!
//!    Of the binary commands: times in the past as negative numbers (memcached takes them for the
//!    far future), values where none can be, and lengths that contradict each other in a complete
//!    packet (memcached may run the rest as a request, or wait for more).
//!
//! What only 1.6.18 lacks is sent to newer peers and compared there: `Generator::newer`.

use crate::binary::{Packet, VERSION};
use crate::commands::Command;
use crate::meta::EXPLICIT_CAS;
use crate::wire::{Reply, Unit, show_units};

/// Bad or unusual input. `{K}` stands for a key of 251 bytes, one too long, `@` for the end of a
/// line, `|` is between inputs that are answered alike. The key `nil` is never stored; `odd` is
/// stored and never read.
pub(crate) struct Allowed {
    pub(crate) sent: &'static str,
    /// Debian's reply and ours; `None` where they must be the same.
    pub(crate) replies: Option<[&'static str; 2]>,
    /// What 1.6.45 says, where that is neither.
    newest: Option<&'static str>,
    /// Whether no reply of another command may be on its way with its own.
    pub(crate) alone: bool,
    /// Why they differ.
    reason: &'static str,
}

const fn same(sent: &'static str) -> Allowed {
    Allowed {
        sent,
        replies: None,
        newest: None,
        alone: false,
        reason: "",
    }
}

/// Only 1.6.45 differs.
const fn newest(
    sent: &'static str,
    ours: &'static str,
    newest: &'static str,
    reason: &'static str,
) -> Allowed {
    all_differ(sent, [ours, ours, newest], reason)
}

/// What Debian's says, ours and 1.6.45.
const fn all_differ(
    sent: &'static str,
    [debian, ours, newest]: [&'static str; 3],
    reason: &'static str,
) -> Allowed {
    Allowed {
        sent,
        replies: Some([debian, ours]),
        newest: Some(newest),
        alone: true,
        reason,
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
        newest: None,
        alone: true,
        reason,
    }
}

const ERROR: &str = "ERROR\r\n";
const FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
const FORMAT_EMPTY: &str = "CLIENT_ERROR bad command line format\r\n\r\n";
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
const EMPTY: &str = "1.6.45 adds an empty line to this error";
const RANGE: &str = "ours refuses flags out of range; memcached cuts off their upper bits";
const TIME: &str =
    "ours takes any number for a time; 1.6.45 only 32 bits, but in a storage command";
const DIGITS_64: &str =
    "ours takes any number for a time; memcached none that is too long for 64 bits";
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
    same("lru mode x\r\n"),
    same("lru temp_ttl x\r\n"),
    same("lru tune 50 40 0.1 2\r\n"),
    same("lru tune 10 20 0 2\r\n"),
    same("lru_crawler\r\n"),
    same("lru_crawler crawl\r\n"),
    same("lru_crawler crawl 64\r\n"),
    same("lru_crawler enable\r\n"),
    same("lru_crawler sleep x\r\n"),
    same("lru_crawler sleep 1000001\r\n"),
    same("lru_crawler tocrawl x\r\n"),
    same("slabs automove 3\r\n"),
    same("slabs automove x\r\n"),
    same("stats cachedump 1\r\n"),
    same("stats cachedump x 0\r\n"),
    same("stats cachedump 64 0\r\n"),
    same("stats detail\r\n"),
    same("stats detail x\r\n"),
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
    newest("get {K}\r\n", FORMAT, FORMAT_EMPTY, EMPTY),
    newest("get w0 {K} w1\r\n", FORMAT, FORMAT_EMPTY, EMPTY),
    newest("gets w0 w1 {K}\r\n", FORMAT, FORMAT_EMPTY, EMPTY),
    newest("gat 0 nil {K}\r\n", FORMAT, FORMAT_EMPTY, EMPTY),
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
    all_differ(
        "set odd 0 99999999999999999999 2\r\nab\r\n",
        [FORMAT_ERROR, STORED, FORMAT],
        DIGITS_64,
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
    same("set odd 0 2147483648 2\r\nab\r\n"),
    same("set odd 0 3221225471 2\r\nab\r\n"),
    same("set odd 0 4294967296 2\r\nab\r\n"),
    same("set odd 0 -2147483649 2\r\nab\r\n"),
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
    newest("touch nil 4294967295\r\n", NOT_FOUND, EXPTIME, TIME),
    newest("touch nil 99999999999\r\n", NOT_FOUND, EXPTIME, TIME),
    newest("gat 4294967295 nil\r\n", "END\r\n", EXPTIME, TIME),
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

const END: &str = "EN\r\n";
const DONE: &str = "HD\r\n";
const ABSENT: &str = "NF\r\n";
const FLAG: &str = "CLIENT_ERROR invalid flag\r\n";
const FLAGS: &str = "CLIENT_ERROR invalid or duplicate flag\r\n";
const TOKEN: &str = "CLIENT_ERROR bad token in command line format\r\n";
const MODE_LENGTH: &str = "CLIENT_ERROR incorrect length for M token\r\n";
const SET_MODE: &str = "CLIENT_ERROR invalid mode for ms M token\r\n";
const COUNT_MODE: &str = "CLIENT_ERROR invalid mode for ma M token\r\n";

const FIRST_BYTE: &str = "1.6.45 looks at the first bytes of all flags before their meaning";
const NEW_FLAG: &str = "1.6.18 does not know the flag";
const LONG_MODE: &str = "1.6.45 looks at the first letter of a mode only";
const NAMED: &str = "1.6.45 names the fault in an `md`";

/// The same for lines that begin with a meta command. Their `@` are the ends of lines.
pub(crate) const META_ODDITIES: &[Allowed] = &[
    same("mg nil k Oabc@|mg nil q@|mg w0 v v@|mg w0 z@|mg w0 S@|mg w0 0@|mg w0 9@|mg w0 _@"),
    same("mg nil C5@|mg w0 D@|mg w0 D5@|mg w0 J1@|mg w0 J@|mg w0 F@|mg w0 F5@|mg w0 Fx@"),
    same("mg nil ME@|mg w0 I@|mg w0 u@|mg w0 L@|mg w0 P@|mg w0 Pabc@|mg w0 Labc@|mg w0 T@"),
    same("mg w0 Tx@|mg nil N@|mg nil Nx@|mg w0 R@|mg w0 Rx@|mg w0 O@|mg w0 k k@|mg w0 b@"),
    same("mg w0 O1234567890123456789012345678901@|mg w0 O12345678901234567890123456789012@"),
    same("mg dzA= b@|mg dzA b@|mg !!!! b@|mg {K}@|mg {K} v@|mg w0 a@|mg w0 i@|mg w0 vabc k@"),
    same("mg  w0  f@|mg w0 f @|MG w0@|mgx w0@|mg\tw0@|mg w0 D-1@|mg w0 J-1@|mg w0 F-1@"),
    same("mg w0 Dx@|mg w0 Jx@|mg w0 d@|mg w0 e@|mg w0 y@|mg w0 A@|mg w0 G@|mg w0 Z@"),
    same("mg w0 Q@|mg nil Q k@|mg w0 noreply@|mg w0 a b c d e f g h i j k l m n o p q r s t u v@"),
    same("mg w0 C@|mg w0 Cx@|mg w0 C-1@|mg w0 C18446744073709551616@|me@|me nil@|me {K}@"),
    same("me nil x@|ME w0@|mex@|me bmls b@|me !!!! b x@|MN@|mnx@|mz x@"),
    same("ms odd@|ms odd x@|ms odd -1@|ms odd S2@|ms odd 2147483647@|ms odd 2147483646@"),
    same("ms odd 2 q@ab@|ms odd 2 k O1@ab@|ms odd 2 I@ab@|ms odd 2 MZ@ab@|ms odd 2 Ms@ab@"),
    same("ms nil 2 MR k@ab@|ms nil 2 MP q@ab@|ms odd 2 T@ab@|ms odd 2 Tx@ab@|ms odd 2 Fx@ab@"),
    same("ms odd 2 F-1@ab@|ms odd 2 F4294967295@ab@|ms odd 2 C@ab@|ms odd 2 Cx@ab@"),
    same("ms nil 2 C1@ab@|ms nil 2 C0@ab@|ms nil 2 C0 MA@ab@|ms nil 2 C5 MA@ab@"),
    same("ms nil 2 C1 MR@ab@|ms odd 2 z@ab@|ms odd 2 c c@ab@|ms !!!! 2 b@ab@|ms b2Rk 2 b k@ab@"),
    same("ms odd 2 q@abXXunknown@|ms odd 2@abXXunknown@|ms odd 0@@|ms odd 2 v@ab@|ms odd 2 t@ab@"),
    same("ms odd 2 N5@ab@|ms odd 2 N@ab@|ms odd 2 Nx@ab@|ms odd 2 D@ab@|ms odd 2 J@ab@"),
    same("ms odd 2 R@ab@|ms odd 2 Rx@ab@|ms odd 2 L1 P1@ab@|ms odd 02@ab@|ms odd 2x@"),
    same("ms odd 2 O12345678901234567890123456789012@ab@|ms odd 2 noreply@ab@|ms odd  2  k @ab@"),
    same("ms odd 2 C-1@ab@|ms odd 2 C18446744073709551616@ab@|ms odd 2 k k O1 k@ab@"),
    same("md nil@|md nil q@|md nil k O1@|md nil C5 q@|md nil I@|md nil T5@|md {K}@|md nil C0@"),
    same("md nil c s f t v k@|md nil N5@|md nil MI@|md nil O12345678901234567890123456789012@"),
    same("ma nil@|ma nil q@|ma nil k O1@|ma nil D5 v@|ma n0 MZ@|ma n0 D@|ma n0 Dx@|ma n0 D-1@"),
    same("ma n0 D18446744073709551616@|ma n0 J@|ma n0 Jx@|ma n0 N@|ma n0 Nx@|ma n0 T@|ma n0 Tx@"),
    same("ma n0 C@|ma n0 Cx@|ma n0 C5@|ma n0 C5 q@|ma n0 C5 k O1@|ma nil C0 v@|ma n0 z@"),
    same("ma n0 v v@|ma w1 T0 D0 q@|ma !!!! b@|ma n0 Fx@|ma n0 Rx@|ma n0 noreply@"),
    same("ma nil O12345678901234567890123456789012@|ma n0 D0 I P L F1 R1@|ma bjA= b k D0@"),
    differs("mg@|ms@|md@|ma@", ERROR, FORMAT, FEW),
    differs("m@", ERROR, FORMAT, SHORT),
    differs("mg nil !@|mg nil v !@|mg nil {@", FLAG, FORMAT, FIRST_BYTE),
    differs("md nil !@|ma nil !@", FLAGS, FORMAT, FIRST_BYTE),
    differs("mg nil E5@|mg nil x@", FLAG, END, NEW_FLAG),
    differs("mg nil E@|mg nil Ex@", FLAG, TOKEN, NEW_FLAG),
    differs(
        "ms odd 2 E5@ab@|ms odd 2 f h l u x@ab@",
        FLAG,
        DONE,
        NEW_FLAG,
    ),
    differs("md nil x@|md nil E5@|md nil I x@", FLAGS, ABSENT, NEW_FLAG),
    differs("ma nil E5@|ma nil s f h l u x@", FLAGS, ABSENT, NEW_FLAG),
    differs("mg nil M@", MODE_LENGTH, END, LONG_MODE),
    differs(
        "ms odd 2 M@ab@|ms odd 2 Mset@ab@",
        MODE_LENGTH,
        SET_MODE,
        LONG_MODE,
    ),
    differs("ms odd 2 MSx@ab@", MODE_LENGTH, DONE, LONG_MODE),
    differs("md nil M@|ma nil MDecr@", FLAGS, ABSENT, LONG_MODE),
    differs("ma nil M@|ma nil Mincr@", FLAGS, COUNT_MODE, LONG_MODE),
    differs("mg nil T+1@", END, TOKEN, DIGITS),
    newest(
        "mg nil T2147483648@|mg nil T4294967295@|mg nil R4294967296@|mg nil T-2147483649@",
        END,
        TOKEN,
        TIME,
    ),
    differs("mg nil F4294967296@", END, FORMAT, RANGE),
    differs("ms odd 2 T+1@ab@", DONE, TOKEN, DIGITS),
    newest(
        "ms odd 2 T4294967295@ab@|ms odd 2 T4294967296@ab@",
        DONE,
        TOKEN,
        TIME,
    ),
    differs("ms odd 2 F4294967296@ab@", DONE, FORMAT, RANGE),
    differs("ms odd +2@ab@", DONE, FORMAT_ERROR, DIGITS),
    differs("ms {K} 2@ab@|ms {K} 2 q@ab@", FORMAT_ERROR, FORMAT, SWALLOW),
    differs(
        "ms odd 2 a b c d e f g h i j k l m n o p q r s t u v w x@ab@",
        "CLIENT_ERROR options flags too long\r\nERROR\r\n",
        "CLIENT_ERROR options flags are too long\r\n",
        SWALLOW,
    ),
    differs(
        "ma nil v a b c d e f g h i j k l m n o p q r s t u v w x@",
        "CLIENT_ERROR options flags too long\r\n",
        FLAGS,
        "1.6.45 has one text for all that is wrong with an `ma`",
    ),
    differs("ms odd 2@abcd@", CHUNK_ERROR, CHUNK_FORMAT, SHORT),
    differs(
        "md nil T@|md nil Tx@|md nil I Tx@|md nil C@|md nil Cx@",
        FLAGS,
        TOKEN,
        NAMED,
    ),
    differs(
        "md nil z@|md nil 0@|md nil noreply@|md nil q noreply@",
        FLAGS,
        FLAG,
        NAMED,
    ),
    differs(
        "md nil k k@",
        FLAGS,
        "CLIENT_ERROR duplicate flag\r\n",
        NAMED,
    ),
    differs(
        "md !!!! b@",
        FLAGS,
        "CLIENT_ERROR error decoding key\r\n",
        NAMED,
    ),
    differs(
        "md nil D@",
        FLAGS,
        "CLIENT_ERROR invalid numeric delta value\r\n",
        NAMED,
    ),
    differs(
        "ma {K}@",
        FORMAT,
        FLAGS,
        "1.6.45 has one text for all that is wrong with an `ma`",
    ),
];

const UNKNOWN_BODY: &str = "memcached skips the body of an unknown request twice and loses step";
const NO_LOGINS: &str = "without logins their requests are unknown to us, whatever their shape";

const HUNG_UP: &str = "(closed)\n";
const UNKNOWN_QUIT: &str = "1b 81 value Unknown command\n07 00\n(closed)\n";
const NO_LOGIN_LIST: &str = "20 81 value Unknown command\n07 00\n(closed)\n";
const NO_LOGIN_START: &str = "21 81 value Unknown command\n07 00\n(closed)\n";
const NO_LOGIN_STEP: &str = "22 81 value Unknown command\n07 00\n(closed)\n";

/// Packets after which the server hangs up. Each is an opcode with its parts: `e` says how many
/// zeros are its extras, `k` and `v` are key and value, `m` is another magic byte; `kl`, `el` and
/// `bl` are lengths that are not those of the parts.
pub(crate) const BINARY_FAREWELLS: &[Allowed] = &[
    same("07|17|00 k=w0; 07|01 e=8 k=odd v=ab; 17; 00 k=odd|0d k=nil; 07|04 k=nil; 17"),
    same("0a; 00 k=w0 m=81|0a; 00 k=w0 m=00|0a; 0a m=67|14 k=nil; 0a m=ff"),
    same("00|00 k={K}|01 e=8 k={K} v=ab|04 k={K}|1c e=4 k={K}|0c k={K}|05 e=20 k={K}"),
    same("00 e=4 k=nil|00 k=nil v=ab|04 e=4 k=nil|04 k=nil v=a|04|14|0d|0c e=8 k=nil v=a"),
    same("01|01 k=nil|01 k=odd v=ab|01 e=4 k=odd v=a|01 e=8|11 e=8 v=ab|02 e=20 k=nil v=a"),
    same("05|05 e=8 k=n0|05 e=20|05 k=n0|15 e=21 k=n0|06 e=20 k=n0 v=a|16 e=16 k=n0"),
    same("07 k=nil|07 e=4|17 v=ab|08 e=8|08 k=nil|18 e=4 v=ab|0a k=nil|0a e=4|0b k=nil|0b v=a"),
    same("0e e=8 k=odd v=a|0f e=4 k=odd v=a|0e v=a|0e|19 e=8 k=nil v=ab|10 e=4 k=reset"),
    same("1c k=nil|1c e=4|1d e=8 k=nil|1e k=nil|23 k=nil|24 e=2 k=nil|1d"),
    differs("1b k=nil; 07; 07", HUNG_UP, UNKNOWN_QUIT, UNKNOWN_BODY),
    differs(
        "20 k=nil; 07",
        "20 04 value Invalid arguments\n(closed)\n",
        NO_LOGIN_LIST,
        NO_LOGINS,
    ),
    differs(
        "21; 07",
        "21 04 value Invalid arguments\n(closed)\n",
        NO_LOGIN_START,
        NO_LOGINS,
    ),
    differs(
        "22; 07",
        "22 04 value Invalid arguments\n(closed)\n",
        NO_LOGIN_STEP,
        NO_LOGINS,
    ),
];

/// The bytes that an oddity stands for.
pub(crate) fn expand(sent: &str) -> Vec<u8> {
    let sent = sent.replace("{K}", &"k".repeat(251));
    sent.replace('@', "\r\n").into_bytes()
}

/// The bytes that packets stand for.
pub(crate) fn expand_packets(sent: &str) -> Vec<u8> {
    let mut bytes = vec![];
    for packet in sent.split("; ") {
        let packet = packet.replace("{K}", &"k".repeat(251));
        expand_packet(&packet, &mut bytes);
    }
    bytes
}

fn expand_packet(packet: &str, bytes: &mut Vec<u8>) {
    let part = |name: &str| {
        let mut parts = packet.split(' ').skip(1);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let number = |text: &str| text.parse().expect("lengths are short");
    let hex = |text: &str| u8::from_str_radix(text, 16).expect("two digits of hex");
    let start = bytes.len();
    let request = Packet {
        opcode: hex(&packet[..2]),
        extras: vec![0; part("e").map_or(0, |text| usize::from(number(text)))],
        key: part("k").unwrap_or_default().into(),
        value: part("v").unwrap_or_default().into(),
        ..Packet::default()
    };
    request.encode(0, bytes);
    let header = &mut bytes[start..];
    for (name, at) in [("kl", 3), ("el", 4), ("bl", 11)] {
        if let Some(text) = part(name) {
            header[at] = number(text);
        }
    }
    if let Some(magic) = part("m") {
        header[0] = hex(magic);
    }
}

/// Whether the replies to one command are as they must be.
pub(crate) fn agree(command: &Command, a: &[Unit], b: &[Unit], twins: bool) -> bool {
    let pinned = command.allowed.and_then(|allowed| allowed.replies);
    let Some([debian, ours]) = pinned.filter(|_| !twins) else {
        return same_reply(a, b);
    };
    // A newer memcached may stand in for Debian's: then it answers as we do.
    let [a, b] = [a, b].map(text);
    let newest = command.allowed.and_then(|allowed| allowed.newest);
    b == ours && (a == debian || a == ours || newest == Some(&*a))
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
    a == b || essence(a.clone()) == essence(b.clone()) || same_meta(a, b)
}

/// Meta replies word for word, but for what is masked.
fn same_meta(a: &Unit, b: &Unit) -> bool {
    let (Unit::Meta { words: a, data: c }, Unit::Meta { words: b, data: d }) = (a, b) else {
        return false;
    };
    let number = a.iter().any(|word| word.starts_with(b"kn"));
    let trimmed = |data: &Option<Vec<u8>>| data.as_ref().map(|data| data.trim_ascii_end().to_vec());
    let same_data = c == d || number && trimmed(c) == trimmed(d);
    let debug = a[0] == b"ME";
    let same_word = |(a, b): (&Vec<u8>, &Vec<u8>)| {
        a == b
            || match (a[0], b[0]) {
                (b'0'..=b'9', b'0'..=b'9') => number && same_data,
                (first, other) if first != other => false,
                _ if debug => same_fact(a, b),
                (b's', _) => number,
                (b't', _) => near(&a[1..], &b[1..]),
                (b'l', _) => decimal(&a[1..]).is_some() && decimal(&b[1..]).is_some(),
                (b'c', _) => match (decimal(&a[1..]), decimal(&b[1..])) {
                    (Some(a), Some(b)) => cas_essence(a) == cas_essence(b),
                    _ => false,
                },
                _ => false,
            }
    };
    a.len() == b.len() && same_data && a.iter().zip(b).all(same_word)
}

/// A fact of `me`: its time to live is near, and whether it was fetched is the same.
fn same_fact(a: &[u8], b: &[u8]) -> bool {
    let parts = |word: &[u8]| {
        let at = word.iter().position(|byte| *byte == b'=')?;
        Some((word[..at].to_vec(), word[at + 1..].to_vec()))
    };
    let (Some((name, a)), Some((other, b))) = (parts(a), parts(b)) else {
        return false;
    };
    let masked = [&b"la"[..], b"cas", b"cls", b"size"].contains(&&name[..]);
    name == other && (masked || name == b"exp" && near(positive(&a), positive(&b)))
}

/// 1.6.18 shows in `me` how long ago an item will have died.
fn positive(time: &[u8]) -> &[u8] {
    match time {
        b"-1" => time,
        _ => time.strip_prefix(b"-").unwrap_or(time),
    }
}

/// Times to live of the same item on two clocks, one of which may have waited.
fn near(a: &[u8], b: &[u8]) -> bool {
    match (decimal(a), decimal(b)) {
        (Some(a), Some(b)) => a.abs_diff(b) <= 50,
        _ => false,
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Ids that were asked for must come back; each server makes its own others.
fn cas_essence(cas: u64) -> u64 {
    match cas {
        0 => 0,
        1..EXPLICIT_CAS => 1,
        told => told,
    }
}

fn text(units: &[Unit]) -> String {
    let lines = units.iter().map(|unit| match unit {
        Unit::Line(line) => String::from_utf8_lossy(line).into_owned(),
        Unit::Meta { words, data: None } => {
            String::from_utf8_lossy(&words.join(&b' ')).into_owned() + "\r\n"
        }
        other => show_units(std::slice::from_ref(other)),
    });
    lines.collect()
}

/// A unit without what may differ.
fn essence(mut unit: Unit) -> Unit {
    match &mut unit {
        Unit::Line(line) if line.starts_with(b"VERSION ") => *line = b"VERSION".to_vec(),
        Unit::Value { key, cas, data, .. } => {
            *cas = cas.map(cas_essence);
            if key.starts_with(b"n") {
                data.truncate(data.trim_ascii_end().len());
            }
        }
        Unit::Packet(reply) => mask_packet(reply),
        _ => {}
    }
    unit
}

fn mask_packet(reply: &mut Reply) {
    reply.cas = cas_essence(reply.cas);
    if reply.opcode == VERSION && reply.status == 0 {
        reply.value.clear();
    }
    if reply.asked.starts_with(b"n") {
        let length = reply.value.trim_ascii_end().len();
        // A count is eight bytes of any kind.
        if !matches!(reply.opcode, 0x05 | 0x06) {
            reply.value.truncate(length);
        }
    }
}

#[test]
fn every_difference_has_a_reason() {
    for oddity in ODDITIES.iter().chain(META_ODDITIES).chain(BINARY_FAREWELLS) {
        assert_eq!(
            oddity.replies.is_some(),
            !oddity.reason.is_empty(),
            "{:?}",
            oddity.sent
        );
        if let Some([debian, ours]) = oddity.replies {
            let differs = debian != ours || oddity.newest.is_some();
            assert!(differs, "{:?}", oddity.sent);
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

#[test]
fn only_what_is_listed_is_masked_in_meta_replies() {
    let meta = |line: &str, data: Option<&str>| Unit::Meta {
        words: line.split(' ').map(|word| word.into()).collect(),
        data: data.map(Into::into),
    };
    let same = |a, b| same_unit(&meta(a, None), &meta(b, None));
    assert!(same("HD c5 t100 l0 kw", "HD c9 t99 l1 kw"));
    assert!(same(
        "ME s exp=-100 la=0 cas=1 fetch=no cls=1 size=9",
        "ME s exp=100 la=1 cas=2 fetch=no cls=2 size=8"
    ));
    for (a, b) in [
        ("HD c5", "HD c0"),
        ("HD c1099511627776", "HD c1099511627777"),
        ("HD t-1", "HD t100"),
        ("HD t1000", "HD t100"),
        ("HD h0", "HD h1"),
        ("HD s5", "HD s4"),
        ("HD kw", "HD kv"),
        ("HD W", "HD Z"),
        ("HD f1 W", "HD f1"),
        ("HD", "EN"),
        ("ME s exp=-1 fetch=no", "ME s exp=100 fetch=no"),
        ("ME s exp=-1 fetch=no", "ME s exp=-1 fetch=yes"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
    let value = |line, data| meta(line, Some(data));
    assert!(same_unit(
        &value("VA 2 s2 kn0", "9 "),
        &value("VA 1 s1 kn0", "9")
    ));
    assert!(!same_unit(
        &value("VA 2 kw0", "9 "),
        &value("VA 1 kw0", "9")
    ));
    assert!(!same_unit(&value("VA 1 kn0", "9"), &value("VA 1 kn0", "8")));
}

#[test]
fn packets_are_what_they_are_written_as() {
    let bytes = expand_packets("01 e=8 k=ab v=c; 0a m=81 kl=9");
    assert_eq!(bytes.len(), 24 + 11 + 24);
    assert_eq!(bytes[..12], [0x80, 1, 0, 2, 8, 0, 0, 0, 0, 0, 0, 11]);
    assert_eq!(bytes[32..35], *b"abc");
    assert_eq!(bytes[35..39], [0x81, 0x0a, 0, 9]);
}
