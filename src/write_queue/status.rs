use std::time::SystemTime;

use bytes::Bytes;
use http::Response;

use super::{id::WriteId, state::WriteState};

/// What is known about an accepted write.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WriteStatus {
    /// The write.
    pub id: WriteId,
    /// Its state.
    pub state: WriteState,
    /// The user who sent it, if one was known.
    pub user: Option<Box<str>>,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// How many times it was handed to a worker.
    pub attempts: u32,
    /// When the next attempt is due, if one is planned.
    pub next_attempt: Option<SystemTime>,
    /// When it was applied or given up.
    pub ended: Option<SystemTime>,
    /// Why the last attempt failed.
    pub reason: Option<Box<str>>,
    /// The service's response to the last attempt, if the write has ended. Its body is cut at the
    /// table's `keep_body`.
    pub response: Option<Response<Bytes>>,
    /// Whether the body of `response` was cut.
    pub response_is_cut: bool,
}
