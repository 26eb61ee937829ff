//! Shared helpers: an origin, a client, keeps, captured logs.

pub(crate) mod client;
pub(crate) mod generated_body;
pub(crate) mod keeps;
pub(crate) mod log;
pub(crate) mod origin;
#[cfg(feature = "redis")]
pub(crate) mod subscriber;
