//! Writing items: new ones, in place, and ones that are made from others.

pub(crate) mod arith;
pub(crate) mod meta;
pub(crate) mod put;
pub(crate) mod rewrite;
pub(crate) mod upload;
