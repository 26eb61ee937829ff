//! Caching, rate limiting and cache invalidation as composable tower layers, in one process or shared
//! over Redis.
//!
//! | layer | what it does |
//! |---|---|
//! | [`CacheLayer`] | answers from stored responses (RFC 9111); on a miss, calls the inner service and stores its response |
//! | [`RateLimitLayer`] | admits or refuses requests by user, address, route or header |
//! | [`InvalidateLayer`] | after a successful write, makes the stored responses it changed unusable |
//! | [`WriteBehindLayer`] | puts a write into a durable queue and answers 202; a worker applies it later |
//!
//! One [`Table`] configures all of them. They share one handle, [`Keep`], which is also the cache API for
//! code that is not a request handler. Without Redis everything works in one process; with Redis, any
//! number of processes share a keep, and each has a small local tier in front.
//!
//! # Quick start
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, routing::get};
//! use tower::ServiceExt;
//! use tower_keep::{
//!     CacheLayer, InvalidateLayer, Keep, Limit, RateLimitLayer, Route, Scope, Table, table::mins,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_keep::Error> {
//! let table = Table::new()
//!     .ttl("engagement", mins(30))
//!     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public))
//!     .limit(Limit::new("api", 100, mins(1)));
//! let keep = Keep::new(table)?;
//!
//! let app: Router = Router::new()
//!     .route("/engagements/{id}", get(async || "an engagement"))
//!     .layer((
//!         RateLimitLayer::new(&keep),
//!         InvalidateLayer::new(&keep),
//!         CacheLayer::new(&keep),
//!     ));
//!
//! for expected in ["tower-keep; fwd=uri-miss; stored", "tower-keep; hit; ttl="] {
//!     let request = Request::get("/engagements/42").body(Body::empty()).unwrap();
//!     let response = app.clone().oneshot(request).await.unwrap();
//!     assert!(response.headers()["cache-status"].to_str().unwrap().starts_with(expected));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without any table, `CacheLayer::new(&Keep::default()).ttl(mins(5))` keeps every response to a GET that
//! may be shared for five minutes.
//!
//! To share the keep with other processes, replace `Keep::new(table)?` by
//! `Keep::with_store(table, RedisStore::connect("redis://127.0.0.1/").await?).await?`.
//!
//! # Order of the layers
//!
//! From the outermost to the innermost: trace and CORS, limits by address, authentication, limits by
//! user, [`WriteBehindLayer`], [`InvalidateLayer`], [`CacheLayer`], the handler. **Authentication must be outside the cache**:
//! a hit does not reach what is inside it. The page [`guide::layers`] has the reasons and a complete
//! server.
//!
//! # Where to find what
//!
//! | question | page |
//! |---|---|
//! | What does the table configure? | [`guide::table`] |
//! | Which layer goes where? | [`guide::layers`] |
//! | What must the inner service implement? Why does it not compile? | [`guide::inner_service`] |
//! | What is stored, for whom, and for how long? | [`cache`] |
//! | Which limits apply, and how do they count? | [`rate_limit`] |
//! | What does a write invalidate? What is guaranteed? | [`invalidate`], [`invalidate::protocol`] |
//! | How do I accept writes at once and apply them later? | [`guide::write_behind`], [`write_behind`] |
//! | How do I cache values in my own code? | [`Keep::get_or_set`], [`keep`] |
//! | How do I run it with Redis? | `guide::redis` |
//! | What should I monitor? | [`guide::operations`] |
//! | How do I test my server? | [`testing`] |
//! | How do I migrate? | from [redis-py](guide::from_redis_py), [tower-http-cache](guide::from_tower_http_cache), [tower_governor](guide::from_tower_governor) |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `axum` | yes | inside `nest`, keys come from the path as received; client addresses from `ConnectInfo`. Without it, nested routers share keys |
//! | `redis` | yes | `RedisStore`: one Redis or Valkey server, Sentinels, or a Cluster |
//! | `tls` | | `rediss://` addresses |
//! | `tonic` | | request bodies of tonic; client addresses from `TcpConnectInfo` |
//! | `macros` | | the attributes `cached` and `invalidates`, for functions of the application |
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod cache;
mod clock;
mod engine;
mod error;
// Without the feature `redis` there is no shared store, so the code for it is unused.
#[cfg_attr(not(feature = "redis"), allow(dead_code, unused_imports))]
mod fence;
pub mod guide;
mod identity;
pub mod invalidate;
pub mod keep;
mod key;
pub mod message;
mod metrics;
#[cfg_attr(not(feature = "redis"), allow(unused_imports))]
mod quota;
pub mod rate_limit;
#[cfg(test)]
mod schedule;
mod semantics;
#[cfg_attr(not(feature = "redis"), allow(dead_code, unused_imports))]
mod store;
pub mod table;
pub mod testing;
pub mod write_behind;
mod write_queue;

// Starts real Redis servers for the tests in this crate.
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

/// Entry points for the fuzz targets of this repository; not part of the public API.
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "fuzz/mod.rs"]
pub mod __fuzz;

pub use cache::CacheLayer;
pub use error::{BoxError, Error};
pub use identity::UserId;
pub use invalidate::InvalidateLayer;
pub use keep::Keep;
pub use key::Key;
pub use rate_limit::RateLimitLayer;
#[cfg(feature = "redis")]
pub use store::redis::{RedisStore, RedisStoreBuilder};
pub use table::{Limit, Route, Scope, Table};
/// ```
/// use tower_keep::{Keep, Key, Table, cached, invalidates, table::secs};
///
/// # struct Db;
/// # impl Db {
/// #     async fn name(&self, _: u32) -> Result<String, std::io::Error> { Ok("a name".into()) }
/// #     async fn rename(&self, _: u32, _: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # }
/// #[cached(key = "engagement:{id}", ttl = "30m")]
/// async fn name(keep: &Keep, db: &Db, id: u32) -> Result<String, std::io::Error> {
///     db.name(id).await
/// }
///
/// #[invalidates("engagement:{id}", "engagement:{id}:*")]
/// async fn rename(keep: &Keep, db: &Db, id: u32, name: &str) -> Result<(), std::io::Error> {
///     db.rename(id, name).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keep::Error> {
/// let keep = Keep::new(Table::new())?;
/// assert_eq!(name(&keep, &Db, 42).await.unwrap(), "a name");
/// let key = Key::new("engagement").id(42);
/// assert!(keep.ttl(&key).await.duration() > Some(secs(1500)));
/// rename(&keep, &Db, 42, "another").await.unwrap();
/// assert!(!keep.exists(&key).await);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "macros")]
pub use tower_keep_macros::{cached, invalidates};
pub use write_behind::{WriteBehindLayer, WriteBehindWorker};

/// The README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
