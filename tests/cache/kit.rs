//! A handler whose answers a test chooses and whose calls it counts.

use std::{
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
use tower_keep::{CacheLayer, Keep, cache::Cache};

pub(crate) type Answer = Response<Full<Bytes>>;

/// The origin cannot be reached.
#[derive(Debug)]
pub(crate) struct Gone;

type Answering = dyn Fn(&Request<()>, usize) -> Result<Answer, Gone> + Send + Sync;

/// Answers with what `answer` makes of the request; clones share the count.
#[derive(Clone)]
pub(crate) struct Origin {
    answer: Arc<Answering>,
    calls: Arc<AtomicUsize>,
}

impl Origin {
    pub(crate) fn new(
        answer: impl Fn(&http::request::Parts, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::faulty(move |request, call| Ok(answer(&request.clone().into_parts().0, call)))
    }

    /// Answers, or is gone.
    pub(crate) fn faulty(
        answer: impl Fn(&Request<()>, usize) -> Result<Answer, Gone> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            calls: Arc::default(),
        }
    }

    /// What `script` says for each call; the last entry for all that follow.
    pub(crate) fn script(script: Vec<Result<Answer, Gone>>) -> Self {
        Self::faulty(move |_, call| match &script[call.min(script.len()) - 1] {
            Ok(answer) => Ok(answer.clone()),
            Err(Gone) => Err(Gone),
        })
    }

    /// 200 with these fields; the body says which call it was.
    pub(crate) fn with(fields: &'static [(&'static str, &'static str)]) -> Self {
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

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl<B> Service<Request<B>> for Origin {
    type Response = Answer;
    type Error = Gone;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Gone>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = (self.answer)(&request.map(drop), call);
        Box::pin(async move { answer })
    }
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn cache_status(&self) -> &str {
        self.headers["cache-status"].to_str().expect("text")
    }
}

pub(crate) fn cached(keep: &Keep, origin: &Origin) -> Cache<Origin> {
    CacheLayer::new(keep).layer(origin.clone())
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, &[])
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::default()).expect("a request")
}

/// The answer, its body read to the end.
pub(crate) async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Seen
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

/// An answer with these fields.
pub(crate) fn answer(status: u16, fields: &[(&str, &str)], body: &'static str) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::from(body)).expect("a response")
}

/// Moves the clock.
pub(crate) async fn after(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}
