//! For tests of programs that use the crate: a keep whose clock moves by hand, counters, and what
//! `Cache-Status` says.
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
//! let ask = || {
//!     let request = Request::get("/engagements/42").body(String::new()).unwrap();
//!     let app = app.clone();
//!     async { CacheStatus::of(&app.oneshot(request).await.unwrap()) }
//! };
//!
//! let first = ask().await;
//! assert!(first.is_stored());
//! assert_eq!(first.forward(), Some("uri-miss"));
//! keep.advance(mins(29));
//! let second = ask().await;
//! assert!(second.is_hit());
//! assert_eq!(second.ttl(), Some(60));
//! keep.advance(Duration::from_secs(61));
//! assert!(!ask().await.is_hit());
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

use crate::{clock::Clock, keep::Keep, semantics::cache_report::CacheReport, table::Table};

/// A keep in this process alone, whose clock stands still until it is moved.
///
/// It is used as any [`Keep`]; every clone has the same clock.
#[derive(Clone, Debug)]
pub struct TestKeep {
    keep: Keep,
    nanos: Arc<AtomicU64>,
    began: u64,
}

impl TestKeep {
    /// A keep with this table. The wall clock begins at the present time.
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

    /// Moves the clock: what is stored, and what was used of quotas, grows older by `time`. Tokio's
    /// clock, which timeouts go by, is another.
    pub fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let add = |now: u64| Some(now.saturating_add(nanos));
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }

    /// Forgets whatever is stored, as if it had expired long ago.
    pub fn expire_all(&self) {
        self.keep.engine().local.clear();
    }

    /// How many responses and values have been stored so far.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.keep.engine().stored.load(Ordering::SeqCst)
    }

    /// How many invalidations there have been so far: one for each write, however many keys it
    /// changed.
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

/// What a response's `Cache-Status` field (RFC 9211) says of its way through a
/// [`CacheLayer`](crate::CacheLayer).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus(CacheReport);

impl CacheStatus {
    /// Of the layer nearest to the client. A response that has passed by every layer was neither a
    /// hit nor stored, and has no reason to have gone forward.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Self {
        Self(CacheReport::of(response.headers()).unwrap_or_default())
    }

    /// Whether it was answered from what was stored.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        self.0.hit
    }

    /// Whether the inner service's answer is being stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.0.stored
    }

    /// Whether it is the answer to another request that asked for the same at the same time.
    #[must_use]
    pub fn is_collapsed(&self) -> bool {
        self.0.collapsed
    }

    /// How long it stays fresh, in seconds; negative if it is stale.
    #[must_use]
    pub fn ttl(&self) -> Option<i64> {
        self.0.ttl
    }

    /// Why the inner service was asked: `uri-miss`, `vary-miss`, `stale`, `request`, `method`,
    /// `bypass`, `partial` (RFC 9211 section 2.2).
    #[must_use]
    pub fn forward(&self) -> Option<&str> {
        self.0.forward.as_deref()
    }

    /// Why it was not stored, or what else there is to say.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}
