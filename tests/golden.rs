//! Transcripts of conversations, replayed on a session: as they stand, and byte by byte.
//!
//! A transcript is lines of these kinds; what a line holds ends where the line ends:
//!
//! ```text
//! # a comment
//! #= time.negative        what follows shows that sentence of tests/spec.txt
//! = shutdown_enabled      a setting, before anything is sent (login: as ann, "se cret")
//! > get k                 sent, with CRLF
//! >> abc                  sent as it stands
//! < END                   expected, with CRLF
//! << key=a \n             expected as it stands
//! <* STAT pid             lines expected up to one that begins so
//! >: get key=k            sent, a binary request: see golden/packet.rs
//! <: get flags=0 value=v  expected, a binary reply
//! <*: stat                replies expected up to this one
//! + 5                     five seconds pass
//! ! close                 the session must have ended; a new one begins
//! ! barred                after three logins that failed
//! ! shutdown              it must have asked for the end of the process
//! ```
//!
//! `\r \n \t \\ \xNN` are escapes, `{250*k}` is a `k` 250 times. `{cas}` stands for a number: what
//! is expected sets it, what is sent repeats it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod common;
#[path = "golden/packet.rs"]
mod packet;

use common::{Talk, settings};
use nuthatch::base::credentials::Credentials;
use nuthatch::session::Progress;
use packet::Packet;
use std::fs;
use std::path::Path;

/// How the client's bytes arrive.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Whole,
    ByteByByte,
}

/// A conversation under way.
struct Replay {
    talk: Option<Talk>,
    settings: nuthatch::base::settings::Settings,
    pace: Pace,
    unsent: Vec<u8>,
    cas: String,
}

impl Replay {
    fn talk(&mut self) -> &mut Talk {
        self.talk.get_or_insert_with(|| {
            let talk = Talk::new(self.settings.clone());
            let users = Credentials::parse(b"ann:se cret\nbob:word").unwrap();
            talk.shared.logins.replace(users);
            talk
        })
    }

    /// Sends what has been gathered: all of it at once, or each byte alone.
    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.unsent);
        match self.pace {
            Pace::Whole => self.talk().send(&bytes),
            Pace::ByteByByte => {
                for byte in bytes {
                    self.talk().send(&[byte]);
                }
            }
        }
    }

    fn run(&mut self, line: &str) -> Result<(), String> {
        let (kind, text) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "" | "#" | "#=" => {}
            "=" => enable(&mut self.settings, text),
            ">" => {
                let bytes = unescape(&text.replace("{cas}", &self.cas));
                self.unsent.extend_from_slice(&bytes);
                self.unsent.extend_from_slice(b"\r\n");
            }
            ">>" => self.unsent.extend_from_slice(&unescape(text)),
            "<" => {
                self.flush();
                return self.expect(text);
            }
            "<<" => {
                self.flush();
                let line = self.take_line()?;
                if line != unescape(text) {
                    return Err(format!("came: {:?}", String::from_utf8_lossy(&line)));
                }
            }
            ">:" => {
                let request = Packet::parse(&text.replace("{cas}", &self.cas));
                self.unsent.extend(request.request());
            }
            "<:" => {
                self.flush();
                return self.expect_packet(text);
            }
            "<*:" => {
                self.flush();
                while self.expect_packet(text).is_err() {
                    let reply = &mut self.talk().reply;
                    let end = packet::front_len(reply).ok_or("no such packet came")?;
                    reply.drain(..end);
                }
            }
            "<*" => {
                self.flush();
                while !self.talk().reply.starts_with(text.as_bytes()) {
                    self.take_line()?;
                }
                self.take_line()?;
            }
            "+" => {
                self.flush();
                let talk = self.talk();
                talk.sleep(text.parse().unwrap());
            }
            "!" => return self.expect_end(text),
            _ => return Err("what kind of line is this?".into()),
        }
        Ok(())
    }

    fn take_line(&mut self) -> Result<Vec<u8>, String> {
        let reply = &mut self.talk().reply;
        let end = reply
            .iter()
            .position(|&byte| byte == b'\n')
            .ok_or("no further line came")?;
        Ok(reply.drain(..=end).collect())
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if let Some((before, after)) = text.split_once("{cas}") {
            let line = String::from_utf8(self.take_line()?).unwrap();
            let middle = line.strip_prefix(before);
            let middle = middle.and_then(|rest| rest.strip_suffix(&format!("{after}\r\n")));
            let middle = middle.ok_or_else(|| format!("came: {line:?}"))?;
            middle
                .parse::<u64>()
                .map_err(|_| format!("no number: {middle}"))?;
            self.cas = middle.into();
            return Ok(());
        }
        let mut expected = unescape(text);
        expected.extend_from_slice(b"\r\n");
        let reply = &mut self.talk().reply;
        if !reply.starts_with(&expected) {
            let shown = &reply[..reply.len().min(200)];
            return Err(format!("came: {}", shown.escape_ascii()));
        }
        reply.drain(..expected.len());
        Ok(())
    }

    fn expect_packet(&mut self, text: &str) -> Result<(), String> {
        if let Some(rest) = text.strip_suffix(" cas={cas}") {
            let cas = packet::front_cas(&self.talk().reply).ok_or("no packet came")?;
            self.expect_packet(rest)?;
            self.cas = cas.to_string();
            return Ok(());
        }
        let expected = Packet::parse(text).reply(&self.talk().reply);
        let reply = &mut self.talk().reply;
        if !reply.starts_with(&expected) {
            return Err(format!("came: {}", reply.escape_ascii()));
        }
        reply.drain(..expected.len());
        Ok(())
    }

    fn expect_end(&mut self, how: &str) -> Result<(), String> {
        self.flush();
        self.nothing_is_left()?;
        let ended = self.talk().ended;
        let right = match how {
            "close" => matches!(ended, Some(Progress::Close | Progress::Quit)),
            "barred" => ended == Some(Progress::Barred { failures: 3 }),
            "shutdown" => ended == Some(Progress::Shutdown { graceful: false }),
            "shutdown graceful" => ended == Some(Progress::Shutdown { graceful: true }),
            _ => return Err("which end is this?".into()),
        };
        self.talk().reconnect();
        if right {
            Ok(())
        } else {
            Err(format!("it ended with {ended:?}"))
        }
    }

    fn nothing_is_left(&mut self) -> Result<(), String> {
        let reply = &self.talk().reply;
        if reply.is_empty() {
            return Ok(());
        }
        Err(format!("more came than expected: {}", reply.escape_ascii()))
    }
}

fn enable(settings: &mut nuthatch::base::settings::Settings, name: &str) {
    match name {
        "shutdown_enabled" => settings.shutdown_enabled = true,
        "no_flush" => settings.flush_enabled = false,
        "no_dump" => settings.dump_enabled = false,
        "no_watch" => settings.watch_enabled = false,
        "login" => settings.auth_file = Some("/users".into()),
        "no_slab_reassign" => settings.store.reassign = false,
        "no_cas" => settings.store.cas = false,
        "sasl" => settings.sasl = true,
        "full" => {
            settings.store.evict = false;
            settings.store.memory_limit = 1 << 20;
        }
        "ascii" => settings.services = nuthatch::base::services::Services::TEXT,
        _ => panic!("no such setting: {name}"),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (vec![], text);
    while let Some(first) = rest.chars().next() {
        let (bytes, used) = match first {
            '\\' => escape(rest),
            '{' => repeated(rest),
            _ => (first.to_string().into_bytes(), first.len_utf8()),
        };
        out.extend_from_slice(&bytes);
        rest = &rest[used..];
    }
    out
}

fn escape(rest: &str) -> (Vec<u8>, usize) {
    match &rest[1..2] {
        "r" => (b"\r".to_vec(), 2),
        "n" => (b"\n".to_vec(), 2),
        "t" => (b"\t".to_vec(), 2),
        "\\" => (b"\\".to_vec(), 2),
        "x" => (vec![u8::from_str_radix(&rest[2..4], 16).unwrap()], 4),
        other => panic!("no escape: {other}"),
    }
}

fn repeated(rest: &str) -> (Vec<u8>, usize) {
    let end = rest.find('}').unwrap();
    let (count, what) = rest[1..end].split_once('*').unwrap();
    (what.repeat(count.parse().unwrap()).into_bytes(), end + 1)
}

fn replay(path: &Path, pace: Pace) {
    let mut replay = Replay {
        talk: None,
        settings: settings(),
        pace,
        unsent: vec![],
        cas: String::new(),
    };
    for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        if let Err(fault) = replay.run(line) {
            panic!(
                "{}:{}, {pace:?}: {line}\n{fault}",
                path.display(),
                number + 1
            );
        }
    }
    replay.flush();
    if let Err(fault) = replay.nothing_is_left() {
        panic!("{}, {pace:?}: {fault}", path.display());
    }
}

fn transcripts() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn transcripts_hold_as_they_stand() {
    for path in transcripts() {
        replay(&path, Pace::Whole);
    }
}

#[test]
fn transcripts_hold_byte_by_byte() {
    for path in transcripts() {
        replay(&path, Pace::ByteByByte);
    }
}
