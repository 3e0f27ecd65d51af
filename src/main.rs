//! The daemon: arguments to settings, a logger, a server, and an exit code.

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, info};
use nuthatch::base::settings::Settings;
use nuthatch::cli::{self, Action};
use nuthatch::server::{Failure, log_level, process};
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<(), Failure> {
    match cli::parse(env::args_os())? {
        Action::Print(text) => {
            // A reader that has seen enough (`-h | head -1`) is no failure.
            let _ = writeln!(io::stdout(), "{text}");
            Ok(())
        }
        Action::Run { settings, notes } => serve(*settings, &notes),
    }
}

fn serve(settings: Settings, notes: &[String]) -> Result<(), Failure> {
    start_logging(settings.verbosity);
    for note in notes {
        info!("{note}");
    }
    process::run(settings)
}

/// Plain lines on stderr. Under the journal, which adds the time itself, each begins with its
/// priority. The level can change while running, so the logger itself lets everything through.
fn start_logging(verbosity: u8) {
    let to_journal = env::var_os("JOURNAL_STREAM").is_some();
    Builder::new()
        .filter_level(LevelFilter::Trace)
        .target(Target::Stderr)
        .format(move |out, record| {
            if to_journal {
                write!(out, "<{}>", priority(record.level()))?;
            }
            writeln!(out, "{}", record.args())
        })
        .init();
    log::set_max_level(log_level(verbosity));
}

/// The level as syslog counts them.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
