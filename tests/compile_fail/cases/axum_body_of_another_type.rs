//! A layer outside changes the type of the request's body.

use axum::{Router, routing::get};
use tower_http::limit::RequestBodyLimitLayer;
use tower_keep::{CacheLayer, Keep};

fn main() {
    let layers = (
        RequestBodyLimitLayer::new(1024),
        CacheLayer::new(&Keep::default()),
    );
    let _: Router = Router::new()
        .route("/", get(async || "a handler"))
        .layer(layers);
}
