//! A command's man page and completions, made from its description, and compared with those in
//! `share`. `UPDATE=1` rewrites them.

use clap::{Arg, Command};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// A section that no description of flags can have: a title, and lines as in a help text.
pub(crate) type Section<'a> = (&'a str, &'a str);

/// Compares all papers of `command`; `sections` end its man page.
pub(crate) fn compare(command: &Command, sections: &[Section<'_>]) {
    let name = command.get_name().to_string();
    same(&format!("man/{name}.1"), &man_page(command, sections));
    for (shell, file) in [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let mut text = vec![];
        generate(shell, &mut command.clone(), &name, &mut text);
        let text = String::from_utf8(text).expect("completions are UTF-8");
        same(
            &format!("completions/{file}"),
            &without_trailing_spaces(&text),
        );
    }
}

fn same(file: &str, wanted: &str) {
    let share = Path::new(env!("CARGO_MANIFEST_DIR")).join("share");
    let path = share.join(file);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, wanted).expect("the file can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "share/{file} is out of date: run this test with UPDATE=1 and read the diff"
    );
}

fn without_trailing_spaces(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn man_page(command: &Command, sections: &[Section<'_>]) -> String {
    let mut text = title(command);
    text.push_str(&part(command, Man::render_name_section));
    text.push_str(&synopsis(command));
    text.push_str(&part(command, Man::render_options_section));
    text.push_str(&section("NOTES", &after_help(command)));
    for subcommand in command.get_subcommands() {
        text.push_str(&subcommand_sections(subcommand));
    }
    for (title, lines) in sections {
        text.push_str(&section(title, lines));
    }
    without_trailing_spaces(&text)
}

/// A part of the man page that clap makes.
fn part(command: &Command, render: fn(&Man, &mut dyn Write) -> io::Result<()>) -> String {
    let mut text = vec![];
    render(&Man::new(command.clone()), &mut text).expect("memory can be written");
    String::from_utf8(text).expect("a man page is UTF-8")
}

/// An empty date, so that the page changes with the options only.
fn title(command: &Command) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let name = command.get_name();
    format!(".TH {name} 1 \"\" \"nuthatch {version}\" \"User Commands\"\n")
}

/// Clap would list every option here, which the next section does.
fn synopsis(command: &Command) -> String {
    let name = command.get_name();
    let mut usages = vec![format!("  {name} [option]...")];
    for subcommand in command.get_subcommands() {
        let arguments: String = subcommand.get_positionals().map(placeholder).collect();
        let subcommand = subcommand.get_name();
        usages.push(format!("  {name} {subcommand} [option]...{arguments}"));
    }
    section("SYNOPSIS", &usages.join("\n"))
}

fn after_help(command: &Command) -> String {
    command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// What a subcommand is for, its options and its notes, all in the page of the command.
fn subcommand_sections(command: &Command) -> String {
    let name = command.get_name();
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let options = part(command, Man::render_options_section);
    let options = options.replace(".SH OPTIONS\n", "");
    let title = format!("THE SUBCOMMAND {}", name.to_uppercase());
    section(&title, &about) + &options + &lines(&after_help(command))
}

fn placeholder(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    names.iter().map(|name| format!(" <{name}>")).collect()
}

fn section(title: &str, text: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff.to_roff() + &lines(text)
}

/// A help text as roff: paragraphs, and under two spaces examples or `word  what it means`.
fn lines(text: &str) -> String {
    let mut roff = Roff::new();
    let mut after_break = true;
    for line in text.lines() {
        let item = line
            .strip_prefix("  ")
            .filter(|item| !item.starts_with(' '));
        match item.map(|item| item.split_once("  ")) {
            Some(Some((word, meaning))) => {
                roff.control("TP", []);
                roff.text([bold(word)]);
                roff.text([roman(meaning.trim())]);
            }
            Some(None) => {
                roff.control("TP", []);
                roff.text([bold(item.unwrap_or_default())]);
            }
            None if line.starts_with(' ') => {
                roff.text([roman(line.trim())]);
            }
            None => {
                // Text after items begins a paragraph, as after an empty line.
                if after_break {
                    roff.control("PP", []);
                }
                roff.text([roman(line)]);
            }
        }
        after_break = item.is_some() || line.is_empty() || line.starts_with(' ');
    }
    roff.to_roff()
}
