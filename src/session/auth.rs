//! Logins: the `set` of text connections and the PLAIN mechanism of binary ones.
//!
//! ```text
//!   text     set <any> <any> <any> <n>\r\n<user> <password>\r\n          ──▶ STORED
//!   binary   auth  PLAIN, authzid NUL user NUL password                  ──▶ 0x00
//!            auth  PLAIN, nothing ──▶ 0x21    step  PLAIN, the same      ──▶ 0x00
//! ```
//!
//! Before a login succeeds nothing else is answered but errors, nothing reaches the store, and no
//! more than [`TOKEN_LEN_MAX`] bytes are kept.

use crate::base::credentials::LoginTable;
use crate::base::number::{parse_i32, usize_from};
use crate::protocol::VALUE_LEN_MAX;
use crate::protocol::binary::{Gate, Login, Status};
use crate::protocol::text::reply::CRLF;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State, tally};
use memchr::memchr;

/// The longest `user password` token of a text login.
pub(super) const TOKEN_LEN_MAX: u32 = 16 << 10;

/// Bytes without a newline after which a text connection that has not logged in is closed.
pub(super) const LINE_LEN_MAX: usize = 2048;

/// A line shorter than this, its end included, closes a connection that has not logged in.
const LINE_LEN_MIN: usize = 6;

/// The only mechanism on offer.
pub(super) const MECHANISM: &[u8] = b"PLAIN";

/// A turn of a text connection that has not logged in.
pub(super) struct TextLogin {
    /// How it went on.
    pub(super) step: Step,
    /// Whether it has logged in.
    pub(super) admitted: bool,
}

/// Hears one line of a text connection that has not logged in.
pub(super) fn command(turn: &mut Turn<'_, '_>) -> TextLogin {
    let rest = turn.rest();
    let newline = memchr(b'\n', &rest[..rest.len().min(LINE_LEN_MAX + 1)]);
    let refused = |step| TextLogin {
        step,
        admitted: false,
    };
    let Some(newline) = newline else {
        let hopeless = rest.len() > LINE_LEN_MAX;
        return refused(Step::stop(
            State::Command,
            if hopeless {
                Progress::Close
            } else {
                Progress::NeedInput
            },
        ));
    };
    if turn.commands_left == 0 {
        return refused(Step::stop(State::Command, Progress::Yield));
    }
    let line_len = newline + 1;
    let len = match read_login_line(&rest[..line_len]) {
        LoginLine::Close => return refused(Step::stop(State::Command, Progress::Close)),
        LoginLine::Refused { error, skip } => {
            turn.at += line_len;
            turn.count_command();
            turn.say(error.as_bytes());
            turn.say(CRLF);
            return refused(Step::go(match skip {
                0 => State::Command,
                skip => State::Swallow(skip),
            }));
        }
        LoginLine::Token { len } => usize_from(u64::from(len)) + CRLF.len(),
    };
    let Some(token) = rest[line_len..].get(..len) else {
        return refused(Step::stop(State::Command, Progress::NeedInput));
    };
    turn.at += line_len + len;
    turn.count_command();
    let judged = admit_token(&turn.shared().logins, token);
    tally::login(turn.counters(), judged.is_ok());
    turn.say(judged.err().unwrap_or("STORED").as_bytes());
    turn.say(CRLF);
    TextLogin {
        step: Step::go(State::Command),
        admitted: judged.is_ok(),
    }
}

/// What the first line of a text connection asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginLine {
    /// A login: this many bytes and a CRLF follow. Give them to [`admit_token`].
    Token {
        /// Bytes of the token.
        len: u32,
    },
    /// Something else: answer `error`, then skip.
    Refused {
        /// The reply, without its line end.
        error: &'static str,
        /// Bytes after the line that belong to it.
        skip: u64,
    },
    /// Nothing worth an answer.
    Close,
}

/// Reads a line, its `\n` included, of a connection that has not logged in.
#[must_use]
pub(super) fn read_login_line(line: &[u8]) -> LoginLine {
    let unauthenticated = LoginLine::Refused {
        error: "CLIENT_ERROR unauthenticated",
        skip: 0,
    };
    if line.len() < LINE_LEN_MIN {
        return LoginLine::Close;
    }
    if !line.starts_with(b"set") {
        return unauthenticated;
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut tokens = line
        .split(|&byte| byte == b' ')
        .filter(|token| !token.is_empty());
    let len = tokens
        .nth(4)
        .and_then(parse_i32)
        .and_then(|len| u32::try_from(len).ok());
    match len {
        None => unauthenticated,
        Some(len) if len > TOKEN_LEN_MAX => LoginLine::Refused {
            error: "CLIENT_ERROR auth token too long",
            // As everywhere, a length that no value can have is none, and nothing follows it.
            skip: if len > VALUE_LEN_MAX {
                0
            } else {
                u64::from(len) + 2
            },
        },
        Some(len) => LoginLine::Token { len },
    }
}

/// Judges the token of a text login together with the two bytes behind it.
///
/// # Errors
///
/// The reply, without its line end; the connection may try again.
pub(super) fn admit_token(table: &LoginTable, token_and_end: &[u8]) -> Result<(), &'static str> {
    let Some(token) = token_and_end.strip_suffix(b"\r\n") else {
        return Err("CLIENT_ERROR bad command line termination");
    };
    let Some(space) = token.iter().position(|&byte| byte == b' ') else {
        return Err("CLIENT_ERROR bad authentication token format");
    };
    if table.admit(&token[..space], &token[space + 1..]) {
        Ok(())
    } else {
        Err("CLIENT_ERROR authentication failure")
    }
}

/// The client's message of the PLAIN mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain<'a> {
    /// As whom to act; empty for oneself.
    pub(super) authzid: &'a [u8],
    /// Who it is.
    pub(super) user: &'a [u8],
    /// How that is proven.
    pub(super) password: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Cuts `authzid NUL user NUL password`; more NULs or fewer make it something else.
    #[must_use]
    pub(super) fn parse(response: &'a [u8]) -> Option<Self> {
        let mut parts = response.split(|&byte| byte == 0);
        let plain = Self {
            authzid: parts.next()?,
            user: parts.next()?,
            password: parts.next()?,
        };
        parts.next().is_none().then_some(plain)
    }

    /// Whether the password is right. Nobody may act for another.
    fn is_admitted(self, table: &LoginTable) -> bool {
        let known = table.admit(self.user, self.password);
        known && (self.authzid.is_empty() || self.authzid == self.user)
    }
}

/// How far the login of a binary connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sasl {
    /// There are no logins here.
    Off,
    /// None has succeeded; `started` once a mechanism has been agreed on.
    LoggedOut {
        /// Whether a step may follow.
        started: bool,
    },
    /// One has succeeded.
    LoggedIn,
}

/// The answer to a message of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoginAnswer {
    /// The reply's status.
    pub(super) status: Status,
    /// The reply's body.
    pub(super) text: &'static [u8],
    /// Whether it counts as an attempt.
    pub(super) is_attempt: bool,
}

impl Sasl {
    /// The state of a new connection.
    #[must_use]
    pub(super) fn new(required: bool) -> Self {
        if required {
            Self::LoggedOut { started: false }
        } else {
            Self::Off
        }
    }

    /// What the connection may do.
    #[must_use]
    pub(super) fn gate(self) -> Gate {
        match self {
            Self::Off => Gate::Open,
            Self::LoggedOut { .. } => Gate::Locked,
            Self::LoggedIn => Gate::Unlocked,
        }
    }

    /// Takes one message of a login. A new attempt ends an older login, whatever comes of it.
    pub(super) fn answer(&mut self, table: &LoginTable, login: &Login<'_>) -> LoginAnswer {
        match *login {
            Login::List => LoginAnswer {
                status: Status::Success,
                text: MECHANISM,
                is_attempt: false,
            },
            Login::Start {
                mechanism,
                response,
            } => {
                let agreed = mechanism == MECHANISM;
                *self = Self::LoggedOut {
                    started: agreed && response.is_empty(),
                };
                match (agreed, response) {
                    (true, []) => LoginAnswer {
                        status: Status::AuthContinue,
                        text: b"",
                        is_attempt: false,
                    },
                    (true, response) => self.judge(table, response),
                    (false, _) => LoginAnswer::failure(),
                }
            }
            Login::Step { response } => {
                let started = *self == Self::LoggedOut { started: true };
                *self = Self::LoggedOut { started: false };
                if started {
                    self.judge(table, response)
                } else {
                    LoginAnswer::failure()
                }
            }
        }
    }

    fn judge(&mut self, table: &LoginTable, response: &[u8]) -> LoginAnswer {
        if !Plain::parse(response).is_some_and(|plain| plain.is_admitted(table)) {
            return LoginAnswer::failure();
        }
        *self = Self::LoggedIn;
        LoginAnswer {
            status: Status::Success,
            text: b"Authenticated",
            is_attempt: true,
        }
    }
}

impl LoginAnswer {
    fn failure() -> Self {
        let status = Status::AuthFailure;
        Self {
            status,
            text: status.text().as_bytes(),
            is_attempt: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::credentials::Credentials;

    fn table() -> LoginTable {
        LoginTable::new(Credentials::parse(b"ann:se cret").unwrap())
    }

    fn start<'a>(mechanism: &'a [u8], response: &'a [u8]) -> Login<'a> {
        Login::Start {
            mechanism,
            response,
        }
    }

    #[test]
    fn only_a_set_with_a_length_is_a_login() {
        assert_eq!(
            read_login_line(b"set a 0 0 10\r\n"),
            LoginLine::Token { len: 10 }
        );
        assert_eq!(
            read_login_line(b"set a b c 10 noreply\n"),
            LoginLine::Token { len: 10 }
        );
        for line in [
            &b"get foo\r\n"[..],
            b"set a 0 0\r\n",
            b"set a 0 0 x\r\n",
            b"set a 0 0 -1\r\n",
        ] {
            let error = "CLIENT_ERROR unauthenticated";
            assert_eq!(read_login_line(line), LoginLine::Refused { error, skip: 0 });
        }
        for line in [&b"\n"[..], b"\r\n", b"get\r\n"] {
            assert_eq!(read_login_line(line), LoginLine::Close);
        }
        let error = "CLIENT_ERROR auth token too long";
        let skip = 2_147_483_645 + 2;
        let line = b"set foo 0 0 2147483645\r\n";
        assert_eq!(read_login_line(line), LoginLine::Refused { error, skip });
        let line = b"set foo 0 0 2147483646\r\n";
        assert_eq!(read_login_line(line), LoginLine::Refused { error, skip: 0 });
    }

    #[test]
    fn a_token_is_user_space_password_crlf() {
        assert_eq!(admit_token(&table(), b"ann se cret\r\n"), Ok(()));
        for (token, error) in [
            (
                &b"ann se cret\n\n"[..],
                "CLIENT_ERROR bad command line termination",
            ),
            (
                b"annsecret\r\n",
                "CLIENT_ERROR bad authentication token format",
            ),
            (b"\r\n", "CLIENT_ERROR bad authentication token format"),
            (b"ann secret\r\n", "CLIENT_ERROR authentication failure"),
        ] {
            assert_eq!(admit_token(&table(), token), Err(error));
        }
    }

    #[test]
    fn a_plain_message_has_three_parts() {
        let plain = Plain::parse(b"\0ann\0se cret").unwrap();
        assert_eq!((plain.user, plain.password), (&b"ann"[..], &b"se cret"[..]));
        for response in [&b""[..], b"ann", b"\0ann", b"\0ann\0x\0y"] {
            assert_eq!(Plain::parse(response), None);
        }
    }

    #[test]
    fn a_failure_undoes_an_older_login() {
        let mut sasl = Sasl::new(true);
        let good = start(b"PLAIN", b"\0ann\0se cret");
        assert_eq!(sasl.answer(&table(), &good).status, Status::Success);
        assert_eq!(sasl.gate(), Gate::Unlocked);
        let bad = start(b"PLAIN", b"\0ann\0wrong");
        assert_eq!(sasl.answer(&table(), &bad).status, Status::AuthFailure);
        assert_eq!(sasl.gate(), Gate::Locked);
    }

    #[test]
    fn a_step_needs_a_start() {
        let mut sasl = Sasl::new(true);
        let step = Login::Step {
            response: b"\0ann\0se cret",
        };
        assert_eq!(sasl.answer(&table(), &step).status, Status::AuthFailure);
        assert_eq!(
            sasl.answer(&table(), &start(b"PLAIN", b"")).status,
            Status::AuthContinue
        );
        assert_eq!(sasl.answer(&table(), &step).status, Status::Success);
        assert_eq!(sasl.answer(&table(), &step).status, Status::AuthFailure);
        assert_eq!(sasl.gate(), Gate::Locked);
    }

    #[test]
    fn other_mechanisms_and_identities_are_refused() {
        let mut sasl = Sasl::new(true);
        for (mechanism, response) in [
            (&b"CRAM-MD5"[..], &b"\0ann\0se cret"[..]),
            (b"plain", b"\0ann\0se cret"),
            (b"PLAIN", b"root\0ann\0se cret"),
            (b"PLAIN", b"\0\0"),
        ] {
            let answer = sasl.answer(&table(), &start(mechanism, response));
            assert_eq!(answer.status, Status::AuthFailure);
        }
        assert_eq!(sasl.answer(&table(), &Login::List).text, b"PLAIN");
        let as_oneself = start(b"PLAIN", b"ann\0ann\0se cret");
        assert_eq!(sasl.answer(&table(), &as_oneself).status, Status::Success);
    }
}
