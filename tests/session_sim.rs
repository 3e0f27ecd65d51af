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

fn push_request(random: &mut Random, out: &mut Vec<u8>) {
    let line = match random.below(14) {
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
            "mg k v",
        ]))
        .into(),
    };
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn stream(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut out = vec![];
    for _ in 0..REQUESTS {
        push_request(&mut random, &mut out);
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
    let input = stream(seed);
    let mut random = Random(!seed);
    let whole = answers(&input, &mut random, u64::MAX);
    for piece_max in [3, 40, 1500, 70_000] {
        let cut = answers(&input, &mut random, piece_max);
        if whole != cut {
            let at = whole.iter().zip(&cut).take_while(|(a, b)| a == b).count();
            let shown = |bytes: &[u8]| {
                bytes[at.saturating_sub(60)..bytes.len().min(at + 60)]
                    .escape_ascii()
                    .to_string()
            };
            panic!(
                "SEED={seed}, pieces of {piece_max}, from byte {at}:\nwhole: {}\ncut:   {}",
                shown(&whole),
                shown(&cut)
            );
        }
    }
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
