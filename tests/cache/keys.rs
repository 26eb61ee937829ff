//! Requests that differ in something that a handler may read have different keys.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tower::Layer;
use tower_keep::{CacheLayer, InvalidateLayer, Key, Route, Scope, Table};

use crate::common::{
    client::{TestResponse, get, put, request, send},
    keeps::new_keep,
    origin::{Origin, cached, ok_text},
};

const JSON: &str = "application/json";

fn search() -> Table {
    let route = Route::new("/search").key("search:{#body}");
    Table::new().route(route.scope(Scope::Public).safe_methods(["POST"]))
}

/// Answers with what it has read from the request.
fn reader() -> Origin {
    Origin::from_fn(|request, _| async move {
        let field = |name: &str| request.headers().get(name).cloned();
        let read = (field("content-type"), field("content-encoding"));
        let (method, content) = (request.method(), request.body());
        ok_text(format!("{method} {read:?} {content:?}"))
    })
}

fn with_content(
    method: &str,
    fields: &[(&str, &str)],
    content: &'static str,
) -> Request<Full<Bytes>> {
    request(method, "/search", fields).map(|_| Full::from(content))
}

fn is_hit(response: &TestResponse) -> bool {
    response.cache_status().starts_with("tower-keep; hit")
}

/// Regression: a request with the same bytes as text answered those that sent JSON.
#[tokio::test]
async fn content_of_another_type_or_coding_has_a_key_of_its_own() {
    let service = cached(&new_keep(search()), &reader());
    let requests = [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", JSON)],
        &[("content-type", JSON), ("content-encoding", "gzip")],
        &[("content-encoding", JSON), ("content-type", "gzip")],
        &[("content-encoding", JSON)],
        &[("content-type", "text/plain"), ("content-type", JSON)],
        &[("content-type", "text/plain, application/json")],
    ];
    for fields in requests {
        let first = send(&service, with_content("POST", fields, "{}")).await;
        assert!(!is_hit(&first), "{fields:?}: {first:?}");
        let again = send(&service, with_content("POST", fields, "{}")).await;
        assert!(is_hit(&again), "{fields:?}: {again:?}");
        assert_eq!(again.body, first.body);
    }
}

/// Regression: a POST without content answered the GET of the same path.
#[tokio::test]
async fn a_method_with_the_same_content_has_a_key_of_its_own() {
    let service = cached(&new_keep(search()), &reader());
    for method in ["POST", "QUERY", "GET"] {
        let first = send(&service, with_content(method, &[], "")).await;
        assert!(first.body.starts_with(method), "{first:?}");
        let again = send(&service, with_content(method, &[], "")).await;
        assert!(is_hit(&again) && again.body == first.body, "{again:?}");
    }
    let head = send(&service, with_content("HEAD", &[], "")).await;
    assert!(is_hit(&head), "HEAD is answered from the response to GET");
}

/// Regression: the response to an OPTIONS, such as a preflight request, answered the GET.
#[tokio::test]
async fn other_safe_methods_are_not_answered_from_the_store() {
    let origin = reader();
    let service = cached(&new_keep(search()), &origin);
    for method in ["OPTIONS", "TRACE", "PROPFIND", "OPTIONS"] {
        let seen = send(&service, with_content(method, &[], "")).await;
        assert!(seen.cache_status().contains("fwd=method"), "{seen:?}");
        assert!(seen.body.starts_with(method), "{seen:?}");
    }
    assert_eq!(origin.calls(), 4);
    let seen = send(&service, with_content("GET", &[], "")).await;
    assert!(seen.body.starts_with("GET"), "{seen:?}");
}

fn pages() -> Table {
    let route = Route::new("/agents").key("agents").scope(Scope::Public);
    Table::new().route(route.query(["page", "ids[]", "f[x]"]))
}

/// Regression: a server that takes `Page` for `page` stored its second page as the first one.
#[tokio::test]
async fn a_parameter_that_a_server_may_take_for_a_listed_one_bypasses() {
    let origin = Origin::with_fields(&[]);
    let service = cached(&new_keep(pages()), &origin);
    for query in [
        "Page=2",
        "PAGE=2",
        "%20page=2",
        "page%20=2",
        "+page=2",
        "%09page=2",
        "page[]=2",
        "page%5B%5D=2",
        "page[0]=2",
        "page[a][b]=2",
        "p%61ge=2",
        "page%00=2",
        "Page%5b%5d=2",
        "x=1&page[]=2",
        "page=1&Page=2",
        "ids=1",
        "IDS[]=1",
        "ids[][]=1",
        "f[x][]=1",
        "F[x]=1",
        "Page",
    ] {
        let seen = send(&service, get(&format!("/agents?{query}"))).await;
        let status = seen.cache_status();
        assert_eq!(status, "tower-keep; fwd=bypass; detail=query", "{query}");
    }
    let calls = origin.calls();
    let seen = send(&service, get("/agents")).await;
    assert_eq!(
        seen.body,
        format!("call {}", calls + 1),
        "nothing was stored"
    );
    for ignored in ["pages=2", "pag=2", "x=1", "f[y]=2", "f=2", "", "%", "[]=1"] {
        let seen = send(&service, get(&format!("/agents?{ignored}"))).await;
        assert!(is_hit(&seen), "{ignored}: {seen:?}");
    }
    for listed in ["page=2", "ids[]=2", "ids%5B%5D=2", "f[x]=1", "f%5bx%5d=1"] {
        for is_stored in [false, true] {
            let seen = send(&service, get(&format!("/agents?{listed}"))).await;
            assert_eq!(is_hit(&seen), is_stored, "{listed}: {seen:?}");
        }
    }
}

/// Regression: a server for which `;` begins parameters of the segment (RFC 3986 section 3.3)
/// answered `/files/a%3Bb` with what it had stored for `/files/a;b`.
#[tokio::test]
async fn a_reserved_character_as_itself_and_escaped_have_keys_of_their_own() {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    let table = Table::new()
        .route(public("/files/{*path}", "file:{path}"))
        .route(public("/users/{id}/posts/{post}", "user:{id}:post:{post}"))
        .route(public("/tokens/{token}", "token:{#token}"));
    let keep = new_keep(table);
    let origin = Origin::new(|parts, call| {
        http::Response::new(Full::from(format!("{} {call}", parts.uri.path())))
    });
    let service = InvalidateLayer::new(&keep).layer(cached(&keep, &origin));
    for spellings in [
        &["/files/a;b", "/files/a%3Bb"][..],
        &[
            "/files/d/a;v=1;w",
            "/files/d/a%3Bv=1;w",
            "/files/d/a;v%3D1;w",
            "/files/d/a;v=1%3bw",
        ],
        &["/files/a@b", "/files/a%40b"],
        &["/files/a+b", "/files/a%2Bb"],
        &["/users/a;b/posts/1", "/users/a%3Bb/posts/1"],
        &["/users/a/posts/1;", "/users/a/posts/1%3b"],
        &["/tokens/a:b", "/tokens/a%3ab"],
    ] {
        for path in spellings {
            let first = send(&service, get(path)).await;
            assert!(first.body.starts_with(path), "{path}: {first:?}");
            assert_eq!(send(&service, get(path)).await.body, first.body);
        }
        for written in spellings {
            let before: Vec<_> = bodies(&service, spellings).await;
            send(&service, put(written)).await;
            for (path, old) in spellings.iter().zip(before) {
                let seen = send(&service, get(path)).await;
                assert_ne!(seen.body, old, "{path} after a write to {written}");
            }
        }
    }
}

/// An empty field line and a zero at the start of the content made the same hash as no line.
#[tokio::test]
async fn an_empty_coding_does_not_stand_for_the_first_byte_of_the_content() {
    let route = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public)
        .safe_methods("POST");
    let origin = Origin::with_fields(&[]);
    let service = cached(&new_keep(Table::new().route(route)), &origin);
    let ask = |fields: &[(&str, &str)], content: &'static [u8]| {
        let fields = [fields, &[("content-type", "application/x-thrift")]].concat();
        let mut request = request("POST", "/search", &fields);
        *request.body_mut() = Full::from(content);
        request
    };
    send(&service, ask(&[("content-encoding", "")], b"\0\0\x05hello")).await;
    let seen = send(&service, ask(&[], b"\0\0\0\x05hello")).await;
    assert_eq!(seen.body, "call 2");
}

/// A function that derives keys does not see the content, so its keys were shared by all contents.
#[tokio::test]
async fn a_derived_key_of_a_route_with_content_in_its_key_has_the_content() {
    let route = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public)
        .safe_methods("POST");
    let origin = Origin::with_fields(&[]);
    let keep = new_keep(Table::new().route(route));
    let service = CacheLayer::new(&keep)
        .key(|_| Some(Key::new("search")))
        .layer(origin.clone());
    let ask = |method: &str, content: &'static str| {
        let mut request = request(method, "/search", &[]);
        *request.body_mut() = Full::from(content);
        request
    };
    for (method, content, call) in [
        ("POST", "one", "call 1"),
        ("POST", "two", "call 2"),
        ("GET", "", "call 3"),
        ("POST", "one", "call 1"),
    ] {
        let seen = send(&service, ask(method, content)).await;
        assert_eq!(seen.body, call, "{method} {content}");
    }
}

async fn bodies(
    service: &tower_keep::invalidate::Invalidate<tower_keep::cache::Cache<Origin>>,
    paths: &[&str],
) -> Vec<String> {
    let mut bodies = Vec::new();
    for path in paths {
        bodies.push(send(service, get(path)).await.body);
    }
    bodies
}
