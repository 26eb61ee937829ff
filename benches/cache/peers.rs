//! In-process caches of the same head and body, without HTTP semantics.

use std::{hint::black_box, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;

use super::{
    kit::{self, Warm},
    support::{Case, compare, inner::Inner},
};

type Stored = Arc<(HeaderMap, Bytes)>;

pub(crate) fn run() {
    let inner = Inner::new(1024);
    let warm = Warm::new(kit::table(), kit::keys(), 1024);
    let names: Vec<String> = (0..kit::keys())
        .map(|i| format!("engagement:{i:036}"))
        .collect();
    let moka = moka::sync::Cache::<String, Stored>::new(2 * names.len() as u64);
    let quick = quick_cache::sync::Cache::<String, Stored>::new(2 * names.len());
    for name in &names {
        let stored = || Arc::new((inner.head().clone(), inner.body().clone()));
        moka.insert(name.clone(), stored());
        quick.insert(name.clone(), stored());
    }
    compare(
        "in-process caches of the same head and body, without a service, keys or rules",
        vec![
            Case::new("CacheLayer, local hit", warm.hits()),
            Case::new(
                "moka, get and clone",
                in_turn(&names, |name| moka.get(name)),
            ),
            Case::new(
                "quick_cache, get and clone",
                in_turn(&names, |name| quick.get(name)),
            ),
            Case::new("quick_cache, get alone", |n| {
                for name in names.iter().cycle().take(n as usize) {
                    black_box(quick.get(name));
                }
            }),
        ],
    );
}

/// Looks up the names in turn and builds a response from each value.
fn in_turn(names: &[String], get: impl Fn(&String) -> Option<Stored>) -> impl FnMut(u64) {
    let mut at = 0;
    move |n| {
        for _ in 0..n {
            at = (at + 1) % names.len();
            let stored = get(&names[at]).expect("it was inserted");
            let mut response = Response::new(Full::new(stored.1.clone()));
            *response.headers_mut() = stored.0.clone();
            drop(black_box(response));
        }
    }
}
