//! Shared helpers: an origin, a client, keeps, captured logs.

pub(crate) mod client;
#[cfg(feature = "redis")]
pub(crate) mod clock;
#[cfg(feature = "redis")]
pub(crate) mod faulty_proxy;
pub(crate) mod generated_body;
pub(crate) mod keeps;
pub(crate) mod log;
#[cfg(feature = "redis")]
pub(crate) mod node_process;
#[cfg(feature = "redis")]
pub(crate) mod one_shot_client;
pub(crate) mod origin;
#[cfg(feature = "redis")]
pub(crate) mod subscriber;
