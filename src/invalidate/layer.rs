use std::{fmt, sync::Arc, time::Duration};

use http::request;
use tower_layer::Layer;

use super::{config::Config, service::Invalidate};
use crate::{keep::handle::Keep, key::Key};

/// Makes stored responses unusable after a successful write, before the write is answered.
///
/// See the [module](super) for what a write invalidates, and when.
#[derive(Clone)]
pub struct InvalidateLayer {
    config: Arc<Config>,
}

impl InvalidateLayer {
    /// Creates a layer over `keep`, whose table says what the writes of a route invalidate.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            config: Arc::new(Config {
                keep: keep.clone(),
                longest_write: Duration::from_secs(60),
                key: None,
            }),
        }
    }

    /// How long a write may take that its route declares (`before = true`). The default is one
    /// minute, the maximum a day.
    ///
    /// It must exceed the longest possible write. If the process dies during a declared write, or the
    /// write ends without telling whether it may still be committed, what it declared is not cached
    /// anywhere for this long, and then invalidated. A commit after that goes unnoticed if the
    /// process has died.
    #[must_use]
    pub fn longest_write(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.config).longest_write = time;
        self
    }

    /// Derives a key that a write to a route invalidates in addition to what the table names: the
    /// key that [`CacheLayer::key`](crate::CacheLayer::key) derives for the same path.
    ///
    /// The `CacheLayer` invalidates that key by itself, but only if the write succeeds and its client
    /// has not left.
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
