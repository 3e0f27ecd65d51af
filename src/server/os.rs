//! What `std` does not offer of the system: users, limits, locks, the background, reads and writes
//! of many parts.
//!
//! Two kinds of call need `unsafe`. Reads and writes of the store's memory take its parts and gaps
//! as they are, which are no slices, so that no crate has them; every pointer handed to the kernel
//! points into what the call's arguments borrow, and comes with its true length. And a `fork`
//! beside other threads would copy their locks without them: it is refused here.

#![expect(unsafe_code, reason = "the operating system's interface is C")]

use crate::base::part::{Gap, Part};
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl;
use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::kill;
use nix::sys::sysinfo::sysinfo;
use nix::sys::time::TimeValLike;
use nix::unistd::{self, ForkResult, Pid, User};
use std::ffi::c_int;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;

/// Sends parts in order, as many bytes as the socket takes.
pub(crate) fn write_parts(socket: RawFd, parts: &[Part<'_>]) -> io::Result<usize> {
    let vectors: [libc::iovec; PARTS_MAX] = std::array::from_fn(|n| {
        let part = parts.get(n).copied().unwrap_or(Part::EMPTY);
        libc::iovec {
            iov_base: part.start().cast_mut().cast(),
            iov_len: part.len(),
        }
    });
    let count = parts.len().min(PARTS_MAX) as c_int;
    // SAFETY: the vectors are a local; each part's bytes stay mapped while it is borrowed, and the
    // kernel only reads them, so that other threads writing there is no race in this process.
    let sent = unsafe { libc::writev(socket, vectors.as_ptr(), count) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives into `gaps` in order and then into `rest`, as many bytes as there are.
pub(crate) fn read_gaps(socket: RawFd, gaps: &[Gap<'_>], rest: &mut [u8]) -> io::Result<usize> {
    let last = libc::iovec {
        iov_base: rest.as_mut_ptr().cast(),
        iov_len: rest.len(),
    };
    let gaps = &gaps[..gaps.len().min(GAPS_MAX)];
    let vectors: [libc::iovec; GAPS_MAX + 1] = std::array::from_fn(|n| {
        gaps.get(n).map_or(last, |gap| libc::iovec {
            iov_base: gap.start().cast(),
            iov_len: gap.len(),
        })
    });
    // SAFETY: the vectors are a local, and `rest` is borrowed; each gap's words stay mapped while
    // it is borrowed and are atomics, so that what the kernel writes there races with no plain
    // access.
    let received = unsafe { libc::readv(socket, vectors.as_ptr(), gaps.len() as c_int + 1) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Gaps of one read at most: 256 KiB in the smallest chunks of a long value.
pub(crate) const GAPS_MAX: usize = 18;

/// Parts of one write at most: a value of 1 MiB in the smallest chunks of a long one, and
/// what is between values.
pub(crate) const PARTS_MAX: usize = 72;

/// Whether the process has the superuser's rights.
pub(crate) fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// Looks a user up by name.
pub(crate) fn find_user(name: &str) -> io::Result<Option<User>> {
    Ok(User::from_name(name)?)
}

/// Becomes `user` for good, with no supplementary groups.
pub(crate) fn become_user(user: &User) -> io::Result<()> {
    unistd::setgroups(&[])?;
    unistd::setgid(user.gid)?;
    // Last, because it gives up the right to make the calls above.
    Ok(unistd::setuid(user.uid)?)
}

/// Makes sure that at least `needed` files can be open at once. Never lowers the limit.
pub(crate) fn raise_open_files(needed: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed, hard.max(needed))?;
    }
    Ok(())
}

/// Allows core files as large as the system lets us.
pub(crate) fn allow_core_files() -> io::Result<()> {
    raise_to_most(Resource::RLIMIT_CORE)
}

/// Lets the system write core files again: it stops doing so when a process changes its user.
pub(crate) fn stay_dumpable() -> io::Result<()> {
    Ok(prctl::set_dumpable(true)?)
}

/// Allows as much locked memory as the system lets us. Without it a user other than root could
/// lock less than the cache is large.
pub(crate) fn allow_locked_memory() -> io::Result<()> {
    raise_to_most(Resource::RLIMIT_MEMLOCK)
}

fn raise_to_most(which: Resource) -> io::Result<()> {
    if setrlimit(which, RLIM_INFINITY, RLIM_INFINITY).is_ok() {
        return Ok(());
    }
    let (_, hard) = getrlimit(which)?;
    Ok(setrlimit(which, hard, hard)?)
}

/// Keeps all memory, present and future, out of swap, from when it is first used: address space
/// that the cache has only reserved costs nothing.
pub(crate) fn lock_memory() -> io::Result<()> {
    let on_fault = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    let present_and_future = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE;
    Ok(mlockall(present_and_future | on_fault)?)
}

/// The machine's memory in bytes.
pub(crate) fn machine_memory() -> Option<u64> {
    Some(sysinfo().ok()?.ram_total())
}

/// CPU time of the whole process so far, in microseconds: (user, system). A failure is zeros,
/// which are a fair answer.
pub(crate) fn rusage_us() -> (u64, u64) {
    getrusage(UsageWho::RUSAGE_SELF).map_or((0, 0), |usage| {
        (
            usage.user_time().num_microseconds().unsigned_abs(),
            usage.system_time().num_microseconds().unsigned_abs(),
        )
    })
}

/// Whether a process with this id exists, ours to signal or not.
pub(crate) fn process_exists(pid: i32) -> bool {
    // Zero and below name groups, not a process.
    pid > 0 && !matches!(kill(Pid::from_raw(pid), None), Err(Errno::ESRCH))
}

/// The child's end of going to the background: tells the waiting parent how the start went.
#[derive(Debug)]
pub(crate) struct Background {
    parent: io::PipeWriter,
    keep_output: bool,
}

impl Background {
    /// The start has succeeded: the parent may exit with 0, and output goes to `/dev/null` unless
    /// it was asked for with `-v`. A `Background` dropped without this makes the parent fail.
    pub(crate) fn started(mut self) -> io::Result<()> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        unistd::dup2_stdin(&null)?;
        if !self.keep_output {
            unistd::dup2_stdout(&null)?;
            unistd::dup2_stderr(&null)?;
        }
        self.parent.write_all(&[1])
    }
}

/// What [`detach`] returns in each of the two processes.
#[derive(Debug)]
pub(crate) enum Detached {
    /// In the child, which goes on.
    Child(Background),
    /// In the parent, once the child is up (`true`) or has given up (`false`): time to exit.
    Parent(bool),
}

/// Splits off a child in a session of its own; the parent waits for its report.
///
/// Fails when the process already has several threads: only the calling one would live on in the
/// child, with every lock of the others held for ever.
pub(crate) fn detach(keep_output: bool) -> io::Result<Detached> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork beside running threads"));
    }
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: this is the only thread, checked above, so the child has all there was.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut report = [0];
            Ok(Detached::Parent(reader.read_exact(&mut report).is_ok()))
        }
        ForkResult::Child => {
            unistd::setsid()?; // Cannot fail in a child, which never leads a process group.
            Ok(Detached::Child(Background {
                parent: writer,
                keep_output,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_a_made_up_user_is_not() {
        assert!(find_user("root").unwrap().unwrap().uid.is_root());
        assert!(find_user("no such user here").unwrap().is_none());
        assert!(find_user("nul\0inside").unwrap().is_none());
    }

    #[test]
    fn this_process_exists_and_groups_are_not_processes() {
        assert!(process_exists(std::process::id().try_into().unwrap()));
        assert!(!process_exists(0));
        assert!(!process_exists(-1));
    }

    #[test]
    fn the_file_limit_is_never_lowered() {
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        raise_open_files(3).unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
    }

    #[test]
    fn a_process_with_threads_refuses_to_fork() {
        // The test harness runs this beside its own main thread.
        assert!(detach(true).is_err());
    }

    #[test]
    fn cpu_time_never_shrinks() {
        let (user, system) = rusage_us();
        let (user_later, system_later) = rusage_us();
        assert!(user_later >= user && system_later >= system);
    }
}
