//! When a fresh response or value is refreshed, before it becomes stale.

use std::time::Duration;

/// When a fresh response or value is due for a refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RefreshPolicy {
    /// It is due when it stays fresh for less than this.
    pub(crate) ahead: Option<Duration>,
    /// Whether it may be due earlier, at random.
    pub(crate) early: bool,
}

impl RefreshPolicy {
    /// Whether what took `cost` to make, and stays fresh for `left`, is due for a refresh.
    #[inline]
    pub(crate) fn is_due(&self, cost: Duration, left: Duration) -> bool {
        self.ahead.is_some_and(|ahead| left < ahead)
            || self.early && is_early(cost, left, fastrand::f64())
    }
}

/// How long values are used beyond their freshness, and when they are refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValuePolicy {
    pub(crate) refresh: RefreshPolicy,
    /// How long a stale value is used while it is refreshed.
    pub(crate) stale_while_revalidate: Duration,
    /// How long a stale value is used in place of an error.
    pub(crate) stale_if_error: Duration,
}

/// Optimal probabilistic early expiration (XFetch): the costlier a response and the nearer its
/// expiry, the likelier it is that one of many requests refreshes it before it expires. `chance` is
/// at least 0 and below 1.
fn is_early(cost: Duration, left: Duration, chance: f64) -> bool {
    left.as_secs_f64() < -cost.as_secs_f64() * (1.0 - chance).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_responses_near_their_expiry_are_likely_to_be_refreshed() {
        let refreshed = |cost, left| {
            let left = Duration::from_millis(left);
            let early = |n| is_early(Duration::from_millis(cost), left, f64::from(n) / 1000.0);
            (0..1000).filter(|n| early(*n)).count()
        };
        // The chance is e^(-left/cost).
        assert_eq!(refreshed(100, 100), 367);
        assert_eq!(refreshed(100, 200), 135);
        assert_eq!(refreshed(200, 200), 367);
        assert_eq!(refreshed(100, 10_000), 0);
        assert_eq!(refreshed(0, 1), 0);
    }

    #[test]
    fn without_a_policy_nothing_is_due() {
        let minute = Duration::from_secs(60);
        assert!(!RefreshPolicy::default().is_due(minute, Duration::from_nanos(1)));
        let ahead = RefreshPolicy {
            ahead: Some(minute),
            early: false,
        };
        assert!(ahead.is_due(Duration::ZERO, minute / 2) && !ahead.is_due(minute, minute));
    }
}
