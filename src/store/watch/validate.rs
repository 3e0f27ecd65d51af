//! A walk over everything that must hold, for tests and for debugging.

use crate::store::Store;
use crate::store::item::{Header, state};
use crate::store::outcome::ClassId;
use crate::store::slab::{ChunkRef, ClassState, INDEX, PageId};
use crate::store::sweep::crawler::Crawler;
use std::collections::{HashMap, HashSet};

/// What the walk over the index has counted.
#[derive(Default)]
struct Census {
    /// Chunks of linked items.
    chunks: HashSet<ChunkRef>,
    /// Items and bytes by class number.
    classes: HashMap<u8, (u64, u64)>,
}

impl Store {
    /// Checks every invariant that can be seen while nothing changes: call it with all lanes at
    /// rest and no upload or pin alive.
    ///
    /// # Panics
    ///
    /// On the first invariant that does not hold.
    pub fn validate(&self) {
        let mut census = Census::default();
        for (number, stripe) in self.table.stripes.iter().enumerate() {
            let stripe = stripe.lock();
            let mut items = 0;
            stripe
                .index
                .for_each(&self.table.slabs, |bucket, tag, chunk| {
                    items += 1;
                    let hash = self
                        .table
                        .hash_of(chunk)
                        .expect("an indexed chunk has a key");
                    assert_eq!(
                        hash.place().stripe(self.table.stripe_bits),
                        number,
                        "item in a foreign stripe"
                    );
                    let bits = hash.place().bucket_bits(self.table.stripe_bits);
                    assert_eq!(
                        stripe.index.bucket_of(bits),
                        bucket,
                        "item in a foreign bucket"
                    );
                    assert_eq!(hash.tag(), tag, "tag of another key");
                    self.validate_item(chunk, &mut census);
                });
            assert_eq!(stripe.index.items(), items, "items of stripe {number}");
        }
        self.validate_pages(&census);
        self.validate_segments();
        self.validate_sums(&census);
    }

    fn validate_item(&self, chunk: ChunkRef, census: &mut Census) {
        let header = self.table.slabs.header(chunk);
        assert!(header.is_linked_item(), "an indexed chunk is linked");
        assert!(!header.has(state::PINNED), "no pin is alive");
        let class = self.table.slabs.class_of(chunk);
        let (items, bytes) = census.classes.entry(class.0).or_default();
        *items += 1;
        *bytes += u64::from(self.table.slabs.item_size(chunk, header));
        let (mut at, mut part, mut value) = (chunk, header, 0);
        loop {
            assert!(census.chunks.insert(at), "a chunk belongs to one item");
            let size = self.table.slabs.sizes.size(self.table.slabs.class_of(at)) as usize;
            let end = self.table.slabs.part_at(at, part) - self.table.slabs.offset(at)
                + part.part_len as usize;
            assert!(end <= size, "a part ends inside its chunk");
            value += part.part_len;
            let next = self.table.slabs.next(at, part);
            if next.is_none() {
                break;
            }
            at = next;
            part = self.table.slabs.header(at);
            assert!(
                part.is_continuation() && part.high == chunk.0,
                "a part knows its owner"
            );
        }
        assert_eq!(
            value,
            self.table.slabs.value_len(chunk, header),
            "the parts add up"
        );
    }

    fn validate_pages(&self, census: &Census) {
        let crawler = self.crawler.lock();
        let mut stocked = HashSet::new();
        for magazines in &self.table.magazines {
            let magazines = magazines.lock();
            stocked.extend(magazines.iter().flat_map(|magazine| &magazine.free));
        }
        let spares = self.supply.spares();
        stocked.extend(spares.iter().flatten());
        for class in self.table.slabs.sizes.item_classes() {
            let state = self.table.slabs.lock(class);
            let (mut free, mut empty) = (0, 0);
            let chunks = self.table.slabs.chunks_per_page(class);
            for &page in &state.pages {
                let free_here = self.validate_page(page, class, census, (&stocked, &crawler));
                free += u64::from(free_here);
                empty += usize::from(free_here == chunks);
            }
            assert_eq!(state.empty, empty, "pages with nothing in them");
            self.validate_list(&state, chunks);
            assert_eq!(state.free, free, "free chunks of class {class:?}");
        }
        assert!(
            stocked.is_disjoint(&census.chunks),
            "a stocked chunk holds no item"
        );
        let owned: u64 = self
            .table
            .slabs
            .sizes
            .item_classes()
            .chain([INDEX])
            .map(|c| self.table.slabs.page_count(c))
            .sum();
        let drained = u64::from(spares.is_some());
        assert_eq!(
            owned + drained,
            u64::from(self.table.slabs.pages_used()),
            "every page in use is somebody's, or being emptied"
        );
    }

    /// Every segment that is in use is the index's or a ring's.
    fn validate_segments(&self) {
        let slabs = &self.table.slabs;
        let mut segments = HashSet::new();
        for stripe in &self.table.stripes {
            segments.extend(stripe.lock().index.all_segments());
        }
        for class in slabs.sizes.item_classes() {
            segments.extend(slabs.lock(class).ring.segments());
        }
        let used = slabs.used_locked(&slabs.lock(INDEX), INDEX);
        assert_eq!(segments.len() as u64, used, "segments of the index");
    }

    /// Each page with a free chunk is on its class's list, and each page once.
    fn validate_list(&self, state: &ClassState, chunks: u32) {
        let records = || state.pages.iter().map(|&page| self.table.slabs.page(page));
        let listed = records().filter(|record| record.is_listed()).count();
        assert_eq!(state.partial.len(), listed, "a page is on the list once");
        let mut others = records().filter(|record| !record.is_listed());
        assert!(
            others.all(|record| record.free_in(chunks) == 0),
            "a page with a free chunk is on the list"
        );
    }

    fn validate_page(
        &self,
        page: PageId,
        class: ClassId,
        census: &Census,
        (stocked, crawler): (&HashSet<ChunkRef>, &Crawler),
    ) -> u32 {
        let record = self.table.slabs.page(page);
        assert_eq!(record.class(), class);
        assert!(!record.is_draining(), "no page move is under way");
        let mut held = 0;
        for slot in 0..record.bump() {
            let chunk = self.table.slabs.chunk_in(page, class, slot);
            let header = self.table.slabs.header(chunk);
            let linked = header.has(state::LINKED);
            assert_eq!(
                linked,
                census.chunks.contains(&chunk),
                "linked chunks are in the index"
            );
            if linked {
                held += 1;
                if !crawler.is_to_note(page, slot) {
                    self.validate_expiry(record.expires(), header);
                }
            } else if stocked.contains(&chunk) {
                held += 1;
            }
        }
        let chunks = self.table.slabs.chunks_per_page(class);
        assert_eq!(
            record.free_in(chunks),
            chunks - held,
            "every chunk is used, stocked or free"
        );
        record.free_in(chunks)
    }

    fn validate_expiry(&self, earliest: u64, header: Header) {
        let fine = header.is_continuation() || header.expiry().tick() >= earliest;
        assert!(fine, "a page's earliest expiry is not too late");
    }

    fn validate_sums(&self, census: &Census) {
        for class in self.table.slabs.sizes.item_classes() {
            let sums = self.table.sums(class);
            let counted = census.classes.get(&class.0).copied().unwrap_or_default();
            assert_eq!(
                (sums.items, sums.bytes),
                counted,
                "items and bytes of class {class:?}"
            );
        }
    }
}
