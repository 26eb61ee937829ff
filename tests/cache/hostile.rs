//! Requests that try to get the response of another: the response is always the one that the origin
//! would give.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use proptest::{collection::vec, prelude::*, sample::select};
use tower_keep::{Route, Scope, Table, UserId};

use crate::common::{
    client::{get, send},
    keeps::new_keep,
    origin::{Origin, cached, full, ok},
};

/// A public path, one per user, one per host, and all unlisted paths.
fn table() -> Table {
    Table::new()
        .route(
            Route::new("/engagements/{id}")
                .key("engagement:{id}")
                .scope(Scope::Public),
        )
        .route(
            Route::new("/users/{id}/me")
                .key("user:{id}")
                .scope(Scope::User),
        )
        .route(
            Route::new("/hosts/{id}")
                .key("host:{host}:{id}")
                .scope(Scope::Public),
        )
}

/// The body names the request as the origin reads it. Of two hosts it reads the last, unlike the crate.
fn origin() -> Origin {
    Origin::from_fn(|request, _| async move {
        let body = seen_by_origin(&request);
        Ok(ok(full(body), &[("cache-control", "max-age=60")]))
    })
}

fn seen_by_origin(request: &Request<Bytes>) -> String {
    let path = request.uri().path();
    let query = pairs(request.uri().query());
    let host = request.headers().get_all("host").iter().next_back();
    let host = host.map_or_else(
        || {
            request
                .uri()
                .authority()
                .map(|a| a.as_str().as_bytes().to_vec())
        },
        |host| Some(host.as_bytes().to_vec()),
    );
    let host = absolute_host(request).or(host);
    let host = plain_host(&host.unwrap_or_default());
    let user = request.extensions().get::<UserId>();
    let user = user.map_or("", UserId::as_str);
    let segments: Vec<_> = path.split('/').collect();
    match segments[..] {
        ["", "engagements", id] if !id.is_empty() => {
            format!("engagement {:?} {query:?}", decoded(id))
        }
        ["", "users", id, "me"] if !id.is_empty() => {
            format!("user {:?} {user:?} {query:?}", decoded(id))
        }
        ["", "hosts", id] if !id.is_empty() => {
            format!("host {host:?} {:?} {query:?}", decoded(id))
        }
        _ => format!("other {host:?} {:?} {query:?}", unreserved(path)),
    }
}

/// RFC 9112 section 3.2.2: the authority of an absolute target, unless `Host` is repeated.
fn absolute_host(request: &Request<Bytes>) -> Option<Vec<u8>> {
    let authority = request.uri().authority()?.as_str();
    let is_replaced = request.version() <= Version::HTTP_11
        && request.headers().get_all("host").iter().count() == 1
        && !authority.contains('@');
    is_replaced.then(|| authority.as_bytes().to_vec())
}

/// RFC 9110 section 4.2.3: case and a default port make no difference.
fn plain_host(host: &[u8]) -> String {
    let host = host.iter().map(|b| char::from(*b).to_ascii_lowercase());
    let host: String = host.collect();
    let host = &*host;
    let bare = host
        .strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"));
    bare.unwrap_or(host).to_owned()
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| {
                u8::from_str_radix(hex, 16)
                    .ok()
                    .filter(|_| !hex.contains('+'))
            });
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

/// Only URIs that are equivalent by RFC 3986 section 2.3 are normalised.
fn unreserved(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (String::new(), 0);
    while at < bytes.len() {
        let triplet = text.get(at..at + 3).filter(|t| t.starts_with('%'));
        let byte = triplet.map(decoded).filter(|byte| byte.len() == 1);
        match (triplet, byte) {
            (Some(_), Some(byte)) if is_unreserved(byte[0]) => out.push(char::from(byte[0])),
            (Some(triplet), Some(_)) => out.push_str(&triplet.to_ascii_uppercase()),
            _ => {
                out.push(char::from(bytes[at]));
                at += 1;
                continue;
            }
        }
        at += 3;
    }
    out
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Sorted by name; fields of one name keep their order.
fn pairs(query: Option<&str>) -> Option<Vec<String>> {
    let mut pairs: Vec<_> = query?.split('&').map(unreserved).collect();
    pairs.sort_by_key(|pair| {
        let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
        decoded(&name)
    });
    Some(pairs)
}

fn path_piece() -> impl Strategy<Value = String> {
    let telling = vec![
        "a",
        "b",
        "42",
        "%34%32",
        "%61",
        "%2561",
        "%3A",
        "%3a",
        ":",
        "*",
        "%2A",
        "{",
        "%7Bid%7D",
        "%00",
        "%FF",
        "%C3%A4",
        "@",
        "%40",
        "~2",
        "#",
        "%23",
        "?",
        "%3F",
        "&",
        "=",
        "+",
        "%20",
        ";",
        "..",
        ".",
        "%2F",
        "%2e%2e",
        "%",
        "%4",
        "%zz",
        "me",
        "a@user-1",
        "a%40user-1",
        "-",
        "_",
    ];
    let telling: Vec<String> = telling.into_iter().map(str::to_owned).collect();
    vec(select(telling), 0..4).prop_map(|pieces| pieces.concat())
}

fn path() -> impl Strategy<Value = String> {
    let id = || prop_oneof![4 => path_piece(), 1 => path_piece().prop_map(|piece| (piece + "x").repeat(1500))];
    prop_oneof![
        id().prop_map(|id| format!("/engagements/{id}")),
        id().prop_map(|id| format!("/users/{id}/me")),
        id().prop_map(|id| format!("/hosts/{id}")),
        id().prop_map(|id| format!("/{id}")),
        Just(String::from("//")),
        Just(String::from("/engagements/")),
        Just(String::from("*")),
    ]
}

fn user() -> impl Strategy<Value = Option<String>> {
    let users = [
        "a", "b", "a@b", "a?x=1", "a#1", "%40", "@", "a:b", "", "ä", "a\u{0}", "~1",
    ];
    prop::option::of(select(users.map(str::to_owned).to_vec()))
}

fn hosts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let hosts: Vec<&[u8]> = vec![
        b"a.example",
        b"A.EXAMPLE",
        b"a.example:80",
        b"a.example:443",
        b"a.example:8080",
        b"u@a.example",
        b"b.example/@a.example",
        b"b.example",
        b"",
        b"a.example:b.example",
        b"a%2eexample",
        b"\xff",
    ];
    let host = select(hosts).prop_map(<[u8]>::to_vec);
    prop_oneof![3 => vec(host.clone(), 1), 1 => vec(host, 0..3)]
}

prop_compose! {
    fn hostile()(
        method in select(vec!["GET", "GET", "GET", "GET", "HEAD", "PUT", "QUERY", "OPTIONS", "M*"]),
        path in path(),
        query in prop::option::of(vec((path_piece(), prop::option::of(path_piece())), 0..4)),
        user in user(),
        hosts in hosts(),
        absolute in prop::option::weighted(0.2, select(vec!["a.example", "b.example", "u@a.example"])),
        h2 in any::<bool>(),
        fields in vec((field_name(), vec(any::<u8>(), 0..20)), 0..4),
    ) -> Option<Request<Full<Bytes>>> {
        let query = query.map(|pairs| {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(name, value)| value.map_or(name.clone(), |value| format!("{name}={value}")))
                .collect();
            format!("?{}", pairs.join("&"))
        });
        let target = format!(
            "{}{path}{}",
            absolute.map(|host| format!("http://{host}")).unwrap_or_default(),
            query.unwrap_or_default(),
        );
        let uri = target.parse::<Uri>().ok()?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = uri;
        *request.version_mut() = if h2 { Version::HTTP_2 } else { Version::HTTP_11 };
        for host in hosts {
            request.headers_mut().append("host", HeaderValue::from_bytes(&host).ok()?);
        }
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(name, value);
            }
        }
        if let Some(user) = user {
            request.extensions_mut().insert(UserId::new(user));
        }
        Some(request)
    }
}

fn field_name() -> impl Strategy<Value = HeaderName> {
    let names = [
        "x-any",
        "accept",
        "accept-language",
        "accept-encoding",
        "range",
        "if-range",
        "pragma",
        "if-none-match",
        "if-modified-since",
        "cache-control",
        "te",
        "connection",
        "content-length",
        "forwarded",
        "x-forwarded-host",
        "traceparent",
        "content-type",
    ];
    select(names.to_vec()).prop_map(HeaderName::from_static)
}

fn without_body(request: &Request<Full<Bytes>>) -> Request<Bytes> {
    let (parts, _) = request.clone().into_parts();
    Request::from_parts(parts, Bytes::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_requests_get_the_response_the_origin_would_give(requests in vec(hostile(), 2..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let service = cached(&new_keep(table()), &origin());
            for request in requests.into_iter().flatten() {
                let own = seen_by_origin(&without_body(&request));
                let (method, asked) = (request.method().clone(), format!("{request:?}"));
                let seen = send(&service, request).await;
                if seen.status == 200 && method != Method::HEAD {
                    prop_assert_eq!(seen.body, own, "{}", asked);
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn paths_of_64_kib_have_different_keys() {
    let service = cached(&new_keep(table()), &origin());
    for prefix in ["/engagements/", "/"] {
        let long = |last: char| format!("{prefix}{}{last}", "x".repeat(65_000));
        let one = send(&service, get(&long('1'))).await;
        let other = send(&service, get(&long('2'))).await;
        assert_ne!(one.body, other.body);
        let hit = send(&service, get(&long('1'))).await;
        assert!(hit.cache_status().contains("hit"), "{:?}", hit.headers);
        assert_eq!(hit.body, one.body);
    }
}

/// Regression: the response of an origin that reads the last `Host` was stored for the first one.
#[tokio::test]
async fn a_request_for_two_hosts_is_not_stored() {
    let service = cached(&new_keep(table()), &origin());
    for path in ["/a", "/hosts/1"] {
        let mut two = get(path);
        two.headers_mut()
            .append("host", HeaderValue::from_static("a.example"));
        two.headers_mut()
            .append("host", HeaderValue::from_static("evil.example"));
        let absolute = format!("http://a.example{path}");
        let mut http_2 = get(&absolute);
        *http_2.version_mut() = Version::HTTP_2;
        http_2
            .headers_mut()
            .append("host", HeaderValue::from_static("evil.example"));
        for request in [two, http_2] {
            let seen = send(&service, request).await;
            let status = seen.cache_status();
            assert_eq!(status, "tower-keep; fwd=bypass; detail=host", "{path}");
        }
        let seen = send(&service, get(&absolute)).await;
        assert!(!seen.body.contains("evil"), "{seen:?}");
    }
}
