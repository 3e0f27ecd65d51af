//! memcached's command line: the only place that knows a flag's name.
//!
//! ```text
//!   file ─────────┐
//!   environment ──┼─clap (flags)─▶ given ─here─▶ Settings + notes, a text to print, or a Failure
//!   arguments ────┘
//! ```
//!
//! Clap splits the arguments as `getopt` does, and those of the file and the environment too. What
//! the words mean, and what is wrong with them, is said here, in one sentence that names the flag
//! and the value; it begins with where they stand, if that is not the command line.

mod extended;
mod file;
mod flags;
mod given;
mod print;

pub use flags::command;
pub use given::OPTIONS_VARIABLE;

use self::given::Given;
use crate::base::services::Services;
use crate::base::settings::Settings;
use crate::server::{EXIT_USAGE, Failure, ListenSpec, process};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::env;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread;

/// The line that `-V` prints and `-h` begins with.
pub const VERSION_LINE: &str = concat!(
    "nuthatch ",
    env!("CARGO_PKG_VERSION"),
    " (memcached 1.6.45 compatible)"
);

const LICENSE: &str = "\
Nuthatch is free software. You may use it under the terms of either the MIT license
(https://opensource.org/license/mit) or the Apache License, version 2.0
(https://www.apache.org/licenses/LICENSE-2.0), at your choice.
It comes without any warranty; see the license you choose.";

/// Exit code for a bad value of one option, and for an option that does not exist.
const EXIT_BAD_VALUE: u8 = 1;

/// Threads by default, however many CPUs there are: more take effect when asked for.
const THREADS_DEFAULT_MAX: usize = 4;

/// Threads at most. Each has a read buffer of a quarter MiB and a share of every counter.
const THREADS_MAX: u64 = 1024;

/// Above this many threads memcached warns, and so do we: they will outnumber the CPUs.
const THREADS_SENSIBLE: usize = 64;

/// Names the password file of `-S` where there is no `-Y`, as for memcached.
const USERS_VARIABLE: &str = "MEMCACHED_SASL_PWDB";

const MIB: u64 = 1 << 20;

/// The largest `-m`: more than any machine's address space holds.
const MEMORY_MAX: u64 = 1 << 46;

/// The range of `-I`.
const ITEM_SIZE: RangeInclusive<u64> = 1024..=1 << 30;

/// What the command line asks for.
#[derive(Debug)]
pub enum Action {
    /// Print this and exit successfully.
    Print(String),
    /// Serve.
    Run {
        /// With these settings.
        settings: Box<Settings>,
        /// Remarks to log first: options without effect, limits adjusted.
        notes: Vec<String>,
    },
    /// Find out whether a server could start, and say so.
    Check {
        /// With these settings.
        settings: Box<Settings>,
        /// Remarks to print first.
        notes: Vec<String>,
    },
}

/// Understands the command line; `arguments` begins with the program's name, and `options` is the
/// value of [`OPTIONS_VARIABLE`].
///
/// # Errors
/// A sentence for the operator and memcached's exit code for the mistake.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    options: Option<OsString>,
) -> Result<Action, Failure> {
    let arguments = given::on_command_line(arguments)?;
    let asks = |id: &str| arguments.iter().any(|given| given.id == id);
    if let Some(text) = information(asks) {
        return Ok(Action::Print(text));
    }
    let (prints, checks) = (asks("print-config"), asks("check"));
    let environment = given::in_environment(options)?;
    let mut notes = vec![];
    let mut paths = arguments.iter().chain(&environment);
    let file = match paths.rfind(|given| given.id == "config") {
        Some(path) => given::in_file(
            Path::new(path.value.as_deref().unwrap_or_default()),
            &mut notes,
        )
        .map_err(|failure| path.origin.blame(failure))?,
        None => vec![],
    };
    let given = given::layered([file, environment, arguments]);
    let settings = Box::new(understand(&given, &mut notes)?);
    if prints {
        let untouched = understand(&[], &mut vec![])?;
        return Ok(Action::Print(print::page(&given, &settings, &untouched)?));
    }
    Ok(if checks {
        Action::Check { settings, notes }
    } else {
        Action::Run { settings, notes }
    })
}

/// What is asked about the program itself.
fn information(asks: impl Fn(&str) -> bool) -> Option<String> {
    if asks("help") {
        let help = flags::command().render_help().to_string();
        Some(help.trim_end().into())
    } else if asks("version") {
        Some(VERSION_LINE.into())
    } else if asks("license") {
        Some(format!("{VERSION_LINE}\n\n{LICENSE}"))
    } else {
        None
    }
}

/// The settings that the flags ask for.
fn understand(given: &[Given], notes: &mut Vec<String>) -> Result<Settings, Failure> {
    let mut reader = Reader {
        given,
        settings: Settings::default(),
        notes,
    };
    match reader.read() {
        Ok(()) => Ok(reader.settings),
        Err(failure) => Err(given::blame(given, failure)),
    }
}

/// A mistake in the value of one option.
fn bad(message: impl Into<String>) -> Failure {
    Failure::new(EXIT_BAD_VALUE, message.into())
}

/// A value outside its bounds, or options that contradict each other.
fn conflict(message: impl Into<String>) -> Failure {
    Failure::new(EXIT_USAGE, message.into())
}

/// Clap's finding in our words.
fn usage_failure(error: &clap::Error) -> Failure {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => name.split(' ').next().unwrap_or_default(),
        _ => "",
    };
    bad(match error.kind() {
        ErrorKind::UnknownArgument => format!("{argument}: unknown option; -h lists them all"),
        ErrorKind::InvalidValue => format!("{argument}: needs a value"),
        ErrorKind::TooManyValues => format!("{argument}: takes no value"),
        _ => error.to_string().trim_end().to_string(),
    })
}

/// A protocol that would need no login where the other one does.
fn unguarded(settings: &Settings, flag: &str) -> Failure {
    let (given, other, missing) = if settings.sasl {
        ("-S", "text", "-Y")
    } else {
        ("-Y", "binary", "-S")
    };
    conflict(format!(
        "{flag}: with {given} alone, the {other} protocol would be a way around the login; \
         leave it out or add {missing}"
    ))
}

/// Fills in the settings, flag by flag.
struct Reader<'a> {
    given: &'a [Given],
    settings: Settings,
    notes: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Failure> {
        self.refuse_unsupported()?;
        self.network()?;
        self.process()?;
        self.store()?;
        self.extended()
    }

    /// Flags of features that memcached has and this does not, yet.
    fn refuse_unsupported(&self) -> Result<(), Failure> {
        let mut unsupported = flags::UNSUPPORTED.iter();
        match unsupported.find(|(id, _, _)| self.is_set(id)) {
            Some((_, short, what)) => {
                Err(conflict(format!("-{short}: {what} is not supported yet")))
            }
            None => Ok(()),
        }
    }

    fn all(&self, id: &'static str) -> impl DoubleEndedIterator<Item = &'a Given> + use<'a> {
        self.given.iter().filter(move |given| given.id == id)
    }

    fn values(&self, id: &'static str) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        self.all(id).filter_map(|given| given.value.as_deref())
    }

    /// The last value given, as with `getopt`.
    fn value(&self, id: &'static str) -> Option<&'a str> {
        self.values(id).next_back()
    }

    fn path(&self, id: &'static str) -> Option<PathBuf> {
        self.value(id).map(PathBuf::from)
    }

    fn is_set(&self, id: &'static str) -> bool {
        self.all(id).next().is_some()
    }

    /// A number within `range`, or why not.
    fn number(
        &self,
        id: &'static str,
        flag: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        self.value(id)
            .map(|text| parse_number(flag, text, &range))
            .transpose()
    }

    fn network(&mut self) -> Result<(), Failure> {
        self.settings.unix_socket = self.path("unix-socket");
        self.ports()?;
        if let Some(text) = self.value("unix-mask") {
            let mask = u32::from_str_radix(text, 8)
                .ok()
                .filter(|mask| *mask <= 0o7777);
            self.settings.unix_mask =
                mask.ok_or_else(|| bad(format!("-a {text}: not an octal mode such as 700")))?;
        }
        self.settings.listen = self.values("listen").map(str::to_string).collect();
        if self.settings.unix_socket.is_some() && !self.settings.listen.is_empty() {
            self.notes.push("-l has no effect beside -s".into());
        }
        if let Some(backlog) = self.number("listen-backlog", "-b", 0..=i32::MAX as u64)? {
            self.settings.backlog = backlog as i32;
        }
        let services = self.value("protocol").map(parse_services).transpose()?;
        self.logins(services)
    }

    /// A UDP port alone is TCP's too. Beside a UNIX socket there is neither.
    fn ports(&mut self) -> Result<(), Failure> {
        let tcp = self.value("port").map(|text| parse_port("-p", text));
        let udp = self.value("udp-port").map(|text| parse_port("-U", text));
        let (tcp, udp) = (tcp.transpose()?, udp.transpose()?.flatten());
        if self.settings.unix_socket.is_some() {
            self.settings.tcp_port = None;
            if udp.is_some() {
                self.notes.push("-U has no effect beside -s".into());
            }
            return Ok(());
        }
        self.settings.udp_port = udp;
        self.settings.tcp_port = tcp.unwrap_or(udp.or(self.settings.tcp_port));
        Ok(())
    }

    /// Logins, and what they leave of the choice of protocols: none may be a way around them.
    fn logins(&mut self, services: Option<Services>) -> Result<(), Failure> {
        self.settings.auth_file = self.path("auth-file");
        self.settings.sasl = self.is_set("enable-sasl");
        if self.settings.sasl {
            self.settings.sasl_file = env::var_os(USERS_VARIABLE).map(PathBuf::from);
            if self.settings.login_file().is_none() {
                return Err(conflict(format!(
                    "-S: who may log in? Name a file of user:password lines with -Y, \
                     or in the environment as {USERS_VARIABLE}"
                )));
            }
        }
        if self.settings.needs_login() && self.settings.udp_port.is_some() {
            return Err(conflict(
                "-U: a datagram cannot log in, so UDP would be a way around -S and -Y",
            ));
        }
        let default = match (&self.settings.auth_file, self.settings.sasl) {
            (Some(_), false) => Services::TEXT,
            (None, true) => Services::BINARY,
            _ => Services::MEMCACHED,
        };
        self.settings.services = services.unwrap_or(default);
        if !self.settings.guards(self.settings.services) {
            return Err(unguarded(&self.settings, "-B"));
        }
        for value in &self.settings.listen {
            let specs = ListenSpec::parse_list(value).unwrap_or_default();
            let mut services = specs.iter().filter_map(|spec| spec.services);
            if !services.all(|services| self.settings.guards(services)) {
                return Err(unguarded(&self.settings, &format!("-l {value}")));
            }
        }
        Ok(())
    }

    fn process(&mut self) -> Result<(), Failure> {
        let wanted = self.number("threads", "-t", 1..=THREADS_MAX)?;
        self.settings.threads = wanted.map_or_else(default_threads, |count| count as usize);
        if self.settings.threads > THREADS_SENSIBLE {
            self.notes.push(format!(
                "-t {}: more threads than CPUs only wait",
                wanted.unwrap_or(0)
            ));
        }
        if let Some(limit) = self.number("conn-limit", "-c", 1..=i32::MAX as u64)? {
            self.settings.connections_max = limit as usize;
        }
        if let Some(limit) = self.number("max-reqs-per-event", "-R", 1..=u64::from(u32::MAX))? {
            self.settings.requests_per_event = limit as u32;
        }
        if let Some(delimiter) = self.value("stats-delimiter") {
            let first = delimiter.bytes().next();
            self.settings.prefix_delimiter = first.ok_or_else(|| bad("-D: needs a character"))?;
            self.settings.detail_enabled = true;
        }
        self.settings.verbosity = u8::try_from(self.all("verbose").count()).unwrap_or(u8::MAX);
        self.settings.user = self.value("user").map(str::to_string);
        self.settings.pid_file = self.path("pidfile");
        self.settings.daemonize = self.is_set("daemon");
        self.settings.core_files = self.is_set("enable-coredumps");
        self.settings.lock_memory = self.is_set("lock-memory");
        self.settings.store.limit_adjustable = !self.settings.lock_memory;
        self.settings.shutdown_enabled = self.is_set("enable-shutdown");
        self.settings.flush_enabled = !self.is_set("disable-flush-all");
        self.settings.dump_enabled = !self.is_set("disable-dumping");
        self.settings.watch_enabled = !self.is_set("disable-watch");
        Ok(())
    }

    fn store(&mut self) -> Result<(), Failure> {
        self.settings.store.evict = !self.is_set("disable-evictions");
        self.settings.store.cas = !self.is_set("disable-cas");
        self.settings.store.huge_pages = self.is_set("enable-largepages");
        if let Some(text) = self.value("slab-growth-factor") {
            let factor = text.parse().ok().filter(|factor: &f64| *factor > 1.0);
            let factor = factor.filter(|factor| factor.is_finite());
            self.settings.store.growth_factor =
                Some(factor.ok_or_else(|| bad(format!("-f {text}: must be greater than 1")))?);
        }
        let chunk = self.number("slab-min-size", "-n", 1..=MIB)?;
        self.settings.store.chunk_size_min = chunk.map(|size| size as u32);
        if let Some(text) = self.value("memory-limit") {
            let size = match text.strip_suffix('%') {
                Some(percent) => share_of_memory(percent),
                None => parse_size(text, MIB),
            };
            let size = size.filter(|size| (MIB..=MEMORY_MAX).contains(size));
            self.settings.store.memory_limit = size.ok_or_else(|| {
                bad(format!(
                    "-m {text}: need a size in MiB, or with k, m or g, of 1 MiB or more, or 1% to \
                     100% of the memory there is"
                ))
            })?;
        }
        self.item_size()
    }

    fn item_size(&mut self) -> Result<(), Failure> {
        let half = self.settings.store.memory_limit / 2;
        let Some(text) = self.value("max-item-size") else {
            if u64::from(self.settings.store.item_size_max) > half {
                self.settings.store.item_size_max = half as u32;
                self.notes
                    .push(format!("-I: items of at most {half} bytes, half of -m"));
            }
            return Ok(());
        };
        let size = parse_size(text, 1)
            .ok_or_else(|| bad(format!("-I {text}: not a size such as 1048576, 512k or 2m")))?;
        if size < *ITEM_SIZE.start() {
            return Err(conflict(format!(
                "-I {text}: items of at least 1024 bytes must fit"
            )));
        }
        if size > *ITEM_SIZE.end() {
            return Err(conflict(format!("-I {text}: items are at most 1 GiB")));
        }
        if size > half {
            return Err(conflict(format!(
                "-I {text}: more than half of the memory limit (-m)"
            )));
        }
        self.settings.store.item_size_max = size as u32;
        Ok(())
    }

    fn extended(&mut self) -> Result<(), Failure> {
        let mut without_effect = vec![];
        for suboption in self.values("extended") {
            extended::apply(&mut self.settings, suboption, &mut without_effect)?;
        }
        let shown = &self.settings.shown;
        if shown.hot_lru_pct + shown.warm_lru_pct > 80 {
            return Err(conflict(
                "-o hot_lru_pct, warm_lru_pct: together at most 80",
            ));
        }
        if !without_effect.is_empty() {
            let names = without_effect.join(", ");
            self.notes
                .push(format!("-o {names}: accepted, without effect here"));
        }
        Ok(())
    }
}

/// The CPUs that this process may use, within reason.
fn default_threads() -> usize {
    let cpus = thread::available_parallelism().map_or(THREADS_DEFAULT_MAX, usize::from);
    cpus.min(THREADS_DEFAULT_MAX)
}

fn parse_number(flag: &str, text: &str, range: &RangeInclusive<u64>) -> Result<u64, Failure> {
    let Ok(number) = text.parse::<u64>() else {
        return Err(bad(format!("{flag} {text}: not a number")));
    };
    if number < *range.start() {
        return Err(bad(format!(
            "{flag} {text}: must be at least {}",
            range.start()
        )));
    }
    if number > *range.end() {
        return Err(bad(format!(
            "{flag} {text}: must be at most {}",
            range.end()
        )));
    }
    Ok(number)
}

/// A port; 0 is none, -1 any free one.
fn parse_port(flag: &str, text: &str) -> Result<Option<u16>, Failure> {
    match text.parse::<i64>() {
        Ok(0) => Ok(None),
        Ok(-1) => Ok(Some(0)),
        Ok(port) => match u16::try_from(port) {
            Ok(port) => Ok(Some(port)),
            Err(_) => Err(conflict(format!("{flag} {text}: ports go from 1 to 65535"))),
        },
        Err(_) => Err(bad(format!("{flag} {text}: not a port number"))),
    }
}

/// Digits and an optional k, m or g; without one the number counts `unit` bytes.
fn parse_size(text: &str, unit: u64) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, unit),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A size in the largest unit that it is a multiple of, as [`parse_size`] reads it.
fn show_size(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let unit = units
        .iter()
        .find(|(bits, _)| bytes.is_multiple_of(1 << bits));
    match unit {
        Some((bits, letter)) => format!("{}{letter}", bytes >> bits),
        None => bytes.to_string(),
    }
}

/// So many percent of what the container or the machine has.
fn share_of_memory(percent: &str) -> Option<u64> {
    let percent: u64 = percent.parse().ok().filter(|p| (1..=100).contains(p))?;
    let memory: u64 = process::memory_available()?;
    Some(memory / 100 * percent)
}

fn parse_services(name: &str) -> Result<Services, Failure> {
    match name {
        "auto" => Ok(Services::MEMCACHED),
        "ascii" => Ok(Services::TEXT),
        "binary" => Ok(Services::BINARY),
        _ => Err(conflict(format!(
            "-B {name}: the protocol is ascii, binary or auto"
        ))),
    }
}

#[cfg(test)]
mod tests;
