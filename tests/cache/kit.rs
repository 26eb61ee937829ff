//! A handler whose answers a test chooses and whose calls it counts.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{CacheLayer, Keep, cache::CacheService, keep::RequestBody};

pub type Answer = Response<Full<Bytes>>;

/// Answers with what `answer` makes of the request; clones share the count.
#[derive(Clone)]
pub struct Origin {
    answer: Arc<dyn Fn(&http::request::Parts, usize) -> Answer + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

impl Origin {
    pub fn new(
        answer: impl Fn(&http::request::Parts, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            calls: Arc::default(),
        }
    }

    /// 200 with these fields; the body says which call it was.
    pub fn with(fields: &'static [(&'static str, &'static str)]) -> Self {
        Self::new(move |_, call| {
            let mut response = Response::new(Full::from(format!("call {call}")));
            for (name, value) in fields {
                response
                    .headers_mut()
                    .append(*name, value.parse().expect("a value"));
            }
            response
        })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Service<Request<RequestBody<Full<Bytes>>>> for Origin {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (parts, _) = request.into_parts();
        let response = (self.answer)(&parts, call);
        Box::pin(async move { Ok(response) })
    }
}

/// What a client sees.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn cache_status(&self) -> &str {
        self.headers["cache-status"].to_str().expect("text")
    }
}

pub fn cached(keep: &Keep, origin: &Origin) -> CacheService<Origin> {
    CacheLayer::new(keep).layer(origin.clone())
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, &[])
}

pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::default()).expect("a request")
}

/// The answer, its body read to the end.
pub async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Seen
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
