//! STATS.md is what the catalog says.

use nuthatch::stats::{About, catalog};
use std::fmt::Write;
use std::{env, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/STATS.md");

const INTRODUCTION: &str = "\
# What the statistics mean

Each line of `stats` and its groups: what it counts, and what to do when it grows. The names and
their order are memcached's; our own come last, and all of `stats eviction` is. This page is made
from the tables that the server writes its reports from: do not edit it.

A *counter* only rises: watch how fast. `stats reset` sets it back to 0, but not what is counted of
the process itself. A *gauge* rises and falls. A *setting* is as configured, or as a command has
changed it. A *fact* says what something is. A line that is always the same is there because
memcached has it, and tools ask for it. `stats sizes` and `stats detail dump` have no such names:
their lines are sizes and prefixes, with numbers of items and of requests.
";

#[test]
fn the_page_of_statistics_is_what_the_catalog_says() {
    let page = render();
    if env::var_os("UPDATE").is_some() {
        fs::write(PATH, &page).unwrap();
    }
    let found = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        found == page,
        "STATS.md is not what the tables say: UPDATE=1 cargo test --test counters"
    );
}

fn render() -> String {
    let mut page = INTRODUCTION.to_string();
    let mut command = "";
    for chapter in catalog() {
        if chapter.command != command {
            command = chapter.command;
            write!(page, "\n## `{command}`\n").unwrap();
        }
        page.push('\n');
        if !chapter.prefix.is_empty() {
            write!(page, "With `{}` before each name:\n\n", chapter.prefix).unwrap();
        }
        page.push_str("| line | kind | unit | meaning |\n|---|---|---|---|\n");
        for about in chapter.lines {
            let (name, kind, unit) = (about.name, about.kind.name(), about.unit);
            writeln!(page, "| `{name}` | {kind} | {unit} | {} |", text(about)).unwrap();
        }
    }
    page
}

fn text(about: &About) -> String {
    let mut text = about.meaning.to_string();
    if !about.advice.is_empty() {
        write!(text, " *{}*", about.advice).unwrap();
    }
    if !about.condition.is_empty() {
        write!(text, " Shown {}.", about.condition).unwrap();
    }
    if let Some(fixed) = about.fixed {
        write!(text, " Always {}: {}.", fixed.value, fixed.why).unwrap();
    }
    text
}
