//! The report of `stats conns`: a group of lines for each open socket.

use crate::base::clock::{Now, TICKS_PER_SECOND};
use crate::stats::Sink;
use crate::stats::entry::{Stat, report};

/// One open socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketReport {
    /// Its descriptor, which names it.
    pub fd: i32,
    /// Whether it is a UDP socket.
    pub is_udp: bool,
    /// Who is at the other end; of a socket that waits for anybody, what it is bound to.
    pub address: String,
    /// What the other end is connected to, where there is another end.
    pub listen_address: Option<String>,
    /// memcached's name of what it is doing.
    pub state: &'static str,
    /// Clock tick of the last bytes received, or of its opening.
    pub last_active: u64,
}

/// A socket at a moment.
#[derive(Clone, Debug)]
pub struct SocketReading {
    socket: SocketReport,
    now: Now,
}

type Line = Stat<SocketReading>;

/// The lines of a socket, in order.
pub static CONN_STATS: &[Line] = &[
    Line::fact("UDP", "text", |_| "UDP".into())
        .means("Marks a UDP socket.")
        .when("of UDP sockets", |it| it.socket.is_udp),
    Line::fact("addr", "text", |it| it.socket.address.clone().into())
        .means("Who is at the other end; of a socket that waits for anybody, where it does."),
    Line::fact("listen_addr", "text", |it| {
        it.socket.listen_address.clone().unwrap_or_default().into()
    })
    .means("What the other end is connected to.")
    .when("where there is another end", |it| {
        it.socket.listen_address.is_some()
    }),
    Line::fact("state", "text", |it| it.socket.state.into())
        .means("memcached's name of what it is doing."),
    Line::gauge("secs_since_last_cmd", "seconds", |it| {
        let then_s = it.socket.last_active / TICKS_PER_SECOND;
        it.now.seconds().saturating_sub(then_s).into()
    })
    .means("Time since anything was received, or since it was opened.")
    .advice("`-o idle_timeout=` closes those that are idle for longer."),
];

/// Writes the report.
pub fn report_conns(sink: &mut impl Sink, sockets: &[SocketReport], now: Now) {
    for socket in sockets {
        let reading = SocketReading {
            socket: socket.clone(),
            now,
        };
        report(sink, &format!("{}:", socket.fd), CONN_STATS, &reading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::testing::Recorder;

    #[test]
    fn each_socket_has_its_lines_in_memcacheds_order() {
        let client = SocketReport {
            fd: 20,
            is_udp: false,
            address: "tcp:10.0.0.1:5000".into(),
            listen_address: Some("tcp:10.0.0.2:11211".into()),
            state: "conn_read",
            last_active: 2 * TICKS_PER_SECOND,
        };
        let idle_udp = SocketReport {
            fd: 14,
            is_udp: true,
            address: "udp:0.0.0.0:11211".into(),
            listen_address: None,
            ..client.clone()
        };
        let mut recorder = Recorder::default();
        report_conns(&mut recorder, &[idle_udp, client], Now::at_second(5));
        let names: Vec<_> = recorder.0.iter().map(|(name, _)| name.as_str()).collect();
        let expected = "14:UDP 14:addr 14:state 14:secs_since_last_cmd \
            20:addr 20:listen_addr 20:state 20:secs_since_last_cmd";
        assert_eq!(names.join(" "), expected);
        assert_eq!(recorder.value("20:secs_since_last_cmd"), "3");
    }
}
