//! Middleware for HTTP caching.
//!
//! [`CacheLayer`] answers requests from stored responses and stores the responses to others, as RFC
//! 9111 and the table allow.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{Empty, Full};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{CacheLayer, Keep, Route, Scope, Table};
//!
//! async fn read(_: Request<Empty<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
//!     Ok(Response::new(Full::from("Open Forge")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::Error> {
//! let route = Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public);
//! let keep = Keep::new(Table::new().route(route))?;
//! let service = CacheLayer::new(&keep).layer(service_fn(read));
//! for expected in ["fwd=uri-miss; stored", "hit; ttl="] {
//!     let request = Request::get("/engagements/42").body(Empty::new()).expect("a request");
//!     let response = service.clone().oneshot(request).await.expect("it never fails");
//!     let status = response.headers()["cache-status"].to_str().expect("ASCII");
//!     assert!(status.contains(expected), "{status}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Credentials
//!
//! A request carries credentials if it has `Authorization`, `Cookie`, a [`UserId`](crate::UserId)
//! however established, or the identity's header, even one that identifies no user. Which responses
//! it may share with other requests depends on the route's scope:
//!
//! - **No scope**: requests with credentials are answered from stored responses, and responses to
//!   them are stored, only if the response itself allows that by `public`, `s-maxage` or
//!   `must-revalidate` (RFC 9111 section 3.5). The table's TTL alone does not allow it, and such
//!   requests do not wait for the responses to others.
//! - **[`Scope::Public`](crate::Scope::Public)**: all users get the same response.
//! - **[`Scope::User`](crate::Scope::User)**: the user is part of the key. A request without a user
//!   bypasses the cache.
//! - **No route**: HTTP alone decides, and treats `Cookie` like any other field. A response that
//!   was stored for a request without credentials, and states its own freshness, also answers
//!   requests with cookies: if it depended on them, its `Vary` would say so. The response to a
//!   request with credentials is stored only if it allows that itself.
//!
//! In every scope, responses with `private` (except in a user's own scope), `no-store` or
//! `Set-Cookie` (unless the route strips it) are not stored. If the table does not serve the
//! request's authority ([`Table::host`](crate::Table::host)), or the inner service might read
//! another host from the request than its key contains (two `Host` lines, one that is more than a
//! host and a port, or, in HTTP/2, one that differs from `:authority`), the request bypasses the
//! cache (`detail=host`), and the response to a write is not stored.
//!
//! # Ambiguous paths
//!
//! The layers match paths as received, but servers may decode them, resolve dot segments, merge
//! slashes, or take a backslash for a slash: many answer `/static/..%2faccount` with `/account`. So a
//! path bypasses the cache (`detail=path`), whatever the table says of it, if it has
//!
//! - a dot segment, or an empty segment other than the last (`/a/../b`, `//a`; `/a/` is plain),
//! - an encoded dot, slash, backslash or NUL (`%2e`, `%2f`, `%5c`, `%00`, also escaped twice: `%252f`),
//! - a backslash, or a malformed escape, or
//! - an escape without which it would match another route (`/%6cogin`, if `/login` is a route).
//!
//! A write to such a path invalidates whatever a server may read from it: the path as received, and
//! normalised (RFC 3986 section 6.2.2), without empty segments, and with encoded slashes and
//! backslashes as slashes, each with the `invalidates` of the route that it matches.
//!
//! # Collapsed requests
//!
//! Of all requests that miss the same key, or the same variant of it, one is forwarded to the inner
//! service. The others wait for its response and receive it while it arrives. If the client of the
//! forwarded request disconnects before that, one of the waiting requests is forwarded instead.
//!
//! If the response may not be shared, the waiting requests are released when its head arrives, and
//! each is forwarded; for ten seconds no request waits for that key. The same holds for a response
//! that must be validated before each use, since a waiting request may use a response only if it
//! could use it as a stored response (RFC 9111 section 4). Requests whose queries are equivalent
//! only by the response's `No-Vary-Search` do not wait for each other.
//!
//! Once the head of a storable response has arrived, the body is read independently of the client,
//! so that a client that is slow or disconnects does not delay the others. `Cache-Status` is sent
//! with the head: its `stored` means that the response will be stored if its body arrives whole. A
//! body larger than `max_body` is not stored; it is read as fast as the client of the forwarded
//! request takes it, and a client that shares it gets an error if it falls more than `max_body`
//! bytes behind.
//!
//! # When the inner service fails
//!
//! A stale response is served instead of the inner service's error, and instead of a response whose
//! body breaks off before its first byte, unless `must-revalidate`, `proxy-revalidate`, `no-cache`
//! or `s-maxage` forbids it (RFC 9111 section 4.2.4). Within `stale-if-error` (RFC 5861) it is also
//! served instead of a 500, 502, 503 or 504, and for one second after a failure without calling the
//! inner service for that key. `Cache-Status` tells them apart by `detail`: `disconnected` and
//! `stale-if-error` after the call, `backoff`, as a hit, without one.
//!
//! While a stale response is available, the head of a new response is held back until the first
//! bytes of its body arrive; a client that disconnects before then cancels the fill. A body that
//! breaks off later fails for its readers, and is not stored.
//!
//! # Order of layers
//!
//! `CacheLayer` belongs inside authentication and `InvalidateLayer`, and outside the handler. A
//! second `CacheLayer` of the same keep further in does nothing. That is logged once and counted
//! (`tower_keep_layer_misuse_total`). So is a write on a route with `invalidates`, `before`,
//! `settle` or write-through that has no `InvalidateLayer` above it.

mod bypass;
mod cache_request;
mod collapse;
mod conditional_request;
mod config;
mod content_key_request;
mod context;
mod equivalent_query;
mod field_presence;
mod forward;
mod layer;
mod lookup;
mod lookup_decision;
mod miss;
mod no_vary_search_key;
mod origin_response;
mod pending_entry;
mod preconditions_and_range;
mod refresh;
mod request_action;
mod request_constraints;
mod request_key;
mod respond;
mod revalidate;
mod serve_found;
mod service;
mod stale_on_error;
mod storage_decision;
mod store_body;
mod store_response;
mod superseded_entry;
mod tag_fields;
mod tags;
mod unsafe_request;
mod updated_entry;

pub use layer::CacheLayer;
pub use service::Cache;
