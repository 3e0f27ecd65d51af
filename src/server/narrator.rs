//! What `-vv` tells of a conversation: each request and each reply, as memcached prints them.
//!
//! ```text
//!   <27 get a b                                         request, without a value
//!   >27 sending key a                                   one for each hit
//!   >27 END
//!   <27 Read binary protocol data: 80 00 00 01 ...      the header, and no more
//!   >27 Writing bin response: 81 00 00 00 ...
//! ```
//!
//! Requests are run one by one for that. What a client sends is escaped and cut short; values are
//! left out, and so is all that a client sends which has yet to log in: it may be a password.

use crate::server::transport::Transport;
use crate::session::{Advance, Context, Output, Progress, Session};
use crate::store::COPY_MAX;
use log::{Level, debug, log_enabled};
use std::os::fd::RawFd;

/// The first byte of a binary request, and of a reply to one.
const MAGICS: [u8; 2] = [0x80, 0x81];

/// Bytes of a packet that are shown: its header.
const HEADER_LEN: usize = 24;

/// Bytes of a line that are shown.
const SHOWN_MAX: usize = 256;

/// Lines of one reply that are shown.
const LINES_MAX: usize = 16;

/// [`Session::advance`], logged request by request if the log is that detailed.
#[inline]
pub(super) fn advance(
    transport: &Transport,
    session: &mut Session,
    context: &mut Context<'_>,
    input: &[u8],
    out: &mut Output,
) -> Advance {
    if log_enabled!(Level::Debug) {
        advance_aloud(transport.fd(), session, context, input, out)
    } else {
        session.advance(context, input, out)
    }
}

#[cold]
fn advance_aloud(
    fd: RawFd,
    session: &mut Session,
    context: &mut Context<'_>,
    input: &[u8],
    out: &mut Output,
) -> Advance {
    let mut whole = Advance {
        consumed: 0,
        progress: Progress::Yield,
    };
    for _ in 0..context.shared.settings.requests_per_event.max(1) {
        let rest = &input[whole.consumed..];
        let admitted = session.is_admitted();
        let starts = session.is_between_requests();
        let mark = out.mark();
        let step = session.advance_one(context, rest, out);
        if starts && step.consumed > 0 {
            tell_request(fd, &rest[..step.consumed], admitted);
        }
        tell_reply(fd, out.since(mark));
        whole.consumed += step.consumed;
        whole.progress = step.progress;
        if step.progress != Progress::Yield {
            break;
        }
    }
    whole
}

fn tell_request(fd: RawFd, request: &[u8], admitted: bool) {
    if request[0] == MAGICS[0] {
        debug!("<{fd} Read binary protocol data:{}", header(request));
    } else if admitted {
        debug!("<{fd} {}", shown(first_line(request).0));
    } else if request.starts_with(b"set ") {
        debug!("<{fd} a login");
    } else {
        debug!("<{fd} {} bytes before a login", request.len());
    }
}

fn tell_reply(fd: RawFd, reply: &[u8]) {
    if reply.first() == Some(&MAGICS[1]) {
        debug!(">{fd} Writing bin response:{}", header(reply));
        return;
    }
    let mut rest = reply;
    for _ in 0..LINES_MAX {
        if rest.is_empty() {
            return;
        }
        let (line, after) = first_line(rest);
        let (told, value_len) = reading(line);
        debug!(">{fd} {told}");
        rest = value_len.map_or(after, |len| after.get(len + 2..).unwrap_or_default());
    }
    if !rest.is_empty() {
        debug!(">{fd} and {} bytes more", rest.len());
    }
}

/// What to tell of a line of a reply, and how many bytes of a value come after it.
fn reading(line: &[u8]) -> (String, Option<usize>) {
    let mut words = line.split(|&byte| byte == b' ');
    let (told, len) = match words.next() {
        Some(b"VALUE") => {
            let key = words.next().unwrap_or_default();
            let told = format!("sending key {}", shown(key));
            (told, words.nth(1))
        }
        Some(b"VA") => (shown(line), words.next()),
        _ => (shown(line), None),
    };
    let len = len.and_then(|len| str::from_utf8(len).ok()?.parse::<usize>().ok());
    // A longer value is sent from where it lies, and is not among the bytes.
    (
        told,
        len.map(|len| if len <= COPY_MAX as usize { len } else { 0 }),
    )
}

fn first_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| byte == b'\n');
    let (line, after) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 1..]));
    (line.strip_suffix(b"\r").unwrap_or(line), after)
}

fn shown(text: &[u8]) -> String {
    let mut shown = text[..text.len().min(SHOWN_MAX)].escape_ascii().to_string();
    if text.len() > SHOWN_MAX {
        shown.push_str("...");
    }
    shown
}

fn header(packet: &[u8]) -> String {
    let bytes = packet.iter().take(HEADER_LEN);
    bytes.map(|byte| format!(" {byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_is_told_by_its_key_and_its_value_is_passed_over() {
        let (told, len) = reading(b"VALUE k 0 5");
        assert_eq!((told.as_str(), len), ("sending key k", Some(5)));
        assert_eq!(reading(b"VALUE k 0 16385 7").1, Some(0));
        assert_eq!(reading(b"VA 3 f0"), ("VA 3 f0".into(), Some(3)));
        assert_eq!(reading(b"STORED"), ("STORED".into(), None));
    }

    #[test]
    fn what_a_client_sends_is_escaped_and_cut_short() {
        assert_eq!(shown(b"get \x1b[2J"), "get \\x1b[2J");
        assert_eq!(shown(&[b'k'; 1000]).len(), SHOWN_MAX + 3);
        assert_eq!(
            first_line(b"get a\r\nget b\r\n"),
            (&b"get a"[..], &b"get b\r\n"[..])
        );
        assert_eq!(header(&[0x80; 100]).len(), 3 * HEADER_LEN);
    }
}
