//! The store against a `HashMap` that is obviously right, in memory so small that eviction never
//! stops. The model permits a miss, never a wrong value; `validate` walks all invariants.

#[path = "common/appointments.rs"]
mod appointments;

use appointments::Appointments;
use nuthatch::base::clock::{Expiry, Now};
use nuthatch::base::key::Key;
use nuthatch::base::settings::{EvictionPolicy, StoreSettings};
use nuthatch::store::{
    Arith, Counted, Deleted, Fetch, Fetched, HashedKey, Lane, PinnedValue, Store, StoreError,
    StoreMode, StoreOutcome, StoreRequest, Upload,
};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

const ITEM_SIZE_MAX: u32 = 100_000;

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: u16,
        mode: StoreMode,
        len: u32,
        ttl: i64,
        flags: u32,
        guess: bool,
    },
    Get {
        key: u16,
        touch: Option<i64>,
    },
    Delete {
        key: u16,
    },
    Count {
        key: u16,
        delta: u64,
        down: bool,
        create: bool,
    },
    Upload {
        key: u16,
        mode: StoreMode,
        len: u32,
    },
    Pin {
        key: u16,
    },
    Unpin,
    Flush,
    FlushIn {
        seconds: i64,
    },
    FlushPrefix {
        prefix: u16,
    },
    FlushPrefixIn {
        prefix: u16,
        seconds: i64,
    },
    Sleep {
        seconds: u64,
    },
    Maintain,
    Limit {
        quarters: u64,
    },
    Reassign {
        source: i32,
        target: i32,
    },
}

fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..40_u32,
        4 => 40..600_u32,
        2 => 600..20_000_u32,
        1 => 20_000..ITEM_SIZE_MAX + 2,
    ]
}

fn modes() -> impl Strategy<Value = StoreMode> {
    prop_oneof![
        6 => Just(StoreMode::Set),
        1 => Just(StoreMode::Add),
        1 => Just(StoreMode::Replace),
        1 => Just(StoreMode::Append),
        1 => Just(StoreMode::Prepend),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let key = 0..400_u16;
    let ttl = prop_oneof![4 => Just(0_i64), 2 => 1..20_i64, 1 => Just(-1_i64)];
    let flags = prop_oneof![Just(0_u32), any::<u32>()];
    prop_oneof![
        12 => (key.clone(), modes(), lengths(), ttl.clone(), flags, any::<bool>()).prop_map(
            |(key, mode, len, ttl, flags, guess)| Op::Put { key, mode, len, ttl, flags, guess }
        ),
        8 => (key.clone(), prop::option::of(ttl)).prop_map(|(key, touch)| Op::Get { key, touch }),
        3 => key.clone().prop_map(|key| Op::Delete { key }),
        3 => (key.clone(), any::<u64>(), any::<bool>(), any::<bool>()).prop_map(
            |(key, delta, down, create)| Op::Count { key, delta, down, create }
        ),
        2 => (key.clone(), modes(), lengths())
            .prop_map(|(key, mode, len)| Op::Upload { key, mode, len }),
        2 => key.prop_map(|key| Op::Pin { key }),
        2 => Just(Op::Unpin),
        1 => prop_oneof![9 => Just(Op::Maintain), 1 => Just(Op::Flush)],
        1 => (0..5_i64).prop_map(|seconds| Op::FlushIn { seconds }),
        2 => (0..100_u16).prop_map(|prefix| Op::FlushPrefix { prefix }),
        1 => (0..100_u16, 0..5_i64)
            .prop_map(|(prefix, seconds)| Op::FlushPrefixIn { prefix, seconds }),
        1 => (0..4_u64).prop_map(|seconds| Op::Sleep { seconds }),
        3 => Just(Op::Maintain),
        1 => (4..17_u64).prop_map(|quarters| Op::Limit { quarters }),
        2 => (-1..60_i32, 0..60_i32)
            .prop_map(|(source, target)| Op::Reassign { source, target }),
    ]
}

/// What the model knows of an item that may or may not have been evicted.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    value: Vec<u8>,
    flags: u32,
    expiry: Expiry,
    cas: u64,
}

struct World {
    store: Arc<Store>,
    lane: Lane,
    now: Now,
    model: HashMap<u16, Expected>,
    pins: Vec<(PinnedValue, Vec<u8>)>,
    appointments: Appointments,
    counter: u32,
}

fn key_text(key: u16) -> Vec<u8> {
    // Long and short keys, so that layouts vary.
    format!("key-{key}-{}", "x".repeat(usize::from(key) % 97)).into_bytes()
}

/// What one, eleven or a hundred and eleven keys begin with, or a hyphen more.
fn prefix_text(number: u16) -> Vec<u8> {
    let end = if number.is_multiple_of(3) { "-" } else { "" };
    format!("key-{number}{end}").into_bytes()
}

impl World {
    fn new(policy: EvictionPolicy) -> Self {
        let settings = StoreSettings {
            memory_limit: 1 << 20,
            item_size_max: ITEM_SIZE_MAX,
            policy,
            hash_seed: Some(7),
            ..StoreSettings::default()
        };
        let store = Store::new(&settings, 1).expect("memory is there");
        let lane = store.lane(0);
        let now = Now::at_second(1000);
        let model = HashMap::new();
        Self {
            store,
            lane,
            now,
            model,
            pins: vec![],
            appointments: Appointments::default(),
            counter: 0,
        }
    }

    /// A value that tells which write it came from.
    fn value(&mut self, len: u32) -> Vec<u8> {
        self.counter += 1;
        let digit = b'0' + (self.counter % 10) as u8;
        if len < 5 {
            vec![digit; len as usize]
        } else {
            vec![self.counter as u8; len as usize]
        }
    }

    fn alive(&self, key: u16) -> Option<&Expected> {
        self.model
            .get(&key)
            .filter(|item| !item.expiry.has_passed(self.now))
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Put {
                key,
                mode,
                len,
                ttl,
                flags,
                guess,
            } => {
                let compare = guess
                    .then(|| self.alive(key).map(|item| item.cas))
                    .flatten();
                let compare = compare.filter(|_| len % 3 == 0);
                let expiry = Expiry::from_exptime(ttl, self.now);
                let request = StoreRequest {
                    mode,
                    client_flags: flags,
                    expiry,
                    compare,
                    ..StoreRequest::default()
                };
                self.put(key, &request, len, false);
            }
            Op::Upload { key, mode, len } => {
                let request = StoreRequest {
                    mode,
                    ..StoreRequest::default()
                };
                self.put(key, &request, len, true);
            }
            Op::Get { key, touch } => self.get(key, touch),
            Op::Delete { key } => self.delete(key),
            Op::Count {
                key,
                delta,
                down,
                create,
            } => self.count(key, delta, down, create),
            Op::Pin { key } => self.pin(key),
            Op::Unpin => {
                if !self.pins.is_empty() {
                    let (pin, value) = self.pins.remove(0);
                    check_pin(&pin, &value);
                }
            }
            Op::Flush => {
                self.store.flush();
                self.forget(b"");
            }
            Op::FlushIn { seconds } => {
                let when = Expiry::from_exptime(seconds, self.now);
                self.store.flush_at(when);
                self.appointments.make(b"", when);
            }
            Op::FlushPrefix { prefix } => {
                let prefix = prefix_text(prefix);
                self.store.flush_prefix(&prefix).expect("few are pending");
                self.forget(&prefix);
            }
            Op::FlushPrefixIn { prefix, seconds } => {
                let (prefix, when) = (prefix_text(prefix), Expiry::from_exptime(seconds, self.now));
                let appointed = self.store.flush_prefix_at(&prefix, when);
                appointed.expect("few are pending");
                self.appointments.make(&prefix, when);
            }
            Op::Limit { quarters } => {
                let limit = (1 << 18) * quarters;
                assert!(self.store.set_memory_limit(limit));
                assert_eq!(self.store.snapshot().limit_bytes, limit);
            }
            Op::Reassign { source, target } => {
                // From any class to one that is certainly there, as often as not.
                let source = if source % 2 == 0 { source } else { -1 };
                let ordered = self.store.order_move(source, target % 30);
                assert!(ordered.is_err() || self.store.snapshot().moving);
            }
            Op::Sleep { seconds } => self.now = self.now.plus_seconds(seconds),
            Op::Maintain => {
                self.keep_appointments();
                self.lane.maintain(self.now);
            }
        }
    }

    /// What a flush does.
    fn forget(&mut self, prefix: &[u8]) {
        self.appointments.cancel(prefix);
        self.model
            .retain(|&key, _| !key_text(key).starts_with(prefix));
    }

    fn keep_appointments(&mut self) {
        for prefix in self.appointments.due(self.now) {
            self.forget(&prefix);
        }
    }

    fn put(&mut self, key: u16, request: &StoreRequest, len: u32, piecewise: bool) {
        let text = key_text(key);
        let value = self.value(len);
        let before = self.alive(key).cloned();
        let hashed = self.lane.hashed(Key::new(&text).expect("legal"));
        let stored = if piecewise {
            upload(&mut self.lane, &hashed, request, &value, self.now)
        } else {
            self.lane.put(&hashed, request, &value, self.now)
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(StoreError::TooLarge) => {
                assert!(len > ITEM_SIZE_MAX);
                return;
            }
            Err(StoreError::OutOfMemory) => {
                assert!(
                    !self.pins.is_empty() || len > 60_000,
                    "room for {len} bytes can be made"
                );
                return;
            }
        };
        match stored.outcome {
            StoreOutcome::Stored => {
                let fresh = Expected {
                    value,
                    flags: request.client_flags,
                    expiry: request.expiry,
                    cas: stored.cas,
                };
                let new = match (request.mode, before) {
                    (StoreMode::Append, Some(old)) => Expected {
                        value: [old.value, fresh.value].concat(),
                        cas: stored.cas,
                        ..old
                    },
                    (StoreMode::Prepend, Some(old)) => Expected {
                        value: [fresh.value, old.value].concat(),
                        cas: stored.cas,
                        ..old
                    },
                    (StoreMode::Append | StoreMode::Prepend | StoreMode::Replace, None) => {
                        panic!("{:?} of nothing was stored", request.mode)
                    }
                    _ => fresh,
                };
                assert_eq!(stored.value_len as usize, new.value.len());
                self.model.insert(key, new);
            }
            StoreOutcome::NotFound => assert!(request.compare.is_some()),
            StoreOutcome::Exists => {
                assert_ne!(
                    request.compare,
                    before.map(|item| item.cas),
                    "the id was right"
                );
            }
            StoreOutcome::NotStored => match request.mode {
                StoreMode::Add => assert!(before.is_some(), "there was something"),
                StoreMode::Set => panic!("a set is always stored"),
                _ => {}
            },
        }
    }

    fn get(&mut self, key: u16, touch: Option<i64>) {
        let text = key_text(key);
        let hashed = self.lane.hashed(Key::new(&text).expect("legal"));
        let touch = touch.map(|ttl| Expiry::from_exptime(ttl, self.now));
        let how = Fetch {
            touch,
            peek: key.is_multiple_of(5),
        };
        let mut value = vec![];
        let found = self.lane.fetch(&hashed, how, self.now, |item| {
            item.copy_value(&mut value);
            (
                item.client_flags(),
                item.cas(),
                item.value_len(),
                item.expiry(),
            )
        });
        match found {
            Fetched::Hit((flags, cas, len, expiry)) => {
                let mut expected = self
                    .alive(key)
                    .cloned()
                    .expect("a hit on what was never there");
                if let Some(touch) = touch {
                    expected.expiry = touch;
                }
                assert_eq!(len as usize, value.len());
                assert_eq!(
                    Expected {
                        value,
                        flags,
                        expiry,
                        cas
                    },
                    expected
                );
                self.model.insert(key, expected);
            }
            Fetched::Miss(_) => {
                self.model.remove(&key);
            }
        }
    }

    fn delete(&mut self, key: u16) {
        let text = key_text(key);
        let hashed = self.lane.hashed(Key::new(&text).expect("legal"));
        match self.lane.delete(&hashed, None, self.now) {
            Deleted::Deleted(_) => assert!(self.alive(key).is_some(), "deleted what was not there"),
            Deleted::NotFound => {}
            Deleted::Exists => panic!("no id was given"),
        }
        self.model.remove(&key);
    }

    fn count(&mut self, key: u16, delta: u64, down: bool, create: bool) {
        let text = key_text(key);
        let hashed = self.lane.hashed(Key::new(&text).expect("legal"));
        let initial = create.then_some((delta >> 3, Expiry::NEVER));
        let how = Arith {
            delta,
            down,
            initial,
            ..Arith::default()
        };
        let before = self.alive(key).cloned();
        match self.lane.arith(&hashed, &how, self.now) {
            Ok(Counted::Number {
                value,
                cas,
                created: true,
                ..
            }) => {
                assert_eq!(value, delta >> 3);
                let expected = Expected {
                    value: value.to_string().into_bytes(),
                    flags: 0,
                    expiry: Expiry::NEVER,
                    cas,
                };
                self.model.insert(key, expected);
            }
            Ok(Counted::Number { value, cas, .. }) => {
                let before = before.expect("counted what was not there");
                let old: u64 = std::str::from_utf8(&before.value)
                    .ok()
                    .and_then(|text| text.trim().parse().ok())
                    .expect("only numbers are counted");
                let right = if down {
                    old.saturating_sub(delta)
                } else {
                    old.wrapping_add(delta)
                };
                assert_eq!(value, right);
                let expected = Expected {
                    value: value.to_string().into_bytes(),
                    cas,
                    ..before
                };
                self.model.insert(key, expected);
            }
            Ok(Counted::NotFound) => {
                assert!(!create);
                self.model.remove(&key);
            }
            Ok(Counted::NonNumeric) => assert!(before.is_some()),
            Ok(Counted::Exists) => panic!("no id was given"),
            Err(_) => assert!(!self.pins.is_empty()),
        }
    }

    fn pin(&mut self, key: u16) {
        let text = key_text(key);
        let hashed = self.lane.hashed(Key::new(&text).expect("legal"));
        let pin = self
            .lane
            .fetch(&hashed, Fetch::default(), self.now, |item| item.pin());
        if let Fetched::Hit(pin) = pin {
            let value = self
                .alive(key)
                .expect("a hit on what was never there")
                .value
                .clone();
            self.pins.push((pin, value));
        }
    }

    fn finish(mut self) {
        for (pin, value) in self.pins.drain(..) {
            check_pin(&pin, &value);
        }
        while self.lane.maintain(self.now) {}
        assert!(!self.store.is_over_limit(), "nothing holds memory");
        self.store.validate();
    }
}

fn check_pin(pin: &PinnedValue, value: &[u8]) {
    assert_eq!(pin.len() as usize, value.len());
    let mut read = vec![];
    let mut piece = [0; 7777];
    loop {
        let count = pin.read_at(read.len() as u32, &mut piece);
        if count == 0 {
            break;
        }
        read.extend_from_slice(&piece[..count]);
    }
    assert!(read == value, "a pinned value stays as it was");
}

fn upload(
    lane: &mut Lane,
    key: &HashedKey<'_>,
    request: &StoreRequest,
    value: &[u8],
    now: Now,
) -> Result<nuthatch::store::Stored, StoreError> {
    let mut upload: Upload = lane.begin(key, request, value.len() as u32, now)?;
    for piece in value.chunks(1000) {
        if let Err(error) = lane.fill(&mut upload, piece, now) {
            lane.abandon(upload);
            return Err(error);
        }
    }
    if value.len() % 17 == 3 {
        lane.abandon(upload);
        return lane.put(key, request, value, now);
    }
    lane.commit(upload, now)
}

fn play(policy: EvictionPolicy, ops: &[Op]) {
    let mut world = World::new(policy);
    for op in ops {
        world.run(op);
        if world.pins.is_empty() {
            world.store.validate();
        }
    }
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_store_never_answers_wrongly(ops in prop::collection::vec(ops(), 1..600)) {
        play(EvictionPolicy::S3, &ops);
    }

    #[test]
    fn other_policies_are_as_right(
        policy in prop_oneof![Just(EvictionPolicy::Lru), Just(EvictionPolicy::Lfu)],
        ops in prop::collection::vec(ops(), 1..300),
    ) {
        play(policy, &ops);
    }
}

/// Cases per property; more with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(200)
}
