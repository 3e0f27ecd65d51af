//! CPU time of another process, to the nanosecond.

use crate::failure::Failure;
use std::fs;

/// Nanoseconds that all threads of a process have run, by the scheduler's own count. A thread that
/// ended in between takes its time with it; servers keep theirs.
pub(crate) fn process_ns(pid: u32) -> Result<u64, Failure> {
    let directory = format!("/proc/{pid}/task");
    let tasks =
        fs::read_dir(&directory).map_err(Failure::during(&format!("CPU time of process {pid}")))?;
    let mut total = 0;
    for task in tasks.flatten() {
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
            continue;
        };
        let first = text.split_ascii_whitespace().next();
        total += first
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or_else(|| Failure::new(format!("{directory}: schedstat is not a number")))?;
    }
    if total == 0 {
        return Err(Failure::new(format!("{directory}: no schedstat to read")));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time() {
        let before = process_ns(std::process::id()).unwrap();
        let mut sum = 0u64;
        while process_ns(std::process::id()).unwrap() == before {
            sum = (0..100_000).fold(sum, |sum, n| sum.wrapping_mul(31) ^ n);
        }
        std::hint::black_box(sum);
    }

    #[test]
    fn nobody_has_no_time() {
        assert!(process_ns(u32::MAX).is_err());
    }
}
