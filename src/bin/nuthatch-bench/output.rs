//! Standard output, whose reader may leave early.

use crate::failure::Failure;
use std::io::{self, ErrorKind, Write, stdout};

/// Prints without delay. `false` if nobody reads any more.
pub(crate) fn print(text: &str) -> Result<bool, Failure> {
    let mut out = stdout().lock();
    is_read(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Whether what was written has a reader. That one has seen enough (`| head`) is no failure.
pub(crate) fn is_read(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).map_err(Failure::during("print")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_leaves_is_no_failure_and_a_full_disk_is_one() {
        let failed = |kind: ErrorKind| is_read(Err(kind.into()));
        assert!(is_read(Ok(())).unwrap());
        assert!(!failed(ErrorKind::BrokenPipe).unwrap());
        assert!(failed(ErrorKind::StorageFull).is_err());
    }
}
