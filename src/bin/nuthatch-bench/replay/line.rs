//! One line of a trace: `<key> <bytes> [<ttl> [<operation>]]`, or `mark`.

use crate::operation::Operation;
use nuthatch::base::number::{parse_u32, parse_u64, usize_from};

/// No server takes larger values than this.
const SIZE_MAX: u64 = 1 << 30;

/// The line from which counting starts anew.
pub(crate) const MARK: &str = "mark";

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Mark,
    Request(Request),
}

/// What to ask the server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) key: Vec<u8>,
    pub(super) size: usize,
    /// Seconds; 0 is for ever.
    pub(super) ttl_s: u32,
    pub(super) operation: Operation,
}

impl Line {
    /// Reads a line without its ending.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text == MARK.as_bytes() {
            return Some(Self::Mark);
        }
        let mut words = text.split(u8::is_ascii_whitespace);
        let key = words.next().filter(|key| (1..=250).contains(&key.len()))?;
        let size = words.next().and_then(parse_u64)?;
        let ttl_s = match words.next() {
            None | Some(b"") => 0,
            Some(digits) => parse_u32(digits)?,
        };
        let operation = match words.next() {
            None => Operation::Fetch,
            Some(name) => Operation::from_name(name)?,
        };
        let is_whole = words.next().is_none() && size <= SIZE_MAX;
        is_whole.then(|| {
            Self::Request(Request {
                key: key.into(),
                size: usize_from(size),
                ttl_s,
                operation,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_leaves_out_has_a_default() {
        for (text, ttl_s, operation) in [
            ("key 7", 0, Operation::Fetch),
            ("key 7 60", 60, Operation::Fetch),
            ("key 7 0 append", 0, Operation::Append),
        ] {
            let expected = Request {
                key: b"key".into(),
                size: 7,
                ttl_s,
                operation,
            };
            let line = Line::parse(text.as_bytes());
            assert_eq!(line, Some(Line::Request(expected)), "{text}");
        }
        assert_eq!(Line::parse(b"mark"), Some(Line::Mark));
    }

    #[test]
    fn every_operation_has_a_name_that_is_understood() {
        for operation in Operation::ALL {
            let text = format!("a 1 0 {}", operation.name());
            let Some(Line::Request(request)) = Line::parse(text.as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(request.operation, operation);
        }
    }

    #[test]
    fn lines_that_are_no_requests_are_refused() {
        for text in [
            "a",
            "a b",
            "a 1 x",
            " 1",
            "a 99999999999",
            "a 1 0 put",
            "a 1 0 set more",
            "a 1 set",
        ] {
            assert_eq!(Line::parse(text.as_bytes()), None, "{text}");
        }
    }
}
