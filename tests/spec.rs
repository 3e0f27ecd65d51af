//! `tests/spec.txt`, the protocol sentence by sentence: what is kept is shown by a test, and what
//! differs is in the README.
//!
//! The file says at its beginning how it is written. `UPDATE=1 cargo test --test spec` writes the
//! README's list from it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const WIDTH_MAX: usize = 100;

/// The lines of the README between which the list of differences is.
const LIST_BEGINS: &str = "On the wire";
const LIST_ENDS: &str = "Starting and running:";

/// Whether Nuthatch keeps a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Differs,
    Absent,
}

/// One sentence of the protocol.
#[derive(Debug, PartialEq, Eq)]
struct Sentence {
    name: String,
    state: State,
    text: String,
    /// Why it is not kept; empty if it is.
    why: String,
}

impl Sentence {
    /// Reads the line that begins a sentence.
    fn begin(line: &str) -> Result<Self, String> {
        let parts = line.split_once(' ').and_then(|(state, rest)| {
            let (name, text) = rest.split_once(": ")?;
            Some((state, name, text))
        });
        let (state, name, text) = parts.ok_or("begin with `state name: `")?;
        let state = match state {
            "kept" => State::Kept,
            "differs" => State::Differs,
            "absent" => State::Absent,
            _ => return Err(format!("`{state}` is not kept, differs or absent")),
        };
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if !name.contains('.') || !name.chars().all(is_letter) {
            return Err(format!("`{name}` is not like `store.append-keeps`"));
        }
        Ok(Self {
            name: name.into(),
            state,
            text: text.into(),
            why: String::new(),
        })
    }

    /// Takes up an indented line.
    fn go_on(&mut self, line: &str) {
        let begins_why = line.strip_prefix("why: ");
        let to = if begins_why.is_some() || !self.why.is_empty() {
            &mut self.why
        } else {
            &mut self.text
        };
        if !to.is_empty() {
            to.push(' ');
        }
        to.push_str(begins_why.unwrap_or(line));
    }

    fn fault(&self) -> Option<String> {
        let name = &self.name;
        match self.state {
            State::Kept if !self.why.is_empty() => Some(format!("{name} is kept: why a `why:`?")),
            State::Differs | State::Absent if self.why.is_empty() => Some(format!("{name}: why?")),
            _ if is_list_mark(&self.why) => Some(format!("{name}: a lone `*`, `-` or `+`")),
            _ => None,
        }
    }
}

/// Whether a word of the text would begin a list where it begins a line.
fn is_list_mark(text: &str) -> bool {
    text.split(' ').any(|word| ["*", "-", "+"].contains(&word))
}

/// Reads the file; the names of sentences are unique.
fn parse(text: &str) -> Result<Vec<Sentence>, String> {
    let mut sentences: Vec<Sentence> = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        let at = |fault: String| format!("line {number}: {fault}");
        if line.chars().count() > WIDTH_MAX {
            return Err(at(format!("wider than {WIDTH_MAX} columns")));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(more) = line.strip_prefix("  ") {
            let last = sentences.last_mut().ok_or("the first line is indented")?;
            last.go_on(more);
            continue;
        }
        let sentence = Sentence::begin(line).map_err(at)?;
        if sentences.iter().any(|other| other.name == sentence.name) {
            return Err(at(format!("{} is there twice", sentence.name)));
        }
        sentences.push(sentence);
    }
    match sentences.iter().find_map(Sentence::fault) {
        Some(fault) => Err(fault),
        None => Ok(sentences),
    }
}

/// The names that a file cites, which begins its citations so.
fn citations<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines();
    let cited = lines.filter_map(move |line| line.trim_start().strip_prefix(mark));
    cited.flat_map(str::split_whitespace)
}

/// What is wrong between sentences and citations: kept and not shown, or shown and not kept.
fn disagreements(sentences: &[Sentence], cited: &BTreeSet<String>) -> Vec<String> {
    let mut faults = vec![];
    for sentence in sentences {
        match (sentence.state, cited.contains(&sentence.name)) {
            (State::Kept, false) => faults.push(format!("no test shows {}", sentence.name)),
            (State::Absent, true) => faults.push(format!("{} is shown, not absent", sentence.name)),
            _ => {}
        }
    }
    let names: BTreeSet<&str> = sentences.iter().map(|sentence| &*sentence.name).collect();
    let unknown = cited.iter().filter(|name| !names.contains(name.as_str()));
    faults.extend(unknown.map(|name| format!("no sentence is called {name}")));
    faults
}

/// The differences as the README lists them.
fn list(sentences: &[Sentence]) -> String {
    let mut list = String::new();
    for sentence in sentences {
        if sentence.state == State::Differs {
            push_item(&mut list, &sentence.why);
        }
    }
    list
}

/// Appends an item of a list, broken into lines, but not within backquotes.
fn push_item(list: &mut String, text: &str) {
    let mut line = String::from("*");
    let mut is_quoted = false;
    let words = text.split(|c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    });
    for word in words {
        if line.chars().count() + 1 + word.chars().count() > WIDTH_MAX {
            list.push_str(&line);
            list.push('\n');
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    list.push_str(&line);
    list.push('\n');
}

/// The README with another list.
fn with_list(readme: &str, list: &str) -> String {
    let (mut out, mut is_within) = (String::new(), false);
    for line in readme.lines() {
        if line == LIST_ENDS {
            assert!(is_within, "`{LIST_BEGINS}` is missing in README.md");
            is_within = false;
            out.push_str(&format!("\n{list}\n"));
        }
        if !is_within {
            out.push_str(line);
            out.push('\n');
        }
        if line.starts_with(LIST_BEGINS) {
            is_within = true;
        }
    }
    assert!(!is_within, "`{LIST_ENDS}` is missing in README.md");
    out
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sentences() -> Vec<Sentence> {
    let text = fs::read_to_string(root().join("tests/spec.txt")).unwrap();
    parse(&text).unwrap_or_else(|fault| panic!("tests/spec.txt, {fault}"))
}

/// The files of a folder with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

/// All that transcripts and tests cite.
fn cited() -> BTreeSet<String> {
    let mut cited = BTreeSet::new();
    for (folder, ending, mark) in [("tests/transcripts", "txt", "#= "), ("tests", "rs", "//= ")] {
        for path in files(folder, ending) {
            let text = fs::read_to_string(path).unwrap();
            cited.extend(citations(&text, mark).map(str::to_string));
        }
    }
    cited
}

#[test]
fn what_is_kept_is_shown_and_what_is_shown_is_a_sentence() {
    let faults = disagreements(&sentences(), &cited());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_readme_lists_what_differs() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let wanted = with_list(&readme, &list(&sentences()));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, wanted).unwrap();
    } else {
        assert!(
            readme == wanted,
            "README.md does not list what tests/spec.txt says; UPDATE=1 writes it"
        );
    }
}

// ---- Tests of the tests ----------------------------------------------------------------------

const SMALL: &str = "# How it is written.

## Times
kept time.zero: 0 is never.
differs time.tick: Time goes
  in seconds.
  why: It does
  not.
absent time.travel: There is a past.
  why: Not yet.
";

#[test]
fn a_sentence_has_a_name_a_state_and_a_reason() {
    let sentences = parse(SMALL).unwrap();
    assert_eq!(sentences.len(), 3);
    let tick = &sentences[1];
    assert_eq!((&*tick.name, tick.state), ("time.tick", State::Differs));
    assert_eq!(tick.text, "Time goes in seconds.");
    assert_eq!(tick.why, "It does not.");
}

#[test]
fn what_is_badly_written_is_told() {
    for (text, fault) in [
        ("kept time.zero 0 is never.", "begin with"),
        ("keeps time.zero: 0 is never.", "`keeps` is not"),
        ("kept zero: 0 is never.", "`zero` is not like"),
        ("kept time.Zero: 0 is never.", "`time.Zero` is not like"),
        ("kept a.b: A.\nkept a.b: B.", "a.b is there twice"),
        ("kept a.b: A.\n  why: B.", "a.b is kept"),
        ("differs a.b: A.", "a.b: why?"),
        ("absent a.b: A.", "a.b: why?"),
        ("differs a.b: A.\n  why: 2 * 3.", "a lone"),
        ("  more", "the first line"),
        (&format!("kept a.b: {}", "x".repeat(91)), "wider"),
    ] {
        let found = parse(text).unwrap_err();
        assert!(found.contains(fault), "{text}: {found}");
    }
}

#[test]
fn kept_sentences_are_cited_absent_ones_are_not_and_others_may_be() {
    let sentences = parse(SMALL).unwrap();
    let check = |text: &str| {
        let cited = citations(text, "#= ").map(str::to_string).collect();
        disagreements(&sentences, &cited)
    };
    assert_eq!(check("#= time.zero"), [""; 0]);
    assert_eq!(check("> x\n  #= time.tick  time.zero\n"), [""; 0]);
    assert_eq!(check("# time.zero"), ["no test shows time.zero"]);
    assert_eq!(
        check("#= time.zero time.travel"),
        ["time.travel is shown, not absent"]
    );
    assert_eq!(
        check("#= time.zero time.one"),
        ["no sentence is called time.one"]
    );
}

#[test]
fn the_list_takes_the_place_of_the_old_one() {
    let readme = "A\n\nOn the wire:\n\n* old\n\nStarting and running:\n\n* B\n";
    let list = list(&parse(SMALL).unwrap());
    assert_eq!(list, "* It does not.\n");
    let wanted = "A\n\nOn the wire:\n\n* It does not.\n\nStarting and running:\n\n* B\n";
    assert_eq!(with_list(readme, &list), wanted);
    assert_eq!(with_list(wanted, &list), wanted);
}

#[test]
fn items_of_the_list_are_broken_into_lines() {
    let mut list = String::new();
    push_item(&mut list, &"four ".repeat(30));
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("* four") && lines[1].starts_with("  four"));
    assert!(lines.iter().all(|line| line.len() <= WIDTH_MAX));
    list.clear();
    push_item(&mut list, &format!("{} `one two` three", "x".repeat(90)));
    assert_eq!(list.lines().nth(1), Some("  `one two` three"));
}
