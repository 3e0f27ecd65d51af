//! Arguments of `stats`.

use crate::protocol::ErrorLine;
use crate::protocol::text::tokens::{Tokens, abbreviates, unsigned};

/// Class numbers below this can exist.
const CLASS_END: u32 = 64;

/// What `stats` asks for, over every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsRequest {
    /// A list of names and values.
    Group(Group),
    /// Open sockets.
    Conns,
    /// Start counting anew.
    Reset,
    /// Prefix statistics.
    Detail(DetailRequest),
    /// How many items there are of each size.
    Sizes,
    /// Keys of a class. Its arguments are judged only where dumps are allowed at all.
    Cachedump(Result<CachedumpRequest, ErrorLine>),
    /// External storage, which there is none.
    Extstore,
}

/// A group of statistics that is a list of names and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Plain `stats`.
    General,
    /// What the operator asked for.
    Settings,
    /// Items by class.
    Items,
    /// Memory by class.
    Slabs,
    /// What the eviction policy has learned, by class.
    Eviction,
}

/// `stats cachedump <class> <limit>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedumpRequest {
    /// Which class.
    pub class: u8,
    /// How many keys at most; 0 for all.
    pub limit: u32,
}

/// `stats detail <...>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailRequest {
    /// Begin to count prefixes.
    On,
    /// Stop.
    Off,
    /// Show the counts.
    Dump,
    /// None of these.
    Usage,
}

/// Reads what follows `stats`. The words before `items` may be abbreviated, first come first
/// served; `items`, `slabs`, `sizes` and our own `eviction` may not.
pub(super) fn parse_stats(mut tokens: Tokens<'_>) -> Result<StatsRequest, ErrorLine> {
    let Some(word) = tokens.next() else {
        return Ok(StatsRequest::Group(Group::General));
    };
    if abbreviates(word, "reset") {
        return Ok(StatsRequest::Reset);
    }
    if abbreviates(word, "detail") {
        return Ok(StatsRequest::Detail(detail(
            tokens.next().unwrap_or_default(),
        )));
    }
    if abbreviates(word, "settings") {
        return Ok(StatsRequest::Group(Group::Settings));
    }
    if abbreviates(word, "cachedump") {
        return Ok(StatsRequest::Cachedump(cachedump(tokens)));
    }
    if abbreviates(word, "conns") {
        return Ok(StatsRequest::Conns);
    }
    if abbreviates(word, "extstore") {
        return Ok(StatsRequest::Extstore);
    }
    whole(word).ok_or(ErrorLine::Unknown)
}

/// Reads the key of a binary request: fewer words than over text, and none cut short.
#[must_use]
pub fn parse_stats_key(key: &[u8]) -> Option<StatsRequest> {
    Some(match key {
        b"" => StatsRequest::Group(Group::General),
        b"settings" => StatsRequest::Group(Group::Settings),
        b"reset" => StatsRequest::Reset,
        b"detail on" => StatsRequest::Detail(DetailRequest::On),
        b"detail off" => StatsRequest::Detail(DetailRequest::Off),
        b"detail dump" => StatsRequest::Detail(DetailRequest::Dump),
        key if key.starts_with(b"detail ") => StatsRequest::Detail(DetailRequest::Usage),
        key => whole(key)?,
    })
}

/// The words that are never cut short.
fn whole(word: &[u8]) -> Option<StatsRequest> {
    let group = match word {
        b"sizes" => return Some(StatsRequest::Sizes),
        b"items" => Group::Items,
        b"slabs" => Group::Slabs,
        b"eviction" => Group::Eviction,
        _ => return None,
    };
    Some(StatsRequest::Group(group))
}

fn detail(word: &[u8]) -> DetailRequest {
    if abbreviates(word, "on") {
        DetailRequest::On
    } else if abbreviates(word, "off") {
        DetailRequest::Off
    } else if abbreviates(word, "dump") {
        DetailRequest::Dump
    } else {
        DetailRequest::Usage
    }
}

fn cachedump(mut tokens: Tokens<'_>) -> Result<CachedumpRequest, ErrorLine> {
    let (Some(class), Some(limit)) = (tokens.next(), tokens.next()) else {
        return Err(ErrorLine::BadLine);
    };
    let class = unsigned(class).ok_or(ErrorLine::BadFormat)?;
    let limit = unsigned(limit).ok_or(ErrorLine::BadFormat)?;
    match u8::try_from(class) {
        Ok(class) if u32::from(class) < CLASS_END => Ok(CachedumpRequest { class, limit }),
        _ => Err(ErrorLine::IllegalSlabId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Result<StatsRequest, ErrorLine> {
        parse_stats(Tokens::new(arguments.as_bytes()))
    }

    #[test]
    fn words_may_be_cut_short_in_a_fixed_order() {
        assert_eq!(parsed(""), Ok(StatsRequest::Group(Group::General)));
        assert_eq!(parsed("s"), Ok(StatsRequest::Group(Group::Settings)));
        assert!(matches!(parsed("c"), Ok(StatsRequest::Cachedump(_))));
        assert_eq!(parsed("co"), Ok(StatsRequest::Conns));
        assert_eq!(parsed("r x"), Ok(StatsRequest::Reset));
        assert_eq!(
            parsed("detail o"),
            Ok(StatsRequest::Detail(DetailRequest::On))
        );
    }

    #[test]
    fn items_slabs_sizes_and_eviction_must_be_whole() {
        assert_eq!(parsed("items"), Ok(StatsRequest::Group(Group::Items)));
        assert_eq!(parsed("sizes x"), Ok(StatsRequest::Sizes));
        assert_eq!(parsed("eviction"), Ok(StatsRequest::Group(Group::Eviction)));
        for word in ["item", "slab", "sizes_enable", "evict", "bogus"] {
            assert_eq!(parsed(word), Err(ErrorLine::Unknown));
        }
    }

    #[test]
    fn a_key_names_fewer_groups_and_each_whole() {
        let group = |group| Some(StatsRequest::Group(group));
        assert_eq!(parse_stats_key(b""), group(Group::General));
        assert_eq!(parse_stats_key(b"slabs"), group(Group::Slabs));
        assert_eq!(parse_stats_key(b"reset"), Some(StatsRequest::Reset));
        assert_eq!(parse_stats_key(b"sizes"), Some(StatsRequest::Sizes));
        let detail = |request| Some(StatsRequest::Detail(request));
        assert_eq!(parse_stats_key(b"detail off"), detail(DetailRequest::Off));
        assert_eq!(parse_stats_key(b"detail o"), detail(DetailRequest::Usage));
        for key in [&b"s"[..], b"set", b"conns", b"detail", b"cachedump 1 1"] {
            assert_eq!(parse_stats_key(key), None);
        }
    }

    #[test]
    fn cachedump_wants_a_class_below_sixty_four() {
        let dump = |text: &str| match parsed(text) {
            Ok(StatsRequest::Cachedump(result)) => result,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            dump("cachedump 63 0"),
            Ok(CachedumpRequest {
                class: 63,
                limit: 0
            })
        );
        assert_eq!(dump("cachedump 64 0"), Err(ErrorLine::IllegalSlabId));
        assert_eq!(dump("cachedump 300 0"), Err(ErrorLine::IllegalSlabId));
        assert_eq!(dump("cachedump x 0"), Err(ErrorLine::BadFormat));
        assert_eq!(dump("cachedump 1"), Err(ErrorLine::BadLine));
    }
}
