//! UDP: sockets whose datagrams are requests of their own.
//!
//! ```text
//!    0        2          4                    6          8                         1,400
//!   ┌────────┬──────────┬────────────────────┬──────────┬───────────────────────────────┐
//!   │ id     │ sequence │ datagrams in total │ reserved │ requests, or part of a reply  │
//!   └────────┴──────────┴────────────────────┴──────────┴───────────────────────────────┘
//! ```
//!
//! A request is one datagram, and its replies are one message: the id as it came, counted from 0,
//! as many as it says. What is no whole request, or no request of ours, is dropped without a word,
//! and so is what the network does not take: UDP promises nothing.

use crate::base::settings::UDP_REPLY_LEN;
use crate::server::address::ListenerInfo;
use crate::server::roster::SocketEntry;
use crate::server::workbench::Workbench;
use crate::session::{ConnectionId, Context, Output, answer_datagram};
use log::debug;
use mio::net::UdpSocket;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// Bytes of the header.
const HEADER_LEN: usize = 8;

/// Bytes of a sent datagram at most, header included.
const DATAGRAM_MAX: usize = HEADER_LEN + UDP_REPLY_LEN;

const _: () = assert!(4 * size_of::<u16>() == HEADER_LEN, "four fields of 16 bits");

/// Bytes of datagrams and replies that are worked on before connections have their turn: one
/// datagram of 64 KiB can have 30,000 keys, which take 2 ms.
const WORK_MAX: usize = 64 << 10;

/// What any datagram counts for at least, in bytes: so that 32 small ones are answered in a row.
const WORK_MIN: usize = 2 << 10;

/// A UDP socket, served by one worker.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    pub(crate) info: ListenerInfo,
    /// Datagrams may be waiting that no further edge will announce.
    pub(crate) pending: bool,
    /// What `stats conns` shows of it.
    pub(crate) entry: Arc<SocketEntry>,
    socket: UdpSocket,
}

impl DatagramSocket {
    /// A bound socket.
    pub(crate) fn new(socket: UdpSocket, info: ListenerInfo) -> Self {
        let entry = SocketEntry::datagrams(socket.as_raw_fd(), info.name.clone());
        Self {
            info,
            pending: true,
            entry: Arc::new(entry),
            socket,
        }
    }

    /// The socket, for registration.
    pub(crate) fn socket(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Answers what is waiting, up to a share of the worker's time.
    pub(crate) fn serve(&mut self, bench: &mut Workbench) {
        let mut work = 0;
        while work < WORK_MAX {
            match self.socket.recv_from(&mut bench.scratch) {
                Ok((len, peer)) => {
                    let replied = self.answer(bench, len, peer);
                    work += (len + replied).max(WORK_MIN);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // After a failure that lasts, the next datagram's edge is soon enough.
                    self.pending = false;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        debug!("{}: cannot receive: {error}", self.info.name);
                    }
                    return;
                }
            }
        }
    }

    /// Answers the datagram of `len` bytes in the scratch buffer; says how long the reply was.
    fn answer(&self, bench: &mut Workbench, len: usize, peer: SocketAddr) -> usize {
        let shared = &bench.hub.shared;
        let counters = &shared.counters[bench.worker];
        counters.bytes_read.add(len as u64);
        let now = shared.clock.now();
        self.entry.set_active(now.ticks);
        let Some((id, requests)) = parse(&bench.scratch[..len]) else {
            return 0;
        };
        let roll = bench.hub.roster.roll(bench.worker);
        self.entry.set_peer(Some(peer));
        roll.serve(self.fd());
        let mut context = Context {
            shared,
            lane: &mut bench.lane,
            counters,
            now,
            connection: ConnectionId {
                fd: self.fd(),
                ..bench.connection
            },
        };
        bench.output.limit(usize::MAX, 0);
        let services = self.info.services;
        answer_datagram(&mut context, services, requests, &mut bench.output);
        roll.rest();
        self.entry.set_peer(None);
        let reply = take(&mut bench.output);
        let sent = self.send(id, &reply, peer);
        counters.bytes_written.add(sent);
        reply.len()
    }

    /// Sends a message; says how many bytes of datagrams that took.
    fn send(&self, id: u16, reply: &[u8], peer: SocketAddr) -> u64 {
        let mut sent = 0;
        for datagram in datagrams(id, reply) {
            match self.socket.send_to(&datagram, peer) {
                Ok(count) => sent += count as u64,
                Err(error) => {
                    debug!("{}: cannot answer {peer}: {error}", self.info.name);
                    break; // A message with a gap is of no use.
                }
            }
        }
        sent
    }
}

/// The id and the requests of a datagram, if it is a whole message.
fn parse(datagram: &[u8]) -> Option<(u16, &[u8])> {
    let (header, requests) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let [id_high, id_low, _, _, count_high, count_low, _, _] = *header;
    let is_whole = u16::from_be_bytes([count_high, count_low]) == 1;
    (is_whole && !requests.is_empty()).then_some((u16::from_be_bytes([id_high, id_low]), requests))
}

/// The datagrams of a message; none for an empty one.
fn datagrams(id: u16, message: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let parts = message.chunks(DATAGRAM_MAX - HEADER_LEN);
    let count = u16::try_from(parts.len()).expect("replies to datagrams are bounded");
    (0..count).zip(parts).map(move |(sequence, part)| {
        let mut datagram = Vec::with_capacity(HEADER_LEN + part.len());
        for field in [id, sequence, count, 0] {
            datagram.extend_from_slice(&field.to_be_bytes());
        }
        datagram.extend_from_slice(part);
        datagram
    })
}

/// Takes everything out of `output`.
fn take(output: &mut Output) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(output.pending());
    while !output.is_empty() {
        let front = output.front();
        let count = front.len();
        bytes.extend_from_slice(front);
        output.advance(count);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::settings::Settings;
    use crate::server::Server;

    #[test]
    fn a_request_is_one_datagram_with_something_in_it() {
        let whole = b"\x12\x34\0\x07\0\x01\x99\x99get k\r\n";
        assert_eq!(parse(whole), Some((0x1234, &b"get k\r\n"[..])));
        for junk in [
            &b""[..],
            b"\0\x01\0\0\0\x01\0",
            b"\0\x01\0\0\0\x01\0\0",
            b"\0\x01\0\0\0\0\0\0get k\r\n",
            b"\0\x01\0\0\0\x02\0\0get k\r\n",
            b"\0\x01\0\0\x01\x01\0\0get k\r\n",
        ] {
            assert_eq!(parse(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn a_message_is_cut_into_datagrams_of_at_most_1400_bytes() {
        assert_eq!(datagrams(1, b"").count(), 0);
        let message: Vec<u8> = (0..2 * 1392 + 1).map(|n| (n % 251) as u8).collect();
        let sent: Vec<_> = datagrams(0xfffe, &message).collect();
        let lens: Vec<_> = sent.iter().map(Vec::len).collect();
        assert_eq!(lens, [1400, 1400, 9]);
        for (sequence, datagram) in (0..).zip(&sent) {
            assert_eq!(datagram[..8], [0xff, 0xfe, 0, sequence, 0, 3, 0, 0]);
        }
        let received = sent.iter().flat_map(|datagram| &datagram[8..]);
        assert!(received.eq(&message));
        assert_eq!(datagrams(1, &message[..1392]).count(), 1);
    }

    /// A UDP socket that no thread serves, its workbench, and how many datagrams of so many bytes
    /// it answers in a row of ten.
    fn answered_in_a_row(request: &[u8]) -> u64 {
        let settings = Settings {
            tcp_port: Some(0),
            udp_port: Some(0),
            threads: 1,
            ..Settings::default()
        };
        let mut server = Server::bind(settings).unwrap();
        let mut bench = Workbench::new(Arc::clone(&server.hub), 0);
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let datagram = [b"\0\x01\0\0\0\x01\0\0", request].concat();
        for _ in 0..10 {
            client
                .send_to(&datagram, server.udp_addresses()[0])
                .unwrap();
        }
        server.datagrams[0].serve(&mut bench);
        let read = &server.hub.shared.totals().bytes_read;
        read / datagram.len() as u64
    }

    #[test]
    fn large_datagrams_wait_for_connections_to_have_their_turn() {
        assert_eq!(answered_in_a_row(b"get k\r\n"), 10);
        let keys = [b"get".to_vec(), b" k".repeat(10_000), b"\r\n".to_vec()].concat();
        assert_eq!(answered_in_a_row(&keys), 4);
    }
}
