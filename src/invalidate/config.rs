use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};

use super::get_services::GetServices;
use crate::{keep::handle::Keep, key::Key};

/// The settings of an [`InvalidateLayer`](super::InvalidateLayer).
#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// The longest time that a declared write may take.
    pub(super) longest_write: Duration,
    /// Derives an additional key that a write invalidates.
    pub(super) key: Option<Arc<DeriveKey>>,
    /// Whether a response says that the write was committed; if not set, its status decides.
    pub(super) invalidate_when: Option<Arc<InvalidateWhen>>,
    pub(super) get_services: Arc<GetServices>,
}

type DeriveKey = dyn Fn(&request::Parts) -> Option<Key> + Send + Sync;
type InvalidateWhen = dyn Fn(&response::Parts) -> bool + Send + Sync;

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvalidateLayer")
            .field("keep", &self.keep)
            .field("longest_write", &self.longest_write)
            .field("key", &self.key.is_some())
            .field("invalidate_when", &self.invalidate_when.is_some())
            .finish_non_exhaustive()
    }
}
