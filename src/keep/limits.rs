//! Rate limits for code that is not a request handler, and whence requests come.

use std::{net::IpAddr, slice, time::Duration};

use http::Extensions;

use super::Keep;
use crate::{
    engine::limiter::Limiter,
    error::Error,
    key::Key,
    quota::{Charge, CombinedDecision, Quota, QuotaOutcome},
    store::contracts::limits::{Counter, Rule},
};

/// What [`Keep::rate_limit`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitResult(QuotaOutcome);

impl RateLimitResult {
    /// Whether the use is within the quota, and was counted.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.0.admitted
    }

    /// Quota units left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.0.remaining
    }

    /// After which the same would be allowed: zero if it was, `None` if it never will be.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after.map(Duration::from_micros)
    }

    /// After which more quota units will be available; `None` if nothing is used.
    #[must_use]
    pub fn more_after(&self) -> Option<Duration> {
        self.0.more_after.map(Duration::from_micros)
    }
}

impl Keep {
    /// Counts one use under `key` and says whether it is within the quota. What is not allowed is
    /// not counted.
    ///
    /// The last segment of the key is the subject, what stands before it the limit's name:
    /// `Key::new("api").id("user-123")` counts with the table's limit `api` of that user, in Redis
    /// under `ratelimit:api:{user-123}`. While the store does not answer, this process counts alone.
    ///
    /// ```
    /// # use tower_keep::{Keep, Key, Table, rate_limit::Quota};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let keep = Keep::new(Table::new()).unwrap();
    /// let key = Key::new("login").id("user-123");
    /// let allowance = keep.rate_limit(&key, Quota::per_minute(5)).await;
    /// assert!(allowance.allowed());
    /// assert_eq!(allowance.remaining(), 4);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have counted or not.
    pub async fn rate_limit(&self, key: &Key, quota: Quota) -> RateLimitResult {
        self.rate_limit_of(key, quota, 1).await
    }

    /// As [`rate_limit`](Self::rate_limit), for a use that costs more or less than one quota unit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, rate_limit::Quota};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("tokens").id("user-123");
    /// let allowance = keep.rate_limit_of(&key, Quota::per_minute(100), 30).await;
    /// assert_eq!(allowance.remaining(), 70);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have counted or not.
    pub async fn rate_limit_of(&self, key: &Key, quota: Quota, cost: u64) -> RateLimitResult {
        let limiter = &self.engine().limiter;
        let (subject, rule) = counted(key, quota, cost);
        if limiter.is_shared() {
            return ask(limiter, subject, rule).await;
        }
        RateLimitResult(limiter.acquire_one_locally(subject, &rule).outcome)
    }

    /// What is left under `key`, without counting. While the store does not answer, of what this
    /// process has counted alone.
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
    /// It changes nothing and can be dropped at any time.
    pub async fn peek_rate_limit(&self, key: &Key, quota: Quota) -> RateLimitResult {
        let (subject, rule) = counted(key, quota, 1);
        only(&self.engine().limiter.peek(subject, &[rule]).await)
    }

    /// Forgets what was used under `key`. Other processes that have seen its refusal may go on
    /// refusing for up to ten seconds.
    ///
    /// # Errors
    ///
    /// If the store does not answer. What this process counts by itself is forgotten all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the store may have forgotten it or not.
    pub async fn reset_rate_limit(&self, key: &Key) -> Result<(), Error> {
        let (subject, rule) = counted(key, Quota::per_second(0), 1);
        self.engine().limiter.reset(subject, &[rule]).await
    }

    /// Adds `amount` to a counter in one step and answers with the sum. The counter expires `ttl`
    /// after it was made; later calls do not prolong it.
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
    /// If the store does not answer, what lies under the key is no counter, or the sum is out of
    /// range. In one process, beyond 65,536 counters those that expire first are forgotten.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have counted or not.
    pub async fn increment(&self, key: &Key, amount: i64, ttl: Duration) -> Result<i64, Error> {
        self.engine()
            .limiter
            .increment(key.as_str(), amount, ttl)
            .await
    }

    /// Says from which address a request comes, where neither axum's `ConnectInfo` nor tonic's
    /// `TcpConnectInfo` nor a [`SocketAddr`](std::net::SocketAddr) among its extensions does.
    pub fn peer<F>(&self, peer: F)
    where
        F: Fn(&Extensions) -> Option<IpAddr> + Send + Sync + 'static,
    {
        self.engine().limiter.set_peer(Box::new(peer));
    }
}

/// What the store says, or what it is known to say.
async fn ask(limiter: &Limiter, subject: &[u8], rule: Rule<'_>) -> RateLimitResult {
    let rules = slice::from_ref(&rule);
    if let Some(known) = limiter.known_refusals(subject, rules) {
        let decision = known.first().copied().flatten();
        return allowance(decision.map(|decision| decision.outcome));
    }
    match limiter.acquire(subject, rules).await {
        Ok(decision) => only(&decision),
        Err(_) => RateLimitResult(limiter.acquire_one_locally(subject, &rule).outcome),
    }
}

/// The subject of a key, and the rule for it.
#[inline]
fn counted(key: &Key, quota: Quota, cost: u64) -> (&[u8], Rule<'_>) {
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

/// At the last colon.
#[inline]
fn split(text: &str) -> (&str, &[u8]) {
    match memchr::memrchr(b':', text.as_bytes()) {
        Some(at) => (&text[..at], &text.as_bytes()[at + 1..]),
        None => ("", text.as_bytes()),
    }
}

fn only(decision: &CombinedDecision) -> RateLimitResult {
    allowance(decision.by_rule.first().map(|decision| decision.outcome))
}

/// One rule has one decision; without it nothing is allowed.
fn allowance(outcome: Option<QuotaOutcome>) -> RateLimitResult {
    RateLimitResult(outcome.unwrap_or(QuotaOutcome {
        admitted: false,
        remaining: 0,
        retry_after: Some(1_000_000),
        more_after: None,
    }))
}
