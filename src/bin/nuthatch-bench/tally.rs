//! What a load has done so far: counts, and how long requests took.

use crate::histogram::Histogram;

/// Totals of one thread or of several.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Requests answered.
    pub(crate) requests: u64,
    /// Keys asked for and found.
    pub(crate) hits: u64,
    /// Keys asked for and not found.
    pub(crate) misses: u64,
    /// Items stored.
    pub(crate) stored: u64,
    /// Requests that were answered by an error or a refusal.
    pub(crate) errors: u64,
    /// The first of these answers.
    pub(crate) complaint: Option<String>,
    /// Values that are not the key's own (only with verification).
    pub(crate) wrong: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    /// Nanoseconds from sending (or from when it was due) to the whole reply.
    pub(crate) latency_ns: Histogram,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            requests: 0,
            hits: 0,
            misses: 0,
            stored: 0,
            errors: 0,
            complaint: None,
            wrong: 0,
            bytes_sent: 0,
            bytes_received: 0,
            latency_ns: Histogram::new(),
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.hits += other.hits;
        self.misses += other.misses;
        self.stored += other.stored;
        self.errors += other.errors;
        self.complaint = self.complaint.take().or_else(|| other.complaint.clone());
        self.wrong += other.wrong;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.latency_ns.merge(&other.latency_ns);
    }

    /// Keys looked up and items stored: a multi-get of 50 keys is 50 operations.
    pub(crate) fn operations(&self) -> u64 {
        self.hits + self.misses + self.stored
    }
}
