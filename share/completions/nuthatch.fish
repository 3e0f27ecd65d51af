complete -c nuthatch -s p -l port -d 'TCP port; 0 is off, -1 any free one [11211]' -r
complete -c nuthatch -s U -l udp-port -d 'UDP port; 0 is off, -1 any free one [0]' -r
complete -c nuthatch -s s -l unix-socket -d 'UNIX socket to listen on instead of TCP' -r -F
complete -c nuthatch -s a -l unix-mask -d 'octal permissions of the UNIX socket [700]' -r
complete -c nuthatch -s l -l listen -d 'addresses, host[:port], \'*\' or unix:/path [loopback]' -r
complete -c nuthatch -s b -l listen-backlog -d 'clients that may wait to be accepted [1024]' -r
complete -c nuthatch -s B -l protocol -d 'ascii, binary, or auto by the first byte [auto]' -r
complete -c nuthatch -s m -l memory-limit -d 'memory in MiB, with k, m or g, or in % of all there is [64]' -r
complete -c nuthatch -s I -l max-item-size -d 'largest item in bytes, or with k, m or g [1m]' -r
complete -c nuthatch -s f -l slab-growth-factor -d 'ratio between slab classes [built-in steps]' -r
complete -c nuthatch -s n -l slab-min-size -d 'least room for key, value and flags [built-in]' -r
complete -c nuthatch -s t -l threads -d 'worker threads [one per CPU, at most 4]' -r
complete -c nuthatch -s c -l conn-limit -d 'client connections at most [1024]' -r
complete -c nuthatch -s R -l max-reqs-per-event -d 'requests before others get a turn [20]' -r
complete -c nuthatch -s o -l extended -d 'suboptions, see below' -r
complete -c nuthatch -s Y -l auth-file -d 'user:password lines; require login over text' -r -F
complete -c nuthatch -l config -d 'file with flags, such as memcached.conf of Debian' -r -F
complete -c nuthatch -s P -l pidfile -d 'where to write the process id' -r -F
complete -c nuthatch -s u -l user -d 'user to become when started as root [nobody]' -r -f -a "(__fish_complete_users)"
complete -c nuthatch -s D -l stats-delimiter -d 'prefix delimiter; turns detail on [:]' -r
complete -c nuthatch -s M -l disable-evictions -d 'answer an error when full instead of evicting'
complete -c nuthatch -s k -l lock-memory -d 'keep all memory out of swap'
complete -c nuthatch -s L -l enable-largepages -d 'keep items in huge pages'
complete -c nuthatch -s S -d 'require login over the binary protocol'
complete -c nuthatch -s d -l daemon -d 'run in the background'
complete -c nuthatch -s r -l enable-coredumps -d 'allow core files'
complete -c nuthatch -s v -l verbose -d 'log more; -vv: requests and replies, -vvv: what connections do'
complete -c nuthatch -s A -l enable-shutdown -d 'let clients stop the server (shutdown)'
complete -c nuthatch -s C -l disable-cas -d 'items without CAS ids'
complete -c nuthatch -s F -l disable-flush-all -d 'refuse flush_all and flush_prefix'
complete -c nuthatch -s X -l disable-dumping -d 'refuse what lists keys: dumps, stats detail'
complete -c nuthatch -s W -l disable-watch -d 'refuse watch, which shows keys and clients'
complete -c nuthatch -l print-config -d 'print all settings and where they are from'
complete -c nuthatch -l check -d 'tell whether the server could start, and exit'
complete -c nuthatch -s h -l help -d 'print this'
complete -c nuthatch -s i -l license -d 'print the license'
complete -c nuthatch -s V -l version -d 'print the version'
