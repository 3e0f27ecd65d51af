//! Why the tool could not do what it was asked to.

use std::fmt::{Display, Formatter};
use std::io;

/// A sentence for the user; the tool prints it and exits with 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// An error together with what was being done.
    pub(crate) fn during(what: &str) -> impl Fn(io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}
