//! The index's pages: they come back when the index has become smaller.
//!
//! After many small items come few large ones: most of the index is not needed then. The background
//! merges buckets where there are few items for them (see
//! [`Index::merge`](crate::store::index::Index::merge)), and when enough segments are free it moves
//! those of a page elsewhere and gives the page to the pool.

use crate::store::slab::INDEX;
use crate::store::table::Table;

/// Stripes that one step looks at, and buckets that it merges at most: tens of microseconds.
const STRIPES_PER_STEP: usize = 16;
const MERGES_PER_STEP: usize = 64;

/// Free pages that the index keeps, beside one part in so many of what it has: it grows by
/// segments, and so do the rings.
const KEPT: u64 = 1;
const KEPT_SHARE: u64 = 8;

/// Merges buckets of the next stripe where there are many for few items. True if it did: there may
/// be more.
pub(crate) fn merge_buckets(table: &Table, next: &mut usize) -> bool {
    for _ in 0..STRIPES_PER_STEP {
        let number = *next % table.stripes.len();
        let mut stripe = table.stripes[number].lock();
        let segments = stripe.index.segments().len();
        let merged = (0..MERGES_PER_STEP)
            .take_while(|_| stripe.index.merge(&table.slabs))
            .count();
        if stripe.index.segments().len() != segments {
            table.hints.note_all(number, &stripe.index);
        }
        if merged > 0 {
            return true;
        }
        *next = number + 1;
    }
    false
}

/// Gives a page of the index to the pool, if it has many free segments; with `is_pressed` if it has
/// a page's worth of them. False if nothing was done.
pub(crate) fn give_up_index_page(table: &Table, is_pressed: bool) -> bool {
    let slabs = &table.slabs;
    let kept = if is_pressed {
        0
    } else {
        KEPT + slabs.page_count(INDEX) / KEPT_SHARE
    };
    if slabs.spare_pages(INDEX) <= kept {
        return false;
    }
    let Some(page) = slabs.emptiest_page(INDEX, None) else {
        return false;
    };
    if !slabs.start_drain(page) {
        return false;
    }
    for (number, stripe) in table.stripes.iter().enumerate() {
        let mut stripe = stripe.lock();
        if stripe.index.leave_page(slabs, page) {
            table.hints.note_all(number, &stripe.index);
        }
    }
    for class in slabs.sizes.item_classes() {
        slabs.lock(class).ring.leave_page(slabs, page);
    }
    let is_empty = slabs.finish_drain(page) == 0;
    if is_empty {
        slabs.return_page(page);
    }
    is_empty
}
