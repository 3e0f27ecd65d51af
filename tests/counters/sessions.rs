//! Scenes on a session: what is asked for in three protocols, and what becomes of memory.

use crate::Scene;
use crate::common::{Random, Talk, settings};
use crate::reading::{Observed, REQUESTS, Reading, read};
use nuthatch::base::credentials::Credentials;
use nuthatch::base::settings::Settings;
use nuthatch::session::Session;

/// Bytes of a long value: four of them fill a page.
const LONG: usize = 16_000;

/// Long values that a mebibyte holds.
const FULL: usize = 56;

pub(crate) const SCENES: &[Scene] = &[
    Scene {
        what: "requests in text",
        moves: &[
            "cmd_get 2",
            "get_hits 1",
            "get_misses 1",
            "cmd_set 5",
            "total_items 3",
            "delete_hits 1",
            "delete_misses 1",
            "incr_hits 1",
            "incr_misses 1",
            "decr_hits 1",
            "decr_misses 1",
            "cas_hits 1",
            "cas_badval 1",
            "cas_misses 1",
            "cmd_touch 2",
            "touch_hits 1",
            "touch_misses 1",
            "items hits_to_cold 1",
            "slabs get_hits 1",
            "slabs cmd_set 4",
            "slabs delete_hits 1",
            "slabs incr_hits 1",
            "slabs decr_hits 1",
            "slabs cas_hits 1",
            "slabs cas_badval 1",
            "slabs touch_hits 1",
        ],
        play: requests_in_text,
    },
    Scene {
        what: "the same in meta, where what is not found cannot be touched",
        moves: &[
            "cmd_get 2",
            "get_hits 1",
            "get_misses 1",
            "cmd_set 5",
            "delete_hits 1",
            "delete_misses 1",
            "incr_hits 1",
            "incr_misses 1",
            "decr_hits 1",
            "decr_misses 1",
            "cas_hits 1",
            "cas_badval 1",
            "cas_misses 1",
            "cmd_touch 1",
            "touch_hits 1",
            "touch_misses 0",
            "cmd_meta 1",
        ],
        play: requests_in_meta,
    },
    Scene {
        what: "the same in binary",
        moves: &[
            "cmd_get 2",
            "get_hits 1",
            "get_misses 1",
            "cmd_set 5",
            "delete_hits 1",
            "delete_misses 1",
            "incr_hits 1",
            "incr_misses 1",
            "decr_hits 1",
            "decr_misses 1",
            "cas_hits 1",
            "cas_badval 1",
            "cas_misses 1",
            "cmd_touch 2",
            "touch_hits 1",
            "touch_misses 1",
            "cmd_meta 0",
        ],
        play: requests_in_binary,
    },
    Scene {
        what: "dead items are asked for",
        moves: &[
            "get_expired 2",
            "get_flushed 1",
            "get_misses 2",
            "touch_misses 1",
        ],
        play: dead_items,
    },
    Scene {
        what: "flushes, and the background that follows",
        moves: &[
            "cmd_flush 1",
            "cmd_flush_prefix 1",
            "flushes_pending ^",
            "curr_items 0",
        ],
        play: flushes,
    },
    Scene {
        what: "a value is too large",
        moves: &["store_too_large 1", "cmd_set 0"],
        play: a_large_value,
    },
    Scene {
        what: "there is no memory, and nothing may be evicted",
        moves: &["store_no_memory 2", "items outofmemory 2", "evictions 0"],
        play: no_memory,
    },
    Scene {
        what: "a login fails and one succeeds; the report after that takes another",
        moves: &["auth_cmds 3", "auth_errors 1"],
        play: logins,
    },
    Scene {
        what: "the same in binary",
        moves: &["auth_cmds 3", "auth_errors 1"],
        play: binary_logins,
    },
    Scene {
        what: "time passes",
        moves: &["uptime 60", "conns secs_since_last_cmd 60", "items age 60"],
        play: time,
    },
    Scene {
        what: "items come and go",
        moves: &[
            "curr_items ^",
            "bytes ^",
            "items number ^",
            "items number_hot ^",
            "items mem_requested ^",
            "slabs used_chunks ^",
            "slabs free_chunks +",
            "slabs total_chunks +",
            "slabs total_pages +",
            "slabs active_slabs 1",
            "slabs total_malloced +",
            "eviction items ^",
            "eviction small ^",
            "slab_global_page_pool -",
        ],
        play: items_come_and_go,
    },
    Scene {
        what: "a full store takes more",
        moves: &[
            "evictions 3",
            "evicted_unfetched 3",
            "evicted_active 0",
            "items evicted 3",
            "items evicted_nonzero 3",
            "items evicted_unfetched 3",
            "items evicted_time 7",
            "items age 9",
            "eviction evicted_small_lately +",
        ],
        play: evictions,
    },
    Scene {
        what: "an evicted item is missed, and comes back",
        moves: &[
            "eviction ghost_hits 1",
            "eviction pull_hundredths +",
            "items number_cold 1",
        ],
        play: a_ghost,
    },
    Scene {
        what: "items that were all read have to go",
        moves: &[
            "evicted_active +",
            "items evicted_active +",
            "items moves_to_cold +",
            "eviction promoted +",
            "eviction evicted_main_lately +",
        ],
        play: popular_items,
    },
    Scene {
        what: "a cache of small items at work",
        moves: &[
            "hash_power_level +",
            "hash_bytes +",
            "eviction small_wanted +",
            "eviction trials_proven_lately +",
            "eviction trials_failed_lately +",
            "eviction turnover_bytes +",
        ],
        play: cache_aside,
    },
    Scene {
        what: "a full store takes more after its items have expired",
        moves: &[
            "reclaimed 1",
            "items reclaimed 1",
            "expired_unfetched 1",
            "items expired_unfetched 1",
            "evictions 0",
        ],
        play: reclaiming,
    },
    Scene {
        what: "items expire and the background finds them",
        moves: &[
            "crawler_reclaimed 10",
            "items crawler_reclaimed 10",
            "crawler_items_checked +",
            "items crawler_items_checked +",
            "expired_unfetched 10",
        ],
        play: crawling,
    },
    Scene {
        what: "somebody watches, with little room for events and lines",
        moves: &[
            "log_watchers ^",
            "log_worker_written +",
            "log_worker_dropped +",
            "log_watcher_sent +",
            "log_watcher_skipped +",
        ],
        play: watching,
    },
    Scene {
        what: "a page is ordered to move",
        moves: &[
            "slab_reassign_rescues 1",
            "slabs_moved 1",
            "slab_reassign_running ^",
        ],
        play: a_page_moves,
    },
    Scene {
        what: "pages of long items move",
        moves: &["slab_reassign_chunk_rescues +", "slabs_moved >13"],
        play: pages_of_long_items,
    },
    Scene {
        what: "a page is to move and its items find no other room",
        moves: &["slab_reassign_busy_nomem +", "slabs_moved 0"],
        play: no_other_room,
    },
];

/// A session under observation.
struct Stage {
    talk: Talk,
    amid: Option<Reading>,
}

impl Stage {
    /// The reports, as a client of its own reads them.
    fn read(&mut self) -> Reading {
        self.talk.reconnect();
        if self.talk.shared.settings.needs_login() {
            self.ask("set login 0 0 10\r\nann secret", "STORED");
        }
        let reading = read(&self.talk.ask(REQUESTS));
        self.talk.reconnect();
        reading
    }

    /// Notes what there is to be seen now.
    fn look(&mut self) {
        self.amid = Some(self.read());
    }

    fn ask(&mut self, line: &str, reply: &str) {
        let found = self.talk.ask(format!("{line}\r\n").as_bytes());
        assert_eq!(found, format!("{reply}\r\n"), "{:.80}", line);
    }

    fn put(&mut self, key: &str, len: usize, ttl: u32) {
        let value = "v".repeat(len);
        self.ask(&format!("set {key} 0 {ttl} {len}\r\n{value}"), "STORED");
    }

    /// Stores long items, numbered from 0.
    fn fill(&mut self, name: &str, count: usize, ttl: u32) {
        for number in 0..count {
            self.put(&format!("{name}{number}"), LONG, ttl);
        }
    }

    fn hit(&mut self, key: &str) -> bool {
        let answer = self.talk.ask(format!("get {key}\r\n").as_bytes());
        answer.starts_with("VALUE")
    }

    /// Seconds pass in which the background does nothing.
    fn pass(&mut self, seconds: u64) {
        self.talk.now = self.talk.now.plus_seconds(seconds);
    }

    /// Orders a page of the only class with items to the pool.
    fn order_page(&mut self) {
        let answer = self.talk.ask(b"stats items\r\n");
        let class = answer.split(':').nth(1).unwrap().to_string();
        self.ask(&format!("slabs reassign {class} 0"), "OK");
    }

    /// One request over the binary protocol: its status, and the item's CAS id.
    fn packet(
        &mut self,
        opcode: u8,
        extras: &[u8],
        key: &[u8],
        value: &[u8],
        cas: u64,
    ) -> (u8, u64) {
        let lens = [key.len(), extras.len()].map(|len| len as u8);
        let body = [extras, key, value].concat();
        let mut packet = vec![0x80, opcode, 0, lens[0], lens[1], 0, 0, 0];
        packet.extend_from_slice(&(body.len() as u32).to_be_bytes());
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(&cas.to_be_bytes());
        packet.extend_from_slice(&body);
        self.talk.send(&packet);
        let reply = std::mem::take(&mut self.talk.reply);
        assert_eq!((reply[0], reply[1]), (0x81, opcode));
        (
            reply[7],
            u64::from_be_bytes(reply[16..24].try_into().unwrap()),
        )
    }
}

fn play(settings: Settings, scene: impl FnOnce(&mut Stage)) -> Observed {
    let talk = Talk::new(settings);
    let users = Credentials::parse(b"ann:secret").unwrap();
    talk.shared.logins.replace(users);
    let mut stage = Stage { talk, amid: None };
    let before = stage.read();
    scene(&mut stage);
    let after = stage.read();
    Observed {
        before,
        amid: stage.amid,
        after,
    }
}

/// A store of a mebibyte.
fn small() -> Settings {
    let mut settings = settings();
    settings.store.memory_limit = 1 << 20;
    settings
}

/// The same without eviction.
fn small_and_strict() -> Settings {
    let mut settings = small();
    settings.store.evict = false;
    settings
}

fn requests_in_text() -> Observed {
    play(settings(), |stage| {
        stage.put("k", 1, 0);
        stage.ask("set n 0 0 1\r\n5", "STORED");
        let answer = stage.talk.ask(b"gets k\r\n");
        let cas = answer.split_whitespace().nth(4).unwrap().to_string();
        stage.ask("get none", "END");
        stage.ask(&format!("cas k 0 0 1 {cas}\r\nw"), "STORED");
        stage.ask(&format!("cas k 0 0 1 {cas}\r\nw"), "EXISTS");
        stage.ask("cas none 0 0 1 1\r\nw", "NOT_FOUND");
        stage.ask("incr n 1", "6");
        stage.ask("incr none 1", "NOT_FOUND");
        stage.ask("decr n 1", "5");
        stage.ask("decr none 1", "NOT_FOUND");
        stage.ask("touch k 0", "TOUCHED");
        stage.ask("touch none 0", "NOT_FOUND");
        stage.ask("delete k", "DELETED");
        stage.ask("delete none", "NOT_FOUND");
    })
}

fn requests_in_meta() -> Observed {
    play(settings(), |stage| {
        stage.ask("ms k 1\r\nv", "HD");
        stage.ask("ms n 1\r\n5", "HD");
        let answer = stage.talk.ask(b"mg k c\r\n");
        let cas = answer.trim_end().strip_prefix("HD c").unwrap().to_string();
        stage.ask("mg none v", "EN");
        stage.ask(&format!("ms k 1 C{cas}\r\nw"), "HD");
        stage.ask(&format!("ms k 1 C{cas}\r\nw"), "EX");
        stage.ask("ms none 1 C1\r\nw", "NF");
        stage.ask("ma n", "HD");
        stage.ask("ma none", "NF");
        stage.ask("ma n MD", "HD");
        stage.ask("ma none MD", "NF");
        stage.ask("mg k T0", "HD");
        stage.ask("md k", "HD");
        stage.ask("md none", "NF");
        stage.ask("me none", "EN");
    })
}

const GET: u8 = 0x00;
const SET: u8 = 0x01;
const DELETE: u8 = 0x04;
const INCREMENT: u8 = 0x05;
const DECREMENT: u8 = 0x06;
const TOUCH: u8 = 0x1c;
const LOGIN: u8 = 0x21;

const DONE: u8 = 0;
const NOT_FOUND: u8 = 1;
const EXISTS: u8 = 2;
const LOGIN_FAILED: u8 = 0x20;

fn requests_in_binary() -> Observed {
    play(settings(), |stage| {
        let (flags, time) = ([0; 8], [0; 4]);
        // Add one; and do not make what is not there.
        let one = [[0; 7].as_slice(), &[1], &[0; 8], &[0xff; 4]].concat();
        let (_, cas) = stage.packet(SET, &flags, b"k", b"5", 0);
        stage.packet(SET, &flags, b"n", b"5", 0);
        for (opcode, extras, key, cas, status) in [
            (GET, [].as_slice(), "k", 0, DONE),
            (GET, &[], "none", 0, NOT_FOUND),
            (SET, &flags, "k", cas, DONE),
            (SET, &flags, "k", cas, EXISTS),
            (SET, &flags, "none", 1, NOT_FOUND),
            (INCREMENT, &one, "n", 0, DONE),
            (INCREMENT, &one, "none", 0, NOT_FOUND),
            (DECREMENT, &one, "n", 0, DONE),
            (DECREMENT, &one, "none", 0, NOT_FOUND),
            (TOUCH, &time, "k", 0, DONE),
            (TOUCH, &time, "none", 0, NOT_FOUND),
            (DELETE, &[], "k", 0, DONE),
            (DELETE, &[], "none", 0, NOT_FOUND),
        ] {
            let value: &[u8] = if opcode == SET { b"5" } else { b"" };
            let (found, _) = stage.packet(opcode, extras, key.as_bytes(), value, cas);
            assert_eq!(found, status, "{opcode} {key}");
        }
    })
}

fn dead_items() -> Observed {
    play(settings(), |stage| {
        stage.put("mortal", 1, 1);
        stage.put("touched", 1, 1);
        stage.pass(5);
        assert!(!stage.hit("mortal"));
        stage.ask("touch touched 0", "NOT_FOUND");
        stage.put("flushed", 1, 0);
        stage.ask("flush_all", "OK");
        assert!(!stage.hit("flushed"));
    })
}

fn flushes() -> Observed {
    play(settings(), |stage| {
        stage.put("a:1", 1, 0);
        stage.put("b:1", 1, 0);
        stage.ask("flush_prefix a:", "OK");
        stage.ask("flush_all", "OK");
        stage.look();
        stage.talk.sleep(60);
    })
}

fn a_large_value() -> Observed {
    play(settings(), |stage| {
        let value = "v".repeat(2_000_000);
        let refusal = "SERVER_ERROR object too large for cache";
        stage.ask(&format!("set k 0 0 2000000\r\n{value}"), refusal);
    })
}

fn no_memory() -> Observed {
    play(small_and_strict(), |stage| {
        stage.fill("k", FULL, 0);
        let value = "v".repeat(LONG);
        let refusal = "SERVER_ERROR out of memory storing object";
        stage.ask(&format!("set k57 0 0 {LONG}\r\n{value}"), refusal);
        stage.ask(&format!("ms k58 {LONG}\r\n{value}"), refusal);
    })
}

fn locked() -> Settings {
    Settings {
        auth_file: Some("users".into()),
        ..settings()
    }
}

fn binary_logins() -> Observed {
    play(locked(), |stage| {
        let (status, _) = stage.packet(LOGIN, &[], b"PLAIN", b"\0ann\0wrong", 0);
        assert_eq!(status, LOGIN_FAILED);
        let (status, _) = stage.packet(LOGIN, &[], b"PLAIN", b"\0ann\0secret", 0);
        assert_eq!(status, DONE);
    })
}

fn logins() -> Observed {
    play(locked(), |stage| {
        let refusal = "CLIENT_ERROR authentication failure";
        stage.ask("set x 0 0 9\r\nann wrong", refusal);
        stage.ask("set x 0 0 10\r\nann secret", "STORED");
    })
}

fn time() -> Observed {
    play(settings(), |stage| {
        stage.put("k", 1, 0);
        stage.pass(60);
    })
}

fn items_come_and_go() -> Observed {
    play(small(), |stage| {
        stage.fill("k", FULL, 0);
        stage.look();
        for number in 0..FULL {
            stage.ask(&format!("delete k{number}"), "DELETED");
        }
    })
}

fn evictions() -> Observed {
    play(small(), |stage| {
        stage.fill("k", FULL, 1000);
        stage.pass(7);
        stage.fill("n", 3, 0);
        stage.pass(2);
    })
}

fn a_ghost() -> Observed {
    play(small(), |stage| {
        stage.fill("k", FULL + 3, 0);
        assert!(!stage.hit("k1"));
        stage.put("k1", LONG, 0);
    })
}

fn popular_items() -> Observed {
    play(small(), |stage| {
        stage.fill("k", FULL, 0);
        for number in (0..FULL).flat_map(|number| [number; 3]) {
            assert!(stage.hit(&format!("k{number}")));
            stage.pass(2);
        }
        stage.fill("n", 3 * FULL, 0);
    })
}

/// Reads of popular keys and of others; what is missed is stored.
fn cache_aside() -> Observed {
    play(small(), |stage| {
        let mut random = Random(1);
        for _ in 0..40_000 {
            let (a, b) = (random.below(20_000), random.below(20_000));
            let key = format!("k{}", a * b / 20_000);
            if !stage.hit(&key) {
                stage.put(&key, 100, 0);
            }
        }
    })
}

fn reclaiming() -> Observed {
    play(small(), |stage| {
        stage.put("mortal", LONG, 10);
        stage.fill("k", FULL - 1, 0);
        stage.pass(11);
        stage.put("new", LONG, 0);
    })
}

fn crawling() -> Observed {
    play(small(), |stage| {
        stage.put("stays", LONG, 0);
        stage.fill("k", 10, 1);
        stage.talk.sleep(60);
    })
}

fn watching() -> Observed {
    let narrow = Settings {
        watcher_logbuf_size: 1 << 10,
        worker_logbuf_size: 4 << 10,
        ..settings()
    };
    play(narrow, |stage| {
        let shared = &stage.talk.shared;
        let room = shared.settings.worker_logbuf_size as usize;
        shared.store.events().tap(room, || 0);
        let mut watcher = Session::new(shared.settings.services, &shared.settings);
        stage.ask("watch fetchers", "OK");
        stage.talk.swap(&mut watcher);
        for _ in 0..100 {
            assert!(!stage.hit("none"));
        }
        stage.talk.shared.tell_watchers(&mut vec![]);
        stage.look();
        stage.talk.swap(&mut watcher);
    })
}

fn a_page_moves() -> Observed {
    play(small(), |stage| {
        stage.fill("k", 8, 0);
        for number in [1, 2, 3, 5, 6] {
            stage.ask(&format!("delete k{number}"), "DELETED");
        }
        stage.order_page();
        stage.look();
        stage.talk.sleep(1);
    })
}

fn pages_of_long_items() -> Observed {
    play(settings(), |stage| {
        for number in 0..20 {
            stage.put(&format!("k{number}"), 100_000, 0);
        }
        for number in (0..20).step_by(2) {
            stage.ask(&format!("delete k{number}"), "DELETED");
        }
        for _ in 0..14 {
            stage.ask("slabs reassign -1 0", "OK");
            stage.talk.sleep(1);
        }
    })
}

fn no_other_room() -> Observed {
    play(small_and_strict(), |stage| {
        stage.fill("k", FULL, 0);
        stage.order_page();
        stage.talk.sleep(1);
    })
}
