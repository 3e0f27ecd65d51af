//! Commands for operators: their arguments, checked as far as that needs no store.

use crate::base::key::Key;
use crate::base::number::parse_clamped;
use crate::base::settings::Automove;
use crate::protocol::text::Request;
use crate::protocol::text::tokens::{Tokens, abbreviates, fraction, signed, unsigned};
use crate::protocol::{ErrorLine, Rejection};

/// The greatest class number.
const CLASS_MAX: u32 = 63;

/// The longest pause of the crawler: a second.
const CRAWLER_SLEEP_MAX: u32 = 1_000_000;

/// A command for operators.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AdminRequest<'a> {
    /// `flush_all [delay]`. The delay is judged after the command is counted and allowed.
    FlushAll(Result<i64, ErrorLine>),
    /// `flush_prefix <prefix> [delay]`. Prefix and delay are judged as the delay above.
    FlushPrefix(Result<(Key<'a>, i64), ErrorLine>),
    /// `verbosity <n>`, already clamped.
    Verbosity(u8),
    /// `cache_memlimit <megabytes>`.
    Memlimit(u32),
    /// `shutdown [graceful]`. The word is judged only where the command is enabled.
    Shutdown(Result<Shutdown, ErrorLine>),
    /// `slabs reassign <src> <dst>`.
    Reassign {
        /// From which class; -1 for any.
        source: i32,
        /// To which class; 0 for the pool.
        target: i32,
    },
    /// `slabs automove <...>`.
    Automove(AutomoveRequest),
    /// `lru <...>`.
    Lru(LruRequest),
    /// `lru_crawler <...>`, but for dumps.
    Crawler(CrawlerRequest),
    /// `lru_crawler metadump` and `mgdump`.
    Dump {
        /// Which of them.
        format: DumpFormat,
        /// Of which classes: bit n is that of class n. Judged only where dumps are allowed.
        classes: Result<u64, ErrorLine>,
    },
}

/// `slabs automove <...>`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AutomoveRequest {
    /// 0, 1 or 2.
    Level(Automove),
    /// `ratio`: kept to be shown.
    Ratio(f64),
    /// `window`, seconds.
    Window(u32),
    /// `freeratio`: of external storage, which is not there.
    FreeRatio,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// At once.
    Plain,
    /// As on SIGUSR1.
    Graceful,
}

/// `lru <...>`: kept to be shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LruRequest {
    /// `tune`.
    Tune {
        /// Percent of a class for new items.
        hot_pct: u32,
        /// Percent of a class for what is read again.
        warm_pct: u32,
        /// How old the new ones may become, as a part of the oldest item's age.
        hot_factor: f64,
        /// The same for the others.
        warm_factor: f64,
    },
    /// `mode`.
    Mode {
        /// `segmented`; else `flat`.
        segmented: bool,
    },
    /// `temp_ttl`: seconds; below 0 for none.
    TempTtl(i32),
}

/// `lru_crawler <...>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrawlerRequest {
    /// Look for what has expired.
    Enable,
    /// Do not.
    Disable,
    /// Pause for so many microseconds now and then.
    Sleep(u32),
    /// Look at so many items of a class: kept to be shown.
    ToCrawl(u32),
    /// Remove what has expired. The classes are judged only where there is a crawler.
    Crawl(Result<u64, ErrorLine>),
}

/// What a dump is a list of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFormat {
    /// `metadump`: keys, and what is known of their items.
    Metadump,
    /// `mgdump`: commands that get the items.
    Mgdump,
}

/// Reads the commands whose verb may have spaces before it, and tells unknown ones.
pub(super) fn parse_admin<'a>(verb: &[u8], tokens: Tokens<'a>) -> Result<Request<'a>, Rejection> {
    let noreply = tokens.end_in_noreply(verb);
    let request = match verb {
        b"flush_all" => flush_all(tokens, noreply),
        b"flush_prefix" => flush_prefix(tokens, noreply),
        b"verbosity" => verbosity(tokens),
        b"cache_memlimit" => memlimit(tokens),
        b"shutdown" => shutdown(tokens),
        b"slabs" => slabs(tokens),
        b"lru" => lru(tokens),
        b"lru_crawler" => crawler(tokens),
        _ if is_http(tokens) => return Ok(Request::Http),
        _ => Err(ErrorLine::Unknown),
    };
    match request {
        Ok(request) => Ok(Request::Admin { request, noreply }),
        Err(error) => Err(Rejection::unless(noreply, error)),
    }
}

/// `GET / HTTP/1.1` and its like.
fn is_http(tokens: Tokens<'_>) -> bool {
    tokens
        .last()
        .is_some_and(|token| token.starts_with(b"HTTP/"))
}

/// The arguments, if there are from `least` to `most` of them.
fn arguments<'a, const MOST: usize>(
    tokens: Tokens<'a>,
    least: usize,
) -> Result<[&'a [u8]; MOST], ErrorLine> {
    let mut found: [&[u8]; MOST] = [b""; MOST];
    let mut count = 0;
    for token in tokens {
        *found.get_mut(count).ok_or(ErrorLine::Unknown)? = token;
        count += 1;
    }
    if count < least {
        Err(ErrorLine::Unknown)
    } else {
        Ok(found)
    }
}

fn flush_all(tokens: Tokens<'_>, noreply: bool) -> Result<AdminRequest<'_>, ErrorLine> {
    let [delay, second] = arguments::<2>(tokens, 0)?;
    Ok(AdminRequest::FlushAll(flush_delay(delay, second, noreply)))
}

fn flush_prefix(tokens: Tokens<'_>, noreply: bool) -> Result<AdminRequest<'_>, ErrorLine> {
    let [prefix, delay, second] = arguments::<3>(tokens, 1)?;
    if noreply && delay.is_empty() {
        // Its prefix is missing: better none than that.
        return Err(ErrorLine::Unknown);
    }
    let prefix = Key::new(prefix).ok_or(ErrorLine::BadFormat);
    let delay = flush_delay(delay, second, noreply);
    let both = prefix.and_then(|prefix| delay.map(|delay| (prefix, delay)));
    Ok(AdminRequest::FlushPrefix(both))
}

/// The delay, if that is one; with nothing after it, it may be the `noreply`.
fn flush_delay(delay: &[u8], after: &[u8], noreply: bool) -> Result<i64, ErrorLine> {
    if delay.is_empty() || (noreply && after.is_empty()) {
        return Ok(0);
    }
    parse_clamped(delay).ok_or(ErrorLine::BadExptime)
}

fn verbosity(mut tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let level = tokens
        .next()
        .and_then(unsigned)
        .ok_or(ErrorLine::BadFormat)?;
    Ok(AdminRequest::Verbosity(level.min(2) as u8))
}

fn memlimit(tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let [megabytes, _] = arguments::<2>(tokens, 1)?;
    unsigned(megabytes)
        .map(AdminRequest::Memlimit)
        .ok_or(ErrorLine::Unknown)
}

fn shutdown(tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let mut tokens = tokens;
    Ok(AdminRequest::Shutdown(match tokens.next() {
        None => Ok(Shutdown::Plain),
        Some(word) if abbreviates(word, "graceful") => Ok(Shutdown::Graceful),
        Some(_) => Err(ErrorLine::BadShutdownMode),
    }))
}

fn slabs(mut tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let word = tokens.next().unwrap_or_default();
    if abbreviates(word, "reassign") {
        let [source, target, _noreply] = arguments::<3>(tokens, 2)?;
        let number = |token| signed(token).ok_or(ErrorLine::BadFormat);
        return Ok(AdminRequest::Reassign {
            source: number(source)?,
            target: number(target)?,
        });
    }
    if abbreviates(word, "automove") {
        return automove(tokens).map(AdminRequest::Automove);
    }
    Err(ErrorLine::Unknown)
}

fn automove(mut tokens: Tokens<'_>) -> Result<AutomoveRequest, ErrorLine> {
    let word = tokens.next().ok_or(ErrorLine::Unknown)?;
    if abbreviates(word, "ratio") || abbreviates(word, "freeratio") {
        let value = tokens.next().and_then(fraction).ok_or(ErrorLine::Unknown)?;
        return Ok(if abbreviates(word, "ratio") {
            AutomoveRequest::Ratio(value)
        } else {
            AutomoveRequest::FreeRatio
        });
    }
    if abbreviates(word, "window") {
        let value = tokens.next().ok_or(ErrorLine::Unknown)?;
        return match unsigned(value).ok_or(ErrorLine::BadFormat)? {
            seconds @ 3..=1800 => Ok(AutomoveRequest::Window(seconds)),
            _ => Err(ErrorLine::BadWindow),
        };
    }
    let level = unsigned(word).ok_or(ErrorLine::BadFormat)?;
    Automove::from_level(level)
        .map(AutomoveRequest::Level)
        .ok_or(ErrorLine::Unknown)
}

fn lru(mut tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let word = tokens.next().unwrap_or_default();
    if abbreviates(word, "tune") {
        return lru_tune(tokens).map(AdminRequest::Lru);
    }
    let argument = tokens.next().ok_or(ErrorLine::Unknown)?;
    let request = if abbreviates(word, "mode") {
        if abbreviates(argument, "flat") {
            LruRequest::Mode { segmented: false }
        } else if abbreviates(argument, "segmented") {
            LruRequest::Mode { segmented: true }
        } else {
            return Err(ErrorLine::Unknown);
        }
    } else if abbreviates(word, "temp_ttl") {
        LruRequest::TempTtl(signed(argument).ok_or(ErrorLine::Unknown)?)
    } else {
        return Err(ErrorLine::Unknown);
    };
    Ok(AdminRequest::Lru(request))
}

fn lru_tune(tokens: Tokens<'_>) -> Result<LruRequest, ErrorLine> {
    let [hot, warm, hot_factor, warm_factor, _noreply] = arguments::<5>(tokens, 4)?;
    let share = |token| unsigned(token).ok_or(ErrorLine::Unknown);
    let factor = |token| fraction(token).ok_or(ErrorLine::Unknown);
    let (hot_pct, warm_pct) = (share(hot)?, share(warm)?);
    if hot_pct.saturating_add(warm_pct) > 80 {
        return Err(ErrorLine::LruShares);
    }
    let (hot_factor, warm_factor) = (factor(hot_factor)?, factor(warm_factor)?);
    if hot_factor <= 0.0 || warm_factor <= 0.0 {
        return Err(ErrorLine::LruFactors);
    }
    Ok(LruRequest::Tune {
        hot_pct,
        warm_pct,
        hot_factor,
        warm_factor,
    })
}

/// Words after the last argument are an error, but for `noreply`.
fn crawler(mut tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let word = tokens.next().unwrap_or_default();
    let switch = |request| match arguments::<1>(tokens, 0)? {
        [b"" | b"noreply"] => Ok(AdminRequest::Crawler(request)),
        _ => Err(ErrorLine::Unknown),
    };
    if abbreviates(word, "enable") {
        return switch(CrawlerRequest::Enable);
    }
    if abbreviates(word, "disable") {
        return switch(CrawlerRequest::Disable);
    }
    let [argument, after] = arguments::<2>(tokens, 1)?;
    if !matches!(after, b"" | b"noreply") {
        return Err(ErrorLine::Unknown);
    }
    let dump = |format| AdminRequest::Dump {
        format,
        classes: crawled_classes(argument),
    };
    let number = || unsigned(argument).ok_or(ErrorLine::BadFormat);
    Ok(if abbreviates(word, "crawl") {
        let classes = match argument {
            b"hash" => Err(ErrorLine::CrawlUnknown),
            list => crawled_classes(list),
        };
        AdminRequest::Crawler(CrawlerRequest::Crawl(classes))
    } else if abbreviates(word, "metadump") {
        dump(DumpFormat::Metadump)
    } else if abbreviates(word, "mgdump") {
        dump(DumpFormat::Mgdump)
    } else if abbreviates(word, "tocrawl") {
        AdminRequest::Crawler(CrawlerRequest::ToCrawl(number()?))
    } else if abbreviates(word, "sleep") {
        let pause = number()?;
        if pause > CRAWLER_SLEEP_MAX {
            return Err(ErrorLine::CrawlerSleep);
        }
        AdminRequest::Crawler(CrawlerRequest::Sleep(pause))
    } else {
        return Err(ErrorLine::Unknown);
    })
}

/// The classes of `<id[,id...]|all|hash>`: bit n is that of class n. Nothing between two commas is
/// no class.
fn crawled_classes(list: &[u8]) -> Result<u64, ErrorLine> {
    if matches!(list, b"all" | b"hash") {
        return Ok(u64::MAX);
    }
    let mut classes = 0;
    for id in list.split(|&byte| byte == b',').filter(|id| !id.is_empty()) {
        let id = unsigned(id).filter(|id| (1..=CLASS_MAX).contains(id));
        classes |= 1 << id.ok_or(ErrorLine::BadCrawlClass)?;
    }
    match classes {
        0 => Err(ErrorLine::NothingToCrawl),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::text::parse_line;

    fn parsed(line: &str) -> Result<AdminRequest<'static>, ErrorLine> {
        let line: &'static str = format!("{line}\r\n").leak();
        match parse_line(line.as_bytes()) {
            Ok(Request::Admin { request, .. }) => Ok(request),
            Ok(other) => panic!("{other:?}"),
            Err(rejected) => Err(rejected.error),
        }
    }

    #[test]
    fn a_flush_may_have_a_delay() {
        assert_eq!(parsed("flush_all"), Ok(AdminRequest::FlushAll(Ok(0))));
        assert_eq!(
            parsed("flush_all noreply"),
            Ok(AdminRequest::FlushAll(Ok(0)))
        );
        assert_eq!(
            parsed("flush_all 10 noreply"),
            Ok(AdminRequest::FlushAll(Ok(10)))
        );
        let bad = Ok(AdminRequest::FlushAll(Err(ErrorLine::BadExptime)));
        assert_eq!(parsed("flush_all x"), bad);
        assert_eq!(parsed("flush_all 1 2 3"), Err(ErrorLine::Unknown));
    }

    #[test]
    fn a_flush_of_a_prefix_has_one() {
        let flush = |prefix: &'static [u8], delay| {
            Ok(AdminRequest::FlushPrefix(Ok((
                Key::new(prefix).unwrap(),
                delay,
            ))))
        };
        assert_eq!(parsed("flush_prefix user:1:"), flush(b"user:1:", 0));
        assert_eq!(parsed("flush_prefix a noreply"), flush(b"a", 0));
        assert_eq!(parsed("flush_prefix a 10"), flush(b"a", 10));
        assert_eq!(parsed("flush_prefix a 10 noreply"), flush(b"a", 10));
        assert_eq!(parsed("flush_prefix noreply noreply"), flush(b"noreply", 0));
        assert_eq!(parsed("flush_prefix"), Err(ErrorLine::Unknown));
        assert_eq!(parsed("flush_prefix noreply"), Err(ErrorLine::Unknown));
        assert_eq!(parsed("flush_prefix a 1 2 3"), Err(ErrorLine::Unknown));
        let bad = Ok(AdminRequest::FlushPrefix(Err(ErrorLine::BadExptime)));
        assert_eq!(parsed("flush_prefix a x"), bad);
        let long = format!("flush_prefix {}", "k".repeat(251));
        let bad = Ok(AdminRequest::FlushPrefix(Err(ErrorLine::BadFormat)));
        assert_eq!(parsed(&long), bad);
    }

    #[test]
    fn verbosity_is_clamped_and_must_be_a_number() {
        assert_eq!(parsed("verbosity 9"), Ok(AdminRequest::Verbosity(2)));
        assert_eq!(parsed("verbosity x"), Err(ErrorLine::BadFormat));
        assert_eq!(parsed("verbosity"), Err(ErrorLine::BadFormat));
    }

    #[test]
    fn unknown_commands_obey_noreply_and_browsers_are_told_apart() {
        let quiet = parse_line(b"bogus noreply\r\n").unwrap_err();
        assert!(quiet.noreply && quiet.error == ErrorLine::Unknown);
        assert_eq!(parse_line(b"GET / HTTP/1.1\r\n"), Ok(Request::Http));
        assert_eq!(parsed("HTTP/1.1"), Err(ErrorLine::Unknown));
    }

    #[test]
    fn tuning_is_judged_as_if_it_had_an_effect() {
        let lru = |request| Ok(AdminRequest::Lru(request));
        let tuned = LruRequest::Tune {
            hot_pct: 10,
            warm_pct: 20,
            hot_factor: 0.1,
            warm_factor: 2.0,
        };
        assert_eq!(parsed("lru tune 10 20 0.1 2"), lru(tuned));
        let flat = LruRequest::Mode { segmented: false };
        assert_eq!(parsed("lru mode flat"), lru(flat));
        assert_eq!(parsed("lru temp_ttl -1"), lru(LruRequest::TempTtl(-1)));
        assert_eq!(parsed("lru mode x"), Err(ErrorLine::Unknown));
        assert_eq!(parsed("slabs automove 3"), Err(ErrorLine::Unknown));
        assert_eq!(parsed("slabs automove x"), Err(ErrorLine::BadFormat));
        assert_eq!(parsed("slabs automove window 2"), Err(ErrorLine::BadWindow));
        assert_eq!(parsed("lru tune 50 40 0.1 2"), Err(ErrorLine::LruShares));
        assert_eq!(parsed("lru tune 10 20 0 2"), Err(ErrorLine::LruFactors));
        assert_eq!(parsed("lru temp_ttl x"), Err(ErrorLine::Unknown));
        assert_eq!(
            parsed("lru_crawler sleep 1000001"),
            Err(ErrorLine::CrawlerSleep)
        );
    }

    #[test]
    fn a_dump_names_classes_by_number_or_all_of_them() {
        let dump = |line: &str| match parsed(line) {
            Ok(AdminRequest::Dump { format, classes }) => (format, classes),
            other => panic!("{line}: {other:?}"),
        };
        let (meta, keys) = (DumpFormat::Metadump, DumpFormat::Mgdump);
        assert_eq!(dump("lru_crawler metadump all"), (meta, Ok(u64::MAX)));
        assert_eq!(dump("lru_crawler mgdump hash"), (keys, Ok(u64::MAX)));
        assert_eq!(dump("lru_crawler mg 1,,3,63,"), (keys, Ok(10 | 1 << 63)));
        for list in ["0", "64", "1,64", "x", "-1"] {
            let (_, classes) = dump(&format!("lru_crawler m {list}"));
            assert_eq!(classes, Err(ErrorLine::BadCrawlClass), "{list}");
        }
        let (_, none) = dump("lru_crawler metadump ,");
        assert_eq!(none, Err(ErrorLine::NothingToCrawl));
        for line in [
            "metadump",
            "metadump all x",
            "enable x",
            "sleep 1 2",
            "crawl 1 noreply x",
        ] {
            assert_eq!(
                parsed(&format!("lru_crawler {line}")),
                Err(ErrorLine::Unknown)
            );
        }
        let crawl = |classes| Ok(AdminRequest::Crawler(CrawlerRequest::Crawl(classes)));
        assert_eq!(parsed("lru_crawler crawl 1,2 noreply"), crawl(Ok(6)));
        assert_eq!(
            parsed("lru_crawler crawl hash"),
            crawl(Err(ErrorLine::CrawlUnknown))
        );
    }

    #[test]
    fn page_moves_are_tuned_by_level_ratio_and_window() {
        let tuning = |line: &str| match parsed(line) {
            Ok(AdminRequest::Automove(tuning)) => tuning,
            other => panic!("{line}: {other:?}"),
        };
        let level = |level| AutomoveRequest::Level(level);
        assert_eq!(tuning("slabs automove 0"), level(Automove::ByNeed));
        assert_eq!(tuning("slabs automove 1"), level(Automove::Balanced));
        assert_eq!(tuning("slabs automove 2"), level(Automove::Eager));
        let ratio = AutomoveRequest::Ratio(0.5);
        assert_eq!(tuning("slabs automove ratio 0.5"), ratio);
        let window = AutomoveRequest::Window(20);
        assert_eq!(tuning("slabs automove window 20"), window);
        let free = AutomoveRequest::FreeRatio;
        assert_eq!(tuning("slabs automove freeratio 0.5"), free);
    }

    #[test]
    fn reassign_takes_two_numbers() {
        let expected = AdminRequest::Reassign {
            source: -1,
            target: 5,
        };
        assert_eq!(parsed("slabs reassign -1 5"), Ok(expected));
        assert_eq!(parsed("slabs reassign 1"), Err(ErrorLine::Unknown));
        assert_eq!(parsed("slabs reassign x 5"), Err(ErrorLine::BadFormat));
    }
}
