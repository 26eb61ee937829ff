//! Requests that a layer does not handle.

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Limit, RateLimitLayer, table::secs};

use super::{
    kit,
    support::{
        Case, compare,
        inner::{Inner, request, response_of},
    },
};

pub(crate) fn run() {
    let inner = Inner::new(1024);
    let uri = Uri::from_static("/health");
    let limit = Limit::new("api", 1, secs(1)).path("/elsewhere");
    let keep = Keep::new(kit::table().limit(limit)).expect("a valid table");
    let cache = CacheLayer::new(&keep).layer(inner.clone());
    let invalidate = InvalidateLayer::new(&keep).layer(inner.clone());
    let limits = RateLimitLayer::new(&keep).layer(inner.clone());
    compare(
        "a request that a layer does not handle (goal: 1.15 x in instructions, no allocation more)",
        vec![
            Case::new("inner service", reused(&inner, &uri)),
            Case::new("CacheLayer, passing", reused(&cache, &uri)),
            Case::new("InvalidateLayer, passing", reused(&invalidate, &uri)),
            Case::new("RateLimitLayer, passing", reused(&limits, &uri)),
        ],
    );
    compare(
        "the same by a clone for each request, as routers and hyper's adapter call a service",
        vec![
            Case::new("inner service's clone", cloned(&inner, &uri)),
            Case::new("CacheLayer's clone, passing", cloned(&cache, &uri)),
            Case::new(
                "InvalidateLayer's clone, passing",
                cloned(&invalidate, &uri),
            ),
            Case::new("RateLimitLayer's clone, passing", cloned(&limits, &uri)),
        ],
    );
}

fn reused<S>(service: &S, uri: &Uri) -> impl FnMut(u64) + use<S>
where
    S: Service<Request<Full<Bytes>>> + Clone,
{
    let (mut service, uri) = (service.clone(), uri.clone());
    move |n| {
        for _ in 0..n {
            drop(response_of(&mut service, request(&uri)));
        }
    }
}

fn cloned<S>(service: &S, uri: &Uri) -> impl FnMut(u64) + use<S>
where
    S: Service<Request<Full<Bytes>>> + Clone,
{
    let (service, uri) = (service.clone(), uri.clone());
    move |n| {
        for _ in 0..n {
            drop(response_of(&mut service.clone(), request(&uri)));
        }
    }
}
