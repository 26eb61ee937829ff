use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower_service::Service;

use super::{
    admission::Admission,
    config::Config,
    future::{ResponseFuture, WaitingRequest},
    local_decision, post_process,
    refusal::refuse,
    select,
    store_decision::StoreDecisionFuture,
};
use crate::{engine::snapshot::Snapshot, message::response_body::ResponseBody};

/// The service of [`RateLimitLayer`](super::RateLimitLayer).
///
/// It is ready when the inner service is, and calls the instance that was made ready. A refused
/// request never reaches the inner service, and a permit that the ready instance holds is released.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, S::Future, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let snapshot = self.config.engine().snapshot.load();
        match select::first_limit(&self.config, &snapshot, &request) {
            None => ResponseFuture::calling(self.inner.call(request), None),
            Some(first) => limit(&mut self.inner, &self.config, &snapshot, request, first),
        }
    }
}

/// Decides a request; `first` is the index of the first limit that may apply to it.
// Not inlined, to keep the code of passed-through requests small.
#[inline(never)]
fn limit<S, B, R>(
    inner: &mut S,
    config: &Arc<Config>,
    snapshot: &Arc<Snapshot>,
    request: Request<B>,
    first: usize,
) -> ResponseFuture<S, S::Future, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    let (mut parts, body) = request.into_parts();
    let mut limits = select::applied_limits(config, snapshot, &parts, first);
    if limits.is_empty() {
        return ResponseFuture::calling(inner.call(Request::from_parts(parts, body)), None);
    }
    match local_decision::decide(&config.engine().limiter, &mut limits) {
        Some(true) => {
            let post_process = post_process::admit(config, snapshot, limits, &mut parts);
            let request = Request::from_parts(parts, body);
            ResponseFuture::calling(inner.call(request), Some(post_process))
        }
        Some(false) => {
            drop(take_ready(inner));
            ResponseFuture::refused(refuse(config, &limits, &parts))
        }
        None => {
            let admission = Admission::new(config.engine(), snapshot, limits);
            let waiting = WaitingRequest {
                inner: take_ready(inner),
                config: Arc::clone(config),
                parts,
                body,
            };
            ResponseFuture::deciding(StoreDecisionFuture::new(admission), waiting)
        }
    }
}

/// Takes the instance that was made ready, which may hold a permit, and leaves a clone.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    mem::replace(inner, clone)
}

impl<S> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}
