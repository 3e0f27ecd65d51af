//! Reply lines of the text protocols.

use crate::base::number::{push_decimal, push_spaced};

/// Ends every line and every value.
pub const CRLF: &[u8] = b"\r\n";

/// Ends a list of values or statistics.
pub const END: &[u8] = b"END\r\n";

/// Declares the error lines: each variant is its wire text.
macro_rules! error_lines {
    ($($(#[$doc:meta])+ $name:ident => $text:literal,)+) => {
        /// An error as the client sees it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorLine {
            $($(#[$doc])+ $name,)+
        }

        impl ErrorLine {
            /// The whole line, terminator included.
            #[must_use]
            pub fn as_bytes(self) -> &'static [u8] {
                match self {
                    $(Self::$name => concat!($text, "\r\n").as_bytes(),)+
                }
            }
        }
    };
}

error_lines! {
    /// A reply to a datagram that is longer than such replies may be.
    ReplyTooLarge => "SERVER_ERROR reply too large for UDP",
    /// No such command, sub-command or form of it.
    Unknown => "ERROR",
    /// Missing tokens, long keys, bad numbers.
    BadFormat => "CLIENT_ERROR bad command line format",
    /// Missing arguments of `stats cachedump`.
    BadLine => "CLIENT_ERROR bad command line",
    /// The value does not end where its length says.
    BadChunk => "CLIENT_ERROR bad data chunk",
    /// Exptime of touch, gat, gats, flush_all, flush_prefix.
    BadExptime => "CLIENT_ERROR invalid exptime argument",
    /// Delta of incr, decr.
    BadDelta => "CLIENT_ERROR invalid numeric delta argument",
    /// The item does not hold a number.
    NonNumeric => "CLIENT_ERROR cannot increment or decrement non-numeric value",
    /// `-F`.
    FlushNotAllowed => "CLIENT_ERROR flush_all not allowed",
    /// `-F`.
    FlushPrefixNotAllowed => "CLIENT_ERROR flush_prefix not allowed",
    /// A flush of a prefix while as many as there may be are under way or to come.
    TooManyFlushes => "SERVER_ERROR too many flushes pending",
    /// `-W`.
    WatchNotAllowed => "CLIENT_ERROR watch commands not allowed",
    /// Without `-A`.
    ShutdownNotEnabled => "SERVER_ERROR: shutdown not enabled",
    /// `shutdown` with an unknown word.
    BadShutdownMode => "CLIENT_ERROR invalid shutdown mode",
    /// `stats detail` with an unknown word, or none.
    DetailUsage => "CLIENT_ERROR usage: stats detail on|off|dump",
    /// `-X`.
    DetailNotAllowed => "CLIENT_ERROR stats detail not allowed",
    /// `-X`.
    CachedumpNotAllowed => "CLIENT_ERROR stats cachedump not allowed",
    /// `-X`.
    MetadumpNotAllowed => "ERROR metadump not allowed",
    /// `-X`.
    KeyDumpNotAllowed => "ERROR key dump not allowed",
    /// Class number of `stats cachedump`.
    IllegalSlabId => "CLIENT_ERROR Illegal slab id",
    /// `-o no_slab_reassign`.
    ReassignDisabled => "CLIENT_ERROR slab reassignment disabled",
    /// `slabs reassign` before the last one is done.
    ReassignBusy => "BUSY currently processing reassign request",
    /// `slabs reassign` to itself.
    SameClass => "SAME src and dst class are identical",
    /// Class number of `slabs reassign`.
    BadSlabClass => "BADCLASS invalid src or dst class id",
    /// `slabs reassign` from a class with nothing to give.
    NoSparePages => "NOSPARE source class has no spare pages",
    /// `slabs automove window`.
    BadWindow => "CLIENT_ERROR automove window too low or too high",
    /// `lru tune`.
    LruShares => "ERROR hot and warm pcts must not exceed 80",
    /// `lru tune`.
    LruFactors => "ERROR hot/warm age factors must be greater than 0",
    /// `lru_crawler sleep`.
    CrawlerSleep => "CLIENT_ERROR sleep must be one second or less",
    /// Class number of a crawl.
    BadCrawlClass => "BADCLASS invalid class id",
    /// A crawl of a kind that does not exist.
    CrawlUnknown => "ERROR an unknown error happened",
    /// `cache_memlimit`.
    MemlimitTooSmall => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
    /// `cache_memlimit`.
    MemlimitInBytes => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
    /// `cache_memlimit`.
    MemlimitFixed => "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust",
    /// The item would be over the size limit.
    TooLarge => "SERVER_ERROR object too large for cache",
    /// No memory for a new item.
    OutOfMemoryStoring => "SERVER_ERROR out of memory storing object",
    /// No memory for the rest of a value on its way in.
    OutOfMemoryReading => "SERVER_ERROR Out of memory during read",
    /// No memory for a number that grew.
    OutOfMemory => "SERVER_ERROR out of memory",
}

/// What goes between the key and the value of a hit.
#[derive(Clone, Copy, Debug)]
pub struct ValueHead {
    /// The client's bits.
    pub client_flags: u32,
    /// Length of the value.
    pub value_len: u32,
    /// The item's version, where asked for.
    pub cas: Option<u64>,
}

/// Appends `VALUE <key> <flags> <bytes>[ <cas>]` and its line end.
#[inline]
pub fn push_value_head(out: &mut Vec<u8>, key: &[u8], head: ValueHead) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    push_spaced(out, u64::from(head.client_flags));
    push_spaced(out, u64::from(head.value_len));
    if let Some(cas) = head.cas {
        push_spaced(out, cas);
    }
    out.extend_from_slice(CRLF);
}

/// Appends `value` on a line of its own: the answer to incr and decr.
pub fn push_number(out: &mut Vec<u8>, value: u64) {
    push_decimal(out, value);
    out.extend_from_slice(CRLF);
}

/// Appends `VERSION <version>`.
pub fn push_version(out: &mut Vec<u8>, version: &str) {
    out.extend_from_slice(b"VERSION ");
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(CRLF);
}

/// Appends `STAT <name> <value>`.
pub fn push_stat(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in ["STAT ", name, " ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_head_names_the_cas_only_when_asked() {
        let mut out = vec![];
        push_value_head(
            &mut out,
            b"k",
            ValueHead {
                client_flags: 7,
                value_len: 10,
                cas: None,
            },
        );
        push_value_head(
            &mut out,
            b"k",
            ValueHead {
                client_flags: 0,
                value_len: 0,
                cas: Some(9),
            },
        );
        assert_eq!(out, b"VALUE k 7 10\r\nVALUE k 0 0 9\r\n");
    }

    #[test]
    fn every_error_is_one_line() {
        for error in [
            ErrorLine::Unknown,
            ErrorLine::BadFormat,
            ErrorLine::OutOfMemory,
        ] {
            let line = error.as_bytes();
            assert_eq!(memchr::memchr_iter(b'\n', line).count(), 1);
            assert!(line.ends_with(CRLF));
        }
    }
}
