//! The flags themselves: letters, long names, one line of help each.

use super::VERSION_LINE;
use clap::{Arg, ArgAction, Command, ValueHint};

/// Flags of features that are not there yet: id, letter and what is missing. They parse, so that
/// the answer can be plain, and are not shown: tools read `-h` to learn what a server can do.
pub(super) const UNSUPPORTED: [(&str, char, &str); 3] = [
    ("enable-ssl", 'Z', "TLS"),
    ("memory-file", 'e', "keeping the cache in a file"),
    ("napi-ids", 'N', "choosing threads by NAPI id"),
];

const NETWORK: &str = "Network";
const MEMORY: &str = "Memory";
const LIMITS: &str = "Threads and limits";
const LOGINS: &str = "Logins";
const PROCESS: &str = "Process";
const COMMANDS: &str = "Commands and statistics";
const OTHER: &str = "Information";

const EXTENDED_HELP: &str = "\
Suboptions of -o, in comma lists, repeatable:
  [no_]maxconns_fast    refuse clients above -c at once, else let them wait [on]
  idle_timeout=<s>      close TCP clients that are idle this long [0: never]
  progress_timeout=<s>  close clients that are stuck this long in the middle of a
                        request, or without reading their replies [60; 0: never]
  conn_memory=<size>    what clients' requests and unread replies may take together
                        [16m, or 2 % of -m if that is more]
  watcher_logbuf_size=<KiB>, worker_logbuf_size=<KiB>
                        lines that wait for one watcher, events of one thread that
                        wait to become lines; more are dropped [256, 64]
  udp_reply_max=<bytes>
                        longest reply over UDP, up to 32768 [1392: one datagram]
  [no_]lru_crawler      look for expired items in the background [on]
  lru_crawler_sleep=<us>
                        pause for every 1000 chunks that it looks at [100]
  eviction=<policy>     s3, lru or lfu: which items to evict when full [s3]
  [no_]slab_reassign    pages may change their slab class other than by need [on]
  slab_automove=<n>     by themselves: 0 no, 1 if that pays, 2 more readily [1]
  slab_automove_window=<s>
                        pages that are free this long go to the pool [10]
  modern, no_modern     memcached's sets of defaults
memcached's suboptions about chunks, LRU lists and hash tables are accepted, shown by
`stats settings`, and have no effect.

Flags are taken from the command line, then from the environment variable NUTHATCH_OPTIONS,
then from the file of --config: the first place that has a flag decides. In the file a line
holds flags as above, # begins a comment, and a line that begins with -d or -h is skipped.";

/// The flags that there are. Help, man page and completions are made from this.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new("nuthatch")
        .about("A memcached-compatible, multithreaded cache daemon")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .no_binary_name(false)
        .help_template(format!("{VERSION_LINE}\n\n{{all-args}}{{after-help}}"))
        .after_help(EXTENDED_HELP);
    for group in [
        network(),
        memory(),
        limits(),
        logins(),
        process(),
        commands(),
        information(),
    ] {
        command = command.args(group);
    }
    command
}

/// The flags that are understood, if only to refuse them.
pub(super) fn grammar() -> Command {
    command().args(unsupported())
}

/// Whether a flag is about the command, and no setting.
pub(super) fn is_about_the_command(flag: &Arg) -> bool {
    flag.get_help_heading() == Some(OTHER) || flag.get_id() == "config"
}

/// The letter of the flag with this long name.
pub(super) fn letter(id: &str) -> Option<char> {
    let command = grammar();
    let mut arguments = command.get_arguments();
    arguments
        .find(|argument| argument.get_id() == id)?
        .get_short()
}

fn network() -> Vec<Arg> {
    vec![
        value(
            "port",
            'p',
            "n",
            "TCP port; 0 is off, -1 any free one [11211]",
        ),
        value(
            "udp-port",
            'U',
            "n",
            "UDP port; 0 is off, -1 any free one [0]",
        ),
        value(
            "unix-socket",
            's',
            "path",
            "UNIX socket to listen on instead of TCP",
        ),
        value(
            "unix-mask",
            'a',
            "mode",
            "octal permissions of the UNIX socket [700]",
        ),
        value(
            "listen",
            'l',
            "addr",
            "addresses, host[:port], '*' or unix:/path [loopback]",
        ),
        value(
            "listen-backlog",
            'b',
            "n",
            "clients that may wait to be accepted [1024]",
        ),
        value(
            "protocol",
            'B',
            "name",
            "ascii, binary, or auto by the first byte [auto]",
        ),
    ]
    .into_iter()
    .map(|arg| arg.help_heading(NETWORK))
    .collect()
}

fn memory() -> Vec<Arg> {
    vec![
        value(
            "memory-limit",
            'm',
            "size",
            "memory in MiB, with k, m or g, or in % of all there is [64]",
        ),
        value(
            "max-item-size",
            'I',
            "size",
            "largest item in bytes, or with k, m or g [1m]",
        ),
        switch(
            "disable-evictions",
            'M',
            "answer an error when full instead of evicting",
        ),
        switch("lock-memory", 'k', "keep all memory out of swap"),
        switch("enable-largepages", 'L', "keep items in huge pages"),
        value(
            "slab-growth-factor",
            'f',
            "ratio",
            "ratio between slab classes [built-in steps]",
        ),
        value(
            "slab-min-size",
            'n',
            "bytes",
            "least room for key, value and flags [built-in]",
        ),
    ]
    .into_iter()
    .map(|arg| arg.help_heading(MEMORY))
    .collect()
}

fn limits() -> Vec<Arg> {
    vec![
        value(
            "threads",
            't',
            "n",
            "worker threads [one per CPU, at most 4]",
        ),
        value("conn-limit", 'c', "n", "client connections at most [1024]"),
        value(
            "max-reqs-per-event",
            'R',
            "n",
            "requests before others get a turn [20]",
        ),
        value("extended", 'o', "list", "suboptions, see below"),
    ]
    .into_iter()
    .map(|arg| arg.help_heading(LIMITS))
    .collect()
}

/// The word that names the mechanism is kept out of the help: test suites that find it there expect
/// a challenge mechanism that needs clear passwords and a database of its own.
fn logins() -> Vec<Arg> {
    let binary = Arg::new("enable-sasl")
        .short('S')
        .alias("enable-sasl")
        .action(ArgAction::SetTrue)
        .overrides_with("enable-sasl")
        .help("require login over the binary protocol");
    let file = value(
        "auth-file",
        'Y',
        "path",
        "user:password lines; require login over text",
    );
    vec![file, binary]
        .into_iter()
        .map(|arg| arg.help_heading(LOGINS))
        .collect()
}

fn process() -> Vec<Arg> {
    let config = Arg::new("config")
        .long("config")
        .value_name("path")
        .action(ArgAction::Append)
        .value_hint(ValueHint::FilePath)
        .help("file with flags, such as memcached.conf of Debian");
    vec![
        config,
        switch("daemon", 'd', "run in the background"),
        value("pidfile", 'P', "path", "where to write the process id"),
        value(
            "user",
            'u',
            "name",
            "user to become when started as root [nobody]",
        ),
        switch("enable-coredumps", 'r', "allow core files"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .action(ArgAction::Count)
            .help("log more; -vv: requests and replies, -vvv: what connections do"),
    ]
    .into_iter()
    .map(|arg| arg.help_heading(PROCESS))
    .collect()
}

fn commands() -> Vec<Arg> {
    let delimiter = value(
        "stats-delimiter",
        'D',
        "char",
        "prefix delimiter; turns detail on [:]",
    );
    vec![
        switch(
            "enable-shutdown",
            'A',
            "let clients stop the server (shutdown)",
        ),
        switch("disable-cas", 'C', "items without CAS ids"),
        switch(
            "disable-flush-all",
            'F',
            "refuse flush_all and flush_prefix",
        ),
        switch(
            "disable-dumping",
            'X',
            "refuse what lists keys: dumps, stats detail",
        ),
        switch(
            "disable-watch",
            'W',
            "refuse watch, which shows keys and clients",
        ),
        delimiter,
    ]
    .into_iter()
    .map(|arg| arg.help_heading(COMMANDS))
    .collect()
}

fn information() -> Vec<Arg> {
    vec![
        long_switch("print-config", "print all settings and where they are from"),
        long_switch("check", "tell whether the server could start, and exit"),
        switch("help", 'h', "print this"),
        switch("license", 'i', "print the license"),
        switch("version", 'V', "print the version"),
    ]
    .into_iter()
    .map(|arg| arg.help_heading(OTHER))
    .collect()
}

fn unsupported() -> Vec<Arg> {
    UNSUPPORTED
        .into_iter()
        .map(|(id, short, _)| match short {
            'Z' => switch(id, short, ""),
            _ => value(id, short, "value", ""),
        })
        .collect()
}

/// A flag without a value; like `getopt`, it may be repeated.
fn switch(id: &'static str, short: char, help: &'static str) -> Arg {
    long_switch(id, help).short(short)
}

fn long_switch(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(id)
        .action(ArgAction::SetTrue)
        .overrides_with(id)
        .help(help)
}

/// A flag with a value. Whatever follows it is the value, even if it looks like a flag (`-p -1`).
fn value(id: &'static str, short: char, name: &'static str, help: &'static str) -> Arg {
    let hint = match name {
        "path" => ValueHint::FilePath,
        _ if id == "user" => ValueHint::Username,
        _ => ValueHint::Unknown,
    };
    Arg::new(id)
        .short(short)
        .long(id)
        .value_name(name)
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .value_hint(hint)
        .help(help)
}
