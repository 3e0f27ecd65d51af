//! One call of a session: what it reads, where it writes, how much it may still do.

use crate::base::clock::Expiry;
use crate::protocol::ErrorLine;
use crate::session::output::Output;
use crate::session::shared::{Context, Shared};
use crate::stats::Counters;

/// The largest number of input bytes that may stay unconsumed: a whole command line or header.
///
/// A line of keys that fits is judged as a whole before its first key is answered; a longer one
/// is answered as it comes.
pub const INPUT_MAX: usize = 64 << 10;

/// Lent to the session's parts for the time of one call.
pub(super) struct Call<'t, 'c> {
    /// The store, the counters, the time.
    pub(super) context: &'t mut Context<'c>,
    /// All the input there is.
    pub(super) input: &'t [u8],
    /// How much of it has been used up.
    pub(super) at: usize,
    /// Where replies go.
    pub(super) out: &'t mut Output,
    /// Requests left before others get their turn.
    pub(super) requests_left: u32,
    /// Up to where requests have been looked at ahead of their turn.
    pub(super) looked_to: usize,
    /// What changes the server is refused.
    pub(super) guest: bool,
    /// A large value has begun.
    pub(super) large: bool,
}

impl<'t, 'c> Call<'t, 'c> {
    /// A call that may run as many requests as the operator allows.
    pub(super) fn new(
        context: &'t mut Context<'c>,
        input: &'t [u8],
        out: &'t mut Output,
        guest: bool,
    ) -> Self {
        let requests_left = context.shared.settings.requests_per_event.max(1);
        Self {
            context,
            input,
            at: 0,
            out,
            requests_left,
            looked_to: 0,
            guest,
            large: false,
        }
    }

    /// Input not used up yet.
    #[inline]
    pub(super) fn rest(&self) -> &'t [u8] {
        &self.input[self.at..]
    }

    /// Whether no more output may be produced for now.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.out.is_full()
    }

    /// Counts one request.
    #[inline]
    pub(super) fn count_request(&mut self) {
        self.requests_left = self.requests_left.saturating_sub(1);
    }

    /// What all sessions share.
    #[inline]
    pub(super) fn shared(&self) -> &'c Shared {
        self.context.shared
    }

    /// The worker's counters.
    #[inline]
    pub(super) fn counters(&self) -> &'c Counters {
        self.context.counters
    }

    /// Appends to the reply.
    #[inline]
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.out.bytes_mut().extend_from_slice(bytes);
    }

    /// Appends to the reply, if the client wants one.
    #[inline]
    pub(super) fn say_unless(&mut self, noreply: bool, bytes: &[u8]) {
        if !noreply {
            self.say(bytes);
        }
    }

    /// Appends an error line.
    pub(super) fn error(&mut self, error: ErrorLine) {
        self.say(error.as_bytes());
    }

    /// When something dies that a client gave `exptime`.
    pub(super) fn expiry(&self, exptime: i64) -> Expiry {
        Expiry::from_exptime(exptime, self.context.now)
    }
}
