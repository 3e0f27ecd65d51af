//! What classes are compared by when a page is to move.

use crate::store::outcome::ClassId;
use crate::store::slab::Slabs;

/// The readings of all classes. Asked for one by one: some take a class's lock.
pub(crate) trait Readings {
    /// The classes of items, by number.
    fn classes(&self) -> impl Iterator<Item = ClassId>;

    /// Pages that a class owns.
    fn pages(&self, class: ClassId) -> u64;

    /// Pages that its free chunks would fill.
    fn spare_pages(&self, class: ClassId) -> u64;

    /// How long its items stay before they are evicted, in bytes that the store allocates
    /// meanwhile.
    fn age(&self, class: ClassId) -> u64;

    /// Whether nobody has used what is in it, nor stored there, for a while.
    fn is_out_of_use(&self, class: ClassId) -> bool;

    /// What another page would be worth to it.
    fn pull_per_page(&self, class: ClassId) -> u64;

    /// What a page less may cost it, as a pull.
    fn grip_per_page(&self, class: ClassId) -> u64;

    /// How long its items would stay with a page less.
    fn age_without_page(&self, class: ClassId) -> u64 {
        let pages = self.pages(class).max(1);
        self.age(class) / pages * (pages - 1)
    }
}

impl Readings for Slabs {
    fn classes(&self) -> impl Iterator<Item = ClassId> {
        self.sizes.item_classes()
    }

    fn pages(&self, class: ClassId) -> u64 {
        self.page_count(class)
    }

    fn spare_pages(&self, class: ClassId) -> u64 {
        Slabs::spare_pages(self, class)
    }

    fn age(&self, class: ClassId) -> u64 {
        self.demand(counted_in(self, class)).age(self.allocated())
    }

    fn is_out_of_use(&self, class: ClassId) -> bool {
        self.demand(counted_in(self, class)).is_out_of_use()
    }

    fn pull_per_page(&self, class: ClassId) -> u64 {
        self.demand(class).pull() / self.page_count(class).max(1)
    }

    fn grip_per_page(&self, class: ClassId) -> u64 {
        self.demand(class).grip() / self.page_count(class).max(1)
    }
}

/// The class where most of what `class` holds is counted: an item is where its head is, and those
/// of more than one chunk have it in the largest.
fn counted_in(slabs: &Slabs, class: ClassId) -> ClassId {
    let items = slabs.demand(class).items();
    let chunks = slabs.page_count(class) * u64::from(slabs.chunks_per_page(class));
    // Without the lock this is seen of most classes.
    if items * 2 >= chunks || items * 2 >= slabs.used_locked(&slabs.lock(class), class) {
        return class;
    }
    slabs.sizes.largest()
}
