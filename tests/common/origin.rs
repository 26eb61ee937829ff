//! An inner service whose responses a test chooses, delays, breaks off and counts.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, Request, Response, request::Parts, response::Builder};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer, Service};
use tower_keep::{CacheLayer, Keep, cache::Cache};

use super::client::eventually;

pub(crate) type OriginBody = UnsyncBoxBody<Bytes, OriginError>;
pub(crate) type OriginResult = Result<Response<OriginBody>, OriginError>;
/// A response whose content is held in memory, so that it can be cloned.
pub(crate) type FullResponse = Response<Full<Bytes>>;

type Handler = dyn Fn(Request<Bytes>, usize) -> BoxFuture<'static, OriginResult> + Send + Sync;

/// Reads the request's content, then calls a function with the request and the number of the call.
/// Clones share the count of calls.
#[derive(Clone)]
pub(crate) struct Origin {
    handler: Arc<Handler>,
    calls: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn from_fn<F, Fut>(handler: F) -> Self
    where
        F: Fn(Request<Bytes>, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = OriginResult> + Send + 'static,
    {
        Self {
            handler: Arc::new(move |request, call| Box::pin(handler(request, call))),
            calls: Arc::default(),
        }
    }

    pub(crate) fn new(
        respond: impl Fn(&Parts, usize) -> FullResponse + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |request, call| {
            let response = respond(&request.into_parts().0, call);
            std::future::ready(Ok(response.map(full)))
        })
    }

    /// The body says which call it was.
    pub(crate) fn with_head(head: impl Fn(&Parts) -> Builder + Send + Sync + 'static) -> Self {
        Self::new(move |parts, call| {
            let body = Full::from(format!("call {call}"));
            head(parts).body(body).expect("a response")
        })
    }

    /// 200 with these fields; the body says which call it was.
    pub(crate) fn with_fields(fields: &'static [(&'static str, &'static str)]) -> Self {
        Self::new(move |_, call| {
            let body = Full::from(format!("call {call}"));
            add_fields(Response::new(body), fields)
        })
    }

    /// One result for each call; the last one also for all later calls.
    pub(crate) fn script(script: Vec<Result<FullResponse, OriginError>>) -> Self {
        Self::from_fn(move |_, call| {
            let response = match &script[call.min(script.len()) - 1] {
                Ok(response) => Ok(response.clone().map(full)),
                Err(error) => Err(error.clone()),
            };
            std::future::ready(response)
        })
    }

    /// Every call waits at the gate before it responds.
    pub(crate) fn gated<F>(gate: &Gate, respond: F) -> Self
    where
        F: Fn(Request<Bytes>, usize) -> OriginResult + Send + Sync + 'static,
    {
        let (gate, respond) = (gate.clone(), Arc::new(respond));
        Self::from_fn(move |request, call| {
            let (gate, respond) = (gate.clone(), Arc::clone(&respond));
            async move {
                gate.pass().await;
                respond(request, call)
            }
        })
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have begun.
    pub(crate) async fn called(&self, times: usize) {
        eventually("the call", || self.calls() >= times).await;
    }
}

impl<B> Service<Request<B>> for Origin
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: fmt::Debug,
{
    type Response = Response<OriginBody>;
    type Error = OriginError;
    type Future = BoxFuture<'static, OriginResult>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OriginError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let handler = Arc::clone(&self.handler);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let content = body.collect().await.expect("the content").to_bytes();
            handler(Request::from_parts(parts, content), call).await
        })
    }
}

/// `origin` behind a cache layer.
pub(crate) fn cached(keep: &Keep, origin: &Origin) -> Cache<Origin> {
    CacheLayer::new(keep).layer(origin.clone())
}

/// Why there is no response, or why its body broke off.
#[derive(Clone, Debug)]
pub(crate) struct OriginError(pub(crate) &'static str);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for OriginError {}

/// Where handlers wait until a test lets them pass.
#[derive(Clone)]
pub(crate) struct Gate {
    arrived: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Self {
            arrived: Arc::new(Semaphore::new(0)),
            admitted: Arc::new(Semaphore::new(0)),
        }
    }

    /// Lets every handler pass from now on.
    pub(crate) fn open(&self) {
        self.admit(100_000);
    }

    /// Lets so many handlers pass.
    pub(crate) fn admit(&self, number: usize) {
        self.admitted.add_permits(number);
    }

    /// Called by the handler.
    pub(crate) async fn pass(&self) {
        self.arrived.add_permits(1);
        self.admitted
            .acquire()
            .await
            .expect("never closed")
            .forget();
    }

    /// Waits until one more handler has arrived.
    pub(crate) async fn arrival(&self) {
        let arrival = tokio::time::timeout(Duration::from_secs(20), self.arrived.acquire()).await;
        let permit = arrival.expect("no handler has arrived");
        permit.expect("never closed").forget();
    }

    /// Forgets arrivals and unused admissions.
    pub(crate) fn reset(&self) {
        self.arrived.forget_permits(usize::MAX);
        self.admitted.forget_permits(usize::MAX);
    }
}

/// The sending end of a body; dropping it ends the body.
pub(crate) struct BodySender(mpsc::Sender<Result<Frame<Bytes>, OriginError>>);

/// A body whose channel buffers one frame.
pub(crate) fn body_channel() -> (BodySender, OriginBody) {
    let (sender, receiver) = mpsc::channel(1);
    (BodySender(sender), ChannelBody(receiver).boxed_unsync())
}

impl BodySender {
    pub(crate) async fn data(&self, chunk: impl Into<Bytes>) {
        self.send(Ok(Frame::data(chunk.into()))).await;
    }

    pub(crate) async fn trailers(self, trailers: HeaderMap) {
        self.send(Ok(Frame::trailers(trailers))).await;
    }

    pub(crate) async fn fail(self) {
        self.send(Err(OriginError("the origin broke off"))).await;
    }

    /// Whether the channel takes another chunk now.
    pub(crate) fn try_data(&self, chunk: &'static [u8]) -> bool {
        let frame = Frame::data(Bytes::from_static(chunk));
        self.0.try_send(Ok(frame)).is_ok()
    }

    /// Waits until the body has been dropped.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    async fn send(&self, frame: Result<Frame<Bytes>, OriginError>) {
        self.0.send(frame).await.expect("the body is read");
    }
}

struct ChannelBody(mpsc::Receiver<Result<Frame<Bytes>, OriginError>>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = OriginError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OriginError>>> {
        self.0.poll_recv(cx)
    }
}

/// A body held in memory.
pub(crate) fn full(content: impl Into<Full<Bytes>>) -> OriginBody {
    let content: Full<Bytes> = content.into();
    content.map_err(|never| match never {}).boxed_unsync()
}

/// 200 with this body and these fields.
pub(crate) fn ok(body: OriginBody, fields: &[(&str, &str)]) -> Response<OriginBody> {
    add_fields(Response::new(body), fields)
}

/// 200 with this content.
pub(crate) fn ok_text(content: impl Into<Full<Bytes>>) -> OriginResult {
    Ok(Response::new(full(content)))
}

pub(crate) fn response(status: u16, fields: &[(&str, &str)], body: &'static str) -> FullResponse {
    let response = Response::builder().status(status).body(Full::from(body));
    add_fields(response.expect("a response"), fields)
}

fn add_fields<B>(mut response: Response<B>, fields: &[(&str, &str)]) -> Response<B> {
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = value.parse().expect("a value");
        response.headers_mut().append(name, value);
    }
    response
}
