//! An origin whose answers come when, and piece by piece as, a test says.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    BoxError, CacheLayer, Keep, Route, Scope, Table, cache::Cache, message::ResponseBody,
    table::mins,
};

pub(crate) type StageBody = UnsyncBoxBody<Bytes, Broken>;
pub(crate) type Played = Result<Response<StageBody>, &'static str>;
type Play = dyn Fn(Request<Bytes>, usize) -> BoxFuture<'static, Played> + Send + Sync;

/// The origin broke off.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin broke off")
    }
}

impl std::error::Error for Broken {}

/// Clones share the count of calls.
#[derive(Clone)]
pub(crate) struct Stage {
    play: Arc<Play>,
    calls: Arc<AtomicUsize>,
}

impl Stage {
    pub(crate) fn new<F, Fut>(play: F) -> Self
    where
        F: Fn(Request<Bytes>, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Played> + Send + 'static,
    {
        Self {
            play: Arc::new(move |request, call| Box::pin(play(request, call))),
            calls: Arc::default(),
        }
    }

    /// Every call waits at the gate, and is answered then.
    pub(crate) fn gated<F>(gate: &Gate, play: F) -> Self
    where
        F: Fn(Request<Bytes>, usize) -> Played + Send + Sync + 'static,
    {
        let (gate, play) = (gate.clone(), Arc::new(play));
        Self::new(move |request, call| {
            let (gate, play) = (gate.clone(), Arc::clone(&play));
            async move {
                gate.pass().await;
                play(request, call)
            }
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Until so many calls have begun.
    pub(crate) async fn called(&self, times: usize) {
        eventually("the call", || self.calls() >= times).await;
    }

    pub(crate) fn cached(&self, keep: &Keep) -> Cache<Self> {
        CacheLayer::new(keep).layer(self.clone())
    }
}

impl<B> Service<Request<B>> for Stage
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<StageBody>;
    type Error = &'static str;
    type Future = BoxFuture<'static, Played>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let play = Arc::clone(&self.play);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let content = body.collect().await.expect("a request").to_bytes();
            play(Request::from_parts(parts, content), call).await
        })
    }
}

/// Lets as many through as it is told.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(100_000);
    }

    pub(crate) fn admit(&self, number: usize) {
        self.0.add_permits(number);
    }

    pub(crate) async fn pass(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}

/// The sending end of a body; dropping it ends the body.
pub(crate) struct Feed(mpsc::Sender<Result<Frame<Bytes>, Broken>>);

struct Fed(mpsc::Receiver<Result<Frame<Bytes>, Broken>>);

/// A body that holds one frame beside what its reader has taken.
pub(crate) fn feed() -> (Feed, StageBody) {
    let (sender, receiver) = mpsc::channel(1);
    (Feed(sender), Fed(receiver).boxed_unsync())
}

impl Feed {
    pub(crate) async fn data(&self, chunk: impl Into<Bytes>) {
        let frame = Frame::data(chunk.into());
        self.0.send(Ok(frame)).await.expect("somebody reads");
    }

    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        let frame = Frame::trailers(trailers);
        self.0.send(Ok(frame)).await.expect("somebody reads");
    }

    pub(crate) async fn fail(self) {
        self.0.send(Err(Broken)).await.expect("somebody reads");
    }

    /// Whether it takes another frame now.
    pub(crate) fn offer(&self, chunk: &'static [u8]) -> bool {
        let frame = Frame::data(Bytes::from_static(chunk));
        self.0.try_send(Ok(frame)).is_ok()
    }

    pub(crate) async fn given_up(&self) {
        self.0.closed().await;
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.0.poll_recv(cx)
    }
}

pub(crate) fn full(text: impl Into<Bytes>) -> StageBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// 200 with this body and these fields.
pub(crate) fn answer(body: StageBody, fields: &[(&str, &str)]) -> Response<StageBody> {
    let mut response = Response::new(body);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = value.parse().expect("a value");
        response.headers_mut().append(name, value);
    }
    response
}

/// The head, while the body may still be to come.
pub(crate) async fn head<S, R>(service: &S, request: Request<Full<Bytes>>) -> Response<R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
{
    service.clone().oneshot(request).await.expect("an answer")
}

/// The next chunk of a body, `None` at its end.
pub(crate) async fn chunk(body: &mut ResponseBody<StageBody>) -> Option<Result<Bytes, BoxError>> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

pub(crate) async fn whole(body: ResponseBody<StageBody>) -> Result<String, BoxError> {
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Lets every other task run until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain for {what}");
}

/// Lets every other task go as far as it can.
pub(crate) async fn idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Engagements, the same for everybody, fresh for half an hour to the second.
pub(crate) fn engagements() -> Table {
    engagement(|route| route)
}

pub(crate) fn engagement(change: impl FnOnce(Route) -> Route) -> Table {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    Table::new()
        .jitter(0.0)
        .ttl("engagement", mins(30))
        .route(change(route))
}
