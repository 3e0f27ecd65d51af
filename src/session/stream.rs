//! Replies that are produced piece by piece, as room for them is made, and never whole in memory.
//!
//! ```text
//!   begin ─▶ Stream ──piece──▶ Stream ──piece──▶ ... ──▶ END ─▶ Command
//!              │ no room, or the turn is used up: goes on from its cursor
//!              └ nothing yet (a feed): waits until somebody pokes the connection
//! ```
//!
//! A stream is a cursor: what it has sent last. What comes and goes meanwhile may be in the reply
//! or not; what was there all the time is.

use crate::protocol::text::reply::END;
use crate::session::call::Call;
use crate::session::dump::{Cachedump, Dump, Sizes};
use crate::session::report::StatLines;
use crate::session::watchers::Subscription;
use crate::stats::report_conns;

/// Sockets, or prefixes, in one piece. A piece counts as one command.
const PIECE: usize = 16;

/// A reply that is being produced.
#[derive(Debug)]
pub(super) enum Stream {
    /// `stats conns`: sockets above this descriptor.
    Conns(i32),
    /// `stats detail dump`: prefixes after this one, or all.
    Prefixes(Option<Box<[u8]>>),
    /// `lru_crawler metadump` or `mgdump`.
    Dump(Dump),
    /// `stats cachedump`.
    Cachedump(Cachedump),
    /// `stats sizes`.
    Sizes(Sizes),
    /// `watch`: what others have to tell, without an end.
    Watch(Subscription),
}

/// What a piece leaves to be done.
pub(super) enum Left {
    /// Another piece.
    More,
    /// The reply's end.
    Nothing,
    /// Perhaps more, later.
    Later,
}

impl Stream {
    /// `stats conns`, from its beginning.
    pub(super) const ALL_CONNS: Self = Self::Conns(-1);

    /// `stats detail dump`, from its beginning.
    pub(super) const ALL_PREFIXES: Self = Self::Prefixes(None);

    /// Whether it has no end of its own.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Self::Watch(_))
    }

    /// Bytes that may wait for it at any time.
    pub(super) fn reserved(&self) -> u64 {
        match self {
            Self::Watch(subscription) => subscription.feed().bytes_max() as u64,
            _ => 0,
        }
    }

    /// Appends the next piece.
    pub(super) fn push_piece(&mut self, call: &mut Call<'_, '_>) -> Left {
        let (shared, now) = (call.shared(), call.context.now);
        match self {
            Self::Conns(last) => {
                let sockets = shared.host.sockets_after(*last, PIECE);
                report_conns(&mut StatLines(call.out.bytes_mut()), &sockets, now);
                let Some(socket) = sockets.last() else {
                    return Left::Nothing;
                };
                *last = socket.fd;
                Left::More
            }
            Self::Prefixes(last) => {
                let bytes = call.out.bytes_mut();
                match shared.prefixes.dump_after(last.as_deref(), PIECE, bytes) {
                    Some(prefix) => *last = Some(prefix),
                    None => return Left::Nothing,
                }
                Left::More
            }
            Self::Dump(dump) => walked(call, |call| dump.push_piece(call.context, call.out)),
            Self::Cachedump(dump) => walked(call, |call| dump.push_piece(call.context, call.out)),
            Self::Sizes(sizes) => walked(call, |call| sizes.push_piece(call.context, call.out)),
            Self::Watch(subscription) => match subscription.feed().take() {
                Some(lines) => {
                    call.say(&lines);
                    Left::More
                }
                None => Left::Later,
            },
        }
    }

    /// Appends what ends it.
    pub(super) fn push_end(&self, call: &mut Call<'_, '_>) {
        match self {
            Self::Dump(dump) => call.say(dump.end()),
            Self::Sizes(sizes) => sizes.push_end(call.out),
            _ => call.say(END),
        }
    }
}

/// A piece of a walk over the store, whose `step` says whether it goes on. It uses up what
/// the session may do before it gives way.
fn walked(call: &mut Call<'_, '_>, step: impl FnOnce(&mut Call<'_, '_>) -> bool) -> Left {
    call.requests_left = 0;
    if step(call) {
        Left::More
    } else {
        Left::Nothing
    }
}
