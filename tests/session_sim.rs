//! Long conversations made from a seed: the network may cut them anywhere, the answers stay.
//!
//! A failure names its seed; `SEED=<n>` runs that one alone.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;

use common::{Random, Talk, settings};
use nuthatch::base::settings::Settings;

/// Requests in one conversation.
const REQUESTS: usize = 300;

/// Conversations tried.
const SEEDS: u64 = 12;

fn key(random: &mut Random) -> String {
    match random.below(50) {
        0 => "x".repeat(251),
        1 => "y".repeat(250),
        _ => format!("{}:{}", random.pick(&["a", "user", ""]), random.below(20)),
    }
}

fn keys(random: &mut Random) -> String {
    let most = if random.below(10) == 0 { 3000 } else { 30 };
    let count = 1 + random.below(most);
    let keys: Vec<String> = (0..count)
        .map(|_| format!("{}:{}", random.pick(&["a", "user"]), random.below(20)))
        .collect();
    keys.join(" ")
}

fn push_store(random: &mut Random, out: &mut Vec<u8>) {
    let verb = random.pick(&[
        "set", "set", "set", "add", "replace", "append", "prepend", "cas",
    ]);
    let lengths = [0, 1, 7, 100, 5_000, 20_000, 200_000, 1_100_000];
    let len = match random.below(20) {
        0..15 => lengths[random.below(4) as usize],
        15..19 => lengths[4 + random.below(3) as usize],
        _ => lengths[7],
    };
    let cas = if verb == "cas" {
        format!(" {}", random.below(40))
    } else {
        String::new()
    };
    let flags = random.pick(&["0", "7", "4294967295", "4294967296", "-1"]);
    let exptime = random.pick(&["0", "0", "100", "-1", "x"]);
    let noreply = random.pick(&["", "", " noreply"]);
    let line = format!(
        "{verb} {} {flags} {exptime} {len}{cas}{noreply}\r\n",
        key(random)
    );
    out.extend_from_slice(line.as_bytes());
    let byte = b'0' + random.below(10) as u8;
    out.resize(out.len() + len, byte);
    out.extend_from_slice(if random.below(30) == 0 {
        b"xx"
    } else {
        b"\r\n"
    });
}

fn meta_flags(random: &mut Random) -> String {
    let count = random.below(6);
    let flags: Vec<String> = (0..count)
        .map(|_| match random.below(10) {
            0 => format!("T{}", random.below(100)),
            1 => format!("C{}", random.below(60)),
            2 => format!("O{}", random.below(1000)),
            3 => (*random.pick(&["N30", "R40", "E33", "D5", "J9", "F7"])).into(),
            _ => {
                (*random.pick(&["v", "k", "s", "t", "c", "f", "q", "I", "x", "h", "b", "y"])).into()
            }
        })
        .collect();
    flags.join(" ")
}

fn push_meta_store(random: &mut Random, out: &mut Vec<u8>) {
    let lengths = [0, 1, 100, 5_000, 50_000, 1_100_000];
    let most = if random.below(10) == 0 { 6 } else { 3 };
    let len = lengths[random.below(most) as usize];
    let mode = random.pick(&["", "MA", "MP", "ME", "MR", "MS", "Mx"]);
    let line = format!("ms {} {len} {mode} {}\r\n", key(random), meta_flags(random));
    out.extend_from_slice(line.as_bytes());
    out.resize(out.len() + len, b'0' + random.below(10) as u8);
    out.extend_from_slice(if random.below(30) == 0 {
        b"xx"
    } else {
        b"\r\n"
    });
}

fn push_request(random: &mut Random, out: &mut Vec<u8>) {
    let line = match random.below(20) {
        14..17 => return push_meta_store(random, out),
        17..20 => format!(
            "{} {} {}",
            random.pick(&["mg", "mg", "md", "ma", "me"]),
            key(random),
            meta_flags(random)
        ),
        0..4 => return push_store(random, out),
        4..6 => format!("get {}", key(random)),
        6 => format!(
            "get {}\r\nget {}\r\nget {}",
            key(random),
            key(random),
            key(random)
        ),
        7 => format!("gets {}", keys(random)),
        8 => format!("get {}", keys(random)),
        9 => format!(
            "{} {} {}",
            random.pick(&["gat", "gats"]),
            random.below(100),
            keys(random)
        ),
        10 => format!("{} {} 3", random.pick(&["incr", "decr"]), key(random)),
        11 => format!(
            "delete {}{}",
            key(random),
            random.pick(&["", " noreply", " 0"])
        ),
        12 => format!(
            "touch {} {}",
            key(random),
            random.pick(&["0", "5", "-1", "x"])
        ),
        _ => (*random.pick(&[
            "version",
            "",
            "bogus",
            "flush_all noreply",
            "stats sizes",
            "lru_crawler metadump all",
            "lru_crawler mgdump 1,2,3",
            "stats cachedump 2 5",
            "mg k v",
        ]))
        .into(),
    };
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn text_stream(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = vec![];
    for _ in 0..REQUESTS {
        push_request(&mut random, &mut out);
    }
    out
}

fn push_packet(random: &mut Random, out: &mut Vec<u8>) {
    let opcodes: [u8; 36] = [
        0x00, 0x00, 0x00, 0x01, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0b,
        0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x18, 0x19, 0x1a, 0x1c,
        0x1d, 0x1e, 0x20, 0x23, 0x24, 0x40,
    ];
    let opcode = opcodes[random.below(opcodes.len() as u64) as usize];
    let (extras_len, with_key) = match opcode {
        0x01..=0x03 | 0x11..=0x13 => (8, true),
        0x05 | 0x06 | 0x15 | 0x16 => (20, true),
        0x1c..=0x1e | 0x23 | 0x24 => (4, true),
        0x08 | 0x18 => (random.below(2) * 4, false),
        0x0a | 0x0b | 0x20 => (0, false),
        0x10 => (0, false),
        _ => (0, true),
    };
    let name = match opcode {
        0x10 => (*random.pick(&["sizes", "nothing", "detail on", "detail dump"])).into(),
        _ if with_key => format!("user:{}", random.below(20)),
        _ => String::new(),
    };
    let lengths = [0, 1, 3, 100, 5_000, 20_000, 200_000, 1_100_000];
    let most = if random.below(10) == 0 { 8 } else { 5 };
    let value_len = match opcode {
        0x01..=0x03 | 0x11..=0x13 | 0x0e | 0x0f | 0x19 | 0x1a | 0x40 => {
            lengths[random.below(most) as usize]
        }
        _ => 0,
    };
    let cas = if random.below(5) == 0 {
        random.below(60)
    } else {
        0
    };
    let body_len = extras_len as usize + name.len() + value_len;
    out.extend_from_slice(&[0x80, opcode, 0, name.len() as u8, extras_len as u8, 0, 0, 0]);
    out.extend_from_slice(&(body_len as u32).to_be_bytes());
    out.extend_from_slice(&(random.next() as u32).to_be_bytes());
    out.extend_from_slice(&cas.to_be_bytes());
    // Small numbers: flags, deltas and exptimes that make sense.
    out.extend((0..extras_len).map(|at| {
        if at % 4 == 3 {
            random.below(100) as u8
        } else {
            0
        }
    }));
    out.extend_from_slice(name.as_bytes());
    out.resize(out.len() + value_len, b'0' + random.below(10) as u8);
}

fn binary_stream(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = vec![];
    for _ in 0..REQUESTS {
        push_packet(&mut random, &mut out);
    }
    out
}

/// The answers when the input arrives in pieces of at most `piece_max` bytes.
fn answers(input: &[u8], random: &mut Random, piece_max: u64) -> Vec<u8> {
    let mut talk = Talk::new(Settings {
        requests_per_event: 7,
        ..settings()
    });
    let mut rest = input;
    while !rest.is_empty() {
        let len = (1 + random.below(piece_max) as usize).min(rest.len());
        let (piece, after) = rest.split_at(len);
        talk.send(piece);
        rest = after;
    }
    assert_eq!(talk.ended, None);
    std::mem::take(&mut talk.reply)
}

fn simulate(seed: u64) {
    for (protocol, input) in [("text", text_stream(seed)), ("binary", binary_stream(seed))] {
        let mut random = Random(!seed);
        let whole = answers(&input, &mut random, u64::MAX);
        for piece_max in [3, 40, 1500, 70_000] {
            let cut = answers(&input, &mut random, piece_max);
            let what = format!("SEED={seed}, {protocol}, pieces of {piece_max}");
            assert_same(&whole, &cut, &what);
        }
    }
}

fn assert_same(whole: &[u8], cut: &[u8], what: &str) {
    if whole == cut {
        return;
    }
    let at = whole.iter().zip(cut).take_while(|(a, b)| a == b).count();
    let shown = |bytes: &[u8]| {
        bytes[at.saturating_sub(60)..bytes.len().min(at + 60)]
            .escape_ascii()
            .to_string()
    };
    panic!(
        "{what}, from byte {at}:\nwhole: {}\ncut:   {}",
        shown(whole),
        shown(cut)
    );
}

#[test]
fn fragmentation_does_not_change_the_answers() {
    if let Ok(seed) = std::env::var("SEED") {
        return simulate(seed.parse().unwrap());
    }
    for seed in 0..SEEDS {
        simulate(seed);
    }
}
