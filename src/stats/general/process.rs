//! The lines of `stats` about the process and its connections.

use crate::stats::COMPATIBLE_VERSION;
use crate::stats::entry::{Kind, Stat, Value};
use crate::stats::general::reading::General;

type Line = Stat<General>;

pub(super) static PROCESS: &[Line] = &[
    Line::fact("pid", "number", |it| it.process.pid.into()).means("Number of the process."),
    Line::counter("uptime", "seconds", |it| it.now.seconds().into())
        .means("Time since the start, which counts as second 2.")
        .advice("When it falls, the server has restarted and is empty."),
    Line::gauge("time", "seconds", |it| it.now.unix().unsigned_abs().into())
        .means("Unix time by the server's clock."),
    Line::fact("version", "text", |_| COMPATIBLE_VERSION.into())
        .means("The version of memcached that it behaves as; clients choose by it."),
    Line::fact("libevent", "text", |_| "mio".into())
        .means("What waits for sockets: mio, there is no libevent."),
    Line::fact("pointer_size", "bits", |_| usize::BITS.into()).means("Width of an address."),
    Line::counter("rusage_user", "seconds", |it| {
        Value::Seconds(it.process.user_us)
    })
    .means("CPU time spent in the process itself.")
    .advice(
        "Compare its growth with `threads`: when it comes near a second a second for each of \
         them, add threads (`-t`) or servers.",
    ),
    Line::counter("rusage_system", "seconds", |it| {
        Value::Seconds(it.process.system_us)
    })
    .means("CPU time spent for it in the kernel, mostly on the network.")
    .advice("Ask for several keys at once and pipeline: fewer packets cost less."),
];

pub(super) static CONNECTIONS: &[Line] = &[
    Line::setting("max_connections", "connections", |it| {
        it.settings.connections_max.into()
    })
    .means("Connections that are let in at most (`-c`)."),
    Line::gauge("curr_connections", "connections", |it| {
        it.server.curr_connections.saturating_sub(1).into()
    })
    .means("Open sockets, those that listen included, less one.")
    .advice("When it comes near `max_connections`, raise `-c` or let clients share connections."),
    Line::counter("total_connections", "connections", |it| {
        it.server.total_connections.into()
    })
    .means("Sockets that were opened, those that listen included.")
    .advice("When it grows about as fast as requests do, let clients keep their connections."),
    Line::counter("rejected_connections", "connections", |it| {
        it.server.rejected_connections.into()
    })
    .means("Connections that were refused because there were `max_connections` already.")
    .advice("Raise `-c`, or find out who opens so many.")
    .when("unless `-o no_maxconns_fast` lets clients wait", |it| {
        it.settings.connections_refuse
    }),
    Line::counter("connection_structures", "connections", |it| {
        it.server.connection_structures.into()
    })
    .means("The most sockets that were ever open at once, those that listen included."),
    Line::counter("response_obj_oom", "connections", |it| {
        it.server.conn_memory_kicks.into()
    })
    .means("Connections that were closed because they held most when all held too much.")
    .advice("Look for clients that do not read their replies; else raise `-o conn_memory=`."),
    Line::fixed(
        Kind::Gauge,
        "response_obj_count",
        "replies",
        "0",
        "replies are bytes, not objects: see `response_obj_bytes`",
    )
    .means("Reply objects in use."),
    Line::gauge("response_obj_bytes", "bytes", |it| {
        it.server.conn_output_bytes.into()
    })
    .means("Replies that clients have not read yet.")
    .advice("Look for clients that do not read, or for a network that is full."),
    Line::gauge("read_buf_count", "buffers", |it| {
        it.server.read_buf_count.into()
    })
    .means("Buffers to read into: one for each worker."),
    Line::gauge("read_buf_bytes", "bytes", |it| {
        (it.server.read_buf_bytes + it.server.conn_input_bytes).into()
    })
    .means("Their bytes, and what connections hold of requests that are not complete."),
    Line::fixed(
        Kind::Gauge,
        "read_buf_bytes_free",
        "bytes",
        "0",
        "a worker's buffer is lent for a turn and never cached",
    )
    .means("Buffers that wait for a connection to need them."),
    Line::fixed(
        Kind::Counter,
        "read_buf_oom",
        "connections",
        "0",
        "no connection needs a read buffer of its own: see `response_obj_oom`",
    )
    .means("Connections that were closed for want of a read buffer."),
    Line::fixed(
        Kind::Gauge,
        "reserved_fds",
        "descriptors",
        "0",
        "descriptors of our own are beyond those that `-c` counts",
    )
    .means("Descriptors that the server takes from `max_connections` for itself."),
];
