//! What came of a replay, as a page to read or as one JSON object.

use crate::operation::Operation;
use crate::report::{Json, per, percent};
use std::fmt::Write;

/// Counts, from the last mark on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// Fetches and gets; all ratios are of them.
    pub(crate) requests: u64,
    pub(crate) misses: u64,
    /// The misses that no policy can avoid: the trace had never stored the key, or had deleted it.
    pub(crate) first_requests: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_missed: u64,
    /// Sets that the server did not do, those that follow misses included.
    pub(crate) refused_sets: u64,
    pub(crate) sets: u64,
    pub(crate) deletes: Outcomes,
    pub(crate) adds: Outcomes,
    pub(crate) appends: Outcomes,
    pub(crate) incrs: Outcomes,
}

/// What became of the operations of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) asked: u64,
    /// Of them, those without effect: an add whose key was there, others whose key was not.
    pub(crate) not_done: u64,
    /// Of them, those that the server answered with an error.
    pub(crate) refused: u64,
}

impl Played {
    /// The outcomes of an operation that is neither read nor set.
    pub(super) fn outcomes(&mut self, operation: Operation) -> Option<&mut Outcomes> {
        match operation {
            Operation::Delete => Some(&mut self.deletes),
            Operation::Add => Some(&mut self.adds),
            Operation::Append => Some(&mut self.appends),
            Operation::Incr => Some(&mut self.incrs),
            Operation::Fetch | Operation::Get | Operation::Set => None,
        }
    }

    pub(crate) fn json(&self) -> String {
        let mut json = Json::default();
        json.count("requests", self.requests)
            .count("hits", self.requests - self.misses)
            .count("misses", self.misses)
            .count("first_requests", self.first_requests)
            .real("hit_ratio", 1.0 - self.object_miss_ratio())
            .real("object_miss_ratio", self.object_miss_ratio())
            .real("avoidable_miss_ratio", self.avoidable_miss_ratio())
            .count("bytes", self.bytes)
            .count("bytes_missed", self.bytes_missed)
            .real("byte_miss_ratio", per(self.bytes_missed, self.bytes))
            .count("sets", self.sets)
            .count("refused_sets", self.refused_sets);
        for (name, outcomes) in self.others() {
            json.count(name, outcomes.asked)
                .count(&format!("{name}_not_done"), outcomes.not_done)
                .count(&format!("refused_{name}"), outcomes.refused);
        }
        json.finish()
    }

    /// The page for a terminal; operations that the trace does not have are left out.
    pub(crate) fn page(&self) -> String {
        let avoidable = self.misses - self.first_requests;
        let part = |count, of| format!("{count} ({} %)", percent(per(count, of)));
        let mut page = format!(
            "requests           {} gets and fetches\nmisses             {}\n\
             avoidable misses   {}\nmissed bytes       {}\nrefused sets       {}\n",
            self.requests,
            part(self.misses, self.requests),
            part(avoidable, self.requests),
            part(self.bytes_missed, self.bytes),
            self.refused_sets
        );
        // Writing to a string cannot fail.
        if self.sets > 0 {
            let _ = writeln!(page, "{:<18} {}", "sets", self.sets);
        }
        for (name, outcomes) in self.others() {
            let Outcomes {
                asked,
                not_done,
                refused,
            } = outcomes;
            if asked > 0 {
                let _ = writeln!(
                    page,
                    "{name:<18} {asked}, {not_done} without effect, {refused} refused"
                );
            }
        }
        page
    }

    fn others(&self) -> [(&'static str, Outcomes); 4] {
        [
            ("deletes", self.deletes),
            ("adds", self.adds),
            ("appends", self.appends),
            ("incrs", self.incrs),
        ]
    }

    fn object_miss_ratio(&self) -> f64 {
        per(self.misses, self.requests)
    }

    fn avoidable_miss_ratio(&self) -> f64 {
        per(self.misses - self.first_requests, self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_operations_of_the_trace_are_on_the_page() {
        let mut played = Played {
            requests: 10,
            misses: 5,
            first_requests: 3,
            ..Played::default()
        };
        assert!(!played.page().contains("incrs"));
        played.incrs.asked = 7;
        let page = played.page();
        assert!(page.contains("misses             5 (50 %)\n"), "{page}");
        assert!(page.contains("avoidable misses   2 (20 %)\n"), "{page}");
        assert!(page.contains("incrs              7, 0 without"), "{page}");
    }
}
