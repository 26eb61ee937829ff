//! The examples, run as programs and used over sockets.

mod axum;
mod exchange;
mod flags;
mod openforge;
mod program;
mod proxy;
mod raw_origin;
#[cfg(feature = "redis")]
mod shared;
mod table;
mod tonic;
#[cfg(feature = "redis")]
mod write_behind;
