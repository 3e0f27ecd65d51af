//! What the operator has given, flag by flag, and where: a file, the environment, a command line.
//!
//! ```text
//!   file < environment < command line
//! ```
//!
//! A flag given in one place replaces the same flag of all places to its left; within a place the
//! last one counts, as with `getopt`. Each suboption of `-o` is a flag of its own in this.

use super::{bad, conflict, extended, file, flags, usage_failure};
use crate::base::settings::Settings;
use crate::server::{Failure, ListenSpec};
use clap::ArgAction;
use clap::parser::ValueSource;
use std::ffi::OsString;
use std::fmt;
use std::iter;
use std::path::{Path, PathBuf};

/// Holds flags as a line of the file does.
pub const OPTIONS_VARIABLE: &str = "NUTHATCH_OPTIONS";

/// Flags about the command itself: elsewhere they would make every start print something and end.
const LINE_ONLY: [&str; 5] = ["help", "license", "version", "print-config", "check"];

/// Names the file. A file may not name another.
const CONFIG: &str = "config";

/// Where a flag stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// On the command line.
    CommandLine,
    /// In the environment.
    Environment,
    /// In a file, at a line counted from 1.
    Line(PathBuf, usize),
}

/// One flag, as it was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The flag's long name.
    pub(super) id: String,
    /// What it was given; a switch has none, and `-o` one suboption.
    pub(super) value: Option<String>,
    /// Where.
    pub(super) origin: Origin,
}

impl Origin {
    /// A complaint that says where the mistake stands. On the command line it is in plain sight.
    pub(super) fn blame(&self, failure: Failure) -> Failure {
        match self {
            Self::CommandLine => failure,
            _ => Failure::new(failure.code, format!("{self}: {}", failure.message)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment => f.write_str(OPTIONS_VARIABLE),
            Self::Line(file, number) => write!(f, "{}, line {number}", file.display()),
        }
    }
}

impl Given {
    /// What the flag is about: its value, or the name of the suboption.
    fn subject(&self) -> &str {
        let value = self.value.as_deref().unwrap_or_default();
        match self.suboption() {
            "" => value,
            name => name,
        }
    }

    /// The name of the suboption, if this is `-o`.
    pub(super) fn suboption(&self) -> &str {
        match &self.value {
            Some(value) if self.id == "extended" => {
                value.split_once('=').map_or(&**value, |(name, _)| name)
            }
            _ => "",
        }
    }
}

/// The flags among `arguments`, which begin with the program's name.
pub(super) fn on_command_line(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Vec<Given>, Failure> {
    read(arguments, &Origin::CommandLine)
}

/// The flags in the value of [`OPTIONS_VARIABLE`].
pub(super) fn in_environment(value: Option<OsString>) -> Result<Vec<Given>, Failure> {
    let origin = Origin::Environment;
    let Some(value) = value else {
        return Ok(vec![]);
    };
    let text = value.into_string();
    let text = text.map_err(|_| origin.blame(bad("is not UTF-8")))?;
    let words = file::words(&text).map_err(|why| origin.blame(bad(why)))?;
    read_elsewhere(words, &origin, &LINE_ONLY)
}

/// The flags in the file at `path`. What has no effect there is added to `notes`.
pub(super) fn in_file(path: &Path, notes: &mut Vec<String>) -> Result<Vec<Given>, Failure> {
    let text =
        file::read(path).map_err(|error| bad(format!("--config {}: {error}", path.display())))?;
    let mut given = vec![];
    let barred: Vec<&str> = LINE_ONLY.into_iter().chain([CONFIG]).collect();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let origin = Origin::Line(path.into(), number);
        let line = file::ConfigLine::parse(line).map_err(|why| origin.blame(bad(why)))?;
        match line {
            file::ConfigLine::Flags(words) => {
                given.extend(read_elsewhere(words, &origin, &barred)?)
            }
            file::ConfigLine::Skipped(None) => {}
            file::ConfigLine::Skipped(Some(why)) => notes.push(format!("{origin}: {why}")),
        }
    }
    Ok(given)
}

/// Lays places over each other; those that come later win.
pub(super) fn layered(places: [Vec<Given>; 3]) -> Vec<Given> {
    let mut result: Vec<Given> = vec![];
    for place in places {
        result.retain(|old| {
            let mut replaced = place.iter();
            !replaced.any(|new| new.id == old.id && new.suboption() == old.suboption())
        });
        result.extend(place);
    }
    result
}

/// Says where the flag stands that a complaint begins with.
pub(super) fn blame(given: &[Given], failure: Failure) -> Failure {
    let letter = failure.message.strip_prefix('-');
    let letter = letter.and_then(|rest| rest.chars().next());
    let of_flag = given
        .iter()
        .filter(|given| flags::letter(&given.id) == letter);
    // Of several, the one that it is most about, or the last.
    let named = |given: &&Given| {
        let subject = given.subject();
        let is_named = failure.message.contains(subject);
        is_named.then_some(subject.len())
    };
    match of_flag.max_by_key(named) {
        Some(culprit) => culprit.origin.blame(failure),
        None => failure,
    }
}

/// Words that stand elsewhere than on the command line, where some flags may not be.
fn read_elsewhere(
    words: Vec<String>,
    origin: &Origin,
    barred: &[&str],
) -> Result<Vec<Given>, Failure> {
    let words = iter::once("nuthatch".into()).chain(words.into_iter().map(OsString::from));
    let given = read(words, origin)?;
    match given.iter().find(|given| barred.contains(&&*given.id)) {
        None => Ok(given),
        Some(given) => {
            let message = format!("--{}: only for the command line", given.id);
            Err(origin.blame(conflict(message)))
        }
    }
}

/// Splits words into flags. What can be judged by itself is judged here, where it stands.
fn read(words: impl IntoIterator<Item = OsString>, origin: &Origin) -> Result<Vec<Given>, Failure> {
    let mut command = flags::grammar();
    let matches = command
        .try_get_matches_from_mut(words)
        .map_err(|error| origin.blame(usage_failure(&error)))?;
    let mut result = vec![];
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let mut add = |value: Option<String>| {
            result.push(Given {
                id: id.into(),
                value,
                origin: origin.clone(),
            });
        };
        match argument.get_action() {
            ArgAction::SetTrue => add(None),
            ArgAction::Count => (0..matches.get_count(id)).for_each(|_| add(None)),
            _ => {
                let values = matches.get_many::<String>(id).into_iter().flatten();
                let values = values.flat_map(|value| split(id, value));
                values.for_each(|value| add(Some(value.into())));
            }
        }
    }
    for given in &result {
        judge(given).map_err(|failure| origin.blame(failure))?;
    }
    Ok(result)
}

/// The suboptions of `-o`, or the value as it is.
fn split<'a>(id: &str, value: &'a str) -> Vec<&'a str> {
    if id != "extended" {
        return vec![value];
    }
    let elements = value.split(',').map(str::trim);
    elements.filter(|element| !element.is_empty()).collect()
}

/// Finds mistakes in flags that may come several times, and mean the same whatever else is given.
fn judge(given: &Given) -> Result<(), Failure> {
    let value = given.value.as_deref().unwrap_or_default();
    match &*given.id {
        "listen" => ListenSpec::parse_list(value)
            .map(|_| ())
            .map_err(|why| conflict(format!("-l {why}"))),
        "extended" => extended::apply(&mut Settings::default(), value, &mut vec![]),
        _ => Ok(()),
    }
}
