//! What a store that grows from empty takes for its slowest puts.
//!
//! ```text
//! cargo bench --bench growth -- 50000000         # items
//! cargo bench --bench growth -- 50000000 8192    # and MiB: 160 B for each item if not told
//! ```
//!
//! One thread and one lane store items of 16 + 8 bytes under new keys, and each put is timed. An
//! index that grows all at once shows as a put that takes as long as all the items take to move.
//!
//! What the machine does to any program, to this one it does too: it takes the processor away, and
//! memory that is touched for the first time has to be found. So the same loop runs first over two
//! things that have no slow ones of their own: `nothing`, some multiplications, and `memory`, as
//! many bytes as an item takes, written once into memory that is new. A put is as steady as the
//! store makes it where its tail is theirs; but look at the seconds: who runs for longer is
//! interrupted more often.
//!
//! How long this thread had to wait for a processor that others had, Linux tells
//! (`/proc/thread-self/schedstat`). Every loop has two rows therefore: as it was, and with those
//! waits taken off whatever took 100 us or more. What is left is this program's own, the kernel's
//! and the hypervisor's. The slowest puts of the second row are listed with their numbers.
//!
//! Without a number it exits at once, so that `cargo test --benches` can run it.

use nuthatch::base::clock::Now;
use nuthatch::base::key::Key;
use nuthatch::base::settings::StoreSettings;
use nuthatch::store::{Store, StoreRequest};
use std::cmp::Reverse;
use std::env;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

const VALUE: &[u8] = b"8 bytes.";

/// More than an item of this size takes with its part of the index: nothing may be evicted.
const BYTES_PER_ITEM: u64 = 160;

/// What an item takes, for the memory that the baseline touches.
const TOUCHED_PER_ITEM: usize = 64;

/// Multiplications of the baseline, one waiting for the other: about as long as a put.
const MULTIPLICATIONS: u64 = 300;

/// What takes longer is looked at: whether this thread waited for a processor.
const NOTED_NS: u32 = 100_000;

/// What is counted as slow, and as very slow.
const SLOW_NS: u32 = 1_000_000;
const VERY_SLOW_NS: u32 = 5_000_000;

/// After so many of whatever is timed, the waits until then are forgotten: they are not the next
/// slow one's.
const FORGET_EVERY: u64 = 4096;

/// So many of the slowest puts are listed.
const LISTED: usize = 10;

const PERCENTILES: [f64; 4] = [50.0, 99.0, 99.9, 99.99];

fn main() {
    let mut numbers = env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let Some(items) = numbers.next().filter(|&items| items > 0) else {
        println!("usage: growth <items> [MiB]");
        return;
    };
    let ample = (items * BYTES_PER_ITEM).max(64 << 20);
    let memory_limit = numbers.next().map_or(ample, |megabytes| megabytes << 20);
    println!(
        "{items} items of 16 + 8 bytes into {} MiB",
        memory_limit >> 20
    );
    println!();
    println!(
        "| loop | seconds | p50 ns | p99 ns | p99.9 ns | p99.99 ns | worst us | over 1 ms | \
         over 5 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    // Touched beforehand: noting a time must not cost a page.
    let mut times = vec![1; usize::try_from(items).expect("items fit into memory")];
    let noted = time(&mut times, multiply);
    rows("nothing", &mut times, &noted);
    let noted = touch(&mut times);
    rows("memory", &mut times, &noted);
    let (mut noted, held) = grow(&mut times, memory_limit);
    rows("put", &mut times, &noted);
    println!();
    noted.sort_unstable_by_key(|noted| Reverse(noted.own_ns));
    for Noted { number, own_ns } in noted.iter().take(LISTED) {
        println!("put {number}: {:.1} us", f64::from(*own_ns) / 1e3);
    }
    println!("{held} items held");
    assert_eq!(
        held, items,
        "the memory limit is too low: items were evicted"
    );
}

/// One of those that took long.
struct Noted {
    number: u64,
    /// What it took without waits for a processor.
    own_ns: u32,
}

/// Does something once for each place in `times`, and notes there how many nanoseconds it took.
fn time(times: &mut [u32], mut something: impl FnMut(u64)) -> Vec<Noted> {
    let mut noted = vec![];
    let mut waited_ns = waited_ns_until_now();
    let mut before = Instant::now();
    for (number, time) in (0..).zip(times) {
        something(number);
        let after = Instant::now();
        *time = u32::try_from((after - before).as_nanos()).unwrap_or(u32::MAX);
        before = after;
        let is_noted = *time > NOTED_NS;
        if is_noted || number % FORGET_EVERY == 0 {
            let now_ns = waited_ns_until_now();
            let waits = u32::try_from(now_ns.saturating_sub(waited_ns)).unwrap_or(u32::MAX);
            waited_ns = now_ns;
            if is_noted {
                let own_ns = time.saturating_sub(waits);
                noted.push(Noted { number, own_ns });
            }
            before = Instant::now();
        }
    }
    noted
}

/// Nanoseconds that this thread has waited for a processor; 0 where the kernel does not count them.
fn waited_ns_until_now() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let wait = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    wait.unwrap_or(0)
}

fn multiply(number: u64) {
    let product = (0..MULTIPLICATIONS).fold(number | 1, |product, _| {
        black_box(product).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    black_box(product);
}

fn touch(times: &mut [u32]) -> Vec<Noted> {
    let mut memory: Vec<u8> = Vec::with_capacity(times.len() * TOUCHED_PER_ITEM);
    let noted = time(times, |number| {
        memory.extend_from_slice(black_box(&[number as u8; TOUCHED_PER_ITEM]));
    });
    black_box(memory);
    noted
}

/// The puts, and how many items are there after them.
fn grow(times: &mut [u32], memory_limit: u64) -> (Vec<Noted>, u64) {
    let settings = StoreSettings {
        memory_limit,
        hash_seed: Some(1),
        ..StoreSettings::default()
    };
    let store = Store::new(&settings, 1).expect("memory is there");
    let mut lane = store.lane(0);
    let noted = time(times, |number| {
        let name = key(number);
        let key = lane.hashed(Key::new(&name).expect("a legal key"));
        let stored = lane.put(&key, &StoreRequest::default(), VALUE, Now::at_second(10));
        assert!(stored.is_ok(), "a cache that may evict stores everything");
    });
    (noted, store.snapshot().items)
}

/// The key of a number, spread so that neighbours are strangers.
fn key(number: u64) -> [u8; 16] {
    let mut rest = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [(); 16].map(|()| {
        let letter = b'a' + (rest & 15) as u8;
        rest >>= 4;
        letter
    })
}

/// Two rows: the times as they were, and with the waits taken off.
fn rows(name: &str, times: &mut [u32], noted: &[Noted]) {
    row(name, times);
    // Sorted now: those noted are the last ones.
    let from = times.len() - noted.len();
    for (time, noted) in times[from..].iter_mut().zip(noted) {
        *time = noted.own_ns;
    }
    row(&format!("{name}, without waits"), times);
}

fn row(name: &str, times: &mut [u32]) {
    times.sort_unstable();
    let seconds = times.iter().map(|&time| f64::from(time)).sum::<f64>() / 1e9;
    let at = |percent: f64| {
        let rank = (times.len() as f64 * percent / 100.0).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1].to_string()
    };
    let over = |ns| times.len() - times.partition_point(|&time| time <= ns);
    println!(
        "| {name} | {seconds:.1} | {} | {:.1} | {} | {} |",
        PERCENTILES.map(at).join(" | "),
        f64::from(times[times.len() - 1]) / 1e3,
        over(SLOW_NS),
        over(VERY_SLOW_NS)
    );
}
