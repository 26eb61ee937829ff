use std::{
    fmt,
    future::ready,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use arc_swap::Guard;
use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower::util::ServiceExt;
use tower_service::Service;

use super::{
    ask::{self, Ask, Glance, Local},
    body_key, bypass,
    layer::Config,
    miss::Miss,
    refresh, write,
};
use crate::{
    body::{RequestBody, ResponseBody},
    error::BoxError,
    future::ResponseFuture,
    http_service::HttpService,
    keep::Snapshot,
    key::KeyBuf,
    semantics::cache_status::Forward,
};

/// The service that [`CacheLayer`](super::CacheLayer) makes.
///
/// Always ready: a hit neither waits for the inner service nor holds its permits. Where the inner
/// service's answer is needed, a clone of it is made ready within the returned future, so its
/// backpressure is felt there.
#[derive(Clone)]
pub struct CacheService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> CacheService<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for CacheService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
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
        let keep = self.config.keep.shared();
        let snapshot = keep.snapshot.load();
        let Some(matched) = ask::route(&snapshot.plan, &request) else {
            return self.pass(request);
        };
        let (parts, body) = request.into_parts();
        let config = || Arc::clone(&self.config);
        let mut key = KeyBuf::new();
        match Ask::of(&self.config, &snapshot, &parts, matched.as_ref(), &mut key) {
            Ask::Nothing => self.pass(Request::from_parts(parts, body)),
            Ask::Bypass(reason) => ResponseFuture::boxed(bypass::run(
                config(),
                self.inner.clone(),
                parts,
                body,
                reason,
            )),
            Ask::Invalidate => {
                ResponseFuture::boxed(write::run(config(), self.inner.clone(), parts, body))
            }
            Ask::Body => {
                let snapshot = Guard::into_inner(snapshot);
                let inner = self.inner.clone();
                ResponseFuture::boxed(body_key::run(config(), inner, snapshot, parts, body))
            }
            Ask::Stored(mut asked) => match asked.look(keep, &parts.headers) {
                Local::Hit(hit) => ResponseFuture::hit(hit),
                Local::Answer(answer) => ResponseFuture::ready(answer),
                Local::Refresh(answer) => {
                    refresh::start(self.miss(asked, &parts, &snapshot), &parts);
                    ResponseFuture::ready(answer)
                }
                // To wait for the layer above would be to wait for oneself.
                Local::Nothing if self.config.is_below_itself(&parts) => {
                    self.pass(Request::from_parts(parts, body))
                }
                // Content that the key does not hold may have made the answer what it is: it must
                // not become everybody's (RFC 9110 section 9.3.1).
                Local::Nothing if !body.is_end_stream() && !is_empty(&body) => {
                    let run =
                        bypass::run(config(), self.inner.clone(), parts, body, Forward::Bypass);
                    ResponseFuture::boxed(run)
                }
                Local::Nothing => {
                    let miss = self.miss(asked, &parts, &snapshot);
                    ResponseFuture::boxed(miss.run(parts, RequestBody::original(body)))
                }
            },
        }
    }
}

fn is_empty<B: Body>(body: &B) -> bool {
    body.size_hint().exact() == Some(0)
}

impl<S> CacheService<S> {
    fn miss<B>(
        &self,
        asked: Glance<'_>,
        parts: &request::Parts,
        snapshot: &Arc<Snapshot>,
    ) -> Miss<S, B>
    where
        S: Clone,
    {
        let asked = asked.own(&parts.headers, snapshot);
        Miss::new(Arc::clone(&self.config), self.inner.clone(), asked)
    }

    /// Calls a clone of the inner service: here, if it is ready at once.
    fn pass<B>(
        &self,
        request: Request<B>,
    ) -> ResponseFuture<S::ServiceFuture, S::ResponseBody, S::ServiceError>
    where
        S: HttpService<RequestBody<B>>,
        B: Body<Data = Bytes> + Send + 'static,
    {
        let request = request.map(RequestBody::original);
        let mut inner = self.inner.clone();
        // Whoever is not ready is asked again in the future, by whoever polls that.
        match inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => ResponseFuture::inner(inner.call(request)),
            Poll::Ready(Err(error)) => ResponseFuture::boxed(ready(Err(error))),
            Poll::Pending => ResponseFuture::boxed(async move {
                Ok(inner.oneshot(request).await?.map(ResponseBody::inner))
            }),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for CacheService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
