//! Scripts for the store: what is done, and what the store holds after that, as one reads it.
//!
//! A script is blocks of commands, each with what is expected after `---`, up to an empty line:
//!
//! ```text
//! # The oldest item goes when there is no room.
//! = memory 1m, seed 1              a new store; `policy s3 lru` runs the block on one of each
//! put k1..k57 len 16000            also add, replace, append, prepend; `len 9 ttl 5`
//! ---
//! gone: k1                         keys that were there or were put, and are not there any more
//! counted: evicted 1               what the store has counted since the last block
//! class 22, ...                    `Store::describe`
//! ```
//!
//! The other commands: `get` and `peek` (answer what was found), `hit` (a get that must find all),
//! `touch k ttl 5`, `mg k ttl 5` (creates what it misses), `delete`, `incr k by 5`, `begin k len 9`
//! and `commit k` (a value that arrives in two parts), `flush`, `flush_prefix p`, `limit 2m`,
//! `move 3 5`, `+ 5` (seconds pass), `maintain` (the background's work until it rests) and
//! `run 5` (seconds pass, with that work in each). Of keys, `k1..k9` are nine; where they are told,
//! a run of three or more is.
//!
//! After each block `Store::validate` walks all invariants, and whatever is read must be what was
//! stored. `UPDATE=1 cargo test --test store_scripts` writes what is expected anew: read the diff.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use nuthatch::base::clock::{Expiry, Now};
use nuthatch::base::key::Key;
use nuthatch::base::settings::{Automove, EvictionPolicy, StoreSettings};
use nuthatch::store::{
    Arith, Counted, Deleted, Fetch, Fetched, Item, Lane, MetaFetch, Store, StoreMode, StoreOutcome,
    StoreRequest, Upload,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LINES_MAX: usize = 80; // about a screen
const WIDTH_MAX: usize = 100;

/// Steps in which the background must come to rest.
const STEPS_MAX: usize = 100_000;

/// A store, and what its clients know of it.
struct World {
    name: &'static str,
    store: Arc<Store>,
    lane: Lane,
    now: Now,
    values: HashMap<String, Vec<u8>>,
    /// Keys that were there after the last block, or were stored since.
    known: BTreeSet<String>,
    uploads: BTreeMap<String, (Upload, Vec<u8>)>,
    counted: Vec<(&'static str, u64)>,
    puts: u8,
    answers: Vec<String>,
}

/// A command's words: first keys, then names with numbers.
struct Command<'a> {
    verb: &'a str,
    keys: Vec<String>,
    numbers: HashMap<&'a str, u64>,
}

const NUMBERS: [&str; 4] = ["len", "ttl", "by", "flags"];

impl<'a> Command<'a> {
    fn parse(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap();
        let (mut keys, mut numbers) = (vec![], HashMap::new());
        while let Some(word) = words.next() {
            if NUMBERS.contains(&word) {
                let number = words.next().unwrap_or_else(|| panic!("{line}: {word}?"));
                numbers.insert(word, bytes(number));
            } else {
                keys.extend(expand(word));
            }
        }
        Self {
            verb,
            keys,
            numbers,
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.numbers.get(name).copied().unwrap_or(0)
    }

    fn expiry(&self, now: Now) -> Expiry {
        Expiry::from_exptime(self.number("ttl") as i64, now)
    }

    fn request(&self, mode: StoreMode, now: Now) -> StoreRequest {
        StoreRequest {
            mode,
            client_flags: self.number("flags") as u32,
            expiry: self.expiry(now),
            ..StoreRequest::default()
        }
    }
}

impl World {
    fn new(name: &'static str, settings: &StoreSettings) -> Self {
        let store = Store::new(settings, 1).unwrap();
        let mut world = Self {
            name,
            lane: store.lane(0),
            store,
            now: Now::at_second(1000),
            values: HashMap::new(),
            known: BTreeSet::new(),
            uploads: BTreeMap::new(),
            counted: vec![],
            puts: 0,
            answers: vec![],
        };
        world.counted = world.counts();
        world
    }

    fn run(&mut self, line: &str) {
        let command = Command::parse(line);
        match command.verb {
            "put" => self.store(&command, StoreMode::Set),
            "add" => self.store(&command, StoreMode::Add),
            "replace" => self.store(&command, StoreMode::Replace),
            "append" => self.store(&command, StoreMode::Append),
            "prepend" => self.store(&command, StoreMode::Prepend),
            "get" | "hit" | "peek" | "touch" => self.read(&command),
            "mg" => self.meta_get(&command),
            "delete" => self.delete(&command),
            "incr" => self.count(&command),
            "begin" => self.begin(&command),
            "commit" => self.commit(&command),
            "maintain" => self.settle(),
            "+" => self.now = self.now.plus_seconds(bytes(&command.keys[0])),
            "run" => {
                for _ in 0..bytes(&command.keys[0]) {
                    self.now = self.now.plus_seconds(1);
                    self.settle();
                }
            }
            _ => self.order(&command),
        }
    }

    /// Commands that are about the whole store.
    fn order(&mut self, command: &Command<'_>) {
        let words: Vec<&str> = command.keys.iter().map(String::as_str).collect();
        match (command.verb, &words[..]) {
            ("flush", []) => self.store.flush(),
            ("flush_prefix", [prefix]) => self.store.flush_prefix(prefix.as_bytes()).unwrap(),
            ("limit", [limit]) => assert!(self.store.set_memory_limit(bytes(limit))),
            ("move", [from, to]) => {
                let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
                if let Err(refusal) = self.store.order_move(from, to) {
                    self.answers.push(format!("move: {refusal:?}"));
                }
            }
            _ => panic!("no such command: {} {words:?}", command.verb),
        }
    }

    fn settle(&mut self) {
        let rests = (0..STEPS_MAX).any(|_| !self.lane.maintain(self.now));
        assert!(rests, "the background comes to rest");
    }

    /// A value unlike that of the last put.
    fn value(&mut self, command: &Command<'_>) -> Vec<u8> {
        self.puts = (self.puts + 1) % 26;
        vec![b'a' + self.puts; command.number("len") as usize]
    }

    fn store(&mut self, command: &Command<'_>, mode: StoreMode) {
        let request = command.request(mode, self.now);
        let mut answers = Answers::default();
        for name in &command.keys {
            let value = self.value(command);
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            match self.lane.put(&key, &request, &value, self.now) {
                Ok(stored) if stored.outcome == StoreOutcome::Stored => {
                    self.remember(name, value, mode);
                }
                Ok(stored) => answers.add(format!("{:?}", stored.outcome), name),
                Err(error) => answers.add(format!("{error:?}"), name),
            }
        }
        self.answer(command, answers);
    }

    fn remember(&mut self, name: &str, value: Vec<u8>, mode: StoreMode) {
        self.known.insert(name.into());
        let old = self.values.entry(name.into()).or_default();
        match mode {
            StoreMode::Append => old.extend(value),
            StoreMode::Prepend => drop(old.splice(..0, value)),
            _ => *old = value,
        }
    }

    fn read(&mut self, command: &Command<'_>) {
        let how = Fetch {
            touch: (command.verb == "touch").then(|| command.expiry(self.now)),
            peek: command.verb == "peek",
        };
        let mut answers = Answers::default();
        for name in &command.keys {
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            let expected = self.values.get(name);
            let read = |item: &mut Item<'_>| check(name, item, expected);
            let found = self.lane.fetch(&key, how, self.now, read);
            answers.add(told_of(&found), name);
        }
        if command.verb == "hit" {
            let is_hit = |(what, _): &(String, Vec<String>)| what == "found";
            assert!(answers.0.iter().all(is_hit), "{:?}", answers.0);
        } else {
            self.answer(command, answers);
        }
    }

    fn meta_get(&mut self, command: &Command<'_>) {
        let how = MetaFetch {
            vivify: Some(command.expiry(self.now)),
            ..MetaFetch::default()
        };
        let mut answers = Answers::default();
        for name in &command.keys {
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            let read = |item: &mut Item<'_>| (item.created(), item.won());
            let fetched = self.lane.meta_fetch(&key, &how, self.now, read).unwrap();
            let (created, won) = match fetched {
                Fetched::Hit(seen) => seen,
                Fetched::Miss(miss) => panic!("{name}: {miss:?}"),
            };
            if created {
                self.remember(name, vec![], StoreMode::Set);
            }
            let what = if created { "created" } else { "found" };
            let end = if won { ", won" } else { "" };
            answers.add(format!("{what}{end}"), name);
        }
        self.answer(command, answers);
    }

    fn delete(&mut self, command: &Command<'_>) {
        let mut answers = Answers::default();
        for name in &command.keys {
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            match self.lane.delete(&key, None, self.now) {
                Deleted::Deleted(_) => drop(self.known.remove(name)),
                other => answers.add(format!("{other:?}"), name),
            }
        }
        self.answer(command, answers);
    }

    fn count(&mut self, command: &Command<'_>) {
        let request = Arith {
            delta: command.number("by"),
            initial: Some((0, Expiry::NEVER)),
            ..Arith::default()
        };
        let mut answers = Answers::default();
        for name in &command.keys {
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            let counted = self.lane.arith(&key, &request, self.now).unwrap();
            let Counted::Number { value, .. } = counted else {
                answers.add(format!("{counted:?}"), name);
                continue;
            };
            self.remember(name, value.to_string().into_bytes(), StoreMode::Set);
            answers.add(value.to_string(), name);
        }
        self.answer(command, answers);
    }

    /// The first half of a value arrives.
    fn begin(&mut self, command: &Command<'_>) {
        let request = command.request(StoreMode::Set, self.now);
        for name in &command.keys {
            let value = self.value(command);
            let key = self.lane.hashed(Key::new(name.as_bytes()).unwrap());
            let len = value.len() as u32;
            let mut upload = self.lane.begin(&key, &request, len, self.now).unwrap();
            let half = &value[..value.len() / 2];
            self.lane.fill(&mut upload, half, self.now).unwrap();
            self.uploads.insert(name.clone(), (upload, value));
        }
    }

    /// The second half arrives, and the item is stored.
    fn commit(&mut self, command: &Command<'_>) {
        for name in &command.keys {
            let (mut upload, value) = self.uploads.remove(name).unwrap();
            let half = &value[value.len() / 2..];
            self.lane.fill(&mut upload, half, self.now).unwrap();
            self.lane.commit(upload, self.now).unwrap();
            self.remember(name, value, StoreMode::Set);
        }
    }

    fn answer(&mut self, command: &Command<'_>, answers: Answers) {
        let told = answers.0.iter();
        let told = told.map(|(what, keys)| format!("{what} {}", compact(&keys.join(" "))));
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            let verb = command.verb;
            self.answers.push(format!("{verb}: {}", told.join("; ")));
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let all = self.store.snapshot();
        let classes = self.store.classes(self.now);
        vec![
            ("evicted", all.evictions),
            ("promoted", classes.iter().map(|c| c.promoted).sum()),
            ("ghosts asked for", all.ghost_hits),
            ("reclaimed", all.reclaimed + all.crawler_reclaimed),
            ("items moved", all.rescues),
            ("further chunks moved", all.chunk_rescues),
            ("pages moved", all.slabs_moved),
            ("chunks that kept their page", all.move_busy),
        ]
    }

    /// What there is to say since the last block.
    fn report(&mut self) -> String {
        if self.uploads.is_empty() {
            self.store.validate();
        }
        let mut lines = std::mem::take(&mut self.answers);
        let state = self.store.describe();
        let there = keys_in(&state);
        let gone: Vec<&str> = self.known.difference(&there).map(String::as_str).collect();
        if !gone.is_empty() {
            lines.push(format!("gone: {}", compact(&sorted(gone).join(" "))));
        }
        let counts = self.counts();
        let news = counts.iter().zip(&self.counted);
        let news = news.filter(|((_, now), (_, before))| now > before);
        let news: Vec<String> = news
            .map(|((name, now), (_, before))| format!("{name} {}", now - before))
            .collect();
        if !news.is_empty() {
            lines.push(format!("counted: {}", news.join(", ")));
        }
        (self.known, self.counted) = (there, counts);
        lines.extend(state.lines().map(|line| {
            let indent = line.len() - line.trim_start().len();
            format!("{}{}", &line[..indent], compact(line))
        }));
        lines.join("\n") + "\n"
    }
}

fn told_of(found: &Fetched<()>) -> String {
    match found {
        Fetched::Hit(()) => "found".into(),
        Fetched::Miss(miss) => format!("{miss:?}").to_lowercase(),
    }
}

/// What an item holds must be what was stored.
fn check(name: &str, item: &mut Item<'_>, expected: Option<&Vec<u8>>) {
    let mut value = vec![];
    item.copy_value(&mut value);
    assert!(Some(&value) == expected, "{name} has another value");
}

/// Keys by what was answered, in the order that it was first answered.
#[derive(Default)]
struct Answers(Vec<(String, Vec<String>)>);

impl Answers {
    fn add(&mut self, what: String, name: &str) {
        match self.0.iter_mut().find(|(other, _)| *other == what) {
            Some((_, keys)) => keys.push(name.into()),
            None => self.0.push((what, vec![name.into()])),
        }
    }
}

/// A number with a unit: "64k", "2m".
fn bytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(['k', 'm']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        unit => panic!("no unit: {unit}"),
    };
    digits.parse::<u64>().unwrap() << shift
}

/// A key, or those of `k1..k9`.
fn expand(word: &str) -> Vec<String> {
    let Some((first, last)) = word.split_once("..") else {
        return vec![word.into()];
    };
    let ((stem, first), (_, last)) = (counted(first).unwrap(), counted(last).unwrap());
    (first..=last).map(|n| format!("{stem}{n}")).collect()
}

/// A name and the number that it ends with.
fn counted(name: &str) -> Option<(&str, u64)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &name[stem.len()..];
    (!stem.is_empty()).then_some(())?;
    Some((stem, number.parse().ok()?))
}

/// A word of a description without what is said of the key.
fn bare(word: &str) -> &str {
    word.split(['[', '/']).next().unwrap()
}

/// Words with runs of three or more that count up by one written as `k1..k9`.
fn compact(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut out: Vec<String> = vec![];
    let mut at = 0;
    while at < words.len() {
        let first = bare(words[at]);
        let marks = &words[at][first.len()..];
        let is_next = |steps: usize| {
            let next = counted(first).map(|(stem, number)| (stem, number + steps as u64));
            words.get(at + steps).is_some_and(|word| {
                let name = bare(word);
                next.is_some() && counted(name) == next && &word[name.len()..] == marks
            })
        };
        let run = (1..).take_while(|&steps| is_next(steps)).count();
        if run >= 2 {
            out.push(format!("{first}..{}", words[at + run]));
        } else {
            out.extend(words[at..=at + run].iter().map(|word| String::from(*word)));
        }
        at += run + 1;
    }
    out.join(" ")
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_by_key(|name| (counted(name), *name));
    names
}

/// The keys that a description tells.
fn keys_in(state: &str) -> BTreeSet<String> {
    let queues = state.lines().filter_map(|line| line.strip_prefix("  "));
    queues
        .flat_map(|queue| queue.split_whitespace().skip(1))
        .map(|word| bare(word).into())
        .collect()
}

/// New stores for a line of settings.
fn worlds(line: &str) -> Vec<World> {
    let mut settings = StoreSettings {
        memory_limit: 1 << 20,
        hash_seed: Some(1),
        ..StoreSettings::default()
    };
    let mut policies = vec![EvictionPolicy::S3];
    for setting in line.split(',') {
        let (name, value) = setting.trim().split_once(' ').unwrap();
        match name {
            "memory" => settings.memory_limit = bytes(value),
            "seed" => settings.hash_seed = Some(bytes(value)),
            "item_max" => settings.item_size_max = bytes(value) as u32,
            "evict" => settings.evict = value == "yes",
            "automove" => {
                settings.automove = Automove::from_level(bytes(value) as u32).unwrap();
            }
            "window" => settings.automove_window_s = bytes(value) as u32,
            "policy" => policies = value.split(' ').map(policy).collect(),
            _ => panic!("no such setting: {name}"),
        }
    }
    let world = |&policy: &EvictionPolicy| {
        let settings = StoreSettings {
            policy,
            ..settings.clone()
        };
        World::new(policy.name(), &settings)
    };
    policies.iter().map(world).collect()
}

fn policy(name: &str) -> EvictionPolicy {
    [EvictionPolicy::S3, EvictionPolicy::Lru, EvictionPolicy::Lfu]
        .into_iter()
        .find(|policy| policy.name() == name)
        .unwrap()
}

/// The script as it would be with what happens as what is expected.
fn play(name: &Path, script: &str) -> String {
    let mut worlds: Vec<World> = vec![];
    let (mut out, mut is_expected, mut is_open) = (String::new(), false, false);
    for (number, line) in (1..).zip(script.lines()) {
        if is_expected {
            is_expected = !line.is_empty();
            continue;
        }
        // To be seen if the line fails.
        println!("{}:{number}: {line}", name.display());
        out.push_str(line);
        out.push('\n');
        match line.split_once(' ') {
            None if line.is_empty() => {}
            None if line == "---" => {
                (is_expected, is_open) = (true, false);
                out.push_str(&report(&mut worlds));
                out.push('\n');
            }
            Some(("#", _)) => {}
            Some(("=", settings)) => worlds = self::worlds(settings),
            _ => {
                assert!(!worlds.is_empty(), "a script begins with settings");
                worlds.iter_mut().for_each(|world| world.run(line));
                is_open = true;
            }
        }
    }
    assert!(!is_open, "a block ends with `---`");
    out.trim_end().to_owned() + "\n"
}

fn report(worlds: &mut [World]) -> String {
    if let [world] = worlds {
        return world.report();
    }
    let reports = worlds.iter_mut().map(|world| {
        let report = world.report();
        format!("{}:\n{report}", world.name)
    });
    reports.collect()
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn the_store_does_what_the_scripts_say() {
    let is_update = std::env::var_os("UPDATE").is_some();
    for path in scripts() {
        let script = fs::read_to_string(&path).unwrap();
        let played = play(&path, &script);
        check_form(&path, &played);
        if is_update && played != script {
            fs::write(&path, &played).unwrap();
            continue;
        }
        let pairs = (1..).zip(script.lines().zip(played.lines()));
        for (number, (expected, came)) in pairs {
            let place = format!("{}:{number}", path.display());
            assert_eq!(came, expected, "{place}; UPDATE=1 writes what came");
        }
        assert_eq!(played, script, "{}", path.display());
    }
}

/// It must fit a screen and say what it shows.
fn check_form(name: &Path, script: &str) {
    let name = name.display();
    assert!(script.starts_with("# "), "{name}: what does it show?");
    let lines = script.lines().count();
    assert!(lines <= LINES_MAX, "{name}: {lines} lines");
    for (number, line) in (1..).zip(script.lines()) {
        let width = line.chars().count();
        assert!(width <= WIDTH_MAX, "{name}:{number}: {width} columns");
    }
}

#[test]
fn runs_of_keys_are_told_by_their_ends() {
    let told = "main: a1/2 a2/2 a3/2 a4 b5 b6 b7[3] b9 10 11 12";
    assert_eq!(compact(told), "main: a1..a3/2 a4 b5 b6 b7[3] b9 10 11 12");
    assert_eq!(compact("k9 k10 k11"), "k9..k11");
    assert_eq!(expand("k9..k11"), ["k9", "k10", "k11"]);
}
