# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_nuthatch_bench_global_optspecs
    string join \n server= login= P/protocol= w/workload= d/depth= n/requests= duration= rate= prefill warm-up= k/keys= key-size= s/value-size= choice= hit-ratio= ttl= verify c/connections= t/threads= seed= json server-pid= h/help
end

function __fish_nuthatch_bench_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_nuthatch_bench_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_nuthatch_bench_using_subcommand
    set -l cmd (__fish_nuthatch_bench_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l server -d 'host:port or unix:/path' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l login -d 'Log in with the first user:password line of FILE' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s P -l protocol -d 'text, meta or binary' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s w -l workload -d 'get, set, mixed:<share of gets> or multiget:<keys of each>' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s d -l depth -d 'Requests that a connection sends at once (pipelining)' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s n -l requests -d 'Stop after this many requests' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l duration -d 'Stop after this time [default: 10, without -n]' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l rate -d 'Requests a second, each timed from when it was due (open loop)' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l warm-up -d 'Run this long before measuring' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s k -l keys -d 'Number of keys' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l key-size -d 'Length of a key' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s s -l value-size -d 'Length of a value: <n>, <from>-<to> or lognormal:<median>:<sigma>' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l choice -d 'Which key is next: uniform, zipf:<exponent> or sequential' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l hit-ratio -d 'Share of gets that ask for keys that sets store; the others always miss' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l ttl -d 'Time to live of stored values; 0 is for ever' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s c -l connections -d 'Connections, shared out among the threads' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s t -l threads -d 'Threads of this tool' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l seed -d 'The same seed makes the same load' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l server-pid -d 'Also report the CPU time of this process' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l prefill -d 'Store every key before measuring'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l verify -d 'Check that every value read belongs to its key'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -l json -d 'Print results as JSON, one object on a line'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -s h -l help -d 'Print help'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -f -a "replay" -d 'Plays traces and counts the misses'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -f -a "trace" -d 'Writes a generated trace to standard output'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -l server -d 'host:port or unix:/path' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -l login -d 'Log in with the first user:password line of FILE' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -l window -d 'Requests sent ahead of their replies, at most; 1 sends one at a time' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -l skip -d 'Requests at the beginning that are played but not counted' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -l json -d 'Print results as JSON, one object on a line'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand replay" -s h -l help -d 'Print help'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -s n -l requests -d 'Requests, for kinds that do not end by themselves' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -s k -l keys -d 'Keys that come again' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -l full -d 'Items of one memory-full [default: --keys]' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -l delay -d 'once, reads, mix: memory-fulls between a key\'s set and its get; 5 at most' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -l times -d 'newest: memory-fulls that are set; 100 at most' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -l value -d 'Values: <bytes>, small (lognormal around 150 B) or mix (10 B to 8 KB)' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -l seed -d 'The same seed makes the same trace' -r
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand trace" -s h -l help -d 'Print help'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand help; and not __fish_seen_subcommand_from replay trace help" -f -a "replay" -d 'Plays traces and counts the misses'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand help; and not __fish_seen_subcommand_from replay trace help" -f -a "trace" -d 'Writes a generated trace to standard output'
complete -c nuthatch-bench -n "__fish_nuthatch_bench_using_subcommand help; and not __fish_seen_subcommand_from replay trace help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
