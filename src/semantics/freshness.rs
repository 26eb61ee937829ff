//! Freshness and age (RFC 9111 section 4.2).

use std::time::Duration;

/// How long a stored response may be used, and on what terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `freshness_lifetime`, capped by the table's `max`.
    pub(crate) fresh: Duration,
    /// `corrected_initial_age` when the response was received.
    pub(crate) initial_age: Duration,
    /// RFC 5861 section 3, after the end of freshness.
    pub(crate) stale_while_revalidate: Duration,
    /// RFC 5861 section 4, after the end of freshness.
    pub(crate) stale_if_error: Duration,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: never used stale.
    pub(crate) must_revalidate: bool,
    /// `no-cache`: validated before every use.
    pub(crate) no_cache: bool,
    /// The lifetime is a guess of ours (section 4.2.2).
    pub(crate) heuristic: bool,
}

impl Lifetime {
    /// Age after `resident` time in the cache (section 4.2.3).
    pub(crate) fn age(&self, resident: Duration) -> Duration {
        self.initial_age.saturating_add(resident)
    }

    /// What is left of the freshness after `resident` time, `None` when stale.
    pub(crate) fn remaining(&self, resident: Duration) -> Option<Duration> {
        self.fresh
            .checked_sub(self.age(resident))
            .filter(|left| !left.is_zero())
    }
}
