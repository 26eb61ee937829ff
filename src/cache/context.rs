//! What the steps of a miss share.

use std::{marker::PhantomData, sync::Arc};

use bytes::Bytes;
use http::{Response, request};

use super::{cache_request::CacheRequest, config::Config};
use crate::{
    engine::{coalesce::Leader, core::Engine, fill::Fill},
    message::{http_service::HttpService, response_body::ResponseBody},
};

/// A request that the local tier could not answer, and what is needed to answer it.
pub(super) struct CacheContext<S, B> {
    pub(super) config: Arc<Config>,
    pub(super) inner: S,
    pub(super) request: CacheRequest,
    /// The head of the request as it came to the cache.
    pub(super) parts: request::Parts,
    /// The request's content where it is part of the key, in case the request is sent again.
    pub(super) content: Bytes,
    /// Whether this is a refresh in the background: no client waits, and the stored response stays
    /// unless the new one is better.
    pub(super) is_refresh: bool,
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
            content: Bytes::new(),
            is_refresh: false,
            body: PhantomData,
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.config.engine()
    }
}
