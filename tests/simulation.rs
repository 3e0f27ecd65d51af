//! Millions of operations made from a seed, on a small store in its own time.
//!
//! Beside the store runs a model that forgets nothing. The store may have lost anything at any
//! time, for want of memory; what it still has must be the model's, to the byte. Uploads and pins
//! stay open over other operations, as slow clients' do, and the clock jumps by up to years.
//!
//! A failure names its seed: `SEED=<n> OPERATIONS=<n> cargo test --release --test simulation
//! -- --include-ignored` plays that one again.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "common/appointments.rs"]
mod appointments;
mod common;

use appointments::Appointments;
use common::Random;
use nuthatch::base::clock::{Expiry, Now};
use nuthatch::base::key::Key;
use nuthatch::base::settings::{EvictionPolicy, StoreSettings};
use nuthatch::store::{
    Arith, Counted, Deleted, Fetch, Fetched, Lane, PinnedValue, Store, StoreError, StoreMode,
    StoreOutcome, StoreRequest, Stored, Upload,
};
use std::collections::HashMap;
use std::sync::Arc;

/// So small that nearly every set has to evict.
const MEMORY: u64 = 4 << 20;

/// Large enough for values of several chunks.
const ITEM_SIZE_MAX: u32 = 100_000;

/// Several times what fits.
const KEYS: u64 = 20_000;

/// Clients that are in the middle of sending a value, and of reading one.
const UPLOADS_MAX: usize = 4;
const PINS_MAX: usize = 4;

/// Operations from one walk over all invariants to the next.
const VALIDATE_EVERY: u64 = 20_000;

/// The clock stops jumping by days here: expiry times end after 68 years.
const YEARS_MAX: u64 = 50;

const DAY: u64 = 86_400;

struct Expected {
    value: Vec<u8>,
    flags: u32,
    expiry: Expiry,
    cas: u64,
}

/// A value on its way in, of which the client has sent some.
struct Sending {
    key: u64,
    request: StoreRequest,
    value: Vec<u8>,
    upload: Upload,
}

#[derive(Debug, Default)]
struct Counts {
    hits: u64,
    misses: u64,
    stored: u64,
    refused: u64,
    no_memory: u64,
    flushes: u64,
    prefix_flushes: u64,
    validations: u64,
}

struct World {
    store: Arc<Store>,
    lanes: [Lane; 2],
    random: Random,
    now: Now,
    model: HashMap<u64, Expected>,
    sending: Vec<Sending>,
    pins: Vec<(PinnedValue, Vec<u8>)>,
    appointments: Appointments,
    seen: Vec<u8>,
    counts: Counts,
}

/// Says how to play a failed run again.
struct Told {
    seed: u64,
    operation: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let operations = self.operation + 1;
            eprintln!("SEED={} OPERATIONS={operations} fails", self.seed);
        }
    }
}

/// Short and long keys, so that layouts vary.
fn key_text(key: u64) -> Vec<u8> {
    let mut text = format!("{key}-").into_bytes();
    text.resize(text.len() + (key % 97) as usize, b'k');
    text
}

impl World {
    fn new(policy: EvictionPolicy, seed: u64) -> Self {
        let settings = StoreSettings {
            memory_limit: MEMORY,
            item_size_max: ITEM_SIZE_MAX,
            policy,
            hash_seed: Some(seed),
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 2).unwrap();
        Self {
            lanes: [store.lane(0), store.lane(1)],
            store,
            random: Random(seed),
            now: Now::at_second(2),
            model: HashMap::new(),
            sending: vec![],
            pins: vec![],
            appointments: Appointments::default(),
            seen: vec![],
            counts: Counts::default(),
        }
    }

    fn step(&mut self) {
        match self.random.below(10_000) {
            0..3_000 => self.get(),
            3_000..3_600 => self.touch(),
            3_600..7_000 => self.put(),
            7_000..7_700 => self.delete(),
            7_700..8_600 => self.count(),
            8_600..9_000 => self.begin(),
            9_000..9_500 => self.send(),
            9_500..9_600 => self.pin(),
            9_600..9_700 => self.unpin(),
            9_700..9_900 => self.maintain(),
            9_900..9_990 => self.pass_time(),
            9_990..9_998 => self.flush_prefix(),
            9_998 => self.change_limit(),
            _ if self.chance(5) => self.flush(),
            _ => {}
        }
    }

    // ---- Choices -----------------------------------------------------------------------------

    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    /// Half of all operations go to a hundredth of the keys.
    fn key(&mut self) -> u64 {
        let keys = if self.chance(2) { KEYS / 100 } else { KEYS };
        self.random.below(keys)
    }

    fn len(&mut self) -> u64 {
        let (from, to) = match self.random.below(1_000) {
            0..500 => (0, 60),
            500..850 => (60, 1_000),
            850..985 => (1_000, 16_000),
            985..995 => (16_000, 60_000),
            _ => (60_000, u64::from(ITEM_SIZE_MAX) + 2),
        };
        from + self.random.below(to - from)
    }

    /// Bytes that tell which write they came from; some are numbers.
    fn value(&mut self) -> Vec<u8> {
        if self.chance(4) {
            return self.random.below(1 << 40).to_string().into_bytes();
        }
        let len = self.len() as usize;
        let mut pattern = self.random.next().to_le_bytes();
        pattern[0] = b'v'; // so that nothing becomes a number by accident
        let mut value = pattern.repeat(len / pattern.len() + 1);
        value.truncate(len);
        value
    }

    fn expiry(&mut self) -> Expiry {
        let exptime = match self.random.below(20) {
            0..17 => 0,
            17 => 1 + self.random.below(20) as i64,
            18 => 1 + self.random.below(40 * DAY) as i64, // past 30 days it is a timestamp
            _ => [-1, self.now.unix() + 3600][self.random.below(2) as usize],
        };
        Expiry::from_exptime(exptime, self.now)
    }

    fn request(&mut self, key: u64) -> StoreRequest {
        let mode = match self.random.below(10) {
            0..5 => StoreMode::Set,
            5 => StoreMode::Add,
            6 => StoreMode::Replace,
            7..9 => StoreMode::Append,
            _ => StoreMode::Prepend,
        };
        let right = self.alive(key).map(|item| item.cas);
        let compare = match self.random.below(20) {
            0 => right,
            1 => right.map(|id| id + 1),
            _ => None,
        };
        StoreRequest {
            mode,
            client_flags: self.random.next() as u32,
            expiry: self.expiry(),
            compare,
            ..StoreRequest::default()
        }
    }

    /// The lanes take turns: what one stored the other finds.
    fn lane(&mut self) -> usize {
        self.random.below(2) as usize
    }

    fn alive(&self, key: u64) -> Option<&Expected> {
        let now = self.now;
        self.model
            .get(&key)
            .filter(|item| !item.expiry.has_passed(now))
    }

    // ---- Storing -----------------------------------------------------------------------------

    fn put(&mut self) {
        let key = self.key();
        let (request, value) = (self.request(key), self.value());
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        let result = lane.put(&hashed, &request, &value, self.now);
        let is_stored = matches!(&result, Ok(stored) if stored.outcome == StoreOutcome::Stored);
        self.settle(key, &request, value, result);
        if is_stored && self.chance(8) {
            let there = self.look(key, Fetch::default());
            assert!(
                there || self.alive(key).is_none(),
                "what was stored a moment ago is gone"
            );
        }
    }

    fn begin(&mut self) {
        if self.sending.len() == UPLOADS_MAX {
            return self.send();
        }
        let key = self.key();
        let (request, value) = (self.request(key), self.value());
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        match lane.begin(&hashed, &request, value.len() as u32, self.now) {
            Ok(upload) => self.sending.push(Sending {
                key,
                request,
                value,
                upload,
            }),
            Err(error) => self.settle(key, &request, value, Err(error)),
        }
    }

    /// A client sends some more of its value, all of it, or goes away.
    fn send(&mut self) {
        if self.sending.is_empty() {
            return;
        }
        let which = self.random.below(self.sending.len() as u64) as usize;
        let mut sending = self.sending.swap_remove(which);
        let lane = self.lane();
        if self.chance(6) {
            return self.lanes[lane].abandon(sending.upload);
        }
        let missing = u64::from(sending.upload.missing());
        let count = self.random.below(missing + 1).max(missing.min(1_000)) as usize;
        let sent = sending.value.len() - missing as usize;
        let piece = &sending.value[sent..sent + count];
        if let Err(error) = self.lanes[lane].fill(&mut sending.upload, piece, self.now) {
            self.lanes[lane].abandon(sending.upload);
            return self.settle(sending.key, &sending.request, sending.value, Err(error));
        }
        if sending.upload.missing() > 0 {
            return self.sending.push(sending);
        }
        let result = self.lanes[lane].commit(sending.upload, self.now);
        self.settle(sending.key, &sending.request, sending.value, result);
    }

    /// Holds what the store answered against the model, and follows it.
    fn settle(
        &mut self,
        key: u64,
        request: &StoreRequest,
        value: Vec<u8>,
        result: Result<Stored, StoreError>,
    ) {
        let before = self.alive(key).map(|item| item.cas);
        let stored = match result {
            Ok(stored) => stored,
            Err(StoreError::TooLarge) => {
                assert!(value.len() > ITEM_SIZE_MAX as usize, "{}", value.len());
                return;
            }
            Err(StoreError::OutOfMemory) => {
                let held = self.sending.len() + self.pins.len();
                assert!(held > 0, "no room for {} bytes", value.len());
                self.counts.no_memory += 1;
                return;
            }
        };
        if stored.outcome == StoreOutcome::Stored {
            self.counts.stored += 1;
            return self.note(key, request, value, stored);
        }
        self.counts.refused += 1;
        match stored.outcome {
            StoreOutcome::NotFound => assert!(request.compare.is_some()),
            StoreOutcome::Exists => {
                assert!(before.is_some());
                assert_ne!(request.compare, before, "the id was right");
            }
            _ => match request.mode {
                StoreMode::Add => assert!(before.is_some(), "there was nothing"),
                StoreMode::Set => panic!("a set is stored"),
                _ => {}
            },
        }
    }

    fn note(&mut self, key: u64, request: &StoreRequest, value: Vec<u8>, stored: Stored) {
        let joins = matches!(request.mode, StoreMode::Append | StoreMode::Prepend);
        if request.compare.is_some() && request.mode != StoreMode::Add {
            let before = self.alive(key).map(|item| item.cas);
            assert_eq!(request.compare, before, "the id was wrong");
        }
        if joins || request.mode == StoreMode::Replace {
            assert!(self.alive(key).is_some(), "stored over nothing");
        }
        if joins {
            let item = self.model.get_mut(&key).unwrap();
            let at = [0, item.value.len()][usize::from(request.mode == StoreMode::Append)];
            item.value.splice(at..at, value);
            item.cas = stored.cas;
        } else {
            let item = Expected {
                value,
                flags: request.client_flags,
                expiry: request.expiry,
                cas: stored.cas,
            };
            self.model.insert(key, item);
        }
        assert_eq!(stored.value_len as usize, self.model[&key].value.len());
    }

    // ---- Looking -----------------------------------------------------------------------------

    fn get(&mut self) {
        let key = self.key();
        let peek = self.chance(10);
        self.look(key, Fetch { touch: None, peek });
    }

    fn touch(&mut self) {
        let key = self.key();
        let touch = Some(self.expiry());
        self.look(key, Fetch { touch, peek: false });
    }

    /// Fetches and compares; whether there was something.
    fn look(&mut self, key: u64, how: Fetch) -> bool {
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        let seen = &mut self.seen;
        seen.clear();
        let found = lane.fetch(&hashed, how, self.now, |item| {
            item.copy_value(seen);
            let len = item.value_len() as usize;
            (item.client_flags(), item.cas(), len, item.expiry())
        });
        let Fetched::Hit((flags, cas, len, expiry)) = found else {
            self.counts.misses += 1;
            self.model.remove(&key);
            return false;
        };
        self.counts.hits += 1;
        assert!(self.alive(key).is_some(), "a hit on what was never there");
        let item = self.model.get_mut(&key).unwrap();
        item.expiry = how.touch.unwrap_or(item.expiry);
        assert!(item.value == self.seen, "another value: {key}");
        assert_eq!(len, item.value.len());
        assert_eq!(
            (flags, cas, expiry),
            (item.flags, item.cas, item.expiry),
            "{key}"
        );
        true
    }

    fn pin(&mut self) {
        if self.pins.len() == PINS_MAX {
            return self.unpin();
        }
        let key = self.key();
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        let pin = lane.fetch(&hashed, Fetch::default(), self.now, |item| item.pin());
        if let Fetched::Hit(pin) = pin {
            let item = self.alive(key).expect("a hit on what was never there");
            let value = item.value.clone();
            self.pins.push((pin, value));
        }
    }

    fn unpin(&mut self) {
        if self.pins.is_empty() {
            return;
        }
        let which = self.random.below(self.pins.len() as u64) as usize;
        let (pin, value) = self.pins.swap_remove(which);
        assert_eq!(pin.len() as usize, value.len());
        let mut piece = vec![0; 1 + self.random.below(20_000) as usize];
        let mut read = 0;
        while read < value.len() {
            let count = pin.read_at(read as u32, &mut piece);
            assert!(count > 0, "a pinned value ends early");
            assert!(
                piece[..count] == value[read..read + count],
                "a pinned value stays as it was"
            );
            read += count;
        }
    }

    // ---- Changing ----------------------------------------------------------------------------

    fn delete(&mut self) {
        let key = self.key();
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        match lane.delete(&hashed, None, self.now) {
            Deleted::Deleted(_) => assert!(self.alive(key).is_some(), "deleted what was not there"),
            Deleted::NotFound => {}
            Deleted::Exists => panic!("no id was given"),
        }
        self.model.remove(&key);
    }

    fn count(&mut self) {
        let key = self.key();
        let how = Arith {
            delta: self.random.next() >> self.random.below(64),
            down: self.chance(2),
            initial: self.chance(2).then_some((7, Expiry::NEVER)),
            ..Arith::default()
        };
        let text = key_text(key);
        let lane = self.lane();
        let lane = &mut self.lanes[lane];
        let hashed = lane.hashed(Key::new(&text).unwrap());
        let counted = lane.arith(&hashed, &how, self.now);
        let before = self.alive(key).map(|item| number(&item.value));
        match counted {
            Ok(Counted::Number {
                value,
                cas,
                created,
                ..
            }) => {
                let right = match (created, before) {
                    (true, _) => 7,
                    (false, Some(Some(old))) if how.down => old.saturating_sub(how.delta),
                    (false, Some(Some(old))) => old.wrapping_add(how.delta),
                    (false, _) => panic!("counted what is no number"),
                };
                assert_eq!(value, right);
                self.note_number(key, value, cas, created);
            }
            Ok(Counted::NotFound) => {
                assert!(how.initial.is_none());
                self.model.remove(&key);
            }
            Ok(Counted::NonNumeric) => assert_eq!(before, Some(None)),
            Ok(Counted::Exists) => panic!("no id was given"),
            Err(_) => {
                assert!(self.sending.len() + self.pins.len() > 0, "no room");
                self.counts.no_memory += 1;
            }
        }
    }

    fn note_number(&mut self, key: u64, number: u64, cas: u64, created: bool) {
        let value = number.to_string().into_bytes();
        if created {
            let item = Expected {
                value,
                flags: 0,
                expiry: Expiry::NEVER,
                cas,
            };
            self.model.insert(key, item);
        } else {
            let item = self.model.get_mut(&key).unwrap();
            (item.value, item.cas) = (value, cas);
        }
    }

    fn flush(&mut self) {
        if self.chance(2) {
            let seconds = self.random.below(5) as i64;
            let when = Expiry::from_exptime(seconds, self.now);
            self.store.flush_at(when);
            self.appointments.make(b"", when);
        } else {
            self.store.flush();
            self.forget(b"");
        }
    }

    /// Of a thousandth of all keys, a hundredth, or a tenth.
    fn flush_prefix(&mut self) {
        let prefix = self.random.below(1_000).to_string().into_bytes();
        if self.chance(4) {
            let seconds = self.random.below(5) as i64;
            let when = Expiry::from_exptime(seconds, self.now);
            let appointed = self.store.flush_prefix_at(&prefix, when);
            appointed.expect("few are pending");
            self.appointments.make(&prefix, when);
        } else {
            let flushed = self.store.flush_prefix(&prefix);
            flushed.expect("few are pending");
            self.forget(&prefix);
        }
    }

    fn forget(&mut self, prefix: &[u8]) {
        if prefix.is_empty() {
            self.counts.flushes += 1;
        } else {
            self.counts.prefix_flushes += 1;
        }
        self.appointments.cancel(prefix);
        self.model
            .retain(|&key, _| !key_text(key).starts_with(prefix));
    }

    fn keep_appointments(&mut self) {
        for prefix in self.appointments.due(self.now) {
            self.forget(&prefix);
        }
    }

    fn change_limit(&mut self) {
        let limit = MEMORY / 2 + self.random.below(MEMORY);
        assert!(self.store.set_memory_limit(limit));
    }

    fn maintain(&mut self) {
        self.keep_appointments();
        if self.chance(4) {
            // Mostly refused: not from a class's last page.
            let (source, target) = (self.random.below(40), self.random.below(40));
            let _ = self.store.order_move(source as i32 - 1, target as i32);
        }
        let lane = self.lane();
        self.lanes[lane].maintain(self.now);
    }

    fn pass_time(&mut self) {
        if self.chance(200) {
            if self.now.seconds() < YEARS_MAX * 365 * DAY {
                let days = self.random.below(60);
                self.now = self.now.plus_seconds(days * DAY);
            }
        } else if self.chance(20) {
            self.now = self.now.plus_seconds(self.random.below(20));
        } else {
            self.now.ticks += self.random.below(8);
        }
    }

    /// Walks all invariants, once nobody is in the middle of something.
    fn validate(&mut self) {
        while !self.pins.is_empty() {
            self.unpin();
        }
        while !self.sending.is_empty() {
            self.send();
        }
        self.store.validate();
        self.counts.validations += 1;
    }
}

/// What the protocol counts: decimal digits that fit in 64 bits.
fn number(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().filter(|_| text.as_bytes()[0] != b'+')
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn simulate(policy: EvictionPolicy, operations: u64) {
    let seed = from_env("SEED").unwrap_or(1);
    let operations = from_env("OPERATIONS").unwrap_or(operations);
    let mut told = Told { seed, operation: 0 };
    let mut world = World::new(policy, seed);
    for operation in 0..operations {
        told.operation = operation;
        world.step();
        if operation % VALIDATE_EVERY == VALIDATE_EVERY - 1 {
            world.validate();
        }
    }
    world.validate();
    let counts = &world.counts;
    let totals = world.store.snapshot();
    println!("SEED={seed}, {operations} operations: {counts:?}, {totals:?}");
    if operations >= 1_000_000 {
        // A life in which nothing happens proves nothing.
        assert!(counts.hits > operations / 10 && counts.misses > operations / 100);
        assert!(counts.stored > operations / 10 && counts.flushes > 0);
        assert!(counts.prefix_flushes > operations / 10_000);
        assert!(counts.no_memory < counts.stored / 1_000, "{counts:?}");
        assert!(totals.evictions > operations / 100 && totals.slabs_moved > 0);
        assert!(totals.expired_unfetched > 0 && totals.crawler_reclaimed > 0);
    }
}

#[test]
fn a_short_life_without_a_wrong_answer() {
    simulate(EvictionPolicy::S3, 200_000);
}

#[test]
#[ignore = "takes long in a debug build; scripts/test runs it"]
fn a_long_life_without_a_wrong_answer() {
    simulate(EvictionPolicy::S3, 10_000_000);
}

#[test]
#[ignore = "takes long in a debug build; scripts/test runs it"]
fn a_long_life_by_recency() {
    simulate(EvictionPolicy::Lru, 1_000_000);
}

#[test]
#[ignore = "takes long in a debug build; scripts/test runs it"]
fn a_long_life_by_frequency() {
    simulate(EvictionPolicy::Lfu, 1_000_000);
}
