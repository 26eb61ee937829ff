use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Response, request};
use tower_layer::Layer;

use super::{config::Config, decision::Decision, fields::Reset, service::RateLimit};
use crate::{keep::handle::Keep, table::OneOrMany};

/// Applies the table's limits to requests. See the [module](super).
///
/// Counters belong to the [`Keep`]: all clones of this layer, all services it makes and all other
/// layers of the same keep count together.
#[derive(Clone)]
#[must_use]
pub struct RateLimitLayer {
    config: Arc<Config>,
}

impl RateLimitLayer {
    /// Applies every limit of the keep's table.
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                only: None,
                cost: None,
                x_ratelimit: None,
                refuse: None,
            }),
        }
    }

    /// Applies only the limits with these names: for example, limits by address before
    /// authentication, and limits by user in a second layer after it. A name that no limit has is
    /// logged.
    ///
    /// ```
    /// use tower_keep::{Keep, Limit, RateLimitLayer, Table, table::{By, mins}};
    ///
    /// let keep = Keep::new(Table::new()
    ///     .limit(Limit::new("address", 1000, mins(1)).by(By::Ip))
    ///     .limit(Limit::new("api", 100, mins(1)).by(By::User))).unwrap();
    /// let before_authentication = RateLimitLayer::new(&keep).only("address");
    /// let after_authentication = RateLimitLayer::new(&keep).only(["api"]);
    /// # let _ = (before_authentication, after_authentication);
    /// ```
    pub fn only<Shape: ?Sized>(mut self, names: impl OneOrMany<Box<str>, Shape>) -> Self {
        let names = names.into_vec();
        let snapshot = self.config.engine().snapshot.load();
        let limits = snapshot.plan.limits();
        for name in &names {
            if !limits.iter().any(|limit| *limit.name == **name) {
                tracing::warn!(limit = %name, "no limit of the table has this name");
            }
        }
        drop(snapshot);
        self.config_mut().only = Some(names.into());
        self
    }

    /// Sets a function that computes the cost of each request, in place of the table's `cost`. A request
    /// that costs 0 is neither counted nor refused.
    pub fn cost<F>(mut self, cost: F) -> Self
    where
        F: Fn(&request::Parts) -> u64 + Send + Sync + 'static,
    {
        self.config_mut().cost = Some(Arc::new(cost));
        self
    }

    /// Adds `X-RateLimit-Limit`, `-Remaining` and `-Reset` to responses. They report the limit that
    /// has the smallest share of its quota left.
    pub fn x_ratelimit(mut self, reset: Reset) -> Self {
        self.config_mut().x_ratelimit = Some(reset);
        self
    }

    /// Sets a function that makes the response to a refused request, in place of problem details.
    /// The layer adds the `RateLimit` fields and, if the response has none, `Retry-After`. A
    /// refused gRPC request still gets a gRPC status.
    pub fn refuse_with<F>(mut self, refuse: F) -> Self
    where
        F: Fn(&Decision, &request::Parts) -> Response<Bytes> + Send + Sync + 'static,
    {
        self.config_mut().refuse = Some(Arc::new(refuse));
        self
    }

    fn config_mut(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("only", &self.config.only)
            .field("x_ratelimit", &self.config.x_ratelimit)
            .finish_non_exhaustive()
    }
}
