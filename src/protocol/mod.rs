//! Grammars: bytes to borrowed requests, answers to bytes. No clock, no store, no allocation.

pub mod text;

/// First byte of every binary request; a connection that opens with it speaks binary.
pub const BINARY_MAGIC: u8 = 0x80;
