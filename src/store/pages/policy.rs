//! Which class gives a page to which: by what the ghosts of each say, and by age.
//!
//! A ghost that is found again is a hit that more memory would have given. Counted lately and per
//! page, these are a class's *pull*: what one more page would be worth to it. What one page less
//! would cost is about as much, but not for a class that has just what it needs: a part of its hits
//! counts too. The background moves pages from where they cost the least to the greatest pull,
//! slowly, for these are estimates from small numbers.
//!
//! Pull says nothing of a class too small to remember its ghosts, as when the load changes to
//! values of another size. So a class also gets a page, at once and instead of evicting, from one
//! that is out of use, or whose items stay much longer and whose pull is not worth more.
//!
//! All of this is a function of [`Readings`]: nothing here takes a lock or moves anything.

use crate::base::settings::Automove;
use crate::store::outcome::ClassId;
use crate::store::pages::readings::Readings;
use crate::store::slab::GHOST_HIT;
use std::cmp::Reverse;

/// A class takes a page of another whose items stay this many times longer,
const AGE_RATIO: u64 = 4;

/// and whose pull, this many times, is not more than its own and [`PULL_FLOOR`].
///
/// With 1 instead of 4 pages go to and fro between classes: on a trace with sizes from bytes to
/// hundreds of kilobytes 1 to 7 % more misses.
const CARE: u64 = 4;

/// A pull that is hardly one: a ghost hit for a page.
const PULL_FLOOR: u64 = GHOST_HIT;

/// For balance, a page moves to a class whose pull is this many times what it costs the donor.
const PULL_RATIO: u64 = 2;

/// Donors are alike if what it costs them differs by less than one part in so many of the gain.
const DONORS_ALIKE: u64 = 8;

/// Pages that the store allocates before the next one moves for balance. With 64 instead of 8
/// recorded traces miss 0.5 to 1.5 % more.
const PAGES_BETWEEN: u64 = 8;

/// Moves that may be made up for when the background was late.
const MOVES_OWED: u64 = 32;

/// The classes that can give a page to `taker`, which must have one, those that can spare one best
/// first.
pub(crate) fn donors(readings: &impl Readings, taker: ClassId) -> Vec<ClassId> {
    let others = readings.classes().filter(|&class| class != taker);
    let mut donors: Vec<ClassId> = others.filter(|&c| readings.pages(c) > 0).collect();
    donors.sort_by_cached_key(|&class| {
        // A class's last page goes last: what is in use may be the very item that needs it.
        let last = readings.pages(class) == 1;
        // First those with room for their items in fewer pages: nothing has to go.
        let spare = Reverse(readings.spare_pages(class));
        let age = Reverse(readings.age(class));
        (last, spare, readings.pull_per_page(class), age)
    });
    donors
}

/// The class that should give `taker` a page before that evicts its own items.
pub(crate) fn donor_instead_of_evicting(
    readings: &impl Readings,
    taker: ClassId,
    readiness: Automove,
) -> Option<ClassId> {
    let (ratio, bound) = match readiness {
        Automove::ByNeed => return None,
        Automove::Balanced => (AGE_RATIO, readings.pull_per_page(taker) + PULL_FLOOR),
        Automove::Eager => (1, u64::MAX),
    };
    let is_unused = |class: ClassId| readings.is_out_of_use(class);
    let age = |class: ClassId| readings.age(class);
    let best = keepers(readings, taker)
        .filter(|&class| {
            is_unused(class) || readings.pull_per_page(class).saturating_mul(CARE) <= bound
        })
        .max_by_key(|&class| (is_unused(class), age(class)))?;
    let gives = is_unused(best) || age(best) > age(taker).saturating_mul(ratio);
    gives.then_some(best)
}

/// The class that would lose the least with a page and the one that would gain the most, if a page
/// should move.
pub(crate) fn donor_for_balance(readings: &impl Readings) -> Option<(ClassId, ClassId)> {
    let pull = |&class: &ClassId| readings.pull_per_page(class);
    let taker = readings.classes().max_by_key(pull)?;
    let gain = pull(&taker);
    // Small differences are chance: of donors about alike, the one whose items stay longest.
    let about = gain / DONORS_ALIKE + 1;
    let loss = |&class: &ClassId| {
        let age = readings.age_without_page(class);
        (readings.grip_per_page(class) / about, Reverse(age))
    };
    let donor = keepers(readings, taker).min_by_key(loss)?;
    let is_worth_it = gain > readings.grip_per_page(donor) * PULL_RATIO + PULL_FLOOR;
    is_worth_it.then_some((donor, taker))
}

/// The class but `target` that has most pages free, or else most pages.
pub(crate) fn richest(readings: &impl Readings, target: Option<ClassId>) -> Option<ClassId> {
    readings
        .classes()
        .filter(|&class| Some(class) != target && readings.pages(class) > 1)
        .max_by_key(|&class| (readings.spare_pages(class), readings.pages(class)))
}

/// Classes that have a page to give to `taker`, and keep one.
fn keepers(readings: &impl Readings, taker: ClassId) -> impl Iterator<Item = ClassId> {
    let others = readings.classes().filter(move |&class| class != taker);
    others.filter(|&class| readings.pages(class) > 1)
}

/// When the next page may move for balance, by the bytes that the store has allocated.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: u64,
}

impl Pace {
    pub(crate) fn is_due(&self, allocated: u64) -> bool {
        allocated >= self.next
    }

    /// A page of `page_size` bytes moves.
    pub(crate) fn count(&mut self, allocated: u64, page_size: u64) {
        let step = PAGES_BETWEEN * page_size;
        let earliest = allocated.saturating_sub(step * MOVES_OWED);
        self.next = self.next.max(earliest) + step;
    }

    /// There is none to move. No debts from times without reason: gets alone, of what is not
    /// there, move no page.
    pub(crate) fn skip(&mut self, allocated: u64, page_size: u64) {
        self.next = allocated + PAGES_BETWEEN * page_size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages, spare ones, age, whether out of use, pull and grip per page; by class from 1 on.
    struct Table(&'static [(u64, u64, u64, bool, u64, u64)]);

    impl Table {
        fn row(&self, class: ClassId) -> (u64, u64, u64, bool, u64, u64) {
            self.0[usize::from(class.0) - 1]
        }
    }

    impl Readings for Table {
        fn classes(&self) -> impl Iterator<Item = ClassId> {
            (1..=self.0.len() as u8).map(ClassId)
        }
        fn pages(&self, class: ClassId) -> u64 {
            self.row(class).0
        }
        fn spare_pages(&self, class: ClassId) -> u64 {
            self.row(class).1
        }
        fn age(&self, class: ClassId) -> u64 {
            self.row(class).2
        }
        fn is_out_of_use(&self, class: ClassId) -> bool {
            self.row(class).3
        }
        fn pull_per_page(&self, class: ClassId) -> u64 {
            self.row(class).4
        }
        fn grip_per_page(&self, class: ClassId) -> u64 {
            self.row(class).5
        }
    }

    const G: u64 = GHOST_HIT;
    const TAKER: ClassId = ClassId(1);

    #[test]
    fn who_is_forced_to_give_is_first_who_has_room_then_who_gains_least() {
        let table = Table(&[
            (9, 9, 0, false, 0, 0),
            (1, 5, 100, false, 0, 0),
            (4, 0, 100, false, 9, 9),
            (4, 0, 100, false, 1, 1),
            (4, 0, 900, false, 1, 1),
            (0, 0, 999, true, 0, 0),
            (4, 2, 1, false, 50, 50),
        ]);
        let order: Vec<u8> = donors(&table, TAKER).iter().map(|class| class.0).collect();
        assert_eq!(order, [7, 5, 4, 3, 2]);
    }

    #[test]
    fn a_class_gives_before_another_evicts_if_its_items_stay_much_longer() {
        let asked = |others: (u64, u64, u64, bool, u64, u64), readiness| {
            let rows = Box::leak(Box::new([(4, 0, 100, false, 0, 0), others]));
            donor_instead_of_evicting(&Table(rows), TAKER, readiness).is_some()
        };
        let balanced = Automove::Balanced;
        for (other, gives, why) in [
            (
                (4, 0, 401, false, 0, 0),
                true,
                "its items stay four times longer",
            ),
            ((4, 0, 400, false, 0, 0), false, "not quite"),
            ((4, 0, 1, true, 0, 0), true, "it is out of use"),
            ((1, 0, 999, true, 0, 0), false, "it keeps its last page"),
            (
                (4, 0, 999, false, G / 4, 0),
                true,
                "its pull is next to none",
            ),
            (
                (4, 0, 999, false, G / 4 + 1, 0),
                false,
                "its pull is worth more",
            ),
        ] {
            assert_eq!(asked(other, balanced), gives, "{why}");
            assert!(!asked(other, Automove::ByNeed));
        }
        assert!(asked((4, 0, 101, false, 99 * G, 0), Automove::Eager));
        assert!(!asked((4, 0, 100, false, 0, 0), Automove::Eager));
    }

    #[test]
    fn for_balance_the_gain_must_be_twice_the_loss() {
        let rows = |pull, grip| {
            let rows = Box::leak(Box::new([
                (4, 0, 100, false, pull, pull),
                (4, 0, 50, false, 0, grip),
                (4, 0, 800, false, 0, grip),
            ]));
            donor_for_balance(&Table(rows))
        };
        let longest = Some((ClassId(3), TAKER));
        assert_eq!(rows(21 * G + 1, 10 * G), longest, "of two alike");
        assert_eq!(rows(21 * G, 10 * G), None);
        assert_eq!(rows(G, 0), None, "one ghost hit a page is chance");
    }

    #[test]
    fn pages_move_for_balance_at_a_pace_and_debts_are_bounded() {
        let mut pace = Pace::default();
        let moves = |pace: &mut Pace, allocated| {
            let mut moves = 0;
            while pace.is_due(allocated) {
                pace.count(allocated, 10);
                moves += 1;
            }
            moves
        };
        assert_eq!(moves(&mut pace, 0), 1);
        assert_eq!(
            moves(&mut pace, 79),
            0,
            "eight pages of ten are to be allocated"
        );
        assert_eq!(moves(&mut pace, 80), 1);
        assert_eq!(moves(&mut pace, 1_000_000), MOVES_OWED + 1);
        pace.skip(2_000_000, 10);
        assert_eq!(moves(&mut pace, 2_000_079), 0);
    }
}
