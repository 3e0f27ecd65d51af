//! `watch`: what a client can ask for, and the lines that it is sent.
//!
//! memcached's lines, field by field, but for one thing: the microseconds of `ts=` have all six
//! digits, so that they are a fraction of a second to whoever reads them as one.

use crate::base::events::{
    CloseReason, Event, ItemFacts, Lookup, Peer, Record, StoreEnd, StoreVerb, Topics,
};
use crate::base::number::push_decimal;
use crate::base::store_mode::StoreMode;
use crate::base::uri::push_uri;
use crate::protocol::ErrorLine;
use crate::protocol::text::tokens::{Tokens, abbreviates};

/// The words that `watch` knows, in the order in which memcached looks an abbreviation up. Of some
/// of them there is nothing to tell: no command is logged as it was sent, and this is no proxy.
const WORDS: [(&str, Topics); 10] = [
    ("rawcmds", Topics::NONE),
    ("evictions", Topics::EVICTIONS),
    ("fetchers", Topics::FETCHERS),
    ("mutations", Topics::MUTATIONS),
    ("sysevents", Topics::SYSEVENTS),
    ("connevents", Topics::CONNEVENTS),
    ("proxyreqs", Topics::NONE),
    ("proxyevents", Topics::NONE),
    ("proxyuser", Topics::NONE),
    ("deletions", Topics::DELETIONS),
];

/// Reads what follows `watch`: nothing is `fetchers`.
pub(super) fn parse_watch(tokens: Tokens<'_>) -> Result<Topics, ErrorLine> {
    let mut topics = None;
    for token in tokens {
        let known = WORDS.iter().find(|(word, _)| abbreviates(token, word));
        let (_, topic) = known.ok_or(ErrorLine::Unknown)?;
        topics = Some(topics.unwrap_or(Topics::NONE) | *topic);
    }
    Ok(topics.unwrap_or(Topics::FETCHERS))
}

/// Appends the line of an event.
pub fn push_event(out: &mut Vec<u8>, record: &Record) {
    let (seconds, us) = (record.unix_us / 1_000_000, record.unix_us % 1_000_000);
    push_field(out, "ts", seconds);
    // The digit in front of the six is cut off again.
    let point = out.len();
    push_decimal(out, 1_000_000 + us);
    out[point] = b'.';
    push_field(out, " gid", record.number);
    match &record.event {
        Event::Get { item, found, fd } => push_get(out, item, *found, *fd),
        Event::Store {
            item,
            end,
            verb,
            ttl_s,
            fd,
        } => push_store(out, (item, *fd), (*end, *verb), *ttl_s),
        Event::Eviction {
            item,
            is_fetched,
            ttl_s,
            idle_s,
        } => push_eviction(out, item, *is_fetched, (*ttl_s, *idle_s)),
        Event::Deletion { item, is_meta } => {
            push_begin(out, "deleted", item);
            push_word(out, "cmd", if *is_meta { "md" } else { "delete" });
            push_field(out, " clsid", item.class.into());
            push_field(out, " size", item.size.into());
        }
        Event::Opened { peer, fd } => {
            push_word(out, "type", "conn_new");
            push_peer(out, *peer);
            push_signed(out, "cfd", *fd);
        }
        Event::Closed { peer, fd, reason } => {
            push_word(out, "type", "conn_close");
            push_peer(out, *peer);
            push_word(out, "reason", reason_name(*reason));
            push_signed(out, "cfd", *fd);
        }
        Event::PageMove {
            source,
            target,
            is_done,
        } => {
            push_word(out, "type", "slab_move");
            push_field(out, " src", (*source).into());
            push_field(out, " dst", (*target).into());
            push_word(out, "state", if *is_done { "ok" } else { "fail" });
        }
    }
    out.push(b'\n');
}

/// Appends the line that tells of `count` lines that are missing before the next one.
pub fn push_skipped(out: &mut Vec<u8>, count: u64) {
    push_field(out, "skipped", count);
    out.push(b'\n');
}

fn push_get(out: &mut Vec<u8>, item: &ItemFacts, found: Lookup, fd: i32) {
    push_begin(out, "item_get", item);
    push_word(
        out,
        "status",
        match found {
            Lookup::Absent => "not_found",
            Lookup::Alive => "found",
            Lookup::Flushed => "flushed",
            Lookup::Expired => "expired",
        },
    );
    push_place(out, item, fd);
}

fn push_store(
    out: &mut Vec<u8>,
    (item, fd): (&ItemFacts, i32),
    (end, verb): (StoreEnd, StoreVerb),
    ttl_s: u64,
) {
    push_begin(out, "item_store", item);
    push_word(
        out,
        "status",
        match end {
            StoreEnd::NotStored => "not_stored",
            StoreEnd::Stored => "stored",
            StoreEnd::Exists => "exists",
            StoreEnd::NotFound => "not_found",
            StoreEnd::TooLarge => "too_large",
            StoreEnd::NoMemory => "no_memory",
        },
    );
    push_word(out, "cmd", verb_name(verb));
    push_field(out, " ttl", ttl_s);
    push_place(out, item, fd);
}

fn push_eviction(
    out: &mut Vec<u8>,
    item: &ItemFacts,
    is_fetched: bool,
    (ttl_s, idle_s): (Option<u64>, u64),
) {
    push_begin(out, "eviction", item);
    push_word(out, "fetch", if is_fetched { "yes" } else { "no" });
    match ttl_s {
        Some(seconds) => push_field(out, " ttl", seconds),
        None => push_word(out, "ttl", "-1"),
    }
    push_field(out, " la", idle_s);
    push_field(out, " clsid", item.class.into());
    push_field(out, " size", item.size.into());
}

fn verb_name(verb: StoreVerb) -> &'static str {
    match verb {
        StoreVerb::Compared(StoreMode::Set | StoreMode::Replace) => "cas",
        StoreVerb::Plain(mode) | StoreVerb::Compared(mode) => match mode {
            StoreMode::Set => "set",
            StoreMode::Add => "add",
            StoreMode::Replace => "replace",
            StoreMode::Append => "append",
            StoreMode::Prepend => "prepend",
        },
    }
}

fn reason_name(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Error => "error",
        CloseReason::Normal => "normal",
        CloseReason::IdleTimeout => "idle_timeout",
        CloseReason::Shutdown => "shutdown",
    }
}

/// The fields that an item's line begins with.
fn push_begin(out: &mut Vec<u8>, kind: &str, item: &ItemFacts) {
    push_word(out, "type", kind);
    out.extend_from_slice(b" key=");
    push_uri(out, item.key.as_bytes());
}

/// The fields that it ends with where a connection is told.
fn push_place(out: &mut Vec<u8>, item: &ItemFacts, fd: i32) {
    push_field(out, " clsid", item.class.into());
    push_signed(out, "cfd", fd);
    push_field(out, " size", item.size.into());
}

fn push_peer(out: &mut Vec<u8>, peer: Peer) {
    match peer {
        Peer::Local => {
            push_word(out, "rip", "unix");
            push_field(out, " rport", 0);
            push_word(out, "transport", "local");
        }
        Peer::Tcp(address) => {
            push_word(out, "rip", &address.ip().to_string());
            push_field(out, " rport", address.port().into());
            push_word(out, "transport", "tcp");
        }
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    push_decimal(out, value);
}

fn push_signed(out: &mut Vec<u8>, name: &str, value: i32) {
    push_word(out, name, itoa::Buffer::new().format(value));
}

fn push_word(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [" ", name, "=", value] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::events::KeyCopy;
    use crate::base::key::Key;

    fn line(unix_us: u64, event: Event) -> String {
        let record = Record {
            number: 7,
            unix_us,
            event,
        };
        let mut out = vec![];
        push_event(&mut out, &record);
        String::from_utf8(out).unwrap()
    }

    fn at_noon(event: Event) -> String {
        let line = line(1_000_000_000_000_000, event);
        let rest = line.strip_prefix("ts=1000000000.000000 gid=7 ");
        rest.expect("every line begins so").to_owned()
    }

    fn item(key: &[u8]) -> ItemFacts {
        ItemFacts {
            key: KeyCopy::from(Key::new(key).unwrap()),
            class: 5,
            size: 11,
        }
    }

    #[test]
    fn microseconds_are_a_fraction_of_a_second() {
        let event = Event::PageMove {
            source: 2,
            target: 3,
            is_done: false,
        };
        let expected = "ts=1700000000.000042 gid=7 type=slab_move src=2 dst=3 state=fail\n";
        assert_eq!(line(1_700_000_000_000_042, event), expected);
    }

    #[test]
    fn lines_of_items_have_the_fields_of_memcached_in_its_order() {
        let item = item(b"foo");
        let get = |found| Event::Get {
            item,
            found,
            fd: 27,
        };
        let expected = "type=item_get key=foo status=found clsid=5 cfd=27 size=11\n";
        assert_eq!(at_noon(get(Lookup::Alive)), expected);
        for (found, word) in [
            (Lookup::Absent, "not_found"),
            (Lookup::Flushed, "flushed"),
            (Lookup::Expired, "expired"),
        ] {
            let expected = format!("type=item_get key=foo status={word} clsid=5 cfd=27 size=11\n");
            assert_eq!(at_noon(get(found)), expected);
        }
        let eviction = |ttl_s, is_fetched| Event::Eviction {
            item,
            is_fetched,
            ttl_s,
            idle_s: 9,
        };
        let expected = "type=eviction key=foo fetch=no ttl=-1 la=9 clsid=5 size=11\n";
        assert_eq!(at_noon(eviction(None, false)), expected);
        let expected = "type=eviction key=foo fetch=yes ttl=60 la=9 clsid=5 size=11\n";
        assert_eq!(at_noon(eviction(Some(60), true)), expected);
        for (is_meta, word) in [(false, "delete"), (true, "md")] {
            let expected = format!("type=deleted key=foo cmd={word} clsid=5 size=11\n");
            assert_eq!(at_noon(Event::Deletion { item, is_meta }), expected);
        }
    }

    #[test]
    fn a_store_is_told_by_its_verb_and_its_end() {
        use StoreMode::{Add, Append, Prepend, Replace, Set};
        let told = |verb, end| {
            at_noon(Event::Store {
                item: item(b"foo"),
                end,
                verb,
                ttl_s: 60,
                fd: 27,
            })
        };
        for (verb, name) in [
            (StoreVerb::Plain(Set), "set"),
            (StoreVerb::Plain(Add), "add"),
            (StoreVerb::Plain(Replace), "replace"),
            (StoreVerb::Plain(Append), "append"),
            (StoreVerb::Compared(Prepend), "prepend"),
            (StoreVerb::Compared(Set), "cas"),
            (StoreVerb::Compared(Replace), "cas"),
        ] {
            let expected = format!(
                "type=item_store key=foo status=stored cmd={name} ttl=60 clsid=5 cfd=27 size=11\n"
            );
            assert_eq!(told(verb, StoreEnd::Stored), expected);
        }
        for (end, name) in [
            (StoreEnd::NotStored, "not_stored"),
            (StoreEnd::Exists, "exists"),
            (StoreEnd::NotFound, "not_found"),
            (StoreEnd::TooLarge, "too_large"),
            (StoreEnd::NoMemory, "no_memory"),
        ] {
            let line = told(StoreVerb::Plain(Set), end);
            assert!(line.contains(&format!(" status={name} cmd=set ")), "{line}");
        }
    }

    #[test]
    fn connections_are_told_with_where_they_come_from() {
        let peer = Peer::Tcp("127.0.0.1:5000".parse().unwrap());
        let expected = "type=conn_new rip=127.0.0.1 rport=5000 transport=tcp cfd=27\n";
        assert_eq!(at_noon(Event::Opened { peer, fd: 27 }), expected);
        for (reason, word) in [
            (CloseReason::Error, "error"),
            (CloseReason::Normal, "normal"),
            (CloseReason::IdleTimeout, "idle_timeout"),
            (CloseReason::Shutdown, "shutdown"),
        ] {
            let closed = Event::Closed {
                peer: Peer::Local,
                fd: 3,
                reason,
            };
            let expected =
                format!("type=conn_close rip=unix rport=0 transport=local reason={word} cfd=3\n");
            assert_eq!(at_noon(closed), expected);
        }
    }

    #[test]
    fn lost_lines_are_counted_on_a_line() {
        let mut out = vec![];
        push_skipped(&mut out, 42);
        assert_eq!(out, b"skipped=42\n");
    }

    #[test]
    fn words_may_be_cut_short_and_come_in_any_number() {
        let parse = |words: &'static str| parse_watch(Tokens::new(words.as_bytes()));
        assert_eq!(parse(""), Ok(Topics::FETCHERS));
        assert_eq!(parse("mutations"), Ok(Topics::MUTATIONS));
        let both = Topics::EVICTIONS | Topics::MUTATIONS;
        assert_eq!(parse("mutations evictions mutations"), Ok(both));
        assert_eq!(parse("e m"), Ok(both));
        assert_eq!(parse("rawcmds p proxyevents proxyuser"), Ok(Topics::NONE));
        assert_eq!(
            parse("d c s"),
            Ok(Topics::DELETIONS | Topics::CONNEVENTS | Topics::SYSEVENTS)
        );
        for words in ["x", "fetchersx", "fetchers x", "FETCHERS"] {
            assert_eq!(parse(words), Err(ErrorLine::Unknown), "{words}");
        }
    }
}
