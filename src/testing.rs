//! Helpers for tests of programs that use this crate: a keep with a manual clock, counters, and a parsed
//! `Cache-Status`.
//!
//! ```
//! use std::time::Duration;
//!
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_keep::{
//!     CacheLayer, Route, Scope, Table,
//!     table::mins,
//!     testing::{CacheStatus, TestKeep},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let keep = TestKeep::new(Table::new().ttl("engagement", mins(30)).jitter(0.0).route(
//!     Route::new("/engagements/{id}").key("engagement:{id}").scope(Scope::Public),
//! ));
//! let app = CacheLayer::new(&keep).layer(service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::new("an engagement".to_owned()))
//! }));
//! let request = || {
//!     let response = app.clone().oneshot(Request::get("/engagements/42").body(String::new()).unwrap());
//!     async { CacheStatus::of(&response.await.unwrap()) }
//! };
//!
//! let first = request().await;
//! assert!(first.is_stored());
//! assert_eq!(first.forward(), Some("uri-miss"));
//! keep.advance(mins(29));
//! let second = request().await;
//! assert!(second.is_hit());
//! assert_eq!(second.ttl(), Some(60));
//! keep.advance(Duration::from_secs(61));
//! assert!(!request().await.is_hit());
//! assert_eq!(keep.fills(), 2);
//! # }
//! ```

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Response;

use crate::{
    clock::{Clock, nanos},
    keep::handle::Keep,
    semantics::cache_report::CacheReport,
    table::Table,
};

/// A keep without Redis and with a clock that only [`advance`](Self::advance) moves.
///
/// It dereferences to a [`Keep`]. Clones share the clock.
#[derive(Clone, Debug)]
pub struct TestKeep {
    keep: Keep,
    nanos: Arc<AtomicU64>,
    began: u64,
}

impl TestKeep {
    /// Creates a keep with this table. Its wall clock begins at the current time.
    ///
    /// # Panics
    ///
    /// If the table is wrong; the message says what to write instead.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let nanos = Arc::new(AtomicU64::new(1));
        let clock = Clock::manual(Arc::clone(&nanos));
        let keep = Keep::with_clock(&table, clock).unwrap_or_else(|error| panic!("{error}"));
        let began = keep.engine().fence.position().n;
        Self { keep, nanos, began }
    }

    /// Advances the clock by `time`, for stored entries and quotas. Timeouts use tokio's clock,
    /// which is not advanced.
    pub fn advance(&self, time: Duration) {
        let add = |now: u64| Some(now.saturating_add(nanos(time)));
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }

    /// Removes all stored entries, as if they had expired.
    pub fn expire_all(&self) {
        self.keep.engine().tiers.clear_local();
    }

    /// The number of responses and values that have been stored so far.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.keep.engine().tiers.stored()
    }

    /// The number of invalidations so far. A write counts once, however many keys it changes.
    #[must_use]
    pub fn invalidations(&self) -> u64 {
        self.keep.engine().fence.position().n - self.began
    }
}

impl Deref for TestKeep {
    type Target = Keep;

    fn deref(&self) -> &Keep {
        &self.keep
    }
}

/// The `Cache-Status` field (RFC 9211) that a [`CacheLayer`](crate::CacheLayer) has added to a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus(CacheReport);

impl CacheStatus {
    /// Reads the field's entry of the outermost layer. A response that no layer has handled is
    /// neither a hit nor stored, and its [`forward`](Self::forward) is `None`.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Self {
        Self(CacheReport::of(response.headers()).unwrap_or_default())
    }

    /// Whether the response came from the cache.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.0.hit
    }

    /// Whether the inner service's response was stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.0.stored
    }

    /// Whether the response was fetched for another request at the same time.
    #[must_use]
    pub fn is_collapsed(&self) -> bool {
        self.0.collapsed
    }

    /// The remaining freshness lifetime in seconds; negative if the response is stale.
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        self.0.ttl
    }

    /// Why the inner service was called: `uri-miss`, `vary-miss`, `stale`, `request`, `method`,
    /// `bypass`, `partial` (RFC 9211 section 2.2).
    #[must_use]
    pub fn forward(&self) -> Option<&str> {
        self.0.forward.as_deref()
    }

    /// Why the response was not stored; or why a stale one is served: `stale-if-error` in place of a
    /// status, `service-error` in place of an error of the inner service, `backoff` without calling it,
    /// as it has just failed.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}
