//! Requests, and the responses as a client receives them.

use std::{fmt, future::poll_fn, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt};
use tower_keep::{BoxError, UserId, message::ResponseBody};

use super::origin::OriginBody;

/// A response whose body has been read to its end.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl TestResponse {
    pub(crate) fn cache_status(&self) -> &str {
        self.headers["cache-status"].to_str().expect("text")
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request("GET", path, &[])
}

pub(crate) fn put(path: &str) -> Request<Full<Bytes>> {
    request("PUT", path, &[])
}

/// A request without content.
pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::default()).expect("a request")
}

/// Adds the verified user.
pub(crate) fn as_user<B>(user: &str, mut request: Request<B>) -> Request<B> {
    request.extensions_mut().insert(UserId::new(user));
    request
}

/// Sends `request` through a clone of `service` and reads the response to its end.
pub(crate) async fn send<S, B, R>(service: &S, request: Request<B>) -> TestResponse
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: fmt::Debug,
    R: Body<Data = Bytes>,
    R::Error: fmt::Debug,
{
    let (head, body) = send_to(&mut service.clone(), request).await.into_parts();
    TestResponse {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).expect("text"),
    }
}

/// Sends `request` through `service` itself and reads the response to its end.
pub(crate) async fn send_to<S, B, R>(service: &mut S, request: Request<B>) -> Response<Bytes>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: fmt::Debug,
    R: Body<Data = Bytes>,
    R::Error: fmt::Debug,
{
    let ready = service.ready().await.expect("ready");
    let response = ready.call(request).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Response::from_parts(head, body)
}

/// Sends `request` and returns as soon as the head of the response is there.
pub(crate) async fn send_for_head<S, B, R>(service: &S, request: Request<B>) -> Response<R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: fmt::Debug,
{
    service.clone().oneshot(request).await.expect("a response")
}

/// The next chunk of a body, `None` at its end.
pub(crate) async fn next_chunk(
    body: &mut ResponseBody<OriginBody>,
) -> Option<Result<Bytes, BoxError>> {
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => return Some(Ok(data)),
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads the rest of a body.
pub(crate) async fn read_text(body: ResponseBody<OriginBody>) -> Result<String, BoxError> {
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Advances tokio's paused clock.
pub(crate) async fn advance(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// Yields to other tasks until `condition` holds. The paused clock does not move meanwhile.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("waited in vain for {what}");
}

/// Yields until every other task has gone as far as it can.
pub(crate) async fn run_other_tasks() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
