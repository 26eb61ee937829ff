//! A layer calls clones of the service within it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Router, body::Body};
use http::{Request, Response};
use tower::{Layer, Service};
use tower_keep::{CacheLayer, Keep};

struct NotClone;

impl Service<Request<Body>> for NotClone {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

fn main() {
    let service = CacheLayer::new(&Keep::default()).layer(NotClone);
    let _: Router = Router::new().route_service("/", service);
}
