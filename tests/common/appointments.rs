//! Flushes that a model of the store has yet to make: those that were appointed, by prefix.

use nuthatch::base::clock::{Expiry, Now};
use std::collections::BTreeMap;

/// At most one for each prefix.
#[derive(Default)]
pub(crate) struct Appointments(BTreeMap<Vec<u8>, Expiry>);

impl Appointments {
    /// Takes the place of an earlier one for the prefix; never is none.
    pub(crate) fn make(&mut self, prefix: &[u8], when: Expiry) {
        self.cancel(prefix);
        if !when.is_never() {
            self.0.insert(prefix.into(), when);
        }
    }

    pub(crate) fn cancel(&mut self, prefix: &[u8]) {
        self.0.remove(prefix);
    }

    /// The prefixes of those that are to be kept now.
    pub(crate) fn due(&self, now: Now) -> Vec<Vec<u8>> {
        let due = self.0.iter().filter(|(_, when)| when.has_passed(now));
        due.map(|(prefix, _)| prefix.clone()).collect()
    }
}
