use std::{fmt, sync::Arc};

use http::{request, response};
use tower_layer::Layer;

use super::service::CacheService;
use crate::{keep::Keep, key::Key};

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
}

type StoreIf = dyn Fn(&response::Parts) -> bool + Send + Sync;
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
    #[must_use]
    pub fn key<F>(mut self, key: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Key> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).key = Some(Arc::new(key));
        self
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, Arc::clone(&self.config))
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
            .finish()
    }
}
