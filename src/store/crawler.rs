//! Background reclaiming: a bounded walk over the pages that frees what is dead.

use crate::base::clock::{Expiry, Now};
use crate::base::hash::KeyHash;
use crate::store::index::Print;
use crate::store::lane::Lane;
use crate::store::outcome::ClassId;
use crate::store::round::Round;
use crate::store::slab::{ChunkRef, INDEX, PageId};
use std::sync::Arc;

/// Where the walk is. Pages are visited in address order, round and round; one in which nothing
/// can have expired costs a look at its record.
#[derive(Debug, Default)]
pub(crate) struct Crawler {
    page: u32,
    slot: u32,
    /// The walk over everything that is under way.
    round: Option<Round>,
    /// The stripe that was last asked whether there should be one.
    stripe: usize,
    /// Items that are to be judged, with their keys' hashes.
    due: Vec<(ChunkRef, KeyHash)>,
}

/// Items that one step looks at, at most: some tens of microseconds.
const ITEMS_PER_STEP: u32 = 2048;

/// Items that are judged one after the other, and looked for in the index at once.
const BATCH: usize = 16;

impl Lane {
    /// Does a bounded amount of background work: appointed flushes, a step of the crawler, a page
    /// towards a lowered limit, and one that is to move by order or because it is not needed.
    ///
    /// Returns whether there is more to do at once.
    pub fn maintain(&mut self, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        store.keep_appointments(now);
        let Some(mut crawler) = store.crawler.try_lock() else {
            return false;
        };
        let crawling = self.crawl(&mut crawler, now);
        drop(crawler);
        let moving = self.move_pages(now);
        self.clear_desk();
        crawling || moving
    }

    fn crawl(&mut self, crawler: &mut Crawler, now: Now) -> bool {
        let store = Arc::clone(&self.store);
        if crawler.round.is_none() {
            crawler.round = store.next_round(&mut crawler.stripe);
            if crawler.round.is_some() {
                // From the start: pages that are new meanwhile come last, and push out no old ones.
                (crawler.page, crawler.slot) = (0, 0);
            }
        }
        // New pages have nothing to look at: a number that is out of date does no harm.
        let pages = store.slabs.page_total().max(1);
        let mut items = 0;
        let mut looked = 0;
        while items < ITEMS_PER_STEP && looked <= pages {
            looked += 1;
            let page = PageId(crawler.page % pages);
            let record = store.slabs.page(page);
            let due = record.expires() <= now.ticks || crawler.round.is_some();
            if let Some(class) = record.owner()
                && class != INDEX
                && due
            {
                items += self.crawl_page(crawler, page, class, now);
                if crawler.slot > 0 {
                    return true;
                }
            }
            crawler.slot = 0;
            crawler.page = (crawler.page + 1) % pages;
            self.end_page(crawler);
        }
        looked <= pages || store.flushes_pending() > 0
    }

    fn end_page(&self, crawler: &mut Crawler) {
        let Some(round) = &mut crawler.round else {
            return;
        };
        round.pages_left -= 1;
        if round.pages_left == 0 {
            self.store.end_round(round);
            crawler.round = None;
        }
    }

    /// Walks a page of `class` from the crawler's slot on; sets that to 0 when the page is done.
    ///
    /// Another thread may give the page to another class meanwhile. Then what looks like items here
    /// may be none, which their stripes find out, and the new ones expire later than the page says.
    fn crawl_page(&mut self, crawler: &mut Crawler, id: PageId, class: ClassId, now: Now) -> u32 {
        let store = Arc::clone(&self.store);
        let page = store.slabs.page(id);
        if crawler.slot == 0 {
            page.forget_expiries();
        }
        let used = page.bump().min(store.slabs.chunks_per_page(class));
        let end = used.min(crawler.slot + ITEMS_PER_STEP);
        // Since the last step the page may have got an owner with fewer chunks.
        let begin = crawler.slot.min(end);
        let mut checked = 0;
        for slot in begin..end {
            let chunk = store.slabs.chunk_in(id, class, slot);
            let header = store.slabs.header(chunk);
            if !header.is_linked_item() {
                continue;
            }
            checked += 1;
            store.slabs.note_expiry(chunk, header.expiry());
            let round = crawler.round.as_ref();
            if header.expiry().has_passed(now)
                || round.is_some_and(|round| round.concerns(&store, chunk))
            {
                let hash = store.hash_of(chunk);
                crawler.due.extend(hash.map(|hash| (chunk, hash)));
            }
            if crawler.due.len() == BATCH {
                self.judge_due(&mut crawler.due, now);
            }
        }
        self.judge_due(&mut crawler.due, now);
        self.tallies(class).crawler_checked.add(checked);
        let done = end >= used;
        crawler.slot = if done { 0 } else { end };
        if done && page.expires() <= now.ticks {
            // What was due has been freed; what is left was noted above with the dead. Once more.
            self.reckon(id, class, now);
        }
        end - begin
    }

    /// Takes the page's earliest expiry anew, over the items that are left.
    fn reckon(&self, id: PageId, class: ClassId, now: Now) {
        let slabs = &self.store.slabs;
        let page = slabs.page(id);
        page.forget_expiries();
        for slot in 0..page.bump().min(slabs.chunks_per_page(class)) {
            let chunk = slabs.chunk_in(id, class, slot);
            let header = slabs.header(chunk);
            if header.is_linked_item() {
                // What is dead and still here is pinned: look again in a second, not at once.
                let expiry = header.expiry();
                let again = Expiry::from_exptime(1, now);
                let due = if expiry.has_passed(now) {
                    again
                } else {
                    expiry
                };
                slabs.note_expiry(chunk, due);
            }
        }
    }

    fn judge_due(&mut self, due: &mut Vec<(ChunkRef, KeyHash)>, now: Now) {
        due.iter()
            .for_each(|&(_, hash)| self.store.prefetch_bucket(hash));
        for (chunk, hash) in due.drain(..) {
            self.judge_age(chunk, hash, now);
        }
    }

    /// Takes an item out that is dead, and keeps one that is very old from becoming too old.
    fn judge_age(&mut self, chunk: ChunkRef, hash: KeyHash, now: Now) {
        let store = Arc::clone(&self.store);
        let mut stripe = store.stripe(hash.place());
        let print = Print::new(hash, store.stripe_bits);
        let Some(found) = stripe.item_in(&store.slabs, print, chunk) else {
            return;
        };
        if !stripe.is_dead(&store.slabs, chunk, found.header, now) {
            return stripe.limit_age(&store, found);
        }
        let gone = stripe.unlink(&store.slabs, print.bits, found);
        drop(stripe);
        self.tallies(gone.class).crawler_reclaimed.add(1);
        self.discard_dead(gone);
    }
}
