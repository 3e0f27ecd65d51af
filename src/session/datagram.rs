//! A conversation that is one datagram long: whole requests in, one bounded reply out.
//!
//! Nobody has to prove that a datagram's sender address is theirs. Hence three rules:
//!
//! 1. **Nothing outlives the datagram.** What it leaves unfinished is given up with its session.
//! 2. **A reply has a bound**, [`DATAGRAM_REPLY_MAX`]. A longer one is replaced by an error, so
//!    that a small datagram with a forged sender does not send megabytes to a victim.
//! 3. **Errors are not answered.** Taken for a request, any reply of ours is unknown and makes an
//!    error. Two servers that are tricked into talking to each other stop there.

use crate::base::services::Services;
use crate::protocol::binary::{MAGIC_REQUEST, Reply, RequestHeader, Status};
use crate::protocol::text::ErrorLine;
use crate::session::output::Output;
use crate::session::shared::Context;
use crate::session::{Progress, Session};

/// Bytes of a reply at most: what clients fetch in practice, in some 24 datagrams.
pub const DATAGRAM_REPLY_MAX: usize = 32 << 10;

/// What an error begins with that answers the unknown.
const ERROR: &[u8] = b"ERROR";

/// Carries out the requests of one datagram; what `out`, which must be empty, then holds is the
/// reply to all of them.
///
/// Once the reply is too long, the requests that have not been carried out are dropped.
pub fn answer_datagram(
    context: &mut Context<'_>,
    services: Services,
    requests: &[u8],
    out: &mut Output,
) -> Progress {
    debug_assert!(out.is_empty(), "another reply waits");
    if requests.starts_with(ERROR) {
        return Progress::NeedInput;
    }
    let mut session = Session::new(services);
    let mut at = 0;
    let progress = loop {
        let step = session.advance(context, &requests[at..], out);
        at += step.consumed;
        if out.pending() > DATAGRAM_REPLY_MAX {
            refuse(requests, out);
            break Progress::Close;
        }
        if step.progress != Progress::Yield {
            break step.progress;
        }
    };
    session.hang_up(context.lane);
    progress
}

/// Puts an error in the place of a reply.
fn refuse(requests: &[u8], out: &mut Output) {
    out.reset(DATAGRAM_REPLY_MAX);
    match RequestHeader::read(requests) {
        Some(header) if header.magic == MAGIC_REQUEST => {
            Reply::to(&header).push_status(out.bytes_mut(), Status::TooLarge);
        }
        _ => {
            let error = ErrorLine::ReplyTooLarge.as_bytes();
            out.bytes_mut().extend_from_slice(error);
        }
    }
}
