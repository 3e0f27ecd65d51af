//! The process around a session, and how it names its connections.

use crate::stats::SocketReport;

/// What a session must ask of the process around it.
pub trait Host: Send + Sync {
    /// CPU time used so far in microseconds: in the process, and for it in the kernel.
    fn rusage_us(&self) -> (u64, u64);
    /// The process's number.
    fn pid(&self) -> u32;
    /// The next open sockets above descriptor `fd`, by descriptor, at most `most` of them.
    fn sockets_after(&self, fd: i32, most: usize) -> Vec<SocketReport>;
    /// Has the session of `connection` called again soon, with or without input.
    fn poke(&self, connection: ConnectionId);
    /// Logs more or less from now on.
    fn set_verbosity(&self, level: u8);
}

/// Names one connection: worker and token together are never its successor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionId {
    /// The worker that it is served by.
    pub worker: usize,
    /// The worker's name for it.
    pub token: usize,
    /// Its descriptor: the operator's name for it.
    pub fd: i32,
}
