//! `Vary` (RFC 9111 section 4.1).

use tower_keep::Table;

use crate::common::{
    client::{advance, request, send},
    keeps::new_keep,
    origin::{FullResponse, Origin, cached, response},
};

fn varying(vary: &'static str) -> Origin {
    Origin::new(move |_, call| {
        let body = ["one", "two", "three", "four", "five"][(call - 1).min(4)];
        response(
            200,
            &[("cache-control", "max-age=60"), ("vary", vary)],
            body,
        )
    })
}

async fn bodies(origin: &Origin, requests: &[&[(&str, &str)]]) -> Vec<String> {
    let keep = new_keep(Table::new());
    let service = cached(&keep, origin);
    let mut bodies = Vec::new();
    for fields in requests {
        bodies.push(send(&service, request("GET", "/a", fields)).await.body);
    }
    bodies
}

#[tokio::test]
async fn equivalent_values_select_the_same_response() {
    let accept = |value| [("accept-encoding", value)];
    let same = ["gzip, br;q=0.5", "br;q=0.5,gzip", "GZIP , br;q=0.50"].map(accept);
    let requests: Vec<_> = same.iter().map(|fields| &fields[..]).collect();
    assert_eq!(
        bodies(&varying("accept-encoding"), &requests).await,
        ["one"; 3]
    );
    let other: [&[_]; 3] = [
        &[("accept", "1,2")],
        &[("accept", "1"), ("accept", "2")],
        &[("accept", "2, 1")],
    ];
    assert_eq!(
        bodies(&varying("Accept"), &other).await,
        ["one", "one", "two"]
    );
}

#[tokio::test]
async fn an_absent_field_differs_from_an_empty_one() {
    let requests: [&[_]; 4] = [&[], &[("foo", "")], &[], &[("foo", "")]];
    assert_eq!(
        bodies(&varying("foo"), &requests).await,
        ["one", "two", "one", "two"]
    );
}

#[tokio::test]
async fn vary_star_matches_no_request() {
    assert_eq!(
        bodies(&varying("foo, *"), &[&[], &[]]).await,
        ["one", "two"]
    );
}

#[tokio::test]
async fn the_most_recent_of_several_that_match_is_selected() {
    // Stored with different `Vary`, both match the third request.
    let origin = Origin::new(|_, call| {
        let (vary, body) = if call == 1 {
            ("foo", "one")
        } else {
            ("bar", "two")
        };
        response(
            200,
            &[("cache-control", "max-age=60"), ("vary", vary)],
            body,
        )
    });
    let requests: [&[_]; 3] = [&[("foo", "1")], &[("foo", "2")], &[("foo", "1")]];
    assert_eq!(bodies(&origin, &requests).await, ["one", "two", "two"]);
}

#[tokio::test]
async fn the_number_of_variants_is_limited() {
    let keep = new_keep(Table::new());
    let origin = Origin::with_fields(&[("cache-control", "max-age=60"), ("vary", "foo")]);
    let service = cached(&keep, &origin);
    for number in 0..65 {
        send(
            &service,
            request("GET", "/a", &[("foo", &number.to_string())]),
        )
        .await;
    }
    assert_eq!(
        send(&service, request("GET", "/a", &[("foo", "64")]))
            .await
            .body,
        "call 65"
    );
    assert_eq!(
        send(&service, request("GET", "/a", &[("foo", "0")]))
            .await
            .body,
        "call 66"
    );
}

#[tokio::test(start_paused = true)]
async fn a_304_may_change_vary() {
    let keep = new_keep(Table::new());
    let origin = Origin::new(|parts, call| -> FullResponse {
        let fields = [
            ("etag", "\"one\""),
            ("cache-control", "max-age=60"),
            ("vary", "foo"),
        ];
        match call {
            1 => response(
                200,
                &[("etag", "\"one\""), ("cache-control", "max-age=1")],
                "one",
            ),
            _ if parts.headers.contains_key("if-none-match") => response(304, &fields, ""),
            _ => response(200, &fields, "other"),
        }
    });
    let service = cached(&keep, &origin);
    let ask = |value| request("GET", "/a", &[("foo", value)]);
    send(&service, ask("1")).await;
    advance(5).await;
    assert_eq!(send(&service, ask("1")).await.body, "one");
    assert_eq!(send(&service, ask("1")).await.body, "one");
    assert_eq!(send(&service, ask("2")).await.body, "other");
    assert_eq!(origin.calls(), 3);
}

#[tokio::test]
async fn a_request_that_selects_no_variant_reports_vary_miss() {
    // RFC 9211 section 2.2.
    let keep = new_keep(Table::new());
    let service = cached(&keep, &varying("foo"));
    let first = send(&service, request("GET", "/a", &[("foo", "1")])).await;
    assert_eq!(first.cache_status(), "tower-keep; fwd=uri-miss; stored");
    let second = send(&service, request("GET", "/a", &[("foo", "2")])).await;
    assert_eq!(second.cache_status(), "tower-keep; fwd=vary-miss; stored");
}
