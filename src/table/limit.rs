mod by;
mod cost;

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

pub use self::{by::By, cost::Cost};
use super::{one_or_many::OneOrMany, quantities};
use crate::quota::Algorithm;

/// `[[limit]]`: how many quota units a subject may use in a window of time.
///
/// Limits match independently of each other and of the routes: all that apply must admit a request.
///
/// ```
/// use tower_keep::table::{By, Limit, mins};
///
/// let limit = Limit::new("api", 100, mins(1)).by(By::User).path("/{*rest}");
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use]
pub struct Limit {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) methods: Vec<String>,
    #[serde(default = "by_user", deserialize_with = "by::one_or_many")]
    pub(crate) by: Vec<By>,
    pub(crate) limit: u64,
    #[serde(deserialize_with = "quantities::duration")]
    pub(crate) window: Duration,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    pub(crate) burst: Option<u64>,
    #[serde(default)]
    pub(crate) cost: Cost,
    #[serde(default)]
    pub(crate) refund_on: Vec<String>,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default)]
    pub(crate) shadow: bool,
    pub(crate) lease: Option<u64>,
    #[serde(default)]
    pub(crate) exempt: Vec<String>,
    #[serde(default)]
    pub(crate) plans: BTreeMap<String, u64>,
}

/// The switch for all limits: the table's `rate_limit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RateLimiting {
    /// Every limit is enforced as configured.
    #[default]
    On,
    /// Every limit behaves as with `shadow = true`.
    Shadow,
    /// Nothing is counted and nothing refused.
    Off,
}

/// The decision of a limit while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnError {
    /// Counts the request in this process, and decides by that count.
    #[default]
    Local,
    /// Admits the request.
    Open,
    /// Refuses the request.
    Closed,
}

impl Limit {
    /// At most `limit` quota units in each `window`, by user, on every path. A limit of 0 refuses
    /// everything.
    pub fn new(name: impl Into<String>, limit: u64, window: Duration) -> Self {
        Self {
            name: name.into(),
            path: None,
            methods: Vec::new(),
            by: by_user(),
            limit,
            window,
            algorithm: Algorithm::SlidingWindow,
            burst: None,
            cost: Cost::Fixed(1),
            refund_on: Vec::new(),
            on_error: OnError::Local,
            shadow: false,
            lease: None,
            exempt: Vec::new(),
            plans: BTreeMap::new(),
        }
    }

    /// Counts only requests of this path, in matchit's syntax; `/{*rest}` is every path but `/`.
    ///
    /// `/login` also counts `/login/` and `/login;x`, which many servers serve alike, and `/login/` counts
    /// `/login`. The case of letters is compared exactly: `/login` does not count `/Login`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Counts only requests of these methods, in upper or lower case; all methods if not given. GET
    /// includes HEAD, because servers answer HEAD with the handler of GET.
    pub fn methods<Shape: ?Sized>(mut self, methods: impl OneOrMany<String, Shape>) -> Self {
        self.methods = methods.into_vec();
        self
    }

    /// The subject to count by; with several parts, each combination is counted separately.
    pub fn by<Shape: ?Sized>(mut self, by: impl OneOrMany<By, Shape>) -> Self {
        self.by = by.into_vec();
        self
    }

    /// How requests are counted.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The quota units that [`Algorithm::Gcra`] admits at once; the limit if not given.
    pub fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// The quota units that one request costs; 1 if not given.
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// Response statuses that give the cost back: `5xx`, `404`.
    pub fn refund_on<Shape: ?Sized>(mut self, statuses: impl OneOrMany<String, Shape>) -> Self {
        self.refund_on = statuses.into_vec();
        self
    }

    /// The decision while the store does not answer.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Whether the limit decides and reports, but never refuses.
    pub fn shadow(mut self, yes: bool) -> Self {
        self.shadow = yes;
        self
    }

    /// The quota units that a process may take from the store in advance, to admit requests without
    /// asking the store for each.
    ///
    /// It has no effect yet, and [`Table::check`](crate::Table::check) warns of that: every decision
    /// asks the store, so the limit is exact.
    pub fn lease(mut self, amount: u64) -> Self {
        self.lease = Some(amount);
        self
    }

    /// Requests that are not counted: `user:admin`, `ip:10.0.0.0/8`, `path:/healthz`. A path is compared
    /// exactly at its end: `path:/healthz` does not exempt `/healthz/`.
    pub fn exempt<Shape: ?Sized>(mut self, subjects: impl OneOrMany<String, Shape>) -> Self {
        self.exempt = subjects.into_vec();
        self
    }

    /// The limit for users on this plan, in place of the general one.
    pub fn plan(mut self, name: impl Into<String>, limit: u64) -> Self {
        self.plans.insert(name.into(), limit);
        self
    }
}

fn by_user() -> Vec<By> {
    vec![By::User]
}
