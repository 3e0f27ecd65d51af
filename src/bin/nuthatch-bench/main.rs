//! A load generator for memcached-compatible servers.
//!
//! ```text
//!   options ─▶ Plan ─▶ run: threads of engine ─▶ Tally ─▶ report
//!                         │  login: before anything else, if asked for
//!                         │  load: which key, which value
//!                         │  wire: requests to bytes, bytes to heads of replies
//!                         └  replies: count, time, verify
//!   options ─▶ Replay ─▶ replay: a trace's operations ─▶ miss ratios
//!   options ─▶ Synthesis ─▶ trace: lines for replay
//! ```
//!
//! It is a tool: it knows a server by its wire alone, so it measures any. Per request it writes
//! into one buffer, and looks at the head of each reply and not at the value, unless verifying.

mod cpu;
mod engine;
mod failure;
mod histogram;
mod load;
mod login;
mod operation;
mod options;
mod plan;
mod progress;
mod random;
mod replay;
mod replies;
mod report;
mod run;
mod socket;
mod tally;
mod trace;
mod wire;

use crate::failure::Failure;
use crate::options::Action;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match options::parse().and_then(act) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("nuthatch-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Run { plan, json } => {
            let outcome = run::measure(&plan, "run")?;
            if json {
                println!("{}", report::json(&outcome));
            } else {
                print!("{}", report::page(&plan, &outcome));
            }
            if outcome.tally.wrong > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Action::Replay { replay, json } => {
            let played = replay.run()?;
            if json {
                println!("{}", played.json());
            } else {
                print!("{}", played.page());
            }
        }
        Action::Trace(synthesis) => synthesis.write(io::stdout().lock())?,
    }
    Ok(ExitCode::SUCCESS)
}
