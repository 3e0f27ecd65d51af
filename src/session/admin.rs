//! Commands for operators: statistics, flushing, verbosity, stopping, tuning.

use crate::base::clock::{Expiry, Now};
use crate::base::key::Key;
use crate::protocol::ErrorLine;
use crate::protocol::text::reply::END;
use crate::protocol::text::{
    AdminRequest, AutomoveRequest, CrawlerRequest, DetailRequest, Group, Shutdown, StatsRequest,
};
use crate::session::report::{StatLines, report};
use crate::session::stream::Stream;
use crate::session::turn::{Step, Turn};
use crate::session::{Progress, Shared, State, tally};
use crate::store::{MoveRefusal, TooManyFlushes};

const OK: &[u8] = b"OK\r\n";

/// The least and the most megabytes that `cache_memlimit` takes.
const MEMLIMIT_MIN_MB: u32 = 8;
const MEMLIMIT_MAX_MB: u32 = 1_000_000_000;

/// Answers `stats` and its groups.
pub(super) fn stats(turn: &mut Turn<'_, '_>, request: StatsRequest) -> Step {
    match request {
        StatsRequest::Reset | StatsRequest::Detail(_) if turn.guest => {
            turn.error(ErrorLine::NotOverUdp);
        }
        StatsRequest::Conns => return Step::go(Stream::conns()),
        StatsRequest::Group(group) => report_group(turn, group),
        StatsRequest::Extstore => turn.say(END),
        StatsRequest::Detail(request) => return detail(turn, request),
        StatsRequest::Cachedump(_) if !turn.shared().settings.dump_enabled => {
            turn.error(ErrorLine::CachedumpNotAllowed);
        }
        StatsRequest::Cachedump(Err(error)) => turn.error(error),
        // The store does not list its items yet: as if the class were empty.
        StatsRequest::Cachedump(Ok(_)) => turn.say(END),
        StatsRequest::Reset => {
            turn.shared().reset_stats();
            turn.say(b"RESET\r\n");
        }
    }
    Step::go(State::Command)
}

fn report_group(turn: &mut Turn<'_, '_>, group: Group) {
    let now = turn.context.now;
    report(
        turn.shared(),
        group,
        now,
        &mut StatLines(turn.out.bytes_mut()),
    );
    turn.say(END);
}

fn detail(turn: &mut Turn<'_, '_>, request: DetailRequest) -> Step {
    let shared = turn.shared();
    match request {
        _ if !shared.settings.dump_enabled => turn.error(ErrorLine::DetailNotAllowed),
        DetailRequest::On | DetailRequest::Off => {
            shared.prefixes.switch(request == DetailRequest::On);
            turn.say(OK);
        }
        DetailRequest::Dump => return Step::go(Stream::prefixes()),
        DetailRequest::Usage => turn.error(ErrorLine::DetailUsage),
    }
    Step::go(State::Command)
}

/// Answers `watch`, which has nothing to show yet.
pub(super) fn watch(turn: &mut Turn<'_, '_>) {
    let allowed = turn.shared().settings.watch_enabled;
    turn.error(if allowed {
        ErrorLine::Unknown
    } else {
        ErrorLine::WatchNotAllowed
    });
}

/// Runs any other command for operators.
pub(super) fn run(turn: &mut Turn<'_, '_>, request: AdminRequest<'_>, noreply: bool) -> Step {
    let settings = &turn.shared().settings;
    let done = match request {
        _ if turn.guest => Err(ErrorLine::NotOverUdp),
        AdminRequest::FlushAll(delay) => flush_all(turn, delay),
        AdminRequest::FlushPrefix(request) => flush_prefix(turn, request),
        AdminRequest::Verbosity(level) => {
            turn.shared().set_verbosity(level);
            Ok(())
        }
        AdminRequest::Memlimit(megabytes) => memlimit(turn.shared(), megabytes),
        AdminRequest::Shutdown(_) if !settings.shutdown_enabled => {
            Err(ErrorLine::ShutdownNotEnabled)
        }
        AdminRequest::Shutdown(Ok(how)) => {
            let graceful = how == Shutdown::Graceful;
            return Step::stop(State::Command, Progress::Shutdown { graceful });
        }
        AdminRequest::Shutdown(Err(error)) => Err(error),
        AdminRequest::Reassign { .. } if !settings.store.reassign => {
            Err(ErrorLine::ReassignDisabled)
        }
        AdminRequest::Reassign { source, target } => reassign(turn.shared(), source, target),
        AdminRequest::Automove(request) => {
            automove(turn.shared(), request);
            Ok(())
        }
        // The store keeps its queues and sweeps what is dead by itself.
        AdminRequest::Tuning => Ok(()),
        AdminRequest::Crawler(request) => crawler(request, settings.dump_enabled),
    };
    let reply = match done {
        Ok(()) => OK,
        Err(error) => error.as_bytes(),
    };
    turn.say_unless(noreply, reply);
    Step::go(State::Command)
}

fn flush_all(turn: &mut Turn<'_, '_>, delay: Result<i64, ErrorLine>) -> Result<(), ErrorLine> {
    tally::flush(turn.counters());
    if !turn.shared().settings.flush_enabled {
        return Err(ErrorLine::FlushNotAllowed);
    }
    let when = appointment(delay?, turn.context.now);
    flush(turn.shared(), when);
    Ok(())
}

fn flush_prefix(
    turn: &mut Turn<'_, '_>,
    request: Result<(Key<'_>, i64), ErrorLine>,
) -> Result<(), ErrorLine> {
    tally::flush_prefix(turn.counters());
    if !turn.shared().settings.flush_enabled {
        return Err(ErrorLine::FlushPrefixNotAllowed);
    }
    let (prefix, delay) = request?;
    let store = &turn.shared().store;
    let flushed = match appointment(delay, turn.context.now) {
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
        AutomoveRequest::Ratio(ratio) => shared.set_automove_ratio(ratio),
        AutomoveRequest::FreeRatio => {}
    }
}

fn crawler(request: CrawlerRequest, dump_enabled: bool) -> Result<(), ErrorLine> {
    match request {
        CrawlerRequest::Tuning | CrawlerRequest::Crawl => Ok(()),
        CrawlerRequest::Metadump if !dump_enabled => Err(ErrorLine::MetadumpNotAllowed),
        CrawlerRequest::Mgdump if !dump_enabled => Err(ErrorLine::KeyDumpNotAllowed),
        // The store does not list its items yet.
        CrawlerRequest::Metadump | CrawlerRequest::Mgdump => Err(ErrorLine::Unknown),
    }
}
