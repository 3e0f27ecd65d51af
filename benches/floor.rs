//! What a request costs when nothing is done for it: the floor that the daemon is measured against.
//!
//! ```text
//! cargo bench --bench floor -- 11299 100    # port, value length
//! ```
//!
//! One thread, one poll, one read and one write for each batch, and the same reply to every line.
//! CPU time of this process per request is what the kernel takes; whatever the daemon takes above
//! it is the daemon's own. Without a port it exits at once, so that `cargo test --benches` can run
//! it.

#![expect(
    clippy::unwrap_used,
    reason = "a measuring tool may stop at the first surprise"
)]

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::env;
use std::io::{ErrorKind, Read, Write};

const LISTENER: Token = Token(0);
const INPUT_LEN: usize = 256 << 10;

fn main() {
    let mut numbers = env::args().filter_map(|argument| argument.parse::<u16>().ok());
    let Some(port) = numbers.next() else {
        println!("usage: floor <port> [value length]");
        return;
    };
    let value = "x".repeat(numbers.next().unwrap_or(100).into());
    serve(
        port,
        format!("VALUE key 0 {}\r\n{value}\r\nEND\r\n", value.len()).as_bytes(),
    );
}

fn serve(port: u16, reply: &[u8]) {
    let mut poll = Poll::new().unwrap();
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into()).unwrap();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .unwrap();
    let mut clients = HashMap::new();
    let mut next = 1;
    let (mut events, mut input) = (Events::with_capacity(1024), vec![0; INPUT_LEN]);
    let mut output = vec![];
    loop {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            if event.token() != LISTENER {
                let Some(client) = clients.get_mut(&event.token()) else {
                    continue;
                };
                if !answer(client, &mut input, (&mut output, reply)) {
                    clients.remove(&event.token());
                }
                continue;
            }
            while let Ok((mut client, _)) = listener.accept() {
                client.set_nodelay(true).unwrap();
                let token = Token(next);
                next += 1;
                poll.registry()
                    .register(&mut client, token, Interest::READABLE)
                    .unwrap();
                clients.insert(token, client);
            }
        }
    }
}

/// Answers what has come; `false` when the client is gone.
fn answer(client: &mut TcpStream, input: &mut [u8], out: (&mut Vec<u8>, &[u8])) -> bool {
    let (output, reply) = out;
    loop {
        let count = match client.read(input) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        output.clear();
        for _ in memchr::memchr_iter(b'\n', &input[..count]) {
            output.extend_from_slice(reply);
        }
        // A client of a benchmark reads what it asked for: a refusal ends its connection.
        if client.write_all(output).is_err() {
            return false;
        }
        if count < input.len() {
            return true;
        }
    }
}
