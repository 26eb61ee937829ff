//! A local hit and a pass-through beside their floor: an inner service that clones a ready answer.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use support::{Case, compare};
use tower::{Layer, Service};
use tower_keep::{CacheLayer, Keep, Route, Scope, Table};

const KEYS: usize = 10_000;

/// Answers with a clone of the same head and body.
#[derive(Clone)]
struct Inner {
    headers: HeaderMap,
    body: Bytes,
}

impl Inner {
    fn new(bytes: usize) -> Self {
        let mut headers = HeaderMap::new();
        let fields = [
            ("content-type", "application/json"),
            ("cache-control", "max-age=3600"),
            ("etag", "\"5f1d7a84c2e09b36\""),
            ("last-modified", "Tue, 03 Jun 2025 08:00:00 GMT"),
            ("date", "Tue, 03 Jun 2025 09:00:00 GMT"),
            ("x-request-id", "550e8400-e29b-41d4-a716-446655440000"),
            ("x-content-type-options", "nosniff"),
        ];
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert("content-length", HeaderValue::from(bytes));
        Self {
            headers,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        ready(Ok(response))
    }
}
