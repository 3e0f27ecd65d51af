//! Binary requests out of a buffer.
//!
//! A header is checked as soon as its 24 bytes are in, in this order:
//!
//! | fault                                       | reply                     | then            |
//! |---------------------------------------------|---------------------------|-----------------|
//! | magic is not 0x80                           | none                      | close           |
//! | key, or key and extras, exceed the body     | 0x81 `Unknown command`    | close           |
//! | body over 1 GiB                             | 0x04 `Invalid arguments`  | close           |
//! | login needed and missing                    | 0x20 `Auth failure.`      | close           |
//! | key over 250 bytes                          | 0x04 `Invalid arguments`  | close           |
//! | opcode unknown, or a login where none is on | 0x81 `Unknown command`    | skip the body   |
//! | wrong extras, key or value for the opcode   | 0x04 `Invalid arguments`  | close           |
//!
//! A value that is stored is not waited for: the request is complete with its extras and key, and
//! says how much is to come. Lengths stay unsigned throughout, so that none can become negative.

use crate::base::credentials::LINE_LEN_MAX;
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::base::store_mode::StoreMode;
use crate::protocol::binary::header::{HEADER_LEN, MAGIC_REQUEST, RequestHeader};
use crate::protocol::binary::opcode::{Opcode, Verb};
use crate::protocol::binary::reply::{Reply, Status};

/// The largest body that is taken at all.
pub const BODY_LEN_MAX: u32 = 1 << 30;

/// The longest login response: as whom to act, a user and a password, of which no line of a
/// password file has more, and two NULs.
pub const LOGIN_LEN_MAX: u32 = 2 * LINE_LEN_MAX as u32 + 2;

/// The longest name of a login mechanism.
pub const MECHANISM_LEN_MAX: usize = 32;

/// The exptime of a counter that must not be created.
const DO_NOT_CREATE: u32 = u32::MAX;

/// What the connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// There are no logins here.
    Open,
    /// A login is needed and has not succeeded.
    Locked,
    /// A login has succeeded.
    Unlocked,
}

/// What the front of the buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a request: come again when `needed` bytes are in the buffer.
    Incomplete {
        /// Bytes from the start of the header.
        needed: usize,
    },
    /// A request.
    Request(PacketRequest<'a>),
    /// Something that is answered with an error, or not at all.
    Rejected(PacketRejection),
}

/// A request that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRequest<'a> {
    /// What the header asks for.
    pub opcode: Opcode,
    /// Where the reply goes.
    pub reply: Reply,
    /// The CAS id to compare with; `None` for 0.
    pub compare: Option<u64>,
    /// Bytes used up: all of the request but the value of a store.
    pub consumed: usize,
    /// What to do.
    pub command: Command<'a>,
}

/// What a request asks for, with its arguments. Exptimes have no sign
/// on the wire; which are negative all the same, [`Expiry`](crate::base::clock::Expiry) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Read.
    Get {
        /// Which item.
        key: Key<'a>,
        /// The new exptime, of the reads that touch.
        touch: Option<i64>,
        /// Whether the reply has the key.
        with_key: bool,
    },
    /// Give a new expiry.
    Touch {
        /// Which item.
        key: Key<'a>,
        /// The new exptime.
        exptime: i64,
    },
    /// Store the value that follows.
    Store {
        /// On which condition.
        mode: StoreMode,
        /// Under which key.
        key: Key<'a>,
        /// The client's 32 bits; 0 for append and prepend.
        client_flags: u32,
        /// When it dies; 0 for append and prepend.
        exptime: i64,
        /// Bytes of the value, still to come.
        value_len: u32,
    },
    /// Remove.
    Delete {
        /// Which item.
        key: Key<'a>,
    },
    /// Count.
    Count {
        /// Which item.
        key: Key<'a>,
        /// By how much.
        delta: u64,
        /// Downwards, stopping at zero.
        down: bool,
        /// Number and exptime of a missing item, if it is to be created.
        initial: Option<(u64, i64)>,
    },
    /// Remove everything, at once or at a moment to come.
    Flush {
        /// The moment, if the extras name one.
        exptime: Option<i64>,
    },
    /// Tell the numbers of a group.
    Stat {
        /// Its name; empty for the general one.
        group: &'a [u8],
    },
    /// Log in.
    Login(Login<'a>),
    /// The barrier.
    Noop,
    /// Tell the version.
    Version,
    /// Close.
    Quit,
}

/// The parts of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login<'a> {
    /// Which mechanisms are there?
    List,
    /// Begin.
    Start {
        /// The mechanism's name.
        mechanism: &'a [u8],
        /// The client's first message.
        response: &'a [u8],
    },
    /// Go on.
    Step {
        /// The client's next message.
        response: &'a [u8],
    },
}

/// A request that is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRejection {
    /// Where the reply goes and what it is; `None` for silence.
    pub reply: Option<(Reply, Status)>,
    /// What follows the reply.
    pub then: Then,
}

/// How a rejected request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// With the connection.
    Close,
    /// By passing over this many bytes from the start of its header.
    Skip(u64),
}

/// Looks at the front of `input`.
#[must_use]
pub fn parse(input: &[u8], gate: Gate) -> Parsed<'_> {
    let Some(header) = RequestHeader::read(input) else {
        let wrong_magic = input.first().is_some_and(|&magic| magic != MAGIC_REQUEST);
        return if wrong_magic {
            close_silently()
        } else {
            incomplete(HEADER_LEN)
        };
    };
    match check(&header, gate) {
        Ok(frame) => frame.read(&header, input),
        Err(rejection) => Parsed::Rejected(rejection),
    }
}

fn incomplete(needed: usize) -> Parsed<'static> {
    Parsed::Incomplete { needed }
}

fn close_silently() -> Parsed<'static> {
    Parsed::Rejected(PacketRejection {
        reply: None,
        then: Then::Close,
    })
}

/// What a sound header says about the request's frame.
struct Frame {
    opcode: Opcode,
    value_len: u32,
}

/// The table at the top.
fn check(header: &RequestHeader, gate: Gate) -> Result<Frame, PacketRejection> {
    if header.magic != MAGIC_REQUEST {
        return Err(PacketRejection {
            reply: None,
            then: Then::Close,
        });
    }
    let close = |status| Err(reject(header, status, Then::Close));
    let Some(value_len) = header.value_len() else {
        return close(Status::UnknownCommand);
    };
    if header.body_len > BODY_LEN_MAX {
        return close(Status::InvalidArguments);
    }
    let opcode = Opcode::of(header.opcode);
    if gate == Gate::Locked && !opcode.is_some_and(Opcode::is_open_to_all) {
        return close(Status::AuthFailure);
    }
    if usize::from(header.key_len) > KEY_LEN_MAX {
        return close(Status::InvalidArguments);
    }
    let Some(opcode) = opcode.filter(|opcode| gate != Gate::Open || !opcode.is_login()) else {
        return Err(reject(header, Status::UnknownCommand, skip_all(header)));
    };
    if !opcode
        .shape()
        .admits(header.extras_len, header.key_len, value_len)
    {
        return close(Status::InvalidArguments);
    }
    check_login(header, opcode, value_len)?;
    Ok(Frame { opcode, value_len })
}

/// The limits of login messages, which are buffered whole.
fn check_login(
    header: &RequestHeader,
    opcode: Opcode,
    value_len: u32,
) -> Result<(), PacketRejection> {
    if !opcode.is_login() {
        return Ok(());
    }
    if value_len > LOGIN_LEN_MAX {
        return Err(reject(header, Status::InvalidArguments, Then::Close));
    }
    if usize::from(header.key_len) > MECHANISM_LEN_MAX {
        return Err(reject(header, Status::InvalidArguments, skip_all(header)));
    }
    Ok(())
}

fn reject(header: &RequestHeader, status: Status, then: Then) -> PacketRejection {
    PacketRejection {
        reply: Some((Reply::to(header), status)),
        then,
    }
}

fn skip_all(header: &RequestHeader) -> Then {
    Then::Skip(HEADER_LEN as u64 + u64::from(header.body_len))
}

impl Frame {
    /// Cuts the body out of `input`, if as much of it is there as the command looks at.
    fn read<'a>(&self, header: &RequestHeader, input: &'a [u8]) -> Parsed<'a> {
        let extras_end = HEADER_LEN + usize::from(header.extras_len);
        let key_end = extras_end + usize::from(header.key_len);
        let buffered_value = if self.opcode.is_login() {
            self.value_len as usize
        } else {
            0
        };
        let consumed = key_end + buffered_value;
        let Some(body) = input.get(HEADER_LEN..consumed) else {
            return incomplete(consumed);
        };
        let (extras, rest) = body.split_at(extras_end - HEADER_LEN);
        let (key, value) = rest.split_at(key_end - extras_end);
        let Some(command) = self.command(extras, key, value) else {
            return Parsed::Rejected(reject(header, Status::InvalidArguments, Then::Close));
        };
        Parsed::Request(PacketRequest {
            opcode: self.opcode,
            reply: Reply::to(header),
            compare: (header.cas != 0).then_some(header.cas),
            consumed,
            command,
        })
    }

    /// The command; `None` cannot happen once the shape has been checked.
    fn command<'a>(&self, extras: &'a [u8], key: &'a [u8], value: &'a [u8]) -> Option<Command<'a>> {
        Some(match self.opcode.verb {
            Verb::Get => Command::Get {
                key: Key::new(key)?,
                touch: None,
                with_key: false,
            },
            Verb::GetKey => Command::Get {
                key: Key::new(key)?,
                touch: None,
                with_key: true,
            },
            Verb::GetTouch | Verb::GetTouchKey => Command::Get {
                key: Key::new(key)?,
                touch: Some(exptime_at(extras, 0)?),
                with_key: self.opcode.verb == Verb::GetTouchKey,
            },
            Verb::Touch => Command::Touch {
                key: Key::new(key)?,
                exptime: exptime_at(extras, 0)?,
            },
            Verb::Set => self.store(StoreMode::Set, extras, key)?,
            Verb::Add => self.store(StoreMode::Add, extras, key)?,
            Verb::Replace => self.store(StoreMode::Replace, extras, key)?,
            Verb::Append => self.store(StoreMode::Append, &[0; 8], key)?,
            Verb::Prepend => self.store(StoreMode::Prepend, &[0; 8], key)?,
            Verb::Delete => Command::Delete {
                key: Key::new(key)?,
            },
            Verb::Increment => count(extras, key, false)?,
            Verb::Decrement => count(extras, key, true)?,
            Verb::Flush => Command::Flush {
                exptime: exptime_at(extras, 0),
            },
            Verb::Stat => Command::Stat { group: key },
            Verb::LoginList => Command::Login(Login::List),
            Verb::LoginStart => Command::Login(Login::Start {
                mechanism: key,
                response: value,
            }),
            Verb::LoginStep => Command::Login(Login::Step { response: value }),
            Verb::Noop => Command::Noop,
            Verb::Version => Command::Version,
            Verb::Quit => Command::Quit,
        })
    }

    fn store<'a>(&self, mode: StoreMode, extras: &[u8], key: &'a [u8]) -> Option<Command<'a>> {
        Some(Command::Store {
            mode,
            key: Key::new(key)?,
            client_flags: u32_at(extras, 0)?,
            exptime: exptime_at(extras, 4)?,
            value_len: self.value_len,
        })
    }
}

fn count<'a>(extras: &[u8], key: &'a [u8], down: bool) -> Option<Command<'a>> {
    let exptime = u32_at(extras, 16)?;
    let initial = u64_at(extras, 8)?;
    Some(Command::Count {
        key: Key::new(key)?,
        delta: u64_at(extras, 0)?,
        down,
        initial: (exptime != DO_NOT_CREATE).then_some((initial, i64::from(exptime))),
    })
}

fn u32_at(extras: &[u8], at: usize) -> Option<u32> {
    extras
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes))
}

fn exptime_at(extras: &[u8], at: usize) -> Option<i64> {
    u32_at(extras, at).map(i64::from)
}

fn u64_at(extras: &[u8], at: usize) -> Option<u64> {
    extras
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
}
