use std::{fmt, sync::Arc, time::Duration};

use http::request;

use crate::{keep::handle::Keep, key::Key};

/// What an [`InvalidateLayer`](super::InvalidateLayer) is configured with.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// How long a declared write may take.
    pub(super) longest_write: Duration,
    /// Derives a further key that a write invalidates.
    pub(super) key: Option<Arc<DeriveKey>>,
}

type DeriveKey = dyn Fn(&request::Parts) -> Option<Key> + Send + Sync;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidateLayer")
            .field("keep", &self.keep)
            .field("longest_write", &self.longest_write)
            .field("key", &self.key.is_some())
            .finish()
    }
}
