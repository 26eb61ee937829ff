//! What the response to a GET shows of writes that have not been applied.
//!
//! The queue is asked first, and only then the inner service: a write that has ended between the two
//! is part of the service's response. A stored response counts only if it is no older than the last
//! end that the queue has reported.

mod answer;
mod base;
mod fields;
mod json_array;
mod overlay;
mod pending_requests;

pub(super) use self::answer::{PendingRead, answer};

#[cfg(test)]
mod tests;
