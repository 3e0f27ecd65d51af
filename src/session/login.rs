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
use crate::session::call::Call;
use crate::session::count;
use crate::session::state::{Progress, State, Step};
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

/// How far a connection's login has come, whatever it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoginState {
    stage: Stage,
    /// Requests since it was last logged in.
    requests: u8,
    /// Logins that have failed, ever.
    failures: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There are no logins here.
    Off,
    /// None has succeeded.
    LoggedOut {
        /// A mechanism has been agreed on: a step may follow.
        started: bool,
    },
    /// One has succeeded.
    LoggedIn,
}

impl LoginState {
    /// The state of a new connection.
    pub(super) fn new(required: bool) -> Self {
        let stage = if required {
            Stage::LoggedOut { started: false }
        } else {
            Stage::Off
        };
        Self {
            stage,
            requests: 0,
            failures: 0,
        }
    }

    /// Whether nothing but a login is understood.
    #[inline]
    pub(super) fn is_locked(self) -> bool {
        matches!(self.stage, Stage::LoggedOut { .. })
    }

    /// What packets may do.
    pub(super) fn gate(self) -> Gate {
        match self.stage {
            Stage::Off => Gate::Open,
            Stage::LoggedOut { .. } => Gate::Locked,
            Stage::LoggedIn => Gate::Unlocked,
        }
    }

    /// Counts a request that is answered without a login.
    pub(super) fn ask(&mut self) {
        self.requests = self.requests.saturating_add(1);
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

    /// Counts a login.
    fn count(&mut self, succeeded: bool) {
        if succeeded {
            self.stage = Stage::LoggedIn;
            self.requests = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }
}

/// Handles one line of a text connection that has not logged in.
pub(super) fn run_one(call: &mut Call<'_, '_>, login: &mut LoginState) -> Step {
    let rest = call.rest();
    let newline = memchr(b'\n', &rest[..rest.len().min(LINE_LEN_MAX + 1)]);
    let stop = |progress| Step::stop(State::Request, progress);
    let Some(newline) = newline else {
        let hopeless = rest.len() > LINE_LEN_MAX;
        return stop(if hopeless {
            Progress::Close
        } else {
            Progress::NeedInput
        });
    };
    if call.requests_left == 0 {
        return stop(Progress::Yield);
    }
    let line_len = newline + 1;
    let (judged, skip) = match parse_login_line(&rest[..line_len]) {
        LoginLine::Close => return stop(Progress::Close),
        LoginLine::Unauthenticated => {
            login.ask();
            call.error(ErrorLine::Unauthenticated);
            return after(call, line_len, *login, State::Request);
        }
        LoginLine::TokenTooLong { skip } => (Err(ErrorLine::TokenTooLong), skip),
        LoginLine::Token { len } => {
            let len = usize_from(u64::from(len)) + CRLF.len();
            let Some(token) = rest[line_len..].get(..len) else {
                return stop(Progress::NeedInput);
            };
            call.at += len;
            (admit_token(&call.shared().logins, token), 0)
        }
    };
    login.ask();
    // What is no name and password guesses nothing.
    if matches!(judged, Ok(()) | Err(ErrorLine::AuthFailure)) {
        login.count(judged.is_ok());
    }
    count::login(call.counters(), judged.is_ok());
    match judged {
        Ok(()) => call.say(b"STORED\r\n"),
        Err(error) => call.error(error),
    }
    let next = match skip {
        0 => State::Request,
        skip => State::Swallow(skip),
    };
    after(call, line_len, *login, next)
}

/// Counts the line, and goes on if the connection may.
fn after(call: &mut Call<'_, '_>, line_len: usize, login: LoginState, next: State) -> Step {
    call.at += line_len;
    call.count_request();
    Step {
        state: next,
        stop: login.ending(),
    }
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

impl LoginState {
    /// Takes one message of a login. A new attempt ends an older login, whatever comes of it.
    pub(super) fn answer(&mut self, table: &LoginTable, login: &Login<'_>) -> LoginAnswer {
        let answer = self.reply_to(table, login);
        if answer.is_attempt {
            self.count(answer.status == Status::Success);
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
        let mut login = LoginState::new(true);
        (1..REQUESTS_MAX).for_each(|_| login.ask());
        assert_eq!(login.ending(), None);
        login.ask();
        assert_eq!(login.ending(), Some(Progress::Close));
        let mut login = LoginState::new(true);
        for succeeded in [false, true, false] {
            login.count(succeeded);
            assert_eq!(login.ending(), None);
        }
        login.count(false);
        let barred = Progress::Barred { failures: 3 };
        assert_eq!(login.ending(), Some(barred));
    }

    #[test]
    fn a_failure_undoes_an_older_login() {
        let mut login = LoginState::new(true);
        let good = start(b"PLAIN", b"\0ann\0se cret");
        assert_eq!(login.answer(&table(), &good).status, Status::Success);
        assert_eq!(login.gate(), Gate::Unlocked);
        let bad = start(b"PLAIN", b"\0ann\0wrong");
        assert_eq!(login.answer(&table(), &bad).status, Status::AuthFailure);
        assert_eq!(login.gate(), Gate::Locked);
    }

    #[test]
    fn a_step_needs_a_start() {
        let mut login = LoginState::new(true);
        let step = Login::Step {
            response: b"\0ann\0se cret",
        };
        assert_eq!(login.answer(&table(), &step).status, Status::AuthFailure);
        assert_eq!(
            login.answer(&table(), &start(b"PLAIN", b"")).status,
            Status::AuthContinue
        );
        assert_eq!(login.answer(&table(), &step).status, Status::Success);
        assert_eq!(login.answer(&table(), &step).status, Status::AuthFailure);
        assert_eq!(login.gate(), Gate::Locked);
    }

    #[test]
    fn other_mechanisms_and_identities_are_refused() {
        let mut login = LoginState::new(true);
        for (mechanism, response) in [
            (&b"CRAM-MD5"[..], &b"\0ann\0se cret"[..]),
            (b"plain", b"\0ann\0se cret"),
            (b"PLAIN", b"root\0ann\0se cret"),
            (b"PLAIN", b"\0\0"),
        ] {
            let answer = login.answer(&table(), &start(mechanism, response));
            assert_eq!(answer.status, Status::AuthFailure);
        }
        assert_eq!(login.answer(&table(), &Login::List).text, b"PLAIN");
        let as_oneself = start(b"PLAIN", b"ann\0ann\0se cret");
        assert_eq!(login.answer(&table(), &as_oneself).status, Status::Success);
    }
}
