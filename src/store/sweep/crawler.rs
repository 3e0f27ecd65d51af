//! Background reclaiming: a bounded walk over the pages that frees what is dead.

use crate::base::clock::Now;
use crate::base::hash::KeyHash;
use crate::base::settings::CrawlerSettings;
use crate::store::outcome::ClassId;
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, INDEX, PageId, Slabs};
use crate::store::sweep::flush::Flushing;
use crate::store::sweep::pace::Rest;
use crate::store::sweep::round::{Round, end_round, next_round};
use crate::store::table::Table;

/// Where the walk is. Pages are visited in address order, round and round; one in which nothing
/// can have expired costs a look at its record.
#[derive(Debug, Default)]
pub(crate) struct Crawler {
    page: u32,
    slot: u32,
    /// The walk over everything that is under way.
    round: Option<Round>,
    /// Pauses that are still to be made.
    rest: Rest,
    /// The stripe that was last asked whether there should be one.
    stripe: usize,
    /// Items that are to be judged, with their keys' hashes.
    due: Vec<(ChunkRef, KeyHash)>,
}

/// Items that one step looks at, at most: tens of microseconds, and up to 300 if all are dead.
const ITEMS_PER_STEP: u32 = 512;

/// Items that are judged one after the other, and looked for in the index at once.
const BATCH: usize = 16;

/// Does a step of the walk. True if there is more to do at once.
pub(crate) fn crawl(
    seat: Seat<'_>,
    crawler: &mut Crawler,
    (flushing, pace): (&Flushing, CrawlerSettings),
    now: Now,
) -> bool {
    let table = seat.table;
    // Not amid a page: of the rest of it nothing is noted.
    if crawler.round.is_none() && crawler.slot == 0 {
        crawler.round = next_round(table, flushing, &mut crawler.stripe);
        if crawler.round.is_some() {
            // From the start: pages that are new meanwhile come last, and push out no old ones.
            crawler.page = 0;
        }
    }
    if crawler.round.is_some() || flushing.pending() > 0 {
        return walk(seat, crawler, flushing, now).1;
    }
    // A page that was begun is ended: nothing else may begin before.
    let is_to_stop = !pace.on && crawler.slot == 0;
    if is_to_stop || crawler.rest.lasts(now) {
        return false;
    }
    let (looked, more) = walk(seat, crawler, flushing, now);
    crawler.rest.add(looked, pace, now);
    more
}

/// Walks on. Returns how many chunks it has looked at, and whether there is more to do at once.
fn walk(seat: Seat<'_>, crawler: &mut Crawler, flushing: &Flushing, now: Now) -> (u32, bool) {
    let table = seat.table;
    // New pages have nothing to look at: a number that is out of date does no harm.
    let pages = table.slabs.page_total().max(1);
    let mut items = 0;
    let mut looked = 0;
    while items < ITEMS_PER_STEP && looked <= pages {
        looked += 1;
        let page = PageId(crawler.page % pages);
        let record = table.slabs.page(page);
        // What has begun is ended, for the same reason.
        let has_begun = crawler.slot > 0;
        let due = record.expires() <= now.ticks || crawler.round.is_some() || has_begun;
        if let Some(class) = record.owner()
            && class != INDEX
            && due
        {
            items += crawl_page(seat, crawler, (page, class), now);
            if crawler.slot > 0 {
                return (items, true);
            }
        }
        crawler.slot = 0;
        crawler.page = (crawler.page + 1) % pages;
        end_page(table, crawler, flushing);
    }
    (items, looked <= pages || flushing.pending() > 0)
}

fn end_page(table: &Table, crawler: &mut Crawler, flushing: &Flushing) {
    let Some(round) = &mut crawler.round else {
        return;
    };
    round.pages_left -= 1;
    if round.pages_left == 0 {
        end_round(table, flushing, round);
        crawler.round = None;
    }
}

/// Walks a page of `class` from the crawler's slot on; sets that to 0 when the page is done.
///
/// Another thread may give the page to another class meanwhile. Then what looks like items here
/// may be none, which their stripes find out, and the new ones expire later than the page says.
fn crawl_page(
    seat: Seat<'_>,
    crawler: &mut Crawler,
    (id, class): (PageId, ClassId),
    now: Now,
) -> u32 {
    let slabs = &seat.table.slabs;
    let page = slabs.page(id);
    if crawler.slot == 0 {
        page.forget_expiries();
    }
    let used = slabs.slots_used(id, class).end;
    let end = used.min(crawler.slot + ITEMS_PER_STEP);
    // Since the last step the page may have got an owner with fewer chunks.
    let begin = crawler.slot.min(end);
    let mut checked = 0;
    for slot in begin..end {
        let chunk = slabs.chunk_in(id, class, slot);
        let header = slabs.header(chunk);
        if !header.is_linked_item() {
            continue;
        }
        checked += 1;
        slabs.note_expiry(chunk, header.expiry());
        let round = crawler.round.as_ref();
        if header.expiry().has_passed(now)
            || round.is_some_and(|round| round.concerns(seat.table, chunk))
        {
            let hash = seat.table.hash_of(chunk);
            crawler.due.extend(hash.map(|hash| (chunk, hash)));
        }
        if crawler.due.len() == BATCH {
            check_due(seat, &mut crawler.due, now);
        }
    }
    check_due(seat, &mut crawler.due, now);
    seat.tallies(class).crawler_checked.add(checked);
    let done = end >= used;
    crawler.slot = if done { 0 } else { end };
    if done && page.expires() <= now.ticks {
        // What was due has been freed; what is left was noted above with the dead. Once more.
        reckon(slabs, id, class);
    }
    end - begin
}

/// Takes the page's earliest expiry anew, over the items that are left. What has died or come since
/// the walk passed it makes the page due again.
fn reckon(slabs: &Slabs, id: PageId, class: ClassId) {
    slabs.page(id).forget_expiries();
    for slot in slabs.slots_used(id, class) {
        let chunk = slabs.chunk_in(id, class, slot);
        let header = slabs.header(chunk);
        if header.is_linked_item() {
            slabs.note_expiry(chunk, header.expiry());
        }
    }
}

fn check_due(seat: Seat<'_>, due: &mut Vec<(ChunkRef, KeyHash)>, now: Now) {
    due.iter()
        .for_each(|&(_, hash)| seat.table.prefetch_bucket(hash));
    for (chunk, hash) in due.drain(..) {
        check_item(seat, chunk, hash, now);
    }
}

/// Takes an item out that is dead, and keeps one that is very old from becoming too old.
fn check_item(seat: Seat<'_>, chunk: ChunkRef, hash: KeyHash, now: Now) {
    let table = seat.table;
    let (mut stripe, found) = table.item_in(chunk, hash);
    let Some(found) = found else {
        return;
    };
    if !stripe.is_dead(&table.slabs, chunk, found.header, now) {
        return stripe.limit_age(&table.slabs, found);
    }
    let gone = stripe.unlink(&table.slabs, table.fingerprint(hash).bits, found);
    drop(stripe);
    seat.tallies(gone.class).crawler_reclaimed.add(1);
    seat.drop_dead(gone);
}

impl Crawler {
    /// Whether the expiry of what is in this slot is still to be noted with its page.
    pub(crate) fn is_to_note(&self, page: PageId, slot: u32) -> bool {
        self.slot > 0 && self.page == page.0 && slot >= self.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Expiry;
    use crate::base::key::Key;
    use crate::base::settings::StoreSettings;
    use crate::store::{Lane, Store, StoreRequest};

    #[test]
    fn a_page_is_walked_to_its_end_though_it_takes_several_steps() {
        let settings = StoreSettings {
            memory_limit: 8 << 20,
            ..StoreSettings::default()
        };
        let mut lane = Store::new(&settings, 1).unwrap().lane(0);
        let now = Now::at_second(5);
        for number in 0..10_000 {
            let name = format!("key-{number:05}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            // In each page some die early, and most of the others later.
            let ttl = match number % 1000 {
                0 => 1,
                1..600 => 0,
                _ => 10,
            };
            let request = StoreRequest {
                expiry: Expiry::from_exptime(ttl, now),
                ..StoreRequest::default()
            };
            lane.put(&key, &request, b"v", now).unwrap();
        }
        for (later, left) in [(0, 10_000), (2, 9_990), (12, 5_990)] {
            while lane.maintain(now.plus_seconds(later)) {
                lane.store().validate();
            }
            assert_eq!(lane.store().snapshot().items, left, "after {later} s");
        }
    }

    /// Keys that expire after a second, and after an hour as many.
    fn lane_with_expiring(keys: u32) -> Lane {
        let settings = StoreSettings {
            memory_limit: 8 << 20,
            ..StoreSettings::default()
        };
        let mut lane = Store::new(&settings, 1).unwrap().lane(0);
        let now = Now::at_second(5);
        for number in 0..keys * 2 {
            let name = format!("key-{number:05}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let request = StoreRequest {
                expiry: Expiry::from_exptime([1, 3600][number as usize % 2], now),
                ..StoreRequest::default()
            };
            lane.put(&key, &request, b"v", now).unwrap();
        }
        lane
    }

    fn settle(lane: &mut Lane, second: u64) -> u64 {
        while lane.maintain(Now::at_second(second)) {}
        lane.store().validate();
        lane.store().snapshot().items
    }

    #[test]
    fn turned_off_it_frees_what_was_flushed_and_nothing_else() {
        let mut lane = lane_with_expiring(3_000);
        lane.store().set_crawler(CrawlerSettings {
            on: false,
            ..CrawlerSettings::default()
        });
        assert_eq!(settle(&mut lane, 9), 6_000);
        lane.store().flush_prefix(b"key-00").unwrap();
        // A round judges what the flush may have killed. Of those it finds the expired as well.
        let left = settle(&mut lane, 10);
        assert!(
            left < 5_000 && lane.store().flushes_pending() == 0,
            "{left}"
        );
        lane.store().set_crawler(CrawlerSettings::default());
        assert_eq!(settle(&mut lane, 11), 2_500);
    }

    #[test]
    fn it_is_not_turned_off_amid_a_page_so_that_a_flush_can_still_be_ended() {
        let mut lane = lane_with_expiring(3_000);
        assert!(lane.maintain(Now::at_second(9)));
        assert!(lane.store().crawler.lock().slot > 0, "it is amid a page");
        lane.store().set_crawler(CrawlerSettings {
            on: false,
            ..CrawlerSettings::default()
        });
        settle(&mut lane, 9);
        assert_eq!(lane.store().crawler.lock().slot, 0);
        lane.store().flush();
        assert_eq!(settle(&mut lane, 9), 0);
        assert_eq!(lane.store().flushes_pending(), 0);
    }

    #[test]
    fn pauses_make_it_take_longer() {
        let mut lane = lane_with_expiring(3_000);
        lane.store().set_crawler(CrawlerSettings {
            on: true,
            sleep_us: 1_000_000,
        });
        let mut left = vec![];
        for second in 9..24 {
            left.push(settle(&mut lane, second));
        }
        assert!(left[0] >= 5_000 && left[5] > 3_000, "{left:?}");
        assert_eq!(left[14], 3_000, "{left:?}");
    }
}
