//! An origin behind an invalidate layer and a cache layer.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_keep::{CacheLayer, InvalidateLayer, Keep, cache::Cache, invalidate::Invalidate};

use crate::common::{
    client::{get, send},
    origin::Origin,
};

pub(super) type Stack = Invalidate<Cache<Origin>>;

pub(super) fn stack(keep: &Keep, origin: &Origin) -> Stack {
    (InvalidateLayer::new(keep), CacheLayer::new(keep)).layer(origin.clone())
}

/// Which of these GETs are hits; the responses to the others are stored.
pub(super) async fn hits(service: &Stack, paths: &[&str]) -> Vec<bool> {
    let mut hits = Vec::new();
    for path in paths {
        hits.push(is_hit(service, get(path)).await);
    }
    hits
}

/// Whether the response was a hit; panics if it was neither hit nor stored.
pub(super) async fn is_hit(service: &Stack, request: Request<Full<Bytes>>) -> bool {
    let response = send(service, request).await;
    let status = response.cache_status();
    assert!(
        status.contains("; hit") || status.contains("; stored"),
        "{status}"
    );
    status.contains("; hit")
}
