//! A versioned document behind both layers, which a test can slow down, break and look into.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt};
use tower_keep::{
    BoxError, CacheLayer, InvalidateLayer, Keep, UserId, cache::Cache, invalidate::Invalidate,
};

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;
type Work = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

/// An inner service: a function of the request's head and of how many requests came before.
#[derive(Clone)]
pub(super) struct Origin {
    answer: Arc<dyn Fn(Parts, usize) -> Work + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

impl Origin {
    pub(super) fn of<F>(answer: impl Fn(Parts, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Answer, BoxError>> + Send + 'static,
    {
        Self {
            answer: Arc::new(move |parts, call| Box::pin(answer(parts, call))),
            calls: Arc::default(),
        }
    }

    /// Answers at once. The body says which call it was.
    pub(super) fn new(
        answer: impl Fn(&Parts) -> http::response::Builder + Send + Sync + 'static,
    ) -> Self {
        Self::of(move |parts, call| {
            let answered = answer(&parts).body(text(format!("call {call}")));
            std::future::ready(Ok(answered.expect("a response")))
        })
    }

    /// 200 for everything.
    pub(super) fn plain() -> Self {
        Self::new(|_| Response::builder())
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<B: Send + 'static> Service<Request<B>> for Origin {
    type Response = Answer;
    type Error = BoxError;
    type Future = Work;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Work {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        (self.answer)(request.into_parts().0, call)
    }
}

/// What a slow handler waits for, and how many have come to it.
#[derive(Clone)]
pub(super) struct Gate(Arc<(Semaphore, Semaphore)>);

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Semaphore::new(0))))
    }

    /// Of the handler: says that it has come, and waits.
    pub(super) async fn pass(&self) {
        self.0.0.add_permits(1);
        self.0.1.acquire().await.expect("open").forget();
    }

    /// Of the test: waits until a handler has come.
    pub(super) async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(20), self.0.0.acquire()).await;
        reached
            .expect("no handler has come")
            .expect("open")
            .forget();
    }

    /// Forgets who has come, and who might have passed.
    pub(super) fn drain(&self) {
        self.0.0.forget_permits(usize::MAX);
        self.0.1.forget_permits(usize::MAX);
    }

    /// Lets one handler pass.
    pub(super) fn open(&self) {
        self.0.1.add_permits(1);
    }
}

pub(super) type Stack = Invalidate<Cache<Origin>>;

pub(super) fn stack(keep: &Keep, origin: &Origin) -> Stack {
    (InvalidateLayer::new(keep), CacheLayer::new(keep)).layer(origin.clone())
}

pub(super) fn text(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, io::Error> {
    Full::new(body.into())
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

pub(super) fn ok(body: impl Into<Bytes>) -> Result<Answer, BoxError> {
    Ok(Response::new(text(body)))
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, &[])
}

pub(super) fn put(path: &str) -> Request<Full<Bytes>> {
    request("PUT", path, &[])
}

pub(super) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::default()).expect("a request")
}

pub(super) fn by(user: &'static str, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.extensions_mut().insert(UserId::new(user));
    request
}

/// What a client sees.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

pub(super) async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Seen
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let response = service.clone().oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Seen {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).expect("text"),
    }
}

/// Which of these GETs are answered from what is stored; the others are stored now.
pub(super) async fn hits(service: &Stack, requests: &[&str]) -> Vec<bool> {
    let mut hits = Vec::new();
    for path in requests {
        hits.push(is_hit(service, get(path)).await);
    }
    hits
}

pub(super) async fn is_hit(service: &Stack, request: Request<Full<Bytes>>) -> bool {
    let seen = send(service, request).await;
    let status = seen.headers["cache-status"].to_str().expect("text");
    assert!(
        status.contains("; hit") || status.contains("; stored"),
        "{status}"
    );
    status.contains("; hit")
}
