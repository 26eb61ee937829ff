use metrics::{Counter, counter};

/// The metrics of one limit, `tower_keep_rate_limit_*`.
#[derive(Debug)]
pub(super) struct LimitMetrics {
    admitted: Counter,
    refused: Counter,
    shadow_refused: Counter,
    fallbacks: Counter,
}

/// What happened to a request under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitEvent {
    Admitted,
    Refused,
    /// A limit with `shadow = true` would have refused it.
    ShadowRefused,
    /// The store did not answer: `on_error` was applied.
    Fallback,
}

impl LimitMetrics {
    pub(super) fn register(limit: &str) -> Self {
        let limit = limit.to_owned();
        let requests = |result: &'static str| counter!("tower_keep_rate_limit_requests_total", "limit" => limit.clone(), "result" => result);
        Self {
            admitted: requests("admitted"),
            refused: requests("refused"),
            shadow_refused: requests("shadow_refused"),
            fallbacks: counter!("tower_keep_rate_limit_fallbacks_total", "limit" => limit),
        }
    }

    pub(super) fn count(&self, event: LimitEvent) {
        let counter = match event {
            LimitEvent::Admitted => &self.admitted,
            LimitEvent::Refused => &self.refused,
            LimitEvent::ShadowRefused => &self.shadow_refused,
            LimitEvent::Fallback => &self.fallbacks,
        };
        counter.increment(1);
    }
}
