//! Words of the command line to values; what makes no sense is answered with what would.

use crate::load::{Choice, ValueSize};
use crate::plan::Workload;
use crate::socket::Address;
use crate::trace::{Kind, Value};
use crate::wire::Protocol;
use std::fmt::Display;
use std::time::Duration;

/// The longest value to be asked for: no server takes larger ones.
const VALUE_MAX: usize = 1 << 30;

/// Keys of one get at most.
const KEYS_MAX: usize = 1 << 16;

/// The longest time to be asked for: eleven days.
const SECONDS_MAX: f64 = 1e6;

pub(super) fn address(word: &str) -> Result<Address, String> {
    if let Some(path) = word.strip_prefix("unix:") {
        return Ok(Address::Unix(path.into()));
    }
    match word.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(Address::Tcp(word.into()))
        }
        _ => expected("host:port or unix:/path, such as localhost:11211"),
    }
}

pub(super) fn protocol(word: &str) -> Result<Protocol, String> {
    let mut all = Protocol::ALL.into_iter();
    match all.find(|protocol| protocol.name() == word) {
        Some(protocol) => Ok(protocol),
        None => expected("text, meta or binary"),
    }
}

/// A workload, and how many keys each of its gets has.
pub(super) fn workload(word: &str) -> Result<(Workload, usize), String> {
    match split(word) {
        ("get", None) => Ok((Workload::Get, 1)),
        ("set", None) => Ok((Workload::Set, 1)),
        ("mixed", get_share) => match get_share.map_or(Ok(0.9), share) {
            Ok(get_share) => Ok((Workload::Mixed { get_share }, 1)),
            Err(_) => expected("mixed:<share of gets>, from 0 to 1, such as mixed:0.9"),
        },
        ("multiget", keys) => match keys.map_or(Ok(50), str::parse) {
            Ok(keys @ 1..=KEYS_MAX) => Ok((Workload::Get, keys)),
            _ => expected(format_args!("multiget:<keys>, from 1 to {KEYS_MAX}")),
        },
        _ => expected("get, set, mixed:<share of gets> or multiget:<keys>"),
    }
}

pub(super) fn value_size(word: &str) -> Result<ValueSize, String> {
    let parsed = match word.strip_prefix("lognormal:") {
        Some(detail) => lognormal(detail),
        None => range(word),
    };
    match parsed {
        Some(size) => Ok(size),
        None => expected("<bytes>, <from>-<to> or lognormal:<median>:<sigma>, up to 1 GiB"),
    }
}

fn lognormal(detail: &str) -> Option<ValueSize> {
    let (median, sigma) = detail.split_once(':')?;
    let (median, sigma) = (median.parse().ok()?, sigma.parse().ok()?);
    let is_sane = (1.0..1e9).contains(&median) && (0.0..10.0).contains(&sigma);
    is_sane.then_some(ValueSize::Lognormal { median, sigma })
}

fn range(word: &str) -> Option<ValueSize> {
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    match (from, to) {
        (from, to) if from > to || to > VALUE_MAX => None,
        (from, to) if from == to => Some(ValueSize::Fixed(to)),
        (from, to) => Some(ValueSize::Range(from, to)),
    }
}

pub(super) fn choice(word: &str) -> Result<Choice, String> {
    match split(word) {
        ("uniform", None) => Ok(Choice::Uniform),
        ("sequential", None) => Ok(Choice::Sequential),
        ("zipf", exponent) => match exponent.map_or(Ok(0.99), str::parse) {
            Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(Choice::Zipf(exponent)),
            _ => expected("zipf:<exponent>, from 0 to 10, such as zipf:0.99"),
        },
        _ => expected("uniform, zipf:<exponent> or sequential"),
    }
}

pub(super) fn share(word: &str) -> Result<f64, String> {
    between(word, 0.0, 1.0)
}

pub(super) fn rate(word: &str) -> Result<f64, String> {
    match word.parse() {
        Ok(rate) if rate > 0.0 && rate < 1e9 => Ok(rate),
        _ => expected("more than 0 and less than a billion requests a second"),
    }
}

pub(super) fn seconds(word: &str) -> Result<Duration, String> {
    between(word, 0.0, SECONDS_MAX).map(Duration::from_secs_f64)
}

/// Memory-fulls that a trace is delayed by.
pub(super) fn delay(word: &str) -> Result<f64, String> {
    between(word, 0.0, 5.0)
}

/// Memory-fulls that a trace sets.
pub(super) fn times(word: &str) -> Result<f64, String> {
    between(word, 0.0, 100.0)
}

pub(super) fn kind(word: &str) -> Result<Kind, String> {
    let mut all = Kind::ALL.into_iter();
    match all.find(|kind| kind.name() == word) {
        Some(kind) => Ok(kind),
        None => expected("a kind of trace"),
    }
}

pub(super) fn trace_value(word: &str) -> Result<Value, String> {
    match word {
        "small" => Ok(Value::Small),
        "mix" => Ok(Value::Mix),
        bytes => match bytes.parse() {
            Ok(size) if size <= VALUE_MAX as u64 => Ok(Value::Fixed(size)),
            _ => expected("small, mix or <bytes>, up to 1 GiB"),
        },
    }
}

/// A number in a range; what is not a number is in none.
fn between(word: &str, from: f64, to: f64) -> Result<f64, String> {
    match word.parse() {
        Ok(number) if (from..=to).contains(&number) => Ok(number),
        _ => expected(format_args!("a number from {from} to {to}")),
    }
}

fn split(word: &str) -> (&str, Option<&str>) {
    match word.split_once(':') {
        Some((name, detail)) => (name, Some(detail)),
        None => (word, None),
    }
}

fn expected<T>(what: impl Display) -> Result<T, String> {
    Err(format!("expected {what}"))
}
