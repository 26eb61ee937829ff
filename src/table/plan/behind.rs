//! The compiled settings of write-behind.

use std::time::Duration;

use http::HeaderName;

use crate::write_queue::Durability;

/// The compiled `[behind]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BehindPlan {
    /// The path below which the status of each write is; without a slash at its end.
    pub(crate) status_path: Box<str>,
    /// The most writes that have not ended, of all keys and of one.
    pub(crate) max_queue: u64,
    pub(crate) max_per_key: u64,
    /// The most bytes of writes, answers and dead letters.
    pub(crate) max_bytes: u64,
    /// The longest content of a write, in bytes.
    pub(crate) max_body: u64,
    /// How often a write is tried, and for how long from its first attempt on.
    pub(crate) attempts: u32,
    pub(crate) max_age: Duration,
    /// The pause after the first failed attempt; it doubles up to `max_backoff`.
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    /// Whether a dead letter stops its key.
    pub(crate) hold_after_dead: bool,
    /// How long the status of an ended write is kept, and how much of its answer's body.
    pub(crate) keep_result: Duration,
    pub(crate) keep_body: u64,
    /// How long an idempotency key is kept after the end of its write.
    pub(crate) idempotency: Duration,
    /// How many dead letters are kept, how many bytes of them, and for how long.
    pub(crate) max_dead: u64,
    pub(crate) max_dead_bytes: u64,
    pub(crate) dead_age: Duration,
    pub(crate) durable: Durability,
    /// Whether a keep without Redis queues writes in memory. Otherwise it applies each at once.
    pub(crate) volatile: bool,
}

impl Default for BehindPlan {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        Self {
            status_path: "/writes".into(),
            max_queue: 10_000,
            max_per_key: 100,
            max_bytes: 64 << 20,
            max_body: 1 << 20,
            attempts: 25,
            max_age: 24 * HOUR,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10 * 60),
            hold_after_dead: false,
            keep_result: HOUR,
            keep_body: 64 << 10,
            idempotency: 24 * HOUR,
            max_dead: 10_000,
            max_dead_bytes: 16 << 20,
            dead_age: 30 * 24 * HOUR,
            durable: Durability::Memory,
            volatile: false,
        }
    }
}

/// The settings of a route with `write = "behind"`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BehindRoute {
    pub(crate) pending: PendingMode,
    /// The field of the response's JSON object that holds the array; `None` if the response is one.
    pub(crate) pending_field: Option<Box<str>>,
    /// The field by which an element of the array is recognised.
    pub(crate) pending_id: Option<Box<str>>,
    pub(crate) coalesce: bool,
    /// Request fields that are kept beside the built-in ones.
    pub(crate) keep_fields: Box<[HeaderName]>,
}

/// What a GET shows of writes that have not been applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PendingMode {
    /// Nothing.
    #[default]
    Ignore,
    /// The content of the last PUT; 404 after a DELETE.
    Body,
    /// The contents of POSTs as elements at the front of a JSON array, latest first.
    Prepend,
    /// The contents of POSTs as elements at the end of a JSON array, oldest first.
    Append,
}
