use std::{
    fmt,
    future::ready,
    sync::Arc,
    task::{Context, Poll, Waker},
};

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
    engine::{hit::Hit, snapshot::Snapshot, snapshot_cache::SnapshotCache},
    error::BoxError,
    key::KeyBuf,
    message::{
        future::ResponseFuture, http_service::HttpService, replayable_body::ReplayableBody,
        response_body::ResponseBody,
    },
    semantics::cache_status::Forward,
    table::RouteMatch,
};

/// The service that [`CacheLayer`](super::CacheLayer) makes.
///
/// Always ready: a hit neither waits for the inner service nor holds its permits. Where the inner
/// service's answer is needed, a clone of it is made ready within the returned future, so its
/// backpressure is felt there.
#[derive(Clone)]
pub struct Cache<S> {
    room: Room<S>,
    table: SnapshotCache,
}

/// All but the table.
#[derive(Clone)]
struct Room<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Cache<S> {
    pub(super) fn new(inner: S, config: Arc<Config>) -> Self {
        let room = Room { inner, config };
        let table = SnapshotCache::default();
        Self { room, table }
    }
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
        let (parts, body) = request.into_parts();
        let snapshot = self.table.present(self.room.config.keep.engine());
        let route = ask::route(self.room.config.keep.engine(), &snapshot.plan, &parts);
        let Some(matched) = &route else {
            return match self.room.ready() {
                // Made where it is used, for it is large to be moved about.
                Ok(mut inner) => {
                    ResponseFuture::inner(inner.call(Request::from_parts(parts, body)))
                }
                Err(unready) => unready.pass(Request::from_parts(parts, body)),
            };
        };
        let mut key = KeyBuf::new();
        match self
            .room
            .look(&parts, &snapshot, matched.as_ref(), &mut key)
        {
            Look::Hit(hit) => ResponseFuture::ready(hit.response()),
            Look::Else(ask, local) => self.room.handle(ask, local, parts, body, &snapshot),
        }
    }
}

/// What one look says of a request whose path is the cache's to answer.
// Boxed, every miss would take one allocation more.
#[allow(clippy::large_enum_variant)]
enum Look<'p, R> {
    Hit(Hit),
    Else(Ask<'p>, Local<R>),
}

fn is_empty<B: Body>(body: &B) -> bool {
    body.size_hint().exact() == Some(0)
}

impl<S> Room<S> {
    /// `matched` is the route of the request's path, if it has one. Takes nothing of the request:
    /// most of what is asked is a hit.
    #[inline]
    fn look<'p, R>(
        &self,
        parts: &request::Parts,
        snapshot: &'p Arc<Snapshot>,
        matched: Option<&RouteMatch<'p>>,
        key: &'p mut KeyBuf,
    ) -> Look<'p, R> {
        match Ask::of(&self.config, snapshot, parts, matched, key) {
            Ask::Stored(mut asked) => match asked.look(self.config.keep.engine(), &parts.headers) {
                Local::Hit(hit) => Look::Hit(hit),
                local => Look::Else(Ask::Stored(asked), local),
            },
            ask => Look::Else(ask, Local::Nothing),
        }
    }

    /// What becomes of a request, after a look into the local tier.
    // Inlined, it would be in the way of what passes, and of hits.
    #[inline(never)]
    fn handle<B>(
        &self,
        ask: Ask<'_>,
        local: Local<S::ResponseBody>,
        parts: request::Parts,
        body: B,
        snapshot: &Arc<Snapshot>,
    ) -> ResponseFuture<S::ServiceFuture, S::ResponseBody, S::ServiceError>
    where
        S: HttpService<B>,
        B: ReplayableBody,
    {
        let config = || Arc::clone(&self.config);
        match ask {
            Ask::Nothing => self.pass(parts, body),
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
                let snapshot = Arc::clone(snapshot);
                let inner = self.inner.clone();
                ResponseFuture::boxed(body_key::run(config(), inner, snapshot, parts, body))
            }
            Ask::Stored(asked) => match local {
                Local::Hit(hit) => ResponseFuture::ready(hit.response()),
                Local::Answer(answer) => ResponseFuture::ready(answer),
                Local::Refresh(answer) => {
                    refresh::start(self.miss(asked, snapshot), &parts);
                    ResponseFuture::ready(answer)
                }
                // To wait for the layer above would be to wait for oneself.
                Local::Nothing if self.config.is_below_itself(&parts) => self.pass(parts, body),
                // Content that the key does not hold may have made the answer what it is: it must
                // not become everybody's (RFC 9110 section 9.3.1).
                Local::Nothing if !body.is_end_stream() && !is_empty(&body) => {
                    let run =
                        bypass::run(config(), self.inner.clone(), parts, body, Forward::Bypass);
                    ResponseFuture::boxed(run)
                }
                Local::Nothing => {
                    let miss = self.miss(asked, snapshot);
                    ResponseFuture::boxed(miss.run(parts, body))
                }
            },
        }
    }

    fn miss<B>(&self, asked: Glance<'_>, snapshot: &Arc<Snapshot>) -> Miss<S, B>
    where
        S: Clone,
    {
        let asked = asked.own(snapshot);
        Miss::new(Arc::clone(&self.config), self.inner.clone(), asked)
    }

    /// Calls a clone of the inner service: here, if it is ready at once.
    fn pass<B>(
        &self,
        parts: request::Parts,
        body: B,
    ) -> ResponseFuture<S::ServiceFuture, S::ResponseBody, S::ServiceError>
    where
        S: HttpService<B>,
        B: ReplayableBody,
    {
        let request = Request::from_parts(parts, body);
        match self.ready() {
            Ok(mut inner) => ResponseFuture::inner(inner.call(request)),
            Err(unready) => unready.pass(request),
        }
    }

    /// A clone of the inner service, if it is ready at once.
    #[inline]
    fn ready<B>(&self) -> Result<S, Unready<S, S::ServiceError>>
    where
        S: HttpService<B>,
    {
        let mut inner = self.inner.clone();
        match inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(inner),
            Poll::Ready(Err(error)) => Err(Unready::Failed(error)),
            Poll::Pending => Err(Unready::Waiting(inner)),
        }
    }
}

/// An inner service that could not be called at once.
enum Unready<S, E> {
    Failed(E),
    Waiting(S),
}

impl<S, E> Unready<S, E> {
    /// Who is not ready is asked again in the future, by whoever polls that.
    #[cold]
    fn pass<B>(self, request: Request<B>) -> ResponseFuture<S::ServiceFuture, S::ResponseBody, E>
    where
        S: HttpService<B, ServiceError = E>,
        E: Send + 'static,
        B: ReplayableBody,
    {
        match self {
            Self::Failed(error) => ResponseFuture::boxed(ready(Err(error))),
            Self::Waiting(inner) => ResponseFuture::boxed(async move {
                Ok(inner.oneshot(request).await?.map(ResponseBody::inner))
            }),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("inner", &self.room.inner)
            .field("config", &self.room.config)
            .finish()
    }
}
