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
use crate::session::feed::Feed;
use crate::session::report::StatLines;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State};
use crate::stats::report_conns;
use std::sync::Arc;

/// Sockets, or prefixes, in one piece. A piece counts as one command.
const PIECE: usize = 16;

/// A reply that is being produced.
#[derive(Debug)]
pub(super) enum Stream {
    /// `stats conns`: sockets above this descriptor.
    Conns(i32),
    /// `stats detail dump`: prefixes after this one, or all.
    Prefixes(Option<Box<[u8]>>),
    /// What others have to tell, without an end.
    Feed(Arc<Feed>),
}

/// What a piece leaves to be done.
enum Left {
    More,
    Nothing,
    /// More may come.
    Later,
}

impl Stream {
    /// All sockets.
    pub(super) fn conns() -> State {
        State::Stream(Box::new(Self::Conns(-1)))
    }

    /// All prefixes.
    pub(super) fn prefixes() -> State {
        State::Stream(Box::new(Self::Prefixes(None)))
    }

    /// Whether it has no end of its own.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Self::Feed(_))
    }

    /// Appends the next piece.
    fn push_piece(&mut self, turn: &mut Turn<'_, '_>) -> Left {
        let (shared, now) = (turn.shared(), turn.context.now);
        match self {
            Self::Conns(last) => {
                let sockets = shared.host.sockets_after(*last, PIECE);
                report_conns(&mut StatLines(turn.out.bytes_mut()), &sockets, now);
                let Some(socket) = sockets.last() else {
                    return Left::Nothing;
                };
                *last = socket.fd;
                Left::More
            }
            Self::Prefixes(last) => {
                let bytes = turn.out.bytes_mut();
                match shared.prefixes.dump_after(last.as_deref(), PIECE, bytes) {
                    Some(prefix) => *last = Some(prefix),
                    None => return Left::Nothing,
                }
                Left::More
            }
            Self::Feed(feed) => match feed.take() {
                Some(line) => {
                    turn.say(&line);
                    Left::More
                }
                None => Left::Later,
            },
        }
    }
}

/// Goes on with a reply.
pub(super) fn resume(turn: &mut Turn<'_, '_>, mut stream: Box<Stream>) -> Step {
    if stream.is_endless() {
        turn.at = turn.input.len(); // Whoever listens has nothing to say.
    }
    loop {
        if turn.is_full() {
            return Step::stop(State::Stream(stream), Progress::Full);
        }
        if turn.commands_left == 0 {
            return Step::stop(State::Stream(stream), Progress::Yield);
        }
        turn.count_command();
        match stream.push_piece(turn) {
            Left::More => {}
            Left::Later => return Step::stop(State::Stream(stream), Progress::NeedInput),
            Left::Nothing => {
                turn.say(END);
                return Step::go(State::Command);
            }
        }
    }
}
