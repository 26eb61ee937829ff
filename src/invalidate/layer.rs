use std::{fmt, sync::Arc, time::Duration};

use http::request;
use tower_layer::Layer;

use super::service::Invalidate;
use crate::{keep::Keep, key::Key};

/// Makes stored responses unusable after a successful write, before its answer is sent.
///
/// See the [module](super) for what a write makes unusable, and when.
#[derive(Clone)]
pub struct InvalidateLayer {
    config: Arc<Config>,
}

#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// How long a declared write may take.
    pub(super) longest_write: Duration,
    pub(super) key: Option<Arc<KeyOf>>,
}

type KeyOf = dyn Fn(&request::Parts) -> Option<Key> + Send + Sync;

impl InvalidateLayer {
    /// A layer over `keep`; its table says what the writes of a route invalidate.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                longest_write: LONGEST_WRITE,
                key: None,
            }),
        }
    }

    /// How long a write may take that a route declares beforehand (`before = true`): one minute if
    /// not given, a day at most.
    ///
    /// If the process dies in the middle of such a write, or it ends so that nobody knows whether it
    /// may still be committed, what it declared is not cached anywhere for this long, and then
    /// invalidated. It must exceed the longest possible write: a commit
    /// that comes later goes unnoticed if its process has died.
    #[must_use]
    pub fn longest_write(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.config).longest_write = time;
        self
    }

    /// What a write of a route's path changes beside what the table names: the key that
    /// [`CacheLayer::key`](crate::CacheLayer::key) derives of the same path.
    ///
    /// The `CacheLayer` invalidates that key by itself, but only if the write succeeds and somebody
    /// waits for its answer.
    #[must_use]
    pub fn key<F>(mut self, key: F) -> Self
    where
        F: Fn(&request::Parts) -> Option<Key> + Send + Sync + 'static,
    {
        Arc::make_mut(&mut self.config).key = Some(Arc::new(key));
        self
    }
}

impl<S> Layer<S> for InvalidateLayer {
    type Service = Invalidate<S>;

    fn layer(&self, inner: S) -> Invalidate<S> {
        Invalidate::new(inner, Arc::clone(&self.config))
    }
}

impl fmt::Debug for InvalidateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidateLayer")
            .field("keep", &self.keep)
            .field("longest_write", &self.longest_write)
            .field("key", &self.key.is_some())
            .finish()
    }
}

const LONGEST_WRITE: Duration = Duration::from_secs(60);
