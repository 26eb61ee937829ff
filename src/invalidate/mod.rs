//! HTTP invalidation: after a successful write, no response that it replaced is served.
//!
//! [`InvalidateLayer`] goes above a [`CacheLayer`](crate::CacheLayer) of the same keep. Requests with
//! safe methods pass through untouched. For any other request, the layer invalidates what the request
//! changed before the client gets its answer. Paths without a route are included unless the table
//! leaves them alone.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::Error> {
//! let keep = Keep::new(Table::new()
//!     .route(Route::new("/engagements").key("engagements").scope(Scope::Public))
//!     .route(Route::new("/engagements/{id}")
//!         .key("engagement:{id}")
//!         .scope(Scope::Public)
//!         .invalidates(["engagements", "engagement:{id}:*"])))?;
//!
//! let handler = service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("an answer".to_owned()))
//! });
//! let service = (InvalidateLayer::new(&keep), CacheLayer::new(&keep)).layer(handler);
//!
//! let expected = [("GET", "/engagements", "stored"), ("GET", "/engagements", "hit"),
//!     ("PUT", "/engagements/42", ""), ("GET", "/engagements", "stored")];
//! for (method, path, status) in expected {
//!     let request = Request::builder().method(method).uri(path).body(String::new()).unwrap();
//!     let response = service.clone().oneshot(request).await.unwrap();
//!     let cache = response.headers().get("cache-status").map_or("", |s| s.to_str().unwrap());
//!     assert!(cache.contains(status), "{method} {path}: {cache}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a write invalidates
//!
//! | answer | invalidated |
//! |---|---|
//! | 2xx, 3xx | what the route's `invalidates` names; the target's own key; same-origin `Location` and `Content-Location` (RFC 9111 section 4.4) |
//! | 4xx | nothing: nothing was written |
//! | 5xx | `invalidates` and the target, since it may have been written; nothing for a path without a route (RFC 9111 section 4.4) |
//! | an error, a panic, a cancelled task | `invalidates` and the target, since it may have been written |
//! | any | the groups in `Cache-Group-Invalidation` (RFC 9875), of the same origin |
//!
//! A key is invalidated in all its variations. `invalidates` may contain path parameters, the user,
//! keyed request fields and, as `{answer.FIELD}`, top-level fields of a JSON answer of up to 1 MiB. A
//! value that is missing becomes `*`, which invalidates more. The layer waits up to one second for the
//! content of an answer; after that its fields are missing, and the answer is passed on as it comes.
//!
//! A gRPC method (`grpc = "write"`) has succeeded if its `grpc-status` is 0, in the head or in the
//! trailers. Trailers are held back until the invalidation is done. INVALID_ARGUMENT, NOT_FOUND,
//! ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED and
//! UNAUTHENTICATED count as a 4xx, every other status as a 5xx.
//!
//! # When
//!
//! Commit, invalidate, answer: in this order. The inner service is called in a task of its own, within
//! the caller's span, so that a client that leaves after the commit does not prevent the
//! invalidation. A panic of the inner service is passed on to the caller.
//!
//! With `before = true` the write is declared before the inner service is called. Until it is over,
//! nothing that it may change is cached by any process. If its process dies during the write, the
//! same is invalidated after [`longest_write`](InvalidateLayer::longest_write). A declaration costs a
//! round trip to the store. If the store cannot be reached, the write goes on without it.
//!
//! After a 5xx, an error, a panic or a cancellation, the write may have been committed, or may be
//! committed later. It is invalidated at once, and a declaration stays open until
//! [`longest_write`](InvalidateLayer::longest_write) after the write began. Without `before`, a later
//! commit goes unnoticed.
//!
//! With `settle = "1s"` the same is invalidated again after that delay, for reads through a replica
//! of the database that lags behind.
//!
//! # Write-through
//!
//! On a route with `write = "through"`, a PUT or PATCH that succeeds with a 2xx status replaces the
//! stored response to a GET of the same target before it is answered:
//!
//! | `through` | stored |
//! |---|---|
//! | `"refetch"` (default) | the answer to a GET that the layer sends to its inner service: the write's request without content, preconditions and ranges, with the same credentials and extensions. The `CacheLayer` below stores the answer as it stores any other |
//! | `"answer"` | the write's own answer, if it is a 200 that the route would store as the answer to a GET. The handler must make sure that both are the same |
//!
//! With `"refetch"` the handler is called twice for each write, and the write's answer waits up to
//! five seconds for the second call. If that fails, panics or takes longer, the write has succeeded
//! all the same, and the next GET stores what it changed.
//!
//! With `"answer"` the target is only invalidated, and nothing is stored, if
//!
//! - another write of the same key began or ended during this one, in any process;
//! - the answer has `Vary`, `Cache-Tag`, `Surrogate-Key` or `Cache-Groups` fields, or trailers;
//! - its body is longer than `max_body`, or takes longer than a second;
//! - it says that it is JSON, and is not;
//! - the route has `before` or `vary`.
//!
//! [`CacheLayer::store_if`](crate::CacheLayer::store_if) and [`key`](crate::CacheLayer::key) have no
//! effect on it; use `"refetch"` with them.
//!
//! However the commits and invalidations of concurrent writers interleave, what remains stored is
//! the latest version in the database, or nothing.
//!
//! # Guarantees
//!
//! See [`protocol`].

mod config;
mod content;
mod flow;
mod in_flight_write;
mod layer;
mod outcome;
mod refetch;
mod replacement;
mod service;
#[cfg(all(test, feature = "redis"))]
mod through_tests;
mod write_request;

pub use layer::InvalidateLayer;
pub use service::Invalidate;

#[doc = include_str!("protocol.md")]
pub mod protocol {}
