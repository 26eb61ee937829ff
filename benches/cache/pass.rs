//! A request that no route names passes through, untouched.

use http::Uri;
use tower::Layer;
use tower_keep::{CacheLayer, Keep};

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
    let keep = Keep::new(kit::table());
    let mut cache = CacheLayer::new(&keep).layer(inner.clone());
    compare(
        "a request that no route names (goal: 1.15 x in instructions, no allocation more)",
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
        ],
    );
}
