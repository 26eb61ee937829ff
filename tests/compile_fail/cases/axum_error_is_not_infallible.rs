//! axum takes services whose error is `Infallible`; a layer of tower-keep keeps the inner one's.

use axum::{Router, body::Body};
use http::{Request, Response};
use tower::{Layer, service_fn};
use tower_keep::{CacheLayer, Keep};

async fn handle(_: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    Ok(Response::default())
}

fn main() {
    let service = CacheLayer::new(&Keep::default()).layer(service_fn(handle));
    let _: Router = Router::new().route_service("/", service);
}
