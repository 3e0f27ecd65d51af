//! Logging in, before anything else is sent on a connection.

use crate::failure::Failure;
use crate::wire::Protocol;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes of a binary header.
const HEADER: usize = 24;

/// The binary opcode of a SASL login, and the magic byte of requests.
const SASL_AUTH: u8 = 0x21;
const REQUEST: u8 = 0x80;

/// What text servers answer to the right login.
const WELCOME: &[u8] = b"STORED\r\n";

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    user: String,
    password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Login {{ user: {:?} }}", self.user)
    }
}

impl Login {
    /// The first `user:password` line of a file as servers read it with `-Y`.
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        match text.lines().find_map(|line| line.split_once(':')) {
            Some((user, password)) => Ok(Self {
                user: user.into(),
                password: password.into(),
            }),
            None => Err("no line of it is user:password".into()),
        }
    }

    /// Logs in on a new connection, and waits for the answer.
    pub(crate) fn perform(
        &self,
        stream: &mut (impl Read + Write),
        protocol: Protocol,
    ) -> Result<(), Failure> {
        let during = Failure::during("log in");
        stream.write_all(&self.request(protocol)).map_err(&during)?;
        let accepted = if protocol == Protocol::Binary {
            let mut header = [0; HEADER];
            stream.read_exact(&mut header).map_err(&during)?;
            let len = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            let mut body = vec![0; (len as usize).min(1 << 16)];
            stream.read_exact(&mut body).map_err(&during)?;
            header[6..8] == [0, 0]
        } else {
            let mut line = vec![];
            while !line.ends_with(b"\n") && line.len() < 256 {
                let mut byte = [0];
                stream.read_exact(&mut byte).map_err(&during)?;
                line.push(byte[0]);
            }
            line == WELCOME
        };
        if accepted {
            Ok(())
        } else {
            Err(Failure::new(
                "log in: the server refuses this user and password",
            ))
        }
    }

    fn request(&self, protocol: Protocol) -> Vec<u8> {
        let Self { user, password } = self;
        if protocol != Protocol::Binary {
            let words = format!("{user} {password}");
            return format!("set login 0 0 {}\r\n{words}\r\n", words.len()).into_bytes();
        }
        let body = format!("PLAIN\0{user}\0{password}").into_bytes();
        let mut request = vec![0; HEADER];
        request[0] = REQUEST;
        request[1] = SASL_AUTH;
        request[3] = b"PLAIN".len() as u8;
        request[8..12].copy_from_slice(&(body.len() as u32).to_be_bytes());
        request.extend(body);
        request
    }
}
