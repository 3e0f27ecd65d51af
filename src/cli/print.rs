//! `--print-config`: every setting and where it is from, as a file that `--config` reads back.
//!
//! A flag that was given stands as it was given. The others are comments with the value that they
//! have all the same, so that reading the page back gives these settings on any machine that would
//! have had them.

use super::flags;
use super::given::Given;
use super::{USERS_VARIABLE, VERSION_LINE, conflict, extended, file, show_size};
use crate::base::services::Services;
use crate::base::settings::Settings;
use crate::server::{Failure, process};

/// Where the comment begins that says where a flag is from, if the flag leaves room.
const COLUMN: usize = 40;

/// The page. `untouched` are the settings without any flag.
///
/// # Errors
/// If a value does not fit on a line.
pub(super) fn page(
    given: &[Given],
    settings: &Settings,
    untouched: &Settings,
) -> Result<String, Failure> {
    let mut page = format!("# {VERSION_LINE}\n");
    let command = flags::command();
    let shown = command
        .get_arguments()
        .filter(|flag| !flags::is_about_the_command(flag));
    for id in shown.map(|flag| flag.get_id().as_str()) {
        for given in in_effect(given, id) {
            add(&mut page, &line(given)?, &given.origin.to_string());
        }
        if id == "extended" {
            add_suboptions(&mut page, given, settings, untouched);
        } else if !given.iter().any(|given| given.id == id) {
            add_default(&mut page, id, settings, untouched);
        }
    }
    page.pop();
    Ok(page)
}

/// The flags named `id` that count: of a value that replaces the one before it, the last.
fn in_effect<'a>(given: &'a [Given], id: &str) -> Vec<&'a Given> {
    let mut all: Vec<_> = given.iter().filter(|given| given.id == id).collect();
    if !["extended", "listen", "verbose"].contains(&id) {
        all.drain(..all.len().saturating_sub(1));
    }
    all
}

fn line(given: &Given) -> Result<String, Failure> {
    let id = &given.id;
    match &given.value {
        None => Ok(format!("--{id}")),
        Some(value) => match file::quote(value) {
            Some(word) => Ok(format!("--{id}={word}")),
            None => Err(conflict(format!(
                "--{id}: a value of several lines fits in no file"
            ))),
        },
    }
}

fn add(page: &mut String, line: &str, origin: &str) {
    // A path may hold anything, and a line break would end the comment.
    let origin = origin.escape_debug();
    page.push_str(&format!("{line:COLUMN$} # {origin}\n"));
}

fn add_default(page: &mut String, id: &str, settings: &Settings, untouched: &Settings) {
    match effective(id, settings) {
        Some(value) if id == "auth-file" => {
            add(page, &format!("# --{id}={value}"), USERS_VARIABLE);
        }
        Some(value) => {
            let is_default = effective(id, untouched).as_ref() == Some(&value);
            add(page, &format!("# --{id}={value}"), origin_of(is_default));
        }
        None => add(page, &format!("# --{id}"), "not set"),
    }
}

fn add_suboptions(page: &mut String, given: &[Given], settings: &Settings, untouched: &Settings) {
    let name_of = |element: &str| {
        let name = element.split_once('=').map_or(element, |(name, _)| name);
        name.trim_start_matches("no_").to_string()
    };
    let defaults = extended::effective(untouched);
    for element in extended::effective(settings) {
        let name = name_of(&element);
        if !given.iter().any(|given| name_of(given.suboption()) == name) {
            let is_default = defaults.contains(&element);
            let line = format!("# --extended={element}");
            add(page, &line, origin_of(is_default));
        }
    }
}

fn origin_of(is_default: bool) -> &'static str {
    if is_default {
        "default"
    } else {
        "follows from the others"
    }
}

/// The value that a flag has without being given; a switch and what is off have none.
fn effective(id: &str, settings: &Settings) -> Option<String> {
    let store = &settings.store;
    Some(match id {
        "port" => port(settings.tcp_port),
        "udp-port" => port(settings.udp_port),
        "unix-mask" => format!("{:o}", settings.unix_mask),
        "listen" if settings.unix_socket.is_none() => "localhost".into(),
        "listen-backlog" => settings.backlog.to_string(),
        "protocol" => services(settings.services).into(),
        "memory-limit" => show_size(store.memory_limit),
        "max-item-size" => show_size(u64::from(store.item_size_max)),
        "threads" => settings.threads.to_string(),
        "conn-limit" => settings.connections_max.to_string(),
        "max-reqs-per-event" => settings.requests_per_event.to_string(),
        "auth-file" => file::quote(&settings.sasl_file.as_ref()?.to_string_lossy())?,
        "user" => process::DEFAULT_USER.into(),
        "stats-delimiter" => char::from(settings.prefix_delimiter).to_string(),
        _ => return None,
    })
}

fn port(port: Option<u16>) -> String {
    match port {
        None => "0".into(),
        Some(0) => "-1".into(),
        Some(port) => port.to_string(),
    }
}

fn services(services: Services) -> &'static str {
    match (services.has(Services::TEXT), services.has(Services::BINARY)) {
        (true, false) => "ascii",
        (false, true) => "binary",
        _ => "auto",
    }
}
