use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, request};
use tower_service::Service;

use super::{
    admission::{self, Asked, Asking},
    claim::{self, Claim, Claims},
    decision::Decision,
    fields::Fields,
    future::{After, ResponseFuture, Waiting},
    layer::Options,
    refusal::refusal,
};
use crate::{
    engine::{core::Engine, snapshot::Snapshot, snapshot_cache::SnapshotCache},
    message::response_body::ResponseBody,
};

/// The service that [`RateLimitLayer`](super::RateLimitLayer) makes.
///
/// It is ready when the inner service is, and calls the very instance that was made ready. What it
/// refuses never reaches the inner service, nor keeps a permit of it.
pub struct RateLimit<S> {
    inner: S,
    gate: Gate,
    table: SnapshotCache,
}

/// All but the inner service and the table.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) shared: Arc<Engine>,
    pub(super) options: Arc<Options>,
}

impl<S> RateLimit<S> {
    pub(super) fn new(inner: S, shared: Arc<Engine>, options: Arc<Options>) -> Self {
        Self {
            inner,
            gate: Gate { shared, options },
            table: SnapshotCache::default(),
        }
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

    // Asked before the request is taken apart: what passes is not moved at all.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let snapshot = self.table.present(&self.gate.shared);
        match claim::first(&self.gate.shared, &snapshot, &self.gate.options, &request) {
            None => ResponseFuture::passing(self.inner.call(request)),
            Some(first) => self.gate.limit(&mut self.inner, request, &snapshot, first),
        }
    }
}

/// The instance that was made ready, with the permit that it may hold; a clone of it need not be.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    mem::replace(inner, clone)
}

impl Gate {
    /// What becomes of a request that a limit may count; `first` is the first that may.
    // Inlined, it would be in the way of what passes.
    #[inline(never)]
    fn limit<S, B, R>(
        &self,
        inner: &mut S,
        request: Request<B>,
        snapshot: &Arc<Snapshot>,
        first: usize,
    ) -> ResponseFuture<S, S::Future, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
    {
        let (parts, body) = request.into_parts();
        let mut claims = claim::claims(&self.shared, snapshot, &self.options, &parts, first);
        if claims.is_empty() {
            return ResponseFuture::passing(inner.call(Request::from_parts(parts, body)));
        }
        match admission::decide(&self.shared.limiter, &mut claims) {
            Some(true) => {
                let (request, after) = self.admit(snapshot, &mut claims, parts, body);
                ResponseFuture::admitted(inner.call(request), after)
            }
            Some(false) => {
                drop(take_ready(inner));
                ResponseFuture::refused(self.refuse(&claims, &parts))
            }
            None => {
                let asked = Asked {
                    shared: Arc::clone(&self.shared),
                    snapshot: Arc::clone(snapshot),
                    claims,
                };
                let waiting = Waiting {
                    inner: take_ready(inner),
                    gate: self.clone(),
                    parts,
                    body,
                };
                ResponseFuture::asking(Asking::new(asked), waiting)
            }
        }
    }

    /// The request as it goes in, and what is left to do when its answer comes.
    pub(super) fn admit<B>(
        &self,
        snapshot: &Arc<Snapshot>,
        claims: &mut Claims,
        mut parts: request::Parts,
        body: B,
    ) -> (Request<B>, After) {
        let decision = claim::decision(claims);
        self.count(claims);
        let fields = self.fields(&decision);
        match parts.extensions.get_mut::<Decision>() {
            Some(before) => before.limits.extend(decision.limits),
            None => {
                parts.extensions.insert(decision);
            }
        }
        let limits = snapshot.plan.limits();
        let refunds = |at: usize| limits.get(at).is_some_and(|limit| limit.has_refunds());
        let asked = claims.iter().any(|claim| refunds(claim.limit)).then(|| {
            Box::new(Asked {
                shared: Arc::clone(&self.shared),
                snapshot: Arc::clone(snapshot),
                claims: mem::take(claims),
            })
        });
        (Request::from_parts(parts, body), After { fields, asked })
    }

    pub(super) fn refuse<R>(
        &self,
        claims: &Claims,
        parts: &request::Parts,
    ) -> Response<ResponseBody<R>> {
        let decision = claim::decision(claims);
        self.count(claims);
        let fields = self.fields(&decision);
        refusal(&decision, fields, parts, self.options.refuse.as_ref())
    }

    fn count(&self, claims: &Claims) {
        let events = claims.iter().filter_map(Claim::event);
        self.shared.limiter.count(events);
    }

    fn fields(&self, decision: &Decision) -> Option<Fields> {
        let reset = self.options.reset;
        Fields::of(
            decision,
            reset.map(|reset| (reset, self.shared.clock.now().wall)),
        )
    }
}

impl<S: Clone> Clone for RateLimit<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: self.gate.clone(),
            table: self.table.clone(),
        }
    }
}

impl<S> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}
