//! The system calls that std does not offer: users, limits, memory locks, going to the background.
//!
//! Why unsafe: each is a C function that takes pointers or changes the whole process. Two
//! invariants carry every block below.
//!
//! * **Owned.** Every pointer handed to the system points into a local that outlives the call,
//!   has the type the call documents, and comes with its true length.
//! * **Plain.** The structures filled in by the system hold only integers and pointers, for which
//!   all-zero bytes are a valid value.
//!
//! The functions are safe to call from anywhere: what would be wrong at a bad moment (a `fork`
//! beside other threads) is checked here and refused.

#![expect(unsafe_code, reason = "the operating system's interface is C")]

use crate::base::part::{Gap, Part};
use std::ffi::{CString, c_char, c_int};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

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
    // SAFETY: Owned for the vectors; each part's bytes stay mapped while it is borrowed, and the
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
    // SAFETY: Owned for the vectors and `rest`; each gap's words stay mapped while it is borrowed
    // and are atomics, so that what the kernel writes there races with no plain access.
    let received = unsafe { libc::readv(socket, vectors.as_ptr(), gaps.len() as c_int + 1) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Gaps of one read at most: 256 KiB in the smallest chunks of a long value.
pub(crate) const GAPS_MAX: usize = 18;

/// Parts of one write at most: a value of 1 MiB in the smallest chunks of a long one, and
/// what is between values.
pub(crate) const PARTS_MAX: usize = 72;

/// Who a process can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    uid: libc::uid_t,
    gid: libc::gid_t,
}

impl User {
    /// Whether this is the superuser.
    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// Room for the strings of one user record; glibc suggests 1 KiB, directory services need more.
const USER_STRINGS_LEN: usize = 64 << 10;

/// Whether the process has the superuser's rights.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes nothing, changes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Looks a user up by name.
pub(crate) fn find_user(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    let mut record = MaybeUninit::<libc::passwd>::zeroed();
    let mut strings: Vec<c_char> = vec![0; USER_STRINGS_LEN];
    let mut found: *mut libc::passwd = ptr::null_mut();
    let (record_at, strings_at) = (record.as_mut_ptr(), strings.as_mut_ptr());
    // SAFETY: Owned: name, record, strings with their length, and found are locals.
    let status = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            record_at,
            strings_at,
            USER_STRINGS_LEN,
            &raw mut found,
        )
    };
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status));
    }
    // SAFETY: Plain: zeroed above, then filled in by the call.
    let record = unsafe { record.assume_init() };
    Ok((!found.is_null()).then_some(User {
        uid: record.pw_uid,
        gid: record.pw_gid,
    }))
}

/// Becomes `user` for good, with no supplementary groups.
pub(crate) fn become_user(user: User) -> io::Result<()> {
    // SAFETY: a count of zero reads no memory.
    check(unsafe { libc::setgroups(0, ptr::null()) })?;
    // SAFETY: takes an integer.
    check(unsafe { libc::setgid(user.gid) })?;
    // SAFETY: takes an integer. Last, because it gives up the right to make the calls above.
    check(unsafe { libc::setuid(user.uid) })
}

/// A limit that the system sets on a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    OpenFiles,
    CoreSize,
    LockedMemory,
}

fn limit_of(which: Limit) -> io::Result<libc::rlimit> {
    let resource = match which {
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::CoreSize => libc::RLIMIT_CORE,
        Limit::LockedMemory => libc::RLIMIT_MEMLOCK,
    };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: Owned: limit is a local.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(limit)
}

fn set_limit(which: Limit, limit: libc::rlimit) -> io::Result<()> {
    let resource = match which {
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::CoreSize => libc::RLIMIT_CORE,
        Limit::LockedMemory => libc::RLIMIT_MEMLOCK,
    };
    // SAFETY: Owned: limit is a local and only read.
    check(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// Makes sure that at least `needed` files can be open at once. Never lowers the limit.
pub(crate) fn raise_open_files(needed: u64) -> io::Result<()> {
    let limit = limit_of(Limit::OpenFiles)?;
    if limit.rlim_cur >= needed {
        return Ok(());
    }
    let rlim_max = limit.rlim_max.max(needed);
    set_limit(
        Limit::OpenFiles,
        libc::rlimit {
            rlim_cur: needed,
            rlim_max,
        },
    )
}

/// Allows core files as large as the system lets us.
pub(crate) fn allow_core_files() -> io::Result<()> {
    raise_to_most(Limit::CoreSize)
}

/// Allows as much locked memory as the system lets us. Without it a user other than root could
/// lock less than the cache is large.
pub(crate) fn allow_locked_memory() -> io::Result<()> {
    raise_to_most(Limit::LockedMemory)
}

fn raise_to_most(which: Limit) -> io::Result<()> {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    if set_limit(which, unlimited).is_ok() {
        return Ok(());
    }
    let limit = limit_of(which)?;
    set_limit(
        which,
        libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        },
    )
}

/// Keeps all memory, present and future, out of swap, from when it is first used: address space
/// that the cache has only reserved costs nothing.
pub(crate) fn lock_memory() -> io::Result<()> {
    let what = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes flags only; memory is pinned, not moved or changed.
    check(unsafe { libc::mlockall(what) })
}

/// CPU time of the whole process so far, in microseconds: (user, system).
pub(crate) fn rusage_us() -> (u64, u64) {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: Owned: usage is a local. A failure leaves zeros, which are a fair answer.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: Plain: zeroed above.
    let usage = unsafe { usage.assume_init() };
    (microseconds(usage.ru_utime), microseconds(usage.ru_stime))
}

fn microseconds(time: libc::timeval) -> u64 {
    (time.tv_sec * 1_000_000 + time.tv_usec).unsigned_abs()
}

/// Whether a process with this id exists, ours to signal or not.
pub(crate) fn process_exists(pid: i32) -> bool {
    if pid <= 0 {
        return false; // Zero and below name groups, not a process.
    }
    // SAFETY: signal 0 is never delivered, only checked.
    let status = unsafe { libc::kill(pid, 0) };
    status == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
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
        replace_stream(&null, libc::STDIN_FILENO)?;
        if !self.keep_output {
            replace_stream(&null, libc::STDOUT_FILENO)?;
            replace_stream(&null, libc::STDERR_FILENO)?;
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
    let child = unsafe { libc::fork() };
    check(child)?;
    if child != 0 {
        drop(writer);
        let mut report = [0];
        return Ok(Detached::Parent(reader.read_exact(&mut report).is_ok()));
    }
    // SAFETY: takes nothing; cannot fail in a child, which never leads a process group.
    check(unsafe { libc::setsid() })?;
    Ok(Detached::Child(Background {
        parent: writer,
        keep_output,
    }))
}

fn replace_stream(file: &File, stream: c_int) -> io::Result<()> {
    // SAFETY: both are descriptor numbers; `file` stays open, and std reads and writes the
    // standard streams by number, so it does not matter to it what they refer to.
    check(unsafe { libc::dup2(file.as_raw_fd(), stream) })
}

fn check(status: c_int) -> io::Result<()> {
    if status == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_a_made_up_user_is_not() {
        assert!(find_user("root").unwrap().unwrap().is_root());
        assert_eq!(find_user("no such user here").unwrap(), None);
        assert_eq!(find_user("nul\0inside").unwrap(), None);
    }

    #[test]
    fn this_process_exists_and_groups_are_not_processes() {
        assert!(process_exists(std::process::id().try_into().unwrap()));
        assert!(!process_exists(0));
        assert!(!process_exists(-1));
    }

    #[test]
    fn the_file_limit_is_never_lowered() {
        let before = limit_of(Limit::OpenFiles).unwrap();
        raise_open_files(3).unwrap();
        assert_eq!(
            limit_of(Limit::OpenFiles).unwrap().rlim_cur,
            before.rlim_cur
        );
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
