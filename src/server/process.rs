//! What happens once in a process: limits, users, the background, signals, pid and port files.
//!
//! The order is what makes it safe: limits while still root, then the user, then files and
//! sockets, so that whatever is wrong with them is told to whoever started the process; then the
//! background, and only then memory and threads, neither of which survives a fork well.

use crate::base::settings::Settings;
use crate::server::failure::{EXIT_NO_USER, EXIT_OS, EXIT_USAGE, Failure};
use crate::server::listener::{bind_all, write_port_file};
use crate::server::logins;
use crate::server::os::{self, Background, Detached};
use crate::server::{Control, Server};
use log::{debug, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::env;
use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};
use std::process;
use std::thread;

/// Where the bound ports are to be written, if set.
const PORT_FILE: &str = "MEMCACHED_PORT_FILENAME";

/// Who root becomes when `-u` names nobody.
const DEFAULT_USER: &str = "nobody";

/// Descriptors beyond one per client: standard streams, listeners, logs, refused clients on their
/// way out, and what libraries open for a moment.
const SPARE_FILES: u64 = 64;

/// Descriptors of one worker: its poll and its waker.
const FILES_PER_WORKER: u64 = 2;

/// Runs the daemon until a signal or a client stops it.
///
/// # Errors
/// When it cannot start, or the operating system fails it later.
pub fn run(settings: Settings) -> Result<(), Failure> {
    raise_limits(&settings)?;
    drop_root(settings.user.as_deref())?;
    let settings = with_absolute_paths(settings)?;
    debug!("{settings:?}");
    let users = logins::load(&settings)?;
    // Whoever can connect may also send a signal, so signals are caught before sockets open. With
    // -d nobody does before the parent has exited, and the parent should die of signals.
    let caught = if settings.daemonize {
        None
    } else {
        Some(catch_signals()?)
    };
    let sockets = bind_all(&settings)?;
    let background = enter_background(&settings)?;
    let lock_memory = settings.lock_memory;
    let pid_file = settings.pid_file.clone();
    let port_file = env::var_os(PORT_FILE).filter(|_| settings.unix_socket.is_none());
    let server = Server::with_sockets(settings, users, sockets)?;
    if lock_memory {
        os::lock_memory().unwrap_or_else(|error| warn!("-k: cannot lock memory: {error}"));
    }
    if let Some(path) = port_file {
        write_port_file(
            Path::new(&path),
            &server.hub.listeners,
            &server.hub.datagrams,
        )
        .map_err(|error| Failure::os(&format!("{PORT_FILE}={}", path.display()), &error))?;
    }
    let _pid_file = pid_file.map(|path| PidFile::write(path, background.is_some()));
    let signals = caught.map_or_else(catch_signals, Ok)?;
    watch_signals(signals, server.control())
        .map_err(|error| Failure::os("cannot start a thread", &error))?;
    if let Some(background) = background {
        background
            .started()
            .map_err(|error| Failure::os("-d", &error))?;
    }
    let control = server.control();
    let result = server.run();
    info!(
        "{}",
        if control.stops_gracefully() {
            "Stopped gracefully"
        } else {
            "Exiting normally"
        }
    );
    result
}

fn raise_limits(settings: &Settings) -> Result<(), Failure> {
    if settings.core_files {
        os::allow_core_files()
            .map_err(|error| Failure::os("-r: cannot allow core files", &error))?;
    }
    if settings.lock_memory {
        os::allow_locked_memory()
            .unwrap_or_else(|error| warn!("-k: cannot allow locked memory: {error}"));
    }
    let connections = settings.connections_max as u64;
    let needed = connections + settings.threads as u64 * FILES_PER_WORKER + SPARE_FILES;
    allow_open_files(needed).map_err(|failure| Failure {
        message: format!("-c {connections}: {failure}"),
        ..failure
    })
}

/// Makes sure that this process can have so many files open; never lowers the limit.
///
/// # Errors
/// When the system's own limit is lower.
pub fn allow_open_files(needed: u64) -> Result<(), Failure> {
    os::raise_open_files(needed)
        .map_err(|error| Failure::os(&format!("cannot have {needed} files open"), &error))
}

/// Gives up root's rights: for `-u`'s user, or `nobody`. `-u root` keeps them.
fn drop_root(name: Option<&str>) -> Result<(), Failure> {
    if !os::is_root() {
        return Ok(()); // -u is for root; memcached ignores it otherwise.
    }
    let wanted = name.unwrap_or(DEFAULT_USER);
    let user = os::find_user(wanted)
        .map_err(|error| Failure::os(&format!("-u {wanted}: cannot look the user up"), &error))?
        .ok_or_else(|| Failure::new(EXIT_NO_USER, format!("-u {wanted}: no such user")))?;
    if user.is_root() {
        return Ok(());
    }
    os::become_user(user)
        .map_err(|error| Failure::os(&format!("-u {wanted}: cannot become the user"), &error))?;
    if name.is_none() {
        warn!("started as root without -u: running as {wanted}; -u root stays root");
    }
    Ok(())
}

/// Going to the background changes the working directory, which must not move files.
fn with_absolute_paths(mut settings: Settings) -> Result<Settings, Failure> {
    for slot in [
        &mut settings.pid_file,
        &mut settings.unix_socket,
        &mut settings.auth_file,
        &mut settings.sasl_file,
    ] {
        if let Some(path) = slot {
            *slot = Some(path::absolute(&*path).map_err(|error| {
                Failure::new(EXIT_USAGE, format!("\"{}\": {error}", path.display()))
            })?);
        }
    }
    Ok(settings)
}

/// With `-d`: goes on in a child, while this process waits to exit with the child's success.
fn enter_background(settings: &Settings) -> Result<Option<Background>, Failure> {
    if !settings.daemonize {
        return Ok(None);
    }
    let keep_output = settings.verbosity > 0;
    match os::detach(keep_output).map_err(|error| Failure::os("-d", &error))? {
        Detached::Parent(true) => process::exit(0),
        Detached::Parent(false) => process::exit(i32::from(EXIT_OS)), // The child has said why.
        Detached::Child(background) => {
            // Core files go to the working directory, so -r keeps it.
            if !settings.core_files {
                env::set_current_dir("/").map_err(|error| Failure::os("-d: /", &error))?;
            }
            Ok(Some(background))
        }
    }
}

/// From here on signals wait to be watched. SIGPIPE is ignored by Rust's runtime.
fn catch_signals() -> Result<Signals, Failure> {
    Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])
        .map_err(|error| Failure::os("cannot handle signals", &error))
}

/// Starts the thread that turns signals into orders.
fn watch_signals(mut signals: Signals, control: Control) -> io::Result<()> {
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in &mut signals {
                match signal {
                    SIGHUP => control.reload(),
                    SIGUSR1 => {
                        info!("Gracefully stopping");
                        control.stop(true);
                    }
                    _ => control.stop(false),
                }
            }
        })?;
    Ok(())
}

/// The pid file. A daemon's goes with the daemon, as memcached's does; others leave it.
struct PidFile {
    path: PathBuf,
    remove: bool,
}

impl PidFile {
    /// Writes our pid to `path`. A failure is a warning: the cache works without.
    fn write(path: PathBuf, remove: bool) -> Self {
        if let Some(pid) = live_pid(&path) {
            warn!("-P {}: names process {pid}, which is alive", path.display());
        }
        if let Err(error) = replace(&path, &format!("{}\n", process::id())) {
            warn!("-P {}: cannot write the pid file: {error}", path.display());
        }
        Self { path, remove }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.remove
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(
                "-P {}: cannot remove the pid file: {error}",
                self.path.display()
            );
        }
    }
}

fn live_pid(path: &Path) -> Option<i32> {
    let pid = fs::read_to_string(path).ok()?.trim().parse().ok()?;
    os::process_exists(pid).then_some(pid)
}

/// Writes beside the file and renames, so that nobody reads half a pid.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

/// Bytes of memory that this process may use: the container's limit, else the machine's memory.
///
/// The limit is that of control groups, of version 2 or 1, as a container sees its own.
#[must_use]
pub fn memory_available() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_memory(&text));
    let group = number("/sys/fs/cgroup/memory.max")
        .or_else(|| number("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    // Without a limit version 1 names a number that no machine has.
    [machine, group].into_iter().flatten().min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_one_line_and_goes_only_with_a_daemon() {
        let path = env::temp_dir().join(format!("nuthatch-pid-{}", process::id()));
        drop(PidFile::write(path.clone(), false));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", process::id())
        );
        assert_eq!(live_pid(&path).map(i32::unsigned_abs), Some(process::id()));
        drop(PidFile::write(path.clone(), true));
        assert!(!path.exists());
    }

    #[test]
    fn relative_paths_are_fixed_before_the_directory_changes() {
        let settings = Settings {
            pid_file: Some("n.pid".into()),
            ..Settings::default()
        };
        let settings = with_absolute_paths(settings).unwrap();
        assert!(settings.pid_file.unwrap().is_absolute());
        assert_eq!(settings.unix_socket, None);
    }
}
