use std::{fmt, sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::quota::{Outcome, Policy};

/// What the limits said about a request: a request extension of what was admitted, and what a
/// refusal is made from.
///
/// Several [`RateLimitLayer`](super::RateLimitLayer)s write into one.
#[derive(Clone, Default)]
pub struct Decision {
    pub(super) limits: SmallVec<[LimitDecision; 1]>,
}

/// What one limit said.
#[derive(Clone)]
pub struct LimitDecision {
    pub(super) policy: Arc<Policy>,
    pub(super) outcome: Outcome,
    pub(super) shadow: bool,
    pub(super) known: Known,
}

/// Whose word it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The counter's.
    Counted,
    /// The store did not answer, and the limit says what to do then.
    Unavailable,
}

impl Decision {
    /// Whether no limit refused, those with `shadow = true` aside.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.violated().next().is_none()
    }

    /// The limits that applied, each with what it said.
    pub fn limits(&self) -> impl Iterator<Item = &LimitDecision> {
        self.limits.iter()
    }

    /// What one limit said.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<&LimitDecision> {
        self.limits.iter().find(|limit| limit.name() == name)
    }

    /// After which an equal request would be admitted, if nothing else is used until then; `None`
    /// if this one was admitted, or none like it ever will be.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let longest = self
            .violated()
            .map(|limit| limit.outcome.retry_after)
            .max_by_key(
                // never is the longest
                |after| after.map_or((true, 0), |after| (false, after)),
            );
        longest.flatten().map(Duration::from_micros)
    }

    /// Those that refused and count.
    pub(super) fn violated(&self) -> impl Iterator<Item = &LimitDecision> {
        self.limits
            .iter()
            .filter(|limit| !limit.shadow && !limit.is_admitted())
    }

    /// Those that a client is told of.
    pub(super) fn told(&self) -> impl Iterator<Item = &LimitDecision> + Clone {
        self.limits
            .iter()
            .filter(|limit| !limit.shadow && limit.known == Known::Counted)
    }
}

impl LimitDecision {
    /// The limit's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.policy.name
    }

    /// Whether it admitted the request. A shadow's refusal has no consequence.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.outcome.admitted
    }

    /// Whether it only watches.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Quota units per window.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.policy.quota.limit()
    }

    /// The time in which they may be used.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.policy.quota.window()
    }

    /// Quota units left after this request.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.outcome.remaining
    }

    /// After which an equal request would be admitted: zero if this one was, `None` if none ever will
    /// be, because its cost exceeds the limit.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome.retry_after.map(Duration::from_micros)
    }

    /// After which more quota units will be available; `None` if nothing is used.
    #[must_use]
    pub fn more_after(&self) -> Option<Duration> {
        self.outcome.more_after.map(Duration::from_micros)
    }

    /// Seconds for `Retry-After`, never 0: of what will never be admitted the window.
    pub(super) fn retry_seconds(&self) -> u64 {
        let micros = self.outcome.retry_after;
        let micros = micros.unwrap_or(self.policy.quota.window_micros());
        let reset = self.outcome.more_after.unwrap_or(0);
        seconds(micros.max(reset))
    }
}

/// Whole seconds, rounded up, at least one.
pub(super) fn seconds(micros: u64) -> u64 {
    micros.div_ceil(1_000_000).max(1)
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.limits).finish()
    }
}

impl fmt::Debug for LimitDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitDecision")
            .field("name", &self.policy.name)
            .field("admitted", &self.outcome.admitted)
            .field("shadow", &self.shadow)
            .field("remaining", &self.outcome.remaining)
            .finish_non_exhaustive()
    }
}
