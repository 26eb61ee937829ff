use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{layer::Config, run, write::Write};
use crate::{
    error::BoxError,
    message::{
        future::ResponseFuture, layer_markers::LayerMarkers, request_body::ReplayableBody,
        response_body::ResponseBody,
    },
};

/// The service that [`InvalidateLayer`](super::InvalidateLayer) makes.
///
/// It is ready when the inner service is, and calls the very instance that was made ready.
#[derive(Clone)]
pub struct Invalidate<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Invalidate<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
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
        let (mut parts, body) = request.into_parts();
        let write = Write::of(&self.config, &parts);
        if write.is_some() {
            let keep = self.config.keep.engine().id();
            LayerMarkers::mark(&mut parts.extensions, |passages| passages.invalidate = keep);
        }
        let request = Request::from_parts(parts, body);
        match write {
            None => ResponseFuture::inner(self.inner.call(request)),
            Some(write) => {
                // The instance that was made ready; its clone need not be.
                let clone = self.inner.clone();
                let inner = mem::replace(&mut self.inner, clone);
                ResponseFuture::boxed(run::run(write, inner, request))
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Invalidate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidate")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish()
    }
}
