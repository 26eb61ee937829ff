//! Validation of stored responses (RFC 9111 section 4.3).

use std::time::{Duration, SystemTime};

use tower_keep::{Route, Scope, Table, table::mins};

use crate::common::{
    client::{advance, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

const STALE_SOON: (&str, &str) = ("cache-control", "max-age=1");

/// 304 to the validators of `"one"`, else 200.
fn validating(unmodified: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts, call| {
        let asked = parts.headers.get("if-none-match");
        if call > 1 && asked.is_some_and(|tag| tag == "\"one\"") {
            response(304, unmodified, "")
        } else {
            response(
                200,
                &[("etag", "\"one\""), STALE_SOON, ("x-version", "1")],
                "body",
            )
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_304_updates_the_stored_response() {
    // RFC 9111 sections 4.3.4 and 3.2.
    let keep = new_keep(Table::new());
    let origin = validating(&[
        ("cache-control", "max-age=60"),
        ("x-version", "2"),
        ("content-length", "0"),
    ]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    let second = send(&service, get("/a")).await;
    assert_eq!((second.status, second.body.as_str()), (200, "body"));
    assert_eq!(second.headers["x-version"], "2");
    assert_eq!(second.headers["content-length"], "4");
    assert_eq!(
        second.cache_status(),
        "tower-keep; fwd=stale; fwd-status=304; stored"
    );
    advance(30).await;
    assert_eq!(send(&service, get("/a")).await.headers["age"], "30");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn conditional_requests_are_answered_from_the_stored_response() {
    // RFC 9111 section 4.3.2, RFC 9110 sections 13.1.2, 13.1.3 and 13.2.2.
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let tagged = [
        ("etag", "\"one\""),
        ("last-modified", modified),
        ("content-type", "text/plain"),
    ];
    let (none_match, since) = ("if-none-match", "if-modified-since");
    let before = "Sun, 06 Nov 1994 08:49:36 GMT";
    for (stored, asked, status) in [
        (&tagged[..], &[(none_match, "\"one\"")][..], 304),
        (&tagged, &[(none_match, "\"two\", W/\"one\"")], 304),
        (
            &tagged,
            &[(none_match, "\"two\""), (none_match, "\"one\"")],
            304,
        ),
        (&tagged, &[(none_match, "*")], 304),
        (&tagged, &[(none_match, "\"two\"")], 200),
        (&tagged, &[(since, modified)], 304),
        (&tagged, &[(since, "Sunday, 06-Nov-94 08:49:37 GMT")], 304),
        (&tagged, &[(since, "Sun Nov  6 08:49:37 1994")], 304),
        (&tagged, &[(since, before)], 200),
        (&tagged, &[(since, "1994-11-06")], 200),
        // `If-None-Match` takes precedence over dates.
        (&tagged, &[(none_match, "\"two\""), (since, modified)], 200),
        (&tagged, &[(none_match, "\"one\""), (since, before)], 304),
        // These are evaluated by the origin only.
        (&tagged, &[("if-match", "\"two\"")], 200),
        (&tagged, &[("if-unmodified-since", before)], 200),
    ] {
        let mut fields = stored.to_vec();
        fields.extend([
            ("expires", "Fri, 01 Jan 2100 00:00:00 GMT"),
            ("x-kept", "1"),
        ]);
        let origin = Origin::script(vec![Ok(response(200, &fields, "body"))]);
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, get("/a")).await;
        let seen = send(&service, request("GET", "/a", asked)).await;
        assert_eq!((seen.status, origin.calls()), (status, 1), "{asked:?}");
        // RFC 9110 section 15.4.5.
        for (name, value) in fields {
            let content = status == 304 && name == "content-type";
            let expected = (!content).then_some(value);
            let found = seen.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(found, expected, "{name} for {asked:?}");
        }
        assert!(seen.headers.contains_key("date") && seen.headers.contains_key("age"));
    }
    // Without `Last-Modified`, `Date` is compared.
    let now = SystemTime::now();
    let [today, yesterday] =
        [0, 24 * 3600].map(|ago| httpdate::fmt_http_date(now - Duration::from_secs(ago)));
    let fields = [("date", today.as_str()), ("cache-control", "max-age=60")];
    let origin = Origin::script(vec![Ok(response(200, &fields, "body"))]);
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    for (asked, status) in [(&today, 304), (&yesterday, 200)] {
        let seen = send(&service, request("GET", "/a", &[(since, asked)])).await;
        assert_eq!((seen.status, origin.calls()), (status, 1), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_412_to_a_condition_of_the_layer_is_retried_without_it() {
    // RFC 9110 section 15.5.13: the client has set none.
    let keep = new_keep(Table::new());
    let origin = Origin::new(|parts, call| match parts.headers.get("if-none-match") {
        Some(_) => response(412, &[], "no"),
        None => response(
            200,
            &[("etag", "\"one\""), STALE_SOON],
            if call == 1 { "one" } else { "two" },
        ),
    });
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    let second = send(&service, get("/a")).await;
    assert_eq!((second.status, second.body.as_str()), (200, "two"));
    assert_eq!(origin.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_304_with_no_store_removes_the_stored_response() {
    let keep = new_keep(Table::new());
    let origin = validating(&[("cache-control", "no-store")]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    assert_eq!(send(&service, get("/a")).await.body, "body");
    let third = send(&service, get("/a")).await;
    assert_eq!(third.cache_status(), "tower-keep; fwd=uri-miss; stored");
}

#[tokio::test(start_paused = true)]
async fn a_304_to_a_request_with_credentials_leaves_the_stored_response() {
    let keep = new_keep(Table::new());
    let origin = validating(&[("etag", "\"one\"")]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    let user = request("GET", "/a", &[("authorization", "Basic YTpi")]);
    assert_eq!(send(&service, user).await.body, "body");
    let third = send(&service, get("/a")).await;
    assert_eq!(
        third.cache_status(),
        "tower-keep; fwd=stale; fwd-status=304; stored"
    );
}

#[tokio::test(start_paused = true)]
async fn a_304_for_another_representation_is_retried_without_conditions() {
    let keep = new_keep(Table::new());
    let origin = Origin::new(|parts, call| match call {
        1 => response(200, &[("etag", "\"one\""), STALE_SOON], "one"),
        2 => response(304, &[("etag", "\"two\"")], ""),
        _ => {
            assert!(!parts.headers.contains_key("if-none-match"));
            response(200, &[("etag", "\"two\"")], "two")
        }
    });
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    assert_eq!(send(&service, get("/a")).await.body, "two");
}

#[tokio::test(start_paused = true)]
async fn an_entry_refuted_by_a_full_response_is_removed() {
    // RFC 9111 section 4.3.3: the full response replaces the stored one, but may not be stored.
    let keep = new_keep(Table::new());
    let script = vec![
        Ok(response(
            200,
            &[
                ("etag", "\"one\""),
                ("cache-control", "max-age=1, stale-if-error=60"),
            ],
            "one",
        )),
        Ok(response(200, &[("cache-control", "no-store")], "two")),
        Ok(response(503, &[], "three")),
    ];
    let service = cached(&keep, &Origin::script(script));
    send(&service, get("/a")).await;
    advance(5).await;
    assert_eq!(send(&service, get("/a")).await.body, "two");
    assert_eq!(send(&service, get("/a")).await.body, "three");
}

#[tokio::test(start_paused = true)]
async fn a_clients_condition_is_evaluated_on_the_validated_response() {
    let keep = new_keep(Table::new());
    let script = vec![
        Ok(response(200, &[("etag", "\"one\""), STALE_SOON], "one")),
        Ok(response(200, &[("etag", "\"two\""), STALE_SOON], "two")),
    ];
    let service = cached(&keep, &Origin::script(script));
    send(&service, get("/a")).await;
    advance(5).await;
    let knows_two = request("GET", "/a", &[("if-none-match", "\"two\"")]);
    let second = send(&service, knows_two).await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
}

#[tokio::test]
async fn a_listed_route_is_filled_by_a_conditional_request() {
    let table = Table::new().ttl("thing", mins(1)).route(
        Route::new("/things/{id}")
            .key("thing:{id}")
            .scope(Scope::Public),
    );
    let keep = new_keep(table);
    let origin = Origin::new(|parts, _| {
        assert!(!parts.headers.contains_key("if-none-match"));
        assert!(!parts.headers.contains_key("range"));
        response(200, &[("etag", "\"one\"")], "body")
    });
    let service = cached(&keep, &origin);
    let knowing = |path| request("GET", path, &[("if-none-match", "\"one\"")]);
    assert_eq!(send(&service, knowing("/things/1")).await.status, 304);
    assert_eq!(send(&service, get("/things/1")).await.body, "body");
    let part = request("GET", "/things/2", &[("range", "bytes=1-2")]);
    let part = send(&service, part).await;
    assert_eq!((part.status, part.body.as_str()), (206, "od"));
    assert_eq!(send(&service, get("/things/2")).await.body, "body");
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_head_response_updates_or_invalidates_a_stored_get() {
    // RFC 9111 section 4.3.5.
    for (fields, hit) in [
        (
            &[("etag", "\"one\""), ("cache-control", "max-age=60")][..],
            true,
        ),
        (
            &[("etag", "\"two\""), ("cache-control", "max-age=60")],
            false,
        ),
        (
            &[("content-length", "9"), ("cache-control", "max-age=60")],
            false,
        ),
    ] {
        let keep = new_keep(Table::new());
        let script = vec![
            Ok(response(
                200,
                &[
                    ("etag", "\"one\""),
                    STALE_SOON,
                    ("vary", "accept"),
                    ("x-known", "1"),
                ],
                "one",
            )),
            Ok(response(200, fields, "")),
            Ok(response(200, &[], "three")),
        ];
        let service = cached(&keep, &Origin::script(script));
        send(&service, get("/a")).await;
        advance(5).await;
        let head = send(&service, request("HEAD", "/a", &[])).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        // The updated entry has the fields that the next response will have.
        assert_eq!(head.headers.contains_key("x-known"), hit, "{head:?}");
        let said = if hit { "stored" } else { "detail=method" };
        let status = format!("tower-keep; fwd=stale; {said}");
        assert_eq!(head.cache_status(), status);
        let third = send(&service, get("/a")).await;
        assert_eq!(third.body == "one", hit, "{fields:?}: {third:?}");
        if !hit {
            assert_eq!(
                third.cache_status(),
                "tower-keep; fwd=uri-miss; detail=no-lifetime"
            );
        }
    }
}
