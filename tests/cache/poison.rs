//! Ways in which one client, or the network, could decide what others are answered.

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::Full;
use sha2::{Digest, Sha256};
use tower::Layer;
use tower_keep::{
    InvalidateLayer, Keep, Route, Table,
    table::{Identity, Through, Write},
};

use super::kit::{Answer, Origin, Seen, after, answer, cached, get, request, send};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Under a `CacheLayer`, with an `InvalidateLayer` above it or without.
async fn sent(keep: &Keep, origin: &Origin, above: bool, request: Request<Full<Bytes>>) -> Seen {
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

/// The host whose answer it is, as a server sees it that goes by the last `Host`.
fn by_last_host(parts: &http::request::Parts) -> &'static str {
    let host = parts.headers.get_all("host").iter().next_back();
    match host.and_then(|host| host.to_str().ok()) {
        Some(host) if host.contains("evil") => "evil",
        _ => "good",
    }
}

/// The store took a POST's answer for that of the host named first; the server answered for the last.
#[tokio::test]
async fn a_posts_answer_for_another_host_is_not_stored() {
    let post = |uri: &str, hosts: &[(&'static str, &'static str)]| {
        with_fields(request("POST", uri, &[]), hosts)
    };
    let (good, evil) = (("host", "good.example"), ("host", "evil.example"));
    for above in [false, true] {
        for poison in [
            post("/a", &[good, evil]),
            post("http://good.example/a", &[evil]),
        ] {
            let origin = Origin::new(|parts, _| {
                let own = [FRESH, ("content-location", "/a")];
                answer(200, &own, by_last_host(parts))
            });
            let keep = Keep::new(Table::new()).expect("a valid table");
            assert_eq!(sent(&keep, &origin, above, poison).await.body, "evil");
            let victim = with_fields(get("/a"), &[good]);
            let seen = sent(&keep, &origin, above, victim).await;
            assert_eq!(seen.body, "good", "{above}");
        }
    }
}

/// What stood before an `@` was no part of the key, but a page that repeats `Host` in its links
/// repeated it (RFC 9112 section 3.2: such a request is malformed).
#[tokio::test]
async fn what_is_no_host_reaches_nobody_else() {
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
            let origin = Origin::new(|parts, _| answer(200, &[FRESH], by_last_host(parts)));
            let service = cached(&Keep::new(table.clone()).expect("a valid table"), &origin);
            let poison = request("GET", path, &[("host", host)]);
            let seen = send(&service, poison).await;
            assert_eq!(seen.body, "evil");
            assert!(seen.cache_status().contains("fwd=bypass"), "{seen:?}");
            let victim = request("GET", path, &[("host", "good.example")]);
            assert_eq!(send(&service, victim).await.body, "good", "{path} {host}");
        }
    }
}

/// A GET whose query looked like the hash of a QUERY's content answered that QUERY.
#[tokio::test]
async fn a_query_cannot_pass_for_the_content_of_a_query() {
    let origin = Origin::new(|parts, _| {
        let body = match parts.method.as_str() {
            "QUERY" => "of a query",
            _ => "of a get",
        };
        answer(200, &[FRESH], body)
    });
    let service = cached(&Keep::new(Table::new()).expect("a valid table"), &origin);
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

/// RFC 9111 sections 3.2 and 5.2.2.7: what is private is so in an update, too, that does not say it
/// again.
#[tokio::test(start_paused = true)]
async fn a_304_brings_no_private_field_into_what_is_stored() {
    let rule = "max-age=1, private=\"x-account\", no-cache=\"x-once\"";
    let script = vec![
        Ok(answer(
            200,
            &[
                ("etag", "\"1\""),
                ("cache-control", rule),
                ("x-account", "alice"),
            ],
            "body",
        )),
        Ok(answer(
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
    let service = cached(
        &Keep::new(Table::new()).expect("a valid table"),
        &Origin::script(script),
    );
    send(&service, get("/a")).await;
    after(5).await;
    for status in ["fwd=stale", "hit"] {
        let seen = send(&service, get("/a")).await;
        assert!(seen.cache_status().contains(status), "{seen:?}");
        assert_eq!(seen.headers["x-all"], "1");
        for private in ["x-account", "x-once"] {
            assert!(!seen.headers.contains_key(private), "{seen:?}");
        }
    }
}

/// RFC 9111 section 3.2: the bytes at hand are coded as they were when they came.
#[tokio::test(start_paused = true)]
async fn a_304_does_not_say_how_the_stored_bytes_are_coded() {
    let script = vec![
        Ok(answer(
            200,
            &[("etag", "\"1\""), ("cache-control", "max-age=1")],
            "plain",
        )),
        Ok(answer(
            304,
            &[("etag", "\"1\""), ("content-encoding", "gzip"), FRESH],
            "",
        )),
    ];
    let service = cached(
        &Keep::new(Table::new()).expect("a valid table"),
        &Origin::script(script),
    );
    send(&service, get("/a")).await;
    after(5).await;
    let seen = send(&service, get("/a")).await;
    assert_eq!(seen.body, "plain");
    assert!(!seen.headers.contains_key("content-encoding"), "{seen:?}");
}

/// Java's `HttpClient` and `curl --http2` offer an upgrade with every first request.
#[tokio::test]
async fn a_write_that_offers_an_upgrade_invalidates() {
    // RFC 9111 section 4.4.
    let origin = Origin::with(&[FRESH]);
    let engagement = Route::new("/e/{id}").key("e:{id}");
    let keep = Keep::new(Table::new().route(engagement)).expect("a valid table");
    let service = cached(&keep, &origin);
    for path in ["/a", "/e/1"] {
        let before = send(&service, get(path)).await.body;
        let upgrade = [("connection", "upgrade"), ("upgrade", "h2c")];
        send(&service, request("PUT", path, &upgrade)).await;
        assert_ne!(send(&service, get(path)).await.body, before, "{path}");
    }
}

/// With two lines of the identity's field nobody can tell whose a write is; its answer was stored as
/// everybody's.
#[tokio::test]
async fn the_answer_to_a_write_of_a_doubtful_user_is_nobody_elses() {
    let route = Route::new("/listed/{id}").key("listed:{id}");
    let table = Table::new()
        .identity(Identity::new().header("x-user-id"))
        .route(route.write(Write::Through).through(Through::Answer));
    for (method, path) in [("PUT", "/listed/1"), ("POST", "/unlisted")] {
        let origin = Origin::new(|parts, _| {
            let user = parts.headers.get("x-user-id").map_or("nobody", |_| "alice");
            let mut response: Answer = answer(200, &[FRESH], user);
            let own = parts.uri.path().parse().expect("a value");
            response.headers_mut().insert("content-location", own);
            response
        });
        let keep = Keep::new(table.clone()).expect("a valid table");
        let twice = [("x-user-id", "alice"), ("x-user-id", "gateway")];
        let write = with_fields(request(method, path, &[]), &twice);
        assert_eq!(sent(&keep, &origin, true, write).await.body, "alice");
        let seen = sent(&keep, &origin, true, get(path)).await;
        assert_eq!(seen.body, "nobody", "{path}");
    }
}

/// RFC 9111 section 4.3.5, for a representation that others do not get.
#[tokio::test]
async fn a_head_with_credentials_ends_nothing() {
    let origin = Origin::new(
        |parts, _| match parts.headers.contains_key("authorization") {
            true => answer(200, &[("etag", "\"own\"")], "own"),
            false => answer(200, &[("etag", "\"1\""), FRESH], "for all"),
        },
    );
    let service = cached(&Keep::new(Table::new()).expect("a valid table"), &origin);
    send(&service, get("/a")).await;
    let own = [
        ("authorization", "Basic YTpi"),
        ("cache-control", "no-cache"),
    ];
    send(&service, request("HEAD", "/a", &own)).await;
    let seen = send(&service, get("/a")).await;
    assert!(seen.cache_status().contains("hit"), "{seen:?}");
}

/// RFC 9111 section 4.1: equal only where the field's own definition says so. `Cookie`, `Origin` and
/// the like are no lists, and a server reads `a,` as something else than `a`.
#[tokio::test]
async fn fields_that_are_no_lists_are_compared_as_they_are() {
    for (name, honest, forged) in [
        ("cookie", "lang=en", "lang=en,"),
        ("origin", "https://good.example", "https://good.example,"),
        ("user-agent", "a (b,c)", "a (b, c)"),
        ("authorization", "Basic YTpi", "Basic YTpi,,"),
    ] {
        let origin = Origin::new(move |_, call| {
            let vary = [("vary", name), ("cache-control", "public, max-age=60")];
            answer(200, &vary, if call == 1 { "forged" } else { "honest" })
        });
        let service = cached(&Keep::new(Table::new()).expect("a valid table"), &origin);
        send(&service, request("GET", "/a", &[(name, forged)])).await;
        let seen = send(&service, request("GET", "/a", &[(name, honest)])).await;
        assert_eq!(seen.body, "honest", "{name}");
    }
}
