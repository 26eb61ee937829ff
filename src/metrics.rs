//! What is counted. Handles are registered once, when the keep is made, so the recorder must be
//! installed before.

use metrics::{Counter, Histogram, counter, histogram};

/// Counters of the cache, `tower_keep_cache_*`, and of application values, `tower_keep_value_*`.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    /// Answered from the local tier.
    pub(crate) hit_local: Counter,
    /// Answered from the store behind it.
    pub(crate) hit_store: Counter,
    /// Answered with a response past its freshness.
    pub(crate) hit_stale: Counter,
    /// Answered by another request's fill.
    pub(crate) collapsed: Counter,
    pub(crate) miss: Counter,
    /// Passed by the cache: method, scope, directive, bypass.
    pub(crate) bypass: Counter,
    /// Answered from the store after the inner service validated it.
    pub(crate) validated: Counter,
    /// Application values that were there.
    pub(crate) value_hit: Counter,
    /// Application values that another caller was making.
    pub(crate) value_collapsed: Counter,
    pub(crate) value_miss: Counter,
    pub(crate) stored: Counter,
    /// Not stored: the answer forbids it, or is too large, or was cut short.
    pub(crate) refused: Counter,
    pub(crate) fill_failed: Counter,
    pub(crate) refresh: Counter,
    /// Refreshes left out because too many were under way.
    pub(crate) refresh_skipped: Counter,
    /// Made unusable by the fence after they were found.
    pub(crate) fenced: Counter,
    /// Layers that were applied twice to one request, or whose partner is missing.
    pub(crate) misuse: Counter,
    /// Seconds that the inner service took to answer a miss.
    pub(crate) fill_seconds: Histogram,
}

impl CacheMetrics {
    pub(crate) fn register() -> Self {
        let requests =
            |result: &'static str| counter!("tower_keep_cache_requests_total", "result" => result);
        let values =
            |result: &'static str| counter!("tower_keep_value_requests_total", "result" => result);
        Self {
            hit_local: requests("hit_local"),
            hit_store: requests("hit_store"),
            hit_stale: requests("stale"),
            collapsed: requests("collapsed"),
            miss: requests("miss"),
            bypass: requests("bypass"),
            validated: requests("validated"),
            value_hit: values("hit"),
            value_collapsed: values("collapsed"),
            value_miss: values("miss"),
            stored: counter!("tower_keep_cache_stored_total"),
            refused: counter!("tower_keep_cache_refused_total"),
            fill_failed: counter!("tower_keep_cache_fill_failures_total"),
            refresh: counter!("tower_keep_cache_refreshes_total"),
            refresh_skipped: counter!("tower_keep_cache_refreshes_skipped_total"),
            fenced: counter!("tower_keep_cache_fenced_total"),
            misuse: counter!("tower_keep_layer_misuse_total"),
            fill_seconds: histogram!("tower_keep_cache_fill_seconds"),
        }
    }
}
