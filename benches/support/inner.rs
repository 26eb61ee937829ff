//! The inner service: clones a prepared response.

use std::{
    convert::Infallible,
    future::{self, Future, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tower::Service;

/// Answers with a clone of the same head and body.
#[derive(Clone)]
pub(crate) struct Inner(Arc<Prepared>);

struct Prepared {
    headers: HeaderMap,
    body: Bytes,
}

impl Inner {
    /// 200 with eight fields and a JSON body of `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        let length = bytes.to_string();
        // An older date would add to the age of the stored response.
        let now = httpdate::fmt_http_date(SystemTime::now());
        let fields = [
            ("content-type", "application/json"),
            ("content-length", &length),
            ("cache-control", "max-age=3600"),
            ("etag", "\"5f1d7a84c2e09b36\""),
            ("last-modified", "Tue, 03 Jun 2025 08:00:00 GMT"),
            ("date", &now),
            ("x-request-id", "550e8400-e29b-41d4-a716-446655440000"),
            ("x-content-type-options", "nosniff"),
        ];
        let mut headers = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).expect("visible ASCII"));
        }
        let json = format!("\"{}\"", "x".repeat(bytes - 2));
        let body = Bytes::from(json);
        Self(Arc::new(Prepared { headers, body }))
    }

    /// This response with the two fields that a hit adds.
    pub(crate) fn as_hit(&self) -> Self {
        let mut headers = self.0.headers.clone();
        headers.insert("age", HeaderValue::from_static("0"));
        let status = HeaderValue::from_static("tower-keep; hit; ttl=3600");
        headers.insert("cache-status", status);
        let body = self.0.body.clone();
        Self(Arc::new(Prepared { headers, body }))
    }

    pub(crate) fn head(&self) -> &HeaderMap {
        &self.0.headers
    }

    pub(crate) fn body(&self) -> &Bytes {
        &self.0.body
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.0.body.clone()));
        *response.headers_mut() = self.0.headers.clone();
        ready(Ok(response))
    }
}

/// A GET of `uri`, without fields.
///
/// Never inlined, so that all cases pay the same for it.
#[inline(never)]
pub(crate) fn request(uri: &Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri.clone();
    request
}

/// The response of a service that is ready at once, and whose response is.
///
/// # Panics
///
/// If the service or its response is not ready at once.
pub(crate) fn response_of<S, B>(service: &mut S, request: Request<B>) -> S::Response
where
    S: Service<Request<B>>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else {
        panic!("not ready");
    };
    let call = pin!(service.call(request));
    match call.poll(&mut cx) {
        Poll::Ready(Ok(response)) => response,
        _ => panic!("not ready at once"),
    }
}

/// Sends the request, reads the whole response and returns its `Cache-Status`.
pub(crate) async fn fetch<S, R>(service: &S, request: Request<Full<Bytes>>) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
    R: http_body::Body<Data = Bytes>,
    R::Error: std::fmt::Debug,
{
    let mut service = service.clone();
    future::poll_fn(|cx| service.poll_ready(cx))
        .await
        .expect("ready");
    let response = service.call(request).await.expect("a response");
    let (head, body) = response.into_parts();
    body.collect().await.expect("a body");
    let status = head.headers.get("cache-status");
    let text = status.and_then(|status| status.to_str().ok());
    text.unwrap_or_default().to_owned()
}
