//! Which class has which pages: who gives one to whom, and how a page is emptied.

pub(crate) mod index_pages;
pub(crate) mod mover;
pub(crate) mod policy;
pub(crate) mod readings;
pub(crate) mod surplus;
