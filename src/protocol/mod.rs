//! Grammars: bytes to borrowed requests, answers to bytes. No clock, no store, no allocation.

pub mod binary;
pub mod dump;
mod error;
pub mod login;
pub mod meta;
pub mod peek;
pub mod text;

pub use error::{ErrorLine, Rejection};

/// The longest value that a line may announce: with the line end after it, it fits a signed 32-bit
/// number.
pub const VALUE_LEN_MAX: u32 = i32::MAX as u32 - 2;
