//! Invalidation by HTTP writes: after a successful write, no response that it replaced is served.
//!
//! [`InvalidateLayer`] goes above a [`CacheLayer`](crate::CacheLayer) of the same keep. Requests with
//! safe methods pass through unchanged. After any other request, the layer invalidates what the request
//! changed before it passes the response on. Paths without a route are included, unless the table has
//! `unlisted = "pass"`.
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
//!     Ok::<_, std::convert::Infallible>(Response::new("a list".to_owned()))
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
//! | response | invalidated |
//! |---|---|
//! | 2xx, 303 | the targets of the route's `invalidates`; the request target's key; same-origin `Location` and `Content-Location` (RFC 9111 section 4.4) |
//! | another 3xx | the request target's key: a redirection, for example to a login page, does not say that something was written |
//! | 4xx, 501, 505 | nothing: nothing was written |
//! | another 5xx | `invalidates` and the target, since the write may have been committed; nothing for a path without a route (RFC 9111 section 4.4) |
//! | an error, a panic, a cancelled task | `invalidates` and the target, since the write may have been committed |
//! | a 5xx, an error, a panic or no response, before the inner service has read the content to its end | the request target's key: a handler that needs the content never had all of it |
//! | any | the groups in `Cache-Group-Invalidation` (RFC 9875), of the same origin |
//!
//! [`invalidate_when`](InvalidateLayer::invalidate_when) lets the application decide by the head of a
//! response whether its write was committed; an application that answers committed writes with a 302
//! needs it. A client that sends nothing until a timeout answers, or a server that sheds load, thus
//! invalidates no more than the target. Handlers that commit without reading the content to its end need
//! `partial_writes = true`: such a failure then invalidates like any other, and so does every response
//! but a 2xx or 303 after content that ended early.
//!
//! If the table is reloaded during a write, the write invalidates what both tables name.
//!
//! A key is invalidated in all its variations. `invalidates` may contain path parameters, the user,
//! keyed request fields and, as `{answer.FIELD}`, top-level fields of a JSON response of up to 1 MiB. A
//! field that is missing from the response becomes `*`, which invalidates more. The layer waits up to
//! one second for the content of a response; after that its fields are missing, and the response is
//! streamed unchanged. So it is while such responses that clients have not yet taken hold as many bytes
//! as `[local] fill_buffer` allows; those of reads have a buffer of their own.
//!
//! If a value is missing from the request (a query parameter, a field, the user) or is not properly
//! percent-encoded, the target is left out, so that no client can widen an invalidation. It is counted
//! in `tower_keep_invalidate_targets_skipped_total`, and logged the first time.
//!
//! A gRPC method (`grpc = "write"`) has succeeded if its `grpc-status` is 0, in the head or in the
//! trailers. Trailers are held back until the invalidation is done. If its client has not read the
//! response to its end after a second, the method's targets are invalidated at once, and again at the
//! end if it has succeeded. INVALID_ARGUMENT, NOT_FOUND,
//! ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED and
//! UNAUTHENTICATED count as a 4xx, every other status as a 5xx.
//!
//! # When
//!
//! First the inner service commits the write, then the layer invalidates, then it passes the
//! response on. The inner service is called in its own task, within the caller's span, so that a
//! client that disconnects after the commit does not prevent the invalidation. A panic of the inner
//! service is passed on to the caller.
//!
//! With `before = true` the write is declared before the inner service is called. Until it has ended, no
//! process caches the declared targets; when it ends, they are invalidated, whatever its response. If
//! its process dies during the write, they are invalidated after
//! [`longest_write`](InvalidateLayer::longest_write). A declaration costs a round trip to the store. If
//! the store cannot be reached, the write continues without a declaration.
//!
//! Before it is declared, the request's content is read, up to the route's `max_body`: a client that
//! does not send its content cannot make the declared targets uncacheable. Longer content is declared
//! when so much of it is there, and the rest is streamed. If the content ends early within `max_body`,
//! the response is a 400, and if it is not there within `longest_write`, a 408; the inner service is
//! not called. A gRPC method that responds before its client has sent all messages cannot have
//! `before`.
//!
//! After a 5xx, an error, a panic or a cancellation, the write may have been committed, or may be
//! committed later. Its targets are invalidated at once, and a declaration stays open until
//! [`longest_write`](InvalidateLayer::longest_write) after the write began. Without `before`, a later
//! commit goes unnoticed. If the handler has not read the request's content to its end, it is taken not
//! to have committed, and only the target is invalidated; for a handler that commits without, set
//! `partial_writes` on its route.
//!
//! A write that a [`WriteBehindWorker`](crate::write_behind::WriteBehindWorker) of the same keep applies
//! passes through: the worker declares and invalidates what it changes. If this layer derives a
//! [`key`](InvalidateLayer::key), it invalidates as well.
//!
//! With `settle = "1s"` the same targets are invalidated again after that delay, for reads through
//! a replica of the database that lags behind.
//!
//! # Write-through
//!
//! On a route with `write = "through"`, a PUT or PATCH that succeeds with a 2xx status replaces the
//! stored response to a GET of the same target before its own response is passed on:
//!
//! | `through` | stored |
//! |---|---|
//! | `"refetch"` (default) | the response to a GET that the layer sends to the service that answers GETs: the write's request without content, preconditions and ranges, with the same fields and extensions. The `CacheLayer` below stores it like any other response |
//! | `"answer"` | the write's own response, if it is a 200 that the route would store as the response to a GET. The handler must ensure that both are equal |
//!
//! With `"refetch"` the write's response waits up to five seconds for the response to the GET. If that
//! fails, panics or takes longer, the write has succeeded nevertheless, and the next GET stores the new
//! version.
//!
//! The response to the GET is for everybody, unless the key contains the user. So the `CacheLayer`
//! removes the credentials of the write's client, as it does for a [refresh](crate::cache#refreshes),
//! and applies [`CacheLayer::refresh_request`](crate::CacheLayer::refresh_request). If a credential
//! cannot be removed, or the inner service refuses the GET without it, the target is only invalidated.
//!
//! The GET is sent only to a service that has passed on a GET before, because the inner service may
//! be the handler of a single method: axum's `Router::layer`, `route_layer` and `MethodRouter::layer`
//! wrap the handler of each method separately, and the write's handler must not run twice. In an axum
//! router (feature `axum`) the GET goes to the service that answers the GETs of the same route, if the
//! same layer or a clone of it wraps both. If no such service is known, the target is only invalidated.
//! That is counted in `tower_keep_invalidate_refetches_skipped_total` and logged the first time. It is
//! so
//!
//! - before the first GET, or if the layers are made anew for each request outside an axum router;
//! - if different `InvalidateLayer`s wrap the handlers of GET and of the write;
//! - inside a router that `nest_service` nests, and inside a `MethodRouter` without a router: put the
//!   layers around it;
//! - if the key contains the host, before the service has got a GET for that host.
//!
//! With `"answer"` the target is only invalidated, and nothing is stored, if
//!
//! - another write of the same key began or ended during this one, in any process;
//! - the response has `Vary`, `Cache-Tag`, `Surrogate-Key` or `Cache-Groups` fields, or trailers;
//! - its body is longer than `max_body`, or takes longer than a second;
//! - its `Content-Type` is JSON, but its content is not;
//! - the route has `before` or `vary`.
//!
//! [`CacheLayer::store_if`](crate::CacheLayer::store_if) and [`key`](crate::CacheLayer::key) have no
//! effect with `"answer"`; use `"refetch"` with them.
//!
//! In whatever order the commits and invalidations of concurrent writers happen, afterwards either the
//! latest version in the database is stored, or none.
//!
//! # Guarantees
//!
//! See [`protocol`].

mod config;
mod content;
mod get_services;
mod in_flight_write;
mod layer;
mod outcome;
mod refetch;
mod replacement;
mod request_content;
mod service;
#[cfg(all(test, feature = "redis"))]
mod through_tests;
mod write;
mod write_request;

pub use layer::InvalidateLayer;
pub use service::Invalidate;

#[doc = include_str!("protocol.md")]
pub mod protocol {}
