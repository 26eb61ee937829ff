//! Rate limits and counters for code that is not a request handler, and the source of client
//! addresses.

use std::{net::IpAddr, slice, time::Duration};

use http::Extensions;

use super::handle::Keep;
use crate::{
    error::Error,
    key::Key,
    quota::{Charge, Quota, QuotaOutcome, RuleDecision},
    store::contracts::limits::{Counter, Rule},
};

/// The decision of [`Keep::rate_limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitResult(QuotaOutcome);

impl RateLimitResult {
    /// Whether the use is within the quota and has been counted.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.0.admitted
    }

    /// The quota units that are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.0.remaining
    }

    /// The time until the same use would be allowed: zero if it was allowed, `None` if it never will be.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after.map(Duration::from_micros)
    }

    /// The time until more quota units are available; `None` if none are used.
    #[must_use]
    pub fn more_after(&self) -> Option<Duration> {
        self.0.more_after.map(Duration::from_micros)
    }
}

impl Keep {
    /// Counts one use under `key` if it is within the quota, and returns the decision.
    ///
    /// The last segment of the key is the subject, the segments before it are the name of the limit:
    /// `Key::new("api").id("user-123")` counts together with the table's limit `api` for that user, in
    /// Redis under `ratelimit:api:{user-123}`. While Redis does not answer, this process counts on
    /// its own.
    ///
    /// ```
    /// # use tower_keep::{Keep, Key, Table, rate_limit::Quota};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let keep = Keep::new(Table::new()).unwrap();
    /// let key = Key::new("login").id("user-123");
    /// let result = keep.rate_limit(&key, Quota::per_minute(5)).await;
    /// assert!(result.allowed());
    /// assert_eq!(result.remaining(), 4);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the use may have been counted or not.
    pub async fn rate_limit(&self, key: &Key, quota: Quota) -> RateLimitResult {
        self.rate_limit_of(key, quota, 1).await
    }

    /// [`rate_limit`](Self::rate_limit) for a use that costs `cost` quota units.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, rate_limit::Quota};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("tokens").id("user-123");
    /// let result = keep.rate_limit_of(&key, Quota::per_minute(100), 30).await;
    /// assert_eq!(result.remaining(), 70);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the use may have been counted or not.
    pub async fn rate_limit_of(&self, key: &Key, quota: Quota, cost: u64) -> RateLimitResult {
        let limiter = &self.engine().limiter;
        let (subject, rule) = subject_and_rule(key, quota, cost);
        let rules = slice::from_ref(&rule);
        // The store has refused recently, and would refuse again.
        if let Some(known) = limiter.known_refusals(subject, rules) {
            return result(known.first().and_then(Option::as_ref));
        }
        if limiter.is_shared()
            && let Ok(decision) = limiter.acquire(subject, rules).await
        {
            return result(decision.by_rule.first());
        }
        RateLimitResult(limiter.acquire_one_locally(subject, &rule).outcome)
    }

    /// Returns the decision for one use under `key` without counting it. While Redis does not answer,
    /// it considers only what this process has counted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, rate_limit::Quota};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("login").id("user-123");
    /// keep.rate_limit(&key, Quota::per_minute(5)).await;
    /// assert_eq!(keep.peek_rate_limit(&key, Quota::per_minute(5)).await.remaining(), 4);
    /// keep.reset_rate_limit(&key).await?;
    /// assert_eq!(keep.peek_rate_limit(&key, Quota::per_minute(5)).await.remaining(), 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn peek_rate_limit(&self, key: &Key, quota: Quota) -> RateLimitResult {
        let (subject, rule) = subject_and_rule(key, quota, 1);
        let decision = self.engine().limiter.peek(subject, &[rule]).await;
        result(decision.by_rule.first())
    }

    /// Resets the count under `key` to zero. Another process that has refused a use under this key may
    /// continue to refuse for up to ten seconds.
    ///
    /// # Errors
    ///
    /// If Redis does not answer. This process's own count is reset nevertheless.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the count may have been reset or not.
    pub async fn reset_rate_limit(&self, key: &Key) -> Result<(), Error> {
        let (subject, rule) = subject_and_rule(key, Quota::per_second(0), 1);
        self.engine().limiter.reset(subject, &[rule]).await
    }

    /// Adds `amount` to a counter atomically, and returns the new value. A counter expires `ttl` after
    /// it was created; later calls do not change that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, table::mins};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let visits = Key::new("visits").id(42);
    /// assert_eq!(keep.increment(&visits, 1, mins(1)).await?, 1);
    /// assert_eq!(keep.increment(&visits, 5, mins(1)).await?, 6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If Redis does not answer, the key holds something other than a counter, or the sum is out of
    /// range. Without Redis, at most 65,536 counters are kept; beyond that, those that expire first
    /// are dropped.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the amount may have been added or not.
    pub async fn increment(&self, key: &Key, amount: i64, ttl: Duration) -> Result<i64, Error> {
        let limiter = &self.engine().limiter;
        limiter.increment(key.as_str(), amount, ttl).await
    }

    /// Returns the value of a counter; `None` if it was never incremented, or has expired.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, table::mins};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let visits = Key::new("visits").id(42);
    /// assert_eq!(keep.counter(&visits).await?, None);
    /// keep.increment(&visits, 3, mins(1)).await?;
    /// assert_eq!(keep.counter(&visits).await?, Some(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If Redis does not answer, or the key holds something other than a counter.
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn counter(&self, key: &Key) -> Result<Option<i64>, Error> {
        self.engine().limiter.counter(key.as_str()).await
    }

    /// Sets the function that finds the address of the client's connection, for requests that have
    /// neither axum's `ConnectInfo` (feature `axum`) nor tonic's `TcpConnectInfo` (feature `tonic`) nor
    /// a [`SocketAddr`](std::net::SocketAddr) in their extensions.
    pub fn peer<F>(&self, peer: F)
    where
        F: Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    {
        self.engine().limiter.set_peer(Box::new(peer));
    }
}

/// The subject of a key, and the rule that is applied to it.
#[inline]
fn subject_and_rule(key: &Key, quota: Quota, cost: u64) -> (&[u8], Rule<'_>) {
    let text = key.as_str();
    let text = text.strip_prefix("ratelimit:").unwrap_or(text);
    let (name, subject) = split(text);
    let rule = Rule {
        limit: Counter { name, rest: b"" },
        charge: Charge {
            quota,
            cost,
            shadow: false,
        },
    };
    (subject, rule)
}

/// The limit's name and the subject, which the last colon separates.
#[inline]
fn split(text: &str) -> (&str, &[u8]) {
    match memchr::memrchr(b':', text.as_bytes()) {
        Some(at) => (&text[..at], &text.as_bytes()[at + 1..]),
        None => ("", text.as_bytes()),
    }
}

/// The result of a decision; without one, the use is refused.
fn result(decision: Option<&RuleDecision>) -> RateLimitResult {
    let refused = QuotaOutcome {
        admitted: false,
        remaining: 0,
        retry_after: Some(1_000_000),
        more_after: None,
    };
    RateLimitResult(decision.map_or(refused, |decision| decision.outcome))
}
