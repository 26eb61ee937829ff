//! The decision of a request's limits, as the application sees it.

use std::{fmt, sync::Arc, time::Duration};

use smallvec::SmallVec;

use crate::quota::{QuotaOutcome, QuotaPolicy};

/// The decision of all limits that apply to a request: an extension of an admitted request, and the
/// argument of [`refuse_with`](super::RateLimitLayer::refuse_with) for a refused one.
///
/// If several [`RateLimitLayer`](super::RateLimitLayer)s admit a request, one extension has the
/// decisions of all.
#[derive(Clone, Default)]
pub struct Decision {
    pub(super) limits: SmallVec<[LimitDecision; 1]>,
}

/// The decision of one limit.
#[derive(Clone)]
pub struct LimitDecision {
    pub(super) policy: Arc<QuotaPolicy>,
    pub(super) outcome: QuotaOutcome,
    pub(super) shadow: bool,
    /// `false` if the store did not answer and the limit's `on_error` is `open` or `closed`.
    pub(super) counted: bool,
}

impl Decision {
    /// Whether no limit refused the request, ignoring shadow limits.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.refusals().next().is_none()
    }

    /// The decision of each limit that was applied.
    pub fn limits(&self) -> impl Iterator<Item = &LimitDecision> {
        self.limits.iter()
    }

    /// The decision of the limit of this name; `None` if it was not applied.
    #[must_use]
    pub fn limit(&self, name: &str) -> Option<&LimitDecision> {
        self.limits.iter().find(|limit| limit.name() == name)
    }

    /// The time until an equal request would be admitted, if nothing else is used until then; `None`
    /// if this request was admitted, or no equal one ever will be.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let longest = self
            .refusals()
            .map(|limit| limit.outcome.retry_after)
            // `None` means never, which is the longest.
            .max_by_key(|after| after.map_or((true, 0), |after| (false, after)));
        longest.flatten().map(Duration::from_micros)
    }

    /// The limits that refused the request, ignoring shadow limits.
    pub(super) fn refusals(&self) -> impl Iterator<Item = &LimitDecision> {
        self.limits
            .iter()
            .filter(|limit| !limit.shadow && !limit.is_admitted())
    }

    /// The limits that response fields report.
    pub(super) fn reported(&self) -> impl Iterator<Item = &LimitDecision> + Clone {
        self.limits
            .iter()
            .filter(|limit| !limit.shadow && limit.counted)
    }
}

impl LimitDecision {
    /// The limit's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.policy.name
    }

    /// Whether the limit admitted the request. A refusal by a shadow limit has no effect.
    #[must_use]
    pub fn is_admitted(&self) -> bool {
        self.outcome.admitted
    }

    /// Whether the limit only reports and never refuses.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Quota units per window.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.policy.quota.limit()
    }

    /// The window in which the limit's units may be used.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.policy.quota.window()
    }

    /// Quota units left after this request.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.outcome.remaining
    }

    /// The time until an equal request would be admitted: zero if this one was, `None` if no equal one
    /// ever will be, because its cost exceeds the limit.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome.retry_after.map(Duration::from_micros)
    }

    /// The time until more quota units will be available; `None` if nothing is used.
    #[must_use]
    pub fn more_after(&self) -> Option<Duration> {
        self.outcome.more_after.map(Duration::from_micros)
    }

    /// The seconds of `Retry-After`: at least 1 and never before more units are available; the window if
    /// an equal request will never be admitted.
    pub(super) fn retry_seconds(&self) -> u64 {
        let micros = self.outcome.retry_after;
        let micros = micros.unwrap_or(self.policy.quota.window_micros());
        let more_after = self.outcome.more_after.unwrap_or(0);
        seconds(micros.max(more_after))
    }
}

/// Microseconds in whole seconds, rounded up, at least one.
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
