//! The settings of a `CacheLayer`.

use std::{fmt, sync::Arc, time::Duration};

use http::{request, response};

use super::tag_fields::TagFields;
use crate::{
    engine::core::Engine, keep::handle::Keep, key::Key, message::layer_markers::LayerMarkers,
};

/// The settings of a `CacheLayer`, shared by its services.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) keep: Keep,
    /// The TTL of responses on paths that no route names.
    pub(super) unlisted_ttl: Option<Duration>,
    pub(super) store_if: Option<Arc<StoreIf>>,
    pub(super) key: Option<Arc<DeriveKey>>,
    pub(super) refresh_request: Option<Arc<RefreshParts>>,
    pub(super) tag_fields: TagFields,
}

type StoreIf = dyn Fn(&response::Parts) -> bool + Send + Sync;
type DeriveKey = dyn Fn(&request::Parts) -> Option<Key> + Send + Sync;
type RefreshParts = dyn Fn(&mut request::Parts) + Send + Sync;

impl Config {
    #[inline]
    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.keep.engine()
    }

    /// Whether another `CacheLayer` of the same keep has forwarded the request.
    pub(super) fn is_nested(&self, parts: &request::Parts) -> bool {
        LayerMarkers::of(&parts.extensions).cache == self.engine().id()
    }

    /// [`is_nested`](Self::is_nested), and logs it. This layer must not wait for the fill of the other
    /// one, which waits for this one.
    pub(super) fn report_if_nested(&self, parts: &request::Parts) -> bool {
        let nested = self.is_nested(parts);
        if nested {
            self.engine().report_misuse(
                "a CacheLayer is applied twice to the same request; the inner one does nothing",
            );
        }
        nested
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer")
            .field("keep", &self.keep)
            .field("ttl", &self.unlisted_ttl)
            .field("store_if", &self.store_if.is_some())
            .field("key", &self.key.is_some())
            .field("refresh_request", &self.refresh_request.is_some())
            .finish()
    }
}
