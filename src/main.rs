//! The daemon: arguments to settings, a logger, a server, and an exit code.

use log::info;
use nuthatch::base::settings::Settings;
use nuthatch::cli::{self, Action};
use nuthatch::server::{Failure, logging, process};
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = run();
    logging::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run() -> Result<(), Failure> {
    match cli::parse(env::args_os(), env::var_os(cli::OPTIONS_VARIABLE))? {
        Action::Print(text) => {
            // A reader that has seen enough (`-h | head -1`) is no failure.
            let _ = writeln!(io::stdout(), "{text}");
            Ok(())
        }
        Action::Check { settings, notes } => check(&settings, &notes),
        Action::Run { settings, notes } => serve(*settings, &notes),
    }
}

fn check(settings: &Settings, notes: &[String]) -> Result<(), Failure> {
    logging::start(settings);
    process::check(settings)?;
    let mut out = io::stdout();
    for line in notes
        .iter()
        .map(String::as_str)
        .chain(["the settings are valid"])
    {
        let _ = writeln!(out, "{line}");
    }
    Ok(())
}

fn serve(settings: Settings, notes: &[String]) -> Result<(), Failure> {
    logging::start(&settings);
    for note in notes {
        info!("{note}");
    }
    process::run(settings)
}
