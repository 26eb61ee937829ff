use metrics::{Counter, counter};

/// The metrics of one limit, `tower_keep_rate_limit_*`, in the order of [`LimitEvent`].
pub(super) struct LimitMetrics([Counter; 4]);

/// An event that is counted for one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitEvent {
    Admitted,
    Refused,
    /// A limit with `shadow = true` would have refused the request.
    ShadowRefused,
    /// The store did not answer, and `on_error` was applied.
    Fallback,
}

impl LimitMetrics {
    pub(super) fn register(limit: &str) -> Self {
        let limit = limit.to_owned();
        let requests = |result: &'static str| counter!("tower_keep_rate_limit_requests_total", "limit" => limit.clone(), "result" => result);
        Self([
            requests("admitted"),
            requests("refused"),
            requests("shadow_refused"),
            counter!("tower_keep_rate_limit_fallbacks_total", "limit" => limit),
        ])
    }

    pub(super) fn count(&self, event: LimitEvent) {
        self.0[event as usize].increment(1);
    }
}
