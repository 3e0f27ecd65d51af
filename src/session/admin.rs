//! Commands for operators: statistics, flushing, verbosity, stopping, tuning.

use crate::base::clock::{Expiry, Now};
use crate::base::events::Topics;
use crate::base::key::Key;
use crate::base::settings::CrawlerSettings;
use crate::protocol::ErrorLine;
use crate::protocol::text::reply::END;
use crate::protocol::text::{
    AdminRequest, AutomoveRequest, CrawlerRequest, DetailRequest, DumpFormat, Group, LruRequest,
    Shutdown, StatsRequest,
};
use crate::session::call::Call;
use crate::session::dump::{Cachedump, Dump, Sizes};
use crate::session::report::{StatLines, report};
use crate::session::state::{Progress, State, Step};
use crate::session::stream::Stream;
use crate::session::watchers::Subscription;
use crate::session::{Shared, count};
use crate::store::{Classes, MoveRefusal, TooManyFlushes};

const OK: &[u8] = b"OK\r\n";

/// The least and the most megabytes that `cache_memlimit` takes.
const MEMLIMIT_MIN_MB: u32 = 8;
const MEMLIMIT_MAX_MB: u32 = 1_000_000_000;

/// Answers `stats` and its groups.
#[inline(never)]
pub(super) fn stats(call: &mut Call<'_, '_>, request: StatsRequest) -> Step {
    match request {
        StatsRequest::Reset
        | StatsRequest::Detail(_)
        | StatsRequest::Sizes
        | StatsRequest::Cachedump(_)
            if call.guest =>
        {
            call.error(ErrorLine::NotOverUdp);
        }
        StatsRequest::Conns => return Step::stream(Stream::ALL_CONNS),
        StatsRequest::Group(group) => report_group(call, group),
        StatsRequest::Extstore => call.say(END),
        StatsRequest::Detail(request) => return detail(call, request),
        StatsRequest::Cachedump(_) if !call.shared().settings.dump_enabled => {
            call.error(ErrorLine::CachedumpNotAllowed);
        }
        StatsRequest::Cachedump(Err(error)) => call.error(error),
        StatsRequest::Cachedump(Ok(request)) => {
            return Step::stream(Stream::Cachedump(Cachedump::new(request)));
        }
        StatsRequest::Sizes => return Step::stream(Stream::Sizes(Sizes::new(None))),
        StatsRequest::Reset => {
            call.shared().reset_stats();
            call.say(b"RESET\r\n");
        }
    }
    Step::go(State::Request)
}

fn report_group(call: &mut Call<'_, '_>, group: Group) {
    let now = call.context.now;
    report(
        call.shared(),
        group,
        now,
        &mut StatLines(call.out.bytes_mut()),
    );
    call.say(END);
}

fn detail(call: &mut Call<'_, '_>, request: DetailRequest) -> Step {
    let shared = call.shared();
    match request {
        _ if !shared.settings.dump_enabled => call.error(ErrorLine::DetailNotAllowed),
        DetailRequest::On | DetailRequest::Off => {
            shared.prefixes.switch(request == DetailRequest::On);
            call.say(OK);
        }
        DetailRequest::Dump => return Step::stream(Stream::ALL_PREFIXES),
        DetailRequest::Usage => call.error(ErrorLine::DetailUsage),
    }
    Step::go(State::Request)
}

/// Answers `watch`, and has the client told from then on.
#[inline(never)]
pub(super) fn watch(call: &mut Call<'_, '_>, topics: Result<Topics, ErrorLine>) -> Step {
    match subscribe(call, topics) {
        Ok(subscription) => {
            call.say(OK);
            Step::stream(Stream::Watch(subscription))
        }
        Err(error) => {
            call.error(error);
            Step::go(State::Request)
        }
    }
}

fn subscribe(
    call: &Call<'_, '_>,
    topics: Result<Topics, ErrorLine>,
) -> Result<Subscription, ErrorLine> {
    let (shared, connection) = (call.shared(), call.context.connection);
    let settings = &shared.settings;
    if !settings.watch_enabled {
        return Err(ErrorLine::WatchNotAllowed);
    }
    if call.guest {
        return Err(ErrorLine::NotOverUdp);
    }
    let bytes_max = settings.watcher_logbuf_size as usize;
    let admitted = shared.watchers.admit(connection, topics?, bytes_max);
    admitted.ok_or(ErrorLine::TooManyWatchers)
}

/// Runs any other command for operators.
#[inline(never)]
pub(super) fn run(call: &mut Call<'_, '_>, request: AdminRequest<'_>, noreply: bool) -> Step {
    let settings = &call.shared().settings;
    let done = match request {
        _ if call.guest => Err(ErrorLine::NotOverUdp),
        AdminRequest::FlushAll(delay) => flush_all(call, delay),
        AdminRequest::FlushPrefix(request) => flush_prefix(call, request),
        AdminRequest::Verbosity(level) => {
            call.shared().set_verbosity(level);
            Ok(())
        }
        AdminRequest::Memlimit(megabytes) => memlimit(call.shared(), megabytes),
        AdminRequest::Shutdown(_) if !settings.shutdown_enabled => {
            Err(ErrorLine::ShutdownNotEnabled)
        }
        AdminRequest::Shutdown(Ok(how)) => {
            let graceful = how == Shutdown::Graceful;
            return Step::stop(State::Request, Progress::Shutdown { graceful });
        }
        AdminRequest::Shutdown(Err(error)) => Err(error),
        AdminRequest::Reassign { .. } if !settings.store.reassign => {
            Err(ErrorLine::ReassignDisabled)
        }
        AdminRequest::Reassign { source, target } => reassign(call.shared(), source, target),
        AdminRequest::Automove(request) => {
            automove(call.shared(), request);
            Ok(())
        }
        AdminRequest::Lru(request) => lru(call.shared(), request),
        AdminRequest::Crawler(request) => crawler(call.shared(), request),
        AdminRequest::Dump { format, classes } => match dump(call.shared(), format, classes) {
            Ok(_) if noreply => return Step::go(State::Request),
            Ok(dump) => {
                call.say(OK);
                return Step::stream(Stream::Dump(dump));
            }
            Err(error) => Err(error),
        },
    };
    let reply = match done {
        Ok(()) => OK,
        Err(error) => error.as_bytes(),
    };
    call.say_unless(noreply, reply);
    Step::go(State::Request)
}

fn flush_all(call: &mut Call<'_, '_>, delay: Result<i64, ErrorLine>) -> Result<(), ErrorLine> {
    count::flush(call.counters());
    if !call.shared().settings.flush_enabled {
        return Err(ErrorLine::FlushNotAllowed);
    }
    let when = appointment(delay?, call.context.now);
    flush(call.shared(), when);
    Ok(())
}

fn flush_prefix(
    call: &mut Call<'_, '_>,
    request: Result<(Key<'_>, i64), ErrorLine>,
) -> Result<(), ErrorLine> {
    count::flush_prefix(call.counters());
    if !call.shared().settings.flush_enabled {
        return Err(ErrorLine::FlushPrefixNotAllowed);
    }
    let (prefix, delay) = request?;
    let store = &call.shared().store;
    let flushed = match appointment(delay, call.context.now) {
        Some(Expiry::NEVER) => Ok(()),
        Some(when) => store.flush_prefix_at(prefix.as_bytes(), when),
        None => store.flush_prefix(prefix.as_bytes()),
    };
    flushed.map_err(|TooManyFlushes| ErrorLine::TooManyFlushes)
}

/// When a flush with this delay is to be; `None` for at once.
pub(super) fn appointment(delay: i64, now: Now) -> Option<Expiry> {
    let when = (delay > 0).then(|| Expiry::appointment(delay, now))?;
    (when != Expiry::PAST).then_some(when)
}

/// A flush without delay happens now; another is an appointment. Either
/// takes the place of an earlier appointment. One that is never due does nothing.
pub(super) fn flush(shared: &Shared, when: Option<Expiry>) {
    match when {
        Some(Expiry::NEVER) => {}
        Some(when) => shared.store.flush_at(when),
        None => shared.store.flush(),
    }
}

/// The new limit holds at once; memory above it goes back in the background.
fn memlimit(shared: &Shared, megabytes: u32) -> Result<(), ErrorLine> {
    match megabytes {
        ..MEMLIMIT_MIN_MB => Err(ErrorLine::MemlimitTooSmall),
        MEMLIMIT_MIN_MB..=MEMLIMIT_MAX_MB => {
            let set = shared.store.set_memory_limit(u64::from(megabytes) << 20);
            set.then_some(()).ok_or(ErrorLine::MemlimitFixed)
        }
        _ => Err(ErrorLine::MemlimitInBytes),
    }
}

/// The order is accepted here and carried out in the background.
fn reassign(shared: &Shared, source: i32, target: i32) -> Result<(), ErrorLine> {
    let ordered = shared.store.order_move(source, target);
    ordered.map_err(|refusal| match refusal {
        MoveRefusal::Busy => ErrorLine::ReassignBusy,
        MoveRefusal::SameClass => ErrorLine::SameClass,
        MoveRefusal::BadClass => ErrorLine::BadSlabClass,
        MoveRefusal::NoSpare => ErrorLine::NoSparePages,
    })
}

fn automove(shared: &Shared, request: AutomoveRequest) {
    match request {
        AutomoveRequest::Level(automove) => shared.store.set_automove(automove),
        AutomoveRequest::Window(seconds) => shared.store.set_automove_window_s(seconds),
        AutomoveRequest::Ratio(ratio) => shared.adjust(|shown| shown.slab_automove_ratio = ratio),
        AutomoveRequest::FreeRatio => {}
    }
}

/// The store keeps its queues by its own rules: these are shown, and that is all.
fn lru(shared: &Shared, request: LruRequest) -> Result<(), ErrorLine> {
    match request {
        LruRequest::Tune {
            hot_pct,
            warm_pct,
            hot_factor,
            warm_factor,
        } => shared.adjust(|shown| {
            (shown.hot_lru_pct, shown.warm_lru_pct) = (hot_pct, warm_pct);
            (shown.hot_max_factor, shown.warm_max_factor) = (hot_factor, warm_factor);
        }),
        // memcached's maintainer would have to do it.
        _ if !shared.settings.shown.lru_maintainer => return Err(ErrorLine::Unknown),
        LruRequest::Mode { segmented } => shared.adjust(|shown| shown.lru_segmented = segmented),
        LruRequest::TempTtl(seconds) => shared.adjust(|shown| {
            shown.temp_lru = seconds >= 0;
            shown.temporary_ttl = u32::try_from(seconds).unwrap_or(shown.temporary_ttl);
        }),
    }
    Ok(())
}

fn crawler(shared: &Shared, request: CrawlerRequest) -> Result<(), ErrorLine> {
    let settings = shared.store.crawler();
    let set = |settings| shared.store.set_crawler(settings);
    match request {
        CrawlerRequest::Enable if settings.on => return Err(ErrorLine::CrawlerIsOn),
        CrawlerRequest::Enable => set(CrawlerSettings {
            on: true,
            ..settings
        }),
        CrawlerRequest::Disable => set(CrawlerSettings {
            on: false,
            ..settings
        }),
        CrawlerRequest::Sleep(sleep_us) => set(CrawlerSettings {
            sleep_us,
            ..settings
        }),
        CrawlerRequest::ToCrawl(items) => {
            shared.adjust(|shown| shown.lru_crawler_tocrawl = items);
        }
        CrawlerRequest::Crawl(_) if !settings.on => return Err(ErrorLine::CrawlerDisabled),
        // What has expired is found within a tick or two without being asked for.
        CrawlerRequest::Crawl(classes) => return classes.map(|_| ()),
    }
    Ok(())
}

/// The store could tell what it holds without a crawler, but memcached could not: whoever has
/// turned that off does not expect dumps.
fn dump(
    shared: &Shared,
    format: DumpFormat,
    classes: Result<u64, ErrorLine>,
) -> Result<Dump, ErrorLine> {
    if !shared.settings.dump_enabled {
        return Err(match format {
            DumpFormat::Metadump => ErrorLine::MetadumpNotAllowed,
            DumpFormat::Mgdump => ErrorLine::KeyDumpNotAllowed,
        });
    }
    if !shared.store.crawler().on {
        return Err(ErrorLine::CrawlerDisabled);
    }
    classes.map(|classes| Dump::new(format, Classes(classes)))
}
