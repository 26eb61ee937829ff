//! The state that the steps of a miss share.

use std::{marker::PhantomData, sync::Arc};

use http::{Response, request};

use super::{cache_request::CacheRequest, config::Config};
use crate::{
    engine::{coalesce::Leader, core::Engine, fill::Fill, tiers::FoundEntry},
    message::{
        http_service::HttpService, request_content::BufferedContent, response_body::ResponseBody,
    },
};

/// A request that the local tier alone could not answer, or that is a refresh, with the inner service
/// and the layer's settings.
pub(super) struct CacheContext<S, B> {
    pub(super) config: Arc<Config>,
    pub(super) inner: S,
    pub(super) request: CacheRequest,
    /// The head of the request as it came to the cache.
    pub(super) parts: request::Parts,
    /// The request's content if it is part of the key, else empty; kept to send the request again.
    pub(super) content: BufferedContent,
    /// Whether a process has noted in the store that the response cannot be shared.
    pub(super) has_hit_for_miss_note: bool,
    /// The type of the request's body, which `S` alone does not determine.
    body: PhantomData<fn(B)>,
}

/// The response of a cache in front of `S`.
pub(super) type CacheResponse<S, B> = Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>;

/// The right to fill a key for all requests that wait for its response.
pub(super) type FillLeader = Leader<Arc<Fill>>;

impl<S, B> CacheContext<S, B> {
    pub(super) fn new(
        config: Arc<Config>,
        inner: S,
        request: CacheRequest,
        parts: request::Parts,
    ) -> Self {
        Self {
            config,
            inner,
            request,
            parts,
            content: BufferedContent::default(),
            has_hit_for_miss_note: false,
            body: PhantomData,
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.config.engine()
    }

    /// Whether `found`, read from the store, may not be used because bodies that clients hold take all
    /// of `fill_buffer`: each request that reads it from the store holds bytes of its own.
    pub(super) fn lacks_room_for(&self, found: &FoundEntry) -> bool {
        found.entry.has_large_body() && self.engine().buffers.is_full()
    }

    /// Whether requests for the key need not wait for each other: the last response could not be
    /// shared.
    pub(super) fn is_known_hit_for_miss(&self) -> bool {
        let (engine, key) = (self.engine(), &self.request.key);
        let now = engine.clock.mono();
        engine.hit_for_miss.contains(key.as_str(), now)
            || self.has_hit_for_miss_note
            || engine.tiers.has_hit_for_miss_note(key)
    }
}
