//! Vocabulary shared by every layer: no I/O, no locks, no policy.

pub mod clock;
pub mod credentials;
pub mod events;
pub mod hash;
pub mod key;
pub mod number;
pub mod part;
pub mod scan;
pub mod services;
pub mod settings;
pub mod store_mode;
pub mod uri;
