//! Whether a request's condition holds: the mode of a store, and the CAS id it names.

use crate::base::hash::Place;
use crate::store::outcome::{StoreMode, StoreOutcome, StoreRequest};
use crate::store::stripe::Found;
use crate::store::table::Table;

/// Whether a request's condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does; `stale` when it does so by invalidation.
    Store {
        /// Store marked stale, keeping expiry and win token.
        stale: bool,
    },
    /// It does not.
    Refuse(StoreOutcome),
}

/// Checks `request` against the live item under its key, if there is one.
#[inline]
pub(crate) fn check(
    table: &Table,
    place: Place,
    live: Option<&Found>,
    request: &StoreRequest,
) -> Verdict {
    if request.mode == StoreMode::Set && request.compare.is_none() {
        return Verdict::Store { stale: false };
    }
    check_condition(table, place, live.copied(), request)
}

#[inline(never)]
fn check_condition(
    table: &Table,
    place: Place,
    live: Option<Found>,
    request: &StoreRequest,
) -> Verdict {
    let id = live.map(|found| table.cas_id(place, found.chunk, found.header));
    match (request.mode, request.compare, id) {
        (StoreMode::Add, _, Some(_)) => Verdict::Refuse(StoreOutcome::NotStored),
        (StoreMode::Add, _, None) => Verdict::Store { stale: false },
        (StoreMode::Append | StoreMode::Prepend, _, None) => {
            Verdict::Refuse(StoreOutcome::NotStored)
        }
        (_, Some(_), None) => Verdict::Refuse(StoreOutcome::NotFound),
        (StoreMode::Replace, None, None) => Verdict::Refuse(StoreOutcome::NotStored),
        (_, Some(wanted), Some(id)) if wanted != id || wanted == 0 => {
            let older = request.invalidate && wanted != 0 && wanted < id;
            if older && matches!(request.mode, StoreMode::Set | StoreMode::Replace) {
                Verdict::Store { stale: true }
            } else {
                Verdict::Refuse(StoreOutcome::Exists)
            }
        }
        _ => Verdict::Store { stale: false },
    }
}
