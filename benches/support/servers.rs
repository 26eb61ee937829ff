//! Redis servers, as the tests start them.

#![allow(dead_code, unused_imports)] // each bench uses a part of it

#[path = "../../tests/support/certificates.rs"]
mod certificates;
#[path = "../../tests/support/process.rs"]
mod process;
#[path = "../../tests/support/resp.rs"]
mod resp;
#[path = "../../tests/support/server.rs"]
mod server;
#[path = "../../tests/support/wait.rs"]
mod wait;

pub(crate) use self::{resp::Reply, server::RedisServer};
