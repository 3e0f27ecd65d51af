//! The lines of a trace as they are written.

use crate::operation::Operation;
use crate::replay::MARK;
use std::io::{self, BufWriter, Write};

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) key: u64,
    pub(super) size: u64,
    pub(super) ttl_s: Option<u32>,
    pub(super) operation: Operation,
}

impl Request {
    pub(super) fn fetch(key: u64, size: u64) -> Self {
        Self {
            key,
            size,
            ttl_s: None,
            operation: Operation::Fetch,
        }
    }
}

/// Where lines go.
pub(super) struct Lines<W: Write>(BufWriter<W>);

impl<W: Write> Lines<W> {
    pub(super) fn new(out: W) -> Self {
        Self(BufWriter::new(out))
    }

    pub(super) fn put(&mut self, request: Request) -> io::Result<()> {
        let Request {
            key,
            size,
            ttl_s,
            operation,
        } = request;
        write!(self.0, "{key} {size}")?;
        match (ttl_s, operation) {
            (None, Operation::Fetch) => {}
            (Some(ttl_s), Operation::Fetch) => write!(self.0, " {ttl_s}")?,
            (ttl_s, operation) => {
                write!(self.0, " {} {}", ttl_s.unwrap_or(0), operation.name())?;
            }
        }
        self.0.write_all(b"\n")
    }

    pub(super) fn mark(&mut self) -> io::Result<()> {
        writeln!(self.0, "{MARK}")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
