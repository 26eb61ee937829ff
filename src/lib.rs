//! Caching, rate limiting and invalidation over Redis as composable tower layers.
//!
//! | layer | does |
//! |---|---|
//! | [`CacheLayer`] | answers from stored responses, fills on a miss |
//! | [`RateLimitLayer`] | admits or refuses by user, address, route or header |
//! | [`InvalidateLayer`] | makes stored responses unusable after a successful write |
//!
//! All are driven by one [`Table`] and share one handle, [`Keep`], which is also the cache API for
//! code that is not a request handler. Without Redis everything works in one process; with it, any
//! number of processes share a keep, and each has a small local tier in front.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{CacheLayer, Keep, Route, Scope, Table, table::mins};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let table = Table::new()
//!     .ttl("engagement", mins(30))
//!     .route(Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public));
//! let keep = Keep::new(table)?;
//!
//! let handler = service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("an engagement".to_owned()))
//! });
//! let service = CacheLayer::new(&keep).layer(handler);
//!
//! for expected in ["tower-keep; fwd=uri-miss; stored", "tower-keep; hit; ttl="] {
//!     let request = Request::get("/engagements/42").body(String::new()).unwrap();
//!     let response = service.clone().oneshot(request).await.unwrap();
//!     assert!(response.headers()["cache-status"].to_str().unwrap().starts_with(expected));
//! }
//! # }
//! ```

pub mod cache;
mod clock;
mod engine;
mod error;
mod fence;
pub mod guide;
mod identity;
pub mod invalidate;
pub mod keep;
mod key;
pub mod message;
mod metrics;
mod quota;
pub mod rate_limit;
mod semantics;
mod store;
pub mod table;
pub mod testing;

// Starts real Redis servers for the contract suites in this crate.
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

/// Entry points for the fuzz targets of this repository; not part of the public API.
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "../fuzz/harness.rs"]
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

/// The README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
