//! Freshness lifetimes, and the request directives that restrict them (RFC 9111 sections 4.2 and
//! 5.2.1).

use tower_keep::{Table, table::Unlisted};

use crate::common::{
    client::{advance, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

/// Whether a response stored with these fields is a hit after `seconds`, for a request with the fields
/// `asked`.
async fn is_hit(fields: &[(&str, &str)], seconds: u64, asked: &[(&str, &str)]) -> bool {
    let keep = new_keep(Table::new());
    let origin = Origin::script(vec![
        Ok(response(200, fields, "one")),
        Ok(response(200, &[], "two")),
    ]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(seconds).await;
    let second = send(&service, request("GET", "/a", asked)).await;
    assert_eq!(
        second.body == "one",
        second.headers.contains_key("age"),
        "{second:?}"
    );
    second.body == "one"
}

#[tokio::test(start_paused = true)]
async fn a_response_is_fresh_for_its_stated_lifetime() {
    // RFC 9111 section 4.2.1: s-maxage, max-age, Expires, in this order.
    for (fields, seconds, hit) in [
        (&[("cache-control", "max-age=10")][..], 9, true),
        (&[("cache-control", "max-age=10")], 10, false),
        (&[("cache-control", "max-age=10, s-maxage=1")], 5, false),
        (&[("cache-control", "max-age=1, s-maxage=10")], 5, true),
        (
            &[("expires", "0"), ("cache-control", "max-age=10")],
            5,
            true,
        ),
        (&[("expires", "0")], 0, false),
        (&[("cache-control", "max-age=10"), ("age", "8")], 1, true),
        (&[("cache-control", "max-age=10"), ("age", "8")], 2, false),
        (&[("cache-control", "no-store, max-age=10")], 0, false),
        (&[("cache-control", "private, max-age=10")], 0, false),
        (&[("cache-control", "max-age=10, no-cache")], 0, false),
        // RFC 9213 section 2.2: the targeted field counts alone.
        (
            &[
                ("cache-control", "no-store"),
                ("cdn-cache-control", "max-age=10"),
            ],
            5,
            true,
        ),
        (
            &[
                ("cache-control", "max-age=10"),
                ("cdn-cache-control", "no-store"),
            ],
            5,
            false,
        ),
    ] {
        assert_eq!(
            is_hit(fields, seconds, &[]).await,
            hit,
            "{fields:?} after {seconds} s"
        );
    }
}

#[tokio::test]
async fn heuristic_freshness_applies_without_explicit_freshness() {
    // RFC 9111 section 4.2.2; RFC 9110 section 15.1 and RFC 7725 section 3 for the statuses.
    let old = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (status, fields, hit) in [
        (200, &[old][..], true),
        (404, &[old], true),
        (451, &[old], true),
        (201, &[old], false),
        (302, &[old], false),
        (500, &[old], false),
        (200, &[], false),
        (200, &[old, ("cache-control", "max-age=0")], false),
        (200, &[old, ("expires", "0")], false),
        // These concern one request.
        (429, &[("cache-control", "max-age=60")], false),
        (400, &[("cache-control", "max-age=60")], false),
        (599, &[("cache-control", "max-age=60")], true),
    ] {
        let origin = Origin::script(vec![Ok(response(status, fields, ""))]);
        let table = Table::new().unlisted(Unlisted::Standard);
        let service = cached(&new_keep(table), &origin);
        send(&service, get("/a")).await;
        send(&service, get("/a")).await;
        assert_eq!(origin.calls() == 1, hit, "{status} {fields:?}");
    }
}

#[tokio::test]
async fn fields_named_by_no_cache_or_private_are_not_replayed() {
    // RFC 9111 sections 5.2.2.4 and 5.2.2.7: the qualified forms.
    let fields = [
        (
            "cache-control",
            "max-age=60, no-cache=\"x-a, X-B\", private=x-c",
        ),
        ("x-a", "1"),
        ("x-b", "1"),
        ("x-c", "1"),
        ("x-d", "1"),
    ];
    let origin = Origin::script(vec![Ok(response(200, &fields, "one"))]);
    let service = cached(&new_keep(Table::new()), &origin);
    for hit in [false, true] {
        let seen = send(&service, get("/a")).await;
        assert_eq!(seen.headers.contains_key("age"), hit);
        for name in ["x-a", "x-b", "x-c"] {
            assert_eq!(seen.headers.contains_key(name), !hit, "{name}");
        }
        assert_eq!(seen.headers["x-d"], "1");
    }
}

#[tokio::test(start_paused = true)]
async fn request_directives_restrict_or_extend_freshness() {
    // RFC 9111 sections 5.2.1.1 to 5.2.1.4.
    let fields = [("cache-control", "max-age=10")];
    for (wish, seconds, hit) in [
        ("max-age=3", 3, true),
        ("max-age=3", 4, false),
        ("min-fresh=5", 5, true),
        ("min-fresh=5", 6, false),
        ("max-stale=5", 15, true),
        ("max-stale=5", 16, false),
        ("max-stale", 1000, true),
        ("no-cache", 0, false),
    ] {
        let asked = [("cache-control", wish)];
        assert_eq!(
            is_hit(&fields, seconds, &asked).await,
            hit,
            "{wish} after {seconds} s"
        );
    }
    let strict = [("cache-control", "max-age=10, must-revalidate")];
    assert!(!is_hit(&strict, 11, &[("cache-control", "max-stale")]).await);
}

#[tokio::test]
async fn a_request_with_no_store_is_not_stored() {
    // RFC 9111 section 5.2.1.5.
    let keep = new_keep(Table::new());
    let origin = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&keep, &origin);
    let secret = request("GET", "/a", &[("cache-control", "no-store")]);
    send(&service, secret).await;
    assert_eq!(send(&service, get("/a")).await.body, "call 2");
}

#[tokio::test]
async fn only_if_cached_never_calls_the_origin() {
    // RFC 9111 section 5.2.1.7.
    let keep = new_keep(Table::new());
    let origin = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&keep, &origin);
    let ask = || request("GET", "/a", &[("cache-control", "only-if-cached")]);
    assert_eq!(send(&service, ask()).await.status, 504);
    assert_eq!(origin.calls(), 0);
    send(&service, get("/a")).await;
    assert_eq!(send(&service, ask()).await.body, "call 1");
}

#[tokio::test]
async fn a_response_to_credentials_is_shared_only_with_explicit_permission() {
    // RFC 9111 section 3.5.
    for (directives, shared) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
        ("max-age=60, proxy-revalidate", false),
    ] {
        let keep = new_keep(Table::new());
        let fields = [("cache-control", directives)];
        let script = vec![
            Ok(response(200, &fields, "one")),
            Ok(response(200, &[], "two")),
        ];
        let service = cached(&keep, &Origin::script(script));
        send(
            &service,
            request("GET", "/a", &[("authorization", "Basic YTpi")]),
        )
        .await;
        let second = send(&service, get("/a")).await;
        assert_eq!(second.body == "one", shared, "{directives}");
    }
}

#[tokio::test]
async fn a_get_with_content_bypasses_the_cache() {
    // RFC 9110 section 9.3.1: the content of a GET has no defined meaning.
    let keep = new_keep(Table::new());
    let origin = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&keep, &origin);
    let with_content = get("/a").map(|_| String::from("poison"));
    let first = send(&service, with_content).await;
    assert_eq!(first.cache_status(), "tower-keep; fwd=bypass");
    assert_eq!(send(&service, get("/a")).await.body, "call 2");
}
