//! The authorities that a table serves, and the authority in keys.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::Full;
use tower::Layer;
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table};

use crate::common::{
    client::{TestResponse, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, full, ok},
};

const LISTED: &str = "/engagements/1";
const UNLISTED: &str = "/other";

fn table() -> Table {
    let route = Route::new("/engagements/{id}").key("engagement:{id}");
    Table::new().route(route.scope(Scope::Public))
}

/// The body is a link to the host that the request names, as a redirection would contain it.
fn linking() -> Origin {
    Origin::from_fn(|request, _| async move {
        let host = request.headers().get("host");
        let host = host.map_or(Bytes::new(), |host| Bytes::copy_from_slice(host.as_bytes()));
        Ok(ok(full(host), &[("cache-control", "max-age=60")]))
    })
}

fn at(host: &str, path: &str) -> Request<Full<Bytes>> {
    request("GET", path, &[("host", host)])
}

async fn sent(keep: &Keep, request: Request<Full<Bytes>>) -> TestResponse {
    send(&cached(keep, &linking()), request).await
}

fn bypasses(seen: &TestResponse) -> bool {
    seen.cache_status() == "tower-keep; fwd=bypass; detail=host"
}

/// Regression: the first request's `Host` was in the links of everybody's response.
#[tokio::test]
async fn a_request_for_an_authority_that_is_not_served_bypasses() {
    let keep = new_keep(table().host(["api.example.com", "*.shop.example", "localhost:*"]));
    for path in [LISTED, UNLISTED] {
        for other in [
            "evil.test",
            "api.example.com.evil.test",
            "api.example.com:8080",
            "api.example.com:443",
            "shop.example",
            "localhost:x",
        ] {
            assert!(
                bypasses(&sent(&keep, at(other, path)).await),
                "{other} {path}"
            );
        }
        assert!(bypasses(&sent(&keep, get(path)).await), "{path}");
        let victim = sent(&keep, at("api.example.com", path)).await;
        assert_eq!(victim.body, "api.example.com", "{path}");
        for served in [
            "API.example.com",
            "a.shop.example",
            "localhost",
            "localhost:3000",
        ] {
            sent(&keep, at(served, path)).await;
            let seen = sent(&keep, at(served, path)).await;
            assert!(seen.cache_status().contains("; hit"), "{served} {seen:?}");
        }
    }
}

#[tokio::test]
async fn the_hosts_of_a_route_replace_those_of_the_table() {
    let own = Route::new("/own").key("own").scope(Scope::Public);
    let any = Route::new("/any").key("any").scope(Scope::Public);
    let table = table().host("api.example.com");
    let keep = new_keep(
        table
            .route(own.host("own.example.com"))
            .route(any.host("*")),
    );
    for (path, host, is_served) in [
        ("/own", "own.example.com", true),
        ("/own", "api.example.com", false),
        ("/any", "other.example.com", true),
        (LISTED, "api.example.com", true),
        (LISTED, "own.example.com", false),
        (UNLISTED, "own.example.com", false),
    ] {
        let seen = sent(&keep, at(host, path)).await;
        assert_eq!(!bypasses(&seen), is_served, "{path} {host} {seen:?}");
    }
}

/// A path whose routes all name other hosts was treated as one without a route.
#[tokio::test]
async fn a_path_whose_routes_serve_other_hosts_bypasses() {
    let route = Route::new("/a").key("a").host(["a.example", "b.example"]);
    let keep = new_keep(Table::new().route(route.scope(Scope::Public)));
    assert!(bypasses(&sent(&keep, at("c.example", "/a")).await));
    assert!(!bypasses(&sent(&keep, at("c.example", "/other")).await));
}

/// Regression: a write with another `Host` reached the same handler, and left the stored response.
#[tokio::test]
async fn a_write_at_any_authority_invalidates_the_routes_of_its_path() {
    let invalidating = Route::new("/forms/{id}").invalidates("engagement:{id}");
    let table = table().route(invalidating).host("api.example.com");
    for write in ["/engagements/1", "/forms/1"] {
        let keep = new_keep(table.clone());
        let cache = CacheLayer::new(&keep).layer(linking());
        let stack = InvalidateLayer::new(&keep).layer(cache.clone());
        send(&cache, at("api.example.com", LISTED)).await;
        send(&stack, request("PUT", write, &[("host", "10.0.0.1:3000")])).await;
        let seen = send(&cache, at("api.example.com", LISTED)).await;
        assert!(!seen.cache_status().contains("; hit"), "{write} {seen:?}");
    }
    // The cache alone invalidates the target.
    let keep = new_keep(table);
    let cache = CacheLayer::new(&keep).layer(linking());
    send(&cache, at("api.example.com", LISTED)).await;
    send(&cache, request("PUT", LISTED, &[("host", "10.0.0.1")])).await;
    let seen = send(&cache, at("api.example.com", LISTED)).await;
    assert!(!seen.cache_status().contains("; hit"), "{seen:?}");
}

/// Regression: `h:443` shared a key with `h`, and a link with the port was stored for all.
#[tokio::test]
async fn the_key_contains_the_authority_as_received() {
    let keyed = Route::new("/keyed")
        .key("keyed:{host}")
        .scope(Scope::Public);
    let keep = new_keep(table().route(keyed));
    for path in [UNLISTED, "/keyed"] {
        for host in ["h:443", "h:80", "h", "h:8080"] {
            assert_eq!(sent(&keep, at(host, path)).await.body, host);
        }
        for host in ["h:443", "h:80", "h"] {
            let upper = host.to_ascii_uppercase();
            let seen = sent(&keep, at(&upper, path)).await;
            assert!(seen.cache_status().contains("; hit"), "{path} {seen:?}");
            assert_eq!(seen.body, host, "{path}");
        }
    }
}

/// RFC 9110 section 4.2.3.
#[tokio::test]
async fn the_default_port_of_a_known_scheme_is_not_part_of_the_key() {
    for (first, same, other) in [
        ("http://h:80/a", "http://h/a", "http://h:443/a"),
        ("https://h:443/a", "https://h/a", "https://h:80/a"),
    ] {
        let keep = new_keep(Table::new());
        sent(&keep, get(first)).await;
        assert!(
            !sent(&keep, get(other))
                .await
                .cache_status()
                .contains("; hit")
        );
        assert!(
            sent(&keep, get(same))
                .await
                .cache_status()
                .contains("; hit")
        );
    }
}

/// Regression: a redirection to https, in response to plain http, was served to requests by https.
#[tokio::test]
async fn requests_by_http_and_https_share_no_url_key() {
    let origin = Origin::from_fn(|request, _| async move {
        let scheme = request.uri().scheme_str().unwrap_or("unknown").to_owned();
        Ok(ok(full(scheme), &[("cache-control", "max-age=60")]))
    });
    let requests = || {
        let mut http_2 = get("https://h/a");
        *http_2.version_mut() = Version::HTTP_2;
        [
            (get("http://h/a"), "http"),
            (http_2, "https"),
            (at("h", "/a"), "unknown"),
        ]
    };
    for table in [Table::new(), Table::new().route(Route::new("/{page}"))] {
        let keep = new_keep(table);
        for is_hit in [false, true] {
            for (request, scheme) in requests() {
                let seen = send(&cached(&keep, &origin), request).await;
                assert_eq!(seen.body, scheme);
                assert_eq!(seen.cache_status().contains("; hit"), is_hit, "{scheme}");
            }
        }
        // A write invalidates all of them.
        send(&cached(&keep, &origin), request("PUT", "https://h/a", &[])).await;
        for (request, scheme) in requests() {
            let seen = send(&cached(&keep, &origin), request).await;
            assert!(!seen.cache_status().contains("; hit"), "{scheme}");
        }
    }
}

#[tokio::test]
async fn requests_by_http_and_https_share_the_key_of_a_route() {
    let keep = new_keep(table());
    sent(&keep, get("http://h/engagements/1")).await;
    for same in [get("https://h/engagements/1"), at("h", LISTED)] {
        let seen = sent(&keep, same).await;
        assert!(seen.cache_status().contains("; hit"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_write_invalidates_its_target_with_and_without_a_default_port() {
    let keyed = Route::new("/keyed")
        .key("keyed:{host}")
        .scope(Scope::Public);
    let hosts = ["h", "h:80", "h:443"];
    for path in [UNLISTED, "/keyed"] {
        for write in ["h", "H:80", "h:443"] {
            let keep = new_keep(table().route(keyed.clone()));
            for host in hosts.into_iter().chain(["h:8080"]) {
                sent(&keep, at(host, path)).await;
            }
            sent(&keep, request("PUT", path, &[("host", write)])).await;
            for host in hosts {
                let seen = sent(&keep, at(host, path)).await;
                assert!(!seen.cache_status().contains("; hit"), "{write} {host}");
            }
            let other = sent(&keep, at("h:8080", path)).await;
            assert!(other.cache_status().contains("; hit"), "{path} {write}");
        }
    }
}

/// RFC 9112 section 3.2.2.
#[tokio::test]
async fn the_authority_of_an_absolute_target_replaces_host() {
    for above in [false, true] {
        let keep = new_keep(table().host("good.example"));
        let cache = CacheLayer::new(&keep).layer(linking());
        for path in [LISTED, UNLISTED] {
            let absolute = request(
                "GET",
                &format!("http://good.example:80{path}"),
                &[("host", "evil.test")],
            );
            let seen = if above {
                send(&InvalidateLayer::new(&keep).layer(cache.clone()), absolute).await
            } else {
                send(&cache, absolute).await
            };
            assert_eq!(seen.body, "good.example");
            // Without a route the key contains the scheme, too.
            let same = match path {
                LISTED => at("good.example", path),
                _ => get(&format!("http://good.example{path}")),
            };
            let seen = send(&cache, same).await;
            assert!(seen.cache_status().contains("; hit"), "{path} {seen:?}");
        }
    }
}

/// RFC 9113 section 8.3.1: in HTTP/2 the two must not differ.
#[tokio::test]
async fn an_http_2_request_with_another_host_bypasses() {
    let keep = new_keep(table().host("good.example"));
    for host in ["evil.test", "good.example:443"] {
        let mut request = request("GET", "http://good.example/other", &[("host", host)]);
        *request.version_mut() = Version::HTTP_2;
        assert!(bypasses(&sent(&keep, request).await), "{host}");
    }
}
