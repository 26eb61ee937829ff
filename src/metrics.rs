//! The metrics of the cache.
//!
//! Handles are registered once, when the keep is made, so the recorder must be installed before.

use metrics::{Counter, Histogram, counter, histogram};

/// Counters of the cache, `tower_keep_cache_*`, and of application values, `tower_keep_value_*`.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    /// Responses from the local tier.
    pub(crate) hit_local: Counter,
    /// Responses from the shared store.
    pub(crate) hit_store: Counter,
    /// Stale responses.
    pub(crate) hit_stale: Counter,
    /// Responses from another request's fill.
    pub(crate) collapsed: Counter,
    pub(crate) miss: Counter,
    /// Requests that the cache does not handle, because of their method, scope, directives or bypass.
    pub(crate) bypass: Counter,
    /// Stored responses that the inner service validated.
    pub(crate) validated: Counter,
    /// Application values found in a tier.
    pub(crate) value_hit: Counter,
    /// Application values that another caller computed.
    pub(crate) value_collapsed: Counter,
    pub(crate) value_miss: Counter,
    /// Stale application values in place of an error.
    pub(crate) value_stale: Counter,
    pub(crate) stored: Counter,
    /// Responses that were not stored: forbidden or too large.
    pub(crate) refused: Counter,
    /// Responses that were not stored for lack of room in `[local] fill_buffer`.
    pub(crate) busy_response: Counter,
    /// Requests that were refused for lack of room in `[local] fill_buffer`.
    pub(crate) busy_request: Counter,
    pub(crate) fill_failed: Counter,
    pub(crate) refresh: Counter,
    /// Refreshes left out because too many were in progress.
    pub(crate) refresh_skipped: Counter,
    /// Entries that were found but had been invalidated.
    pub(crate) fenced: Counter,
    /// Stored entries that claimed a position in the journal that does not exist yet.
    pub(crate) forged: Counter,
    /// Layers applied twice to one request, or in an order in which they have no effect.
    pub(crate) misuse: Counter,
    /// The inner service's time to respond to a miss, in seconds.
    pub(crate) fill_seconds: Histogram,
}

impl CacheMetrics {
    pub(crate) fn register() -> Self {
        let requests =
            |result: &'static str| counter!("tower_keep_cache_requests_total", "result" => result);
        let values =
            |result: &'static str| counter!("tower_keep_value_requests_total", "result" => result);
        let busy = |body: &'static str| counter!("tower_keep_cache_busy_total", "body" => body);
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
            value_stale: values("stale"),
            stored: counter!("tower_keep_cache_stored_total"),
            refused: counter!("tower_keep_cache_refused_total"),
            busy_response: busy("response"),
            busy_request: busy("request"),
            fill_failed: counter!("tower_keep_cache_fill_failures_total"),
            refresh: counter!("tower_keep_cache_refreshes_total"),
            refresh_skipped: counter!("tower_keep_cache_refreshes_skipped_total"),
            fenced: counter!("tower_keep_cache_fenced_total"),
            forged: counter!("tower_keep_cache_forged_total"),
            misuse: counter!("tower_keep_layer_misuse_total"),
            fill_seconds: histogram!("tower_keep_cache_fill_seconds"),
        }
    }
}
