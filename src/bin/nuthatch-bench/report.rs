//! Results as a page to read or as one JSON object.

use crate::histogram::Histogram;
use crate::plan::{Plan, Workload};
use crate::run::Outcome;
use crate::tally::Tally;
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

/// A JSON object with one level: names, numbers and words, written as they come.
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

    /// Adds a word of ours: nothing in it needs an escape.
    pub(crate) fn word(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, &format!("\"{value}\""))
    }

    fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        let comma = if self.0.is_empty() { "" } else { ", " };
        self.0.push_str(&format!("{comma}\"{name}\": {value}"));
        self
    }

    /// The object on a line of its own.
    pub(crate) fn finish(&self) -> String {
        format!("{{{}}}\n", self.0)
    }
}

/// One object; a run of several says which it is.
pub(crate) fn json(run: Option<&str>, outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let seconds = outcome.elapsed.as_secs_f64();
    let operations = tally.operations();
    let mut json = Json::default();
    if let Some(name) = run {
        json.word("run", name);
    }
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

/// What is known before a run: what is sent where, and with which keys and values.
pub(crate) fn heading(plan: &Plan) -> String {
    let request = match plan.workload {
        Workload::Get if plan.wire.keys_per_get > 1 => {
            format!("get of {} keys at once", plan.wire.keys_per_get)
        }
        Workload::Get => "get".into(),
        Workload::Set => "set".into(),
        Workload::Mixed { get_share } => {
            let (gets, sets) = (percent(get_share), percent(1.0 - get_share));
            format!("{gets} % gets and {sets} % sets")
        }
    };
    format!("{request} over {}\n{}\n", clients(plan), content(plan))
}

/// How the server is reached, and how many wait for it.
pub(crate) fn clients(plan: &Plan) -> String {
    let mut text = format!(
        "{} to {}: {} with {}",
        plan.wire.protocol.name(),
        plan.peer.address,
        counted(plan.threads as u64, "thread"),
        counted(plan.connections as u64, "connection"),
    );
    if plan.depth > 1 {
        let _ = write!(text, ", {} requests at once on each", plan.depth);
    }
    if let Some(rate) = plan.rate {
        let _ = write!(text, ", {rate} requests/s due (open loop)");
    }
    text
}

/// Which keys and values.
pub(crate) fn content(plan: &Plan) -> String {
    let mut text = format!(
        "{} of {} B, {}; values of {}",
        counted(plan.keys, "key"),
        plan.key_size,
        plan.choice,
        plan.value_size
    );
    if plan.wire.ttl_s > 0 {
        let _ = write!(text, " that live for {} s", plan.wire.ttl_s);
    }
    if plan.hit_ratio < 1.0 {
        let never = percent(1.0 - plan.hit_ratio);
        let _ = write!(text, "; {never} % of gets ask for keys that nobody stores");
    }
    text
}

/// All that came of a run, for a person.
pub(crate) fn page(plan: &Plan, outcome: &Outcome) -> String {
    let mut page = heading(plan) + &summary(plan, outcome);
    if outcome.tally.requests > 0 {
        page.push_str("  requests by latency:\n");
        page.push_str(&bars(&outcome.tally.latency_ns));
    }
    page
}

/// What came of a run in a few lines.
pub(crate) fn summary(plan: &Plan, outcome: &Outcome) -> String {
    let tally = &outcome.tally;
    let seconds = outcome.elapsed.as_secs_f64();
    let mut page = String::new();
    let mut line = |name: &str, text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "  {name:<12} {text}");
    };
    line("throughput", throughput(outcome));
    line("outcomes", outcomes(plan, tally));
    if let Some(complaint) = &outcome.complaint {
        line("first error", complaint.clone());
    }
    if tally.misses > 0 && tally.hits == 0 && plan.hit_ratio > 0.0 && !plan.prefill {
        line(
            "note",
            "no key was found: --prefill stores all of them first".into(),
        );
    }
    if plan.verify {
        line("verified", counted(tally.wrong, "wrong value"));
    }
    if outcome.prefill_errors > 0 {
        let refused = counted(outcome.prefill_errors, "key");
        line("prefill", format!("{refused} could not be stored"));
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
                "{:.0} ns an operation, {:.0} % of one CPU",
                per(cpu_ns, tally.operations()),
                cpu_ns as f64 / seconds / 1e7
            ),
        );
    }
    line("latency", latencies(&tally.latency_ns));
    page
}

fn throughput(outcome: &Outcome) -> String {
    let seconds = outcome.elapsed.as_secs_f64();
    let (requests, operations) = (outcome.tally.requests, outcome.tally.operations());
    let mut text = format!("{:.0} requests/s", requests as f64 / seconds);
    if operations != requests {
        let _ = write!(text, ", {:.0} operations/s", operations as f64 / seconds);
    }
    text + &format!(" during {seconds:.2} s")
}

/// What such a load can come to, and errors.
fn outcomes(plan: &Plan, tally: &Tally) -> String {
    let mut text = String::new();
    if plan.workload != Workload::Set {
        let share = percent(per(tally.hits, tally.hits + tally.misses));
        let (hits, misses) = (counted(tally.hits, "hit"), counted(tally.misses, "miss"));
        let _ = write!(text, "{hits} ({share} %), {misses}, ");
    }
    if plan.workload != Workload::Get {
        let _ = write!(text, "{} stored, ", tally.stored);
    }
    text + &counted(tally.errors, "error")
}

/// A number of things: `1 key`, `2 keys`, `3 misses`.
fn counted(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ if thing.ends_with('s') => format!("{count} {thing}es"),
        _ => format!("{count} {thing}s"),
    }
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

/// A share of 1, without the digits that binary fractions add: 0.29 is 29, not 28.999999999999996.
pub(crate) fn percent(share: f64) -> f64 {
    (share * 1e4).round() / 1e2
}

/// So much for each; 0 for none.
pub(crate) fn per(amount: u64, count: u64) -> f64 {
    amount as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Choice, ValueSize};
    use std::time::Duration;

    #[test]
    fn json_has_commas_between_and_no_infinities() {
        let mut json = Json::default();
        json.count("a", 1).real("b", 0.5).real("c", f64::INFINITY);
        assert_eq!(
            json.finish(),
            "{\"a\": 1, \"b\": 0.500000, \"c\": 0.000000}\n"
        );
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

    /// What came of ten requests in a second.
    fn outcome(hits: u64, misses: u64, stored: u64) -> Outcome {
        let mut tally = Tally::new();
        (tally.hits, tally.misses, tally.stored) = (hits, misses, stored);
        tally.requests = 10;
        Outcome {
            tally,
            elapsed: Duration::from_secs(1),
            server_cpu_ns: None,
            prefill_errors: 0,
            complaint: None,
        }
    }

    #[test]
    fn a_heading_is_made_of_words() {
        assert_eq!(
            heading(&Plan::example()),
            "get over text to cache:11211: 1 thread with 50 connections\n\
             1000 keys of 16 B, chosen evenly; values of 100 B\n"
        );
        let plan = Plan {
            workload: Workload::Mixed { get_share: 0.29 },
            depth: 16,
            connections: 1,
            threads: 2,
            keys: 1,
            value_size: ValueSize::Range(1, 20),
            choice: Choice::Zipf(0.99),
            hit_ratio: 0.8,
            rate: Some(2000.0),
            ..Plan::example()
        };
        assert_eq!(
            heading(&plan),
            "29 % gets and 71 % sets over text to cache:11211: 2 threads with 1 connection, \
             16 requests at once on each, 2000 requests/s due (open loop)\n\
             1 key of 16 B, chosen by Zipf's law (exponent 0.99); values of 1 to 20 B; \
             20 % of gets ask for keys that nobody stores\n"
        );
    }

    #[test]
    fn outcomes_are_those_that_the_load_can_have() {
        for (workload, (hits, misses, stored), words) in [
            (Workload::Get, (9, 1, 0), "9 hits (90 %), 1 miss, 0 errors"),
            (Workload::Set, (0, 0, 10), "10 stored, 0 errors"),
            (
                Workload::Mixed { get_share: 0.5 },
                (1, 3, 6),
                "1 hit (25 %), 3 misses, 6 stored, 0 errors",
            ),
        ] {
            let plan = Plan {
                workload,
                ..Plan::example()
            };
            let page = summary(&plan, &outcome(hits, misses, stored));
            assert!(page.contains(&format!("outcomes     {words}\n")), "{page}");
        }
    }

    #[test]
    fn operations_are_told_where_they_are_not_the_requests() {
        let page = summary(&Plan::example(), &outcome(10, 0, 0));
        assert!(page.contains("  10 requests/s during 1.00 s\n"), "{page}");
        let page = summary(&Plan::example(), &outcome(70, 0, 0));
        assert!(
            page.contains("10 requests/s, 70 operations/s during"),
            "{page}"
        );
    }

    #[test]
    fn gets_that_find_nothing_are_explained() {
        let page = summary(&Plan::example(), &outcome(0, 10, 0));
        assert!(page.contains("--prefill stores"), "{page}");
        let page = summary(&Plan::example(), &outcome(1, 9, 0));
        assert!(!page.contains("--prefill"), "{page}");
    }

    #[test]
    fn a_run_without_requests_has_no_bars() {
        let mut outcome = outcome(0, 0, 0);
        assert!(page(&Plan::example(), &outcome).contains("by latency:"));
        outcome.tally.requests = 0;
        assert!(!page(&Plan::example(), &outcome).contains("by latency:"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(123_456), "123 us");
        assert_eq!(time(12_345_678), "12 ms");
    }
}
