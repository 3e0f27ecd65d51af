//! One line of a report: its name, where its value comes from, and what it means to an operator.
//!
//! A report is a table of these. `stats` is written from it, STATS.md is made from it, and whoever
//! adds a line says there what it is for.

use crate::stats::Sink;
use std::borrow::Cow;
use std::fmt;

/// How a value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only rises. `stats reset` sets it back, unless it is of the process itself.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It is as configured, or as a command has changed it.
    Setting,
    /// It says what something is.
    Fact,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Setting => "setting",
            Self::Fact => "fact",
        }
    }
}

/// All that is to be said of a line but its value.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name on the wire, without the class or the socket before it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: &'static str,
    /// What it means: a sentence.
    pub meaning: &'static str,
    /// What an operator does when it grows; empty where there is nothing to do.
    pub advice: &'static str,
    /// When the line is there, for the end of a sentence; empty if always.
    pub condition: &'static str,
    /// What it always is, if it never changes here.
    pub fixed: Option<Fixed>,
}

/// The only value of a line: memcached has the line, and there is nothing here that would move it.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// What memcached shows as long as nothing happens.
    pub value: &'static str,
    /// Why nothing does, for the end of a sentence.
    pub why: &'static str,
}

/// What a line shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Number(u64),
    /// Seconds, given in microseconds and shown with six digits after the point: readers split
    /// there and take the rest for microseconds.
    Seconds(u64),
    /// A number with two digits after the point.
    Ratio(f64),
    /// A word.
    Text(Cow<'static, str>),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(out),
            Self::Seconds(us) => write!(out, "{}.{:06}", us / 1_000_000, us % 1_000_000),
            Self::Ratio(ratio) => write!(out, "{ratio:.2}"),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Text(if yes { "yes" } else { "no" }.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A line of a report on an `R`.
#[derive(Debug)]
pub struct Stat<R: 'static> {
    /// What it is.
    pub about: About,
    source: Source<R>,
    is_shown: fn(&R) -> bool,
}

/// Where a value comes from.
#[derive(Debug)]
enum Source<R: 'static> {
    Read(fn(&R) -> Value),
    Fixed(Fixed),
}

impl<R> Stat<R> {
    /// A number that only rises.
    pub(super) const fn counter(
        name: &'static str,
        unit: &'static str,
        read: fn(&R) -> Value,
    ) -> Self {
        Self::new(Kind::Counter, name, unit, Source::Read(read))
    }

    /// A number that rises and falls.
    pub(super) const fn gauge(
        name: &'static str,
        unit: &'static str,
        read: fn(&R) -> Value,
    ) -> Self {
        Self::new(Kind::Gauge, name, unit, Source::Read(read))
    }

    /// Something configured.
    pub(super) const fn setting(
        name: &'static str,
        unit: &'static str,
        read: fn(&R) -> Value,
    ) -> Self {
        Self::new(Kind::Setting, name, unit, Source::Read(read))
    }

    /// A word or a number that says what something is.
    pub(super) const fn fact(
        name: &'static str,
        unit: &'static str,
        read: fn(&R) -> Value,
    ) -> Self {
        Self::new(Kind::Fact, name, unit, Source::Read(read))
    }

    /// A line of memcached's that has always the same value here, and `why`.
    pub(super) const fn fixed(
        kind: Kind,
        name: &'static str,
        unit: &'static str,
        value: &'static str,
        why: &'static str,
    ) -> Self {
        let fixed = Fixed { value, why };
        let mut stat = Self::new(kind, name, unit, Source::Fixed(fixed));
        stat.about.fixed = Some(fixed);
        stat
    }

    const fn new(kind: Kind, name: &'static str, unit: &'static str, source: Source<R>) -> Self {
        let about = About {
            name,
            kind,
            unit,
            meaning: "",
            advice: "",
            condition: "",
            fixed: None,
        };
        Self {
            about,
            source,
            is_shown: |_| true,
        }
    }

    /// Says what it means.
    pub(super) const fn means(mut self, meaning: &'static str) -> Self {
        self.about.meaning = meaning;
        self
    }

    /// Says what to do when it grows.
    pub(super) const fn advice(mut self, advice: &'static str) -> Self {
        self.about.advice = advice;
        self
    }

    /// Shows it only when `is_shown` says so, which is when `condition` holds.
    pub(super) const fn when(mut self, condition: &'static str, is_shown: fn(&R) -> bool) -> Self {
        self.about.condition = condition;
        self.is_shown = is_shown;
        self
    }

    /// Its value, if there is to be a line.
    pub fn value(&self, of: &R) -> Option<Value> {
        (self.is_shown)(of).then(|| match self.source {
            Source::Read(read) => read(of),
            Source::Fixed(fixed) => fixed.value.into(),
        })
    }
}

/// Writes the lines of `stats` under their names with `prefix` before them.
pub(super) fn report<'a, R: 'static>(
    sink: &mut impl Sink,
    prefix: &str,
    stats: impl IntoIterator<Item = &'a Stat<R>>,
    of: &R,
) {
    for stat in stats {
        if let Some(value) = stat.value(of) {
            sink.show(&format!("{prefix}{}", stat.about.name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::testing::Recorder;

    static LINES: &[Stat<u64>] = &[
        Stat::counter("double", "items", |it: &u64| (it * 2).into()),
        Stat::gauge("odd", "items", |it: &u64| (*it).into()).when("odd", |it| it % 2 == 1),
        Stat::fixed(Kind::Counter, "still", "items", "0", "nothing moves it"),
    ];

    #[test]
    fn a_report_is_its_table_without_the_lines_that_are_not_to_be_there() {
        for (of, lines) in [
            (3, "a:double 6, a:odd 3, a:still 0"),
            (4, "a:double 8, a:still 0"),
        ] {
            let mut recorder = Recorder::default();
            report(&mut recorder, "a:", LINES, &of);
            let found: Vec<_> = recorder.0.iter().map(|(n, v)| format!("{n} {v}")).collect();
            assert_eq!(found.join(", "), lines);
        }
    }

    #[test]
    fn cpu_time_has_six_digits_after_the_point_and_a_ratio_two() {
        assert_eq!(Value::Seconds(1_000_023).to_string(), "1.000023");
        assert_eq!(Value::Seconds(5).to_string(), "0.000005");
        assert_eq!(Value::Ratio(0.8).to_string(), "0.80");
        assert_eq!(Value::from(true).to_string(), "yes");
    }
}
