//! No file imports itself by way of others, in any layer and in the tool.
//!
//! A front page that only passes a name on (`pub use`) is not on the way: the import leads to the
//! file that the name is from. What a test module imports does not count.

use crate::code::{Source, is_word, words};
use std::collections::{BTreeMap, BTreeSet};

/// Each circle once, as `a.rs → b.rs → a.rs`.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let house = House::of(sources);
    let imports: BTreeMap<&str, BTreeSet<&str>> = sources
        .iter()
        .map(|source| (source.path.as_str(), house.imports_of(source)))
        .collect();
    let mut walk = Walk {
        imports: &imports,
        trail: vec![],
        done: BTreeSet::new(),
        found: vec![],
    };
    for &file in imports.keys() {
        walk.visit(file);
    }
    walk.found
}

/// A walk along imports that comes back to where it has been, or does not.
struct Walk<'a> {
    imports: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    trail: Vec<&'a str>,
    done: BTreeSet<&'a str>,
    found: Vec<String>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, file: &'a str) {
        if let Some(from) = self.trail.iter().position(|&seen| seen == file) {
            let circle = self.trail[from..].join(" → ");
            self.found.push(format!("{circle} → {file}"));
            return;
        }
        if self.done.contains(file) {
            return;
        }
        self.trail.push(file);
        for &next in &self.imports[file] {
            self.visit(next);
        }
        self.trail.pop();
        self.done.insert(file);
    }
}

/// Which files there are, and which names they pass on from others.
struct House<'a> {
    files: BTreeSet<&'a str>,
    /// File and name, and the path that it is passed on from.
    passed_on: BTreeMap<(&'a str, String), Vec<String>>,
}

impl<'a> House<'a> {
    fn of(sources: &'a [Source]) -> Self {
        let mut passed_on = BTreeMap::new();
        for source in sources {
            let code = code_alone(source);
            for (from, to) in reexports(&code) {
                for path in named(source, &code[from..to]) {
                    let name = path.last().cloned().unwrap_or_default();
                    passed_on.insert((source.path.as_str(), name), path);
                }
            }
        }
        Self {
            files: sources.iter().map(|source| source.path.as_str()).collect(),
            passed_on,
        }
    }

    /// The other files whose names a file uses.
    fn imports_of(&self, source: &Source) -> BTreeSet<&'a str> {
        let mut code = code_alone(source);
        for (from, to) in reexports(&code) {
            code.replace_range(from..to, &" ".repeat(to - from));
        }
        let paths = named(source, &code);
        let mut files: BTreeSet<_> = paths
            .iter()
            .filter_map(|path| self.home_of(path, 0))
            .collect();
        files.remove(source.path.as_str());
        files
    }

    /// The file that defines what a path from the top names.
    fn home_of(&self, path: &[String], hops: usize) -> Option<&'a str> {
        let (mut file, mut folder, mut rest) = (None, String::new(), path);
        while let Some((name, after)) = rest.split_first() {
            let inner = format!("{folder}{name}/");
            let places = [format!("{folder}{name}.rs"), format!("{inner}mod.rs")];
            match places
                .iter()
                .find_map(|place| self.files.get(place.as_str()))
            {
                Some(found) => file = Some(*found),
                None if name == "bin" || folder == "bin/" => {}
                None => break,
            }
            (folder, rest) = (inner, after);
        }
        let file = file?;
        let passed_on = rest
            .first()
            .and_then(|name| self.passed_on.get(&(file, name.clone())));
        match passed_on {
            Some(from) if hops < 8 => self.home_of(from, hops + 1),
            _ => Some(file),
        }
    }
}

/// The code up to the test module.
fn code_alone(source: &Source) -> String {
    let lines = source.code.split_inclusive('\n');
    lines.take(source.tests_from).collect()
}

/// Where the statements stand that pass names on: `pub use …;`.
fn reexports(code: &str) -> Vec<(usize, usize)> {
    let uses = words(code).filter(|(_, word)| *word == "use");
    let public = uses.filter(|(at, _)| {
        let before = code[..*at].trim_end();
        before.ends_with("pub")
            || (before.ends_with(')')
                && before
                    .lines()
                    .last()
                    .is_some_and(|line| line.trim_start().starts_with("pub(")))
    });
    public
        .map(|(at, _)| (at, code[at..].find(';').map_or(code.len(), |end| at + end)))
        .collect()
}

/// The paths that code names, from the top: those after `crate::`, and those that begin with a
/// module that the file declares.
fn named(source: &Source, code: &str) -> Vec<Vec<String>> {
    let folder: Vec<String> = match source.path.rsplit_once('/') {
        Some((folder, name)) => {
            let own = (name != "mod.rs" && name != "main.rs").then(|| name.trim_end_matches(".rs"));
            folder.split('/').chain(own).map(str::to_string).collect()
        }
        None => match source.path.trim_end_matches(".rs") {
            "lib" | "main" => vec![],
            name => vec![name.to_string()],
        },
    };
    let top = match source.path.strip_prefix("bin/") {
        Some(tool) => vec!["bin", tool.split('/').next().unwrap_or(tool)],
        None => vec![],
    };
    let top: Vec<String> = top.into_iter().map(str::to_string).collect();
    let children = children(&source.code);
    let mut paths = vec![];
    for (at, word) in words(code) {
        let Some(rest) = code[at + word.len()..].strip_prefix("::") else {
            continue;
        };
        if code[..at].ends_with("::") {
            continue;
        }
        let base = match word {
            "crate" => top.clone(),
            child if children.contains(child) => [folder.clone(), vec![child.to_string()]].concat(),
            _ => continue,
        };
        paths.extend(
            branches(rest)
                .0
                .into_iter()
                .map(|branch| [base.clone(), branch].concat()),
        );
    }
    paths
}

/// The modules that a file declares.
fn children(code: &str) -> BTreeSet<&str> {
    let declared = code.lines().filter_map(|line| {
        let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        let public = before.is_empty() || before.starts_with("pub");
        (public && name.chars().all(is_word)).then_some(name)
    });
    declared.collect()
}

/// The paths of a tree such as `a::{b, c::d}`, and how long it is.
fn branches(text: &str) -> (Vec<Vec<String>>, usize) {
    let begin = text.len() - text.trim_start().len();
    let name: String = text[begin..].chars().take_while(|&c| is_word(c)).collect();
    let mut at = begin + name.len();
    if name.is_empty() {
        if !text[begin..].starts_with('{') {
            return (vec![vec![]], at);
        }
        return group(&text[begin + 1..], begin + 1);
    }
    if !text[at..].starts_with("::") {
        return (vec![vec![name]], at);
    }
    let (mut paths, len) = branches(&text[at + 2..]);
    at += 2 + len;
    for path in &mut paths {
        path.insert(0, name.clone());
    }
    (paths, at)
}

/// The branches of a group that begins after its brace, `skipped` bytes into its tree.
fn group(text: &str, skipped: usize) -> (Vec<Vec<String>>, usize) {
    let (mut paths, mut at) = (vec![], 0);
    loop {
        let (more, len) = branches(&text[at..]);
        paths.extend(more);
        at += len;
        let Some(mark) = text[at..].find([',', '}']) else {
            return (paths, skipped + text.len());
        };
        at += mark + 1;
        let ends = text[..at].ends_with('}') || text[at..].trim_start().starts_with('}');
        if ends {
            at += if text[..at].ends_with('}') {
                0
            } else {
                text[at..].find('}').map_or(0, |end| end + 1)
            };
            return (paths, skipped + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in files that hold this.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        circles(&sources)
    }

    #[test]
    fn a_circle_is_named() {
        let two = [
            ("a/b.rs", "use crate::a::c::{X, y::Z};"),
            ("a/c.rs", "fn f(_: crate::a::b::B) {}"),
            ("a/mod.rs", ""),
        ];
        assert_eq!(found(&two), ["a/b.rs → a/c.rs → a/b.rs"]);
        let three = [
            ("a/mod.rs", "mod b;\nfn f() { b::run() }"),
            ("a/b.rs", "use crate::{d, e};"),
            ("d.rs", ""),
            ("e.rs", "use crate::a::A;"),
        ];
        assert_eq!(found(&three), ["a/b.rs → e.rs → a/mod.rs → a/b.rs"]);
    }

    #[test]
    fn a_name_that_is_passed_on_leads_to_its_file() {
        let page = "mod b;\nmod c;\npub use b::B;\npub(crate) use c::{C, D};\n";
        assert_eq!(
            found(&[
                ("a/mod.rs", page),
                ("a/b.rs", "use crate::a::C;"),
                ("a/c.rs", "")
            ]),
            [""; 0]
        );
        assert_eq!(
            found(&[
                ("a/mod.rs", page),
                ("a/b.rs", "use crate::a::{D};"),
                ("a/c.rs", "use crate::a::B;")
            ]),
            ["a/b.rs → a/c.rs → a/b.rs"]
        );
    }

    #[test]
    fn tests_and_comments_import_what_they_like() {
        let tests = "// crate::a::c::X\n#[cfg(test)]\nmod tests {\n use crate::a::c::X;\n}\n";
        assert_eq!(
            found(&[
                ("a/b.rs", tests),
                ("a/c.rs", "use crate::a::b::B;"),
                ("a/mod.rs", "")
            ]),
            [""; 0]
        );
    }

    #[test]
    fn the_tool_has_a_top_of_its_own() {
        let tool = [
            ("bin/tool/main.rs", "mod a;\nmod b;"),
            ("bin/tool/a.rs", "use crate::b::B;"),
            ("bin/tool/b.rs", "use crate::a::A;"),
            ("a.rs", ""),
        ];
        assert_eq!(
            found(&tool),
            ["bin/tool/a.rs → bin/tool/b.rs → bin/tool/a.rs"]
        );
    }

    #[test]
    fn trees_are_unfolded() {
        let paths = |text| {
            branches(text)
                .0
                .iter()
                .map(|path| path.join("::"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths("a::{b, c::{d, e}, f};"),
            ["a::b", "a::c::d", "a::c::e", "a::f"]
        );
        assert_eq!(paths("{a, b::C};"), ["a", "b::C"]);
        assert_eq!(paths("a::{\n    b,\n    c,\n};"), ["a::b", "a::c"]);
        assert_eq!(paths("a::B::new(1)"), ["a::B::new"]);
    }
}
