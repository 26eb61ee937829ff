use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, request, response};
use tower_layer::Layer;

use super::{config::Config, service::Cache, tag_fields::TagFields};
use crate::{keep::handle::Keep, key::Key, table::Unlisted};

/// Answers requests from stored responses, and stores the responses to other requests.
///
/// See the [module](super) for what is stored, for whom and for how long.
#[derive(Clone)]
pub struct CacheLayer {
    config: Arc<Config>,
}

impl CacheLayer {
    /// A layer over `keep`; its table says which routes are stored and how.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                unlisted_ttl: None,
                store_if: None,
                key: None,
                refresh_request: None,
                tag_fields: TagFields::default(),
            }),
        }
    }

    /// Sets the TTL of responses on paths that no route names: every response to a GET that may be
    /// shared stays fresh for this long.
    ///
    /// A lifetime that a response states itself takes precedence, the table's `max` limits the TTL, and
    /// its `jitter` shortens it. Responses to requests with [credentials](super#credentials), and those
    /// to paths that pass the layer untouched ([`Unlisted::Pass`](crate::table::Unlisted::Pass)), do not
    /// get it. A TTL that has no effect, zero or with such a table, is logged as a warning.
    ///
    /// ```
    /// use tower_keep::{CacheLayer, Keep, table::mins};
    ///
    /// let layer = CacheLayer::new(&Keep::default()).ttl(mins(5));
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.warn_of_ineffective_ttl(ttl);
        Arc::make_mut(&mut self.config).unlisted_ttl = Some(ttl);
        self
    }

    /// Stores a response only if `condition` returns true for it, besides what the table and HTTP
    /// require.
    #[must_use]
    pub fn store_if<F>(mut self, condition: F) -> Self
    where
        F: Fn(&response::Parts) -> bool + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).store_if = Some(Arc::new(condition));
        self
    }

    /// Derives the key in code for requests that match a route, in place of the route's `key`.
    ///
    /// If `key` returns `None`, the request bypasses the cache. The route's user scope and query
    /// rule still apply.
    ///
    /// A successful unsafe request invalidates the key that `key` derives from it, besides its own
    /// path.
    #[must_use]
    pub fn key<F>(mut self, key: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Key> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).key = Some(Arc::new(key));
        self
    }

    /// Sets the response fields whose members are tags, in place of `Cache-Tag`, `Surrogate-Key`
    /// and `Cache-Groups` (RFC 9875).
    ///
    /// `Surrogate-Key` is a list separated by spaces, `Cache-Groups` a list of strings, and any
    /// other field a list separated by commas. A response with more than 128 tags, or one longer
    /// than 256 bytes, is not stored.
    #[must_use]
    pub fn tag_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.tag_fields.names = names.into_iter().collect();
        for name in &config.tag_fields.names {
            config.engine().tag_fields.add(name);
        }
        self
    }

    /// Whether to remove the tag fields from responses, so that clients do not see them. Defaults
    /// to `false`.
    #[must_use]
    pub fn strip_tags(mut self, yes: bool) -> Self {
        Arc::make_mut(&mut self.config).tag_fields.strip = yes;
        self
    }

    /// Changes a request before it is repeated to refresh a stored response, or sent to fetch one after a
    /// write ([write-through](crate::invalidate#write-through)), for example to remove extensions that
    /// must not outlive the original request, or to mark the request.
    ///
    /// A refresh repeats a request with its fields and extensions, but without its content,
    /// preconditions, ranges, `Cache-Control` and, unless they select the stored response,
    /// [credentials](crate::cache#refreshes). `change` must not alter what determines the key or the
    /// user. Credentials that it adds count like those of a client. An inner service that answers no
    /// request without credentials needs some of the application's own here; otherwise the stored
    /// response is removed once it is stale.
    #[must_use]
    pub fn refresh_request<F>(mut self, change: F) -> Self
    where
        F: Fn(&mut request::Parts) + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).refresh_request = Some(Arc::new(change));
        self
    }
}

impl CacheLayer {
    /// Logs a TTL that has no effect with the present table.
    fn warn_of_ineffective_ttl(&self, ttl: Duration) {
        let unlisted = self.config.engine().snapshot.load().plan.unlisted;
        if ttl.is_zero() {
            tracing::warn!(
                "CacheLayer::ttl: a TTL of zero has no effect; give one second or more, or leave it out"
            );
        } else if unlisted == Unlisted::Pass {
            tracing::warn!(
                "CacheLayer::ttl has no effect with unlisted = \"pass\", which leaves the paths without a route alone; write unlisted = \"explicit\", or leave the TTL out"
            );
        }
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cache<S>;

    fn layer(&self, inner: S) -> Cache<S> {
        Cache::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
