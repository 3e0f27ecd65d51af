//! Scenes on a server: sockets, clients that take too much, and what only two of them can do.

use crate::Scene;
use crate::clients::{Client, PATIENCE, eventually, found, set, settings, start};
use crate::reading::{Observed, REPORTS, REQUESTS, Reading, read};
use nuthatch::base::settings::Settings;
use nuthatch::server::Running;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;

pub(crate) const SCENES: &[Scene] = &[
    Scene {
        what: "clients come, store a mebibyte, read it and go",
        moves: &[
            "total_connections 3",
            "connection_structures +",
            "curr_connections ^",
            "bytes_read >1000000",
            "bytes_written >1000000",
            "rusage_user +",
            "rusage_system +",
        ],
        play: traffic,
    },
    Scene {
        what: "a client asks for a lot at once",
        moves: &["conn_yields +", "cmd_get 1000"],
        play: a_long_pipeline,
    },
    Scene {
        what: "datagrams are answered",
        moves: &[
            "cmd_get 1",
            "get_misses 1",
            "cmd_set 1",
            "total_connections 0",
        ],
        play: datagrams,
    },
    Scene {
        what: "a client above the limit is refused",
        moves: &["rejected_connections 1", "listen_disabled_num 0"],
        play: a_refusal,
    },
    Scene {
        what: "a client above the limit has to wait",
        moves: &[
            "listen_disabled_num +",
            "time_in_listen_disabled_us +",
            "accepting_conns v",
        ],
        play: a_wait,
    },
    Scene {
        what: "a client is idle for too long",
        moves: &["idle_kicks 1", "time +"],
        play: idleness,
    },
    Scene {
        what: "a client stops in the middle of a line",
        moves: &["read_buf_bytes ^", "conn_held_bytes ^"],
        play: half_a_line,
    },
    Scene {
        what: "a client does not read its replies",
        moves: &["response_obj_bytes ^", "conn_held_bytes ^"],
        play: unread_replies,
    },
    Scene {
        what: "clients hold more than they may",
        moves: &["response_obj_oom +"],
        play: an_overdraft,
    },
    Scene {
        what: "pages are to move while values arrive",
        moves: &["slab_reassign_busy_items +", "slabs_moved 0"],
        play: values_arrive,
    },
];

/// A server under observation.
struct Stage {
    server: Running,
    /// The connection that reads the reports, which is there from the beginning to the end.
    operator: Client,
    amid: Option<Reading>,
}

impl Stage {
    fn read(&mut self) -> Reading {
        read(&self.ask(REQUESTS, REPORTS))
    }

    /// How many sockets are in a state.
    fn in_state(&mut self, state: &str) -> usize {
        let answer = self.ask(b"stats conns\r\n", 1);
        answer.matches(&format!(":state {state}\r\n")).count()
    }

    /// Asks for so many reports.
    fn ask(&mut self, requests: &[u8], reports: usize) -> String {
        self.operator.send(requests);
        let (mut answer, mut buffer) = (String::new(), [0; 4096]);
        while answer.matches("END\r\n").count() < reports {
            let count = self.operator.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed in the middle of {answer}");
            answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        answer
    }

    /// Reads until the number is as wanted, and keeps what there was to be seen then.
    fn look_for(&mut self, name: &str, is_so: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reading = self.read();
            let number = reading.get(name).copied().unwrap_or(0.0);
            if is_so(number) {
                self.amid = Some(reading);
                return;
            }
            assert!(Instant::now() < deadline, "{name} stays {number}");
        }
    }

    /// The same, of something that is not to be kept.
    fn wait_for(&mut self, name: &str, is_so: impl Fn(f64) -> bool) {
        let amid = self.amid.take();
        self.look_for(name, is_so);
        self.amid = amid;
    }

    fn client(&self) -> Client {
        Client::of(&self.server)
    }
}

fn play(settings: Settings, scene: impl FnOnce(&mut Stage)) -> Observed {
    let server = start(settings);
    let mut stage = Stage {
        operator: Client::of(&server),
        server,
        amid: None,
    };
    let before = stage.read();
    scene(&mut stage);
    let after = stage.read();
    stage.server.stop().unwrap();
    Observed {
        before,
        amid: stage.amid,
        after,
    }
}

fn traffic() -> Observed {
    play(settings(), |stage| {
        let mut clients = [stage.client(), stage.client(), stage.client()];
        let value = vec![b'v'; 1_000_000];
        clients[0].ask(&set("big", &value), b"STORED\r\n");
        clients[1].ask(b"get big\r\n", &found("big", &value));
        clients[2].ask(b"get none\r\n", b"END\r\n");
        stage.look_for("curr_connections", |open| open >= 4.0);
        drop(clients);
        stage.wait_for("curr_connections", |open| open < 4.0);
        // The system may count in hundredths of a second.
        for name in ["rusage_user", "rusage_system"] {
            let before = stage.read()[name];
            stage.wait_for(name, |used| used > before);
        }
    })
}

fn a_long_pipeline() -> Observed {
    play(settings(), |stage| {
        let mut client = stage.client();
        client.ask(&b"get none\r\n".repeat(1000), &b"END\r\n".repeat(1000));
    })
}

fn datagrams() -> Observed {
    let with_udp = Settings {
        udp_port: Some(0),
        ..settings()
    };
    play(with_udp, |stage| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(stage.server.udp_addresses()[0]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for (request, reply) in [("set k 0 0 1\r\nv", "STORED"), ("get none", "END")] {
            let header = [0, 1, 0, 0, 0, 1, 0, 0];
            let datagram = [&header, request.as_bytes(), b"\r\n"].concat();
            socket.send(&datagram).unwrap();
            let mut answer = [0; 100];
            let len = socket.recv(&mut answer).unwrap();
            assert_eq!(
                answer[header.len()..len],
                *format!("{reply}\r\n").as_bytes()
            );
        }
    })
}

fn a_refusal() -> Observed {
    let limited = Settings {
        connections_max: 1,
        ..settings()
    };
    play(limited, |stage| {
        let refusal = b"ERROR Too many open connections\r\n";
        assert_eq!(stage.client().rest(), refusal);
    })
}

fn a_wait() -> Observed {
    let patient = Settings {
        connections_max: 2,
        connections_refuse: false,
        ..settings()
    };
    play(patient, |stage| {
        let mut first = stage.client();
        first.ask(b"get none\r\n", b"END\r\n");
        let mut second = stage.client();
        second.send(b"get none\r\n");
        stage.look_for("accepting_conns", |accepting| accepting == 0.0);
        drop(first);
        second.expect(b"END\r\n");
        drop(second);
        stage.wait_for("accepting_conns", |accepting| accepting == 1.0);
    })
}

fn idleness() -> Observed {
    let strict = Settings {
        idle_timeout_s: 1,
        ..settings()
    };
    play(strict, |stage| {
        let _idle = stage.client();
        stage.wait_for("idle_kicks", |kicks| kicks > 0.0);
    })
}

fn half_a_line() -> Observed {
    play(settings(), |stage| {
        let mut client = stage.client();
        client.send(b"get unfini");
        stage.look_for("conn_held_bytes", |held| held > 0.0);
        client.ask(b"shed\r\n", b"END\r\n");
        stage.wait_for("conn_held_bytes", |held| held == 0.0);
    })
}

/// Asks for a megabyte that nobody reads yet, until no more is taken.
fn ask_and_do_not_read(client: &mut Client) {
    client.stream.set_nonblocking(true).unwrap();
    let requests = b"get big\r\n".repeat(100);
    match client.stream.write(&requests) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    client.stream.set_nonblocking(false).unwrap();
}

fn unread_replies() -> Observed {
    play(settings(), |stage| {
        stage
            .client()
            .ask(&set("big", &vec![b'v'; 10_000]), b"STORED\r\n");
        let mut client = stage.client();
        for _ in 0..100 {
            ask_and_do_not_read(&mut client);
        }
        stage.look_for("response_obj_bytes", |bytes| bytes > 0.0);
        drop(client);
        stage.wait_for("response_obj_bytes", |bytes| bytes == 0.0);
    })
}

fn an_overdraft() -> Observed {
    let tight = Settings {
        conn_memory: Some(1 << 20),
        ..settings()
    };
    play(tight, |stage| {
        let line = [b"get".to_vec(), b" k".repeat(30_000)].concat();
        let mut endless = vec![];
        for _ in 0..40 {
            let mut client = stage.client();
            client.send(&line);
            endless.push(client);
        }
        stage.wait_for("response_obj_oom", |kicks| kicks > 0.0);
    })
}

fn values_arrive() -> Observed {
    let mut small = settings();
    small.store.memory_limit = 1 << 20;
    small.threads = 1;
    play(small, |stage| {
        let whole = set("k", &[b'v'; 16_000]);
        let arriving: Vec<_> = (0..8)
            .map(|_| {
                let mut client = stage.client();
                client.send(&whole[..10_000]);
                client
            })
            .collect();
        eventually("all values are arriving", || {
            stage.in_state("conn_nread") == arriving.len()
        });
        stage.operator.ask(b"slabs reassign -1 0\r\n", b"OK\r\n");
        stage.wait_for("slab_reassign_running", |running| running == 0.0);
        drop(arriving);
    })
}
