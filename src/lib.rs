//! A memcached-compatible, multithreaded cache daemon.
//!
//! # Map
//!
//! The crate is a stack. A layer may import the layers printed below it and nothing else;
//! `tests/tidy/main.rs` fails when one reaches up or sideways.
//!
//! ```text
//!   main, cli        flags in, exit code out
//!   ─────────────────────────────────────────────────────────────────
//!   server           sockets, threads, signals      the only I/O
//!   session          bytes in, bytes out            no I/O, no clock
//!   stats            numbers in, (name, value) out
//!   ──────────────────────────┬──────────────────────────────────────
//!   store                     │  protocol
//!   items, index, slabs       │  text, meta and binary grammars
//!   ──────────────────────────┴──────────────────────────────────────
//!   base             keys, clock, hash, numbers, settings
//! ```
//!
//! `store` and `protocol` are strangers: a store's answer is not a reply and a parse error is not
//! an outcome. [`session`] is the one place that knows both words for the same thing.
//!
//! The [`tour`] walks up this stack, from a chunk of memory to a worker, and says what to touch for
//! a new command, counter or flag. Roads not taken are in [`refused`].
//!
//! # Life of a request
//!
//! 1. A worker of [`server`] learns from `mio` that a socket is readable and reads once into its
//!    own large buffer, after what the connection had left over.
//! 2. [`session`] asks [`protocol`] for one request. It gets a borrowed request, "need more
//!    bytes", or an error with the exact line to send back.
//! 3. It applies the request to the [`store`] through the worker's lane and appends the reply to
//!    the worker's output buffer.
//! 4. That repeats until the input is spent or the connection has used its turn.
//! 5. The worker writes the output once. Only what is left over, of input or output, becomes the
//!    connection's own.

pub mod base;
pub mod cli;
pub mod protocol;
pub mod recipes;
pub mod refused;
pub mod server;
pub mod session;
pub mod stats;
pub mod store;
pub mod tour;
