//! The program from outside: exit codes, messages, signals, files.

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
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FIRST_LINE: &str = concat!(
    "nuthatch ",
    env!("CARGO_PKG_VERSION"),
    " (memcached 1.6.45 compatible)"
);

fn command(line: &str) -> Command {
    let mut command = program();
    command.args(line.split(' ').filter(|word| !word.is_empty()));
    command
}

fn finish(line: &str) -> Output {
    command(line).stdin(Stdio::null()).output().unwrap()
}

/// A running server, killed if the test ends early.
struct Daemon {
    child: Child,
    path: Scratch,
}

impl Daemon {
    /// Starts one on a UNIX socket of its own and waits until it can be connected to.
    fn start(name: &str, flags: &str) -> Self {
        let path = scratch_path(name);
        let line = format!("-s {} -u root {flags}", path.display());
        let child = command(&line).stderr(Stdio::piped()).spawn().unwrap();
        let daemon = Self { child, path };
        eventually("the server listens", || {
            UnixStream::connect(&*daemon.path).is_ok()
        });
        daemon
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(&*self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    /// A statistic, asked for by a client that logs in first.
    fn stat_after_login(&self, name: &str) -> u64 {
        let mut stream = UnixStream::connect(&*self.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"set a 0 0 6\r\nann pw\r\nstats\r\n")
            .unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        let start = format!("STAT {name} ");
        let value = lines.find_map(|line| line.strip_prefix(&start).map(str::to_string));
        value.unwrap().parse().unwrap()
    }

    /// Sends a signal and waits for the end: exit code, and what was said on stderr.
    fn end_by(mut self, signal: &str) -> (Option<i32>, String) {
        signal_process(signal, self.child.id());
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Fails when the child has ended, which is the usual case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal_process(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Asks again until the answer is yes.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}

fn scratch_path(name: &str) -> Scratch {
    Scratch::new(&format!("cli-{name}"))
}

fn runs_as_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn help_version_and_licence_go_to_stdout() {
    for flag in ["-h", "--help", "-V", "--version", "-i", "--license"] {
        let output = finish(flag);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(output.stderr.is_empty(), "{flag}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().next(), Some(FIRST_LINE), "{flag}");
    }
    assert_eq!(finish("-V").stdout, format!("{FIRST_LINE}\n").as_bytes());
}

#[test]
fn mistakes_have_memcacheds_exit_codes_and_words_on_stderr() {
    let table = [
        ("-t 0", 1, "-t 0"),
        ("-p abc", 1, "-p abc"),
        ("-m -5", 1, "-m -5"),
        ("-o nonsense", 1, "Illegal suboption \"nonsense\""),
        ("--nonsense", 1, "--nonsense"),
        ("-I 10", 64, "-I 10"),
        ("-B udp", 64, "-B udp"),
        ("-p 70000", 64, "-p 70000"),
        ("-S", 64, "-S: who may log in?"),
    ];
    for (line, code, words) in table {
        let output = finish(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.contains(words), "{line}: {said}");
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn a_port_in_use_is_an_os_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = finish(&format!("-u root -l 127.0.0.1 -p {port}"));
    assert_eq!(output.status.code(), Some(71));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("failed to listen") && said.contains(&port.to_string()),
        "{said}"
    );
}

#[test]
fn an_unknown_user_is_refused_to_root() {
    if !runs_as_root() {
        return; // -u is ignored then.
    }
    let output = finish("-u no-such-user-here -p -1");
    assert_eq!(output.status.code(), Some(67));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("no-such-user-here")
    );
}

#[test]
fn root_becomes_nobody_and_says_so() {
    if !runs_as_root() {
        return;
    }
    let mut child = command("-l 127.0.0.1 -p -1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    let status = fs::metadata(format!("/proc/{}", child.id())).unwrap();
    signal_process("-KILL", child.id());
    child.wait().unwrap();
    assert!(line.contains("nobody"), "{line}");
    assert_ne!(status.uid(), 0);
}

#[test]
fn signals_stop_it_with_exit_code_zero_and_remove_the_socket() {
    for (signal, words) in [
        ("-TERM", "Exiting normally"),
        ("-INT", "Exiting normally"),
        ("-USR1", "Gracefully"),
    ] {
        let daemon = Daemon::start(&format!("signal{signal}"), "-v");
        assert_eq!(daemon.ask("get none\r\n"), "END\r\n");
        let path = daemon.path.to_path_buf();
        let started = Instant::now();
        let (code, said) = daemon.end_by(signal);
        assert_eq!(code, Some(0), "{signal}: {said}");
        assert!(said.contains(words), "{signal}: {said}");
        assert!(started.elapsed() < Duration::from_secs(2), "{signal}");
        assert!(!path.exists(), "{signal}");
    }
}

#[test]
fn a_hangup_changes_nothing() {
    let daemon = Daemon::start("hangup", "");
    signal_process("-HUP", daemon.child.id());
    assert_eq!(daemon.ask("get none\r\n"), "END\r\n");
    assert_eq!(daemon.end_by("-TERM"), (Some(0), String::new()));
}

#[test]
fn options_without_effect_are_named_once() {
    let daemon = Daemon::start("effect", "-v -o hashpower=20,modern");
    let (_, said) = daemon.end_by("-TERM");
    assert!(
        said.contains("-o hashpower: accepted, without effect"),
        "{said}"
    );
}

#[test]
fn under_the_journal_lines_carry_their_priority() {
    let path = scratch_path("journal");
    let line = format!("-v -u root -s {}", path.display());
    let mut command = command(&line);
    let (mut reader, writer) = pipe().unwrap();
    let writer = File::from(OwnedFd::from(writer));
    let pipe = writer.metadata().unwrap();
    let child = command
        .env("JOURNAL_STREAM", format!("{}:{}", pipe.dev(), pipe.ino()))
        .stderr(writer)
        .spawn()
        .unwrap();
    drop(command);
    let mut daemon = Daemon { child, path };
    eventually("the server listens", || {
        UnixStream::connect(&*daemon.path).is_ok()
    });
    signal_process("-TERM", daemon.child.id());
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    daemon.child.wait().unwrap();
    assert_eq!(said, "<6>Exiting normally\n");
}

#[test]
fn elsewhere_lines_carry_time_and_level_whatever_the_environment_says() {
    let path = scratch_path("no-journal");
    let line = format!("-v -u root -s {}", path.display());
    let child = command(&line)
        .env("JOURNAL_STREAM", "8:1")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let daemon = Daemon { child, path };
    eventually("the server listens", || {
        UnixStream::connect(&*daemon.path).is_ok()
    });
    let (_, said) = daemon.end_by("-TERM");
    let last = said.lines().last().unwrap();
    let (time, rest) = last.split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{last}");
    assert_eq!(rest, "INFO  Exiting normally");
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let daemon = Daemon::start("stalled", "-vv");
    for _ in 0..3000 {
        assert_eq!(daemon.ask("get none\r\n"), "END\r\n");
    }
    let (code, said) = daemon.end_by("-TERM");
    assert_eq!(code, Some(0));
    assert!(
        said.contains(" log lines were dropped\n"),
        "nothing dropped"
    );
}

#[test]
fn each_request_and_reply_is_told_but_no_value_and_no_secret() {
    let (daemon, _file) = with_users("told", "-vv", "ann:pw");
    let ask = |request: &str| {
        let mut stream = UnixStream::connect(&*daemon.path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
    };
    ask(
        "set a 0 0 3\r\nann s3cr3t\r\nlong-s3cr3t\r\nset a 0 0 6\r\nann pw\r\n\
         set k 0 0 5\r\nvalue\r\nget k nothing\r\nmg k v\r\nbogus \x1b\r\nquit\r\n",
    );
    let (_, said) = daemon.end_by("-TERM");
    let told: Vec<_> = said
        .lines()
        .filter_map(|line| line.split_once(" DEBUG ")?.1.split_once(' '))
        .filter(|(who, _)| who.starts_with(['<', '>']))
        .map(|(who, what)| format!("{}{what}", &who[..1]))
        .filter(|line| !line.contains("connection"))
        .collect();
    let expected = [
        "<a login",
        ">CLIENT_ERROR bad command line termination",
        "<7 bytes before a login",
        ">CLIENT_ERROR unauthenticated",
        "<13 bytes before a login",
        ">CLIENT_ERROR unauthenticated",
        "<a login",
        ">STORED",
        "<set k 0 0 5",
        ">STORED",
        "<get k nothing",
        ">sending key k",
        ">END",
        "<mg k v",
        ">VA 5",
        "<bogus \\x1b",
        ">ERROR",
        "<quit",
    ];
    assert_eq!(told, expected, "{said}");
    assert!(!said.contains("cr3t") && !said.contains("ann pw"), "{said}");
    assert!(said.contains(" DEBUG verbosity 2\n"), "{said}");
}

#[test]
fn the_states_of_connections_are_told_where_most_is_asked_for() {
    let steps = |flag: &str| {
        let daemon = Daemon::start("states", flag);
        let mut stream = UnixStream::connect(&*daemon.path).unwrap();
        stream.write_all(b"set a 0 0 5\r\nva").unwrap();
        let midway = || {
            let mut other = UnixStream::connect(&*daemon.path).unwrap();
            other.write_all(b"stats conns\r\nquit\r\n").unwrap();
            let mut conns = String::new();
            other.read_to_string(&mut conns).unwrap();
            conns.contains("conn_nread")
        };
        while !midway() {}
        stream.write_all(b"lue\r\nquit\r\n").unwrap();
        stream.read_to_end(&mut vec![]).unwrap();
        let (_, said) = daemon.end_by("-TERM");
        said.matches(": going from conn_new_cmd to conn_nread\n")
            .count()
    };
    assert_eq!(steps("-vvv"), 1);
    assert_eq!(steps("-vv"), 0);
}

#[test]
fn systemd_is_told_when_clients_can_come_and_when_it_ends() {
    let systemd = scratch_path("notify");
    let socket = UnixDatagram::bind(&*systemd).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let path = scratch_path("notifying");
    let mut child = command(&format!("-u root -s {}", path.display()))
        .env("NOTIFY_SOCKET", &*systemd)
        .spawn()
        .unwrap();
    let heard = || {
        let mut message = [0; 100];
        let len = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).trim().to_string()
    };
    assert_eq!(heard(), "READY=1");
    assert!(UnixStream::connect(&*path).is_ok());
    signal_process("-TERM", child.id());
    assert_eq!(heard(), "STOPPING=1");
    child.wait().unwrap();
}

/// The ports that a finished port file names, by family.
fn ports(path: &Path) -> Vec<(String, u16)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_once(": ").unwrap());
    lines
        .map(|(family, port)| (family.into(), port.parse().unwrap()))
        .collect()
}

#[test]
fn the_port_file_names_the_ports_that_were_chosen() {
    let path = scratch_path("ports");
    let mut command = command("-u root -p -1 -U -1 -A -o relaxed_privileges");
    let child = command
        .env("MEMCACHED_PORT_FILENAME", &*path)
        .stderr(Stdio::piped());
    let daemon = Daemon {
        child: child.spawn().unwrap(),
        path: scratch_path("no-socket"),
    };
    eventually("the port file is there", || path.exists());
    let ports = ports(&path);
    assert_eq!(ports[0].0, "TCP INET");
    let udp = ports.iter().find(|(name, _)| name == "UDP INET").unwrap();
    assert!(UdpSocket::bind(("127.0.0.1", udp.1)).is_err());
    let mut stream = TcpStream::connect(("127.0.0.1", ports[0].1)).unwrap();
    stream.write_all(b"shutdown\r\n").unwrap();
    let mut daemon = daemon;
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
}

#[test]
fn in_the_background_it_is_up_when_the_parent_exits_and_clears_up_at_its_end() {
    let (socket, pid_file) = (scratch_path("back"), scratch_path("back-pid"));
    let line = format!(
        "-d -u root -s {} -P {}",
        socket.display(),
        pid_file.display()
    );
    let output = finish(&line);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(UnixStream::connect(&*socket).is_ok());
    let pid: u32 = fs::read_to_string(&*pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    signal_process("-TERM", pid);
    eventually("pid file and socket are gone", || {
        !pid_file.exists() && !socket.exists()
    });
}

#[test]
fn a_start_that_fails_in_the_background_is_told_to_the_caller() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = finish(&format!("-d -u root -l 127.0.0.1 -p {port}"));
    assert_eq!(output.status.code(), Some(71));
    assert!(!output.stderr.is_empty());
}

/// Starts a server whose password file holds `users`; the file's path is the second part.
fn with_users(name: &str, flags: &str, users: &str) -> (Daemon, Scratch) {
    let file = scratch_path(&format!("{name}-users"));
    fs::write(&*file, users).unwrap();
    let daemon = Daemon::start(name, &format!("-Y {} {flags}", file.display()));
    (daemon, file)
}

//= login.reload
#[test]
fn a_hangup_reads_the_password_file_again() {
    let (daemon, file) = with_users("users", "-v", "ann:old");
    let login = |password: &str| {
        let len = 4 + password.len();
        daemon.ask(&format!("set a 0 0 {len}\r\nann {password}\r\n"))
    };
    assert_eq!(login("old"), "STORED\r\n");
    assert_eq!(login("new"), "CLIENT_ERROR authentication failure\r\n");

    fs::write(&*file, "ann:new\n").unwrap();
    signal_process("-HUP", daemon.child.id());
    eventually("the new password works", || login("new") == "STORED\r\n");
    assert_eq!(login("old"), "CLIENT_ERROR authentication failure\r\n");

    fs::write(&*file, "no colon").unwrap();
    signal_process("-HUP", daemon.child.id());
    fs::write(&*file, "ann:newest").unwrap();
    signal_process("-HUP", daemon.child.id());
    eventually("the newest works", || login("newest") == "STORED\r\n");

    fs::write(&*file, "no colon").unwrap();
    signal_process("-HUP", daemon.child.id());
    fs::remove_file(&*file).unwrap();
    let (code, said) = daemon.end_by("-TERM");
    assert_eq!(code, Some(0));
    assert!(!said.contains("old") && !said.contains("newest"), "{said}");
}

#[test]
fn three_wrong_passwords_end_a_connection_and_are_logged_without_them() {
    let (daemon, _file) = with_users("guesses", "", "ann:pw");
    let mut stream = UnixStream::connect(&*daemon.path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let guess = b"set a 0 0 10\r\nann s3cr3t\r\n";
    stream.write_all(&guess.repeat(5)).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let failure = "CLIENT_ERROR authentication failure\r\n";
    assert_eq!(replies, failure.repeat(3));
    assert_eq!(daemon.ask("set a 0 0 6\r\nann pw\r\n"), "STORED\r\n");
    let (_, said) = daemon.end_by("-TERM");
    let line = "a local client: closed after 3 failed logins";
    assert_eq!(said.matches(line).count(), 1, "{said}");
    assert!(!said.contains("s3cr3t") && !said.contains("ann"), "{said}");
}

#[test]
fn little_is_read_of_a_client_that_has_not_logged_in() {
    let (daemon, _file) = with_users("little", "", "ann:pw");
    let mut stream = UnixStream::connect(&*daemon.path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // The server closes while this is being sent, or has taken all that the socket holds.
    let _ = stream.write_all(&b"get a\r\n".repeat(100_000));
    let mut replies = vec![];
    let _ = stream.read_to_end(&mut replies);
    let count = replies.iter().filter(|&&byte| byte == b'\n').count();
    assert!(count <= 16, "{count}");
    let read = daemon.stat_after_login("bytes_read");
    assert!(read < 10_000, "{read} bytes");
}

#[test]
fn a_password_file_that_breaks_leaves_the_users_of_before() {
    let (mut daemon, file) = with_users("broken", "", "ann:pw");
    fs::write(&*file, "no colon").unwrap();
    signal_process("-HUP", daemon.child.id());
    let mut stderr = BufReader::new(daemon.child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("SIGHUP") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it said nothing");
    }
    assert!(line.contains("line 1: no colon"), "{line}");
    assert_eq!(daemon.ask("set a 0 0 6\r\nann pw\r\n"), "STORED\r\n");
}

#[test]
fn a_password_file_that_others_can_read_is_warned_about() {
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        let file = scratch_path("mode-users");
        fs::write(&*file, "ann:pw").unwrap();
        fs::set_permissions(&*file, fs::Permissions::from_mode(mode)).unwrap();
        let daemon = Daemon::start("mode", &format!("-Y {}", file.display()));
        let (_, said) = daemon.end_by("-TERM");
        assert_eq!(said.contains("others can read"), warned, "{mode:o}: {said}");
    }
}

/// The system keeps a process's files from its own user if it would not write its core.
#[test]
fn core_files_are_written_of_a_server_that_has_changed_its_user() {
    let mut child = command("-r -u nobody -l 127.0.0.1 -p -1")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let of_process = |name: &str| PathBuf::from(format!("/proc/{}/{name}", child.id()));
    eventually("signals are caught", || {
        let status = fs::read_to_string(of_process("status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 14) != 0)
    });
    let status = fs::read_to_string(of_process("status")).unwrap();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let uid: u32 = uid
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_ne!(uid, 0, "it has changed its user");
    assert_eq!(fs::metadata(of_process("stat")).unwrap().uid(), uid);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn password_files_that_cannot_be_used_prevent_the_start() {
    let output = finish("-u root -p -1 -Y /no/such/file");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file"));
    let output = command("-u root -p -1 -S")
        .env("MEMCACHED_SASL_PWDB", "/no/such/file")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_environment_names_the_users_of_binary_logins() {
    let file = scratch_path("pwdb");
    fs::write(&*file, "ann:pw\n").unwrap();
    let path = scratch_path("binary-users");
    let line = format!("-S -u root -s {}", path.display());
    let child = command(&line)
        .env("MEMCACHED_SASL_PWDB", &*file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let daemon = Daemon { child, path };
    eventually("the server listens", || {
        UnixStream::connect(&*daemon.path).is_ok()
    });
    let mut stream = UnixStream::connect(&*daemon.path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut login = vec![0x80, 0x21, 0, 5, 0, 0, 0, 0, 0, 0, 0, 12];
    login.resize(24, 0);
    login.extend_from_slice(b"PLAIN\0ann\0pw");
    stream.write_all(&login).unwrap();
    let mut reply = [0; 24 + 13];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(
        (&reply[6..8], &reply[24..]),
        (&[0, 0][..], &b"Authenticated"[..])
    );
    for flags in ["-B ascii", "-B auto", "-l proto[ascii]:localhost"] {
        let output = command(&format!("-S {flags} -p -1"))
            .env("MEMCACHED_SASL_PWDB", &*file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{flags}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("way around the login"), "{said}");
    }
}
