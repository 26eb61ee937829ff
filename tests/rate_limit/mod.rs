//! `RateLimitLayer`, from the outside.

mod account;
mod answers;
mod layer;
#[cfg(feature = "redis")]
mod outage;
#[cfg(feature = "redis")]
mod redis;
mod servers;
mod whom;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};
use tower_keep::UserId;

/// An inner service that counts its calls and answers what the request's `x-answer` says.
#[derive(Clone, Default)]
struct Inner(Arc<AtomicUsize>);

impl Inner {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Service<Request<Full<Bytes>>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        let status = request
            .headers()
            .get("x-answer")
            .and_then(|v| v.to_str().ok());
        let status = status
            .and_then(|v| v.parse().ok())
            .unwrap_or(StatusCode::OK);
        let mut response = Response::new(Full::new(Bytes::from_static(b"inner")));
        *response.status_mut() = status;
        std::future::ready(Ok(response))
    }
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

fn of_user(path: &str, user: &str) -> Request<Full<Bytes>> {
    get(path)
        .extension(UserId::new(user))
        .body(Full::default())
        .expect("a request")
}

fn from(path: &str, address: &str) -> Request<Full<Bytes>> {
    let peer = SocketAddr::new(address.parse().expect("an address"), 40_000);
    get(path)
        .extension(peer)
        .body(Full::default())
        .expect("a request")
}

/// Sends one request and answers with the whole response.
async fn send<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> Response<Bytes>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let ready = service.ready().await.expect("ready");
    let response = ready.call(request).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Response::from_parts(parts, body)
}

/// How many of `requests` equal requests are admitted.
async fn admitted<S, B>(
    service: &mut S,
    requests: usize,
    request: impl Fn() -> Request<Full<Bytes>>,
) -> usize
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut admitted = 0;
    for _ in 0..requests {
        let status = send(service, request()).await.status();
        admitted += usize::from(status != StatusCode::TOO_MANY_REQUESTS);
    }
    admitted
}

fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("ASCII"))
}
