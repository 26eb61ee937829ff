//! hyper's body cannot be made from bytes.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::{Layer, service_fn};
use tower_keep::{CacheLayer, Keep};

async fn handle(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::default())
}

fn main() {
    let service = CacheLayer::new(&Keep::default()).layer(service_fn(handle));
    let (io, _) = tokio::io::duplex(1024);
    let service = TowerToHyperService::new(service);
    drop(http1::Builder::new().serve_connection(TokioIo::new(io), service));
}
