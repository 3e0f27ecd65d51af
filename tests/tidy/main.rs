//! The house rules that compiler and clippy cannot know, checked with every `cargo test`.
//!
//! A rule is a function from one file to its complaints. Rules look at *code*: a copy of the file
//! in which comments and the insides of literals are blank, so that a word in a sentence never
//! trips a rule and a brace in a string never miscounts a function. Each rule has a test that
//! shows it both silent and complaining: a rule that was never seen to fail guards nothing.

mod circles;
mod code;
mod names;

use crate::circles::circles;
use crate::code::{Source, blank_out, body_end, holds_word, imports, leading_name, line_of, words};
use crate::names::{retired, shared_names};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Who may import whom, bottom first. Everyone may import themselves.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("store", &["base"]),
    ("protocol", &["base"]),
    ("stats", &["base", "store"]),
    ("session", &["base", "store", "protocol", "stats"]),
    ("server", &["base", "store", "stats", "session"]),
    ("cli", &["base", "server"]),
    ("main", &["base", "server", "cli"]),
    // Tools talk to a server over the wire; they must not know its inside.
    ("bin", &["base"]),
    // Documentation alone.
    ("recipes", &[]),
    ("refused", &[]),
    ("tour", &[]),
    // The crate's front page only declares the layers.
    ("lib", &[]),
];

/// The rooms of the store, from left to right: each imports those to its left only.
const STORE_ROOMS: &[&str] = &[
    "locks", "outcome", "counters", "slab", "item", "index", "stripe", "table", "seat", "read",
    "listing", "evict", "sweep", "pages", "supply", "write", "lane", "watch",
];

/// The files in which the word `unsafe` may stand.
const UNSAFE_HOMES: &[&str] = &["store/slab/arena.rs", "server/os.rs"];

/// Words that code must not hold, where they are at home all the same, and what to do instead.
const BANNED: &[Ban] = &[
    Ban::new("Instant::now", &["server", "bin"], "take a `Now` argument"),
    Ban::new(
        "SystemTime::now",
        &["server", "bin"],
        "take a `Now` argument",
    ),
    Ban::new("clock_gettime", &["server"], "take a `Now` argument"),
    Ban::new("print!", &["cli", "main", "bin"], "use the `log` macros"),
    Ban::new("println!", &["cli", "main", "bin"], "use the `log` macros"),
    Ban::new("eprint!", &["cli", "main", "bin"], "use the `log` macros"),
    Ban::new("eprintln!", &["cli", "main", "bin"], "use the `log` macros"),
    Ban::new("dbg!", &[], "remove it"),
];

const WIDTH_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70; // about a screen: what can be seen at once
const FILE_LINES_MAX: usize = 600; // before the test module

struct Ban {
    word: &'static str,
    homes: &'static [&'static str],
    instead: &'static str,
}

impl Ban {
    const fn new(
        word: &'static str,
        homes: &'static [&'static str],
        instead: &'static str,
    ) -> Self {
        Self {
            word,
            homes,
            instead,
        }
    }
}

#[test]
fn the_sources_are_tidy() {
    let rules: &[Rule] = &[
        header,
        width,
        layers,
        rooms,
        known_layer,
        contained_unsafe,
        globs,
        banned,
        leftovers,
        lengths,
        drawings,
        retired,
    ];
    assert_tidy("src", rules);
}

#[test]
fn imports_run_in_no_circle() {
    let found = circles(&sources_in("src"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_two_types_share_a_name() {
    let shared = shared_names(&sources_in("src"));
    assert!(shared.is_empty(), "\n{}", shared.join("\n"));
}

#[test]
fn tests_and_benches_have_headers_and_fit_the_page() {
    assert_tidy("tests", &[header, width]);
    assert_tidy("benches", &[header, width]);
}

#[test]
fn the_tour_visits_every_folder() {
    let tour = read_page("src/tour.md");
    let sources = sources_in("src");
    let missed = not_visited(&sources, &tour);
    assert!(missed.is_empty(), "to be linked in src/tour.md: {missed:?}");
}

/// Links lead to files where a page is read as a file, and to modules in the documentation. Rustdoc
/// cannot check them: it resolves no name that is private to another module.
#[test]
fn links_of_pages_lead_to_modules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for page in ["tour", "refused"] {
        let (text, module) = [".md", ".rs"]
            .map(|ending| read_page(&format!("src/{page}{ending}")))
            .into();
        for (_, file) in definitions(&text) {
            assert!(root.join(file).exists(), "{page}.md links {file}");
        }
        let wanted = definitions(&text).map(|(label, file)| (label, documentation_of(file)));
        let documented = definitions(&module).map(|(label, url)| (label, url.to_string()));
        assert!(
            wanted.eq(documented),
            "{page}.rs links what {page}.md links"
        );
    }
}

#[test]
fn pages_name_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["src/tour.md", "src/refused.md", "README.md"] {
        let text = read_page(page);
        let mut gone = named_paths(&text).filter(|path| !root.join(path).exists());
        assert_eq!(gone.next(), None, "{page} names it");
    }
}

type Rule = fn(&Source) -> Vec<String>;

fn sources_in(directory: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut sources = vec![];
    read_sources(&root, &root, &mut sources);
    sources
}

fn read_page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).expect("the page is there, in UTF-8")
}

fn assert_tidy(directory: &str, rules: &[Rule]) {
    let sources = sources_in(directory);
    assert!(
        directory != "src" || !sources.is_empty(),
        "no sources in {directory}"
    );
    let complaints: Vec<String> = sources
        .iter()
        .flat_map(|source| rules.iter().flat_map(move |rule| rule(source)))
        .map(|complaint| format!("{directory}/{complaint}"))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

fn read_sources(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a directory can be listed").path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_sources(root, &path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let relative = path.strip_prefix(root).expect("the walk started at root");
            sources.push(Source::new(&relative.to_string_lossy(), &text));
        }
    }
}

// ---- The rules -------------------------------------------------------------------------------

fn header(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or("");
    let says_something = first
        .strip_prefix("//! ")
        .is_some_and(|rest| !rest.trim().is_empty());
    if says_something {
        vec![]
    } else {
        vec![source.complain(0, "begin with `//!`: what is it?")]
    }
}

fn width(source: &Source) -> Vec<String> {
    (0..)
        .zip(source.text.lines())
        .filter(|(_, line)| line.chars().count() > WIDTH_MAX && !line.contains("://"))
        .map(|(number, _)| source.complain(number, &format!("wider than {WIDTH_MAX} columns")))
        .collect()
}

fn known_layer(source: &Source) -> Vec<String> {
    let layer = source.layer();
    if LAYERS.iter().any(|(name, _)| *name == layer) {
        return vec![];
    }
    vec![source.complain(
        0,
        &format!("`{layer}` is not in the layer table of tests/tidy"),
    )]
}

fn layers(source: &Source) -> Vec<String> {
    let home = source.layer();
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == home) else {
        return vec![]; // `known_layer` complains
    };
    let mut complaints = vec![];
    for (line, name) in imports(source) {
        let is_layer = LAYERS.iter().any(|(layer, _)| *layer == name);
        if name == "self" {
            complaints.push(source.complain(line, "name what you import from the crate's root"));
        } else if is_layer && name != home && !allowed.contains(&name.as_str()) {
            complaints.push(source.complain(line, &format!("`{home}` may not import `{name}`")));
        }
    }
    complaints
}

/// What a room of the store imports is in a room to its left. Tests may use the whole store.
fn rooms(source: &Source) -> Vec<String> {
    let mut names = source.path.trim_end_matches(".rs").split('/');
    let (Some("store"), Some(home)) = (names.next(), names.next()) else {
        return vec![];
    };
    if home == "mod" {
        return vec![];
    }
    let position = |name: &str| STORE_ROOMS.iter().position(|room| *room == name);
    let Some(here) = position(home) else {
        return vec![source.complain(
            0,
            &format!("`{home}` is not in the rooms of tests/tidy/main.rs"),
        )];
    };
    let mut complaints = vec![];
    for (number, line) in (0..).zip(source.code.lines()).take(source.tests_from) {
        for (at, path) in line.match_indices("crate::store::") {
            let name = leading_name(&line[at + path.len()..]);
            // The front page's own: `crate::store::Store`.
            let is_front = name.is_empty() || name.starts_with(char::is_uppercase);
            let is_right = match position(&name) {
                Some(there) => there > here,
                None => is_front && here < STORE_ROOMS.len() - 2,
            };
            if is_right {
                let what = format!("`{home}` may not import `{name}`, which is to its right");
                complaints.push(source.complain(number, &what));
            }
        }
    }
    complaints
}

fn contained_unsafe(source: &Source) -> Vec<String> {
    if UNSAFE_HOMES.contains(&source.path.as_str()) {
        return vec![];
    }
    words(&source.code)
        .filter(|(_, word)| *word == "unsafe")
        .map(|(at, _)| source.complain(line_of(&source.code, at), "`unsafe` outside its homes"))
        .collect()
}

/// A glob import hides where a name comes from. Test modules may open their parent.
fn globs(source: &Source) -> Vec<String> {
    let mut complaints = vec![];
    for (number, line) in (0..).zip(source.code.lines()) {
        let in_tests = number >= source.tests_from;
        let fine = line.contains("prelude::*") || (in_tests && line.contains("super::*"));
        if line.contains("::*") && !fine {
            complaints.push(source.complain(number, "name the imports instead of `*`"));
        }
    }
    complaints
}

fn banned(source: &Source) -> Vec<String> {
    let mut complaints = vec![];
    for (number, line) in (0..).zip(source.code.lines()).take(source.tests_from) {
        for ban in BANNED {
            if holds_word(line, ban.word) && !ban.homes.contains(&source.layer()) {
                let what = format!("`{}`: {}", ban.word, ban.instead);
                complaints.push(source.complain(number, &what));
            }
        }
    }
    complaints
}

/// What is left in comments counts too.
fn leftovers(source: &Source) -> Vec<String> {
    (0..)
        .zip(source.text.lines())
        .filter(|(_, line)| line.contains("FIXME"))
        .map(|(number, _)| source.complain(number, "`FIXME`: fix it"))
        .collect()
}

fn lengths(source: &Source) -> Vec<String> {
    let mut complaints = vec![];
    if source.tests_from > FILE_LINES_MAX {
        let what = format!(
            "{} lines of code; {FILE_LINES_MAX} at most",
            source.tests_from
        );
        complaints.push(source.complain(0, &what));
    }
    for (at, _) in words(&source.code).filter(|(_, word)| *word == "fn") {
        let first = line_of(&source.code, at);
        let Some(end) = body_end(&source.code[at..]) else {
            continue;
        };
        let length = line_of(&source.code, at + end) - first + 1;
        if length > FUNCTION_LINES_MAX && first < source.tests_from {
            let what = format!("a function of {length} lines; {FUNCTION_LINES_MAX} at most");
            complaints.push(source.complain(first, &what));
        }
    }
    complaints
}

/// What a file's header draws with a ruler of bytes or bits, the compiler checks.
fn drawings(source: &Source) -> Vec<String> {
    let docs: Vec<&str> = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .collect();
    let ruled = docs.windows(2).position(|pair| {
        let drawn = pair[1].trim_start_matches("//!").trim_start();
        is_ruler(pair[0].trim_start_matches("//!")) && drawn.starts_with(['┌', '├'])
    });
    let is_asserted = source.code.contains("const _: () = assert!(");
    match ruled {
        Some(line) if !is_asserted => {
            vec![source.complain(line, "assert what is drawn: `const _: () = assert!(…)`")]
        }
        _ => vec![],
    }
}

/// Two numbers or more, and nothing else but what they count and fractions.
fn is_ruler(line: &str) -> bool {
    let is_number = |word: &&str| word.chars().all(|c| c.is_ascii_digit() || "/,".contains(c));
    let (numbers, others): (Vec<&str>, Vec<&str>) = line.split_whitespace().partition(is_number);
    numbers.len() >= 2 && others.iter().all(|word| ["byte", "bit"].contains(word))
}

/// The folders of the library whose front pages the tour does not link. `bin` is another program,
/// which the library's documentation cannot reach.
fn not_visited<'a>(sources: &'a [Source], tour: &str) -> Vec<&'a str> {
    let visited: BTreeSet<&str> = definitions(tour).map(|(_, file)| module_of(file)).collect();
    let folders: BTreeSet<&str> = sources
        .iter()
        .filter(|source| source.layer() != "bin")
        .filter_map(|source| Some(source.path.rsplit_once('/')?.0))
        .collect();
    let missed = folders
        .into_iter()
        .filter(|folder| !visited.contains(folder));
    missed.collect()
}

/// What `[label]: target` defines in a page or in a file's header.
fn definitions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim_start_matches("//! ").strip_prefix('[')?;
        let both = line.split_once("]: ");
        both.filter(|(_, target)| !target.contains(' '))
    })
}

/// A file's module, with `/`: `store/slab` for `store/slab/mod.rs`.
fn module_of(file: &str) -> &str {
    let name = file.trim_end_matches(".rs").trim_end_matches(".md");
    name.trim_end_matches("/mod")
}

/// Where the documentation of a file is, seen from that of a module at the root.
fn documentation_of(file: &str) -> String {
    match module_of(file) {
        "lib" => "../index.html".into(),
        module => format!("../{module}/index.html"),
    }
}

/// Paths of the project in backquotes: `tests/tidy/main.rs`.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    const ROOTS: [&str; 5] = ["src/", "tests/", "scripts/", "benches/", "systemd/"];
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|code| code.split_whitespace().next())
        .filter(|word| ROOTS.iter().any(|root| word.starts_with(root)))
}

// ---- The rules, seen at work -----------------------------------------------------------------

/// Asserts what one rule says about a made-up file. Its lines follow a header.
#[track_caller]
fn expect(rule: Rule, path: &str, body: &str, complaints: &[&str]) {
    let source = Source::new(path, &format!("//! A file.\n{body}"));
    assert_eq!(rule(&source), complaints, "{body}");
}

#[test]
fn a_file_says_what_it_is() {
    let complaint = ["a.rs:1: begin with `//!`: what is it?"];
    assert_eq!(header(&Source::new("a.rs", "//! A thing.\n")), [""; 0]);
    assert_eq!(header(&Source::new("a.rs", "//!\n")), complaint);
    assert_eq!(header(&Source::new("a.rs", "use std::fs;\n")), complaint);
    assert_eq!(header(&Source::new("a.rs", "")), complaint);
}

#[test]
fn lines_fit_the_page() {
    let line = |width: usize| format!("//{}\n", "x".repeat(width - 2));
    expect(width, "base/a.rs", &line(100), &[]);
    expect(
        width,
        "base/a.rs",
        &line(101),
        &["base/a.rs:2: wider than 100 columns"],
    );
    expect(
        width,
        "base/a.rs",
        &format!("// see scheme://{}\n", "x".repeat(100)),
        &[],
    );
    expect(width, "base/a.rs", &format!("//{}\n", "ö".repeat(98)), &[]); // characters, not bytes
}

#[test]
fn imports_run_downward() {
    expect(layers, "store/a.rs", "use crate::base::key::Key;\n", &[]);
    expect(
        layers,
        "store/a.rs",
        "use crate::store::index::Index;\n",
        &[],
    );
    expect(
        layers,
        "store/a.rs",
        "// crate::server is far above\nlet s = \"crate::cli\";\n",
        &[],
    );
    let complaint = ["store/a.rs:2: `store` may not import `protocol`"];
    expect(
        layers,
        "store/a.rs",
        "use crate::protocol::Request;\n",
        &complaint,
    );
    expect(
        layers,
        "store/a.rs",
        "fn f(r: &crate::protocol::Request) {}\n",
        &complaint,
    );
    expect(
        layers,
        "store/a.rs",
        "use crate::{base::key::Key, protocol::text};\n",
        &complaint,
    );
    expect(
        layers,
        "store/a.rs",
        "use crate::{\n    base::{key, hash},\n    protocol,\n};\n",
        &complaint,
    );
    expect(
        layers,
        "store/a.rs",
        "pub(crate) use crate::protocol as grammar;\n",
        &complaint,
    );
}

#[test]
fn rooms_import_those_to_their_left() {
    expect(
        rooms,
        "store/index/a.rs",
        "use crate::store::slab::Slabs;\n",
        &[],
    );
    expect(rooms, "store/lane.rs", "use crate::store::Store;\n", &[]);
    expect(
        rooms,
        "store/mod.rs",
        "use crate::store::lane::Lane;\n",
        &[],
    );
    let complaint = ["store/slab/a.rs:2: `slab` may not import `index`, which is to its right"];
    expect(
        rooms,
        "store/slab/a.rs",
        "use crate::store::index::Index;\n",
        &complaint,
    );
    let complaint = ["store/evict/a.rs:2: `evict` may not import `Store`, which is to its right"];
    expect(
        rooms,
        "store/evict/a.rs",
        "use crate::store::Store;\n",
        &complaint,
    );
    let complaint = ["store/attic.rs:1: `attic` is not in the rooms of tests/tidy/main.rs"];
    expect(rooms, "store/attic.rs", "", &complaint);
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n";
    expect(rooms, "store/slab/a.rs", tests, &[]);
}

#[test]
fn branches_inside_a_branch_are_not_layers() {
    expect(
        layers,
        "store/a.rs",
        "use crate::{base::{server, cli}};\n",
        &[],
    );
}

#[test]
fn climbing_out_of_a_layer_is_seen() {
    expect(layers, "store/a.rs", "use super::index::Index;\n", &[]);
    expect(
        layers,
        "store/slab/a.rs",
        "use super::super::index::Index;\n",
        &[],
    );
    let complaint = ["store/a.rs:2: `store` may not import `server`"];
    expect(
        layers,
        "store/a.rs",
        "use super::super::server::Worker;\n",
        &complaint,
    );
    let complaint = ["store/mod.rs:2: `store` may not import `server`"];
    expect(
        layers,
        "store/mod.rs",
        "use super::server::Worker;\n",
        &complaint,
    );
    let tests = "#[cfg(test)]\nmod tests {\n    use super::super::server::Worker;\n}\n";
    expect(
        layers,
        "store/mod.rs",
        tests,
        &["store/mod.rs:4: `store` may not import `server`"],
    );
}

#[test]
fn a_new_name_for_the_root_is_seen() {
    let complaint = ["store/a.rs:2: name what you import from the crate's root"];
    expect(layers, "store/a.rs", "use crate as root;\n", &complaint);
    expect(
        layers,
        "store/a.rs",
        "use crate::{self as root};\n",
        &complaint,
    );
}

#[test]
fn binaries_stay_outside() {
    expect(
        layers,
        "main.rs",
        "use nuthatch::server::Server;\nuse nuthatch::cli;\n",
        &[],
    );
    let complaint = ["main.rs:2: `main` may not import `store`"];
    expect(
        layers,
        "main.rs",
        "use nuthatch::store::Store;\n",
        &complaint,
    );
    let complaint = ["bin/top.rs:2: `bin` may not import `server`"];
    expect(
        layers,
        "bin/top.rs",
        "use nuthatch::server::Server;\n",
        &complaint,
    );
}

#[test]
fn the_table_knows_every_layer() {
    expect(known_layer, "store/slab/a.rs", "", &[]);
    let complaint = ["util/a.rs:1: `util` is not in the layer table of tests/tidy"];
    expect(known_layer, "util/a.rs", "", &complaint);
}

#[test]
fn the_table_has_no_cycle() {
    for (position, (layer, below)) in LAYERS.iter().enumerate() {
        for name in *below {
            let lower = LAYERS[..position].iter().any(|(other, _)| other == name);
            assert!(lower, "`{layer}` imports `{name}`, which stands above it");
        }
    }
}

#[test]
fn unsafe_stays_at_home() {
    for form in [
        "unsafe { f() }",
        "unsafe\n{ f() }",
        "unsafe fn f() {}",
        "pub(crate) unsafe fn f() {}",
        "unsafe impl Send for X {}",
        "unsafe trait T {}",
        "unsafe extern \"C\" {}",
        "#[unsafe(no_mangle)]",
        "type F = unsafe fn();",
    ] {
        expect(contained_unsafe, "store/slab/arena.rs", form, &[]);
        expect(contained_unsafe, "server/os.rs", form, &[]);
        let complaint = ["store/a.rs:2: `unsafe` outside its homes"];
        expect(contained_unsafe, "store/a.rs", form, &complaint);
    }
    let harmless = "#![deny(unsafe_code)] // unsafe\nlet s = \"unsafe { }\";\n";
    expect(contained_unsafe, "store/a.rs", harmless, &[]);
}

#[test]
fn globs_are_named() {
    let complaint = ["base/a.rs:2: name the imports instead of `*`"];
    expect(globs, "base/a.rs", "use crate::*;\n", &complaint);
    expect(globs, "base/a.rs", "use super::*;\n", &complaint);
    expect(globs, "base/a.rs", "use crate::base::key::*;\n", &complaint);
    expect(globs, "base/a.rs", "use proptest::prelude::*;\n", &[]);
    expect(
        globs,
        "base/a.rs",
        "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
        &[],
    );
    expect(globs, "store/index/tests.rs", "use super::*;\n", &[]);
    let complaint = ["base/a.rs:4: name the imports instead of `*`"];
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::*;\n}\n";
    expect(globs, "base/a.rs", tests, &complaint);
}

#[test]
fn banned_words_have_homes() {
    for (call, word) in [
        ("let t = Instant::now();", "Instant::now"),
        ("let t = std::time::SystemTime::now();", "SystemTime::now"),
    ] {
        expect(banned, "server/a.rs", call, &[]);
        expect(banned, "bin/bench.rs", call, &[]);
        let complaint = format!("store/a.rs:2: `{word}`: take a `Now` argument");
        expect(banned, "store/a.rs", call, &[&complaint]);
    }
    for word in ["print!", "println!", "eprint!", "eprintln!"] {
        let call = format!("{word}(\"x\");");
        for home in ["cli.rs", "main.rs", "bin/top.rs"] {
            expect(banned, home, &call, &[]);
        }
        let complaint = format!("server/a.rs:2: `{word}`: use the `log` macros");
        expect(banned, "server/a.rs", &call, &[&complaint]);
    }
    expect(
        banned,
        "cli.rs",
        "dbg!(x);",
        &["cli.rs:2: `dbg!`: remove it"],
    );
    expect(
        banned,
        "store/a.rs",
        "// println! would be slow here\n",
        &[],
    );
    expect(
        banned,
        "store/a.rs",
        "#[cfg(test)]\nmod tests {\n    println!(\"x\");\n}\n",
        &[],
    );
}

#[test]
fn leftovers_are_found_in_comments() {
    expect(
        leftovers,
        "base/a.rs",
        "// FIXME later\n",
        &["base/a.rs:2: `FIXME`: fix it"],
    );
}

#[test]
fn long_functions_are_named() {
    let function = |signature: &str, lines: usize| {
        format!(
            "{signature} {{\n{}}}\n",
            "    work(\"}\");\n".repeat(lines - 2)
        )
    };
    let complaint = ["base/a.rs:2: a function of 71 lines; 70 at most"];
    expect(lengths, "base/a.rs", &function("fn f()", 70), &[]);
    expect(lengths, "base/a.rs", &function("fn f()", 71), &complaint);
    let array = "pub(crate) const fn f(a: [u8; 4]) -> [u8; 4]";
    expect(lengths, "base/a.rs", &function(array, 71), &complaint);
    let in_tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function("fn f()", 99));
    expect(lengths, "base/a.rs", &in_tests, &[]);
}

#[test]
fn functions_without_a_body_have_no_length() {
    let long = "x();\n".repeat(80);
    expect(
        lengths,
        "base/a.rs",
        &format!("trait T {{\n fn f(&self);\n}}\nmod m {{\n{long}}}"),
        &[],
    );
    expect(
        lengths,
        "base/a.rs",
        &format!("type F = fn(u8) -> u8;\nmod m {{\n{long}}}"),
        &[],
    );
    expect(
        lengths,
        "base/a.rs",
        &format!("struct S {{ f: fn(u8) }}\nmod m {{\n{long}}}"),
        &[],
    );
}

#[test]
fn long_files_are_named() {
    let body = |lines: usize| "x();\n".repeat(lines - 1); // the header is a line too
    expect(lengths, "base/a.rs", &body(600), &[]);
    let complaint = ["base/a.rs:1: 601 lines of code; 600 at most"];
    expect(lengths, "base/a.rs", &body(601), &complaint);
    let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", body(600), body(600));
    expect(lengths, "base/a.rs", &with_tests, &[]);
    let lone_attribute = format!("#[cfg(test)]\nuse std::fs;\n{}", body(599));
    expect(lengths, "base/a.rs", &lone_attribute, &complaint);
}

#[test]
fn drawings_are_asserted() {
    let drawn = |rest: &str| {
        let text = format!("//! A file.\n//!\n//!   byte 0   4  1/2\n//!   ├────┤\n{rest}");
        drawings(&Source::new("base/a.rs", &text))
    };
    let complaint = ["base/a.rs:3: assert what is drawn: `const _: () = assert!(…)`"];
    assert_eq!(drawn(""), complaint);
    assert_eq!(drawn("const _: () = assert!(true);\n"), [""; 0]);
    assert!(!is_ruler("   at 4 or 5 bytes"));
}

#[test]
fn a_folder_without_a_link_is_missed() {
    let paths = [
        "lib.rs",
        "cli/a.rs",
        "store/slab/mod.rs",
        "bin/tool/main.rs",
    ];
    let sources = paths.map(|path| Source::new(path, "//! A file.\n"));
    let tour = "[The flags][cli] of [slab].\n\n[cli]: cli.rs\n[arena]: store/slab/arena.rs\n";
    assert_eq!(not_visited(&sources, tour), ["store/slab"]);
    let tour = format!("{tour}[slab]: store/slab/mod.rs\n");
    assert_eq!(not_visited(&sources, &tour), [""; 0]);
}

#[test]
fn files_have_a_place_in_the_documentation() {
    let header = "//! [A][a]: a page.\n//! [a]: ../base/index.html\n#![doc = \"[b]: c\"]\n";
    let found: Vec<_> = definitions(header).collect();
    assert_eq!(found, [("a", "../base/index.html")]);
    for (file, url) in [
        ("lib.rs", "../index.html"),
        ("base/mod.rs", "../base/index.html"),
        ("store/lane.rs", "../store/lane/index.html"),
        ("refused.md", "../refused/index.html"),
    ] {
        assert_eq!(documentation_of(file), url);
    }
}

#[test]
fn paths_are_found_in_backquotes() {
    let text = "tests/a.rs, `tests/b.rs`, `x src/c.rs`, `scripts/d -e 1`, `src`";
    let paths: Vec<&str> = named_paths(text).collect();
    assert_eq!(paths, ["tests/b.rs", "scripts/d"]);
}

#[test]
fn comments_and_literals_are_blank() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"x\\\"}\")", "f(      )"),
        ("r\"\\\" + b", "     + b"),
        ("br#\"a\"b\"# + c", "b         + c"),
        ("'{' '\\'' 'a", "         'a"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("for r in x", "for r in x"),
        ("\"a\nb\"", "  \n  "),
    ] {
        assert_eq!(blank_out(text), code, "{text}");
    }
}
