//! Logins: the `set` of text connections and the PLAIN mechanism of binary ones.
//!
//! ```text
//!   text     set <any> <any> <any> <n>\r\n<user> <password>\r\n          ──▶ STORED
//!   binary   auth  PLAIN, authzid NUL user NUL password                  ──▶ 0x00
//!            auth  PLAIN, nothing ──▶ 0x21    step  PLAIN, the same      ──▶ 0x00
//! ```
//!
//! Before a login succeeds nothing else is answered but errors, and nothing reaches the store. Such
//! a connection may ask [`REQUESTS_MAX`] times and fail [`FAILURES_MAX`] times; then it is closed.

use crate::base::credentials::LoginTable;
use crate::base::number::usize_from;
use crate::protocol::ErrorLine;
use crate::protocol::binary::{Gate, Login, Status};
use crate::protocol::login::{LoginLine, parse_login_line, parse_plain, parse_token};
use crate::protocol::text::reply::CRLF;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, State, tally};
use memchr::memchr;

/// Bytes without a newline after which a text connection that has not logged in is closed.
pub(super) const LINE_LEN_MAX: usize = 2048;

/// Requests of a connection that has not logged in. Clients begin with a version, a list of
/// mechanisms and a login.
const REQUESTS_MAX: u8 = 16;

/// Logins of one connection that may fail.
const FAILURES_MAX: u8 = 3;

/// The only mechanism on offer.
pub(super) const MECHANISM: &[u8] = b"PLAIN";

/// What a connection has used up of the little that it may do without a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// Requests since it was last logged in.
    requests: u8,
    /// Logins that have failed, ever.
    failures: u8,
}

impl Tries {
    /// Counts a request that is answered without a login.
    pub(super) fn ask(&mut self) {
        self.requests = self.requests.saturating_add(1);
    }

    /// Counts a login.
    fn log_in(&mut self, succeeded: bool) {
        if succeeded {
            self.requests = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Why the connection is to end, if it is.
    pub(super) fn ending(self) -> Option<Progress> {
        if self.failures >= FAILURES_MAX {
            let failures = self.failures;
            Some(Progress::Barred { failures })
        } else if self.requests >= REQUESTS_MAX {
            Some(Progress::Close)
        } else {
            None
        }
    }
}

/// How a text connection that has not logged in went on.
pub(super) struct TextLogin {
    /// Where it stands.
    pub(super) step: Step,
    /// Whether it has logged in.
    pub(super) admitted: bool,
}

impl TextLogin {
    fn refused(step: Step) -> Self {
        Self {
            step,
            admitted: false,
        }
    }
}

/// Handles one line of a text connection that has not logged in.
pub(super) fn run_one(turn: &mut Turn<'_, '_>, tries: &mut Tries) -> TextLogin {
    let rest = turn.rest();
    let newline = memchr(b'\n', &rest[..rest.len().min(LINE_LEN_MAX + 1)]);
    let stop = |progress| TextLogin::refused(Step::stop(State::Command, progress));
    let Some(newline) = newline else {
        let hopeless = rest.len() > LINE_LEN_MAX;
        return stop(if hopeless {
            Progress::Close
        } else {
            Progress::NeedInput
        });
    };
    if turn.commands_left == 0 {
        return stop(Progress::Yield);
    }
    let line_len = newline + 1;
    let (judged, skip) = match parse_login_line(&rest[..line_len]) {
        LoginLine::Close => return stop(Progress::Close),
        LoginLine::Unauthenticated => {
            tries.ask();
            turn.error(ErrorLine::Unauthenticated);
            return after(turn, line_len, *tries, State::Command);
        }
        LoginLine::TokenTooLong { skip } => (Err(ErrorLine::TokenTooLong), skip),
        LoginLine::Token { len } => {
            let len = usize_from(u64::from(len)) + CRLF.len();
            let Some(token) = rest[line_len..].get(..len) else {
                return stop(Progress::NeedInput);
            };
            turn.at += len;
            (admit_token(&turn.shared().logins, token), 0)
        }
    };
    tries.ask();
    tries.log_in(judged.is_ok());
    tally::login(turn.counters(), judged.is_ok());
    match judged {
        Ok(()) => turn.say(b"STORED\r\n"),
        Err(error) => turn.error(error),
    }
    let next = match skip {
        0 => State::Command,
        skip => State::Swallow(skip),
    };
    TextLogin {
        admitted: judged.is_ok(),
        ..after(turn, line_len, *tries, next)
    }
}

/// Counts the line, and goes on if there are tries left.
fn after(turn: &mut Turn<'_, '_>, line_len: usize, tries: Tries, next: State) -> TextLogin {
    turn.at += line_len;
    turn.count_command();
    TextLogin::refused(Step {
        state: next,
        stop: tries.ending(),
    })
}

/// Verifies the token of a text login together with the two bytes after it.
///
/// # Errors
///
/// The reply.
fn admit_token(table: &LoginTable, token_and_end: &[u8]) -> Result<(), ErrorLine> {
    let claim = parse_token(token_and_end)?;
    if table.admit(claim.user, claim.password) {
        Ok(())
    } else {
        Err(ErrorLine::AuthFailure)
    }
}

/// How far the login of a binary connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sasl {
    stage: Stage,
    pub(super) tries: Tries,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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
        let stage = if required {
            Stage::LoggedOut { started: false }
        } else {
            Stage::Off
        };
        Self {
            stage,
            tries: Tries::default(),
        }
    }

    /// What the connection may do.
    #[must_use]
    pub(super) fn gate(self) -> Gate {
        match self.stage {
            Stage::Off => Gate::Open,
            Stage::LoggedOut { .. } => Gate::Locked,
            Stage::LoggedIn => Gate::Unlocked,
        }
    }

    /// Takes one message of a login. A new attempt ends an older login, whatever comes of it.
    pub(super) fn answer(&mut self, table: &LoginTable, login: &Login<'_>) -> LoginAnswer {
        let answer = self.reply_to(table, login);
        if answer.is_attempt {
            self.tries.log_in(answer.status == Status::Success);
        }
        answer
    }

    fn reply_to(&mut self, table: &LoginTable, login: &Login<'_>) -> LoginAnswer {
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
                self.stage = Stage::LoggedOut {
                    started: agreed && response.is_empty(),
                };
                match (agreed, response) {
                    (true, []) => LoginAnswer {
                        status: Status::AuthContinue,
                        text: b"",
                        is_attempt: false,
                    },
                    (true, response) => self.verify(table, response),
                    (false, _) => LoginAnswer::failure(),
                }
            }
            Login::Step { response } => {
                let started = self.stage == Stage::LoggedOut { started: true };
                self.stage = Stage::LoggedOut { started: false };
                if started {
                    self.verify(table, response)
                } else {
                    LoginAnswer::failure()
                }
            }
        }
    }

    fn verify(&mut self, table: &LoginTable, response: &[u8]) -> LoginAnswer {
        let claim = parse_plain(response);
        if !claim.is_some_and(|claim| table.admit(claim.user, claim.password)) {
            return LoginAnswer::failure();
        }
        self.stage = Stage::LoggedIn;
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
    fn three_failures_or_sixteen_requests_are_the_end() {
        let mut tries = Tries::default();
        (1..REQUESTS_MAX).for_each(|_| tries.ask());
        assert_eq!(tries.ending(), None);
        tries.ask();
        assert_eq!(tries.ending(), Some(Progress::Close));
        let mut tries = Tries::default();
        for succeeded in [false, true, false] {
            tries.log_in(succeeded);
            assert_eq!(tries.ending(), None);
        }
        tries.log_in(false);
        let barred = Progress::Barred { failures: 3 };
        assert_eq!(tries.ending(), Some(barred));
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
