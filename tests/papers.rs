//! The server's man page and completions are those that its flags make.

#[path = "support/papers.rs"]
mod papers;

use nuthatch::cli;

const ENVIRONMENT: &str = "\
Variables that the server reads:
  NUTHATCH_OPTIONS          flags, written as on a line of the file of --config
  MEMCACHED_SASL_PWDB       the password file of -S, where there is no -Y
  MEMCACHED_PORT_FILENAME   file into which the server writes the ports that it has bound";

const FILES: &str = "\
Without --config the server reads no file of settings. With it, /etc/memcached.conf of Debian is
read as it is.

A line of the file holds flags as on the command line, of which quotes and backslashes are those
of a shell. An unquoted # begins a comment. A line that begins with -d or -h is skipped, and logfile
has no effect. --print-config prints such a file.";

const SIGNALS: &str = "\
What they make the server do:
  SIGTERM, SIGINT  finish the replies under way and exit
  SIGUSR1          the same
  SIGHUP           read the password file again";

const EXIT_STATUS: &str = "\
As memcached's:
  0   it was stopped, or has printed what it was asked for
  1   the value of a flag or a file makes no sense
  64  a flag is out of bounds, or two contradict each other
  67  the user of -u does not exist
  71  the system refuses something, such as an address in use";

#[test]
fn the_papers_are_those_that_the_flags_make() {
    papers::compare(
        &cli::command(),
        &[
            ("ENVIRONMENT", ENVIRONMENT),
            ("FILES", FILES),
            ("SIGNALS", SIGNALS),
            ("EXIT STATUS", EXIT_STATUS),
        ],
    );
}

#[test]
fn completions_offer_no_flag_that_would_be_refused() {
    let shown = cli::command();
    let names: Vec<_> = shown
        .get_arguments()
        .map(|flag| flag.get_id().as_str())
        .collect();
    assert!(
        names.contains(&"memory-limit") && !names.contains(&"memory-file"),
        "{names:?}"
    );
}
