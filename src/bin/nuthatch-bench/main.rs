//! A load generator for memcached-compatible servers.
//!
//! ```text
//!   options ─▶ Plan ─▶ run: threads of engine ─▶ Tally ─▶ report
//!                         │  login: before anything else, if asked for
//!                         │  load: which key, which value
//!                         │  wire: requests to bytes, bytes to heads of replies
//!                         └  replies: count, time, verify
//!   no options ─▶ series: sets, gets, a mix ─▶ run
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
mod output;
mod plan;
mod progress;
mod random;
mod replay;
mod replies;
mod report;
mod run;
mod series;
mod socket;
mod tally;
mod trace;
mod wire;

use crate::failure::Failure;
use crate::options::Action;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match act(options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("nuthatch-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// `false` if it could be done but a value was wrong.
fn act(action: Action) -> Result<bool, Failure> {
    match action {
        Action::Run { plan, json } => {
            let outcome = run::measure(&plan, "run")?;
            output::print(&if json {
                report::json(None, &outcome)
            } else {
                report::page(&plan, &outcome)
            })?;
            Ok(outcome.tally.wrong == 0)
        }
        Action::Series { plan, json } => series::run(&plan, json).map(|()| true),
        Action::Replay { replay, json } => {
            let played = replay.run()?;
            output::print(&if json { played.json() } else { played.page() })?;
            Ok(true)
        }
        Action::Trace(synthesis) => synthesis.write(io::stdout().lock()).map(|()| true),
    }
}
