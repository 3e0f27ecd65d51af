//! Argument lists and what becomes of them.

use super::{Action, VERSION_LINE, file, parse};
use crate::base::services::Services;
use crate::base::settings::{Automove, EvictionPolicy, Settings};
use crate::server::Failure;
use proptest::prelude::*;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

fn parse_line(line: &str) -> Result<Action, Failure> {
    let words = line
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(OsString::from);
    parse([OsString::from("nuthatch")].into_iter().chain(words), None)
}

fn settings(line: &str) -> Settings {
    match parse_line(line) {
        Ok(Action::Run { settings, .. }) => *settings,
        other => panic!("{line}: {other:?}"),
    }
}

fn failure(line: &str) -> Failure {
    match parse_line(line) {
        Err(failure) => failure,
        other => panic!("{line}: {other:?}"),
    }
}

fn printed(line: &str) -> String {
    match parse_line(line) {
        Ok(Action::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn without_flags_the_defaults_are_memcacheds() {
    let settings = settings("");
    assert_eq!(settings.tcp_port, Some(11211));
    assert_eq!(settings.store.memory_limit, 64 << 20);
    assert_eq!(settings.store.item_size_max, 1 << 20);
    assert_eq!(
        (settings.connections_max, settings.connections_refuse),
        (1024, true)
    );
    assert!((1..=4).contains(&settings.threads));
    assert!(settings.listen.is_empty());
}

#[test]
fn values_come_attached_apart_or_after_an_equals_sign() {
    for line in [
        "-m64m -t2",
        "-m 64 -t 2",
        "--memory-limit=64 --threads=2",
        "--memory-limit 64 -t2",
    ] {
        let settings = settings(line);
        assert_eq!(
            (settings.store.memory_limit, settings.threads),
            (64 << 20, 2),
            "{line}"
        );
    }
}

#[test]
fn flags_can_be_clustered_repeated_and_abbreviated() {
    let given = settings("-dvvu root -d -p 1 -p 2 --memory-l 128 -l a -l b,c;d");
    assert!(given.daemonize);
    assert_eq!(given.verbosity, 2);
    assert_eq!(given.user.as_deref(), Some("root"));
    assert_eq!(given.tcp_port, Some(2));
    assert_eq!(given.store.memory_limit, 128 << 20);
    assert_eq!(given.listen, ["a", "b,c;d"]);
}

#[test]
fn every_simple_flag_sets_what_it_names() {
    let given =
        settings("-A -C -F -X -W -M -k -r -L -R 7 -b 5 -c 9 -D | -B ascii -a 755 -P /p -n 64");
    assert!(given.shutdown_enabled && given.lock_memory && given.core_files);
    assert!(!given.flush_enabled && !given.dump_enabled && !given.watch_enabled);
    assert!(!given.store.evict && !given.store.cas);
    assert_eq!(
        (
            given.requests_per_event,
            given.backlog,
            given.connections_max
        ),
        (7, 5, 9)
    );
    assert_eq!((given.prefix_delimiter, given.detail_enabled), (b'|', true));
    assert_eq!((given.services, given.unix_mask), (Services::TEXT, 0o755));
    assert_eq!(given.store.chunk_size_min, Some(64));
    assert_eq!(settings("-f 1.08").store.growth_factor, Some(1.08));
}

#[test]
fn ports_can_be_off_or_any() {
    assert_eq!(settings("-p 0 -s /tmp/s").tcp_port, None);
    assert_eq!(settings("-p -1 -U 0").tcp_port, Some(0));
    assert_eq!(settings("-s /tmp/s").tcp_port, None);
    assert_eq!(settings("-p 65535").tcp_port, Some(65535));
}

#[test]
fn a_udp_port_alone_is_the_tcp_port_too() {
    let ports = |line: &str| {
        let settings = settings(line);
        (settings.tcp_port, settings.udp_port)
    };
    assert_eq!(ports(""), (Some(11211), None));
    assert_eq!(ports("-U 0"), (Some(11211), None));
    assert_eq!(ports("-U 5"), (Some(5), Some(5)));
    assert_eq!(ports("-U -1"), (Some(0), Some(0)));
    assert_eq!(ports("-p 6 -U 5"), (Some(6), Some(5)));
    assert_eq!(ports("-p -1 -U 5"), (Some(0), Some(5)));
    assert_eq!(ports("-p 0 -U 5"), (None, Some(5)));
    assert_eq!(ports("-s /tmp/s -U 5"), (None, None));
    assert_eq!(settings("-U 0 -Y /users").udp_port, None);
}

#[test]
fn sizes_take_suffixes_in_either_case() {
    assert_eq!(settings("-m 1g").store.memory_limit, 1 << 30);
    assert_eq!(settings("-m 512M").store.memory_limit, 512 << 20);
    let half = settings("-m 50%").store.memory_limit;
    let all = settings("-m 100%").store.memory_limit;
    assert!(half > 1 << 20 && half.abs_diff(all / 2) < 1 << 10);
    assert!(settings("-L").store.huge_pages && !settings("").store.huge_pages);
    assert_eq!(settings("-I 1024").store.item_size_max, 1024);
    assert_eq!(settings("-I 2M").store.item_size_max, 2 << 20);
    assert_eq!(settings("-I 512k").store.item_size_max, 512 << 10);
    assert_eq!(settings("-m 2g -I 1G").store.item_size_max, 1 << 30);
    assert_eq!(settings("-m 1").store.item_size_max, 512 << 10);
}

#[test]
fn suboptions_come_in_lists_and_repeat() {
    let line = "-o no_maxconns_fast,idle_timeout=5,slab_automove=0 -o slab_automove \
        -o eviction=lfu,relaxed_privileges"
        .replace("        ", "");
    let given = settings(&line);
    assert!(!given.connections_refuse);
    assert_eq!(
        (given.idle_timeout_s, given.store.automove),
        (5, Automove::Balanced)
    );
    assert_eq!(given.store.policy, EvictionPolicy::Lfu);
    assert_eq!(settings("-o eviction=s3").store.policy, EvictionPolicy::S3);
    for (line, limit) in [("", 16 << 20), ("-m 2g", (2 << 30) / 50)] {
        assert_eq!(settings(line).conn_memory_limit(), limit, "{line}");
    }
    assert_eq!(settings("-o conn_memory=3m").conn_memory_limit(), 3 << 20);
}

#[test]
fn memcacheds_own_suboptions_are_all_accepted_and_noted() {
    let line = "-o modern,hashpower=16,no_hashexpand,slab_reassign,slab_automove=2,\
        slab_automove_ratio=0.7,slab_automove_window=30,slab_automove_freeratio=0.02,\
        tail_repair_time=30,hash_algorithm=xxh3,lru_crawler,lru_crawler_sleep=10,\
        lru_crawler_tocrawl=5,lru_maintainer,hot_lru_pct=30,warm_lru_pct=30,hot_max_factor=0.3,\
        warm_max_factor=3,temporary_ttl=10,watcher_logbuf_size=8,worker_logbuf_size=8,\
        slab_sizes=100-200,slab_chunk_max=256,no_chunked_items,track_sizes,inline_ascii_resp,\
        no_inline_ascii_resp,resp_obj_mem_limit=1,read_buf_mem_limit=1,sock_cookie_id,\
        no_drop_privileges,no_lru_crawler,no_lru_maintainer,no_slab_reassign,no_slab_automove";
    let Ok(Action::Run { settings, notes }) = parse_line(&line.replace("        ", "")) else {
        panic!("refused");
    };
    assert_eq!(settings.shown.hash_algorithm, "xxh3");
    assert_eq!(settings.watcher_logbuf_size, 8 << 10);
    assert_eq!(settings.worker_logbuf_size, 8 << 10);
    assert_eq!(settings.shown.read_buf_mem_limit, 1 << 20);
    assert!(settings.shown.temp_lru && !settings.store.crawler.on);
    assert!(
        notes.iter().any(|note| note.contains("tail_repair_time")),
        "{notes:?}"
    );
    for effective in ["modern", "logbuf"] {
        let noted = notes.iter().any(|note| note.contains(effective));
        assert!(!noted, "{notes:?}");
    }
}

#[test]
fn page_moves_are_tuned_and_turned_off() {
    let given = settings("-o slab_automove=2,slab_automove_window=30");
    assert_eq!(given.store.automove, Automove::Eager);
    assert!(given.store.reassign && given.store.automove_window_s == 30);
    let given = settings("-o no_slab_reassign,no_slab_automove");
    assert!(!given.store.reassign && given.store.automove == Automove::ByNeed);
}

#[test]
fn no_modern_brings_the_old_defaults_back() {
    let settings = settings("-o no_modern");
    assert!(!settings.connections_refuse && !settings.shown.lru_maintainer);
    assert_eq!(settings.shown.hash_algorithm, "jenkins");
    assert!(!settings.store.reassign && settings.store.automove == Automove::ByNeed);
}

#[test]
fn mistakes_name_the_flag_and_the_value_and_have_memcacheds_exit_code() {
    let table = [
        ("-t 0", 1, "-t 0: must be at least 1"),
        ("-t x", 1, "-t x: not a number"),
        ("-c 0", 1, "-c 0: must be at least 1"),
        ("-R 0", 1, "-R 0: must be at least 1"),
        ("-m -5", 1, "-m -5: need a size"),
        ("-m 0", 1, "-m 0: need a size"),
        ("-m 101%", 1, "-m 101%: need a size"),
        ("-m", 1, "--memory-limit: needs a value"),
        ("-p abc", 1, "-p abc: not a port number"),
        ("-p 65536", 64, "-p 65536: ports go from 1 to 65535"),
        ("-p -2", 64, "-p -2: ports go from 1 to 65535"),
        ("-U 65536", 64, "-U 65536: ports go from 1 to 65535"),
        ("-U x", 1, "-U x: not a port number"),
        ("-U 1 -Y f", 64, "-U: a datagram cannot log in"),
        ("-U 1 -S -Y f", 64, "-U: a datagram cannot log in"),
        ("-a 9", 1, "-a 9: not an octal mode"),
        ("-f 1", 1, "-f 1: must be greater than 1"),
        ("-f nan", 1, "-f nan: must be greater than 1"),
        ("-n 0", 1, "-n 0: must be at least 1"),
        ("-B udp", 64, "-B udp: the protocol is"),
        ("-l a:b", 64, "-l \"a:b\" is not an address"),
        ("-I 1000", 64, "-I 1000: items of at least 1024 bytes"),
        ("-I 0", 64, "-I 0: items of at least 1024 bytes"),
        ("-I 1025m -m 4g", 64, "-I 1025m: items are at most 1 GiB"),
        ("-I 33m", 64, "-I 33m: more than half of the memory limit"),
        ("-I 1x", 1, "-I 1x: not a size"),
        ("-o foo", 1, "Illegal suboption \"foo\""),
        ("-o idle_timeout", 1, "-o idle_timeout: needs a value"),
        ("-o udp_reply_max=1000", 1, "-o udp_reply_max 1000"),
        ("-o idle_timeout=x", 1, "-o idle_timeout x: not a number"),
        (
            "-o conn_memory=1000k",
            1,
            "-o conn_memory=1000k: must be a size from 1m",
        ),
        ("-o hashpower=11", 1, "-o hashpower 11: must be at least 12"),
        (
            "-o slab_automove_ratio=2",
            1,
            "-o slab_automove_ratio=2: must be greater than 0",
        ),
        (
            "-o eviction=mru",
            1,
            "-o eviction=mru: must be one of s3, lru, lfu",
        ),
        (
            "-o hot_lru_pct=50",
            64,
            "-o hot_lru_pct, warm_lru_pct: together at most 80",
        ),
        ("-S", 64, "-S: who may log in?"),
        (
            "-Y f -B binary",
            64,
            "-B: with -Y alone, the binary protocol",
        ),
        ("-Y f -B auto", 64, "-B: with -Y alone, the binary protocol"),
        (
            "-Y f -l proto[binary]:a",
            64,
            "-l proto[binary]:a: with -Y alone",
        ),
        (
            "-Y f -l b,proto[negotiating]:a",
            64,
            "-l b,proto[negotiating]:a: with -Y alone",
        ),
        ("-Y", 1, "--auth-file: needs a value"),
        ("--no-such-flag", 1, "--no-such-flag: unknown option"),
        ("-Q", 1, "-Q: unknown option"),
        ("stray", 1, "stray: unknown option"),
    ];
    for (line, code, message) in table {
        let failure = failure(line);
        assert!(failure.message.contains(message), "{line}: {failure}");
        assert_eq!(failure.code, code, "{line}");
    }
}

#[test]
fn features_that_are_missing_are_refused_by_name() {
    for line in [
        "-Z",
        "-e /f",
        "-N 1",
        "-o ssl_key=k",
        "-o ext_path=p",
        "-o proxy_config=c",
    ] {
        let failure = failure(line);
        assert!(
            failure.message.contains("not supported yet"),
            "{line}: {failure}"
        );
        let flag = line.split(['=']).next().unwrap();
        let flag = if flag.starts_with("-o") {
            flag
        } else {
            &flag[..2]
        };
        assert!(failure.message.starts_with(flag), "{line}: {failure}");
        assert_eq!(failure.code, 64, "{line}");
    }
}

#[test]
fn a_login_forces_the_protocol_that_has_it() {
    let text = settings("-Y /users");
    assert_eq!(text.services, Services::TEXT);
    assert_eq!(text.login_file(), Some(Path::new("/users")));
    assert!(!text.sasl);
    for line in ["-S -Y /users", "--enable-sasl --auth-file=/users -B auto"] {
        let both = settings(line);
        assert!(both.sasl && both.services == Services::MEMCACHED, "{line}");
    }
    let listeners = "-Y /u -S -l proto[binary]:a,proto[ascii]:b,c";
    assert_eq!(settings(listeners).services, Services::MEMCACHED);
    assert_eq!(settings("-Y /u -l proto[ascii]:a").services, Services::TEXT);
}

#[test]
fn help_promises_only_what_is_there() {
    let help = printed("-h");
    assert!(help.starts_with(VERSION_LINE));
    assert!(help.contains("--unix-socket"));
    let lower = help.to_lowercase();
    for word in [
        "sasl",
        "enable-ssl",
        "ext_path",
        "proxy_config",
        "no_drop_privileges",
    ] {
        assert!(!lower.contains(word), "{word}");
    }
}

#[test]
fn version_and_licence_are_printed() {
    assert_eq!(printed("-V"), VERSION_LINE);
    assert_eq!(printed("--version"), VERSION_LINE);
    assert!(printed("-i").contains("Apache"));
}

/// A configuration file, and what else is given beside it.
struct Places {
    path: PathBuf,
    options: Option<OsString>,
    line: Vec<OsString>,
}

impl Places {
    fn new(name: &str, text: &str, options: &str, line: &str) -> Self {
        let path = env::temp_dir().join(format!("nuthatch-{name}-{}.conf", process::id()));
        fs::write(&path, text).unwrap();
        Self {
            path,
            options: Some(options.into()),
            line: line.split_whitespace().map(OsString::from).collect(),
        }
    }

    fn parse(&self) -> Result<Action, Failure> {
        self.parse_with(&[])
    }

    fn parse_with(&self, more: &[&str]) -> Result<Action, Failure> {
        let config = [
            "nuthatch".into(),
            "--config".into(),
            self.path.clone().into(),
        ];
        let words = config.into_iter().chain(self.line.clone());
        let words = words.chain(more.iter().map(OsString::from));
        parse(words, self.options.clone())
    }

    fn settings(&self) -> Settings {
        match self.parse() {
            Ok(Action::Run { settings, .. }) => *settings,
            other => panic!("{other:?}"),
        }
    }

    /// The complaint, behind the path of the file.
    fn complaint(&self) -> (u8, String) {
        let failure = self.parse().expect_err("it is refused");
        let path = self.path.display().to_string();
        (failure.code, failure.message.replace(&path, "FILE"))
    }

    fn page(&self) -> String {
        match self.parse_with(&["--print-config"]) {
            Ok(Action::Print(text)) => text.replace(&self.path.display().to_string(), "FILE"),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = "-m 100\n-c 100 -t 1\n-l 127.0.0.1\n-l ::1\n-vv\n-o idle_timeout=1,eviction=lru\n";
    let given = Places::new(
        "wins",
        file,
        "-c 200 -t 2 -l 127.0.0.2 -o idle_timeout=2,no_maxconns_fast",
        "-t 3 -v -o progress_timeout=3,eviction=lfu",
    );
    let given = given.settings();
    assert_eq!(given.store.memory_limit, 100 << 20);
    assert_eq!((given.connections_max, given.threads), (200, 3));
    assert_eq!(given.listen, ["127.0.0.2"]);
    assert_eq!(given.verbosity, 1);
    assert_eq!((given.idle_timeout_s, given.progress_timeout_s), (2, 3));
    assert_eq!(given.store.policy, EvictionPolicy::Lfu);
    assert!(!given.connections_refuse);
}

#[test]
fn the_environment_may_name_the_file() {
    let given = Places::new("named", "-c 5", "", "");
    let options = format!("--config={}", given.path.display());
    match parse(["nuthatch".into()], Some(options.into())) {
        Ok(Action::Run { settings, .. }) => assert_eq!(settings.connections_max, 5),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_like_debians_is_read_as_it_is() {
    let text = "# settings\n\n-d\n\nlogfile /var/log/memcached.log\n# -v\n-m 64\n-p 11211\n\
        -u memcache\n-l 127.0.0.1\n# -c 1024\n# -k\n-P /var/run/memcached/memcached.pid\n";
    let places = Places::new("debian", text, "", "");
    let Ok(Action::Run { settings, notes }) = places.parse() else {
        panic!("refused");
    };
    assert!(!settings.daemonize && !settings.lock_memory);
    assert_eq!(settings.user.as_deref(), Some("memcache"));
    assert_eq!(settings.listen, ["127.0.0.1"]);
    let pid_file = settings.pid_file.unwrap();
    assert_eq!(pid_file, Path::new("/var/run/memcached/memcached.pid"));
    let path = places.path.display();
    let expected = "line 5: logfile: has no effect, the log goes to standard error";
    assert_eq!(notes, [format!("{path}, {expected}")]);
}

#[test]
fn a_mistake_elsewhere_is_told_with_its_place() {
    let of_file = |text: &str| Places::new("mistakes", text, "", "").complaint();
    let table = [
        ("-m 64\n-t 0", 1, "FILE, line 2: -t 0: must be at least 1"),
        ("-t x\n-v", 1, "FILE, line 1: -t x: not a number"),
        (
            "\n\n-Q",
            1,
            "FILE, line 3: -Q: unknown option; -h lists them all",
        ),
        ("-m 64 -m", 1, "FILE, line 1: --memory-limit: needs a value"),
        (
            "-v 64",
            1,
            "FILE, line 1: 64: unknown option; -h lists them all",
        ),
        (
            "-l a:b\n-l c",
            64,
            "FILE, line 1: -l \"a:b\" is not an address",
        ),
        (
            "-o foo\n-o modern",
            1,
            "FILE, line 1: Illegal suboption \"foo\"",
        ),
        ("-Z\n-v", 64, "FILE, line 1: -Z: TLS is not supported yet"),
        ("-S\n-v", 64, "FILE, line 1: -S: who may log in?"),
        ("-I 33m\n-v", 64, "FILE, line 1: -I 33m: more than half"),
        (
            "-v\nport 5",
            1,
            "FILE, line 2: port: a line begins with a flag",
        ),
        ("-s '/run", 1, "FILE, line 1: a quote is not closed"),
        (
            "-v\n--config=/x",
            64,
            "FILE, line 2: --config: only for the command line",
        ),
        (
            "--help",
            64,
            "FILE, line 1: --help: only for the command line",
        ),
        (
            "--check",
            64,
            "FILE, line 1: --check: only for the command line",
        ),
        (
            "-Y u\n-l proto[binary]:a\n-l b",
            64,
            "FILE, line 2: -l proto[binary]:a: with -Y alone",
        ),
        (
            "-o hot_lru_pct=60,idle_timeout=1\n-o warm_lru_pct=60",
            64,
            "FILE, line 2: -o hot_lru_pct, warm_lru_pct: together",
        ),
    ];
    for (text, code, message) in table {
        let (found_code, found) = of_file(text);
        assert!(found.starts_with(message), "{text}: {found}");
        assert_eq!(found_code, code, "{text}");
    }
    let of_options = |options: &str| Places::new("options", "", options, "").complaint();
    assert_eq!(
        of_options("-t 0"),
        (1, "NUTHATCH_OPTIONS: -t 0: must be at least 1".into())
    );
    assert_eq!(of_options("-V").0, 64);
    let failure = failure("--config /no/such/file");
    assert!(
        failure.message.starts_with("--config /no/such/file: "),
        "{failure}"
    );
    assert_eq!(failure.code, 1);
}

#[test]
fn the_printed_settings_tell_where_they_are_from() {
    let page = Places::new("page", "-m 100\n-l '::1'\n-P '/a b'", "-c 9", "-Y /u -v").page();
    let line = |start: &str| {
        let mut lines = page.lines();
        let found = lines.find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start}: {page}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("--mem"), "--memory-limit=100 # FILE, line 1");
    assert_eq!(line("--listen"), "--listen=::1 # FILE, line 2");
    assert_eq!(line("--pidfile"), "--pidfile='/a b' # FILE, line 3");
    assert_eq!(line("--conn-limit"), "--conn-limit=9 # NUTHATCH_OPTIONS");
    assert_eq!(line("--verbose"), "--verbose # command line");
    assert_eq!(line("# --port"), "# --port=11211 # default");
    assert_eq!(
        line("# --prot"),
        "# --protocol=ascii # follows from the others"
    );
    assert_eq!(line("# --lock"), "# --lock-memory # not set");
    assert_eq!(
        line("# --extended=idle"),
        "# --extended=idle_timeout=0 # default"
    );
    for absent in ["config", "help", "enable-ssl"] {
        assert!(!page.contains(&format!("--{absent}")), "{page}");
    }
    let two_lines = Places::new("two-lines", "", "-s 'a\nb'", "");
    let failure = two_lines.parse_with(&["--print-config"]).unwrap_err();
    assert!(
        failure
            .message
            .starts_with("--unix-socket: a value of several lines")
    );
}

/// Flags of each kind, among them values that need quotes and suboptions that undo others.
const MANY: [&[&str]; 42] = [
    &["-p", "-1"],
    &["-U", "5"],
    &["-s", "/run/it's a # socket"],
    &["-a", "755"],
    &["-l", "127.0.0.1,::1"],
    &["-l", "*:5"],
    &["-b", "9"],
    &["-B", "ascii"],
    &["-m", "100m"],
    &["-m", "50%"],
    &["-I", "512k"],
    &["-M"],
    &["-k"],
    &["-L"],
    &["-f", "1.5"],
    &["-n", "64"],
    &["-t", "3"],
    &["-t", "4"],
    &["-c", "77"],
    &["-R", "9"],
    &["-o", "no_modern,idle_timeout=5"],
    &["-o", "idle_timeout=7,slab_automove,hash_algorithm=xxh3"],
    &["-o", "hash_algorithm=murmur3,modern"],
    &["-o", "no_slab_automove,slab_reassign,temporary_ttl=9"],
    &["-Y", "/a \\ b"],
    &["-S"],
    &["-d"],
    &["-P", "$HOME/`x`"],
    &["-u", "\u{e4}\tx"],
    &["-r"],
    &["-v"],
    &["-vv"],
    &["-A"],
    &["-C"],
    &["-F"],
    &["-X"],
    &["-W"],
    &["-D", "#"],
    &["-D", "\""],
    &["-D", " "],
    &["-D", "'"],
    &["-D", "\\"],
];

proptest! {
    #[test]
    fn printed_settings_read_back_are_the_same(
        chosen in prop::collection::vec((prop::sample::select(&MANY[..]), 0..3_usize), 0..12)
    ) {
        let place = |wanted: usize| -> Vec<&[&str]> {
            let here = chosen.iter().filter(|(_, place)| *place == wanted);
            here.map(|(words, _)| *words).collect()
        };
        let quoted = |words: &[&str]| -> String {
            let words: Vec<_> = words.iter().map(|word| file::quote(word).unwrap()).collect();
            words.join(" ")
        };
        let lines: Vec<String> = place(0).into_iter().map(quoted).collect();
        let mut places = Places::new("back", &lines.join("\n"), &quoted(&place(1).concat()), "");
        places.line = place(2).concat().into_iter().map(OsString::from).collect();
        // Some go ill together.
        if places.parse().is_ok() {
            let before = format!("{:?}", places.settings());
            fs::write(&places.path, places.page()).unwrap();
            (places.options, places.line) = (None, vec![]);
            prop_assert_eq!(before, format!("{:?}", places.settings()));
        }
    }
}
