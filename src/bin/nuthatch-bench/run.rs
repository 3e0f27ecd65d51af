//! A run of the load generator: prefill, warm-up, and the part that counts.

use crate::cpu;
use crate::engine::{Common, Engine};
use crate::failure::Failure;
use crate::load::{Choice, Content, Part, ValueSize};
use crate::socket::{Peer, Stream};
use crate::tally::Tally;
use crate::wire::Wire;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a prefilling batch at most, or one value if that is larger.
const PREFILL_BATCH: usize = 256 << 10;
const PREFILL_DEPTH_MAX: usize = 64;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Workload {
    Get,
    Set,
    /// Gets with this probability, else sets.
    Mixed {
        get_share: f64,
    },
}

/// Everything that decides a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) peer: Peer,
    pub(crate) wire: Wire,
    pub(crate) workload: Workload,
    /// Requests in a batch.
    pub(crate) depth: usize,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) requests: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) keys: u64,
    pub(crate) key_size: usize,
    pub(crate) value_size: ValueSize,
    pub(crate) choice: Choice,
    pub(crate) hit_ratio: f64,
    /// Requests per second, in an open loop.
    pub(crate) rate: Option<f64>,
    pub(crate) verify: bool,
    pub(crate) seed: u64,
    pub(crate) prefill: bool,
    pub(crate) warm_up: Option<Duration>,
    pub(crate) server_pid: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu_ns: Option<u64>,
    /// Items that prefilling could not store.
    pub(crate) prefill_errors: u64,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<Outcome, Failure> {
        let content = Content::new(self.key_size, self.value_size.clone());
        let mut prefill_errors = 0;
        if self.prefill {
            let filled = self.prefilling().phase(&content, "prefill")?;
            prefill_errors = filled.tally.errors;
        }
        if self.warm_up.is_some() {
            self.warming_up().phase(&content, "warm-up")?;
        }
        let outcome = self.phase(&content, "run")?;
        Ok(Outcome {
            prefill_errors,
            ..outcome
        })
    }

    /// Every key once, in order, as fast as it goes.
    fn prefilling(&self) -> Self {
        let depth = PREFILL_BATCH / self.value_size.typical().max(1);
        Self {
            workload: Workload::Set,
            depth: depth.clamp(1, PREFILL_DEPTH_MAX),
            requests: Some(self.keys),
            duration: None,
            choice: Choice::Sequential,
            rate: None,
            ..self.clone()
        }
    }

    fn warming_up(&self) -> Self {
        Self {
            requests: None,
            duration: self.warm_up,
            seed: self.seed ^ 0x7761_726d, // not the same sequence twice
            ..self.clone()
        }
    }

    fn phase(&self, content: &Content, name: &str) -> Result<Outcome, Failure> {
        let mut engines = vec![];
        let done = AtomicU64::new(0);
        let common = Common {
            plan: self,
            content,
            done: &done,
        };
        let mut streams = self.connect()?;
        for index in 0..self.threads {
            let part = Part {
                index,
                of: self.threads,
            };
            let share = part.share(self.connections as u64) as usize;
            engines.push((part, streams.split_off(streams.len() - share)));
        }
        let cpu_before = self.server_pid.map(cpu::process_ns).transpose()?;
        let start = Instant::now();
        let mut tally = Tally::new();
        let results = thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel::<()>();
            let threads: Vec<_> = engines
                .into_iter()
                .map(|(part, streams)| {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        let result = Engine::new(common, part, streams).and_then(Engine::run);
                        drop(sender); // the last to go ends the watch
                        result
                    })
                })
                .collect();
            drop(sender);
            watch(&receiver, name, &done);
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().expect("threads of the load do not panic")
            };
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        let elapsed = start.elapsed();
        let cpu_after = self.server_pid.map(cpu::process_ns).transpose()?;
        for result in results {
            tally.merge(&result?);
        }
        Ok(Outcome {
            tally,
            elapsed,
            server_cpu_ns: cpu_after
                .zip(cpu_before)
                .map(|(after, before)| after - before),
            prefill_errors: 0,
        })
    }

    fn connect(&self) -> Result<Vec<Stream>, Failure> {
        (0..self.connections).map(|_| self.peer.connect()).collect()
    }
}

/// Waits for the threads; each second, a line for whoever sits at the terminal.
fn watch(receiver: &mpsc::Receiver<()>, name: &str, done: &AtomicU64) {
    let is_watched = std::io::stderr().is_terminal();
    let (start, mut before) = (Instant::now(), 0);
    while receiver.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        if is_watched {
            let now = done.load(Ordering::Relaxed);
            let seconds = start.elapsed().as_secs_f64();
            eprint!(
                "\r{name} {seconds:.0} s: {now} operations, {} ops/s   ",
                now - before
            );
            before = now;
        }
    }
    if is_watched {
        eprint!("\r\x1b[K"); // the line has served
        // Nothing is lost if the terminal is gone.
        let _ = std::io::stderr().flush();
    }
}
