use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{config::Config, write, write_request::WriteRequest};
use crate::{
    error::BoxError,
    message::{
        replayable_body::ReplayableBody, response_body::ResponseBody,
        response_future::ResponseFuture,
    },
};

/// The service of an [`InvalidateLayer`](super::InvalidateLayer).
///
/// It is ready when the inner service is, and calls the instance that was made ready.
#[derive(Clone, Debug)]
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
        let write = WriteRequest::of(&self.config, &mut parts);
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
