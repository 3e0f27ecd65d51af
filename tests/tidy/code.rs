//! Reading code without a parser: words, imports, bodies, with comments and literals blanked.

/// One file, as written and as code alone.
pub(crate) struct Source {
    /// Relative to the directory that was walked, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with comments and the insides of literals blanked, line for line.
    pub(crate) code: String,
    /// Lines from this one on (counted from 0) belong to the test module.
    pub(crate) tests_from: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_out(text);
        let lines: Vec<&str> = code.lines().collect();
        let whole = path.ends_with("/tests.rs") || path.contains("/tests/");
        let tests_from = if whole {
            0
        } else {
            test_module(&lines).unwrap_or(lines.len())
        };
        Self {
            path: path.into(),
            text: text.into(),
            code,
            tests_from,
        }
    }

    /// The layer that the file belongs to: its first directory, or its own name at the top.
    pub(crate) fn layer(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or(&self.path)
    }

    /// How many names its module path has: 1 for `store/mod.rs`, 2 for `store/index.rs`.
    pub(crate) fn depth(&self) -> usize {
        let names = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        names
            .split('/')
            .filter(|name| !["lib", "main"].contains(name))
            .count()
    }

    pub(crate) fn complain(&self, line: usize, what: &str) -> String {
        format!("{}:{}: {what}", self.path, line + 1)
    }
}

/// The top-level names that a file reaches for, with their lines: after `crate::` and
/// `nuthatch::`, each branch of `crate::{…}`, and after enough `super::` to leave the layer.
pub(crate) fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = vec![];
    let mut climbed = (0, 0); // where the last `super::` ended, and how many stood in a row
    for (at, word) in words(code) {
        let after = at + word.len();
        let line = line_of(code, at);
        let Some(rest) = code[after..].strip_prefix("::") else {
            let renamed = word == "crate" && code[after..].trim_start().starts_with("as ");
            found.extend(renamed.then(|| (line, "self".into())));
            continue;
        };
        let at_root = match word {
            "crate" | "nuthatch" => true,
            "super" => {
                climbed = (after + 2, if climbed.0 == at { climbed.1 + 1 } else { 1 });
                climbed.1 == source.depth() + usize::from(line >= source.tests_from)
            }
            _ => false,
        };
        if at_root {
            found.extend(branches(rest).map(|name| (line, name)));
        }
    }
    found
}

/// The first name of each branch of what follows `crate::`: one, or several in braces.
pub(crate) fn branches(rest: &str) -> impl Iterator<Item = String> {
    let mut names = vec![];
    match rest.strip_prefix('{') {
        None => names.push(leading_name(rest)),
        Some(group) => {
            let mut depth = 0;
            let mut branch_starts = true;
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => branch_starts = true,
                    c if branch_starts && !c.is_whitespace() => {
                        names.push(leading_name(&group[at..]));
                        branch_starts = false;
                    }
                    _ => {}
                }
            }
        }
    }
    names.into_iter()
}

pub(crate) fn leading_name(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// Where the body of the function that starts here ends; `None` for one without a body.
pub(crate) fn body_end(code: &str) -> Option<usize> {
    let mut nested = 0_usize; // parentheses and brackets of the signature
    let mut braces = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' if braces == 0 => nested += 1,
            ')' | ']' if braces == 0 => nested = nested.checked_sub(1)?,
            ';' | ',' | '=' | '}' if braces == 0 && nested == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The line on which the file's test module begins.
pub(crate) fn test_module(lines: &[&str]) -> Option<usize> {
    (0..lines.len()).find(|&number| {
        let item = lines[number + 1..]
            .iter()
            .find(|line| !line.starts_with("#["));
        lines[number] == "#[cfg(test)]" && item.is_some_and(|line| line.starts_with("mod "))
    })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    code.split(|c| !is_word(c)).filter_map(move |word| {
        let start = code[at..].find(word).map_or(at, |skipped| at + skipped);
        at = start + word.len();
        (!word.is_empty()).then_some((start, word))
    })
}

/// Whether `word` stands in `line` with no letter before it.
pub(crate) fn holds_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_word))
}

pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count()
}

/// Blanks comments and the insides of literals; lines stay where they are.
pub(crate) fn blank_out(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment(&chars, at).unwrap_or(at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(
                chars[at..end]
                    .iter()
                    .map(|&c| if c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends.
fn literal_or_comment(chars: &[char], at: usize) -> Option<usize> {
    let next = chars.get(at + 1).copied();
    let inside_word = at > 0 && is_word(chars[at - 1]);
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, "\n").or(Some(chars.len())),
        '/' if next == Some('*') => Some(block_comment_end(chars, at)),
        '"' => Some(quoted_end(chars, at + 1, '"')),
        'r' if !inside_word || matches!(chars[at - 1], 'b' | 'c') => raw_string_end(chars, at),
        '\'' => {
            let is_char = next == Some('\\') || chars.get(at + 2) == Some(&'\'');
            is_char.then(|| quoted_end(chars, at + 1, '\''))
        }
        _ => None,
    }
}

fn find(chars: &[char], from: usize, what: &str) -> Option<usize> {
    let what: Vec<char> = what.chars().collect();
    let found = chars[from..]
        .windows(what.len())
        .position(|window| *window == what)?;
    Some(from + found)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let opening = at + 1 + hashes;
    if chars.get(opening) != Some(&'"') {
        return None; // an ordinary word, or a raw identifier
    }
    let closing = format!("\"{}", "#".repeat(hashes));
    let end = find(chars, opening + 1, &closing).map(|end| end + closing.len());
    Some(end.unwrap_or(chars.len()))
}
