//! What an operation can ask and answer. A miss or a lost race is an answer, not an error.

use crate::base::clock::Expiry;

pub use crate::base::store_mode::StoreMode;

/// The number of a slab class, 1 to 63; class 0 holds the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u8);

/// How to fetch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fetch {
    /// Gives the item a new expiry.
    pub touch: Option<Expiry>,
    /// Looks without counting as an access: no frequency, no fetched mark, no access time.
    pub peek: bool,
}

/// What a fetch found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched<R> {
    /// A live item, and what the caller's reader made of it.
    Hit(R),
    /// Nothing alive.
    Miss(Miss),
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No such item.
    Absent,
    /// There was one; its time was over.
    Expired,
    /// There was one; a flush came after it.
    Flushed,
}

/// A request to store, without its key and value.
#[derive(Clone, Copy, Debug)]
pub struct StoreRequest {
    /// The condition.
    pub mode: StoreMode,
    /// The client's 32 bits.
    pub client_flags: u32,
    /// When the new item dies.
    pub expiry: Expiry,
    /// Store only if the item has this CAS id. Turns set and replace into compare-and-swap: a
    /// missing item is then [`StoreOutcome::NotFound`]. Ignored by add.
    pub compare: Option<u64>,
    /// The CAS id to give instead of the next one.
    pub explicit_cas: Option<u64>,
    /// With `compare` lower than the item's id: store all the same, marked stale, keeping expiry
    /// and win token.
    pub invalidate: bool,
    /// For append and prepend: create a missing item with this expiry.
    pub vivify: Option<Expiry>,
    /// The key came base64-encoded and is echoed that way.
    pub binary_key: bool,
}

impl Default for StoreRequest {
    fn default() -> Self {
        Self {
            mode: StoreMode::Set,
            client_flags: 0,
            expiry: Expiry::NEVER,
            compare: None,
            explicit_cas: None,
            invalidate: false,
            vivify: None,
            binary_key: false,
        }
    }
}

/// How a store went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOutcome {
    /// The item is in place.
    Stored,
    /// The mode's condition did not hold, or the combined value would be too large.
    NotStored,
    /// The CAS id did not match.
    Exists,
    /// A CAS id was given and there is no item.
    NotFound,
}

/// The answer to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// How it went.
    pub outcome: StoreOutcome,
    /// The new CAS id; 0 unless stored, or with CAS off.
    pub cas: u64,
    /// Length of the resulting value; the sent length unless stored.
    pub value_len: u32,
    /// The class concerned: of the stored item, else of the item in the way.
    pub class: ClassId,
}

/// Why a store could not be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The item would be over the item size limit.
    TooLarge,
    /// No memory: evictions are off, or nothing can be evicted.
    OutOfMemory,
}

/// So many flushes are pending that there cannot be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyFlushes;

/// The answer to a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was there and is gone.
    Deleted(ClassId),
    /// There was none.
    NotFound,
    /// The CAS id did not match.
    Exists,
}

/// A request to add to or subtract from a decimal value.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arith {
    /// By how much.
    pub delta: u64,
    /// Subtract, stopping at zero, instead of adding modulo 2^64.
    pub down: bool,
    /// Do it only if the item has this CAS id.
    pub compare: Option<u64>,
    /// The CAS id to give instead of the next one.
    pub explicit_cas: Option<u64>,
    /// New expiry on success.
    pub touch: Option<Expiry>,
    /// Create a missing item with this number and expiry; the delta is not applied.
    pub initial: Option<(u64, Expiry)>,
    /// The key came base64-encoded.
    pub binary_key: bool,
}

/// The answer to an [`Arith`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The new number.
    Number {
        /// The value after the operation.
        value: u64,
        /// Its CAS id.
        cas: u64,
        /// Its expiry.
        expiry: Expiry,
        /// Its class.
        class: ClassId,
        /// Whether the item was missing and has been created.
        created: bool,
    },
    /// There was none.
    NotFound,
    /// The CAS id did not match.
    Exists,
    /// The value is not a decimal number of at most 64 bits.
    NonNumeric,
}

/// The fetch of `mg`: a read that may create, touch, and hand out the right to recache.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaFetch {
    /// Gives the item a new expiry, after the reader has seen the old one.
    pub touch: Option<Expiry>,
    /// Looks without counting as an access: no frequency, no fetched mark, no access time. A win
    /// token is given all the same.
    pub no_bump: bool,
    /// Creates a missing item: empty, without client flags, dying then. The fetch wins.
    pub vivify: Option<Expiry>,
    /// The fetch wins if the item dies, in fewer than these seconds, and no token was given.
    pub recache_s: Option<u64>,
    /// The CAS id of a created item instead of the next one.
    pub explicit_cas: Option<u64>,
    /// A created item's key came base64-encoded.
    pub binary_key: bool,
}

/// A delete of `md` that keeps the item, as stale, empty, or both.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetaDelete {
    /// Do it only if the item has this CAS id.
    pub compare: Option<u64>,
    /// Mark the item stale and take its win token back; it gets a new CAS id.
    pub invalidate: bool,
    /// Replace the value by an empty one, the client flags by `client_flags` and the expiry by
    /// `touch`, or never. The CAS id stays unless `invalidate` or `explicit_cas` say otherwise.
    pub drop_value: bool,
    /// The new expiry.
    pub touch: Option<Expiry>,
    /// The client flags with `drop_value`.
    pub client_flags: u32,
    /// The CAS id to give.
    pub explicit_cas: Option<u64>,
}

/// What keeps a page where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// An item that is being sent.
    Sending,
    /// A value that is on its way in.
    Arriving,
    /// An item that there is no other chunk for, where eviction is off.
    NoMemory,
}

/// Why an order to move a page was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveRefusal {
    /// The last order has not been carried out yet.
    Busy,
    /// The page would stay where it is.
    SameClass,
    /// There is no such class, or, for any source, none that can give.
    BadClass,
    /// It would be the source's last page.
    NoSpare,
}
