//! How many instructions a request takes, counted: no clock, so no noise from the machine.
//!
//! valgrind runs `benches/instructions.rs` with n requests and with twice as many; the difference
//! by n is one request. `benches/instructions.txt` says what each may take. The counts repeat to
//! the instruction on one machine; another compiler or processor (the C library and memchr choose
//! their routines by it) moves them by a percent or two, which the margin allows for.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

/// Requests that are counted.
const REQUESTS: u64 = 4_000;

/// A request may take so many percent more than the table says.
const MARGIN_PERCENT: u64 = 5;

const TABLE: &str = include_str!("../benches/instructions.txt");

#[test]
#[ignore = "needs valgrind; scripts/test installs it"]
fn a_request_takes_no_more_instructions_than_it_did() {
    let binary = build();
    let mut report = String::from("instructions a request takes:\n");
    let mut worse = 0;
    for (case, known) in table() {
        let once = instructions(&binary, case, REQUESTS);
        let twice = instructions(&binary, case, 2 * REQUESTS);
        let counted = (twice - once) / REQUESTS;
        let verdict = judge(counted, known);
        worse += u32::from(verdict == Verdict::Worse);
        let remark = verdict.remark();
        writeln!(report, "{case:<18} {counted:>6}  known {known:>6}{remark}").unwrap();
    }
    // Not by `print!`: what passes should be seen too.
    io::stderr().write_all(report.as_bytes()).unwrap();
    assert!(
        worse == 0,
        "more than {MARGIN_PERCENT} % over benches/instructions.txt; \
         if that is what it takes, put the new counts there\n{report}"
    );
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Better,
    Same,
    Worse,
}

impl Verdict {
    fn remark(&self) -> &'static str {
        match self {
            Self::Better => "  better: put it in the table",
            Self::Same => "",
            Self::Worse => "  TOO MANY",
        }
    }
}

fn judge(counted: u64, known: u64) -> Verdict {
    let margin = known * MARGIN_PERCENT / 100;
    if counted > known + margin {
        Verdict::Worse
    } else if counted + margin < known {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

/// The cases and what they are known to take.
fn table() -> Vec<(&'static str, u64)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(case, known)| (case, known.trim().parse().unwrap()))
        .collect()
}

/// Builds the bench and says where it is.
fn build() -> String {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["bench", "--quiet", "--locked", "--bench", "instructions"])
        .args(["--no-run", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let messages = String::from_utf8(output.stdout).unwrap();
    let path = messages
        .lines() // one for each target, the binaries among them
        .filter(|line| line.contains(r#""name":"instructions""#))
        .find_map(|line| line.split_once(r#""executable":""#))
        .map(|(_, rest)| rest.split('"').next().unwrap())
        .expect("cargo names what it has built");
    assert!(Path::new(path).exists(), "{path}");
    path.into()
}

fn instructions(binary: &str, case: &str, requests: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args([binary, case, &requests.to_string()])
        .output()
        .expect("valgrind is installed: scripts/test does it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {said}");
    collected(&said).unwrap_or_else(|| panic!("{case}: no count in {said}"))
}

/// The number in `==7== Collected : 124588`.
fn collected(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[test]
fn growth_beyond_the_margin_is_seen() {
    assert_eq!(judge(1050, 1000), Verdict::Same);
    assert_eq!(judge(1051, 1000), Verdict::Worse);
    assert_eq!(judge(950, 1000), Verdict::Same);
    assert_eq!(judge(949, 1000), Verdict::Better);
}

#[test]
fn the_count_is_found_in_what_valgrind_says() {
    let said = "==7== Events    : Ir\n==7== Collected : 124588\n==7== \n==7== I   refs: 124,588\n";
    assert_eq!(collected(said), Some(124_588));
    assert_eq!(collected("valgrind: no such program"), None);
}

#[test]
fn the_table_can_be_read() {
    assert!(table().len() >= 8);
}
