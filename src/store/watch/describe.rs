//! What the store holds, as text: for tests and for debugging.
//!
//! ```text
//! class 30, 16384 B: 3 pages, 1 of 12 chunks free, small wants 3
//!   small: a b/1 big[5]
//!   main: d/0 c/2 e/1
//! class 20, 5040 B: 1 page, 11 of 12 chunks free, 1 piece
//! index: 6 items, 256 buckets, 2 ghosts, 1 page
//! pool: 11 pages free; flushes pending: 0
//! ```
//!
//! The small queue begins with its oldest item, the main queue with what the clock hand meets next.
//! `/1` is an item's hits as the policy counts them, `[5]` the chunks of a long item. Free chunks
//! are those of the class and of the lanes' magazines. A piece belongs to a long item whose first
//! chunk is of another class. An item that is expired or flushed is shown until it is taken out. In
//! `lost` are items that should be in the small queue and would not be found there.

use crate::base::key::KEY_LEN_MAX;
use crate::store::Store;
use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::slab::{ChunkRef, INDEX};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::iter::successors;

impl Store {
    /// Tells what is in the store: call it with all lanes at rest.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut out = String::new();
        for class in self.table.slabs.sizes.item_classes() {
            if self.table.slabs.page_count(class) > 0 {
                self.describe_class(class, &mut out);
            }
        }
        let (mut items, mut buckets, mut ghosts) = (0, 0, 0);
        for stripe in &self.table.stripes {
            let index = &stripe.lock().index;
            items += u64::from(index.items());
            buckets += u64::from(index.buckets());
            ghosts += u64::from(index.ghosts(&self.table.slabs));
        }
        let pages = self.table.slabs.page_count(INDEX);
        _ = writeln!(
            out,
            "index: {}, {}, {}, {}",
            count(items, "item"),
            count(buckets, "bucket"),
            count(ghosts, "ghost"),
            count(pages, "page")
        );
        let free = count(self.table.slabs.pages_free().into(), "page");
        let flushes = self.flushes_pending();
        _ = writeln!(out, "pool: {free} free; flushes pending: {flushes}");
        out
    }

    fn describe_class(&self, class: ClassId, out: &mut String) {
        let slabs = &self.table.slabs;
        let (pages, size) = (slabs.page_count(class), slabs.sizes.size(class));
        let chunks = pages * u64::from(slabs.chunks_per_page(class));
        let free = self.free_chunks(class);
        let small = self.small_queue(class);
        let used = self.in_hand_order(class);
        let (items, parts): (Vec<ChunkRef>, Vec<ChunkRef>) = used
            .into_iter()
            .partition(|&chunk| slabs.header(chunk).is_linked_item());
        let owners = parts.iter().map(|&part| slabs.owner_of(slabs.header(part)));
        let pieces = owners.flatten().filter(|&o| slabs.class_of(o) != class);
        let pieces = pieces.count() as u64;
        let is_main = |&chunk: &ChunkRef| slabs.header(chunk).is_main();
        let (main, mut lost): (Vec<_>, Vec<_>) = items.iter().copied().partition(is_main);
        let queued: HashSet<_> = small.iter().collect();
        lost.retain(|item| !queued.contains(item));

        let pages = count(pages, "page");
        let number = class.0;
        _ = write!(
            out,
            "class {number}, {size} B: {pages}, {free} of {chunks} chunks free"
        );
        if !items.is_empty() {
            let wanted = slabs.demand(class).ring_len();
            _ = write!(out, ", small wants {wanted}");
        }
        if pieces > 0 {
            _ = write!(out, ", {}", count(pieces, "piece"));
        }
        out.push('\n');
        for (name, queue) in [("small", small), ("main", main), ("lost", lost)] {
            if !queue.is_empty() {
                let words: Vec<String> = queue.iter().map(|&item| self.told(item)).collect();
                _ = writeln!(out, "  {name}: {}", words.join(" "));
            }
        }
    }

    /// Free chunks of a class and of the lanes' magazines.
    fn free_chunks(&self, class: ClassId) -> u64 {
        let lanes = self.table.magazines.iter();
        let at_hand = lanes.map(|magazines| magazines.lock().of(class).free.len() as u64);
        at_hand.sum::<u64>() + self.table.slabs.lock(class).free
    }

    /// The items of the small queue, oldest first. Stale entries count for nothing, and of two of
    /// the same item the older one.
    fn small_queue(&self, class: ClassId) -> Vec<ChunkRef> {
        let mut entries: Vec<_> = self
            .table
            .slabs
            .lock(class)
            .ring
            .entries(&self.table.slabs)
            .collect();
        for magazines in &self.table.magazines {
            entries.extend(&magazines.lock().of(class).fresh);
        }
        let mut seen = HashSet::new();
        entries.retain(|&entry| self.table.entry_hash(entry).is_some() && seen.insert(entry.chunk));
        entries.iter().map(|entry| entry.chunk).collect()
    }

    /// Chunks with items or parts of some, in the order that the clock hand will meet them.
    fn in_hand_order(&self, class: ClassId) -> Vec<ChunkRef> {
        let slabs = &self.table.slabs;
        let state = slabs.lock(class);
        let first = state.hand.0 % state.pages.len().max(1);
        let (behind, ahead) = state.pages.split_at(first);
        let pages = ahead.iter().chain(behind);
        let mut chunks: Vec<ChunkRef> = pages
            .flat_map(|&page| {
                let slots = slabs.slots_used(page, class);
                slots.map(move |slot| slabs.chunk_in(page, class, slot))
            })
            .collect();
        let under = ahead
            .first()
            .map_or(0, |&page| slabs.slots_used(page, class).end);
        chunks.rotate_left(state.hand.1.min(under) as usize);
        chunks.retain(|&chunk| slabs.header(chunk).has(state::LINKED));
        chunks
    }

    /// An item's key, with the chunks of a long one, and its hits.
    fn told(&self, item: ChunkRef) -> String {
        let slabs = &self.table.slabs;
        let mut buffer = [0; KEY_LEN_MAX];
        let key = slabs.key_of(item, &mut buffer);
        let key = key.expect("a linked item has a key");
        let mut word = key.as_bytes().escape_ascii().to_string();
        word = word.replace(' ', "\\x20");
        let header = slabs.header(item);
        if header.has(state::CHAINED) {
            let next = |&chunk: &ChunkRef| {
                let next = slabs.next(chunk, slabs.header(chunk));
                (!next.is_none()).then_some(next)
            };
            let chunks = successors(Some(item), next).count();
            _ = write!(word, "[{chunks}]");
        }
        if header.is_main() || header.hits() > 0 {
            _ = write!(word, "/{}", header.hits());
        }
        word
    }
}

/// A number of things: "1 page", "2 pages".
fn count(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{end}")
}
