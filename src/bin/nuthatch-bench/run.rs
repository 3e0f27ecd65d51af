//! A run of the load generator: prefill, warm-up, and the part that counts.

use crate::cpu;
use crate::engine::{Common, Engine};
use crate::failure::Failure;
use crate::load::{Content, Part};
use crate::plan::Plan;
use crate::progress;
use crate::socket::Stream;
use crate::tally::Tally;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu_ns: Option<u64>,
    /// Items that prefilling could not store.
    pub(crate) prefill_errors: u64,
    /// What the server said to the first request that it refused, prefilling included.
    pub(crate) complaint: Option<String>,
}

/// Does all of a plan. `name` is what a person who looks on is told about the part that counts.
pub(crate) fn measure(plan: &Plan, name: &str) -> Result<Outcome, Failure> {
    let content = Content::new(plan.key_size, plan.value_size.clone());
    let (mut prefill_errors, mut complaint) = (0, None);
    if plan.prefill {
        let filled = phase(&plan.prefilling(), &content, "storing all keys")?;
        (prefill_errors, complaint) = (filled.tally.errors, filled.complaint);
    }
    if plan.warm_up.is_some() {
        phase(&plan.warming_up(), &content, "warm-up")?;
    }
    let outcome = phase(plan, &content, name)?;
    Ok(Outcome {
        prefill_errors,
        complaint: complaint.or(outcome.complaint),
        ..outcome
    })
}

fn phase(plan: &Plan, content: &Content, name: &str) -> Result<Outcome, Failure> {
    let done = AtomicU64::new(0);
    let common = Common {
        plan,
        content,
        done: &done,
    };
    let shares = deal(plan.threads, connect(plan)?);
    let cpu_before = plan.server_pid.map(cpu::process_ns).transpose()?;
    let start = Instant::now();
    let results = thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel::<()>();
        let threads: Vec<_> = shares
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
        progress::watch(&receiver, name, &done);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().expect("threads of the load do not panic")
        };
        threads.into_iter().map(join).collect::<Vec<_>>()
    });
    let elapsed = start.elapsed();
    let cpu_after = plan.server_pid.map(cpu::process_ns).transpose()?;
    let mut tally = Tally::new();
    for result in results {
        tally.merge(&result?);
    }
    Ok(Outcome {
        complaint: tally.complaint.take(),
        tally,
        elapsed,
        server_cpu_ns: cpu_after
            .zip(cpu_before)
            .map(|(after, before)| after - before),
        prefill_errors: 0,
    })
}

fn connect(plan: &Plan) -> Result<Vec<Stream>, Failure> {
    (0..plan.connections).map(|_| plan.peer.connect()).collect()
}

/// Gives each thread its part of the connections.
fn deal(threads: usize, mut streams: Vec<Stream>) -> Vec<(Part, Vec<Stream>)> {
    let total = streams.len() as u64;
    (0..threads)
        .map(|index| {
            let part = Part { index, of: threads };
            let share = part.share(total) as usize;
            (part, streams.split_off(streams.len() - share))
        })
        .collect()
}
