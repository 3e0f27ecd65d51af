//! Every error line there is, of classic and meta commands and of logins.

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
    /// A command for operators in a datagram.
    NotOverUdp => "CLIENT_ERROR not allowed over UDP",
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
    /// Anything but a login of a connection that must log in first.
    Unauthenticated => "CLIENT_ERROR unauthenticated",
    /// A login's token that is longer than any.
    TokenTooLong => "CLIENT_ERROR auth token too long",
    /// A login's token that does not end where its length says.
    BadTermination => "CLIENT_ERROR bad command line termination",
    /// A login's token that is not a user and a password.
    AuthFormat => "CLIENT_ERROR bad authentication token format",
    /// No such user, or another password.
    AuthFailure => "CLIENT_ERROR authentication failure",
    /// `-F`.
    FlushNotAllowed => "CLIENT_ERROR flush_all not allowed",
    /// `-F`.
    FlushPrefixNotAllowed => "CLIENT_ERROR flush_prefix not allowed",
    /// A flush of a prefix while as many as there may be are under way or to come.
    TooManyFlushes => "SERVER_ERROR too many flushes pending",
    /// `-W`.
    WatchNotAllowed => "CLIENT_ERROR watch commands not allowed",
    /// `watch` while as many watch as may.
    TooManyWatchers => "WATCHER_TOO_MANY log watcher limit reached",
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
    /// A crawl or a dump while there is no crawler.
    CrawlerDisabled => "CLIENT_ERROR lru crawler disabled",
    /// `lru_crawler enable` while there is one.
    CrawlerIsOn => "ERROR failed to start lru crawler thread",
    /// A crawl or a dump of no class at all.
    NothingToCrawl => "NOTSTARTED no items to crawl",
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
    /// More tokens than a meta line may have.
    TooManyFlags => "CLIENT_ERROR options flags are too long",
    /// A letter of a meta line that came twice.
    DuplicateFlag => "CLIENT_ERROR duplicate flag",
    /// A letter that means nothing.
    InvalidFlag => "CLIENT_ERROR invalid flag",
    /// `ma` says this for everything that is wrong with its flags.
    InvalidOrDuplicateFlag => "CLIENT_ERROR invalid or duplicate flag",
    /// A time or CAS id of a meta line that is no number.
    BadToken => "CLIENT_ERROR bad token in command line format",
    /// `D` without a number.
    BadMetaDelta => "CLIENT_ERROR invalid numeric delta value",
    /// `J` without a number.
    BadInitial => "CLIENT_ERROR invalid numeric initial value",
    /// A key that is not base64.
    BadBase64 => "CLIENT_ERROR error decoding key",
    /// `O` with more bytes than it may have.
    OpaqueTooLong => "CLIENT_ERROR opaque token too long",
    /// `M` of `ms` with an unknown letter.
    BadSetMode => "CLIENT_ERROR invalid mode for ms M token",
    /// `M` of `ma` with an unknown letter.
    BadArithMode => "CLIENT_ERROR invalid mode for ma M token",
}

/// A line that is not understood, or cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What to answer.
    pub error: ErrorLine,
    /// The client wants no answer, not even this one.
    pub noreply: bool,
    /// Bytes after the line that belong to it, the end of its value included, and must be skipped.
    pub skip: u64,
}

impl Rejection {
    /// An error that is always sent and after which nothing is skipped.
    #[must_use]
    pub fn aloud(error: ErrorLine) -> Self {
        Self::unless(false, error)
    }

    /// An error after which nothing is skipped.
    #[must_use]
    pub fn unless(noreply: bool, error: ErrorLine) -> Self {
        Self {
            error,
            noreply,
            skip: 0,
        }
    }
}

impl From<ErrorLine> for Rejection {
    fn from(error: ErrorLine) -> Self {
        Self::aloud(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line() {
        for error in [
            ErrorLine::Unknown,
            ErrorLine::BadFormat,
            ErrorLine::OutOfMemory,
        ] {
            let line = error.as_bytes();
            assert_eq!(memchr::memchr_iter(b'\n', line).count(), 1);
            assert!(line.ends_with(b"\r\n"));
        }
    }
}
