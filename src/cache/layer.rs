use std::{fmt, sync::Arc};

use http::{HeaderName, request, response};
use tower_layer::Layer;

use super::{service::Cache, tags::TagFields};
use crate::{keep::handle::Keep, key::Key, message::layer_markers::LayerMarkers};

/// Answers requests from stored responses and stores the answers to those it cannot.
///
/// See the [module](super) for what is stored, for whom and for how long.
#[derive(Clone)]
pub struct CacheLayer {
    pub(super) config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    pub(super) store_if: Option<Arc<StoreIf>>,
    pub(super) key: Option<Arc<KeyOf>>,
    pub(super) refresh_parts: Option<Arc<RefreshParts>>,
    pub(super) tag_fields: TagFields,
}

impl Config {
    /// Whether a layer of the same keep has sent this request down.
    pub(super) fn is_below_itself(&self, parts: &request::Parts) -> bool {
        let keep = self.keep.engine();
        let below = LayerMarkers::of(&parts.extensions).cache == keep.id();
        if below {
            keep.misused(
                "a CacheLayer is applied twice to the same request; the inner one does nothing",
            );
        }
        below
    }
}

type StoreIf = dyn Fn(&response::Parts) -> bool + Send + Sync;
type RefreshParts = dyn Fn(&mut request::Parts) + Send + Sync;
type KeyOf = dyn Fn(&request::Parts) -> Option<Key> + Send + Sync;

impl CacheLayer {
    /// A layer over `keep`; its table says which routes are stored and how.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                store_if: None,
                key: None,
                refresh_parts: None,
                tag_fields: TagFields::default(),
            }),
        }
    }

    /// Stores only what `condition` agrees to, of what the table and HTTP allow.
    #[must_use]
    pub fn store_if<F>(mut self, condition: F) -> Self
    where
        F: Fn(&response::Parts) -> bool + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).store_if = Some(Arc::new(condition));
        self
    }

    /// Derives the key in code for requests that a route names, in place of the route's `key`;
    /// `None` passes the request by the cache. The route's user scope and query rule still apply.
    ///
    /// Where no `InvalidateLayer` stands above, a successful unsafe request makes unusable what lies
    /// under the key that `key` derives from it, beside what its path names.
    #[must_use]
    pub fn key<F>(mut self, key: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Key> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).key = Some(Arc::new(key));
        self
    }

    /// The response fields whose members are tags, instead of `Cache-Tag`, `Surrogate-Key` and
    /// `Cache-Groups` (RFC 9875).
    ///
    /// `Surrogate-Key` is a list separated by spaces, `Cache-Groups` one of strings, and any other
    /// field one separated by commas. A response with more than 128 tags, or one longer than 256
    /// bytes, is not stored.
    #[must_use]
    pub fn tag_fields(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let config = Arc::make_mut(&mut self.config);
        config.tag_fields.name(names);
        let keep = config.keep.engine();
        config
            .tag_fields
            .names()
            .for_each(|name| keep.add_tag_field(name));
        self
    }

    /// Whether the fields that hold tags are taken off the answers to the requests that this layer
    /// handles, so that clients do not learn them; they are left if not given.
    #[must_use]
    pub fn strip_tags(mut self, yes: bool) -> Self {
        Arc::make_mut(&mut self.config).tag_fields.strip(yes);
        self
    }

    /// Changes a request before it is sent again to refresh what it was answered with: takes
    /// extensions out that must not outlive it, or marks it.
    ///
    /// A refresh repeats the request that was answered, with its fields, credentials and
    /// extensions, without content, preconditions, ranges and `Cache-Control`. What decides its key
    /// or whose answer it is must not be changed.
    #[must_use]
    pub fn refresh_parts<F>(mut self, change: F) -> Self
    where
        F: Fn(&mut request::Parts) + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).refresh_parts = Some(Arc::new(change));
        self
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

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("keep", &self.keep)
            .field("store_if", &self.store_if.is_some())
            .field("key", &self.key.is_some())
            .field("refresh_parts", &self.refresh_parts.is_some())
            .finish()
    }
}
