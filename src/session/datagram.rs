//! A conversation that is one datagram long: whole requests in, one bounded reply out.
//!
//! Nobody has to prove that a datagram's sender address is theirs. Hence four rules:
//!
//! 1. **Nothing outlives the datagram.** What it leaves unfinished is given up with its session.
//! 2. **A reply has a bound**, one datagram unless the operator allows more. A longer one is
//!    replaced by an error, so that a small datagram with a forged sender does not send megabytes
//!    to a victim.
//! 3. **Errors are not answered.** Taken for a request, any reply of ours is unknown and makes an
//!    error. Two servers that are tricked into talking to each other stop there.
//! 4. **Operators do not come by datagram.** What changes the server is refused.

use crate::base::services::Services;
use crate::protocol::ErrorLine;
use crate::protocol::binary::{MAGIC_REQUEST, Reply, RequestHeader, Status};
use crate::session::Session;
use crate::session::output::Output;
use crate::session::shared::Context;
use crate::session::state::Progress;

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
) {
    debug_assert!(out.is_empty(), "another reply waits");
    if requests.starts_with(ERROR) {
        return;
    }
    let reply_max = context.shared.settings.udp_reply_max;
    let mut session = Session::of_datagram(services, &context.shared.settings);
    let mut at = 0;
    loop {
        let step = session.advance(context, &requests[at..], out);
        at += step.consumed;
        if out.pending() > reply_max {
            out.reset(reply_max);
            refuse(requests, out);
            break;
        }
        if step.progress != Progress::Yield {
            break;
        }
    }
    session.hang_up(context.lane);
}

/// Puts an error in the place of a reply.
fn refuse(requests: &[u8], out: &mut Output) {
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
