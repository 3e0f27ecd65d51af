//! Why there is no server, for the operator and for whoever started the process.

use std::fmt;
use std::io;

/// Exit code for usage errors and options that contradict each other.
pub const EXIT_USAGE: u8 = 64;
/// Exit code for a `-u` user that does not exist.
pub const EXIT_NO_USER: u8 = 67;
/// Exit code for what the operating system refuses.
pub const EXIT_OS: u8 = 71;

/// Why there is no server: a sentence for the operator and the exit code of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong, naming the flag and the value where there is one.
    pub message: String,
    /// The process's exit code, memcached's where it has one for the case.
    pub code: u8,
}

impl Failure {
    /// A failure with its exit code.
    #[must_use]
    pub fn new(code: u8, message: String) -> Self {
        Self { message, code }
    }

    /// What the operating system has refused.
    pub(crate) fn os(what: &str, error: &io::Error) -> Self {
        Self::new(EXIT_OS, format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
