use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{config::Config, refetch, write, write_request::WriteRequest};
use crate::{
    error::BoxError,
    message::{
        http_service::HttpService,
        matched_route::{MatchedRoute, was_routed},
        replayable_body::ReplayableBody,
        response_body::ResponseBody,
        response_future::ResponseFuture,
        target,
    },
};

/// The service of an [`InvalidateLayer`](super::InvalidateLayer).
///
/// It is ready when the inner service is, and calls the instance that was made ready.
#[derive(Clone, Debug)]
pub struct Invalidate<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What the clones of a service share.
#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    /// Whether one of them has passed a GET on, and the layer has taken note of it. An inner service
    /// that is the handler of another method never gets one.
    has_passed_get: Arc<AtomicBool>,
}

impl<S> Invalidate<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        let shared = Arc::new(Shared {
            config,
            has_passed_get: Arc::default(),
        });
        Self { inner, shared }
    }

    /// Takes note that the inner service gets GETs, so that write-through can send it one.
    #[cold]
    #[inline(never)]
    fn note_get<B: ReplayableBody>(&self, request: &Request<B>)
    where
        S: HttpService<B>,
    {
        let Shared {
            config,
            has_passed_get,
        } = &*self.shared;
        let engine = config.keep.engine();
        // A table that is loaded later may need it.
        if was_routed(request.extensions()) && !engine.snapshot.load().plan.refetches {
            return;
        }
        let Some(route) = MatchedRoute::of(request.extensions()) else {
            return has_passed_get.store(true, Ordering::Release);
        };
        let uri = engine.uri(request.uri(), request.extensions());
        let host = target::authority(uri, request.headers());
        let inner = self.inner.clone();
        let send = move |parts| refetch::send_get(inner.clone(), parts);
        let services = &config.get_services;
        services.register(route, host, has_passed_get, Box::new(send));
    }
}

impl<S, B, R> Service<Request<B>> for Invalidate<S>
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answers_get = self.shared.has_passed_get.load(Ordering::Acquire);
        if !answers_get && request.method() == Method::GET {
            self.note_get(&request);
        }
        let (mut parts, body) = request.into_parts();
        let write = WriteRequest::of(&self.shared.config, answers_get, &mut parts);
        let request = Request::from_parts(parts, body);
        let Some(write) = write else {
            return ResponseFuture::inner(self.inner.call(request));
        };
        // The write calls the instance that was made ready; its clone need not be ready.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        ResponseFuture::boxed(write::run_in_task(write, inner, request))
    }
}
