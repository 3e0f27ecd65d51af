//! What the reports show at one moment, and what became of it in a scene.

use std::collections::BTreeMap;

/// All groups that have numbers, in one go.
pub(crate) const REQUESTS: &[u8] =
    b"stats\r\nstats items\r\nstats slabs\r\nstats eviction\r\nstats conns\r\n";

/// How often `END` comes.
pub(crate) const REPORTS: usize = 5;

/// Numbers by name; those by class or socket are added up.
pub(crate) type Reading = BTreeMap<String, f64>;

/// Reads the answer to [`REQUESTS`].
pub(crate) fn read(answer: &str) -> Reading {
    let groups = ["", "items ", "slabs ", "eviction ", "conns "];
    let reports: Vec<_> = answer.split("END\r\n").collect();
    assert_eq!(reports.len(), REPORTS + 1, "{answer}");
    let mut reading = Reading::new();
    for (group, report) in groups.iter().zip(reports) {
        for line in report.lines() {
            let line = line.strip_prefix("STAT ").unwrap();
            let (name, value) = line.split_once(' ').unwrap();
            let name = name.rsplit(':').next().unwrap();
            if let Ok(number) = value.parse::<f64>() {
                *reading.entry(format!("{group}{name}")).or_insert(0.0) += number;
            }
        }
    }
    reading
}

/// A scene as the reports have seen it.
pub(crate) struct Observed {
    pub(crate) before: Reading,
    /// In the middle, where there was something to be seen that did not last.
    pub(crate) amid: Option<Reading>,
    pub(crate) after: Reading,
}

impl Observed {
    /// What is not as it should be.
    pub(crate) fn contradictions<'a>(
        &'a self,
        moves: &'a [&'a str],
    ) -> impl Iterator<Item = String> + 'a {
        moves.iter().filter_map(|line| {
            let (name, how) = line.rsplit_once(' ').unwrap();
            let value = |reading: &Reading| reading.get(name).copied().unwrap_or(0.0);
            let (before, after) = (value(&self.before), value(&self.after));
            let amid = self.amid.as_ref().map_or(before, value);
            let is_so = match how.split_at(1) {
                ("+", _) => after > before,
                ("-", _) => after < before,
                ("^", _) => amid > before && after < amid,
                ("v", _) => amid < before && after > amid,
                (">", least) => after - before > least.parse().unwrap(),
                _ => after - before == how.parse::<f64>().unwrap(),
            };
            (!is_so).then(|| format!("\"{line}\", but {before}, {amid}, {after}"))
        })
    }
}

#[test]
fn a_scene_is_held_to_each_of_its_words() {
    let reading = |number| Reading::from([("a".to_string(), number)]);
    let observed = Observed {
        before: reading(1.0),
        amid: Some(reading(5.0)),
        after: reading(3.0),
    };
    let wrong = |line| observed.contradictions(&[line]).count() == 1;
    for right in ["a 2", "a +", "a >1", "a ^", "b 0"] {
        assert!(!wrong(right), "{right}");
    }
    for line in ["a 1", "a 0", "a -", "a v", "a >2", "b +", "b ^", "b 1"] {
        assert!(wrong(line), "{line}");
    }
}
