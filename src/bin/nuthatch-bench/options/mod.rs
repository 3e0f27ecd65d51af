//! The command line: options to a [`Plan`], a replay or a trace.

mod help;
mod words;

use crate::load::{Choice, Content, KEY_SIZE_MAX, ValueSize};
use crate::login::Login;
use crate::plan::{Plan, Workload};
use crate::replay::Replay;
use crate::socket::{Address, Peer};
use crate::trace::{Kind, Synthesis, Value};
use crate::wire::{Protocol, Wire};
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, value_parser};
use std::path::Path;
use std::time::Duration;

const LOAD: &str = "Load";
const CONTENT: &str = "Keys and values";
const CLIENT: &str = "Client";
const OUTPUT: &str = "Output";

const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Options that say where the server is, how to talk to it and what to report. They choose no load:
/// beside them alone, the series runs.
const NEUTRAL: [&str; 5] = ["server", "login", "protocol", "server-pid", "json"];

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// What the options ask for.
    Run {
        plan: Box<Plan>,
        json: bool,
    },
    /// They ask for nothing; the plan is of what they leave open.
    Series {
        plan: Box<Plan>,
        json: bool,
    },
    Replay {
        replay: Replay,
        json: bool,
    },
    Trace(Synthesis),
}

/// Reads the arguments; clap itself prints help and complaints, and exits.
pub(crate) fn parse() -> Action {
    action(&command().get_matches()).unwrap_or_else(|complaint| complaint.exit())
}

fn action(matches: &ArgMatches) -> Result<Action, Error> {
    match matches.subcommand() {
        Some(("replay", options)) => Ok(Action::Replay {
            replay: Replay {
                peer: peer(options, Protocol::Text),
                files: strings(options, "files"),
                window: value::<u64>(options, "window") as usize,
                skip: value(options, "skip"),
            },
            json: options.get_flag("json"),
        }),
        Some(("trace", options)) => synthesis(options).map(Action::Trace),
        _ => {
            let plan = Box::new(plan(matches)?);
            let json = matches.get_flag("json");
            Ok(if chooses_load(matches) {
                Action::Run { plan, json }
            } else {
                Action::Series { plan, json }
            })
        }
    }
}

fn chooses_load(matches: &ArgMatches) -> bool {
    let is_given = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
    let mut names = matches.ids().map(|id| id.as_str());
    names.any(|name| !NEUTRAL.contains(&name) && is_given(name))
}

fn command() -> Command {
    let command = Command::new("nuthatch-bench")
        .about("Loads a memcached-compatible server and measures it")
        .args_conflicts_with_subcommands(true)
        .after_help(help::AFTER_HELP);
    let command = client_options(content_options(load_options(command)));
    command
        .next_help_heading(OUTPUT)
        .arg(json())
        .arg(
            option("server-pid", "PID")
                .help("Also report the CPU time of this process")
                .value_parser(value_parser!(u32)),
        )
        .subcommand(replay_command())
        .subcommand(trace_command())
}

fn load_options(command: Command) -> Command {
    command
        .next_help_heading(LOAD)
        .arg(server())
        .arg(login())
        .arg(
            valued("protocol", "NAME", "text")
                .short('P')
                .help("text, meta or binary")
                .value_parser(words::protocol),
        )
        .arg(
            valued("workload", "KIND", "get")
                .short('w')
                .help("get, set, mixed:<share of gets> or multiget:<keys of each>")
                .value_parser(words::workload),
        )
        .arg(
            valued("depth", "N", "1")
                .short('d')
                .help("Requests that a connection sends at once (pipelining)")
                .value_parser(positive(1 << 16)),
        )
        .arg(
            option("requests", "N")
                .short('n')
                .help("Stop after this many requests")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            option("duration", "SECONDS")
                .help("Stop after this time [default: 10, without -n]")
                .value_parser(words::seconds),
        )
        .arg(
            option("rate", "N")
                .help("Requests a second, each timed from when it was due (open loop)")
                .value_parser(words::rate),
        )
        .arg(switch("prefill").help("Store every key before measuring"))
        .arg(
            option("warm-up", "SECONDS")
                .help("Run this long before measuring")
                .value_parser(words::seconds),
        )
}

fn content_options(command: Command) -> Command {
    command
        .next_help_heading(CONTENT)
        .arg(
            valued("keys", "N", "100000")
                .short('k')
                .help("Number of keys")
                .value_parser(positive(1 << 32)),
        )
        .arg(
            valued("key-size", "BYTES", "16")
                .help("Length of a key")
                .value_parser(value_parser!(u64).range(2..=KEY_SIZE_MAX as u64)),
        )
        .arg(
            valued("value-size", "BYTES", "100")
                .short('s')
                .help("Length of a value: <n>, <from>-<to> or lognormal:<median>:<sigma>")
                .value_parser(words::value_size),
        )
        .arg(
            valued("choice", "HOW", "uniform")
                .help("Which key is next: uniform, zipf:<exponent> or sequential")
                .value_parser(words::choice),
        )
        .arg(
            valued("hit-ratio", "SHARE", "1")
                .help("Share of gets that ask for keys that sets store; the others always miss")
                .value_parser(words::share),
        )
        .arg(
            valued("ttl", "SECONDS", "0")
                .help("Time to live of stored values; 0 is for ever")
                .value_parser(value_parser!(u32)),
        )
        .arg(switch("verify").help("Check that every value read belongs to its key"))
}

fn client_options(command: Command) -> Command {
    command
        .next_help_heading(CLIENT)
        .arg(
            valued("connections", "N", "50")
                .short('c')
                .help("Connections, shared out among the threads")
                .value_parser(positive(1 << 16)),
        )
        .arg(
            valued("threads", "N", "1")
                .short('t')
                .help("Threads of this tool")
                .value_parser(positive(1024)),
        )
        .arg(
            valued("seed", "N", "1")
                .help("The same seed makes the same load")
                .value_parser(value_parser!(u64)),
        )
}

fn replay_command() -> Command {
    Command::new("replay")
        .about("Plays traces and counts the misses")
        .after_help(help::REPLAY_HELP)
        .arg(server())
        .arg(login())
        .arg(
            Arg::new("files")
                .value_name("FILE")
                .required(true)
                .action(ArgAction::Append)
                .help("Traces; `-` is standard input"),
        )
        .arg(
            valued("window", "N", "64")
                .help("Requests sent ahead of their replies, at most; 1 sends one at a time")
                .value_parser(positive(1024)),
        )
        .arg(
            valued("skip", "N", "0")
                .help("Requests at the beginning that are played but not counted")
                .value_parser(value_parser!(u64)),
        )
        .arg(json())
}

fn trace_command() -> Command {
    Command::new("trace")
        .about("Writes a generated trace to standard output")
        .after_help(help::TRACE_HELP)
        .arg(
            Arg::new("kind")
                .value_name("KIND")
                .required(true)
                .help("What the trace is like")
                .value_parser(kinds()),
        )
        .arg(
            valued("requests", "N", "1000000")
                .short('n')
                .help("Requests, for kinds that do not end by themselves")
                .value_parser(positive(u64::MAX)),
        )
        .arg(
            valued("keys", "N", "100000")
                .short('k')
                .help("Keys that come again")
                .value_parser(positive(1 << 32)),
        )
        .arg(
            option("full", "ITEMS")
                .help("Items of one memory-full [default: --keys]")
                .value_parser(positive(1 << 32)),
        )
        .arg(
            valued("delay", "D", "0.5")
                .help("once, reads, mix: memory-fulls between a key's set and its get; 5 at most")
                .value_parser(words::delay),
        )
        .arg(
            valued("times", "T", "1.5")
                .help("newest: memory-fulls that are set; 100 at most")
                .value_parser(words::times),
        )
        .arg(
            valued("value", "SIZE", "small")
                .help("Values: <bytes>, small (lognormal around 150 B) or mix (10 B to 8 KB)")
                .value_parser(words::trace_value),
        )
        .arg(
            valued("seed", "N", "1")
                .help("The same seed makes the same trace")
                .value_parser(value_parser!(u64)),
        )
}

fn option(name: &'static str, value: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value)
}

fn valued(name: &'static str, value: &'static str, default: &'static str) -> Arg {
    option(name, value).default_value(default)
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn server() -> Arg {
    valued("server", "ADDRESS", "127.0.0.1:11211")
        .help("host:port or unix:/path")
        .value_parser(words::address)
}

fn login() -> Arg {
    option("login", "FILE")
        .help("Log in with the first user:password line of FILE")
        .value_parser(|file: &str| Login::read(Path::new(file)))
}

fn json() -> Arg {
    switch("json").help("Print results as JSON, one object on a line")
}

fn positive(most: u64) -> RangedU64ValueParser<u64> {
    value_parser!(u64).range(1..=most)
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    let names = PossibleValuesParser::new(Kind::ALL.map(Kind::name));
    names.try_map(|name| words::kind(&name))
}

// ---- Options to what they ask for -------------------------------------------------------------

fn plan(options: &ArgMatches) -> Result<Plan, Error> {
    let (workload, keys_per_get) = value::<(Workload, usize)>(options, "workload");
    let requests = given::<u64>(options, "requests");
    let duration = given::<Duration>(options, "duration");
    let protocol = value(options, "protocol");
    let plan = Plan {
        peer: peer(options, protocol),
        wire: Wire {
            protocol,
            keys_per_get,
            ttl_s: value(options, "ttl"),
        },
        workload,
        depth: value::<u64>(options, "depth") as usize,
        connections: value::<u64>(options, "connections") as usize,
        threads: value::<u64>(options, "threads") as usize,
        requests,
        duration: duration.or(requests.is_none().then_some(DURATION_DEFAULT)),
        keys: value(options, "keys"),
        key_size: value::<u64>(options, "key-size") as usize,
        value_size: value::<ValueSize>(options, "value-size"),
        choice: value::<Choice>(options, "choice"),
        hit_ratio: value(options, "hit-ratio"),
        rate: given(options, "rate"),
        verify: options.get_flag("verify"),
        seed: value(options, "seed"),
        prefill: options.get_flag("prefill"),
        warm_up: given(options, "warm-up"),
        server_pid: given(options, "server-pid"),
    };
    if plan.connections < plan.threads {
        return Err(complaint("--connections: each thread needs one"));
    }
    if plan.keys > Content::keys_max(plan.key_size) {
        let text = "--key-size: keys of this length cannot be told apart if there are so many";
        return Err(complaint(text));
    }
    Ok(plan)
}

fn peer(options: &ArgMatches, protocol: Protocol) -> Peer {
    Peer {
        address: value::<Address>(options, "server"),
        login: given::<Login>(options, "login"),
        protocol,
    }
}

fn synthesis(options: &ArgMatches) -> Result<Synthesis, Error> {
    let keys = value(options, "keys");
    let synthesis = Synthesis {
        kind: value(options, "kind"),
        requests: value(options, "requests"),
        keys,
        full: given(options, "full").unwrap_or(keys),
        delay: value(options, "delay"),
        times: value(options, "times"),
        value: value(options, "value"),
        seed: value(options, "seed"),
    };
    if synthesis.kind.has_own_sizes() && synthesis.value != Value::Small {
        return Err(complaint("--value: this kind has sizes of its own"));
    }
    Ok(synthesis)
}

/// What is wrong with options that are right one by one.
fn complaint(text: &str) -> Error {
    Error::raw(ErrorKind::ValueValidation, format!("{text}\n"))
}

fn strings(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches
        .get_many(name)
        .unwrap_or_default()
        .cloned()
        .collect()
}

/// The value of an option that has a default.
fn value<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    given(matches, name).expect("the option has a default")
}

/// The value of an option that has none.
fn given<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Option<T> {
    matches.get_one(name).cloned()
}

#[cfg(test)]
#[path = "../../../../tests/support/papers.rs"]
mod papers;

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Action, Error> {
        let words = format!("nuthatch-bench {line}");
        command()
            .try_get_matches_from(words.split_whitespace())
            .and_then(|matches| action(&matches))
    }

    fn plan_of(line: &str) -> Plan {
        match parsed(line) {
            Ok(Action::Run { plan, .. }) => *plan,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_papers_are_those_that_the_options_make() {
        papers::compare(&command(), &[]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn a_run_takes_ten_seconds_unless_told_otherwise() {
        let plan = plan_of("-k 10");
        assert_eq!(plan.duration, Some(Duration::from_secs(10)));
        assert_eq!((plan.requests, plan.workload), (None, Workload::Get));
        assert_eq!(plan_of("-n 5").duration, None);
    }

    #[test]
    fn without_a_load_to_choose_the_series_runs() {
        for line in ["", "--json", "--server localhost:1 -P meta --server-pid 1"] {
            let action = parsed(line);
            assert!(matches!(action, Ok(Action::Series { .. })), "{line}");
        }
        // Defaults that are said aloud are a choice.
        for line in ["-w get", "--prefill", "--seed 1", "--json -c 50"] {
            plan_of(line);
        }
    }

    #[test]
    fn words_with_details_are_taken_apart() {
        let plan = plan_of("-w multiget:7 --choice zipf:1.1 -s 10-20 --server unix:/tmp/s");
        assert_eq!(plan.wire.keys_per_get, 7);
        assert_eq!(plan.choice, Choice::Zipf(1.1));
        assert_eq!(plan.value_size, ValueSize::Range(10, 20));
        assert_eq!(plan.peer.address, Address::Unix("/tmp/s".into()));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--server localhost",
            "--server :11211",
            "--server localhost:http",
            "-P udp",
            "--login no-such-file",
            "-w put",
            "-w get:1",
            "-w mixed:2",
            "-w multiget:0",
            "-s 20-10",
            "-s lognormal:x:1",
            "--choice often",
            "--hit-ratio 1.5",
            "-c 1 -t 2",
            "-k 1000 --key-size 2",
            "--rate 0",
            "--duration=-1",
            "--duration NaN",
            "trace once --delay 6",
            "trace newest --times=-1",
            "trace loop --value large",
            "trace sizes --value 100",
        ] {
            let complaint = parsed(line).unwrap_err();
            assert_eq!(complaint.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_complaint_says_what_would_be_right() {
        for (line, right) in [
            ("-w put", "expected get, set, mixed:<share of gets> or"),
            ("-s large", "expected <bytes>, <from>-<to> or lognormal"),
            ("--hit-ratio 80", "expected a number from 0 to 1"),
            ("--server localhost", "such as localhost:11211"),
        ] {
            let complaint = parsed(line).unwrap_err().to_string();
            assert!(complaint.contains(right), "{line}: {complaint}");
        }
    }

    #[test]
    fn subcommands_have_their_own_options() {
        let Ok(Action::Replay { replay, json }) = parsed("replay --json --window 8 --skip 5 a b")
        else {
            panic!("no replay");
        };
        assert_eq!(replay.skip, 5);
        assert_eq!((replay.files.len(), replay.window, json), (2, 8, true));
        let Ok(Action::Trace(synthesis)) = parsed("trace mix -k 10 --delay 0.3 --value mix") else {
            panic!("no trace");
        };
        assert_eq!((synthesis.full, synthesis.value), (10, Value::Mix));
        assert!(matches!(parsed("trace shift -n 10"), Ok(Action::Trace(_))));
    }
}
