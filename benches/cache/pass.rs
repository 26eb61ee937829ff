//! A request that a layer has nothing to do with passes through, untouched.

use http::Uri;
use tower::Layer;
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Limit, RateLimitLayer, table::secs};

use super::{
    kit,
    support::{
        Case, compare,
        inner::{Inner, answer},
    },
};

pub(crate) fn run() {
    let inner = Inner::new(1024);
    let uri = Uri::from_static("/health");
    let limit = Limit::new("api", 1, secs(1)).path("/elsewhere");
    let keep = Keep::new(kit::table().limit(limit));
    let mut cache = CacheLayer::new(&keep).layer(inner.clone());
    let mut invalidate = InvalidateLayer::new(&keep).layer(inner.clone());
    let mut limits = RateLimitLayer::new(&keep).layer(inner.clone());
    compare(
        "a request that a layer does not handle (goal: 1.15 x in instructions, no allocation more)",
        vec![
            Case::new(
                "inner service, nothing named",
                kit::bare(&inner, vec![uri.clone()]),
            ),
            Case::new("CacheLayer, passing", |n| {
                for _ in 0..n {
                    drop(answer(&mut cache, kit::request(&uri)));
                }
            }),
            Case::new("InvalidateLayer, passing", |n| {
                for _ in 0..n {
                    drop(answer(&mut invalidate, kit::request(&uri)));
                }
            }),
            Case::new("RateLimitLayer, passing", |n| {
                for _ in 0..n {
                    drop(answer(&mut limits, kit::request(&uri)));
                }
            }),
        ],
    );
}
