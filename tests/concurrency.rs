//! Many threads on few keys: counters are exact, one CAS wins, no value is torn, nothing leaks.

use nuthatch::base::clock::{Expiry, Now};
use nuthatch::base::key::Key;
use nuthatch::base::settings::StoreSettings;
use nuthatch::store::{
    Arith, Counted, Fetch, Fetched, HashedKey, Lane, MetaFetch, Store, StoreMode, StoreOutcome,
    StoreRequest,
};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

const THREADS: usize = 8;

/// What each thread must have seen of flushes: items that were there, and that were not.
const SEEN_MIN: u64 = 500;

fn store(megabytes: u64) -> Arc<Store> {
    let settings = StoreSettings {
        memory_limit: megabytes << 20,
        ..StoreSettings::default()
    };
    Store::new(&settings, THREADS).expect("memory is there")
}

/// Runs `work` on every lane at once.
fn on_all(store: &Arc<Store>, work: impl Fn(usize, &mut Lane) + Sync) {
    thread::scope(|scope| {
        for id in 0..THREADS {
            let mut lane = store.lane(id);
            let work = &work;
            scope.spawn(move || work(id, &mut lane));
        }
    });
    store.validate();
}

fn now() -> Now {
    Now::at_second(10)
}

/// A small generator: xorshift, seeded per thread.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn every_increment_counts() {
    const ROUNDS: u64 = 20_000;
    let store = store(4);
    on_all(&store, |_, lane| {
        let key = lane.hashed(Key::new(b"counter").unwrap());
        let how = Arith {
            delta: 1,
            initial: Some((1, Expiry::NEVER)),
            ..Arith::default()
        };
        let mut last = 0;
        for _ in 0..ROUNDS {
            match lane.arith(&key, &how, now()) {
                Ok(Counted::Number { value, .. }) => {
                    assert!(value > last, "the counter only rises");
                    last = value;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let mut lane = store.lane(0);
    let key = lane.hashed(Key::new(b"counter").unwrap());
    let mut value = vec![];
    lane.fetch(&key, Fetch::default(), now(), |item| {
        item.copy_value(&mut value)
    });
    assert_eq!(value, (ROUNDS * THREADS as u64).to_string().into_bytes());
}

#[test]
fn one_compare_and_swap_wins_each_round() {
    const ROUNDS: usize = 3_000;
    let store = store(4);
    let winners: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let ids: Vec<AtomicU64> = (0..ROUNDS).map(|_| AtomicU64::new(0)).collect();
    let mut lane = store.lane(0);
    for (round, id) in ids.iter().enumerate() {
        let name = format!("round-{round}");
        let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
        let stored = lane
            .put(&key, &StoreRequest::default(), b"start", now())
            .unwrap();
        id.store(stored.cas, Ordering::Relaxed);
    }
    drop(lane);
    on_all(&store, |id, lane| {
        for round in 0..ROUNDS {
            let name = format!("round-{round}");
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let compare = Some(ids[round].load(Ordering::Relaxed));
            let request = StoreRequest {
                compare,
                ..StoreRequest::default()
            };
            // Of different lengths, so that some overwrite in place and some do not.
            let value = vec![b'0' + id as u8; 1 + id * 100];
            let stored = lane.put(&key, &request, &value, now()).unwrap();
            match stored.outcome {
                StoreOutcome::Stored => {
                    winners[round].fetch_add(1, Ordering::Relaxed);
                }
                StoreOutcome::Exists => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert!(
        winners
            .iter()
            .all(|count| count.load(Ordering::Relaxed) == 1)
    );
}

#[test]
fn no_value_is_torn_while_everything_is_overwritten_evicted_and_moved() {
    const ROUNDS: u64 = 60_000;
    let store = store(2);
    store.set_automove_window_s(3);
    on_all(&store, |id, lane| {
        let mut dice = Dice(0x9e37_79b9 + id as u64);
        let mut value = vec![];
        let mut pins = vec![];
        for round in 0..ROUNDS {
            let name = format!("key-{}", dice.roll(500));
            let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
            let len = match dice.roll(100) {
                0 => dice.roll(300_000),
                1..5 => dice.roll(40_000),
                _ => dice.roll(2_000),
            } as usize;
            match dice.roll(10) {
                0..4 => {
                    let byte = (round % 251) as u8;
                    let request = StoreRequest {
                        expiry: Expiry::from_exptime(dice.roll(3) as i64, now()),
                        ..StoreRequest::default()
                    };
                    // A miss of memory is possible: seven other threads hold some.
                    let _ = lane.put(&key, &request, &vec![byte; len], now());
                }
                4 => drop(lane.delete(&key, None, now())),
                5 => {
                    let request = StoreRequest {
                        mode: StoreMode::Replace,
                        ..StoreRequest::default()
                    };
                    let _ = lane.put(&key, &request, &vec![b'r'; len % 300], now());
                }
                6 => {
                    let pin = lane.fetch(&key, Fetch::default(), now(), |item| item.pin());
                    if let Fetched::Hit(pin) = pin {
                        pins.push(pin);
                    }
                    if pins.len() > 4 {
                        let pin = pins.remove(0);
                        value.clear();
                        value.resize(pin.len() as usize, 0);
                        assert_eq!(pin.read_at(0, &mut value), value.len());
                        assert_uniform(&value);
                    }
                }
                7 => {
                    // Mostly refused: one order at a time, and not from a class's last page.
                    let _ = store.order_move(dice.roll(40) as i32 - 1, dice.roll(40) as i32);
                    let later = dice.roll(2) + round / 500;
                    lane.maintain(now().plus_seconds(later));
                }
                _ => {
                    value.clear();
                    lane.fetch(&key, Fetch::default(), now(), |item| {
                        assert_eq!(item.value_len() as usize, {
                            item.copy_value(&mut value);
                            value.len()
                        });
                    });
                    assert_uniform(&value);
                }
            }
        }
    });
    // The last order may have come when nobody was left to follow it.
    let mut lane = store.lane(0);
    while lane.maintain(now().plus_seconds(1_000)) {}
    let snapshot = store.snapshot();
    assert!(snapshot.evictions > 0, "memory was too small for all of it");
    assert!(snapshot.slabs_moved > 0 && snapshot.rescues > 0);
    assert!(!snapshot.moving, "an order is followed or given up");
}

#[track_caller]
fn assert_uniform(value: &[u8]) {
    if let Some(first) = value.first() {
        assert!(
            value.iter().all(|byte| byte == first),
            "a value of one writer"
        );
    }
}

#[test]
fn a_flush_leaves_nothing_that_was_stored_before_it() {
    let store = store(8);
    for round in 0..20 {
        on_all(&store, |id, lane| {
            for number in 0..500 {
                let name = format!("{id}-{number}");
                let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
                lane.put(&key, &StoreRequest::default(), b"before", now())
                    .unwrap();
            }
            // Every other thread's maintenance runs in between.
            lane.maintain(now());
        });
        store.flush();
        let maintain = round % 2 == 0;
        on_all(&store, |id, lane| {
            if maintain {
                while lane.maintain(now()) {}
            }
            for number in 0..500 {
                let name = format!("{id}-{number}");
                let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
                let found = lane.fetch(&key, Fetch::default(), now(), |_| ());
                assert_ne!(found, Fetched::Hit(()), "{name} survived");
            }
        });
    }
}

/// How many flushes have begun, and how many are over.
#[derive(Default)]
struct Flushes {
    begun: AtomicU64,
    over: AtomicU64,
}

/// Stores and reads while another thread flushes the prefix of the key, and counts hits and misses
/// that could not be otherwise: of what was stored before a flush began, after it was over, and of
/// what was stored after all that had begun were over.
fn store_beside_flushes(lane: &mut Lane, id: usize, flushes: &Flushes) -> (u64, u64) {
    let mut dice = Dice(id as u64 + 1);
    let (mut must_hit, mut must_miss) = (0, 0);
    let name = |number| format!("flushed:{id}:{number}");
    // The flushes that had begun when it had been stored.
    let mut stored_at: Vec<Option<u64>> = vec![None; 200];
    let mut rounds = 0;
    // On a busy machine it takes a while until the flushes have their turn.
    while rounds < 30_000 || must_hit < SEEN_MIN || must_miss < SEEN_MIN {
        rounds += 1;
        let number = dice.roll(200) as usize;
        let text = name(number);
        let key = lane.hashed(Key::new(text.as_bytes()).expect("legal"));
        let over = flushes.over.load(Ordering::SeqCst);
        if let Some(begun) = stored_at[number] {
            let found = lane.fetch(&key, Fetch::default(), now(), |_| ());
            if over > begun {
                must_miss += 1;
                assert_ne!(found, Fetched::Hit(()), "{text} survived");
            }
        }
        let over = flushes.over.load(Ordering::SeqCst);
        lane.put(&key, &StoreRequest::default(), b"value", now())
            .expect("room is left");
        stored_at[number] = Some(flushes.begun.load(Ordering::SeqCst));
        let found = lane.fetch(&key, Fetch::default(), now(), |_| ());
        if flushes.begun.load(Ordering::SeqCst) == over {
            must_hit += 1;
            assert_eq!(
                found,
                Fetched::Hit(()),
                "{text} was stored after every flush"
            );
        }
    }
    (must_hit, must_miss)
}

#[test]
fn a_flush_of_a_prefix_comes_between_what_was_before_it_and_what_is_after() {
    let store = store(32);
    let (flushes, busy) = (Flushes::default(), AtomicUsize::new(THREADS - 2));
    let (must_hit, must_miss) = (AtomicU64::new(0), AtomicU64::new(0));
    on_all(&store, |id, lane| match id {
        0 => {
            let mut dice = Dice(7);
            while busy.load(Ordering::SeqCst) > 0 {
                flushes.begun.fetch_add(1, Ordering::SeqCst);
                let prefix = ["flushed:", "flushed"][dice.roll(2) as usize];
                store.flush_prefix(prefix.as_bytes()).unwrap();
                flushes.over.fetch_add(1, Ordering::SeqCst);
                store.flush_prefix(b"other:").unwrap();
                thread::yield_now();
            }
        }
        1 => {
            while busy.load(Ordering::SeqCst) > 0 {
                lane.maintain(now());
            }
        }
        _ => {
            let kept = format!("kept:{id}");
            let key = lane.hashed(Key::new(kept.as_bytes()).unwrap());
            lane.put(&key, &StoreRequest::default(), b"value", now())
                .unwrap();
            let (hits, misses) = store_beside_flushes(lane, id, &flushes);
            let found = lane.fetch(&key, Fetch::default(), now(), |_| ());
            assert_eq!(found, Fetched::Hit(()), "it was none of what was flushed");
            must_hit.fetch_add(hits, Ordering::SeqCst);
            must_miss.fetch_add(misses, Ordering::SeqCst);
            busy.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let least = SEEN_MIN * (THREADS as u64 - 2);
    assert!(must_hit.into_inner() >= least && must_miss.into_inner() >= least);
}

#[test]
fn of_many_who_ask_for_what_is_missing_one_is_told_to_make_it() {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 10_000;
    /// How far ahead of the slowest anyone may be, so that they meet at the same keys.
    const STRETCH: usize = 100;
    let settings = StoreSettings {
        memory_limit: 16 << 20,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings, CLIENTS).expect("memory is there");
    let winners: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let losers: Vec<AtomicUsize> = (0..ROUNDS).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(CLIENTS);
    let how = MetaFetch {
        vivify: Some(Expiry::NEVER),
        ..MetaFetch::default()
    };
    thread::scope(|scope| {
        for id in 0..CLIENTS {
            let mut lane = store.lane(id);
            let (winners, losers, barrier) = (&winners, &losers, &barrier);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if round % STRETCH == 0 {
                        barrier.wait();
                    }
                    let name = format!("missing-{round}");
                    let key = lane.hashed(Key::new(name.as_bytes()).unwrap());
                    // Nothing is asserted in here: the others would wait at the barrier for ever.
                    let _ = lane.meta_fetch(&key, &how, now(), |item| {
                        let won = item.won() && item.created();
                        winners[round].fetch_add(usize::from(won), Ordering::Relaxed);
                        let lost = item.win_was_sent() && !item.won();
                        losers[round].fetch_add(usize::from(lost), Ordering::Relaxed);
                    });
                }
            });
        }
    });
    store.validate();
    for (winners, losers) in winners.iter().zip(&losers) {
        let counts = (
            winners.load(Ordering::Relaxed),
            losers.load(Ordering::Relaxed),
        );
        assert_eq!(counts, (1, CLIENTS - 1));
    }
}

/// Says when it is dropped that something is over: also by a panic, so that nobody waits for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets one thread touch an item again and again while another one does what replaces it by one
/// that is made from it.
fn a_touch_lasts(change: impl Fn(&mut Lane, &HashedKey<'_>) + Sync) {
    const ROUNDS: u64 = 20_000;
    let store = store(8);
    let key = {
        let mut lane = store.lane(0);
        let key = lane.hashed(Key::new(b"key").expect("a key"));
        lane.put(&key, &StoreRequest::default(), b"1", now())
            .expect("there is room");
        key
    };
    let is_over = AtomicBool::new(false);
    let touch = |lane: &mut Lane| {
        for exptime in (100..200).cycle() {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let expiry = Expiry::from_exptime(exptime, now());
            let touch = Fetch {
                touch: Some(expiry),
                ..Fetch::default()
            };
            lane.fetch(&key, touch, now(), |_| ());
            thread::yield_now();
            let seen = lane.fetch(&key, Fetch::default(), now(), |item| item.expiry());
            assert_eq!(seen, Fetched::Hit(expiry));
        }
    };
    on_all(&store, |id, lane| match id {
        0 => touch(lane),
        1 => {
            let _over = Over(&is_over);
            (0..ROUNDS).for_each(|_| change(lane, &key));
        }
        _ => {}
    });
}

#[test]
fn a_touch_is_not_undone_by_an_append() {
    let append = StoreRequest {
        mode: StoreMode::Append,
        ..StoreRequest::default()
    };
    a_touch_lasts(|lane, key| {
        lane.put(key, &append, b"1", now()).unwrap();
    });
}

#[test]
fn a_touch_is_not_undone_by_a_number_that_moves() {
    let how = Arith {
        delta: 1,
        ..Arith::default()
    };
    a_touch_lasts(|lane, key| {
        // A value that is being sent is not written over.
        let pin = lane.fetch(key, Fetch::default(), now(), |item| item.pin());
        lane.arith(key, &how, now()).unwrap();
        drop(pin);
    });
}
