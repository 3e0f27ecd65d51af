//! Every tunable and limit: plain data with memcached's defaults, made by `cli` and read by all.

use crate::base::services::Services;
use std::path::{Path, PathBuf};

/// Bytes of a reply that fit one datagram of 1,400 bytes with its header. That fits an Ethernet
/// frame with some room for tunnels, so that no datagram is fragmented.
pub const UDP_REPLY_LEN: usize = 1400 - 8;

/// What the operator asked for. Fields that have no effect here are kept to be shown by
/// `stats settings`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's part.
    pub store: StoreSettings,
    /// Worker threads (`-t`).
    pub threads: usize,
    /// TCP port (`-p`); `None` when TCP is off (`-p 0` or `-s`), `Some(0)` for any free port.
    pub tcp_port: Option<u16>,
    /// UDP port (`-U`); `None` is off.
    pub udp_port: Option<u16>,
    /// Bytes of a reply over UDP at most: one datagram, unless the operator asks for more.
    pub udp_reply_max: usize,
    /// Addresses to listen on as given (`-l`), in order; empty means loopback only.
    pub listen: Vec<String>,
    /// UNIX socket path (`-s`).
    pub unix_socket: Option<PathBuf>,
    /// Permission bits of the UNIX socket (`-a`, octal).
    pub unix_mask: u32,
    /// Connections at most (`-c`).
    pub connections_max: usize,
    /// Refuse connections above the limit at once (`-o maxconns_fast`), else leave them waiting.
    pub connections_refuse: bool,
    /// Requests a connection may run before others get their turn (`-R`).
    pub requests_per_event: u32,
    /// Listen backlog (`-b`).
    pub backlog: i32,
    /// `-v` count.
    pub verbosity: u8,
    /// User to become (`-u`).
    pub user: Option<String>,
    /// Whether `flush_all` and `flush_prefix` work (`-F` turns them off).
    pub flush_enabled: bool,
    /// Whether dumps work (`-X` turns them off).
    pub dump_enabled: bool,
    /// Whether `watch` works (`-W` turns it off).
    pub watch_enabled: bool,
    /// Bytes that wait for one watcher at most; lines above that are skipped.
    pub watcher_logbuf_size: u32,
    /// Bytes of a thread's events that are not yet lines; events above that are dropped.
    pub worker_logbuf_size: u32,
    /// Whether `shutdown` works (`-A`).
    pub shutdown_enabled: bool,
    /// What a connection may speak (`-B`).
    pub services: Services,
    /// Seconds after which an idle connection is closed (`-o idle_timeout`); 0 never.
    pub idle_timeout_s: u32,
    /// Seconds without a byte of progress after which a connection is closed that is in the middle
    /// of a request or has replies to send (`-o progress_timeout`); 0 never.
    pub progress_timeout_s: u32,
    /// Bytes that all connections may hold together (`-o conn_memory`); `None` for the default.
    pub conn_memory: Option<u64>,
    /// Prefix delimiter (`-D`).
    pub prefix_delimiter: u8,
    /// Whether prefix statistics are on from the start (`-D` turns them on).
    pub detail_enabled: bool,
    /// Fork into the background (`-d`).
    pub daemonize: bool,
    /// Pid file (`-P`).
    pub pid_file: Option<PathBuf>,
    /// Lock memory (`-k`).
    pub lock_memory: bool,
    /// Raise the core file limit (`-r`).
    pub core_files: bool,
    /// Password file (`-Y`); with one, text connections must log in.
    pub auth_file: Option<PathBuf>,
    /// Binary connections must log in (`-S`).
    pub sasl: bool,
    /// Password file of binary logins where there is no `-Y` (`MEMCACHED_SASL_PWDB`).
    pub sasl_file: Option<PathBuf>,
    /// Options that are accepted, shown and have no effect here.
    pub shown: ShownSettings,
}

/// The store's settings.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Bytes for items, index and bookkeeping together (`-m`).
    pub memory_limit: u64,
    /// The largest item in bytes as memcached counts it (`-I`): header, key and value.
    pub item_size_max: u32,
    /// Ratio between slab classes (`-f`); `None` for the built-in spacing.
    pub growth_factor: Option<f64>,
    /// Bytes that the smallest chunk leaves for key, value and flags (`-n`); `None` for built-in.
    pub chunk_size_min: Option<u32>,
    /// Evict when full (`-M` turns it off: sets fail instead).
    pub evict: bool,
    /// Give items CAS ids (`-C` turns it off).
    pub cas: bool,
    /// Which items to evict (`-o eviction=`).
    pub policy: EvictionPolicy,
    /// Pages may change their class other than by need (`-o no_slab_reassign` turns it off).
    pub reassign: bool,
    /// When they do so by themselves (`-o slab_automove`).
    pub automove: Automove,
    /// Seconds that a class must have had pages to spare before it gives them to the pool
    /// (`-o slab_automove_window`).
    pub automove_window_s: u32,
    /// How the background looks for what has expired.
    pub crawler: CrawlerSettings,
    /// Ask the kernel for huge pages (`-L`).
    pub huge_pages: bool,
    /// The limit can be changed at run time: address space is reserved for four times as much.
    /// Locked memory (`-k`) cannot have that, because what is reserved would be locked too.
    pub limit_adjustable: bool,
    /// Seed of the key hash; `None` draws one.
    pub hash_seed: Option<u64>,
}

/// How the background looks for what has expired, to free its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrawlerSettings {
    /// Whether it does (`-o no_lru_crawler`). Else an expired item stays until somebody asks for
    /// it, or until its memory is needed.
    pub on: bool,
    /// Microseconds of pause for every thousand chunks that it looks at (`-o lru_crawler_sleep`).
    pub sleep_us: u32,
}

impl Default for CrawlerSettings {
    fn default() -> Self {
        Self {
            on: true,
            sleep_us: 100,
        }
    }
}

/// Which items go when room is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// A queue of what is new in front of a frequency clock, with ghosts that say how long it is.
    S3,
    /// The same where a hit item has one chance, however often it was hit.
    Lru,
    /// The same where an item has as many chances as it had hits, up to three.
    Lfu,
}

impl EvictionPolicy {
    /// The word for it in `-o eviction=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Lru => "lru",
            Self::Lfu => "lfu",
        }
    }
}

/// When a class gets a page of another by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Automove {
    /// Only where a request or the index cannot be served otherwise.
    ByNeed,
    /// Also where the other one can spare it much better; pages out of use go to the pool.
    #[default]
    Balanced,
    /// Also where the other one can spare it better at all.
    Eager,
}

impl Automove {
    /// The one that memcached numbers so.
    #[must_use]
    pub fn from_level(level: u32) -> Option<Self> {
        match level {
            0 => Some(Self::ByNeed),
            1 => Some(Self::Balanced),
            2 => Some(Self::Eager),
            _ => None,
        }
    }

    /// memcached's number for it.
    #[must_use]
    pub fn level(self) -> u32 {
        self as u32
    }
}

/// memcached options without a counterpart here, as `stats settings` shows them.
#[derive(Clone, Debug)]
pub struct ShownSettings {
    /// `-o hashpower`.
    pub hashpower_init: u32,
    /// `-o slab_automove_ratio`.
    pub slab_automove_ratio: f64,
    /// `-o slab_chunk_max`, bytes.
    pub slab_chunk_max: u32,
    /// `-o lru_crawler_tocrawl`.
    pub lru_crawler_tocrawl: u32,
    /// `-o tail_repair_time`, seconds.
    pub tail_repair_time: u32,
    /// `-o hash_algorithm`.
    pub hash_algorithm: String,
    /// `-o lru_maintainer`.
    pub lru_maintainer: bool,
    /// Whether `lru mode` says so; without the maintainer it does not.
    pub lru_segmented: bool,
    /// `-o hot_lru_pct`.
    pub hot_lru_pct: u32,
    /// `-o warm_lru_pct`.
    pub warm_lru_pct: u32,
    /// `-o hot_max_factor`.
    pub hot_max_factor: f64,
    /// `-o warm_max_factor`.
    pub warm_max_factor: f64,
    /// Whether `-o temporary_ttl` was given.
    pub temp_lru: bool,
    /// `-o temporary_ttl`, seconds.
    pub temporary_ttl: u32,
    /// `-o read_buf_mem_limit`, bytes.
    pub read_buf_mem_limit: u64,
    /// `-o track_sizes`.
    pub track_sizes: bool,
}

/// What connections may hold at least, where nothing else is asked for.
const CONN_MEMORY_MIN: u64 = 16 << 20;

impl Settings {
    /// Bytes of requests and replies that connections may hold together: 2 % of the memory for
    /// items, or 16 MiB where that is more.
    #[must_use]
    pub fn conn_memory_limit(&self) -> u64 {
        let default = (self.store.memory_limit / 50).max(CONN_MEMORY_MIN);
        self.conn_memory.unwrap_or(default)
    }

    /// The password file: one serves both protocols.
    #[must_use]
    pub fn login_file(&self) -> Option<&Path> {
        self.auth_file.as_deref().or(self.sasl_file.as_deref())
    }

    /// Whether connections must log in. One kind of login locks both protocols: the operator who
    /// asks for a password does not mean the other door to stand open.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        self.auth_file.is_some() || self.sasl
    }

    /// Whether every connection that may speak `services` has to log in, if any has.
    #[must_use]
    pub fn guards(&self, services: Services) -> bool {
        let (text, binary) = (self.auth_file.is_some(), self.sasl);
        text == binary
            || services
                == if text {
                    Services::TEXT
                } else {
                    Services::BINARY
                }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: StoreSettings::default(),
            threads: 4,
            tcp_port: Some(11211),
            udp_port: None,
            udp_reply_max: UDP_REPLY_LEN,
            listen: vec![],
            unix_socket: None,
            unix_mask: 0o700,
            connections_max: 1024,
            connections_refuse: true,
            requests_per_event: 20,
            backlog: 1024,
            verbosity: 0,
            user: None,
            flush_enabled: true,
            dump_enabled: true,
            watch_enabled: true,
            watcher_logbuf_size: 256 << 10,
            worker_logbuf_size: 64 << 10,
            shutdown_enabled: false,
            services: Services::MEMCACHED,
            idle_timeout_s: 0,
            progress_timeout_s: 60,
            conn_memory: None,
            prefix_delimiter: b':',
            detail_enabled: false,
            daemonize: false,
            pid_file: None,
            lock_memory: false,
            core_files: false,
            auth_file: None,
            sasl: false,
            sasl_file: None,
            shown: ShownSettings::default(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            memory_limit: 64 << 20,
            item_size_max: 1 << 20,
            growth_factor: None,
            chunk_size_min: None,
            evict: true,
            cas: true,
            policy: EvictionPolicy::S3,
            reassign: true,
            automove: Automove::default(),
            automove_window_s: 10,
            crawler: CrawlerSettings::default(),
            huge_pages: false,
            limit_adjustable: true,
            hash_seed: None,
        }
    }
}

impl Default for ShownSettings {
    fn default() -> Self {
        Self {
            hashpower_init: 0,
            slab_automove_ratio: 0.8,
            slab_chunk_max: 512 << 10,
            lru_crawler_tocrawl: 0,
            tail_repair_time: 0,
            hash_algorithm: "murmur3".into(),
            lru_maintainer: true,
            lru_segmented: true,
            hot_lru_pct: 20,
            warm_lru_pct: 40,
            hot_max_factor: 0.2,
            warm_max_factor: 2.0,
            temp_lru: false,
            temporary_ttl: 61,
            read_buf_mem_limit: 0,
            track_sizes: false,
        }
    }
}
