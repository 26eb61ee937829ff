//! Ways in which one client, or the network, could poison the responses of others.

use bytes::Bytes;
use http::{HeaderValue, Request, Version};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tower::Layer;
use tower_keep::{
    InvalidateLayer, Keep, Route, Table,
    table::{Identity, Through, Write},
};

use crate::common::{
    client::{TestResponse, advance, get, request, send},
    keeps::new_keep,
    origin::{FullResponse, Origin, cached, response},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Sends a request through a `CacheLayer`, with or without an `InvalidateLayer` above it.
async fn sent(
    keep: &Keep,
    origin: &Origin,
    above: bool,
    request: Request<Full<Bytes>>,
) -> TestResponse {
    let service = cached(keep, origin);
    if above {
        send(&InvalidateLayer::new(keep).layer(service), request).await
    } else {
        send(&service, request).await
    }
}

fn with_fields(
    mut request: Request<Full<Bytes>>,
    fields: &[(&'static str, &'static str)],
) -> Request<Full<Bytes>> {
    for (name, value) in fields {
        let value = HeaderValue::from_static(value);
        request.headers_mut().append(*name, value);
    }
    request
}

/// The host as seen by a server that reads the last `Host` field.
fn by_last_host(parts: &http::request::Parts) -> &'static str {
    let host = parts.headers.get_all("host").iter().next_back();
    match host.and_then(|host| host.to_str().ok()) {
        Some(host) if host.contains("evil") => "evil",
        _ => "good",
    }
}

/// Regression: a POST response was stored for the first host, but the server answered for the last.
#[tokio::test]
async fn a_post_response_for_another_host_is_not_stored() {
    let post = |uri: &str, hosts: &[(&'static str, &'static str)]| {
        with_fields(request("POST", uri, &[]), hosts)
    };
    let (good, evil) = (("host", "good.example"), ("host", "evil.example"));
    for above in [false, true] {
        // In HTTP/1.1, the authority of the target replaces a sole `Host`.
        let mut http_2 = post("http://good.example/a", &[evil]);
        *http_2.version_mut() = Version::HTTP_2;
        for poison in [
            post("/a", &[good, evil]),
            post("http://good.example/a", &[good, evil]),
            http_2,
        ] {
            let origin = Origin::new(|parts, _| {
                let own = [FRESH, ("content-location", "/a")];
                response(200, &own, by_last_host(parts))
            });
            let keep = new_keep(Table::new());
            assert_eq!(sent(&keep, &origin, above, poison).await.body, "evil");
            let victim = with_fields(get("/a"), &[good]);
            let seen = sent(&keep, &origin, above, victim).await;
            assert_eq!(seen.body, "good", "{above}");
        }
    }
}

/// Regression: userinfo before `@` was not in the key, yet pages that copy `Host` into links contained
/// it. Such a request is malformed (RFC 9112 section 3.2).
#[tokio::test]
async fn a_response_to_an_invalid_host_is_not_shared() {
    let routes = [
        ("/a", Table::new()),
        (
            "/hosts/1",
            Table::new().route(Route::new("/hosts/{id}").key("host:{host}:{id}")),
        ),
        (
            "/own/1",
            Table::new().route(
                Route::new("/own/{id}")
                    .key("own:{id}")
                    .host(["good.example"]),
            ),
        ),
    ];
    for (path, table) in routes {
        for host in [
            "evil.example@good.example",
            "evil.example/?@good.example",
            "evil.example#@good.example:80",
        ] {
            let origin = Origin::new(|parts, _| response(200, &[FRESH], by_last_host(parts)));
            let service = cached(&new_keep(table.clone()), &origin);
            let poison = request("GET", path, &[("host", host)]);
            let seen = send(&service, poison).await;
            assert_eq!(seen.body, "evil");
            assert!(seen.cache_status().contains("fwd=bypass"), "{seen:?}");
            let victim = request("GET", path, &[("host", "good.example")]);
            assert_eq!(send(&service, victim).await.body, "good", "{path} {host}");
        }
    }
}

/// Regression: a GET whose query looked like the hash of a QUERY's content answered that QUERY.
#[tokio::test]
async fn a_url_query_never_has_the_key_of_query_content() {
    let origin = Origin::new(|parts, _| {
        let body = match parts.method.as_str() {
            "QUERY" => "of a query",
            _ => "of a get",
        };
        response(200, &[FRESH], body)
    });
    let service = cached(&new_keep(Table::new()), &origin);
    let digest = Sha256::digest(b"text/plain\0\0\0select");
    let hash: String = digest[..16].iter().map(|b| format!("{b:02x}")).collect();
    for forged in [format!("={hash}"), format!("+={hash}"), format!("+{hash}")] {
        send(&service, get(&format!("/a?{forged}"))).await;
    }
    let query = Request::builder().method("QUERY").uri("/a");
    let query = query.header("content-type", "text/plain");
    let query = query.body(Full::from("select")).expect("a request");
    assert_eq!(send(&service, query).await.body, "of a query");
}

/// RFC 9111 sections 3.2 and 5.2.2.7: a private field stays private in an update that does not repeat
/// the directive.
#[tokio::test(start_paused = true)]
async fn a_304_adds_no_private_field_to_the_stored_response() {
    let rule = "max-age=1, private=\"x-account\", no-cache=\"x-once\"";
    let script = vec![
        Ok(response(
            200,
            &[
                ("etag", "\"1\""),
                ("cache-control", rule),
                ("x-account", "alice"),
            ],
            "body",
        )),
        Ok(response(
            304,
            &[
                ("etag", "\"1\""),
                ("x-account", "bob"),
                ("x-once", "bob"),
                ("x-all", "1"),
            ],
            "",
        )),
    ];
    let service = cached(&new_keep(Table::new()), &Origin::script(script));
    send(&service, get("/a")).await;
    advance(5).await;
    for status in ["fwd=stale", "hit"] {
        let seen = send(&service, get("/a")).await;
        assert!(seen.cache_status().contains(status), "{seen:?}");
        assert_eq!(seen.headers["x-all"], "1");
        for private in ["x-account", "x-once"] {
            assert!(!seen.headers.contains_key(private), "{seen:?}");
        }
    }
}

/// RFC 9111 section 3.2: the stored body keeps the content coding in which it was received.
#[tokio::test(start_paused = true)]
async fn a_304_does_not_change_the_content_encoding_of_the_stored_response() {
    let script = vec![
        Ok(response(
            200,
            &[("etag", "\"1\""), ("cache-control", "max-age=1")],
            "plain",
        )),
        Ok(response(
            304,
            &[("etag", "\"1\""), ("content-encoding", "gzip"), FRESH],
            "",
        )),
    ];
    let service = cached(&new_keep(Table::new()), &Origin::script(script));
    send(&service, get("/a")).await;
    advance(5).await;
    let seen = send(&service, get("/a")).await;
    assert_eq!(seen.body, "plain");
    assert!(!seen.headers.contains_key("content-encoding"), "{seen:?}");
}

/// Java's `HttpClient` and `curl --http2` offer an upgrade with every first request.
#[tokio::test]
async fn a_write_that_offers_an_upgrade_invalidates() {
    // RFC 9111 section 4.4.
    let origin = Origin::with_fields(&[FRESH]);
    let engagement = Route::new("/e/{id}").key("e:{id}");
    let keep = new_keep(Table::new().route(engagement));
    let service = cached(&keep, &origin);
    for path in ["/a", "/e/1"] {
        let before = send(&service, get(path)).await.body;
        let upgrade = [("connection", "upgrade"), ("upgrade", "h2c")];
        send(&service, request("PUT", path, &upgrade)).await;
        assert_ne!(send(&service, get(path)).await.body, before, "{path}");
    }
}

/// Regression: with two lines of the identity field the user is ambiguous; the response was stored as
/// public.
#[tokio::test]
async fn the_response_to_a_write_of_an_unverified_user_is_not_shared() {
    let route = Route::new("/listed/{id}").key("listed:{id}");
    let table = Table::new()
        .identity(Identity::new().header("x-user-id"))
        .route(route.write(Write::Through).through(Through::Answer));
    for (method, path) in [("PUT", "/listed/1"), ("POST", "/unlisted")] {
        let origin = Origin::new(|parts, _| {
            let user = parts.headers.get("x-user-id").map_or("nobody", |_| "alice");
            let mut response: FullResponse = response(200, &[FRESH], user);
            let own = parts.uri.path().parse().expect("a value");
            response.headers_mut().insert("content-location", own);
            response
        });
        let keep = new_keep(table.clone());
        let twice = [("x-user-id", "alice"), ("x-user-id", "gateway")];
        let write = with_fields(request(method, path, &[]), &twice);
        assert_eq!(sent(&keep, &origin, true, write).await.body, "alice");
        let seen = sent(&keep, &origin, true, get(path)).await;
        assert_eq!(seen.body, "nobody", "{path}");
    }
}

/// RFC 9111 section 4.3.5, for a representation that only this user gets.
#[tokio::test]
async fn a_head_with_credentials_invalidates_nothing() {
    let origin = Origin::new(
        |parts, _| match parts.headers.contains_key("authorization") {
            true => response(200, &[("etag", "\"own\"")], "own"),
            false => response(200, &[("etag", "\"1\""), FRESH], "for all"),
        },
    );
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    let own = [
        ("authorization", "Basic YTpi"),
        ("cache-control", "no-cache"),
    ];
    send(&service, request("HEAD", "/a", &own)).await;
    let seen = send(&service, get("/a")).await;
    assert!(seen.cache_status().contains("hit"), "{seen:?}");
}

/// RFC 9111 section 4.1: field values may be normalised only as the field's definition allows. `Cookie`,
/// `Origin` and others are not lists, so `a,` differs from `a`.
#[tokio::test]
async fn fields_that_are_not_lists_are_compared_unchanged() {
    for (name, honest, forged) in [
        ("cookie", "lang=en", "lang=en,"),
        ("origin", "https://good.example", "https://good.example,"),
        ("user-agent", "a (b,c)", "a (b, c)"),
        ("authorization", "Basic YTpi", "Basic YTpi,,"),
    ] {
        let origin = Origin::new(move |_, call| {
            let vary = [("vary", name), ("cache-control", "public, max-age=60")];
            response(200, &vary, if call == 1 { "forged" } else { "honest" })
        });
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, request("GET", "/a", &[(name, forged)])).await;
        let seen = send(&service, request("GET", "/a", &[(name, honest)])).await;
        assert_eq!(seen.body, "honest", "{name}");
    }
}
