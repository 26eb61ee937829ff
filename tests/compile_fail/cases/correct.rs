//! The corrected form of every other case.

use std::convert::Infallible;

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{Layer, ServiceBuilder, service_fn};
use tower_http::{limit::RequestBodyLimitLayer, map_request_body::MapRequestBodyLayer};
use tower_keep::{CacheLayer, Keep, message::RequestBody};

async fn handle<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

fn main() {
    let layer = CacheLayer::new(&Keep::default());
    let _: Router = Router::new()
        .route("/", get(async || "a handler"))
        .route_service("/service", layer.layer(service_fn(handle::<Body>)))
        .layer((
            RequestBodyLimitLayer::new(1024),
            MapRequestBodyLayer::new(Body::new),
            layer.clone(),
        ));

    let service = ServiceBuilder::new()
        .map_request(|request: Request<Incoming>| request.map(RequestBody::new))
        .layer(layer)
        .service(service_fn(handle::<RequestBody<Incoming>>));
    let (io, _) = tokio::io::duplex(1024);
    let service = TowerToHyperService::new(service);
    drop(http1::Builder::new().serve_connection(TokioIo::new(io), service));
}
