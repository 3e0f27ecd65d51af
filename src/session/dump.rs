//! Replies that tell of everything in the store, a few buckets at a time.
//!
//! What is told exactly once, and what not at all, is said at [`Listing`].

use crate::base::clock::Now;
use crate::protocol::binary::Reply;
use crate::protocol::dump::{
    DumpedItem, KEYS_END, push_cachedump_line, push_metadump_line, push_mgdump_line,
};
use crate::protocol::text::reply::END;
use crate::protocol::text::{CachedumpRequest, DumpFormat};
use crate::session::output::Output;
use crate::session::report::{StatLines, StatPackets};
use crate::session::shared::Context;
use crate::stats::{Sink, SizeHistogram};
use crate::store::{Classes, Listed, Listing};

/// Items in one piece, but for those of its last bucket. After a piece the session gives way, as
/// after `-R` requests, which are 20 by default: to tell of an item costs about what a get does.
const PIECE_ITEMS: u32 = 20;

/// Buckets in one piece, where few of them have something to tell.
const PIECE_BUCKETS: u32 = 64;

/// Lines of a histogram in one piece.
const PIECE_LINES: usize = 64;

/// Bytes of a `cachedump` at most, as memcached's: what can be shown of a class of any size.
const CACHEDUMP_LEN_MAX: usize = 2 << 20;

/// Bytes of it that are sent together. There are clients that forget the lines that come before the
/// packet with its end: those that ask for a hundred keys do not see that.
const CACHEDUMP_GATHERED: usize = 16 << 10;

/// Calls `tell` for the next items. False after the last.
fn next_piece(
    context: &Context<'_>,
    listing: &mut Listing,
    mut tell: impl FnMut(&Listed<'_>),
) -> bool {
    let mut items = 0;
    for _ in 0..PIECE_BUCKETS {
        let more = context.shared.store.list(listing, context.now, |item| {
            items += 1;
            tell(item);
        });
        if !more {
            return false;
        }
        if items >= PIECE_ITEMS {
            break;
        }
    }
    true
}

/// What a line of a dump shows of an item.
fn dumped<'a>(item: &Listed<'a>, now: Now) -> DumpedItem<'a> {
    let facts = &item.facts;
    let idle_s = i64::try_from(facts.idle_s).unwrap_or(i64::MAX);
    DumpedItem {
        key: item.key,
        binary_key: facts.binary_key,
        expires: facts.expiry.unix(now),
        accessed: now.unix().saturating_sub(idle_s),
        cas: facts.cas,
        fetched: facts.fetched,
        class: facts.class.0,
        size: facts.size,
        value_len: facts.value_len,
        client_flags: facts.client_flags,
    }
}

/// `lru_crawler metadump` or `mgdump`.
#[derive(Debug)]
pub(super) struct Dump {
    format: DumpFormat,
    listing: Listing,
}

impl Dump {
    /// Of these classes.
    pub(super) fn new(format: DumpFormat, classes: Classes) -> Self {
        Self {
            format,
            listing: Listing::new(classes),
        }
    }

    /// Appends the next lines. False after the last.
    pub(super) fn push_piece(&mut self, context: &Context<'_>, out: &mut Output) -> bool {
        let out = out.bytes_mut();
        let push = match self.format {
            DumpFormat::Metadump => push_metadump_line,
            DumpFormat::Mgdump => push_mgdump_line,
        };
        next_piece(context, &mut self.listing, |item| {
            push(out, &dumped(item, context.now));
        })
    }

    /// What its last line is.
    pub(super) fn end(&self) -> &'static [u8] {
        match self.format {
            DumpFormat::Metadump => END,
            DumpFormat::Mgdump => KEYS_END,
        }
    }
}

/// `stats cachedump`.
#[derive(Debug)]
pub(super) struct Cachedump {
    listing: Listing,
    /// Lines and bytes that may follow.
    lines_left: u32,
    len_left: usize,
    /// Lines that are not sent yet.
    gathered: Vec<u8>,
}

impl Cachedump {
    pub(super) fn new(request: CachedumpRequest) -> Self {
        Self {
            listing: Listing::new(Classes(1 << request.class)),
            lines_left: match request.limit {
                0 => u32::MAX,
                limit => limit,
            },
            len_left: CACHEDUMP_LEN_MAX - END.len(),
            gathered: vec![],
        }
    }

    /// Appends the next lines. False after the last.
    pub(super) fn push_piece(&mut self, context: &Context<'_>, out: &mut Output) -> bool {
        let Self {
            listing,
            lines_left,
            len_left,
            gathered,
        } = self;
        let more = next_piece(context, listing, |item| {
            let before = gathered.len();
            push_cachedump_line(gathered, &dumped(item, context.now));
            let len = gathered.len() - before;
            if len > *len_left {
                *lines_left = 0;
            }
            if *lines_left == 0 {
                gathered.truncate(before);
            } else if len > 0 {
                *lines_left -= 1;
                *len_left -= len;
            }
        });
        let more = more && *lines_left > 0;
        if !more || gathered.len() >= CACHEDUMP_GATHERED {
            out.bytes_mut().append(gathered);
        }
        more
    }
}

/// `stats sizes`: all items are counted first, and their numbers told then.
#[derive(Debug)]
pub(super) struct Sizes {
    /// What is not yet counted.
    listing: Option<Listing>,
    histogram: SizeHistogram,
    /// The last size that was told.
    told: Option<u32>,
    /// Whom to answer, if it is asked for by a packet.
    reply: Option<Reply>,
}

impl Sizes {
    pub(super) fn new(reply: Option<Reply>) -> Self {
        Self {
            listing: Some(Listing::new(Classes::ALL)),
            histogram: SizeHistogram::default(),
            told: None,
            reply,
        }
    }

    /// Counts on, or appends the next lines. False after the last.
    pub(super) fn push_piece(&mut self, context: &Context<'_>, out: &mut Output) -> bool {
        if let Some(listing) = &mut self.listing {
            let histogram = &mut self.histogram;
            let more = next_piece(context, listing, |item| {
                histogram.count(item.facts.size);
            });
            if !more {
                self.listing = None;
            }
            return true;
        }
        let out = out.bytes_mut();
        self.told = match self.reply {
            Some(reply) => self.tell(&mut StatPackets { reply, out }),
            None => self.tell(&mut StatLines(out)),
        };
        self.told.is_some()
    }

    fn tell(&self, sink: &mut impl Sink) -> Option<u32> {
        let histogram = &self.histogram;
        histogram.report_after(self.told, PIECE_LINES, sink)
    }

    /// Ends the reply.
    pub(super) fn push_end(&self, out: &mut Output) {
        let out = out.bytes_mut();
        match self.reply {
            Some(reply) => reply.push_stat(out, b"", b""),
            None => out.extend_from_slice(END),
        }
    }
}
