//! The log: lines on stderr, written by a thread of their own.
//!
//! ```text
//!   any thread ─▶ env_logger formats ─▶ queue of QUEUE_LEN ─▶ thread "log" ─▶ stderr
//!                                         └─ full: counted, reported later
//! ```
//!
//! A terminal that has been stopped, or a pipe that nobody reads, makes the thread that writes to
//! it wait: that must not be a worker. Until `write_by_thread` lines are written at once: the
//! process may still fork, and threads would be lost.

use crate::base::settings::Settings;
use crate::server::log_level;
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use env_logger::{Builder, Target};
use log::{Level, LevelFilter};
use std::env;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

/// Lines that wait for stderr at most.
const QUEUE_LEN: usize = 1024;

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(300);

static QUEUE: OnceLock<Sender<Queued>> = OnceLock::new();

/// Lines that found the queue full and have not been reported.
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Queued {
    Line(Vec<u8>),
    /// Everything before it has been written when this is dropped.
    Mark(#[expect(dead_code, reason = "dropped, and not read")] Sender<()>),
}

/// Begins to log, as much as `settings` ask for. The level can change while running, so the logger
/// itself lets everything through.
pub fn start(settings: &Settings) {
    let to_journal = is_journal();
    Builder::new()
        .filter_level(LevelFilter::Trace)
        // What it does is shown by what we say.
        .filter_module("mio", LevelFilter::Warn)
        .target(Target::Pipe(Box::new(StderrQueue)))
        .format(move |out, record| {
            if to_journal {
                // It adds the time itself.
                return writeln!(out, "<{}>{}", priority(record.level()), record.args());
            }
            let time = humantime::format_rfc3339_seconds(SystemTime::now());
            writeln!(out, "{time} {:5} {}", record.level(), record.args())
        })
        .init();
    log::set_max_level(log_level(settings.verbosity));
}

/// From now on lines are queued. Once, and after the process has forked.
pub(crate) fn write_by_thread() -> io::Result<()> {
    let (sender, receiver) = bounded(QUEUE_LEN);
    thread::Builder::new()
        .name("log".into())
        .spawn(move || write_all(&receiver))?;
    // It stays as it is where a process starts several servers, as tests do.
    let _ = QUEUE.set(sender);
    Ok(())
}

/// Waits a moment until what has been logged is written.
pub fn finish() {
    let Some(queue) = QUEUE.get() else {
        return;
    };
    let (mark, written) = bounded(0);
    if queue.send_timeout(Queued::Mark(mark), LAST_LINES).is_ok() {
        let _ = written.recv_timeout(LAST_LINES);
    }
}

/// What `env_logger` writes to: one line a call.
struct StderrQueue;

impl Write for StderrQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(queue) = QUEUE.get() else {
            return io::stderr().write(line);
        };
        if let Err(TrySendError::Full(_)) = queue.try_send(Queued::Line(line.into())) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(lines: &Receiver<Queued>) {
    for entry in lines {
        let Queued::Line(line) = entry else {
            continue;
        };
        // A log that cannot be written has nobody to complain to.
        let _ = io::stderr().write_all(&line);
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let _ = writeln!(io::stderr(), "{dropped} log lines were dropped");
        }
    }
}

/// Whether stderr is the journal's socket, as systemd names it: a program that a unit starts may
/// have sent its stderr elsewhere.
fn is_journal() -> bool {
    let Some(named) = env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| named == *format!("{}:{}", stderr.dev(), stderr.ino()))
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
