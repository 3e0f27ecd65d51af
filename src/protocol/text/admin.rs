//! Commands for operators: their arguments, checked as far as that needs no store.

use crate::base::key::Key;
use crate::base::number::parse_clamped;
use crate::base::settings::Automove;
use crate::protocol::text::Request;
use crate::protocol::text::tokens::{Tokens, abbreviates, fraction, signed, unsigned};
use crate::protocol::{ErrorLine, Rejection};

/// The greatest class number.
const CLASS_MAX: i32 = 63;

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
    /// `lru ...`: legal, and without effect.
    Tuning,
    /// `lru_crawler ...`.
    Crawler(CrawlerRequest),
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

/// `lru_crawler <...>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrawlerRequest {
    /// A setting without effect.
    Tuning,
    /// Remove what is dead.
    Crawl,
    /// List the items.
    Metadump,
    /// List the keys.
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
        return lru_tune(tokens);
    }
    let argument = tokens.next().ok_or(ErrorLine::Unknown)?;
    let legal = if abbreviates(word, "mode") {
        abbreviates(argument, "flat") || abbreviates(argument, "segmented")
    } else {
        abbreviates(word, "temp_ttl") && signed(argument).is_some()
    };
    if legal {
        Ok(AdminRequest::Tuning)
    } else {
        Err(ErrorLine::Unknown)
    }
}

fn lru_tune(tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let [hot, warm, hot_factor, warm_factor, _noreply] = arguments::<5>(tokens, 4)?;
    let share = |token| unsigned(token).ok_or(ErrorLine::Unknown);
    let factor = |token| fraction(token).ok_or(ErrorLine::Unknown);
    if share(hot)?.saturating_add(share(warm)?) > 80 {
        return Err(ErrorLine::LruShares);
    }
    if factor(hot_factor)? <= 0.0 || factor(warm_factor)? <= 0.0 {
        return Err(ErrorLine::LruFactors);
    }
    Ok(AdminRequest::Tuning)
}

fn crawler(mut tokens: Tokens<'_>) -> Result<AdminRequest<'_>, ErrorLine> {
    let word = tokens.next().unwrap_or_default();
    let argument = tokens.next();
    let request = if abbreviates(word, "crawl") {
        crawl_target(argument)?;
        if argument == Some(b"hash") {
            return Err(ErrorLine::CrawlUnknown);
        }
        CrawlerRequest::Crawl
    } else if abbreviates(word, "metadump") {
        crawl_target(argument)?;
        CrawlerRequest::Metadump
    } else if abbreviates(word, "mgdump") {
        crawl_target(argument)?;
        CrawlerRequest::Mgdump
    } else if abbreviates(word, "tocrawl") {
        unsigned(argument.ok_or(ErrorLine::Unknown)?).ok_or(ErrorLine::BadFormat)?;
        CrawlerRequest::Tuning
    } else if abbreviates(word, "sleep") {
        let pause = unsigned(argument.ok_or(ErrorLine::Unknown)?).ok_or(ErrorLine::BadFormat)?;
        if pause > 1_000_000 {
            return Err(ErrorLine::CrawlerSleep);
        }
        CrawlerRequest::Tuning
    } else if abbreviates(word, "enable") || abbreviates(word, "disable") {
        CrawlerRequest::Tuning
    } else {
        return Err(ErrorLine::Unknown);
    };
    Ok(AdminRequest::Crawler(request))
}

/// `<id[,id...]|all|hash>`.
fn crawl_target(argument: Option<&[u8]>) -> Result<(), ErrorLine> {
    let argument = argument.ok_or(ErrorLine::Unknown)?;
    if argument == b"all" || argument == b"hash" {
        return Ok(());
    }
    let legal = |id: &[u8]| signed(id).is_some_and(|id| (1..=CLASS_MAX).contains(&id));
    if argument.split(|&byte| byte == b',').all(legal) {
        Ok(())
    } else {
        Err(ErrorLine::BadCrawlClass)
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
        for line in ["lru tune 10 20 0.1 2", "lru mode flat", "lru temp_ttl -1"] {
            assert_eq!(parsed(line), Ok(AdminRequest::Tuning), "{line}");
        }
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
        assert_eq!(
            parsed("lru_crawler crawl 64"),
            Err(ErrorLine::BadCrawlClass)
        );
        assert_eq!(
            parsed("lru_crawler crawl hash"),
            Err(ErrorLine::CrawlUnknown)
        );
        let crawl = AdminRequest::Crawler(CrawlerRequest::Crawl);
        assert_eq!(parsed("lru_crawler crawl 1,2"), Ok(crawl));
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
