//! What a login says: over text a `set` whose value is a token, over binary a message of PLAIN.
//!
//! ```text
//!   text     set <any> <any> <any> <n>\r\n<user> <password>\r\n
//!   binary   <authzid> NUL <user> NUL <password>
//! ```

use crate::base::credentials::LINE_LEN_MAX;
use crate::base::number::parse_i32;
use crate::protocol::{ErrorLine, VALUE_LEN_MAX};

/// The longest token: no line of a password file is longer.
pub const TOKEN_LEN_MAX: u32 = LINE_LEN_MAX as u32;

/// A line shorter than this, its end included, closes a connection that has not logged in.
const LINE_LEN_MIN: usize = 7;

/// What a line of a text connection that has not logged in asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginLine {
    /// A login: this many bytes and a CRLF follow. Give them to [`parse_token`].
    Token {
        /// Bytes of the token.
        len: u32,
    },
    /// A login with a token that nobody has: answer, then skip this many bytes.
    TokenTooLong {
        /// Bytes after the line that belong to it.
        skip: u64,
    },
    /// Something else: answer so.
    Unauthenticated,
    /// Nothing worth an answer.
    Close,
}

/// Reads a line, its `\n` included, of a connection that has not logged in.
#[must_use]
pub fn parse_login_line(line: &[u8]) -> LoginLine {
    if line.len() < LINE_LEN_MIN {
        return LoginLine::Close;
    }
    if !line.starts_with(b"set") {
        return LoginLine::Unauthenticated;
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
        None => LoginLine::Unauthenticated,
        Some(len @ ..=TOKEN_LEN_MAX) => LoginLine::Token { len },
        // As everywhere, a length that no value can have is none, and nothing follows it.
        Some(len) if len > VALUE_LEN_MAX => LoginLine::TokenTooLong { skip: 0 },
        Some(len) => LoginLine::TokenTooLong {
            skip: u64::from(len) + 2,
        },
    }
}

/// A user and the password that is said to be theirs.
// It has no `Debug`: a password must not get into a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Who it is.
    pub user: &'a [u8],
    /// How that is proven.
    pub password: &'a [u8],
}

/// Reads the token of a text login together with the two bytes after it.
///
/// # Errors
///
/// The reply; the connection may try again.
pub fn parse_token(token_and_end: &[u8]) -> Result<Claim<'_>, ErrorLine> {
    let token = token_and_end
        .strip_suffix(b"\r\n")
        .ok_or(ErrorLine::BadTermination)?;
    let space = token.iter().position(|&byte| byte == b' ');
    let space = space.ok_or(ErrorLine::AuthFormat)?;
    Ok(Claim {
        user: &token[..space],
        password: &token[space + 1..],
    })
}

/// Reads the client's message of the PLAIN mechanism. More NULs or fewer make it something else,
/// and nobody may act for another.
#[must_use]
pub fn parse_plain(message: &[u8]) -> Option<Claim<'_>> {
    let mut parts = message.split(|&byte| byte == 0);
    let (authzid, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let alone = parts.next().is_none() && (authzid.is_empty() || authzid == user);
    alone.then_some(Claim { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_set_with_a_length_is_a_login() {
        for line in [&b"set a 0 0 10\r\n"[..], b"set a b c 10 noreply\n"] {
            assert_eq!(parse_login_line(line), LoginLine::Token { len: 10 });
        }
        for line in ["get foo", "set a 0 0", "set a 0 0 x", "set a 0 0 -1"] {
            let line = format!("{line}\r\n");
            assert_eq!(
                parse_login_line(line.as_bytes()),
                LoginLine::Unauthenticated
            );
        }
        for line in [&b"\n"[..], b"\r\n", b"get\r\n", b"quit\r\n", b"stats\n"] {
            assert_eq!(parse_login_line(line), LoginLine::Close);
        }
        assert_eq!(parse_login_line(b"stats\r\n"), LoginLine::Unauthenticated);
    }

    #[test]
    fn a_token_longer_than_any_password_line_is_none() {
        let parsed = |len: u32| parse_login_line(format!("set a 0 0 {len}\r\n").as_bytes());
        assert_eq!(parsed(255), LoginLine::Token { len: 255 });
        assert_eq!(parsed(256), LoginLine::TokenTooLong { skip: 258 });
        let skip = 2_147_483_645 + 2;
        assert_eq!(parsed(2_147_483_645), LoginLine::TokenTooLong { skip });
        assert_eq!(parsed(2_147_483_646), LoginLine::TokenTooLong { skip: 0 });
    }

    #[test]
    fn a_token_is_user_space_password_crlf() {
        let claim = parse_token(b"ann se cret\r\n").ok().unwrap();
        assert_eq!((claim.user, claim.password), (&b"ann"[..], &b"se cret"[..]));
        for (token, error) in [
            (&b"ann se cret\n\n"[..], ErrorLine::BadTermination),
            (b"annsecret\r\n", ErrorLine::AuthFormat),
            (b"\r\n", ErrorLine::AuthFormat),
        ] {
            assert_eq!(parse_token(token).err(), Some(error));
        }
    }

    #[test]
    fn a_plain_message_has_three_parts_and_one_person() {
        for message in [&b"\0ann\0se cret"[..], b"ann\0ann\0se cret"] {
            let claim = parse_plain(message).unwrap();
            assert_eq!((claim.user, claim.password), (&b"ann"[..], &b"se cret"[..]));
        }
        for message in [
            &b""[..],
            b"ann",
            b"\0ann",
            b"\0ann\0x\0y",
            b"root\0ann\0se cret",
        ] {
            assert!(parse_plain(message).is_none());
        }
    }
}
