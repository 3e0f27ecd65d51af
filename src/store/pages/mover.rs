//! Getting items out of a page so that another class, or the index, can have it.
//!
//! ```text
//!   1. the page leaves its class: nothing of it is handed out any more
//!   2. the lanes' magazines return its chunks
//!   3. each item in it is relocated to a chunk of the class: a free one, else one that is evicted
//!      for it, as for any new item
//!   4. when all its chunks are free no class owns it; else it returns to its class
//! ```
//!
//! A pinned item or one that is still being uploaded keeps its page where it is. An item of more
//! than [`PARTS_MAX`] chunks is evicted instead: to move one of them, its stripe would be locked
//! for as long as it takes to walk them all. One page moves at a time and in steps.

use crate::base::clock::Now;
use crate::base::hash::{KeyHash, Place};
use crate::store::item::{Header, state};
use crate::store::outcome::{Busy, ClassId};
use crate::store::pages::policy::Pace;
use crate::store::pages::surplus::Surplus;
use crate::store::seat::Seat;
use crate::store::slab::{ChunkRef, PageId, RingEntry, Slabs};
use crate::store::stripe::{Found, Stripe, Unlinked};
use crate::store::table::Table;

/// Chunks of an item that is moved, at most: 64 MiB, and 16 MiB where pages have 64 KiB. Walking
/// them is a wait for memory each, and the longest that anything holds a stripe.
const PARTS_MAX: u32 = 1024;

/// Why a page is being emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// Another class needs it more.
    Need(ClassId),
    /// It is worth more to another class.
    Balance(ClassId),
    /// The limit has been lowered.
    Limit,
    /// A page is to be kept free.
    Reserve,
    /// The operator wants it.
    Order(Order),
    /// Its class has no use for it: nothing is evicted.
    Surplus,
}

impl Reason {
    /// The number of the class that is to get the page; 0 for the pool.
    pub(crate) fn target(self) -> u8 {
        match self {
            Self::Need(taker) | Self::Balance(taker) => taker.0,
            Self::Order(order) => order.target.0,
            Self::Limit | Self::Reserve | Self::Surplus => 0,
        }
    }
}

/// A page that is being emptied.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) page: PageId,
    pub(crate) class: ClassId,
    pub(crate) reason: Reason,
    /// The next slot to look at.
    pub(crate) slot: u32,
    pub(crate) busy: Option<Busy>,
    /// Chunks for items that move, taken beforehand.
    pub(crate) spares: Vec<ChunkRef>,
}

impl Drain {
    /// Whether items that find no other chunk may be evicted.
    pub(crate) fn evicts(&self) -> bool {
        !matches!(self.reason, Reason::Surplus)
    }
}

/// A page that the operator wants moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) source: ClassId,
    /// A class, or [`POOL`].
    pub(crate) target: ClassId,
    pub(crate) tries_left: u8,
}

/// In an order, the pool. The number is that of the index's class, whose pages never move so.
pub(crate) const POOL: ClassId = ClassId(0);

/// The right to move a page, and what is under way.
#[derive(Debug, Default)]
pub(crate) struct Mover {
    /// The page that is being emptied.
    pub(crate) drain: Option<Drain>,
    /// Pages in a row that could not be emptied: for a lower limit, and for anything else.
    pub(crate) limit_failures: usize,
    pub(crate) failures: usize,
    /// Pages that classes have had free for long.
    pub(crate) surplus: Surplus,
    /// The next stripe whose index may become smaller.
    pub(crate) stripe: usize,
    /// When the next page may move for balance.
    pub(crate) pace: Pace,
}

impl Mover {
    /// Takes note of how a move has ended.
    pub(crate) fn note(&mut self, reason: Reason, succeeded: bool) {
        let failures = match reason {
            Reason::Limit => &mut self.limit_failures,
            _ => &mut self.failures,
        };
        *failures = if succeeded { 0 } else { *failures + 1 };
    }
}

/// Whose a chunk of a page that is being emptied seems to be.
pub(crate) enum Tenant {
    Nobody,
    /// An item that is no longer in the index, and still being sent.
    Leaving,
    /// The item of this first chunk, whose key has this hash.
    Item(ChunkRef, KeyHash),
}

/// What became of the item in a chunk.
pub(crate) enum Vacated {
    /// The old chunk is free; the item lives on in another.
    Relocated {
        from: ChunkRef,
        /// Whether it was a further part of a long item.
        is_part: bool,
        fresh: Option<RingEntry>,
    },
    /// The item is gone.
    Evicted(Unlinked),
    /// It had expired or been flushed.
    Dead(Unlinked),
    /// It may not move now.
    Stays(Busy),
    /// There is nothing in the chunk that is known to be an item.
    Nothing,
}

/// Begins to empty `page`: it leaves its class, and no lane has a chunk of it. `None` if that
/// cannot be begun.
pub(crate) fn begin(table: &Table, page: PageId, reason: Reason) -> Option<Drain> {
    let class = table.slabs.page(page).owner()?;
    if !table.slabs.start_drain(page) {
        return None;
    }
    recall_magazines(table, page, class);
    Some(Drain {
        page,
        class,
        reason,
        slot: 0,
        busy: None,
        spares: vec![],
    })
}

/// Takes the page's chunks out of all lanes' magazines.
fn recall_magazines(table: &Table, page: PageId, class: ClassId) {
    let slabs = &table.slabs;
    for magazines in &table.magazines {
        let mut magazines = magazines.lock();
        let mut state = slabs.lock(class);
        magazines.of(class).free.retain(|&chunk| {
            let here = slabs.page_of(chunk) == page;
            if here {
                slabs.return_locked(&mut state, class, chunk);
            }
            !here
        });
    }
}

/// Whose `chunk` is, as far as can be seen without a lock.
pub(crate) fn tenant(table: &Table, chunk: ChunkRef) -> Tenant {
    let header = table.slabs.header(chunk);
    if !header.has(state::LINKED) && header.has(state::PINNED) {
        return Tenant::Leaving;
    }
    let head = if header.is_linked_item() {
        Some(chunk)
    } else {
        table.slabs.owner_of(header)
    };
    let found = head.and_then(|head| Some(Tenant::Item(head, table.hash_of(head)?)));
    found.unwrap_or(Tenant::Nobody)
}

/// Gets what is in `chunk`, a part of the item of `head`, out of it, if that can be done: into one
/// of `spares`, or with `evict` out of the store if there is none.
pub(crate) fn vacate(
    seat: Seat<'_>,
    (head, hash): (ChunkRef, KeyHash),
    chunk: ChunkRef,
    evict: bool,
    spares: &mut Vec<ChunkRef>,
    now: Now,
) -> Vacated {
    let table = seat.table;
    let slabs = &table.slabs;
    let fingerprint = table.fingerprint(hash);
    let (mut stripe, found) = table.item_in(head, hash);
    let Some(found) = found else {
        return Vacated::Nothing;
    };
    if found.header.has(state::PINNED) {
        return Vacated::Stays(Busy::Sending);
    }
    if stripe.is_dead(slabs, head, found.header, now) {
        return Vacated::Dead(stripe.unlink(slabs, fingerprint.bits, found));
    }
    // The chunk was read before the lock was held: its owner may be another item now.
    if !holds(slabs, found, chunk) {
        return Vacated::Nothing;
    }
    let moved = if is_movable(slabs, found) {
        relocate(slabs, &mut stripe, found, (chunk, hash.place()), spares)
    } else {
        Vacated::Stays(Busy::NoMemory)
    };
    match moved {
        Vacated::Stays(Busy::NoMemory) if evict => {
            Vacated::Evicted(stripe.unlink(slabs, fingerprint.bits, found))
        }
        moved => moved,
    }
}

/// Whether `chunk` says that it is the item's; with its stripe's lock.
fn holds(slabs: &Slabs, found: Found, chunk: ChunkRef) -> bool {
    let owner = || slabs.owner_of(slabs.header(chunk));
    chunk == found.chunk || owner() == Some(found.chunk)
}

fn is_movable(slabs: &Slabs, found: Found) -> bool {
    let value_len = slabs.value_len(found.chunk, found.header);
    value_len / slabs.sizes.size(slabs.sizes.largest()) < PARTS_MAX
}

/// Copies one chunk of a linked item, under its stripe's lock, and points everything to the copy.
/// Without a spare chunk for it the item stays.
fn relocate(
    slabs: &Slabs,
    stripe: &mut Stripe,
    found: Found,
    (from, place): (ChunkRef, Place),
    spares: &mut Vec<ChunkRef>,
) -> Vacated {
    let is_part = from != found.chunk;
    let before = is_part.then(|| before(slabs, found, from));
    if before == Some(None) {
        return Vacated::Nothing;
    }
    let Some(to) = spares.pop() else {
        return Vacated::Stays(Busy::NoMemory);
    };
    stripe.limit_age(slabs, found);
    let header = slabs.header(from);
    let len = slabs.part_at(from, header) - slabs.offset(from) + header.part_len as usize;
    slabs.arena.copy(slabs.offset(from), slabs.offset(to), len);
    slabs.note_expiry(to, found.header.expiry());
    let mut fresh = None;
    if let Some((before, header)) = before.flatten() {
        slabs.set_next(before, header, to);
    } else {
        stripe.index.replace(slabs, found.slot, to);
        adopt_chain(slabs, to, header);
        fresh = (!header.is_main()).then(|| RingEntry::new(to, place));
    }
    Vacated::Relocated {
        from,
        is_part,
        fresh,
    }
}

/// Tells the continuations of a relocated head who owns them now.
fn adopt_chain(slabs: &Slabs, head: ChunkRef, header: Header) {
    let mut chunk = slabs.next(head, header);
    while !chunk.is_none() {
        let part = slabs.header(chunk);
        let owned = Header {
            high: head.0,
            ..part
        };
        slabs.set_header(chunk, owned);
        chunk = slabs.next(chunk, part);
    }
}

/// The chunk before `part` in an item's chain, if `part` is in it: what has been an item of the
/// same first chunk may not all be free yet.
fn before(slabs: &Slabs, found: Found, part: ChunkRef) -> Option<(ChunkRef, Header)> {
    let (mut chunk, mut header) = (found.chunk, found.header);
    loop {
        let next = slabs.next(chunk, header);
        if next.is_none() {
            return None;
        }
        if next == part {
            return Some((chunk, header));
        }
        chunk = next;
        header = slabs.header(chunk);
    }
}
