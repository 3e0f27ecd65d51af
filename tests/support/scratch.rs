//! A path for a test's own file or socket; what is there goes with it, however the test ends.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// One path for each name and process.
    pub(crate) fn new(name: &str) -> Self {
        let file = format!("nuthatch-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(file))
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Mostly it has been removed by what made it; a server that was killed leaves its socket.
        let _ = fs::remove_file(&self.0);
    }
}
