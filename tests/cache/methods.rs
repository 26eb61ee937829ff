//! Methods other than GET and HEAD (RFC 9111 section 4.4, RFC 9110 section 9.3.3, QUERY), and
//! equivalent queries (No-Vary-Search).

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_keep::{InvalidateLayer, Keep, Table, cache::Cache};

use crate::common::{
    client::{TestResponse, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Sends a write to the cache layer, or to an `InvalidateLayer` above it.
async fn write(
    above: bool,
    keep: &Keep,
    service: &Cache<Origin>,
    request: Request<Full<Bytes>>,
) -> TestResponse {
    if above {
        send(&InvalidateLayer::new(keep).layer(service.clone()), request).await
    } else {
        send(service, request).await
    }
}

#[tokio::test]
async fn a_success_invalidates_and_an_error_does_not() {
    for ((method, status, hit), above) in [
        ("POST", 200, false),
        ("PUT", 204, false),
        ("DELETE", 303, false),
        ("M-SEARCH", 200, false),
        ("POST", 404, true),
        ("PUT", 500, true),
        ("OPTIONS", 200, true),
    ]
    .into_iter()
    .flat_map(|case| [(case, false), (case, true)])
    {
        let keep = new_keep(Table::new());
        let origin = Origin::new(move |parts, call| match parts.method.as_str() {
            "GET" => response(200, &[FRESH], if call == 1 { "one" } else { "two" }),
            _ => response(status, &[], ""),
        });
        let service = cached(&keep, &origin);
        send(&service, get("/a?b=1")).await;
        write(above, &keep, &service, request(method, "/a?b=1", &[])).await;
        let third = send(&service, get("/a?b=1")).await;
        assert_eq!(third.body == "one", hit, "{method} {status} {above}");
    }
}

#[tokio::test]
async fn location_fields_of_the_same_origin_are_invalidated() {
    for (location, hit) in [
        ("/a", false),
        ("a", false),
        ("http://example.com/a", false),
        ("http://example.org/a", true),
    ] {
        let keep = new_keep(Table::new());
        let origin = Origin::new(move |parts, call| match parts.method.as_str() {
            "GET" => response(200, &[FRESH], if call == 1 { "one" } else { "two" }),
            _ => response(201, &[("content-location", location)], ""),
        });
        let service = cached(&keep, &origin);
        let host = [("host", "example.com")];
        send(&service, request("GET", "/a", &host)).await;
        send(&service, request("POST", "/b", &host)).await;
        let third = send(&service, request("GET", "/a", &host)).await;
        assert_eq!(third.body == "one", hit, "{location}");
    }
}

#[tokio::test]
async fn a_post_response_with_its_own_content_location_answers_a_later_get() {
    // RFC 9110 section 9.3.3.
    let own = ("content-location", "/a");
    for ((status, fields, hit), above) in [
        (200, vec![FRESH, own], true),
        (200, vec![own], false),
        (200, vec![FRESH], false),
        (200, vec![FRESH, ("content-location", "/b")], false),
        (201, vec![FRESH, own], false),
    ]
    .into_iter()
    .flat_map(|case| [(case.clone(), false), (case, true)])
    {
        let keep = new_keep(Table::new());
        let of_post = fields.clone();
        let origin = Origin::new(move |parts, _| match parts.method.as_str() {
            "POST" => response(status, &of_post, "of the post"),
            _ => response(200, &[FRESH], "of a get"),
        });
        let service = cached(&keep, &origin);
        send(&service, get("/a")).await;
        let post = request("POST", "/a", &[]);
        assert_eq!(
            write(above, &keep, &service, post).await.body,
            "of the post"
        );
        let third = send(&service, get("/a")).await;
        assert_eq!(
            third.body == "of the post",
            hit,
            "{status} {fields:?} {above}"
        );
    }
}

fn query(content: &'static str) -> Request<Full<Bytes>> {
    let builder = Request::builder()
        .method("QUERY")
        .uri("/a")
        .header("content-type", "text/plain");
    builder.body(content.into()).expect("a request")
}

#[tokio::test]
async fn the_content_of_a_query_is_part_of_its_key() {
    let keep = new_keep(Table::new());
    let origin = Origin::with_fields(&[FRESH]);
    let service = cached(&keep, &origin);
    assert_eq!(send(&service, query("one")).await.body, "call 1");
    assert_eq!(send(&service, query("two")).await.body, "call 2");
    assert_eq!(send(&service, query("one")).await.body, "call 1");
    assert_eq!(send(&service, get("/a")).await.body, "call 3");
    let other_type = query("one").map(|body| body);
    let (mut parts, body) = other_type.into_parts();
    parts
        .headers
        .insert("content-type", "text/html".parse().expect("a value"));
    assert_eq!(
        send(&service, Request::from_parts(parts, body)).await.body,
        "call 4"
    );
}

fn searching(rule: &'static str) -> Origin {
    Origin::new(move |_, call| {
        let body = ["one", "two", "three", "four", "five", "six"][(call - 1).min(5)];
        response(200, &[FRESH, ("no-vary-search", rule)], body)
    })
}

#[tokio::test]
async fn equivalent_queries_share_a_response() {
    for (rule, queries, bodies) in [
        (
            "params=(\"utm\")",
            ["?a=1&utm=x", "?utm=y&a=1", "?a=2", "?a=1"],
            ["one", "one", "two", "one"],
        ),
        (
            "key-order",
            ["?a=1&b=2", "?b=2&a=1", "?a=2&b=1", "?b=2&a=1"],
            ["one", "one", "two", "one"],
        ),
        (
            "params, except=(\"a\")",
            ["?a=1&b=2", "", "?a=1&c=3", "?b=2&a=1"],
            ["one", "two", "three", "four"],
        ),
        (
            "except=(\"a\")",
            ["?a=1&b=2", "", "?a=1&c=3", "?c=3"],
            ["one", "two", "one", "two"],
        ),
        (
            "",
            ["?a=1&b=2", "?b=2&a=1", "?a=1&b=2", "?a=1"],
            ["one", "two", "one", "three"],
        ),
    ] {
        let keep = new_keep(Table::new());
        let service = cached(&keep, &searching(rule));
        for (query, body) in queries.into_iter().zip(bodies) {
            let response = send(&service, get(&format!("/a{query}"))).await;
            assert_eq!(response.body, body, "{rule}: {query}");
        }
    }
}

#[tokio::test]
async fn a_write_invalidates_all_equivalent_queries() {
    let keep = new_keep(Table::new());
    let service = cached(&keep, &searching("params=(\"utm\")"));
    assert_eq!(send(&service, get("/a?x=1&utm=1")).await.body, "one");
    send(&service, request("PUT", "/a?x=1", &[])).await;
    assert_eq!(send(&service, get("/a?x=1&utm=2")).await.body, "three");
}

#[tokio::test]
async fn no_vary_search_applies_only_to_responses_that_send_it() {
    // The second response no longer declares `utm` irrelevant.
    let keep = new_keep(Table::new());
    let origin = Origin::new(|_, call| match call {
        1 => response(
            200,
            &[
                ("cache-control", "max-age=0"),
                ("etag", "\"a\""),
                ("no-vary-search", "params=(\"utm\")"),
            ],
            "one",
        ),
        2 => response(200, &[FRESH], "two"),
        _ => response(200, &[FRESH], "three"),
    });
    let service = cached(&keep, &origin);
    assert_eq!(send(&service, get("/a?utm=1")).await.body, "one");
    assert_eq!(send(&service, get("/a")).await.body, "two");
    assert_eq!(send(&service, get("/a?utm=2")).await.body, "three");
}
