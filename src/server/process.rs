//! What happens once in a process: limits, users, the background, signals, pid and port files.
//!
//! The order is what makes it safe: limits while still root, then the user, then files and
//! sockets, so that whoever started the process learns what is wrong with them; then the
//! background, and only then memory and threads, neither of which survives a fork well.

use crate::base::settings::Settings;
use crate::server::failure::{EXIT_NO_USER, EXIT_OS, EXIT_USAGE, Failure};
use crate::server::listener::{bind_all, write_port_file};
use crate::server::logging;
use crate::server::logins;
use crate::server::os::{self, Background, Detached};
use crate::server::{Control, Endpoint, ListenSpec, Server};
use crate::stats::{Adjusted, Sink, report_settings};
use log::{Level, debug, info, log_enabled, warn};
use nix::unistd::User;
use sd_notify::NotifyState;
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
pub const DEFAULT_USER: &str = "nobody";

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
    if settings.core_files {
        os::stay_dumpable().unwrap_or_else(|error| warn!("-r: no core files: {error}"));
    }
    let settings = with_absolute_paths(settings)?;
    tell_settings(&settings);
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
    logging::write_by_thread().map_err(|error| Failure::os("cannot start a thread", &error))?;
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
    tell_systemd(NotifyState::Ready);
    let result = server.run();
    tell_systemd(NotifyState::Stopping);
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

/// Finds what would prevent the start, as far as that can be known without root's rights and
/// without opening sockets: whether the user exists, and whether files and folders can be used.
///
/// # Errors
/// What is wrong, with the exit code that the start would have.
pub fn check(settings: &Settings) -> Result<(), Failure> {
    let becomes = os::is_root().then_some(DEFAULT_USER);
    if let Some(name) = settings.user.as_deref().or(becomes) {
        find_user(name)?;
    }
    logins::load(settings)?;
    if let Some(path) = &settings.unix_socket {
        check_folder("-s ", path)?;
    }
    let lists = settings
        .listen
        .iter()
        .map(|list| ListenSpec::parse_list(list));
    for spec in lists.flatten().flatten() {
        if let Endpoint::Unix(path) = spec.endpoint {
            check_folder("-l unix:", &path)?;
        }
    }
    if let Some(path) = &settings.pid_file {
        // It would start without.
        check_folder("-P ", path).unwrap_or_else(|failure| warn!("{failure}"));
    }
    Ok(())
}

/// A file can be made only in a folder that is there.
fn check_folder(flag: &str, path: &Path) -> Result<(), Failure> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::read_dir(folder)
        .map(|_| ())
        .or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Ok(()), // It may be there to write and not to list.
            _ => Err(Failure::os(&format!("{flag}{}", path.display()), &error)),
        })
}

fn find_user(name: &str) -> Result<User, Failure> {
    os::find_user(name)
        .map_err(|error| Failure::os(&format!("-u {name}: cannot look the user up"), &error))?
        .ok_or_else(|| Failure::new(EXIT_NO_USER, format!("-u {name}: no such user")))
}

/// Tells the settings one by one, under the names and in the order of `stats settings`.
fn tell_settings(settings: &Settings) {
    struct SettingLines;
    impl Sink for SettingLines {
        fn stat(&mut self, name: &str, value: &str) {
            debug!("{name} {value}");
        }
    }
    if !log_enabled!(Level::Debug) {
        return;
    }
    let store = &settings.store;
    let adjusted = Adjusted {
        verbosity: settings.verbosity,
        detail: settings.detail_enabled,
        memory_limit: store.memory_limit,
        automove: store.automove,
        automove_window_s: store.automove_window_s,
        crawler: settings.store.crawler,
        shown: settings.shown.clone(),
    };
    report_settings(&mut SettingLines, settings, adjusted);
}

/// Says how far we are, where a unit of systemd's waits to hear it.
fn tell_systemd(state: NotifyState<'_>) {
    sd_notify::notify(false, &[state])
        .unwrap_or_else(|error| warn!("cannot tell systemd: {error}"));
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

/// Makes sure that this process can have `needed` files open; never lowers the limit.
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
    let user = find_user(wanted)?;
    if user.uid.is_root() {
        return Ok(());
    }
    os::become_user(&user)
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
    /// Writes our pid to `path`, but over nothing that is no pid. A failure is a warning: the cache
    /// works without.
    fn write(path: PathBuf, remove: bool) -> Self {
        let written = match PidHeld::by(&path) {
            PidHeld::Other => Err(io::Error::other("it is no pid file")),
            PidHeld::Pid(pid) if os::process_exists(pid) => {
                warn!("-P {}: names process {pid}, which is alive", path.display());
                replace(&path, &format!("{}\n", process::id()))
            }
            PidHeld::Pid(_) | PidHeld::Nothing => replace(&path, &format!("{}\n", process::id())),
        };
        if let Err(error) = written {
            warn!("-P {}: cannot write the pid file: {error}", path.display());
        }
        Self { path, remove }
    }

    fn is_ours(&self) -> bool {
        matches!(PidHeld::by(&self.path), PidHeld::Pid(pid) if pid.unsigned_abs() == process::id())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another server may have put its own there.
        if self.remove
            && self.is_ours()
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(
                "-P {}: cannot remove the pid file: {error}",
                self.path.display()
            );
        }
    }
}

/// What is in a file that is to hold a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PidHeld {
    /// There is none, or an empty one.
    Nothing,
    /// A pid.
    Pid(i32),
    /// Something else.
    Other,
}

impl PidHeld {
    fn by(path: &Path) -> Self {
        match fs::read_to_string(path) {
            Ok(text) if text.is_empty() => Self::Nothing,
            Ok(text) => text.trim().parse().map_or(Self::Other, Self::Pid),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Nothing,
            Err(_) => Self::Other,
        }
    }
}

/// Writes beside the file and renames, so that nobody reads half a pid.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

/// Bytes of memory that this process may use: what its control groups leave it of the machine's.
#[must_use]
pub fn memory_available() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup"));
    let limit = groups.and_then(|groups| group_limit(&groups, read));
    [os::machine_memory(), limit].into_iter().flatten().min()
}

/// The least limit of the control groups in `/proc/self/cgroup`, of version 2 or 1, and of those
/// around them. A container may see its own as the root.
fn group_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        // Without a limit version 2 says "max", and version 1 a number that no machine has.
        let limit = |group| {
            read(&Path::new(root).join(group).join(file))?
                .trim()
                .parse()
                .ok()
        };
        around.filter_map(limit).min()
    });
    limits.min()
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
        drop(PidFile::write(path.clone(), true));
        assert!(!path.exists());
    }

    #[test]
    fn a_pid_file_that_is_not_ours_is_left_alone() {
        let path = env::temp_dir().join(format!("nuthatch-other-pid-{}", process::id()));
        let file = PidFile::write(path.clone(), true);
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
        fs::write(&path, "root:x:0:0\n").unwrap();
        drop(PidFile::write(path.clone(), true));
        assert_eq!(fs::read_to_string(&path).unwrap(), "root:x:0:0\n");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_around_it_holds() {
        let files = [
            ("/sys/fs/cgroup/system.slice/n.service/memory.max", "max\n"),
            ("/sys/fs/cgroup/system.slice/memory.max", "2000\n"),
            ("/sys/fs/cgroup/memory.max", "3000\n"),
            (
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "5000",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712",
            ),
        ];
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_string())
        };
        for (groups, limit) in [
            ("0::/system.slice/n.service\n", Some(2000)),
            ("0::/\n", Some(3000)),
            ("0::/elsewhere\n", Some(3000)),
            ("9:cpu,memory:/docker/1\n1:name=systemd:/\n", Some(5000)),
            ("3:cpu:/docker/1\n", None),
            ("", None),
        ] {
            assert_eq!(group_limit(groups, read), limit, "{groups}");
        }
        assert!(memory_available().is_some_and(|bytes| bytes > 16 << 20));
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
