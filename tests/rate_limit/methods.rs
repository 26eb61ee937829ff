//! Limits of single methods.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tower::Layer;
use tower_keep::{
    Keep, Limit, RateLimitLayer, Table, UserId,
    table::{By, mins},
};

use super::{admitted, origin};

fn by_method(name: &str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::from_bytes(name.as_bytes()).expect("a method"))
        .uri("/login")
        .extension(UserId::new("alice"))
        .body(Full::default())
        .expect("a request")
}

/// Regression: HEAD ran the handler of GET uncounted.
#[tokio::test]
async fn a_limit_of_get_counts_head() {
    for (listed, counts) in [("GET", true), ("HEAD", true), ("POST", false)] {
        let limit = Limit::new("read", 1, mins(1)).methods(listed).by(By::User);
        let keep = Keep::new(Table::new().limit(limit)).expect("a valid table");
        let mut service = RateLimitLayer::new(&keep).layer(origin());
        let seen = admitted(&mut service, 3, || by_method("HEAD")).await;
        assert_eq!(seen == 1, counts, "{listed}: {seen}");
        let of_get = admitted(&mut service, 1, || by_method("GET")).await;
        assert_eq!(of_get == 0, listed == "GET", "{listed}");
    }
}

/// Regression: `post` was not counted, although many servers take it for POST.
#[tokio::test]
async fn a_method_in_lower_case_is_counted_like_the_method() {
    let limit = Limit::new("login", 3, mins(1)).methods("POST").by(By::User);
    let keep = Keep::new(Table::new().limit(limit)).expect("a valid table");
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(admitted(&mut service, 2, || by_method("post")).await, 2);
    assert_eq!(admitted(&mut service, 2, || by_method("Post")).await, 1);
    assert_eq!(admitted(&mut service, 2, || by_method("POST")).await, 0);
    assert_eq!(admitted(&mut service, 5, || by_method("PUT")).await, 5);
}
