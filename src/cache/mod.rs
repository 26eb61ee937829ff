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
//! A request carries credentials if it has `Authorization`, `Cookie`, another field or query
//! parameter that is known to be a credential (as `X-Api-Key` or `access_token`; see
//! [`Identity::credentials`](crate::table::Identity::credentials)), a [`UserId`](crate::UserId)
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
//! - **No route**: HTTP alone decides ([how long](crate::guide::table#paths-without-a-route) is up to
//!   the table), and treats `Cookie` like any other field. A response that
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
//! # Spellings
//!
//! Servers differ in how they read some requests, so those have keys of their own, or none:
//!
//! - With `query = ["page"]`, a parameter whose name differs from a listed one only by case, escapes,
//!   surrounding blanks, dots for underscores or an index (`Page`, `%20page`, `page[]`, `page[0]`) may
//!   be a page to the server. The request bypasses the cache (`detail=query`).
//! - A reserved character of a path parameter that stands for itself, as in `/files/a;b`, makes a
//!   variation of the key of `/files/a%3Bb`. An invalidation of `file:a%3Bb` covers both;
//!   [`Keep::get`](crate::Keep::get) finds the response to the second.
//! - With `{#body}` in the key, content of another `Content-Type` or `Content-Encoding`, or with
//!   another method, has another key; HEAD counts as GET. Of other methods, only responses to QUERY
//!   and to those in `safe_methods` are stored.
//!
//! # Ambiguous paths
//!
//! The layers match paths as received, but servers may decode them, resolve dot segments, merge
//! slashes, or take a backslash for a slash: many answer `/static/..%2faccount` with `/account`. So a
//! path bypasses the cache (`detail=path`), whatever the table says of it, if it has
//!
//! - a dot segment, or an empty segment other than the last (`/a/../b`, `//a`; `/a/` is plain),
//! - an encoded dot, slash, backslash or NUL (`%2e`, `%2f`, `%5c`, `%00`, also escaped twice: `%252f`),
//! - a backslash, or a malformed escape,
//! - an escape of a letter, a digit, `-`, `.`, `_` or `~` (`/%6cogin`): the inner service may have a
//!   route for one spelling only, or
//! - another escape, or parameters, without which it would match another route of the table (`/login;x`,
//!   if `/login` is a route).
//!
//! A write to such a path invalidates whatever a server may read from it: the path as received, and
//! normalised (RFC 3986 section 6.2.2), without empty segments, without parameters (`;x`), and with
//! encoded slashes and backslashes as slashes, each with the `invalidates` of the route that it matches.
//!
//! # Collapsed requests
//!
//! Of all requests that miss the same key, or the same variant of it, one is forwarded to the inner
//! service. The others wait for its response and receive it while it arrives. If the client of the
//! forwarded request disconnects before that, one of the waiting requests is forwarded instead. On a
//! path that no route names, requests wait only once a response has been seen that others could use,
//! so that nobody waits for one that will not be shared.
//!
//! If the response may not be shared, the waiting requests are released when its head arrives, and
//! each is forwarded; for ten seconds no request waits for that key. The same holds for a response
//! that must be validated before each use, since a waiting request may use a response only if it
//! could use it as a stored response (RFC 9111 section 4). Requests whose queries are equivalent
//! only by the response's `No-Vary-Search` do not wait for each other.
//!
//! Once the head of a storable response has arrived, the body is read independently of the client,
//! so that a client that is slow or disconnects does not delay the others. `Cache-Status` is sent
//! with the head: its `stored` means that the response will be stored if its body arrives whole; it is
//! absent if the length of the body is not yet known. A body larger than `max_body` is not stored; it
//! is read as fast as the client of the forwarded request takes it, and a client that shares it gets
//! an error if it falls more than `max_body` bytes behind. If the client of the forwarded request holds
//! up others for more than five seconds in total, the body is read as fast as the fastest of them takes
//! it.
//!
//! If the head is late, a waiting request goes on by itself: one takes the place of the forwarded
//! request after ten seconds, the others after twenty. So a handler that waits for a request to its
//! own path does not hang: in the same task such a request is forwarded at once.
//!
//! A conditional request does not reach the inner service as one, so that the response can be stored
//! for all: the layer evaluates `If-None-Match` and `If-Modified-Since` (RFC 9111 section 4.3.2), and on
//! a listed path leaves out `If-Match` and `If-Unmodified-Since`, which are for origins (RFC 9110
//! section 13.1.1). On a path without a route it forwards those two, and all preconditions if the
//! request has credentials or a `Range`, and for ten seconds after a response that could not be
//! stored.
//!
//! # Responses about the request
//!
//! A response that is about the request itself, its client or its connection is never stored,
//! whatever it and the table say, and leaves the stored response in place: the statuses 400, 406 to
//! 408, 411 to 417, 421, 422, 425, 426, 428, 429, 431, 505 and 511. Otherwise one client could send a
//! request that the inner service refuses, and have the refusal stored for all. So a 400 with an explicit
//! lifetime such as `max-age` is not stored either, although RFC 9111 section 3 would allow it.
//!
//! # Refreshes
//!
//! A request whose key contains its content is not repeated: the response is validated as soon as it is
//! stale.
//!
//! A hit within `stale-while-revalidate`, or that is due by the route's `refresh_ahead` or
//! `early_refresh`, repeats the request in the background. The response is for everybody, so the
//! repeated request has no credentials: neither the fields `Authorization`, `Cookie` and
//! `Proxy-Authorization`, nor other fields and query parameters that are credentials, nor the
//! identity's header, nor a [`UserId`](crate::UserId). Only credentials that select the stored response
//! stay: each that the key contains or its `Vary` names; and all of them if the key contains the user,
//! as in [`Scope::User`](crate::Scope::User).
//!
//! A credential that cannot be removed prevents the refresh: a user whom
//! [`Keep::identify`](crate::Keep::identify) finds in an extension, or a query parameter in a URI from
//! [`Keep::path`](crate::Keep::path). For the former, remove the extension in
//! [`CacheLayer::refresh_request`].
//!
//! # Responses that replace nothing
//!
//! If a stored response is stale, and a whole response to a refresh or a validation arrives that may
//! not be stored, the stored one is removed: the inner service has withdrawn it. That holds for an
//! error such as 404, a redirection, `private`, `no-store`, `Set-Cookie`, `Vary: *`, an event stream
//! and a body that is too large. The stored response stays if there is no response, if its body
//! breaks off before its first byte, if it is a 5xx within `stale-if-error`, if it is about the
//! request, and if it is refused because of the credentials of the request. A refresh removes nothing
//! that is still fresh.
//!
//! A 304 (Not Modified) makes the stored response fresh again for all. On a path without a route that
//! holds also if the request had a `Cookie`, unless the 304 has `private`, `no-store`, `Set-Cookie` or
//! another `Vary`; then only its fields about freshness are stored.
//!
//! # Variants
//!
//! The responses of one key that differ by `Vary` are its variants. A key has up to 64, whose responses
//! take up to 16 MiB together; beyond that, the least recently used one is removed. The uses in other
//! processes count as far as those have stored a variant of the key since. Without a local tier
//! (`[local] size = 0`), uses are not known, and the variant that was stored first is removed.
//!
//! # Memory of bodies that are being read
//!
//! `[local] fill_buffer` bounds the bytes of all bodies that are in memory and not yet in a tier: of
//! responses from when they are read until their clients have taken them, and of request content that
//! is part of the key, until the response. The first 16 KiB of each body do not count. A stored body
//! that clients have not yet taken counts from when the local tier no longer holds it.
//!
//! While there is no room for a response, it is passed on as fast as its client reads it, and is not
//! stored (`detail=busy`); requests that wait for it are forwarded themselves. While there is no room at
//! all, a response that only Redis holds is not read from there, but forwarded in the same way. Nor is a
//! response stored that takes room while nothing of it arrives for 30 seconds. A request whose content is
//! part of the key is refused with 503 and `Retry-After`. Content that has not arrived after 30 seconds
//! is refused with 408.
//!
//! # When the inner service fails
//!
//! A stale response is served instead of the inner service's error, and instead of a response whose
//! body breaks off before its first byte, unless `must-revalidate`, `proxy-revalidate`, `no-cache`
//! or `s-maxage` forbids it (RFC 9111 section 4.2.4). Within `stale-if-error` (RFC 5861) it is also
//! served instead of a 500, 502, 503 or 504, and for one second after a failure without calling the
//! inner service for that key. `Cache-Status` tells them apart by `detail`: `service-error` and
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
//! `partial_writes`, `settle` or write-through that has no `InvalidateLayer` above it, or only one of
//! another keep.

mod bypass;
mod cache_request;
mod collapse;
mod conditional_request;
mod config;
mod content_key_request;
mod context;
mod equivalent_query;
mod field_presence;
mod first_piece;
mod forward;
mod layer;
mod local_lookup;
mod lookup_decision;
mod miss;
mod no_vary_search_key;
mod origin_response;
mod pending_entry;
mod preconditions_and_range;
mod refresh;
mod refresh_request;
mod request_action;
mod request_constraints;
mod request_source;
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

#[cfg(test)]
mod required_position_tests;
