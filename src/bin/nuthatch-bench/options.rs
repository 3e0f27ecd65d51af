//! The command line: options to a [`Plan`], a replay or a trace.

use crate::failure::Failure;
use crate::load::{Choice, Content, KEY_SIZE_MAX, ValueSize};
use crate::login::Login;
use crate::plan::{Plan, Workload};
use crate::replay::Replay;
use crate::socket::{Address, Peer};
use crate::trace::{Kind, Synthesis, Value};
use crate::wire::{Protocol, Wire};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::Path;
use std::time::Duration;

const LOAD: &str = "Load";
const CONTENT: &str = "Keys and values";
const CLIENT: &str = "Client";
const OUTPUT: &str = "Output";

const DURATION_DEFAULT: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
An operation is a key looked up or an item stored; a multi-get of 50 keys is one request and 50
operations. Latency is a request's, from the write of its batch (with --rate: from when it was
due) to its whole reply. Exit status: 0; 1 if the run failed or a value was wrong; 2 for usage.

Examples:
  nuthatch-bench --prefill -w get -d 16 --duration 5
  nuthatch-bench --prefill -w mixed:0.9 --choice zipf:0.99 --value-size lognormal:200:1
  nuthatch-bench --prefill -w multiget:50 --rate 20000 --verify
  xz -dc trace.xz | nuthatch-bench replay -";

const REPLAY_HELP: &str = "\
A trace is a file of lines `<key> <bytes> [<ttl> [<operation>]]`. Operations:
  fetch   get, and on a miss set (what a line without operation asks for)
  get     get only
  set, add, append, delete
  incr    add 1; a counter that is not there is set to 1, whatever <bytes> says
From a line `mark` on, counting starts anew: what comes before is a warm-up, as with --skip.

Requests, hits and misses are those of fetch and get. A miss is avoidable if the trace has stored
the key before and not deleted it since; that its time to live may be over is not looked at, and the
server should be empty at the beginning. Keys remembered for that take some 20 bytes each.";

const TRACE_HELP: &str = "\
Keys that come again (--keys, --requests), fetched:
  zipf       popular keys, scans over cold ranges, keys that come once
  drift      popular keys that change all the time
  ttl        popular keys with times to live of seconds, of minutes and without
  sizes      popular keys of sizes from bytes to hundreds of KB
  shift      values of 100 B, 10 KB, 500 KB and 100 B again

Memory-fulls (--full) of keys that are set, and then got and not set again:
  newest     T of new keys are set, the newest 40 % of one are got; ends by itself
  once       6 are set, each key got once after D of further sets; ends by itself
  reads      6 are set, each key got 3 times at random within D; ends by itself
  mix        a third each: popular keys fetched, new keys set, each got once after D
  abandoned  10 of fetches, one of new keys set, 60 % of it got; ends by itself
  updates    popular keys, half of the requests sets
  feeds      keys set in order, the latest fetched most (and set again on a miss)
  counters   popular counters, and lists that are appended to

Memory-fulls of keys that are fetched, in ways that trap one policy or another:
  loop       1.5 again and again
  scan       popular keys, and 3 of new keys in the middle
  switch     popular keys, all replaced at half time
  daynight   two sets of popular keys in turns of 2
  zigzag     2 to and fro";

/// What to do.
#[derive(Debug)]
pub(crate) enum Action {
    Run { plan: Box<Plan>, json: bool },
    Replay { replay: Replay, json: bool },
    Trace(Synthesis),
}

/// Reads the arguments; clap itself prints help and complaints about syntax, and exits.
pub(crate) fn parse() -> Result<Action, Failure> {
    action(&command().get_matches())
}

fn action(matches: &ArgMatches) -> Result<Action, Failure> {
    match matches.subcommand() {
        Some(("replay", options)) => Ok(Action::Replay {
            replay: Replay {
                peer: peer(options, Protocol::Text)?,
                files: strings(options, "files"),
                window: number::<u64>(options, "window") as usize,
                skip: number(options, "skip"),
            },
            json: options.get_flag("json"),
        }),
        Some(("trace", options)) => synthesis(options).map(Action::Trace),
        _ => Ok(Action::Run {
            plan: Box::new(plan(matches)?),
            json: matches.get_flag("json"),
        }),
    }
}

fn command() -> Command {
    let command = Command::new("nuthatch-bench")
        .about("Loads a memcached-compatible server and measures it")
        .args_conflicts_with_subcommands(true)
        .after_help(AFTER_HELP);
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
                .value_parser(PossibleValuesParser::new(["text", "meta", "binary"]))
                .hide_possible_values(true),
        )
        .arg(
            valued("workload", "KIND", "get")
                .short('w')
                .help("get, set, mixed:<share of gets> or multiget:<keys>"),
        )
        .arg(
            valued("depth", "N", "1")
                .short('d')
                .help("Requests in a batch (pipelining)")
                .value_parser(positive(1 << 16)),
        )
        .arg(
            option("requests", "N")
                .short('n')
                .help("Stop after so many requests")
                .value_parser(value_parser!(u64)),
        )
        .arg(
            option("duration", "SECONDS")
                .help("Stop after this time [default: 10, without -n]")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            option("rate", "N")
                .help("Open loop: so many requests a second, timed from when each was due")
                .value_parser(value_parser!(f64)),
        )
        .arg(switch("prefill").help("First store every key once"))
        .arg(
            option("warm-up", "SECONDS")
                .help("Run so long before measuring")
                .value_parser(value_parser!(f64)),
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
                .help("<n>, <from>-<to> or lognormal:<median>:<sigma>"),
        )
        .arg(valued("choice", "HOW", "uniform").help("uniform, zipf:<exponent> or sequential"))
        .arg(
            valued("hit-ratio", "SHARE", "1")
                .help("Share of gets that ask for keys that are ever stored")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            valued("ttl", "SECONDS", "0")
                .help("Time to live of what is stored; 0 is for ever")
                .value_parser(value_parser!(u32)),
        )
        .arg(switch("verify").help("Check that every value is the key's own"))
}

fn client_options(command: Command) -> Command {
    command
        .next_help_heading(CLIENT)
        .arg(
            valued("connections", "N", "50")
                .short('c')
                .help("Connections of all threads")
                .value_parser(positive(1 << 16)),
        )
        .arg(
            valued("threads", "N", "1")
                .short('t')
                .help("Threads")
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
        .after_help(REPLAY_HELP)
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
                .help("Requests sent ahead at most; 1 sends one at a time")
                .value_parser(positive(1024)),
        )
        .arg(
            valued("skip", "N", "0")
                .help("Requests at the beginning that are played and not counted")
                .value_parser(value_parser!(u64)),
        )
        .arg(json())
}

fn trace_command() -> Command {
    Command::new("trace")
        .about("Writes a generated trace to standard output")
        .after_help(TRACE_HELP)
        .arg(
            Arg::new("kind")
                .value_name("KIND")
                .required(true)
                .help("What the trace is like")
                .value_parser(PossibleValuesParser::new(Kind::ALL.map(Kind::name))),
        )
        .arg(
            valued("requests", "N", "1000000")
                .short('n')
                .help("Requests, of kinds that do not end by themselves")
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
                .help("once, reads, mix: memory-fulls from a key's set to its get; 5 at most")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            valued("times", "T", "1.5")
                .help("newest: memory-fulls that are set; 100 at most")
                .value_parser(value_parser!(f64)),
        )
        .arg(
            valued("value", "SIZE", "small")
                .help("Values: <bytes>, small (lognormal around 150 B) or mix (10 B to 8 KB)"),
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
    valued("server", "ADDRESS", "127.0.0.1:11211").help("host:port or unix:/path")
}

fn login() -> Arg {
    option("login", "FILE").help("Log in with the first user:password line of FILE")
}

fn json() -> Arg {
    switch("json").help("Print the result as one JSON object")
}

fn positive(most: u64) -> clap::builder::RangedU64ValueParser<u64> {
    value_parser!(u64).range(1..=most)
}

// ---- Words to values --------------------------------------------------------------------------

fn plan(options: &ArgMatches) -> Result<Plan, Failure> {
    let (workload, keys_per_get) = workload(text(options, "workload"))?;
    let requests = options.get_one::<u64>("requests").copied();
    let duration = seconds(options, "duration")?;
    let threads = number::<u64>(options, "threads") as usize;
    let protocol = protocol(text(options, "protocol"));
    let plan = Plan {
        peer: peer(options, protocol)?,
        wire: Wire {
            protocol,
            keys_per_get,
            ttl_s: number(options, "ttl"),
        },
        workload,
        depth: number::<u64>(options, "depth") as usize,
        connections: number::<u64>(options, "connections") as usize,
        threads,
        requests,
        duration: duration.or(requests.is_none().then_some(DURATION_DEFAULT)),
        keys: number(options, "keys"),
        key_size: number::<u64>(options, "key-size") as usize,
        value_size: value_size(text(options, "value-size"))?,
        choice: choice(text(options, "choice"))?,
        hit_ratio: number(options, "hit-ratio"),
        rate: options.get_one::<f64>("rate").copied(),
        verify: options.get_flag("verify"),
        seed: number(options, "seed"),
        prefill: options.get_flag("prefill"),
        warm_up: seconds(options, "warm-up")?,
        server_pid: options.get_one::<u32>("server-pid").copied(),
    };
    check(&plan)?;
    Ok(plan)
}

fn peer(options: &ArgMatches, protocol: Protocol) -> Result<Peer, Failure> {
    let file = options.get_one::<String>("login");
    Ok(Peer {
        address: Address::parse(text(options, "server")),
        login: file
            .map(|file| Login::read(Path::new(file), protocol))
            .transpose()?,
    })
}

fn check(plan: &Plan) -> Result<(), Failure> {
    let complaint = if plan.connections < plan.threads {
        "--connections: each thread needs one"
    } else if plan.keys > Content::keys_max(plan.key_size) {
        "--key-size: too short to tell so many keys apart"
    } else if !(0.0..=1.0).contains(&plan.hit_ratio) {
        "--hit-ratio: a share is between 0 and 1"
    } else if plan.rate.is_some_and(|rate| !(rate > 0.0 && rate < 1e9)) {
        "--rate: between 0 and a billion requests a second"
    } else {
        return Ok(());
    };
    Err(Failure::new(complaint))
}

fn protocol(name: &str) -> Protocol {
    match name {
        "meta" => Protocol::Meta,
        "binary" => Protocol::Binary,
        _ => Protocol::Text,
    }
}

fn workload(word: &str) -> Result<(Workload, usize), Failure> {
    let bad = || Failure::new(format!("--workload {word}: no such workload"));
    let (name, detail) = split(word);
    match (name, detail) {
        ("get", None) => Ok((Workload::Get, 1)),
        ("set", None) => Ok((Workload::Set, 1)),
        ("mixed", share) => {
            let get_share = share.map_or(Ok(0.9), str::parse).map_err(|_| bad())?;
            if !(0.0..=1.0).contains(&get_share) {
                return Err(bad());
            }
            Ok((Workload::Mixed { get_share }, 1))
        }
        ("multiget", keys) => match keys.map_or(Ok(50), str::parse) {
            Ok(keys @ 1..=65_536) => Ok((Workload::Get, keys)),
            _ => Err(bad()),
        },
        _ => Err(bad()),
    }
}

fn value_size(word: &str) -> Result<ValueSize, Failure> {
    let bad = || Failure::new(format!("--value-size {word}: no such size"));
    if let Some(detail) = word.strip_prefix("lognormal:") {
        let (median, sigma) = detail.split_once(':').ok_or_else(bad)?;
        let median: f64 = median.parse().map_err(|_| bad())?;
        let sigma: f64 = sigma.parse().map_err(|_| bad())?;
        let is_sane = (1.0..1e9).contains(&median) && (0.0..10.0).contains(&sigma);
        return if is_sane {
            Ok(ValueSize::Lognormal { median, sigma })
        } else {
            Err(bad())
        };
    }
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    let from = from.parse().map_err(|_| bad())?;
    let to = to.parse().map_err(|_| bad())?;
    match (from, to) {
        (from, to) if from > to || to > 1 << 30 => Err(bad()),
        (from, to) if from == to => Ok(ValueSize::Fixed(to)),
        (from, to) => Ok(ValueSize::Range(from, to)),
    }
}

fn choice(word: &str) -> Result<Choice, Failure> {
    let bad = || Failure::new(format!("--choice {word}: no such choice"));
    match split(word) {
        ("uniform", None) => Ok(Choice::Uniform),
        ("sequential", None) => Ok(Choice::Sequential),
        ("zipf", exponent) => match exponent.map_or(Ok(0.99), str::parse) {
            Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(Choice::Zipf(exponent)),
            _ => Err(bad()),
        },
        _ => Err(bad()),
    }
}

fn synthesis(options: &ArgMatches) -> Result<Synthesis, Failure> {
    let keys = number(options, "keys");
    let synthesis = Synthesis {
        kind: kind(text(options, "kind"))?,
        requests: number(options, "requests"),
        keys,
        full: options.get_one("full").copied().unwrap_or(keys),
        delay: number(options, "delay"),
        times: number(options, "times"),
        value: trace_value(text(options, "value"))?,
        seed: number(options, "seed"),
    };
    let complaint = if !(0.0..=5.0).contains(&synthesis.delay) {
        "--delay: between 0 and 5 memory-fulls"
    } else if !(0.0..=100.0).contains(&synthesis.times) {
        "--times: between 0 and 100 memory-fulls"
    } else if synthesis.kind.has_own_sizes() && synthesis.value != Value::Small {
        "--value: this kind has sizes of its own"
    } else {
        return Ok(synthesis);
    };
    Err(Failure::new(complaint))
}

fn trace_value(word: &str) -> Result<Value, Failure> {
    match word {
        "small" => Ok(Value::Small),
        "mix" => Ok(Value::Mix),
        bytes => match bytes.parse() {
            Ok(size @ 0..=0x4000_0000) => Ok(Value::Fixed(size)),
            _ => Err(Failure::new(format!("--value {word}: no such size"))),
        },
    }
}

fn kind(name: &str) -> Result<Kind, Failure> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| Failure::new(format!("{name}: no such trace")))
}

fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once(':') {
        Some((name, detail)) => (name, Some(detail)),
        None => (word, None),
    }
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> &'m str {
    matches.get_one::<String>(name).map_or("", String::as_str)
}

fn strings(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches
        .get_many(name)
        .unwrap_or_default()
        .cloned()
        .collect()
}

/// The value of an option that has a default.
fn number<T: Copy + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    *matches.get_one(name).expect("the option has a default")
}

fn seconds(matches: &ArgMatches, name: &str) -> Result<Option<Duration>, Failure> {
    let Some(&seconds) = matches.get_one::<f64>(name) else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if seconds < 1e6 => Ok(Some(duration)),
        _ => Err(Failure::new(format!("--{name} {seconds}: no such time"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Action, Failure> {
        let words = format!("nuthatch-bench {line}");
        action(&command().get_matches_from(words.split_whitespace()))
    }

    fn plan_of(line: &str) -> Plan {
        match parsed(line) {
            Ok(Action::Run { plan, .. }) => *plan,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn defaults_are_a_plain_run_of_ten_seconds() {
        let plan = plan_of("");
        assert_eq!(plan.duration, Some(Duration::from_secs(10)));
        assert_eq!((plan.requests, plan.workload), (None, Workload::Get));
        assert_eq!(plan_of("-n 5").duration, None);
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
            "-w put",
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
            "trace once --delay 6",
            "trace newest --times=-1",
            "trace loop --value large",
            "trace sizes --value 100",
        ] {
            assert!(parsed(line).is_err(), "{line}");
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
