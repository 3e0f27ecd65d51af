//! Which class has which pages: who gives one to whom, and how a page is emptied.

pub(crate) mod balance;
pub(crate) mod drain;
pub(crate) mod mover;
pub(crate) mod order;
