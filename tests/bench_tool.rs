//! The load generator against a server: what it reports must add up.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "support/scratch.rs"]
mod scratch;

use nuthatch::base::settings::Settings;
use nuthatch::server::{Running, Server};
use scratch::Scratch;
use std::io::{Read, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

fn start() -> Running {
    let settings = Settings {
        tcp_port: Some(0),
        threads: 2,
        ..Settings::default()
    };
    Server::bind(settings).unwrap().spawn().unwrap()
}

fn tool(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuthatch-bench"));
    command.args(words.split_whitespace());
    command
}

/// Runs the tool against the server; the JSON it prints.
fn bench(server: &Running, words: &str) -> String {
    let address = server.addresses()[0].to_string();
    let output = tool(words)
        .args(["--server", &address, "--json"])
        .output()
        .unwrap();
    succeeded(&output)
}

fn succeeded(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{complaint}");
    text
}

fn real(json: &str, name: &str) -> f64 {
    let key = format!("\"{name}\": ");
    let from = json
        .find(&key)
        .unwrap_or_else(|| panic!("no {name}: {json}"))
        + key.len();
    let len = json[from..].find([',', '}']).unwrap();
    json[from..from + len].parse().unwrap()
}

fn count(json: &str, name: &str) -> u64 {
    real(json, name) as u64
}

/// No run may see an error or a value that is not the key's own.
fn assert_clean(json: &str) {
    for name in ["errors", "wrong_values", "prefill_errors"] {
        assert_eq!(count(json, name), 0, "{name}: {json}");
    }
    assert!(count(json, "bytes_sent") > 0 && count(json, "bytes_received") > 0);
    let percentiles = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let times = percentiles.map(|name| real(json, &format!("latency_{name}_us")));
    assert!(times[0] > 0.0 && times.is_sorted(), "{json}");
}

#[test]
fn gets_of_stored_keys_hit() {
    let server = start();
    let json = bench(
        &server,
        "--prefill -k 500 -n 20000 -d 16 -c 7 -t 2 --verify",
    );
    assert_clean(&json);
    assert_eq!(count(&json, "requests"), 20_000);
    assert_eq!(count(&json, "hits"), 20_000);
    assert_eq!(count(&json, "operations"), 20_000);
}

#[test]
fn a_share_of_the_keys_is_missing() {
    let server = start();
    let json = bench(
        &server,
        "--prefill -k 500 -n 20000 -d 8 --hit-ratio 0.75 --choice zipf:0.99 --verify",
    );
    assert_clean(&json);
    assert_eq!(count(&json, "hits") + count(&json, "misses"), 20_000);
    assert!((14_500..15_500).contains(&count(&json, "hits")), "{json}");
}

#[test]
fn sets_store() {
    let server = start();
    let json = bench(&server, "-w set -n 5000 -d 4 -k 100 -s 0-3000 --verify");
    assert_clean(&json);
    assert_eq!(count(&json, "stored"), 5000);
    assert_eq!(count(&json, "hits") + count(&json, "misses"), 0);
}

#[test]
fn mixed_gets_and_sets_never_see_a_foreign_value() {
    let server = start();
    let json = bench(
        &server,
        "-w mixed:0.7 --prefill -n 20000 -d 16 -k 200 -s lognormal:300:1.5 -c 8 -t 2 --verify",
    );
    assert_clean(&json);
    assert_eq!(count(&json, "operations"), 20_000);
    assert!((13_500..14_500).contains(&count(&json, "hits")), "{json}");
}

#[test]
fn a_multiget_counts_each_of_its_keys() {
    let server = start();
    let json = bench(
        &server,
        "-w multiget:20 --prefill -n 1000 -d 2 -k 5000 --hit-ratio 0.5 --verify",
    );
    assert_clean(&json);
    assert_eq!(count(&json, "requests"), 1000);
    assert_eq!(count(&json, "operations"), 20_000);
    assert!((9000..11_000).contains(&count(&json, "hits")), "{json}");
}

#[test]
fn it_logs_in_where_a_server_wants_that() {
    let (right, wrong) = (Scratch::new("users"), Scratch::new("others"));
    std::fs::write(&*right, "nut:hatch\n").unwrap();
    std::fs::write(&*wrong, "nut:cracker\n").unwrap();
    for protocol in ["text", "meta", "binary"] {
        let is_binary = protocol == "binary";
        let settings = Settings {
            tcp_port: Some(0),
            auth_file: (!is_binary).then(|| right.to_path_buf()),
            sasl: is_binary,
            sasl_file: is_binary.then(|| right.to_path_buf()),
            ..Settings::default()
        };
        let server = Server::bind(settings).unwrap().spawn().unwrap();
        let words = format!("--prefill -k 50 -n 500 --verify -P {protocol} --login");
        let json = bench(&server, &format!("{words} {}", right.display()));
        assert_clean(&json);
        assert_eq!(count(&json, "hits"), 500);
        let refused = tool(&format!("{words} {}", wrong.display()))
            .args(["--server", &server.addresses()[0].to_string()])
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(1), "{protocol}");
        let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(complaint.contains("log in"), "{complaint}");
    }
}

#[test]
fn all_protocols_count_alike() {
    let server = start();
    for protocol in ["text", "meta", "binary"] {
        for (workload, operations) in [("get", 4000), ("mixed:0.5", 4000), ("multiget:7", 28_000)] {
            let words = "--prefill -k 300 -n 4000 -d 8 -s 1-2000 --hit-ratio 0.8 --verify";
            let json = bench(&server, &format!("-P {protocol} -w {workload} {words}"));
            assert_clean(&json);
            assert_eq!(count(&json, "requests"), 4000, "{protocol} {workload}");
            assert_eq!(count(&json, "operations"), operations);
            let asked = real(&json, "hits") + real(&json, "misses");
            let share = real(&json, "hits") / asked;
            assert!(
                (0.75..0.85).contains(&share),
                "{protocol} {workload}: {share}"
            );
        }
    }
}

#[test]
fn values_larger_than_any_buffer_are_verified() {
    let server = start();
    let json = bench(
        &server,
        "--prefill -k 10 -s 900000 -n 200 -d 4 -c 3 --verify",
    );
    assert_clean(&json);
    assert_eq!(count(&json, "hits"), 200);
    assert!(count(&json, "bytes_received") > 200 * 900_000);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let server = start();
    let json = bench(&server, "-w set --rate 2000 -n 1000 -k 10 -c 4 -d 4");
    assert_clean(&json);
    assert_eq!(count(&json, "stored"), 1000);
    // It may be late on a busy machine, never early: the last is due after half a second.
    assert!(real(&json, "seconds") > 0.499, "{json}");
}

#[test]
fn the_servers_cpu_time_is_its_own() {
    let server = start();
    let pid = std::process::id(); // the server lives in this process
    let json = bench(
        &server,
        &format!("-w set -n 20000 -d 16 --server-pid {pid}"),
    );
    assert!(real(&json, "server_cpu_ns_per_operation") > 10.0, "{json}");
}

#[test]
fn wrong_values_are_found_and_fail_the_run() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let liar = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 22];
        client.read_exact(&mut request).unwrap();
        let value = "?".repeat(100);
        let key = String::from_utf8_lossy(&request[4..20]).into_owned();
        write!(client, "VALUE {key} 0 100\r\n{value}\r\nEND\r\n").unwrap();
        let _ = client.read(&mut request);
    });
    let output = tool("-n 1 -c 1 --verify --json --server")
        .arg(address)
        .output()
        .unwrap();
    liar.join().unwrap();
    let json = String::from_utf8(output.stdout).unwrap();
    assert_eq!(count(&json, "wrong_values"), 1);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn without_options_it_stores_and_then_measures_sets_gets_and_a_mix() {
    let server = start();
    let address = server.addresses()[0].to_string();
    let output = tool("--server").arg(&address).output().unwrap();
    let page = succeeded(&output);
    let (opening, runs) = page.split_once("\nset: ").unwrap();
    let (set, runs) = runs.split_once("\nget: ").unwrap();
    let (get, mix) = runs.split_once("\nmix: ").unwrap();
    let place = format!("text to {address}: 1 thread with 50 connections");
    assert!(opening.contains(&place), "{opening}");
    assert!(opening.contains("100000 keys of 16 B"), "{opening}");
    assert!(opening.contains("values of 100 B"), "{opening}");
    assert!(set.contains(" stored, 0 errors\n"), "{page}");
    assert!(
        get.contains(" hits (100 %), 0 misses, 0 errors\n"),
        "{page}"
    );
    assert!(mix.contains(" hits (100 %), 0 misses, "), "{page}");
    assert!(mix.contains(" stored, 0 errors\n"), "{page}");
    // Nobody looks on.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn without_options_each_run_is_a_json_object_with_a_name() {
    let server = start();
    let json = bench(&server, "-P meta");
    let runs: Vec<&str> = json.lines().collect();
    assert_eq!(runs.len(), 3, "{json}");
    for (run, name) in runs.iter().zip(["set", "get", "mix"]) {
        assert!(
            run.starts_with(&format!("{{\"run\": \"{name}\", ")),
            "{run}"
        );
        assert!(run.ends_with('}'), "{run}");
        assert_clean(run);
        assert_eq!(count(run, "misses"), 0, "{run}");
        assert!(real(run, "seconds") > 2.99, "{run}");
    }
    let [sets, gets, mix] =
        [0, 1, 2].map(|at| (count(runs[at], "stored"), count(runs[at], "hits")));
    assert!(sets.0 > 0 && sets.1 == 0, "{json}");
    assert!(gets.0 == 0 && gets.1 > 0, "{json}");
    assert!(mix.0 > 0 && mix.1 > mix.0, "{json}");
}

#[test]
fn a_reader_that_leaves_ends_it_in_peace() {
    let server = start();
    let address = server.addresses()[0].to_string();
    for words in ["", "-n 100", "trace zipf"] {
        let mut command = tool(words);
        if !words.starts_with("trace") {
            command.args(["--server", &address]);
        }
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(complaint, "", "{words}");
        assert!(output.status.success(), "{words}");
    }
}

#[test]
fn what_it_was_asked_for_is_said_in_words() {
    let server = start();
    let output = tool("-w multiget:7 -n 50 -k 10 -c 1 -s 5-9 --prefill --server")
        .arg(server.addresses()[0].to_string())
        .output()
        .unwrap();
    let page = succeeded(&output);
    assert!(
        page.starts_with("get of 7 keys at once over text to 127."),
        "{page}"
    );
    assert!(page.contains("1 thread with 1 connection\n"), "{page}");
    assert!(
        page.contains("10 keys of 16 B, chosen evenly; values of 5 to 9 B\n"),
        "{page}"
    );
    assert!(
        page.contains("350 hits (100 %), 0 misses, 0 errors\n"),
        "{page}"
    );
}

#[test]
fn the_first_refusal_is_told() {
    let users = Scratch::new("refusal");
    std::fs::write(&*users, "nut:hatch\n").unwrap();
    let settings = Settings {
        tcp_port: Some(0),
        auth_file: Some(users.to_path_buf()),
        ..Settings::default()
    };
    let server = Server::bind(settings).unwrap().spawn().unwrap();
    let address = server.addresses()[0].to_string();
    let page = succeeded(&tool("-n 1 -c 1 --server").arg(&address).output().unwrap());
    assert!(
        page.contains("1 error\n  first error  CLIENT_ERROR un"),
        "{page}"
    );
    // Who goes on asking is disconnected.
    let output = tool("-n 100 -c 1 --server").arg(&address).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let reason = "closed a connection; before, it answered `CLIENT_ERROR un";
    assert!(complaint.contains(reason), "{complaint}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn options_that_make_no_sense_are_told_apart_from_runs_that_fail() {
    let output = tool("-w put").output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("expected get, set"), "{complaint}");
    assert_eq!(output.status.code(), Some(2));
}

/// Plays a trace; the JSON that the tool prints.
fn replay(server: &Running, words: &str, trace: &str) -> String {
    let path = Scratch::new(&format!("trace-{}", server.addresses()[0].port()));
    std::fs::write(&*path, trace).unwrap();
    bench(server, &format!("replay {words} {}", path.display()))
}

/// What `get` answers for a key.
fn value_of(server: &Running, key: &str) -> String {
    let mut client = TcpStream::connect(server.addresses()[0]).unwrap();
    write!(client, "get {key}\r\nquit\r\n").unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    reply.lines().nth(1).unwrap_or_default().into()
}

fn assert_counts(json: &str, expected: &[(&str, u64)]) {
    for &(name, number) in expected {
        assert_eq!(count(json, name), number, "{name}: {json}");
    }
}

#[test]
fn a_replay_counts_misses_as_a_cache_would() {
    let server = start();
    let mut child = tool("replay - --window 8 --json --server")
        .arg(server.addresses()[0].to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Ten keys in turn, a hundred times: each misses once.
    let trace: String = (0..1000)
        .map(|n| format!("key{} {}\n", n % 10, 50 * (n % 10)))
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(trace.as_bytes()).unwrap();
    drop(stdin);
    let json = succeeded(&child.wait_with_output().unwrap());
    assert_eq!(count(&json, "requests"), 1000);
    assert_eq!((count(&json, "hits"), count(&json, "misses")), (990, 10));
    assert_eq!(
        (count(&json, "bytes"), count(&json, "bytes_missed")),
        (225_000, 2250)
    );
    assert_eq!(count(&json, "refused_sets"), 0);
}

#[test]
fn a_replayed_set_is_there_and_a_get_does_not_bring_it_back() {
    let server = start();
    let trace = "a 3 0 get\na 3 0 set\na 3 0 get\nb 2 0 get\nb 2 0 get\n";
    let json = replay(&server, "", trace);
    assert_counts(
        &json,
        &[
            ("requests", 4),
            ("hits", 1),
            ("misses", 3),
            ("first_requests", 3),
            ("sets", 1),
            ("refused_sets", 0),
        ],
    );
    assert_eq!(value_of(&server, "a"), "vvv");
    assert_eq!(value_of(&server, "b"), "");
}

#[test]
fn a_replayed_delete_makes_the_next_miss_unavoidable() {
    let server = start();
    let trace = "a 3\na 3 0 delete\na 3 0 delete\na 3\na 3\na 3 0 delete\n";
    let json = replay(&server, "", trace);
    let expected = [("requests", 3), ("misses", 2), ("first_requests", 2)];
    assert_counts(&json, &expected);
    assert_counts(&json, &[("deletes", 3), ("deletes_not_done", 1)]);
    assert_eq!(value_of(&server, "a"), "");
}

#[test]
fn a_replayed_add_stores_once() {
    let server = start();
    let json = replay(&server, "", "a 3 0 add\na 5 0 add\na 5 0 get\n");
    let expected = [("adds", 2), ("adds_not_done", 1), ("refused_adds", 0)];
    assert_counts(&json, &expected);
    assert_counts(&json, &[("hits", 1), ("misses", 0)]);
    assert_eq!(value_of(&server, "a"), "vvv");
}

#[test]
fn a_replayed_append_lengthens_what_is_there() {
    let server = start();
    let trace = "a 3 0 append\na 3\na 2 0 append\na 2000000 0 append\na 3\n";
    let json = replay(&server, "", trace);
    let expected = [
        ("appends", 3),
        ("appends_not_done", 1),
        ("refused_appends", 1),
    ];
    assert_counts(&json, &expected);
    assert_counts(&json, &[("requests", 2)]);
}

#[test]
fn a_replayed_counter_counts_from_one() {
    let server = start();
    let json = replay(&server, "", &"n 1 0 incr\n".repeat(50));
    assert_counts(&json, &[("incrs", 50), ("incrs_not_done", 1)]);
    assert_counts(&json, &[("requests", 0), ("refused_incrs", 0)]);
    assert_eq!(value_of(&server, "n"), "50");
}

#[test]
fn a_window_that_reads_and_writes_large_values_does_not_block() {
    let server = start();
    // Each get asks for what was set 32 sets before, so a window could hold 32 of both.
    let trace: String = (32..100)
        .map(|n| format!("k{n} 900000 0 set\nk{} 900000 0 get\n", n - 32))
        .collect();
    let json = replay(&server, "", &trace);
    assert_counts(&json, &[("hits", 36), ("sets", 68), ("refused_sets", 0)]);
}

#[test]
fn a_warm_up_is_played_and_not_counted() {
    let server = start();
    for (words, mark) in [("--skip 4", ""), ("", "mark\n")] {
        let trace = format!("a 3\nb 3\na 3 0 delete\nc 3 0 set\n{mark}a 3\nb 3\n");
        let json = replay(&server, words, &trace);
        let expected = [("requests", 2), ("hits", 1), ("sets", 0), ("deletes", 0)];
        assert_counts(&json, &expected);
    }
}

#[test]
fn a_generated_trace_can_be_replayed() {
    let server = start();
    let trace = succeeded(&tool("trace zipf -n 20000 -k 1000").output().unwrap());
    let path = Scratch::new("trace");
    std::fs::write(&*path, trace).unwrap();
    let words = format!("replay {}", path.display());
    let first = bench(&server, &words);
    let second = bench(&server, &words);
    assert_eq!(count(&first, "requests"), 20_000);
    assert!(count(&first, "misses") > 1000, "{first}");
    // All of it fits, so the second time nothing is missing.
    assert_eq!(count(&second, "misses"), 0, "{second}");
}

#[test]
fn a_generated_scene_counts_from_its_mark() {
    let server = start();
    let words = "trace once --full 1000 --delay 0.5 --value 100";
    let trace = succeeded(&tool(words).output().unwrap());
    let json = replay(&server, "", &trace);
    // 6 memory-fulls are set and 5.5 of them are got; the later half counts, and all of it fits.
    let expected = [("requests", 2750), ("hits", 2750), ("sets", 2750)];
    assert_counts(&json, &expected);
    assert_counts(&json, &[("bytes", 275_000), ("first_requests", 0)]);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let output = tool("-n 1 --server").arg(&address).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains(&address), "{complaint}");
    assert!(
        complaint.contains("Is a server running there?"),
        "{complaint}"
    );
    assert_eq!(output.status.code(), Some(1));
}
