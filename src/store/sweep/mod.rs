//! What the background takes out: the expired and the flushed.

pub(crate) mod crawler;
pub(crate) mod flush;
pub(crate) mod pace;
pub(crate) mod round;
