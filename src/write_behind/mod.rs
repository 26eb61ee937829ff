//! Write-behind: accept a write durably, answer at once, apply it later and in order.
//!
//! [`WriteBehindLayer`] puts the writes of routes with `write = "behind"` into a queue and answers `202
//! Accepted`. Requests with safe methods, and those of other routes and hosts, pass through unchanged.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{Keep, Table, WriteBehindLayer, table::{Behind, Route, Write}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::Error> {
//! let keep = Keep::new(Table::new()
//!     .behind(Behind::new().volatile(true)) // without Redis, queue in memory
//!     .route(Route::new("/agents/{id}/activity")
//!         .key("agent:{id}:activity")
//!         .write(Write::Behind)))?;
//!
//! let handler = service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("the slow system".to_owned()))
//! });
//! let service = WriteBehindLayer::new(&keep).layer(handler);
//!
//! let request = Request::post("/agents/7/activity").body("{}".to_owned()).unwrap();
//! let response = service.oneshot(request).await.unwrap();
//! assert_eq!(response.status(), 202);
//! assert!(response.headers()["location"].to_str().unwrap().starts_with("/writes/"));
//! # Ok(())
//! # }
//! ```
//!
//! # Accepting a write
//!
//! The layer reads the content (at most `max_body`), lets the application check it
//! ([`validate`](WriteBehindLayer::validate)), and stores the write in one step. The `202` has the path of
//! the write's status in `Location`, when to look there in `Retry-After`, and a JSON body with `id` and
//! `state`.
//!
//! | request field | effect |
//! |---|---|
//! | `Prefer: wait=5` (RFC 7240) | the response waits up to 5 seconds, at most 60, and is the service's answer if the write has been applied by then and its answer was kept whole (`keep_result`, `keep_body`) |
//! | `Prefer: respond-async` | the default; `Preference-Applied` confirms it |
//! | `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header) | the same user, method, path, query, key and content are one write: a repeated request gets the same `202`, or the service's answer if that is there |
//!
//! Stored are method, target, user, content, and the fields `Content-*`, `If-*`, `Accept*`,
//! `Idempotency-Key` and those of the route's `keep_fields`; never credentials, nor parameters of the query
//! that are credentials.
//!
//! A keep without Redis passes each write on and returns its real answer, unless the table has `volatile =
//! true`: then it queues in memory. A keep whose Redis cannot be reached answers with 503 and never passes
//! a write on, because it might overtake one that is queued.
//!
//! # Refusals
//!
//! A write that is not stored is not accepted. Refusals are problem details (RFC 9457); the last five have
//! types of their own, and 503 has `Retry-After`.
//!
//! | status | reason |
//! |---|---|
//! | 400 | the path or the host can be read in several ways; the request lacks a value of its key; `Idempotency-Key` is malformed; the content ended early or has trailers |
//! | 403 | the key contains the user, and none is known |
//! | 408, 413, 431 | the content did not arrive within 30 seconds; it is longer than `max_body`; there are more than 1024 fields |
//! | 503 | there is no room to read the content (`[local] fill_buffer`) |
//!
//! #### Queue full
//!
//! 503: `max_queue` writes have not ended.
//!
//! #### Queue bytes full
//!
//! 503: the writes that have not ended, the kept answers and the dead letters take up `max_bytes`.
//!
//! #### Key full
//!
//! 503: `max_per_key` writes of this key have not ended.
//!
//! #### Store unavailable
//!
//! 503: the store did not confirm the write, so that it may have been accepted, or has refused it; `detail`
//! says which. A repeated request with the same `Idempotency-Key` finds it.
//!
//! #### Idempotency key reused
//!
//! 422: the `Idempotency-Key` was used for other content.
//!
//! # Status
//!
//! `GET {status_path}/{id}` answers with the status of a write, to its own user only; for others there is no
//! such write. The layer answers where it gets the request; [`WriteStatusService`] can be mounted elsewhere.
//!
//! | member | value |
//! |---|---|
//! | `id`, `state` | `waiting`, `applying`, `done`, `dead`, `superseded` |
//! | `accepted`, `next_attempt`, `ended` | times (RFC 3339, UTC) |
//! | `attempts`, `reason` | how often it was handed to a worker, and why the last attempt failed |
//! | `superseded_by` | the id of the write that has taken its place (`coalesce`) |
//! | `response` | when it has ended: the service's `status`, `headers` (name to lines), `body` or `body_base64`, and `body_is_cut` |
//!
//! Code uses [`Keep::queue`](crate::Keep::queue).

mod accept;
mod accepted_response;
mod config;
mod content;
#[cfg(test)]
mod ended_tests;
mod final_answer;
mod layer;
mod problem;
mod rfc3339;
mod service;
mod status;
mod status_document;
mod status_service;
mod validation;
mod worker;
mod write_action;

pub use self::{
    layer::WriteBehindLayer, service::WriteBehind, status_service::WriteStatusService,
    validation::WriteRefusal, worker::WriteBehindWorker,
};
pub use crate::{
    table::PendingMode,
    write_queue::{
        Applying, DeadLetter, Durability, PendingWrite, QueueCounts, WriteId, WriteState,
        WriteStatus,
    },
};
