use std::{
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::Guard;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{accept, config::Config, problem, status, write_action::WriteAction};
use crate::{
    error::BoxError,
    message::{
        layer_markers::LayerMarkers, pass_through::pass_through, replayable_body::ReplayableBody,
        response_body::ResponseBody, response_future::ResponseFuture,
    },
};

/// Middleware that puts writes into the queue; made by [`WriteBehindLayer`](super::WriteBehindLayer).
///
/// It is always ready: a write that it accepts neither waits for the inner service nor holds its
/// permits. Other requests are passed on to a clone of the inner service, which is driven to readiness,
/// normally inside the response future.
#[derive(Clone, Debug)]
pub struct WriteBehind<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> WriteBehind<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for WriteBehind<S>
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
        let engine = self.config.engine();
        let snapshot = engine.snapshot.load();
        match WriteAction::classify(engine, &snapshot, &parts) {
            WriteAction::PassThrough => pass_through(&self.inner, Request::from_parts(parts, body)),
            WriteAction::ApplyAtOnce => {
                let id = engine.id();
                LayerMarkers::mark(&mut parts.extensions, |markers| markers.write_behind = id);
                pass_through(&self.inner, Request::from_parts(parts, body))
            }
            WriteAction::ShowStatus => {
                let engine = Arc::clone(engine);
                ResponseFuture::boxed(async move { Ok(status::respond(&engine, &parts).await) })
            }
            WriteAction::Refuse(reason) => {
                ResponseFuture::ready(problem::not_accepted(&reason, false))
            }
            WriteAction::Accept => {
                let (config, snapshot) = (Arc::clone(&self.config), Guard::into_inner(snapshot));
                let accepted = accept::respond(config, snapshot, parts, body);
                ResponseFuture::boxed(async move { Ok(accepted.await) })
            }
        }
    }
}
