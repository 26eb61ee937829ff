//! HTTP invalidation: after a successful write nobody is answered with what it replaced.
//!
//! [`InvalidateLayer`] stands above a [`CacheLayer`](crate::CacheLayer) of the same keep. Requests
//! with safe methods pass it untouched. Any other request of a route, or of a path that no route
//! names unless the table leaves those alone, is followed to its end; before its answer is sent,
//! what it changed has become unusable.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
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
//! # }
//! ```
//!
//! # What a write makes unusable
//!
//! | answer | invalidated |
//! |---|---|
//! | 2xx, 3xx | what the route's `invalidates` names; the target's own key; same-origin `Location` and `Content-Location` (RFC 9111 section 4.4) |
//! | 4xx | nothing: nothing was written |
//! | 5xx | `invalidates` and the target: it may have been written; nothing where no route names the path (RFC 9111 section 4.4) |
//! | an error, a panic, a task that was cancelled | `invalidates` and the target: it may have been written |
//! | any | the groups in `Cache-Group-Invalidation` (RFC 9875), of the same origin |
//!
//! Every key is named with all its variations. In `invalidates`, path parameters, the user, keyed
//! request fields and, as `{answer.FIELD}`, top-level fields of a JSON answer of up to 1 MiB can
//! stand; one that is missing becomes `*`: when in doubt, more. An answer is waited for one second
//! to be looked into: if it is not whole by then, its fields are missing, and it goes on as it comes.
//!
//! A gRPC method (`grpc = "write"`) has succeeded if its `grpc-status` is 0, in the head or in the
//! trailers, which wait for the invalidation. INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS,
//! PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED and UNAUTHENTICATED count as
//! a 4xx, every other status as a 5xx.
//!
//! # When
//!
//! Commit, invalidate, answer: in this order. The inner service is called in a task of its own,
//! within the caller's span, so that a client that leaves after the commit does not take the
//! invalidation along. A panic of the inner service goes on to the caller.
//!
//! With `before = true` the write is declared before the inner service is called. Until it is over,
//! nothing that it may change is cached, anywhere; and if its process dies in the middle of it, that
//! is invalidated all the same, [`longest_write`](InvalidateLayer::longest_write) later. It costs a
//! round trip to the store more. A store that cannot be reached does not stop the write.
//!
//! After a 5xx, an error, a panic or a cancellation the write may not only have been committed: it
//! may still be. Declared, it is invalidated at once and stays declared until it no longer can be,
//! [`longest_write`](InvalidateLayer::longest_write) after it began. Without `before` a commit that
//! comes after such an end goes unnoticed.
//!
//! With `settle = "1s"` the same is invalidated a second time after that delay, for reads through a
//! replica of the database that lags behind.
//!
//! # Write-through
//!
//! On a route with `write = "through"`, a PUT or PATCH that was answered with a 2xx status replaces
//! the stored response of a GET of the same target, for everybody, before its own answer is sent:
//!
//! | `through` | stored |
//! |---|---|
//! | `"refetch"` (default) | what a GET answers now: the request is sent through the layers below once more, as a GET without content, preconditions and ranges, with its own credentials and extensions, and the `CacheLayer` there stores the answer by the rules for every answer |
//! | `"answer"` | the write's own answer, if it is a 200 that the route would store as the answer to a GET, and the handler vouches that it is the same |
//!
//! With `"refetch"` the handler is asked once more for each write, and the write's answer waits for
//! it, five seconds at most. If it fails, panics, or takes longer, the write has succeeded all the
//! same, and what it changed is stored by the next GET.
//!
//! With `"answer"` nothing is stored, and only invalidated, if another write of the same key began
//! or ended since this one began, in this process or in any other; if the answer has a `Vary`
//! field, `Cache-Tag`, `Surrogate-Key` or `Cache-Groups`, trailers, a longer body than `max_body`, or
//! one that is not whole within a second; if it says that it is JSON and is not; and on routes with `before` or `vary`. What
//! [`CacheLayer::store_if`](crate::CacheLayer::store_if) and [`key`](crate::CacheLayer::key) say
//! does not count here: use `"refetch"` with them.
//!
//! However the commits of concurrent writers and their invalidations fall, what is stored at rest
//! is never older than the database: it is the latest version, or nothing.
//!
//! # What it promises
//!
//! See [`protocol`].

mod answer;
mod layer;
mod outcome;
mod refetch;
mod replace;
mod run;
mod service;
#[cfg(all(test, feature = "redis"))]
mod through_tests;
mod write;

pub use layer::InvalidateLayer;
pub use service::Invalidate;

#[doc = include_str!("protocol.md")]
pub mod protocol {}
