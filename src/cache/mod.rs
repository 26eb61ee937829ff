//! HTTP caching: answers requests from stored responses.
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
//! # async fn main() {
//! let route = Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public);
//! let keep = Keep::new(Table::new().route(route))?;
//! let service = CacheLayer::new(&keep).layer(service_fn(read));
//! for expected in ["fwd=uri-miss; stored", "hit; ttl="] {
//!     let request = Request::get("/engagements/42").body(Empty::new()).expect("a request");
//!     let response = service.clone().oneshot(request).await.expect("it never fails");
//!     let status = response.headers()["cache-status"].to_str().expect("ASCII");
//!     assert!(status.contains(expected), "{status}");
//! }
//! # }
//! ```
//!
//! # Whose answer reaches whom
//!
//! A request carries credentials if it has `Authorization`, `Cookie`, a [`UserId`](crate::UserId)
//! however established, or the identity's header, whether or not that names somebody.
//!
//! - A route without a scope serves them from what is stored, and stores their answers, only where
//!   the response itself allows it: `public`, `s-maxage` or `must-revalidate` (RFC 9111 section 3.5).
//!   The table's TTL is not for them, nor do they wait for another's answer.
//! - [`Scope::Public`](crate::Scope::Public): the author vouches that all get the same answer.
//! - [`Scope::User`](crate::Scope::User): the user is in the key; without one the request passes by.
//! - On a path that no route names HTTP alone decides. It knows `Cookie` as a field like any other:
//!   what was stored for nobody in particular, and itself says how long it is fresh, serves requests
//!   with cookies too; had it depended on them, its `Vary` would say so. No answer to a request with
//!   credentials is stored there unless it allows that itself.
//!
//! Whatever the scope, `private` (but for a user's own), `no-store` and `Set-Cookie` (unless the
//! route strips it) are not stored. Where the inner service could take a request for another host's
//! than the key says (two `Host` lines, one that differs from the URI's authority, or one that is more
//! than a host and a port), it passes by, and the answer to a write is not stored.
//!
//! # Many requests at once
//!
//! Of all who miss the same key, or the same variant of it, one asks the inner service, and the
//! rest read its answer as it comes. If it leaves, another takes over; if its answer may not be
//! shared, all are released with its head and ask for themselves, and nobody waits for that key for
//! ten seconds. So it is where the answer must be validated before it is used again: one that
//! waited may do no more with it than with a stored one (RFC 9111 section 4). From a storable head
//! on, the fill goes on in a task of its own: a reader that is slow or gone holds up nobody.
//! `Cache-Status` says `stored` with the head, of what will be stored if its body comes whole.
//! Queries that are equivalent only by the answer's `No-Vary-Search` do not wait for each other:
//! whether they are, the answer alone can tell. A body larger than `max_body` goes on to who asked
//! for it at their own pace; who shares it and falls more than `max_body` behind gets an error.
//!
//! # When the inner service fails
//!
//! What is stale answers in the place of an error of the inner service's, and of a body that breaks
//! off before there is anything of it, unless `must-revalidate`, `proxy-revalidate`, `no-cache` or
//! `s-maxage` forbids it (RFC 9111 section 4.2.4); in the place of a 500, 502, 503 or 504 within
//! `stale-if-error` (RFC 5861). To that end, while something stale is at hand the head of a new answer
//! waits for the first piece of its body, and who leaves meanwhile takes the fill along. A body that
//! breaks off later does so for who reads it, and is not stored.
//!
//! # Where it stands
//!
//! Within authentication and `InvalidateLayer`, outside of the handler. A second layer of the same
//! keep further in does nothing; it is warned of and counted (`tower_keep_layer_misuse_total`). So
//! is a write whose route says what it invalidates where no `InvalidateLayer` stands above.

mod answer;
mod ask;
mod asked;
mod body_key;
mod bypass;
mod fetch;
mod fill;
mod judge;
mod layer;
mod miss;
mod present;
mod recipe;
mod refresh;
mod search;
mod service;
mod store;
mod tags;
mod validate;
mod write;

pub use layer::CacheLayer;
pub use service::Cache;
