//! Where settings come from: a file, the environment, the command line, seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "support/binary.rs"]
mod binary;
#[path = "support/scratch.rs"]
mod scratch;

use binary::{PATIENCE, program};
use scratch::Scratch;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Debian's own file, which its package of memcached leaves there.
const DEBIANS: &str = "/usr/share/memcached/memcached.conf.default";

fn command(words: &[&str]) -> Command {
    let mut command = program();
    command.args(words).stdin(Stdio::null());
    command
}

/// The exit code, and what it said on standard output and standard error.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

fn file_with(name: &str, text: &str) -> Scratch {
    let file = Scratch::new(name);
    fs::write(&*file, text).unwrap();
    file
}

#[test]
fn a_server_runs_with_what_its_file_and_the_environment_say() {
    let socket = Scratch::new("config-socket");
    let text = format!(
        "-d\n-m 100 # MiB\n-u root\n-s '{}'\n-c 50\n",
        socket.display()
    );
    let file = file_with("config-run", &text);
    let mut child = command(&["--config", file.to_str().unwrap(), "-v"])
        .env("NUTHATCH_OPTIONS", "-c 60 -A")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match UnixStream::connect(&*socket) {
            Ok(stream) => break stream,
            Err(_) => assert_eq!(child.try_wait().unwrap(), None, "{:?}", said.next()),
        }
        assert!(Instant::now() < deadline, "it does not listen");
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"stats settings\r\nshutdown\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    for line in ["STAT maxbytes 104857600", "STAT maxconns 60"] {
        assert!(reply.contains(line), "{reply}");
    }
    assert!(
        child.wait().unwrap().success(),
        "it stayed in the foreground"
    );
}

#[test]
fn a_mistake_in_the_file_ends_the_start_with_memcacheds_code() {
    let file = file_with("config-mistake", "-v\n\n-I 1000 # too small\n");
    let path = file.to_str().unwrap();
    let (code, _, said) = outcome(&mut command(&["--config", path]));
    let expected = format!("{path}, line 3: -I 1000: items of at least 1024 bytes must fit\n");
    assert_eq!((code, said), (64, expected));
}

#[test]
#[ignore = "needs Debian's memcached"]
fn debians_own_file_is_read_as_it_is() {
    let (code, page, said) = outcome(&mut command(&["--config", DEBIANS, "--print-config"]));
    assert_eq!(code, 0, "{said}");
    for (start, from) in [
        ("--memory-limit=64 ", ", line "),
        ("--port=11211 ", ", line "),
        ("--user=memcache ", ", line "),
        ("--listen=127.0.0.1 ", ", line "),
        ("# --daemon ", "not set"),
    ] {
        let line = page.lines().find(|line| line.starts_with(start));
        assert!(
            line.is_some_and(|line| line.contains(from)),
            "{start}: {page}"
        );
    }
}

#[test]
fn a_check_finds_what_would_prevent_the_start_and_opens_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let fine = ["--check", "-u", "root", "-l", "127.0.0.1", "-p", &port];
    let (code, said, _) = outcome(&mut command(&fine));
    assert_eq!((code, &*said), (0, "the settings are valid\n"));

    let users = file_with("config-users", "no colon\n");
    let users = users.to_str().unwrap();
    let table: [(&[&str], i32, &str); 7] = [
        (&["-u", "no-such-user"], 67, "-u no-such-user: no such user"),
        (&["-Y", "/no/such/file"], 1, "/no/such/file"),
        (&["-Y", users], 1, "line 1: no colon"),
        (&["-l", "a:b"], 64, "is not an address"),
        (&["-S"], 64, "-S: who may log in?"),
        (
            &["-s", "/no/such/socket"],
            71,
            "-s /no/such/socket: No such file",
        ),
        (
            &["-l", "unix:/dev/null/x"],
            71,
            "-l unix:/dev/null/x: Not a directory",
        ),
    ];
    for (flags, wanted, sentence) in table {
        let (code, _, said) = outcome(command(&["--check"]).args(flags));
        assert_eq!(code, wanted, "{flags:?}: {said}");
        assert!(said.contains(sentence), "{flags:?}: {said}");
    }
}

#[test]
fn a_check_tells_what_has_no_effect() {
    let (code, said, _) = outcome(&mut command(&[
        "--check",
        "-u",
        "root",
        "-o",
        "hashpower=20",
    ]));
    assert_eq!(code, 0);
    assert!(
        said.starts_with("-o hashpower: accepted, without effect here\n"),
        "{said}"
    );
}
