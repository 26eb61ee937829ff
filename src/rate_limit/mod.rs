//! Rate limits that hold across every process.
//!
//! ```
//! # use tower_keep::{Keep, Limit, Table, rate_limit::RateLimitLayer, table::{By, mins}};
//! # use tower::{Layer, Service, ServiceExt, service_fn};
//! # use http::{Request, Response};
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let table = Table::new().limit(Limit::new("address", 2, mins(1)).by([By::Ip]));
//! let keep = Keep::new(table)?;
//! let service = service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(String::new())));
//! let mut service = RateLimitLayer::new(&keep).layer(service);
//!
//! let request = || {
//!     let peer = std::net::SocketAddr::from(([203, 0, 113, 7], 4000));
//!     Request::builder().extension(peer).body(()).unwrap()
//! };
//! let first = service.ready().await.unwrap().call(request()).await.unwrap();
//! assert_eq!(first.headers()["ratelimit-policy"], r#""address";q=2;w=60"#);
//! assert_eq!(first.headers()["ratelimit"], r#""address";r=1;t=120"#);
//! service.ready().await.unwrap().call(request()).await.unwrap();
//! let third = service.ready().await.unwrap().call(request()).await.unwrap();
//! assert_eq!(third.status(), 429);
//! assert_eq!(third.headers()["retry-after"], "90");
//! # });
//! ```
//!
//! # Which limits apply
//!
//! Each limit of the table applies to the requests that its `path` and `methods` select, independently
//! of the others and of the routes; all that apply must admit a request. [`RateLimitLayer::only`]
//! applies some of them: by address before authentication, by user behind it.
//!
//! # Whom they count
//!
//! `by = "user"` counts the verified user ([`UserId`](crate::UserId)); where none is known, the
//! address. A bearer token that nobody has verified is nobody's name: sending another one frees
//! nobody. Addresses come from the connection, and from forwarding fields only behind
//! `trusted_proxies`; of IPv6 the first 64 bits count. `by = "header:x-key"` counts by what the
//! client sends, of which only a hash is kept, and trusts it to be the client's own: put a limit by
//! address in front of it. `by = "route"` is the pattern of the
//! route that matched, never the path.
//!
//! The server must say from which address a request comes. In axum: the crate's feature `axum`, and
//! `app.into_make_service_with_connect_info::<SocketAddr>()`. In tonic: the feature `tonic`.
//! Elsewhere a [`SocketAddr`](std::net::SocketAddr) among the request's extensions, or
//! [`Keep::peer`](crate::Keep::peer). Where nobody says it, all requests without a user **share one
//! counter**, which is warned of once.
//!
//! # How they count
//!
//! [`Algorithm`](crate::table::Algorithm) compares the three. Times are whole microseconds of one clock: the
//! Redis server's, or this process's monotonic one. All limits of a subject are decided in one step,
//! in Redis by one script: all of them admit, or nothing is charged. Limits of different subjects are
//! asked one after the other, the strictest first; what was charged is given back if a later one
//! refuses, and a request that is dropped before it reached the inner service is given back too.
//! A cost that exceeds the limit is always refused; a limit of 0 refuses everything.
//!
//! After a change of `algorithm` a counter starts anew. While two processes count one limit by
//! different algorithms, each starts the other's counters anew: give the limit another name when
//! that matters.
//!
//! # What clients are told
//!
//! Every answer has `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), a
//! refusal is 429 (RFC 6585) with `Retry-After` of at least one second and problem details (RFC
//! 9457); gRPC requests get `RESOURCE_EXHAUSTED`, trailers-only, with `grpc-retry-pushback-ms` and
//! `RetryInfo`. Where a cost will never be admitted, `Retry-After` is the window and the pushback
//! is negative. The inner service finds the [`Decision`] in the request's extensions.
//!
//! # When Redis does not answer
//!
//! Each limit does as its `on_error` says: `local` counts in this process with the same limit, from
//! nothing; `open` admits; `closed` answers 503 (gRPC: `UNAVAILABLE`). That is so when Redis is away,
//! when it takes longer than the deadline, and when it answers with an error, as a primary does that
//! has become a replica (`READONLY`). If it fails between two subjects of one request, what the first
//! was charged is given back if a later one refuses, and kept if the request is admitted. An answer
//! that comes after the deadline has been counted all the same: such a subject gets less, never more.
//!
//! A subject that was refused by Redis is refused by this process without asking, for as long as it
//! has to wait, but not longer than ten seconds: then a reset or a refund elsewhere is noticed.
//!
//! A Redis that restarts empty, or whose replica takes over before it had the latest counters, counts
//! from what it has: at most one more limit is admitted, and no request fails. Scripts that were
//! flushed are sent again. Where a long quota must outlast that, keep it in a database.
//!
//! # Bad input
//!
//! | what | then |
//! |---|---|
//! | a limit of 0 | refuses everything |
//! | a window of 0, or longer than 366 days; a limit beyond 10¹² | the table, or [`Quota::new`], is refused |
//! | a cost above the limit | is refused and charged nowhere, and no client is told to retry soon |
//! | a cost field that is no number, or 0 | costs one unit; of several lines the dearest counts |
//! | a name or a field of any length or bytes | is encoded, and hashed when long |
//! | a million subjects of one attacker | memory stays bounded, and nobody limited is freed; see below |
//! | the Redis host's clock steps forward | as if that time had passed |
//! | it steps back | nobody waits for longer than two windows |
//! | another algorithm, or foreign bytes, under the key | counted anew |
//!
//! # Memory
//!
//! A process holds at most 131,072 counters of its own and 65,536 refusals, some 20 and 15 MB. When
//! there are more subjects, those make room whose window has passed, then those that have used the
//! least. A subject that has used more than half of its quota never makes room; newcomers that find
//! none share a counter.

mod admission;
mod claim;
mod decision;
mod fields;
mod future;
mod grpc;
mod layer;
mod refusal;
mod service;
mod subject;

pub use self::{
    decision::{Decision, LimitDecision},
    fields::Reset,
    future::ResponseFuture,
    layer::RateLimitLayer,
    service::RateLimit,
};
pub use crate::quota::Quota;
