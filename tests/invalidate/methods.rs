//! Which methods invalidate.

use tower::Layer;
use tower_keep::{InvalidateLayer, Route, Table};

use crate::common::{
    client::{get, request, send},
    keeps::{engagements_with, new_keep},
    origin::{Origin, cached},
};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Regression: a server that takes `get` for GET answered 200, and the entry was gone.
#[tokio::test]
async fn a_safe_method_in_lower_case_invalidates_nothing() {
    let with_post = |route: Route| route.safe_methods("POST").invalidates("engagement:*");
    for (method, path, invalidates) in [
        ("get", "/engagements/1", false),
        ("Head", "/engagements/1", false),
        ("options", "/engagements/1", false),
        ("propfind", "/engagements/1", false),
        ("post", "/engagements/1", false),
        ("put", "/engagements/1", true),
        ("foo", "/engagements/1", true),
        ("get", "/unlisted", false),
        ("post", "/unlisted", true),
    ] {
        for above in [false, true] {
            let keep = new_keep(engagements_with(with_post));
            let origin = Origin::with_fields(FRESH);
            let service = cached(&keep, &origin);
            send(&service, get(path)).await;
            let other = request(method, path, &[]);
            let response = match above {
                true => send(&InvalidateLayer::new(&keep).layer(service.clone()), other).await,
                false => send(&service, other).await,
            };
            assert_eq!(
                response.body, "call 2",
                "{method} is not answered from the store"
            );
            let expected = if invalidates { "call 3" } else { "call 1" };
            let case = (method, path, above);
            assert_eq!(send(&service, get(path)).await.body, expected, "{case:?}");
        }
    }
}

/// With `{#body}` in the key, every safe method is looked up.
#[tokio::test]
async fn the_answer_to_a_method_in_lower_case_answers_no_other_request() {
    let route = Route::new("/search")
        .key("search:{#body}")
        .safe_methods("POST");
    let keep = new_keep(Table::new().route(route));
    let origin = Origin::with_fields(FRESH);
    let service = cached(&keep, &origin);
    for (call, method) in ["get", "post", "GET", "get", "post"].iter().enumerate() {
        let response = send(&service, request(method, "/search", &[])).await;
        assert_eq!(response.body, format!("call {}", call + 1), "{method}");
    }
}
