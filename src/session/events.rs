//! What watchers are told of requests: one event for each look at an item and for each change.
//!
//! It follows memcached, which tells of the looks that it takes itself: a store, a count and a
//! delete look for the item before they change it, so each of them is an `item_get` too. Here such
//! a look is taken for the watchers alone, just before the request, and counts as no access.
//!
//! While nobody watches, a request pays for looking at one word, once for each function here that
//! it calls; all that comes after that is out of line.

use crate::base::clock::Expiry;
use crate::base::events::{Event, ItemFacts, Lookup, StoreEnd, StoreVerb, Topics};
use crate::base::key::Key;
use crate::session::Context;
use crate::store::{
    ClassId, Counted, Deleted, Fetch, Fetched, HashedKey, MetaDelete, Miss, StoreError, StoreMode,
    StoreOutcome, StoreRequest, Stored,
};

/// Of what lies nowhere.
const NOWHERE: Looked = Looked {
    class: ClassId(0),
    size: 0,
};

/// What a look has seen of an item, beside its key.
#[derive(Clone, Copy)]
pub(super) struct Looked {
    /// Its class.
    pub(super) class: ClassId,
    /// Bytes of its value.
    pub(super) size: u32,
}

/// A request has found its item.
#[inline]
pub(super) fn hit(context: &Context<'_>, key: Key<'_>, class: ClassId, size: u32) {
    if context.lane.is_watched(Topics::FETCHERS) {
        tell_get(context, key, Lookup::Alive, Looked { class, size });
    }
}

/// A request has found its item, or created it because there was none.
#[inline]
pub(super) fn hit_or_created(
    context: &Context<'_>,
    key: Key<'_>,
    created: bool,
    (class, size): (ClassId, u32),
) {
    if context.lane.is_watched(Topics::FETCHERS) {
        if created {
            tell_miss(context, key, Miss::Absent);
        } else {
            tell_get(context, key, Lookup::Alive, Looked { class, size });
        }
    }
}

/// A request has found nothing.
#[inline]
pub(super) fn miss(context: &Context<'_>, key: Key<'_>, miss: Miss) {
    if context.lane.is_watched(Topics::FETCHERS) {
        tell_miss(context, key, miss);
    }
}

/// A request is about to change what is under `key`.
#[inline]
pub(super) fn before_change(context: &mut Context<'_>, key: &HashedKey<'_>) {
    if context.lane.is_watched(Topics::FETCHERS) {
        look(context, key);
    }
}

/// A request is about to delete what is under `key`: the answer is for when that is done.
#[inline]
pub(super) fn before_delete(context: &mut Context<'_>, key: &HashedKey<'_>) -> Option<Looked> {
    let topics = Topics::FETCHERS | Topics::MUTATIONS | Topics::DELETIONS;
    if context.lane.is_watched(topics) {
        return look(context, key);
    }
    None
}

/// A request has deleted an item, if that is what it `did`.
#[inline]
pub(super) fn deleted(context: &Context<'_>, key: Key<'_>, item: Option<Looked>, did: Deleted) {
    if let (Some(item), Deleted::Deleted(_)) = (item, did) {
        tell_deletion(context, key, item, false);
    }
}

/// An `md` has been carried out. One that has emptied the item and left it there, memcached tells
/// as another look and a store of an empty one; and unless it is to be stale, that is deleted.
pub(super) fn meta_deleted(context: &Context<'_>, key: Key<'_>, item: Looked, how: &MetaDelete) {
    let mut item = item;
    if how.drop_value {
        hit(context, key, item.class, item.size);
        item.size = 0;
    }
    if how.drop_value && context.lane.is_watched(Topics::MUTATIONS) {
        let set = (StoreEnd::Stored, StoreVerb::Plain(StoreMode::Set));
        let expiry = how.touch.unwrap_or(Expiry::NEVER);
        tell_store(context, facts(key, item), set, expiry);
    }
    if !how.invalidate {
        tell_deletion(context, key, item, true);
    }
}

/// A store has gone so.
#[inline]
pub(super) fn stored(
    context: &mut Context<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    stored: &Stored,
) {
    if context.lane.is_watched(Topics::MUTATIONS) {
        tell_stored(context, key, request, stored);
    }
}

/// A store could not be tried.
pub(super) fn refused(
    context: &Context<'_>,
    key: Key<'_>,
    request: &StoreRequest,
    error: StoreError,
) {
    if context.lane.is_watched(Topics::MUTATIONS) {
        let end = match error {
            StoreError::TooLarge => StoreEnd::TooLarge,
            StoreError::OutOfMemory => StoreEnd::NoMemory,
        };
        let item = facts(key, NOWHERE);
        tell_store(context, item, (end, verb(request)), Expiry::NEVER);
    }
}

/// A count has gone so: one that created its item has stored it.
#[inline]
pub(super) fn counted(context: &Context<'_>, key: Key<'_>, counted: &Result<Counted, StoreError>) {
    if let Ok(Counted::Number { created: true, .. }) = counted {
        tell_created(context, key, counted);
    }
}

#[cold]
fn tell_get(context: &Context<'_>, key: Key<'_>, found: Lookup, item: Looked) {
    context.lane.tell(Event::Get {
        item: facts(key, item),
        found,
        fd: context.connection.fd,
    });
}

#[cold]
fn tell_miss(context: &Context<'_>, key: Key<'_>, miss: Miss) {
    let found = match miss {
        Miss::Absent => Lookup::Absent,
        Miss::Expired => Lookup::Expired,
        Miss::Flushed => Lookup::Flushed,
    };
    tell_get(context, key, found, NOWHERE);
}

/// Looks for an item, tells of that who wants to know, and returns what is there.
#[cold]
fn look(context: &mut Context<'_>, key: &HashedKey<'_>) -> Option<Looked> {
    match peek(context, key) {
        Fetched::Hit((item, _)) => {
            hit(context, key.key, item.class, item.size);
            Some(item)
        }
        Fetched::Miss(why) => {
            miss(context, key.key, why);
            None
        }
    }
}

/// The item, without an access, and when it dies.
fn peek(context: &mut Context<'_>, key: &HashedKey<'_>) -> Fetched<(Looked, Expiry)> {
    let how = Fetch {
        touch: None,
        peek: true,
    };
    context.lane.fetch(key, how, context.now, |item| {
        let seen = Looked {
            class: item.class(),
            size: item.value_len(),
        };
        (seen, item.expiry())
    })
}

#[cold]
fn tell_deletion(context: &Context<'_>, key: Key<'_>, item: Looked, is_meta: bool) {
    if context.lane.is_watched(Topics::DELETIONS) {
        let item = facts(key, item);
        context.lane.tell(Event::Deletion { item, is_meta });
    }
}

#[cold]
fn tell_stored(
    context: &mut Context<'_>,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    stored: &Stored,
) {
    let (end, keeps_expiry) = match stored.outcome {
        StoreOutcome::Stored => (StoreEnd::Stored, keeps_expiry(request)),
        StoreOutcome::NotStored => (StoreEnd::NotStored, false),
        StoreOutcome::Exists => (StoreEnd::Exists, false),
        StoreOutcome::NotFound => (StoreEnd::NotFound, false),
    };
    let expiry = match keeps_expiry.then(|| peek(context, key)) {
        Some(Fetched::Hit((_, kept))) => kept,
        _ => request.expiry,
    };
    let item = Looked {
        class: stored.class,
        size: stored.value_len,
    };
    tell_store(context, facts(key.key, item), (end, verb(request)), expiry);
}

/// Whether an item that is there already keeps its expiry when the request succeeds.
fn keeps_expiry(request: &StoreRequest) -> bool {
    matches!(request.mode, StoreMode::Append | StoreMode::Prepend) || request.invalidate
}

#[cold]
fn tell_created(context: &Context<'_>, key: Key<'_>, counted: &Result<Counted, StoreError>) {
    let Ok(Counted::Number {
        value,
        class,
        expiry,
        ..
    }) = *counted
    else {
        return;
    };
    miss(context, key, Miss::Absent);
    if context.lane.is_watched(Topics::MUTATIONS) {
        let size = itoa::Buffer::new().format(value).len() as u32;
        let item = facts(key, Looked { class, size });
        let add = StoreVerb::Plain(StoreMode::Add);
        tell_store(context, item, (StoreEnd::Stored, add), expiry);
    }
}

fn tell_store(
    context: &Context<'_>,
    item: ItemFacts,
    (end, verb): (StoreEnd, StoreVerb),
    expiry: Expiry,
) {
    context.lane.tell(Event::Store {
        item,
        end,
        verb,
        ttl_s: expiry.ttl(context.now).unwrap_or(0),
        fd: context.connection.fd,
    });
}

fn verb(request: &StoreRequest) -> StoreVerb {
    match request.compare {
        None => StoreVerb::Plain(request.mode),
        Some(_) => StoreVerb::Compared(request.mode),
    }
}

fn facts(key: Key<'_>, item: Looked) -> ItemFacts {
    ItemFacts {
        key: key.into(),
        class: item.class.0,
        size: item.size,
    }
}
