//! Where a conversation stands between two calls, and how one step of it ended.

use crate::base::clock::Expiry;
use crate::session::receiving::Receiving;
use crate::session::stream::Stream;

/// Why a call went no further, and what the connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing more can be done with this input: wait for bytes.
    NeedInput,
    /// The turn's `requests_per_event` are used up: serve others, then call again with the rest. No
    /// new bytes are needed.
    Yield,
    /// Output is above [`OUTPUT_MAX`](crate::session::OUTPUT_MAX): call again, with the rest, when
    /// it has drained.
    Full,
    /// Flush the output, then close: what the client sends makes no sense.
    Close,
    /// Flush the output, then close: the client wants it.
    Quit,
    /// The same, and to be logged: too many logins have failed.
    Barred {
        /// How many.
        failures: u8,
    },
    /// The client asked the process to stop. Close, then stop.
    Shutdown {
        /// As on SIGUSR1 instead of SIGINT.
        graceful: bool,
    },
}

/// Where the conversation stands.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Between requests, or in an unfinished one.
    #[default]
    Request,
    /// Inside a line of keys.
    Keys(KeyLine),
    /// Inside a value. Boxed: it is rare, and idle connections should be small.
    Receiving(Box<Receiving>),
    /// Inside a rejected value; bytes left.
    Swallow(u64),
    /// Inside a line that has been answered.
    SkipLine,
    /// Inside a reply. Boxed: it is rare.
    Stream(Box<Stream>),
}

/// A line of keys that is being answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyLine {
    /// Sends versions, too.
    pub(super) cas: bool,
    /// The new expiry of gat.
    pub(super) touch: Option<Expiry>,
    /// There has been a key. A line without any is an error, found at its end.
    pub(super) any: bool,
}

/// How one step of a session ended.
pub(super) struct Step {
    /// Where the conversation stands now.
    pub(super) state: State,
    /// Why the call ends here, if it does.
    pub(super) stop: Option<Progress>,
}

impl Step {
    /// Goes on.
    #[inline]
    pub(super) fn go(state: State) -> Self {
        Self { state, stop: None }
    }

    /// Ends the call.
    #[inline]
    pub(super) fn stop(state: State, progress: Progress) -> Self {
        Self {
            state,
            stop: Some(progress),
        }
    }

    /// Goes on with a reply that is produced piece by piece.
    pub(super) fn stream(stream: Stream) -> Self {
        Self::go(State::Stream(Box::new(stream)))
    }
}
