use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::{
    bypass,
    cache_request::CacheRequestRef,
    config::Config,
    content_key_request,
    context::CacheContext,
    local_lookup::{self, LocalLookup},
    miss, refresh,
    request_action::RequestAction,
    unsafe_request,
};
use crate::{
    engine::{snapshot::Snapshot, tiers::FoundEntry},
    error::BoxError,
    key::KeyBuf,
    message::{
        http_service::HttpService,
        pass_through::{ServiceResponseFuture, pass_through},
        replayable_body::ReplayableBody,
        response_body::ResponseBody,
        response_future::ResponseFuture,
        target,
    },
    semantics::cache_status::Forward,
};

/// Middleware that answers requests from stored responses; made by
/// [`CacheLayer`](super::CacheLayer).
///
/// It is always ready: a hit neither waits for the inner service nor holds its permits. Where the
/// inner service is needed, a clone of it is driven to readiness, normally inside the response
/// future, so backpressure applies there.
#[derive(Clone, Debug)]
pub struct Cache<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for Cache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    B: ReplayableBody,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        target::replace_host(&mut parts);
        let engine = self.config.engine();
        let snapshot = engine.snapshot.load();
        let mut key = KeyBuf::new();
        match RequestAction::classify(&self.config, &snapshot, &parts, &mut key) {
            RequestAction::LookUp(request) => {
                match local_lookup::lookup_local(engine, &request, &parts.headers) {
                    LocalLookup::Prebuilt(response) => ResponseFuture::prebuilt(response),
                    LocalLookup::Hit(response) => ResponseFuture::ready(response),
                    LocalLookup::HitToRefresh(response, found) => {
                        self.refresh(request, found, &parts, &snapshot);
                        ResponseFuture::ready(response)
                    }
                    LocalLookup::Miss(candidate) => {
                        self.miss(request, candidate, parts, body, &snapshot)
                    }
                }
            }
            RequestAction::PassThrough => self.pass_through(parts, body),
            RequestAction::Bypass(reason, detail) => self.bypass(parts, body, reason, detail),
            RequestAction::Invalidate => self.answer_by(|config, inner| {
                unsafe_request::forward_write(config, inner, parts, body)
            }),
            RequestAction::ReadContent if self.config.report_if_nested(&parts) => {
                self.pass_through(parts, body)
            }
            RequestAction::ReadContent => {
                let snapshot = Arc::clone(&snapshot);
                self.answer_by(|config, inner| {
                    content_key_request::answer_with_content_key(
                        config, inner, snapshot, parts, body,
                    )
                })
            }
        }
    }
}

type CacheFuture<S, B> = ServiceResponseFuture<S, B>;

impl<S> Cache<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }

    /// Answers a request for which the local tier has no usable response.
    // Not inlined, to keep the code of hits and of passed-through requests small.
    #[inline(never)]
    fn miss<B: ReplayableBody>(
        &self,
        request: CacheRequestRef<'_>,
        candidate: Option<FoundEntry>,
        parts: request::Parts,
        body: B,
        snapshot: &Arc<Snapshot>,
    ) -> CacheFuture<S, B>
    where
        S: HttpService<B>,
    {
        if self.config.report_if_nested(&parts) {
            return self.pass_through(parts, body);
        }
        // Some services let the content of a GET change the response, although RFC 9110 section
        // 9.3.1 gives it no meaning; such a response must not answer other requests.
        if !body.is_end_stream() && body.size_hint().exact() != Some(0) {
            return self.bypass(parts, body, Forward::Bypass, None);
        }
        let request = request.into_owned(snapshot, candidate);
        self.answer_by(|config, inner| {
            miss::answer_miss(CacheContext::new(config, inner, request, parts), body)
        })
    }

    #[inline(never)]
    fn refresh<B: ReplayableBody>(
        &self,
        request: CacheRequestRef<'_>,
        found: FoundEntry,
        parts: &request::Parts,
        snapshot: &Arc<Snapshot>,
    ) where
        S: HttpService<B>,
    {
        let request = request.into_owned(snapshot, Some(found));
        refresh::start::<S, B>(&self.config, &self.inner, request, parts);
    }

    fn bypass<B: ReplayableBody>(
        &self,
        parts: request::Parts,
        body: B,
        reason: Forward,
        detail: Option<&'static str>,
    ) -> CacheFuture<S, B>
    where
        S: HttpService<B>,
    {
        self.answer_by(|config, inner| {
            bypass::forward_unstored(config, inner, parts, body, reason, detail)
        })
    }

    /// Answers by a boxed future.
    #[inline(never)]
    fn answer_by<F, R, E, W>(
        &self,
        work: impl FnOnce(Arc<Config>, S) -> W,
    ) -> ResponseFuture<F, R, E>
    where
        S: Clone,
        W: Future<Output = Result<Response<ResponseBody<R>>, E>> + Send + 'static,
    {
        ResponseFuture::boxed(work(Arc::clone(&self.config), self.inner.clone()))
    }

    /// Calls a clone of the inner service: in `call` if the clone is ready, otherwise in a boxed
    /// future.
    #[inline]
    fn pass_through<B: ReplayableBody>(&self, parts: request::Parts, body: B) -> CacheFuture<S, B>
    where
        S: HttpService<B>,
    {
        pass_through(&self.inner, Request::from_parts(parts, body))
    }
}
