//! Mutexes with ranks: in a debug build a thread that takes them out of order panics.
//!
//! Two threads that each hold a mutex the other one wants wait for ever. They cannot, if all take
//! mutexes in one order; so each has a rank, and a thread takes only ranks above all it holds. A
//! release build knows nothing of ranks and pays nothing for them.

use parking_lot::{Mutex, MutexGuard};
use std::ops::{Deref, DerefMut};

/// The order in which the store's mutexes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The background's walk.
    Crawler,
    /// The page move that is under way.
    Mover,
    /// What the operator has ordered to be moved.
    Order,
    /// A lane's free chunks and new items.
    Magazines,
    /// Marks and appointments of flushes.
    Flushes,
    /// A part of the index, and the items linked there.
    Stripe,
    /// A slab class.
    Class,
    /// The class that is the index's.
    IndexClass,
    /// Pages that no class owns.
    Pool,
    /// Numbers that are seldom written. Nothing is taken after them.
    Note,
}

/// A mutex with a rank.
#[derive(Debug)]
pub(crate) struct Ranked<T> {
    #[cfg(debug_assertions)]
    rank: Rank,
    mutex: Mutex<T>,
}

/// The right to what a [`Ranked`] mutex guards.
#[derive(Debug)]
pub(crate) struct RankedGuard<'a, T> {
    guard: MutexGuard<'a, T>,
    #[cfg(debug_assertions)]
    _held: held::Held,
}

impl<T> Ranked<T> {
    /// Guards `value`.
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "only a debug build knows ranks")
    )]
    pub(crate) fn new(rank: Rank, value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            rank,
            mutex: Mutex::new(value),
        }
    }

    /// Waits for the mutex.
    #[inline]
    pub(crate) fn lock(&self) -> RankedGuard<'_, T> {
        #[cfg(debug_assertions)]
        let _held = held::Held::new(self.rank);
        RankedGuard {
            guard: self.mutex.lock(),
            #[cfg(debug_assertions)]
            _held,
        }
    }

    /// Takes the mutex, if nobody has it.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<RankedGuard<'_, T>> {
        Some(RankedGuard {
            guard: self.mutex.try_lock()?,
            #[cfg(debug_assertions)]
            _held: held::Held::new(self.rank),
        })
    }
}

impl<T> Deref for RankedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for RankedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

#[cfg(debug_assertions)]
mod held {
    use super::Rank;
    use std::cell::Cell;

    thread_local! {
        /// The ranks that this thread holds, a bit each.
        static RANKS: Cell<u32> = const { Cell::new(0) };
    }

    /// That this thread holds a rank.
    #[derive(Debug)]
    pub(super) struct Held(Rank);

    impl Held {
        pub(super) fn new(rank: Rank) -> Self {
            let held = RANKS.get();
            assert!(
                held >> rank as u32 == 0,
                "{rank:?} is taken after what ranks above it: {held:#b}"
            );
            RANKS.set(held | 1 << rank as u32);
            Self(rank)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            RANKS.set(RANKS.get() & !(1 << self.0 as u32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_rise_and_are_let_go_in_any_order() {
        let low = Ranked::new(Rank::Stripe, 'l');
        let high = Ranked::new(Rank::Class, 'h');
        let first = low.lock();
        let second = high.lock();
        assert_eq!((*first, *second), ('l', 'h'));
        drop(first);
        drop(second);
        drop(high.lock());
        drop(low.lock());
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "Stripe is taken after")]
    fn a_lower_rank_is_not_taken_after_a_higher_one() {
        let low = Ranked::new(Rank::Stripe, ());
        let high = Ranked::new(Rank::Class, ());
        let _high = high.lock();
        let _low = low.lock();
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "Stripe is taken after")]
    fn two_of_a_rank_are_not_held() {
        let one = Ranked::new(Rank::Stripe, ());
        let other = Ranked::new(Rank::Stripe, ());
        let _one = one.lock();
        let _other = other.try_lock();
    }

    #[test]
    #[cfg(not(debug_assertions))]
    fn a_release_build_pays_nothing() {
        assert_eq!(size_of::<Ranked<u64>>(), size_of::<Mutex<u64>>());
        let (guard, plain) = (
            size_of::<RankedGuard<'_, u64>>(),
            size_of::<MutexGuard<'_, u64>>(),
        );
        assert_eq!(guard, plain);
    }
}
