//! The server's program, started as from an empty environment.

use std::process::Command;
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program, without what whoever runs the tests has set for it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch"));
    command
        .env_remove("NUTHATCH_OPTIONS")
        .env_remove("MEMCACHED_PORT_FILENAME")
        .env_remove("MEMCACHED_SASL_PWDB")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM");
    command
}
