//! The texts that `--help` prints below the options.

pub(super) const AFTER_HELP: &str = "\
Without options it stores 100000 values of 100 bytes in the server on this machine, which keeps
them, and then measures sets, gets and a mix of both for three seconds each. --server, --login,
--protocol, --server-pid and --json go with that. Any other option makes it a single run,
which stores nothing first unless --prefill says so.

An operation is a key looked up or a value stored: a multi-get of 50 keys is one request and 50
operations. Latency is the time from sending a batch until the whole reply to a request is here.

Connections usually wait for the replies to one batch before they send the next (a closed loop).
While a server is stuck they send nothing. So a pause of a second makes one request of each
connection slow, and the thousands that users would have sent meanwhile are missing from the
percentiles: a closed loop hides waiting (coordinated omission). --rate shows it: requests become
due at fixed times, whether the server keeps up or not, and the latency of each counts from when it
was due.

With --json a run is one JSON object on a line of its own. Without options there are three, and
\"run\" names each: \"set\", \"get\" or \"mix\".

Exit status: 0; 1 if a run failed or a value was wrong; 2 if the options make no sense.

Examples:
  nuthatch-bench
  nuthatch-bench --prefill -w get -d 16 --duration 5
  nuthatch-bench --prefill -w mixed:0.9 --choice zipf:0.99 --value-size lognormal:200:1
  nuthatch-bench --prefill -w multiget:50 --rate 20000 --verify
  xz -dc trace.xz | nuthatch-bench replay -";

pub(super) const REPLAY_HELP: &str = "\
A trace is a file of lines `<key> <bytes> [<ttl> [<operation>]]`. Operations:
  fetch   get, and set after a miss (the operation of lines that name none)
  get     get only
  set, add, append, delete
  incr    add 1; a missing counter is set to 1, whatever <bytes> says
A line `mark` starts the counts again: what comes before it is a warm-up, as with --skip.

Requests, hits and misses are those of fetch and get. A miss is avoidable if the trace stored the
key earlier and has not deleted it since, whether or not its time to live is over. Begin with an
empty server. The tool remembers every key, in some 20 bytes each.";

pub(super) const TRACE_HELP: &str = "\
To fetch is to get, and to set after a miss. A memory-full is as many items as the server holds:
--full says how many. T and D are --times and --delay.

A number of --keys, fetched --requests times:
  zipf       popular keys, scans over cold ranges, keys that come once
  drift      popular keys that change all the time
  ttl        popular keys that live for seconds, for minutes and for ever
  sizes      popular keys of sizes from bytes to hundreds of KB
  shift      values of 100 B, then 10 KB, 500 KB and 100 B again

Keys that are set, then got, and not set again after a miss:
  newest     T memory-fulls of new keys are set, then the newest 40 % of one are got; ends by itself
  once       6 memory-fulls are set, each key got once after D more are; ends by itself
  reads      6 memory-fulls are set, each key got 3 times before D more are; ends by itself
  mix        a third each: popular keys fetched, new keys set, each got once as in once
  abandoned  10 memory-fulls of fetches, one of new keys set, 60 % of it got; ends by itself
  updates    popular keys, half of the requests sets
  feeds      keys set in order, the latest fetched most (and set again after a miss)
  counters   popular counters, and lists that are appended to

Keys that are fetched in ways that trap one policy or another:
  loop       1.5 memory-fulls in order, again and again
  scan       popular keys, and in the middle 3 memory-fulls of new keys in order
  switch     popular keys, all replaced by others at half time
  daynight   two sets of popular keys in turns of 2 memory-fulls of requests
  zigzag     2 memory-fulls to and fro";
