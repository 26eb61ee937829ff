//! Middleware that limits the rate of requests, across all processes that share a Redis.
//!
//! ```
//! # use tower_keep::{Keep, Limit, Table, rate_limit::RateLimitLayer, table::{By, mins}};
//! # use tower::{Layer, Service, ServiceExt, service_fn};
//! # use http::{Request, Response};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::Error> {
//! let table = Table::new().limit(Limit::new("address", 2, mins(1)).by(By::Ip));
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
//! assert_eq!(first.headers()["ratelimit"], r#""address";r=1;t=60"#);
//! service.ready().await.unwrap().call(request()).await.unwrap();
//! let third = service.ready().await.unwrap().call(request()).await.unwrap();
//! assert_eq!(third.status(), 429);
//! assert_eq!(third.headers()["retry-after"], "60");
//! # Ok(())
//! # }
//! ```
//!
//! # Which limits apply
//!
//! Each limit of the table applies to the requests that its `path` and `methods` select, independently
//! of the other limits and of the routes. All limits that apply must admit a request.
//! [`RateLimitLayer::only`] selects limits by name, for example limits by address in a layer before
//! authentication, and limits by user in a layer after it.
//!
//! A write that a [`WriteBehindWorker`](crate::write_behind::WriteBehindWorker) applies passes through
//! and is not counted: it was counted when it was accepted.
//!
//! # Subjects
//!
//! A limit counts each subject separately; `by` defines the subject:
//!
//! | `by` | subject |
//! |---|---|
//! | `"user"` | the verified user ([`UserId`](crate::UserId)); if there is none, the address |
//! | `"ip"` | the client's address; of IPv6 the first 64 bits |
//! | `"header:x-key"` | a hash of the header; if the request does not have it, the address |
//! | `"route"` | the pattern of the route that matches, never the path; a slash at the end makes no difference; all paths without a route are one subject; a limit with a `path` counts [every writing](crate::cache#ambiguous-paths) of it under one route |
//!
//! A bearer token that has not been verified does not name a user, so a client gains nothing by sending
//! another one. A client can choose the value of a header: put a limit by address in front of a limit
//! by header. A field with the client's address is read only behind `trusted_proxies`, and only the
//! `ip_header` that they write.
//!
//! The server must provide the address from which a request comes. In axum: the feature `axum` and
//! `app.into_make_service_with_connect_info::<SocketAddr>()`. In tonic: the feature `tonic`.
//! Elsewhere: a [`SocketAddr`](std::net::SocketAddr) in the request's extensions, or
//! [`Keep::peer`](crate::Keep::peer). Without it, all requests without a user **share one counter**,
//! and a warning is logged once.
//!
//! # How requests are counted
//!
//! [`Quota`] compares the three algorithms. By default, at most the limit is admitted in every interval
//! as long as the window, and only what would exceed that is refused: `Retry-After` and the `t` of
//! `RateLimit` are when the oldest of the counted requests leaves the window, never more than a window
//! away. Times are whole microseconds of one clock: the Redis server's, or, without Redis, this
//! process's monotonic clock. All limits of one subject are
//! decided in one atomic step (in Redis by one script): all of them admit, or nothing is charged.
//! Limits of different subjects are decided one after the other, the strictest first; if one
//! refuses, the charges of the earlier ones are refunded. A refund removes what that request was
//! charged, and nothing else. The charge of a request that is dropped
//! before it reaches the inner service is refunded, too. A cost above the limit is always refused;
//! a limit of 0 refuses everything.
//!
//! After a change of `algorithm`, counters start from zero. If two processes count one limit by
//! different algorithms, each resets the counters of the other; where this matters, rename the
//! limit.
//!
//! # Responses
//!
//! Every response has `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10). A
//! refusal is a 429 (RFC 6585) with a `Retry-After` of at least one second and problem details (RFC
//! 9457). A refused gRPC request gets `RESOURCE_EXHAUSTED`, trailers-only, with
//! `grpc-retry-pushback-ms` and `RetryInfo`. If a cost will never be admitted, `Retry-After` is the
//! window and the pushback is negative. The inner service finds the [`Decision`] in the request's
//! extensions.
//!
//! # When Redis does not answer
//!
//! Each limit acts by its `on_error`: `local` counts in this process with the same limit, starting
//! from zero; `open` admits; `closed` answers 503 (gRPC: `UNAVAILABLE`). This applies when Redis is
//! unavailable, takes longer than the deadline, or answers with an error, for example a primary
//! that has become a replica (`READONLY`). If Redis fails between two subjects of one request, the
//! charge of the first is refunded if the second refuses, and kept if the request is admitted. If
//! Redis answers after the deadline, it has counted nevertheless: the subject gets less than its
//! limit, never more.
//!
//! This process refuses a subject that Redis has refused without asking Redis again, until the subject
//! could be admitted, but for at most ten seconds, so that a reset or a refund by another process takes
//! effect.
//!
//! A Redis that restarts empty, or fails over to a replica without the latest counters, continues with
//! the counters it has: at most one more limit is admitted, and no request fails. Scripts that Redis
//! has flushed are loaded again. Keep a long quota that must survive this in a database.
//!
//! # Bad input
//!
//! | input | effect |
//! |---|---|
//! | a limit of 0 | refuses everything |
//! | a window of 0 or longer than 366 days; a limit above 10¹² | an error of the table, or of [`Quota::new`] |
//! | a cost above the limit | refused and not charged; the client is not asked to retry soon |
//! | a cost header that is not a number, or 0 | costs one unit; of several lines the largest number counts |
//! | a user or header of any length and bytes | is escaped, and hashed if long |
//! | a million subjects of one attacker | memory stays bounded, and no subject that has reached its limit is admitted; see below |
//! | the clock of the Redis host steps forward | as if that time had passed |
//! | the clock of the Redis host steps back | no subject is admitted more; a sliding window refuses for at most a window, the other algorithms may refuse until the clock shows the earlier time again |
//! | a counter of another algorithm or of an earlier format, or other bytes, under the key | counting starts from zero |
//!
//! # Memory
//!
//! What a subject takes under one limit, with a key of 40 bytes, in this process and in Redis:
//!
//! | algorithm | in this process | in Redis |
//! |---|---|---|
//! | sliding window, limit of 1 to 3 | 180 bytes | at most 300 bytes |
//! | sliding window, limit up to 128 | 180 bytes and 12 to 15 for each admission in the window, at most 2.4 KB | 330 bytes and 12 for each admission in the window, at most 2 KB |
//! | sliding window, limit above 128 | at most 1.4 KB | at most 2 KB |
//! | fixed window, GCRA | 180 bytes | 140 bytes |
//!
//! Admissions in the same microsecond, or above a limit of 128 in the same 64th of the window, are kept
//! as one.
//!
//! A process holds at most 131,072 local counters and 65,536 known refusals, about 26 MB and 15 MB,
//! and what sliding windows take beyond 180 bytes. Of the counters, one limit takes at most half. A new
//! subject that finds no room, because no window of the others has passed, is counted approximately, in
//! memory of its limit's own, which grows with its subjects up to 16 MB, and is given back after two
//! windows without new subjects. All limits together take at most 250 MB.
//!
//! An approximate count may refuse a subject that has used more than half of its quota, and takes no
//! refunds. With a million subjects that have reached one limit, fewer than 1 % of its new subjects are
//! refused before that, and none of another limit's. With many more, new subjects replace those that have
//! used at most half of their quota, whose count begins anew, or are refused if there are none.

mod admission;
mod applied_limit;
mod config;
mod cost;
mod decision;
mod fields;
mod future;
mod grpc;
mod layer;
mod local_decision;
mod post_process;
mod refund;
mod refusal;
mod select;
mod service;
mod store_decision;
mod subject;

pub use self::{
    decision::{Decision, LimitDecision},
    fields::Reset,
    future::ResponseFuture,
    layer::RateLimitLayer,
    service::RateLimit,
};
pub use crate::quota::Quota;
