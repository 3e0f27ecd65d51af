//! Lines of a configuration file, read as Debian's scripts read `/etc/memcached.conf`.
//!
//! ```text
//!   -m 64               flags as on the command line, one or more
//!   -u memcache   # who   from an unquoted # on it is a comment; \# is the character
//!   -s '/run/my cache'  quotes and backslashes as in a shell; variables stay as they are
//!   logfile /var/log/x  for Debian's own scripts: the log goes to standard error
//!   -d                  a line that begins with -d or -h is skipped, as these scripts do
//! ```
//!
//! What starts the server decides whether it goes into the background, so `-d` in the file is for
//! nobody. Who needs it there writes `--daemon`.

use std::fs::File;
use std::io::{self, Read};
use std::iter::Peekable;
use std::path::Path;
use std::str::{self, Chars};

/// Bytes at most: what is longer is no configuration.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Debian's word for where its script sends standard error.
const LOG_FILE: &str = "logfile";

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConfigLine {
    /// These words of a command line.
    Flags(Vec<String>),
    /// Nothing, and what the operator should know about that.
    Skipped(Option<String>),
}

impl ConfigLine {
    /// Reads one line.
    ///
    /// # Errors
    /// Why it makes no sense.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(line).map_err(|_| "is not UTF-8")?;
        let words = words(text)?;
        let Some(first) = words.first() else {
            return Ok(Self::Skipped(None));
        };
        if first == LOG_FILE {
            let why = "logfile: has no effect, the log goes to standard error";
            return Ok(Self::Skipped(Some(why.into())));
        }
        if first.starts_with("-d") || first.starts_with("-h") {
            let rest = words.len() > 1 || first.len() > 2;
            let why = "skipped, because it begins with -d or -h";
            return Ok(Self::Skipped(rest.then(|| why.into())));
        }
        if !first.starts_with('-') {
            return Err(format!(
                "{first}: a line begins with a flag such as -m or --port, or is a comment"
            ));
        }
        Ok(Self::Flags(words))
    }
}

/// What the file holds.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = vec![];
    let mut file = File::open(path)?.take(FILE_LEN_MAX + 1);
    file.read_to_end(&mut text)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::other(format!(
            "longer than {FILE_LEN_MAX} bytes"
        )));
    }
    Ok(text)
}

/// Splits a line into words, up to its comment.
///
/// # Errors
/// If a quote is not closed, or nothing follows a backslash.
pub(super) fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = vec![];
    let mut word = None;
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '#' => break,
            '\'' | '"' => quoted(&mut rest, character, word.get_or_insert_default())?,
            '\\' => {
                let escaped = rest.next().ok_or("a backslash at the end")?;
                word.get_or_insert_default().push(escaped);
            }
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Reads up to the closing quote. A backslash means something between double quotes only.
fn quoted(
    rest: &mut Peekable<Chars<'_>>,
    quote: char,
    word: &mut String,
) -> Result<(), &'static str> {
    while let Some(character) = rest.next() {
        match character {
            end if end == quote => return Ok(()),
            '\\' if quote == '"' => {
                let escaped = rest.next_if(|next| ['"', '\\', '$', '`'].contains(next));
                word.push(escaped.unwrap_or('\\'));
            }
            other => word.push(other),
        }
    }
    Err("a quote is not closed")
}

/// The word as [`words`] reads it back; nothing, if it does not fit on a line.
pub(super) fn quote(word: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,.:;/%*[]@".contains(c);
    if word.contains('\n') {
        None
    } else if !word.is_empty() && word.chars().all(is_plain) {
        Some(word.into())
    } else {
        Some(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        let table: [(&str, &[&str]); 9] = [
            ("-m 64\t-c   9 \r", &["-m", "64", "-c", "9"]),
            ("", &[]),
            (" # -v", &[]),
            ("-m 64 # MiB", &["-m", "64"]),
            ("-u me#mory -v", &["-u", "me"]),
            (r"-D \# -v", &["-D", "#", "-v"]),
            (r#"-s '/a b' "c\"d\e#"#, &[]),
            (r#"-s '/a \b'c "d\"\e#""#, &["-s", r"/a \bc", r#"d"\e#"#]),
            ("-D ''", &["-D", ""]),
        ];
        for (line, expected) in table {
            match words(line) {
                Ok(words) => assert_eq!(words, expected, "{line}"),
                Err(why) => assert_eq!((why, expected.len()), ("a quote is not closed", 0)),
            }
        }
        assert_eq!(words("-m \\"), Err("a backslash at the end"));
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for word in ["plain", "", "a b", "#", "it's", "\"$\\", "ä\t", "a\rb"] {
            let line = quote(word).unwrap();
            assert_eq!(words(&line), Ok(vec![word.to_string()]), "{line}");
        }
        assert_eq!(quote("plain/path:1"), Some("plain/path:1".into()));
        assert_eq!(quote("two\nlines"), None);
    }

    #[test]
    fn lines_that_are_for_debians_scripts_are_skipped() {
        for (line, is_noted) in [
            ("# words", false),
            ("  -d", false),
            ("-h", false),
            ("-d -m 64", true),
            ("-dv", true),
            ("logfile /var/log/memcached.log", true),
        ] {
            let parsed = ConfigLine::parse(line.as_bytes());
            let Ok(ConfigLine::Skipped(note)) = parsed else {
                panic!("{line}: {parsed:?}");
            };
            assert_eq!(note.is_some(), is_noted, "{line}");
        }
        let flags = ConfigLine::parse(b"--daemon").unwrap();
        assert_eq!(flags, ConfigLine::Flags(vec!["--daemon".into()]));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [&b"logfiles x"[..], b"64", b"-u \xff", b"-s '/a", b"port 1"] {
            assert!(ConfigLine::parse(line).is_err(), "{line:?}");
        }
    }
}
