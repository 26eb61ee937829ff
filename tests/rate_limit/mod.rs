//! `RateLimitLayer`.

mod ambiguous_paths;
mod exact_windows;
mod forwarding;
mod layer;
mod methods;
mod metrics;
#[cfg(feature = "redis")]
mod outage;
#[cfg(feature = "redis")]
mod redis;
mod response;
mod servers;
mod subject;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::Service;
use tower_keep::UserId;

use crate::common::{
    client::send_to,
    origin::{Origin, response},
};

/// Answers with the status that the request's `x-answer` field names.
fn origin() -> Origin {
    Origin::new(|parts, _| {
        let status = parts.headers.get("x-answer");
        let status = status.and_then(|value| value.to_str().ok()?.parse().ok());
        response(status.unwrap_or(200), &[], "inner")
    })
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
        let status = send_to(service, request()).await.status();
        admitted += usize::from(status != StatusCode::TOO_MANY_REQUESTS);
    }
    admitted
}

fn field<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("ASCII"))
}
