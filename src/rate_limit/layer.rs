use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request};
use tower_layer::Layer;

use super::{decision::Decision, fields::Reset, refusal::Refuse, service::RateLimit};
use crate::{engine::core::Engine, keep::Keep};

/// Applies the table's limits to requests. See the [module](super).
///
/// Counters belong to the [`Keep`]: every clone of this layer, every service it makes and every
/// other layer of the same keep count together.
#[derive(Clone)]
#[must_use]
pub struct RateLimitLayer {
    shared: Arc<Engine>,
    options: Arc<Options>,
}

/// What a layer was given beside the table.
#[derive(Clone, Default)]
pub(super) struct Options {
    only: Option<Box<[Box<str>]>>,
    pub(super) reset: Option<Reset>,
    pub(super) refuse: Option<Arc<Refuse>>,
    pub(super) cost: Option<Arc<Cost>>,
}

type Cost = dyn Fn(&request::Parts) -> u64 + Send + Sync;

impl RateLimitLayer {
    /// Applies every limit of the keep's table.
    pub fn new(keep: &Keep) -> Self {
        Self {
            shared: Arc::clone(keep.engine()),
            options: Arc::default(),
        }
    }

    /// Applies the limits of these names only: those by address before authentication, say, and those
    /// by user behind it, in a layer of their own. A name that no limit has is warned of.
    ///
    /// ```
    /// use tower_keep::{Keep, Limit, RateLimitLayer, Table, table::{By, mins}};
    ///
    /// let keep = Keep::new(Table::new()
    ///     .limit(Limit::new("address", 1000, mins(1)).by([By::Ip]))
    ///     .limit(Limit::new("api", 100, mins(1)).by([By::User]))).unwrap();
    /// let before_authentication = RateLimitLayer::new(&keep).only(["address"]);
    /// let behind_it = RateLimitLayer::new(&keep).only(["api"]);
    /// # let _ = (before_authentication, behind_it);
    /// ```
    pub fn only<N: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Box<[Box<str>]> = names.into_iter().map(Into::into).collect();
        let snapshot = self.shared.snapshot.load();
        for name in &names {
            if !snapshot
                .plan
                .limits()
                .iter()
                .any(|limit| *limit.name == **name)
            {
                tracing::warn!(limit = %name, "no limit of the table has this name");
            }
        }
        drop(snapshot);
        Arc::make_mut(&mut self.options).only = Some(names);
        self
    }

    /// Takes the cost of a request from a function, in place of the table's `cost`. A request that
    /// costs 0 is not counted and not refused.
    pub fn cost<F>(mut self, cost: F) -> Self
    where
        F: Fn(&request::Parts) -> u64 + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.options).cost = Some(Arc::new(cost));
        self
    }

    /// Adds `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the limit that is nearest to
    /// refusing.
    pub fn x_ratelimit(mut self, reset: Reset) -> Self {
        Arc::make_mut(&mut self.options).reset = Some(reset);
        self
    }

    /// Answers refused requests by a function, in place of problem details. `Retry-After` (unless it
    /// is set) and the `RateLimit` fields are added. gRPC requests get a gRPC status all the same.
    pub fn refuse_with<F>(mut self, refuse: F) -> Self
    where
        F: Fn(&Decision, &request::Parts) -> Response<Bytes> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.options).refuse = Some(Arc::new(refuse));
        self
    }
}

impl Options {
    /// Whether a limit is applied here.
    #[inline]
    pub(super) fn selects(&self, name: &str) -> bool {
        let Some(only) = &self.only else { return true };
        only.iter().any(|selected| **selected == *name)
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::clone(&self.shared), Arc::clone(&self.options))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("only", &self.options.only)
            .field("x_ratelimit", &self.options.reset)
            .finish_non_exhaustive()
    }
}
