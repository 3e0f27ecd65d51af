//! Results as a page to read or as one JSON object.

use crate::histogram::Histogram;
use crate::plan::{Plan, Workload};
use crate::run::Outcome;
use std::fmt::Write;

const PERCENTILES: [(f64, &str); 5] = [
    (50.0, "p50"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
];

/// Columns of the longest bar.
const BAR_LEN: usize = 50;

/// A JSON object with one level: names and numbers, written as they come.
#[derive(Debug, Default)]
pub(crate) struct Json(String);

impl Json {
    /// Adds a number. Names are ours: nothing in them needs an escape.
    pub(crate) fn count(&mut self, name: &str, value: u64) -> &mut Self {
        self.raw(name, &value.to_string())
    }

    pub(crate) fn real(&mut self, name: &str, value: f64) -> &mut Self {
        // JSON has no word for what is not a number.
        let value = if value.is_finite() { value } else { 0.0 };
        self.raw(name, &format!("{value:.6}"))
    }

    fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        let comma = if self.0.is_empty() { "" } else { ", " };
        self.0.push_str(&format!("{comma}\"{name}\": {value}"));
        self
    }

    pub(crate) fn finish(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

pub(crate) fn json(outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let seconds = outcome.elapsed.as_secs_f64();
    let operations = tally.operations();
    let mut json = Json::default();
    json.real("seconds", seconds)
        .count("requests", tally.requests)
        .count("operations", operations)
        .real("requests_per_s", tally.requests as f64 / seconds)
        .real("operations_per_s", operations as f64 / seconds)
        .count("hits", tally.hits)
        .count("misses", tally.misses)
        .count("stored", tally.stored)
        .count("errors", tally.errors)
        .count("prefill_errors", outcome.prefill_errors)
        .count("wrong_values", tally.wrong)
        .count("bytes_sent", tally.bytes_sent)
        .count("bytes_received", tally.bytes_received);
    if let Some(cpu_ns) = outcome.server_cpu_ns {
        json.count("server_cpu_ns", cpu_ns)
            .real("server_cpu_ns_per_operation", per(cpu_ns, operations));
    }
    json.real("latency_mean_us", tally.latency_ns.mean() / 1e3);
    for (percent, name) in PERCENTILES {
        let name = format!("latency_{}_us", name.replace('.', "_"));
        json.real(&name, us(tally.latency_ns.percentile(percent)));
    }
    json.real("latency_max_us", us(tally.latency_ns.max()));
    json.finish()
}

/// The page for a terminal.
pub(crate) fn page(plan: &Plan, outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let seconds = outcome.elapsed.as_secs_f64();
    let operations = tally.operations();
    let mut page = heading(plan);
    let mut line = |name: &str, text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "  {name:<12} {text}");
    };
    line(
        "throughput",
        format!(
            "{:.0} operations/s, {:.0} requests/s for {seconds:.2} s",
            operations as f64 / seconds,
            tally.requests as f64 / seconds
        ),
    );
    line(
        "outcomes",
        format!(
            "{} hits, {} misses, {} stored, {} errors",
            tally.hits, tally.misses, tally.stored, tally.errors
        ),
    );
    if plan.verify {
        line("verified", format!("{} wrong values", tally.wrong));
    }
    if outcome.prefill_errors > 0 {
        line("prefill", format!("{} errors", outcome.prefill_errors));
    }
    line(
        "network",
        format!(
            "{:.1} MB/s sent, {:.1} MB/s received",
            tally.bytes_sent as f64 / seconds / 1e6,
            tally.bytes_received as f64 / seconds / 1e6
        ),
    );
    if let Some(cpu_ns) = outcome.server_cpu_ns {
        line(
            "server CPU",
            format!(
                "{:.0} ns/operation, {:.0} % of one CPU",
                per(cpu_ns, operations),
                cpu_ns as f64 / seconds / 1e7
            ),
        );
    }
    line("latency", latencies(&tally.latency_ns));
    page.push_str(&bars(&tally.latency_ns));
    page
}

fn heading(plan: &Plan) -> String {
    let workload = match plan.workload {
        Workload::Get if plan.wire.keys_per_get > 1 => {
            format!("multiget of {} keys", plan.wire.keys_per_get)
        }
        Workload::Get => "get".into(),
        Workload::Set => "set".into(),
        Workload::Mixed { get_share } => format!("mixed, {get_share} gets"),
    };
    format!(
        "{workload} ({:?}) to {}: {} connections, {} deep, {} threads, {} keys of {} B, \
         values {:?}\n",
        plan.wire.protocol,
        plan.peer.address,
        plan.connections,
        plan.depth,
        plan.threads,
        plan.keys,
        plan.key_size,
        plan.value_size,
    )
}

fn latencies(latency: &Histogram) -> String {
    let mut text = format!("mean {}", time(latency.mean() as u64));
    for (percent, name) in PERCENTILES {
        let _ = write!(text, ", {name} {}", time(latency.percentile(percent)));
    }
    let _ = write!(text, ", max {}", time(latency.max()));
    text
}

/// One bar for each doubling of the latency.
fn bars(latency: &Histogram) -> String {
    let bars = latency.bars();
    let total: u64 = bars.iter().map(|bar| bar.count).sum();
    let longest = bars.iter().map(|bar| bar.count).max().unwrap_or(1).max(1);
    let mut text = String::new();
    for bar in bars {
        let len = (bar.count as f64 / longest as f64 * BAR_LEN as f64).ceil() as usize;
        let share = per(bar.count, total) * 100.0;
        let limit = time(bar.to);
        let _ = writeln!(text, "  <= {limit:>9} {share:>8.3} % {}", "#".repeat(len));
    }
    text
}

/// Three digits or so, with the unit that suits.
fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.0} us", us(ns)),
        10_000_000.. => format!("{:.0} ms", us(ns) / 1e3),
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1e3
}

/// So much for each; 0 for none.
pub(crate) fn per(amount: u64, count: u64) -> f64 {
    amount as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_commas_between_and_no_infinities() {
        let mut json = Json::default();
        json.count("a", 1).real("b", 0.5).real("c", f64::INFINITY);
        assert_eq!(json.finish(), r#"{"a": 1, "b": 0.500000, "c": 0.000000}"#);
    }

    #[test]
    fn every_bar_that_is_not_empty_is_seen() {
        let mut latency = Histogram::new();
        latency.record(1000, 1_000_000);
        latency.record(9000, 1);
        let text = bars(&latency);
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(lengths, [50, 0, 0, 0, 1]);
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(123_456), "123 us");
        assert_eq!(time(12_345_678), "12 ms");
    }
}
