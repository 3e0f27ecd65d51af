//! Slabs: pages cut into equal chunks, and who owns which.
//!
//! ```text
//!   pool ──page──▶ class ──chunks──▶ magazines of the lanes ──▶ items
//!    ▲               │  ▲                                        │
//!    └── emptied ────┘  └──────────────── freed ─────────────────┘
//! ```
//!
//! All memory of the store comes from here: items, the index's segments (class 0) and the rings of
//! the eviction queues, so one page budget bounds them together.
//!
//! Locks, left to right: item class, index class, pool. At most one item class at a time.

pub(crate) mod arena;
pub(crate) mod class;
mod demand;
mod epitaph;
mod geometry;
mod limit;
pub(crate) mod magazine;
mod page;
mod pool;
mod ring;
mod segment;

pub(crate) use class::{CHUNK_MAX, ClassTable, PAGE_MIN, SEGMENT_SIZE, Spacing, WHOLE_MAX};
pub use demand::Beliefs;
pub(crate) use demand::{Demand, Experience, GHOST_HIT};
pub(crate) use epitaph::{DATES_KNOWN, EPITAPH_BITS, Epitaph, Queue};
pub(crate) use geometry::{ChunkRef, Geometry};
pub(crate) use page::{Page, PageId};
pub(crate) use ring::{Ring, RingEntry};
pub(crate) use segment::move_segment;

use crate::base::clock::Expiry;
use crate::store::locks::{Rank, Ranked, RankedGuard};
use crate::store::outcome::ClassId;
use arena::Arena;
use crossbeam::utils::CachePadded;
use pool::Pool;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// The index's class: its chunks are segments, which hold no items.
pub(crate) const INDEX: ClassId = ClassId(0);

/// Pages that are looked at in search of an empty one, under the class's lock.
const EMPTIEST_OF: usize = 256;

/// How often the demands of classes fade while the store allocates as much as it holds.
const FADES_PER_TURN: u64 = 64;

/// What a class's lock guards.
#[derive(Default)]
pub(crate) struct ClassState {
    /// Its pages, in the order the hand visits them.
    pub(crate) pages: Vec<PageId>,
    /// Those of them with a free chunk, each once, and some that have filled up since.
    pub(crate) partial: Vec<PageId>,
    /// Pages with nothing in them.
    pub(crate) empty: usize,
    /// Free chunks in all of them.
    pub(crate) free: u64,
    /// New items in the order they came.
    pub(crate) ring: Ring,
    /// The clock hand: position in `pages`, and the slot in that page.
    pub(crate) hand: (usize, u32),
    /// By how much pieces of other classes' items are behind in being evicted, in chunks.
    pub(crate) pieces_due: u64,
}

/// A class: its state under the lock, and readings for others to compare classes by.
pub(crate) struct SlabClass {
    state: Ranked<ClassState>,
    demand: Demand,
    /// Pages owned; the truth is under the lock.
    page_count: AtomicU64,
}

impl SlabClass {
    fn new(number: usize) -> Self {
        let is_index = number == usize::from(INDEX.0);
        let rank = if is_index {
            Rank::IndexClass
        } else {
            Rank::Class
        };
        Self {
            state: Ranked::new(rank, ClassState::default()),
            demand: Demand::default(),
            page_count: AtomicU64::new(0),
        }
    }
}

/// All pages, and the classes that own them.
pub(crate) struct Slabs {
    pub(crate) arena: Arena,
    pub(crate) sizes: ClassTable,
    pub(crate) geometry: Geometry,
    /// Records of the pages that the limit allowed at the start.
    pages: Box<[Page]>,
    /// Records of the others that are reserved; made when the limit first rises above its start,
    /// so that they cost nothing until then.
    more_pages: OnceLock<Box<[Page]>>,
    /// Pages that address space is reserved for.
    reserved: u32,
    /// Pages that may be in use.
    limit: AtomicU32,
    /// Of those, pages that are kept free for what cannot wait.
    reserve: AtomicU32,
    /// Pages that have ever been in use: those with lower numbers.
    pages_touched: AtomicU32,
    classes: Box<[CachePadded<SlabClass>]>,
    pool: CachePadded<Ranked<Pool>>,
    /// Bytes of chunks ever taken: the clock that eviction ages are measured by.
    allocated: CachePadded<AtomicU64>,
    /// The index asked for a segment and there was no page.
    index_hungry: AtomicBool,
    /// Value of `allocated` at which the classes' demands fade next.
    fades_at: AtomicU64,
}

impl Slabs {
    /// Reserves address space for what `geometry` allows at the start, and for `most` bytes where
    /// the system grants that.
    pub(crate) fn new(geometry: Geometry, table: ClassTable, most: u64) -> io::Result<Self> {
        let pages = geometry.pages as usize;
        let reserve = geometry.reserve(most);
        let (arena, reserved) = match Arena::new((reserve as usize) << geometry.page_shift) {
            Ok(arena) => (arena, reserve),
            Err(_) => (Arena::new(pages << geometry.page_shift)?, geometry.pages),
        };
        Ok(Self {
            arena,
            classes: (0..table.len())
                .map(|number| CachePadded::new(SlabClass::new(number)))
                .collect(),
            sizes: table,
            pages: (0..pages).map(|_| Page::default()).collect(),
            more_pages: OnceLock::new(),
            reserved,
            limit: AtomicU32::new(geometry.pages),
            reserve: AtomicU32::new(0),
            pages_touched: AtomicU32::new(0),
            pool: CachePadded::new(Ranked::new(Rank::Pool, Pool::default())),
            geometry,
            allocated: CachePadded::default(),
            index_hungry: AtomicBool::new(false),
            fades_at: AtomicU64::new(0),
        })
    }

    /// Where a chunk begins in the arena.
    #[inline]
    pub(crate) fn offset(&self, chunk: ChunkRef) -> usize {
        (chunk.0.wrapping_sub(1) as usize).wrapping_shl(self.geometry.unit_shift)
    }

    #[inline]
    fn chunk_at(&self, offset: usize) -> ChunkRef {
        ChunkRef((offset >> self.geometry.unit_shift) as u32 + 1)
    }

    /// The page that holds a chunk.
    #[inline]
    pub(crate) fn page_of(&self, chunk: ChunkRef) -> PageId {
        PageId(self.offset(chunk).wrapping_shr(self.geometry.page_shift) as u32)
    }

    /// A page's record.
    #[inline]
    pub(crate) fn page(&self, id: PageId) -> &Page {
        let number = id.0 as usize;
        self.pages
            .get(number)
            .unwrap_or_else(|| self.later_page(number))
    }

    /// The record of a page beyond those of the start.
    #[cold]
    fn later_page(&self, number: usize) -> &Page {
        let more = self.more_pages.get().expect("its page has been in use");
        &more[number - self.pages.len()]
    }

    /// The class that owns the chunk's page.
    #[inline]
    pub(crate) fn class_of(&self, chunk: ChunkRef) -> ClassId {
        self.page(self.page_of(chunk)).class()
    }

    /// Notes with its page when the item in `chunk` dies, whose header says so already.
    ///
    /// A walk over the page begins by forgetting what was noted. It sees the new header, or else
    /// forgets before the note is made: of two threads that write one word and read the other's, a
    /// fence in between, at least one sees what the other wrote.
    #[inline]
    pub(crate) fn note_expiry(&self, chunk: ChunkRef, expiry: Expiry) {
        if !expiry.is_never() {
            fence(Ordering::SeqCst);
            self.page(self.page_of(chunk)).note_expiry(expiry);
        }
    }

    /// Chunks in a page of `class`.
    #[inline]
    pub(crate) fn chunks_per_page(&self, class: ClassId) -> u32 {
        (1 << self.geometry.page_shift) / self.sizes.size(class)
    }

    /// The chunk in slot `slot` of a page of `class`.
    #[inline]
    pub(crate) fn chunk_in(&self, page: PageId, class: ClassId, slot: u32) -> ChunkRef {
        let start = (page.0 as usize) << self.geometry.page_shift;
        self.chunk_at(start + slot as usize * self.sizes.size(class) as usize)
    }

    fn slot_of(&self, chunk: ChunkRef, class: ClassId) -> u32 {
        let within = self.offset(chunk) & (self.geometry.page_size() - 1);
        within as u32 / self.sizes.size(class)
    }

    /// Locks a class.
    pub(crate) fn lock(&self, class: ClassId) -> RankedGuard<'_, ClassState> {
        self.classes[usize::from(class.0)].state.lock()
    }

    /// Pages `class` owns, without its lock: for comparing.
    pub(crate) fn page_count(&self, class: ClassId) -> u64 {
        self.classes[usize::from(class.0)]
            .page_count
            .load(Ordering::Relaxed)
    }

    /// Takes up to `want` free chunks of `class`, from a new page if need be. Evicts nothing.
    pub(crate) fn take(&self, class: ClassId, want: usize, out: &mut Vec<ChunkRef>) -> usize {
        let mut state = self.lock(class);
        let taken = self.take_locked(&mut state, class, want, out);
        drop(state);
        if taken == 0 && class == INDEX {
            self.index_hungry.store(true, Ordering::Relaxed);
        }
        if taken > 0 {
            self.count_allocated(class, taken);
        }
        taken
    }

    /// One chunk of `class`, if there is one without evicting.
    pub(crate) fn take_one(&self, class: ClassId) -> Option<ChunkRef> {
        let mut one = Vec::with_capacity(1);
        self.take(class, 1, &mut one);
        one.pop()
    }

    /// Adds chunks that changed hands to the clock that ages are measured by.
    pub(crate) fn count_allocated(&self, class: ClassId, chunks: usize) {
        let bytes = chunks as u64 * u64::from(self.sizes.size(class));
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of chunks ever taken: the clock that ages are measured by.
    pub(crate) fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    fn take_locked(
        &self,
        state: &mut ClassState,
        class: ClassId,
        want: usize,
        out: &mut Vec<ChunkRef>,
    ) -> usize {
        let mut taken = 0;
        while taken < want {
            let Some(&page) = state.partial.last() else {
                if taken > 0 || !self.add_page(state, class) {
                    break;
                }
                continue;
            };
            match self.pop_chunk(state, page, class) {
                Some(chunk) => {
                    out.push(chunk);
                    taken += 1;
                }
                None => {
                    state.partial.pop();
                    self.page(page).set_listed(false);
                }
            }
        }
        taken
    }

    /// A free chunk of one page: one that was used before, else the next untouched one.
    fn pop_chunk(&self, state: &mut ClassState, page: PageId, class: ClassId) -> Option<ChunkRef> {
        let record = self.page(page);
        let chunks = self.chunks_per_page(class);
        let free = record.free_in(chunks);
        if free == 0 {
            return None;
        }
        state.free -= 1;
        state.empty -= usize::from(free == chunks);
        if let Some(slot) = record.free_head() {
            let chunk = self.chunk_in(page, class, slot);
            let next = self.arena.load(self.offset(chunk) + 8) as u32;
            record.pop_free(next);
            return Some(chunk);
        }
        let slot = record.bump();
        let chunk = self.chunk_in(page, class, slot);
        // What an earlier owner of the page left here must not look like a linked item.
        self.arena.store(self.offset(chunk), 0);
        record.set_bump(slot + 1);
        Some(chunk)
    }

    /// Puts a page on its class's list of those with a free chunk.
    fn list(&self, state: &mut ClassState, page: PageId) {
        let record = self.page(page);
        if !record.is_listed() {
            record.set_listed(true);
            state.partial.push(page);
        }
    }

    fn add_page(&self, state: &mut ClassState, class: ClassId) -> bool {
        let Some(page) = self.take_page() else {
            return false;
        };
        self.adopt_locked(state, class, page);
        true
    }

    /// Makes a page without owner `class`'s.
    pub(crate) fn adopt(&self, class: ClassId, page: PageId) {
        self.adopt_locked(&mut self.lock(class), class, page);
    }

    fn adopt_locked(&self, state: &mut ClassState, class: ClassId, page: PageId) {
        let owner = &self.classes[usize::from(class.0)];
        if state.pages.is_empty() {
            owner.demand.restart(self.allocated());
        }
        self.page(page).assign(class);
        state.free += u64::from(self.chunks_per_page(class));
        state.pages.push(page);
        state.empty += 1;
        self.list(state, page);
        self.note_pages(class, state);
    }

    /// Gives a chunk back to its class. Its header must say that it holds nothing.
    pub(crate) fn return_chunk(&self, chunk: ChunkRef) {
        let page = self.page_of(chunk);
        let class = self.page(page).class();
        let mut state = self.lock(class);
        self.return_locked(&mut state, class, chunk);
    }

    /// [`return_chunk`](Self::return_chunk), with the class already locked.
    pub(crate) fn return_locked(&self, state: &mut ClassState, class: ClassId, chunk: ChunkRef) {
        let page = self.page_of(chunk);
        let record = self.page(page);
        debug_assert_eq!(record.class(), class, "a chunk goes back to its own class");
        let slot = self.slot_of(chunk, class);
        let next = record.push_free(slot);
        self.arena.store(self.offset(chunk), 0);
        self.arena.store(self.offset(chunk) + 8, u64::from(next));
        if record.is_draining() {
            return;
        }
        let chunks = self.chunks_per_page(class);
        state.free += 1;
        state.empty += usize::from(record.free_in(chunks) == chunks);
        self.list(state, page);
    }

    /// Takes `page` out of its class: no chunk of it is handed out from here on, and chunks that
    /// are freed gather in it. The caller moves the live ones away, then calls
    /// [`finish_drain`](Self::finish_drain).
    pub(crate) fn start_drain(&self, page: PageId) -> bool {
        let class = self.page(page).class();
        let mut state = self.lock(class);
        let Some(position) = state.pages.iter().position(|&other| other == page) else {
            return false;
        };
        state.pages.swap_remove(position);
        state.hand.1 = 0; // the page under the hand may be another one now
        let record = self.page(page);
        if record.is_listed() {
            state.partial.retain(|&other| other != page);
            record.set_listed(false);
        }
        let (chunks, free) = self.free_of(page, class);
        state.free -= u64::from(free);
        state.empty -= usize::from(free == chunks);
        record.set_draining(true);
        self.note_pages(class, &state);
        true
    }

    /// Ends a drain: with all its chunks free no class owns the page, else its class has it again;
    /// returns how many are not free.
    pub(crate) fn finish_drain(&self, page: PageId) -> u32 {
        let record = self.page(page);
        let class = record.class();
        let mut state = self.lock(class);
        record.set_draining(false);
        let (chunks, free) = self.free_of(page, class);
        if free == chunks {
            record.release();
            return 0;
        }
        state.pages.push(page);
        state.free += u64::from(free);
        if free > 0 {
            self.list(&mut state, page);
        }
        self.note_pages(class, &state);
        chunks - free
    }

    /// The chunks of a page of `class`, and how many of them are free; with its lock.
    fn free_of(&self, page: PageId, class: ClassId) -> (u32, u32) {
        let chunks = self.chunks_per_page(class);
        (chunks, self.page(page).free_in(chunks))
    }

    /// A page of `class` with nothing in it.
    pub(crate) fn empty_page(&self, class: ClassId) -> Option<PageId> {
        let state = self.lock(class);
        if state.empty == 0 {
            return None;
        }
        let is_empty = |&page: &PageId| {
            let (chunks, free) = self.free_of(page, class);
            free == chunks
        };
        state.partial.iter().copied().find(is_empty)
    }

    /// The slots of a page of `class` that have been handed out. Without the class's lock the page
    /// may be another's by now: then these are no items, but none is beyond the page.
    pub(crate) fn slots_used(&self, page: PageId, class: ClassId) -> Range<u32> {
        0..self.page(page).bump().min(self.chunks_per_page(class))
    }

    /// Of the first pages of `class` that have a free chunk, the one that has most of them; not
    /// `but`.
    pub(crate) fn emptiest_page(&self, class: ClassId, but: Option<PageId>) -> Option<PageId> {
        let chunks = self.chunks_per_page(class);
        let state = self.lock(class);
        let first = state.partial.iter().take(EMPTIEST_OF).copied();
        first
            .filter(|&page| Some(page) != but)
            .max_by_key(|&page| self.page(page).free_in(chunks))
    }

    fn note_pages(&self, class: ClassId, state: &ClassState) {
        let owner = &self.classes[usize::from(class.0)];
        let pages = state.pages.len() as u64;
        let before = owner.page_count.swap(pages, Ordering::Relaxed);
        owner.demand.resize(before, pages, self.allocated());
    }

    /// Pages that the free chunks of `class` would fill.
    pub(crate) fn spare_pages(&self, class: ClassId) -> u64 {
        self.lock(class).free / u64::from(self.chunks_per_page(class))
    }

    /// Chunks of `class` that are not free; with its lock.
    pub(crate) fn used_locked(&self, state: &ClassState, class: ClassId) -> u64 {
        state.pages.len() as u64 * u64::from(self.chunks_per_page(class)) - state.free
    }

    /// Whether the index has found no memory since this was last asked.
    pub(crate) fn take_index_hunger(&self) -> bool {
        self.index_hungry.load(Ordering::Relaxed)
            && self.index_hungry.swap(false, Ordering::Relaxed)
    }

    /// The readings of `class`.
    pub(crate) fn demand(&self, class: ClassId) -> &Demand {
        &self.classes[usize::from(class.0)].demand
    }

    /// Counts evictions, of the main queue and of the small one.
    pub(crate) fn count_evicted(&self, class: ClassId, evicted: [u64; 2]) {
        self.demand(class).evicted(evicted, self.allocated());
    }

    /// Whether it is time for all demands to fade; true for one caller.
    pub(crate) fn is_time_to_fade(&self) -> bool {
        let allocated = self.allocated();
        let due = self.fades_at.load(Ordering::Relaxed);
        if allocated < due {
            return false;
        }
        let memory = u64::from(self.page_limit()) << self.geometry.page_shift;
        let next = allocated + memory / FADES_PER_TURN;
        let won = self
            .fades_at
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        won.is_ok()
    }
}

/// Memory with a limit of `bytes` and room for `most`, cut as small stores cut theirs.
#[cfg(test)]
pub(crate) fn slabs_of(bytes: u64, most: u64) -> Slabs {
    let spacing = Spacing {
        factor: None,
        chunk_min: None,
        unit: 8,
        sparse: false,
        page_size: 64 << 10,
    };
    Slabs::new(Geometry::for_limit(bytes), ClassTable::new(spacing), most).expect("memory is there")
}
