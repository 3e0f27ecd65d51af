//! One name for one thing: no two types of the crate share theirs, and retired words stay away.

use crate::code::{Source, line_of, words};
use std::collections::BTreeMap;

/// Words that had another meaning, or a better word beside them, and what to say.
const RETIRED: &[(&str, &str)] = &[
    ("Desk", "the server's `Workbench`, or a lane's magazine"),
    ("Tries", "`LoginState`"),
    ("commands_left", "`requests_left`"),
    ("OUTPUT_MARK", "`OUTPUT_MAX`; a mark is a flush's"),
    ("s3clock", "`s3`"),
    ("freq", "`hits`"),
];

/// Types that are defined in more than one file, as `Name: a.rs, b.rs`.
///
/// Tools are programs of their own.
pub(crate) fn shared_names(sources: &[Source]) -> Vec<String> {
    let mut homes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.layer() != "bin") {
        for name in types_of(source) {
            homes.entry(name).or_default().push(&source.path);
        }
    }
    let shared = homes.iter().filter(|(_, files)| files.len() > 1);
    shared
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect()
}

/// The types that a file defines outside its test module.
fn types_of(source: &Source) -> Vec<&str> {
    let code = &source.code;
    let mut words = words(code).peekable();
    let mut names = vec![];
    while let Some((at, word)) = words.next() {
        let defines = matches!(word, "struct" | "enum" | "union" | "trait");
        if defines && line_of(code, at) < source.tests_from {
            names.extend(words.peek().map(|(_, name)| *name));
        }
    }
    names
}

/// The rule for [`RETIRED`]; tools may use the words.
pub(crate) fn retired(source: &Source) -> Vec<String> {
    let mut complaints = vec![];
    if source.layer() == "bin" {
        return complaints;
    }
    for (number, line) in (0..).zip(source.code.lines()) {
        let found = RETIRED
            .iter()
            .filter(|(word, _)| words(line).any(|(_, whole)| whole == *word));
        complaints.extend(
            found.map(|(word, instead)| source.complain(number, &format!("`{word}`: {instead}"))),
        );
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_two_files_is_named() {
        let files = [
            ("store/a.rs", "pub struct A<T>(T);\nenum B {}\n"),
            (
                "server/b.rs",
                "trait A {}\n// struct B\n#[cfg(test)]\nmod tests {\nstruct B;\n}\n",
            ),
            ("bin/tool/c.rs", "struct B;\n"),
        ];
        let sources = files.map(|(path, text)| Source::new(path, text));
        assert_eq!(shared_names(&sources), ["A: store/a.rs, server/b.rs"]);
    }

    #[test]
    fn retired_words_are_found_whole() {
        let source = Source::new(
            "session/a.rs",
            "//! Desk\nstruct Desk;\nlet desks = Desktop;\n",
        );
        let complaints = retired(&source);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("session/a.rs:2: `Desk`: "));
    }
}
