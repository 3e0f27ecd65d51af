//! Grammars: bytes to borrowed requests, answers to bytes. No clock, no store, no allocation.

pub mod binary;
pub mod meta;
pub mod peek;
pub mod text;
