//! What a person at a terminal sees while a load runs: a line that is written again each second.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Takes a terminal's cursor to the start of its line, and clears it.
const CLEAR: &str = "\r\x1b[K";

/// Waits until no thread holds the other end of `receiver`. Meanwhile it shows how many operations
/// are done, if anybody looks on: neither where results go nor where this line goes is a pipe or a
/// file.
pub(crate) fn watch(receiver: &Receiver<()>, name: &str, done: &AtomicU64) {
    let is_watched = stdout().is_terminal() && stderr().is_terminal();
    let (start, mut before) = (Instant::now(), 0);
    while receiver.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        if is_watched {
            let now = done.load(Ordering::Relaxed);
            let text = line(name, start.elapsed(), now, now - before);
            show(&format!("{CLEAR}{text}"));
            before = now;
        }
    }
    if is_watched {
        show(CLEAR); // the line has served
    }
}

fn line(name: &str, passed: Duration, done: u64, news: u64) -> String {
    let seconds = passed.as_secs_f64();
    format!("{name}: {seconds:.0} s, {done} operations, {news} in the last second")
}

fn show(text: &str) {
    let mut terminal = stderr();
    // Nothing is lost if the terminal is gone.
    let _ = terminal
        .write_all(text.as_bytes())
        .and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_runs_and_how_fast() {
        let text = line("get", Duration::from_millis(2001), 150_000, 70_000);
        assert_eq!(
            text,
            "get: 2 s, 150000 operations, 70000 in the last second"
        );
    }
}
