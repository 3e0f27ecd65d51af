//! A list of everything that is stored, without a snapshot and without holding anybody up.
//!
//! A listing goes from stripe to stripe, and in a stripe from bucket to bucket, see
//! [`walk`](crate::store::index::walk). It copies what is to be told of a bucket's items under the
//! stripe's lock, and tells it after that. Between two buckets it holds nothing: no lock, no pin.

use crate::base::clock::{Expiry, Now};
use crate::base::hash::Place;
use crate::base::key::{KEY_LEN_MAX, Key};
use crate::store::index::walk::Position;
use crate::store::item::state;
use crate::store::outcome::ClassId;
use crate::store::slab::ChunkRef;
use crate::store::stripe::Stripe;
use crate::store::table::Table;

/// Some of the slab classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes(
    /// Bit n is that of class n.
    pub u64,
);

impl Classes {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    fn has(self, class: ClassId) -> bool {
        self.0 >> class.0 & 1 != 0
    }
}

/// What is told of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Its key.
    pub key: Key<'a>,
    /// The rest.
    pub facts: Facts,
}

/// What is told of an item besides its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When it dies.
    pub expiry: Expiry,
    /// Seconds since its last access.
    pub idle_s: u64,
    /// Its CAS id; 0 when they are off.
    pub cas: u64,
    /// Whether it has been fetched.
    pub fetched: bool,
    /// Its slab class.
    pub class: ClassId,
    /// Bytes it takes: header, key, value and what else it carries.
    pub size: u32,
    /// Bytes of its value.
    pub value_len: u32,
    /// The client's 32 bits.
    pub client_flags: u32,
    /// Whether its key came base64-encoded.
    pub binary_key: bool,
}

/// How far a list of the store's items has come.
///
/// An item that lives from the first bucket to the last is told exactly once, whatever happens
/// meanwhile to others, to its page or to the index; if it is replaced, once all the same. What
/// comes or goes meanwhile may be told or not. No key is told twice.
#[derive(Debug)]
pub struct Listing {
    classes: Classes,
    stripe: usize,
    from: Position,
    /// Scratch of a bucket's visit, kept to spare allocations: its items, and then of those that
    /// are told the facts with the lengths of their keys, and the keys.
    found: Vec<ChunkRef>,
    facts: Vec<(Facts, u8)>,
    keys: Vec<u8>,
}

impl Listing {
    /// Of the items of these classes.
    #[must_use]
    pub fn new(classes: Classes) -> Self {
        Self {
            classes,
            stripe: 0,
            from: Position::default(),
            found: vec![],
            facts: vec![],
            keys: vec![],
        }
    }
}

/// Tells what is alive in the next bucket. False when that was the last.
pub(crate) fn next(
    table: &Table,
    listing: &mut Listing,
    now: Now,
    mut tell: impl FnMut(&Listed<'_>),
) -> bool {
    let Some(stripe) = table.stripes.get(listing.stripe) else {
        return false;
    };
    listing.facts.clear();
    listing.keys.clear();
    let stripe = stripe.lock();
    let next = look(table, &stripe, listing);
    copy(table, &stripe, listing, now);
    drop(stripe);
    listing.from = next.unwrap_or_default();
    listing.stripe += usize::from(next.is_none());
    let mut keys = &listing.keys[..];
    for &(facts, key_len) in &listing.facts {
        let (key, rest) = keys.split_at(key_len.into());
        keys = rest;
        let key = Key::new(key).expect("it was the key of an item");
        tell(&Listed { key, facts });
    }
    listing.stripe < table.stripes.len()
}

/// Finds what is in the bucket, and has the processor load what is to be told.
fn look(table: &Table, stripe: &Stripe, listing: &mut Listing) -> Option<Position> {
    let slabs = &table.slabs;
    let found = &mut listing.found;
    found.clear();
    let place_of = |chunk| table.place_of(chunk);
    let (from, bits) = (listing.from, table.stripe_bits);
    let next = stripe.index.visit(slabs, bits, from, found, place_of);
    if listing.classes != Classes::ALL {
        found.retain(|&chunk| listing.classes.has(slabs.class_of(chunk)));
    }
    for &chunk in &*found {
        slabs.arena.prefetch(slabs.offset(chunk));
    }
    next
}

/// Copies what is to be told.
fn copy(table: &Table, stripe: &Stripe, listing: &mut Listing, now: Now) {
    let slabs = &table.slabs;
    let place = Place(listing.stripe as u32);
    for &chunk in &listing.found {
        let header = slabs.header(chunk);
        let mut buffer = [0; KEY_LEN_MAX];
        let key = slabs.key_of(chunk, &mut buffer);
        let key = key.expect("a linked item has a key of legal length");
        if stripe.death(key, header, now).is_some() {
            continue;
        }
        let facts = Facts {
            expiry: header.expiry(),
            idle_s: header.idle_seconds(now),
            cas: table.cas_id(place, chunk, header),
            fetched: header.has(state::FETCHED),
            class: slabs.class_of(chunk),
            size: slabs.item_size(chunk, header),
            value_len: slabs.value_len(chunk, header),
            client_flags: slabs.client_flags(chunk, header),
            binary_key: header.has(state::BINARY_KEY),
        };
        listing.facts.push((facts, header.key_len));
        listing.keys.extend_from_slice(key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::settings::StoreSettings;
    use crate::store::{Fetch, Lane, Store, StoreRequest};
    use std::sync::Arc;

    fn store() -> Arc<Store> {
        let settings = StoreSettings {
            memory_limit: 8 << 20,
            hash_seed: Some(1),
            ..StoreSettings::default()
        };
        Store::new(&settings, 1).unwrap()
    }

    fn put(lane: &mut Lane, key: &str, value_len: usize, request: &StoreRequest) -> u64 {
        let key = lane.hashed(Key::new(key.as_bytes()).unwrap());
        let value = vec![b'v'; value_len];
        let stored = lane.put(&key, request, &value, Now::at_second(5));
        stored.unwrap().cas
    }

    fn list(store: &Store, classes: Classes, now: Now) -> Vec<(String, Facts)> {
        let mut listing = Listing::new(classes);
        let mut told = vec![];
        let mut more = true;
        while more {
            more = store.list(&mut listing, now, |item| {
                let key = String::from_utf8_lossy(item.key.as_bytes());
                told.push((key.into_owned(), item.facts));
            });
        }
        assert!(!store.list(&mut listing, now, |_| panic!("it was the end")));
        told
    }

    #[test]
    fn an_item_is_told_with_all_its_facts() {
        let store = store();
        let mut lane = store.lane(0);
        assert!(list(&store, Classes::ALL, Now::at_second(5)).is_empty());
        let now = Now::at_second(5);
        let request = StoreRequest {
            client_flags: 7,
            expiry: Expiry::from_exptime(100, now),
            binary_key: true,
            ..StoreRequest::default()
        };
        let cas = put(&mut lane, "key", 1_000, &request);
        let told = list(&store, Classes::ALL, Now::at_second(8));
        let [(key, facts)] = &told[..] else {
            panic!("{told:?}");
        };
        let expected = Facts {
            expiry: request.expiry,
            idle_s: 3,
            cas,
            fetched: false,
            class: facts.class,
            size: 16 + 3 + 4 + 1_000,
            value_len: 1_000,
            client_flags: 7,
            binary_key: true,
        };
        assert_eq!((key.as_str(), *facts), ("key", expected));
        let hashed = lane.hashed(Key::new(b"key").unwrap());
        lane.fetch(&hashed, Fetch::default(), now, |item| {
            assert_eq!(item.class(), facts.class);
        });
        assert!(list(&store, Classes::ALL, now)[0].1.fetched);
    }

    #[test]
    fn only_the_classes_that_were_asked_for_are_told() {
        let store = store();
        let mut lane = store.lane(0);
        for number in 0..300 {
            let len = [10, 400, 60_000][number % 3];
            put(
                &mut lane,
                &format!("{number}"),
                len,
                &StoreRequest::default(),
            );
        }
        let all = list(&store, Classes::ALL, Now::at_second(5));
        assert_eq!(all.len(), 300);
        let class_of = |key: &str| {
            let found = all.iter().find(|(name, _)| name == key);
            found.unwrap().1.class
        };
        let some = Classes(1 << class_of("0").0 | 1 << class_of("2").0);
        let told = list(&store, some, Now::at_second(5));
        assert_eq!(told.len(), 200);
        assert!(told.iter().all(|(_, facts)| facts.value_len != 400));
        assert!(list(&store, Classes(0), Now::at_second(5)).is_empty());
    }

    #[test]
    fn what_has_expired_or_was_flushed_is_not_told() {
        let store = store();
        let mut lane = store.lane(0);
        let soon = StoreRequest {
            expiry: Expiry::from_exptime(2, Now::at_second(5)),
            ..StoreRequest::default()
        };
        for number in 0..100 {
            put(&mut lane, &format!("a{number}"), 9, &soon);
            put(
                &mut lane,
                &format!("b{number}"),
                9,
                &StoreRequest::default(),
            );
            put(
                &mut lane,
                &format!("c{number}"),
                9,
                &StoreRequest::default(),
            );
        }
        store.flush_prefix(b"b").unwrap();
        let told = list(&store, Classes::ALL, Now::at_second(8));
        assert_eq!(told.len(), 100);
        assert!(told.iter().all(|(key, _)| key.starts_with('c')));
    }
}
