//! What is shown, to whom, and in which form.

use std::sync::Arc;

use http::{Method, Request, header::CONTENT_ENCODING};

use super::{
    super::{answer::PendingRead, overlay::Overlay},
    Reply, Scene,
    scene::{route, write},
};
use crate::{
    Scope, message::layer_markers::LayerMarkers, table::PendingMode,
    write_queue::request::QueuedRequest,
};

const ALICE: Option<&str> = Some("alice");
const BOB: Option<&str> = Some("bob");

fn post(body: &'static str) -> QueuedRequest {
    write(Method::POST, body)
}

fn put(body: &'static str) -> QueuedRequest {
    write(Method::PUT, body)
}

fn vouched(write: QueuedRequest) -> QueuedRequest {
    QueuedRequest {
        is_vouched: true,
        ..write
    }
}

#[tokio::test]
async fn posts_are_prepended_the_latest_first() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.origin.set_json("[ {\"n\": 1} ]");
    scene.accept(post("{\"n\": 2}")).await;
    scene.accept(post(" {\"n\":3}\n")).await;
    let reply = scene.get(ALICE).await;
    assert_eq!(reply.content, "[{\"n\":3},{\"n\": 2}, {\"n\": 1} ]");
    assert_eq!((reply.status, reply.detail()), (200, Some("pending")));
}

#[tokio::test]
async fn posts_are_appended_the_oldest_first() {
    let scene = Scene::new(route(PendingMode::Append).pending_field("items"));
    scene.origin.set_json("{\"total\":1,\"items\":[1]}");
    scene.accept(post("2")).await;
    scene.accept(post("3")).await;
    let reply = scene.get(ALICE).await;
    assert_eq!(reply.content, "{\"total\":1,\"items\":[1,2,3]}");
}

#[tokio::test]
async fn an_element_that_was_applied_meanwhile_is_shown_once() {
    let scene = Scene::new(route(PendingMode::Prepend).pending_id("id"));
    scene.accept(post("{\"id\":\"a\"}")).await;
    scene.accept(post("{\"id\":\"b\"}")).await;
    scene.origin.set_json("[{\"id\":\"a\",\"at\":7}]");
    let reply = scene.get(ALICE).await;
    assert_eq!(reply.content, "[{\"id\":\"b\"},{\"id\":\"a\",\"at\":7}]");
    assert_eq!(reply.detail(), Some("pending"));
}

#[tokio::test]
async fn only_posts_of_json_are_elements() {
    let scene = Scene::new(route(PendingMode::Prepend));
    let mut text = post("7");
    text.headers
        .insert("content-type", "text/plain".parse().expect("a value"));
    let mut coded = post("7");
    coded
        .headers
        .insert(CONTENT_ENCODING, "gzip".parse().expect("a value"));
    for other in [post("{"), post(""), text, coded, put("7")] {
        scene.accept(other).await;
    }
    let reply = scene.get(ALICE).await;
    assert_eq!((reply.content.as_str(), reply.detail()), ("[]", None));
    scene.accept(post("8")).await;
    assert_eq!(scene.get(ALICE).await.content, "[8]");
}

#[tokio::test]
async fn the_content_of_the_last_put_is_the_response() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.accept(put("{\"v\":1}")).await;
    scene.accept(put("{\"v\":2}")).await;
    let reply = scene.get(ALICE).await;
    assert_eq!((reply.status, reply.content.as_str()), (200, "{\"v\":2}"));
    assert_eq!(reply.field("content-type"), Some("application/json"));
    assert_eq!(
        reply.field("cache-status"),
        Some("tower-keep; hit; detail=pending")
    );
    assert_eq!(scene.origin.calls(), 0);

    let head = scene.send(ALICE, Request::head("/items/1")).await;
    assert_eq!(head.field("content-length"), Some("7"));
    assert_eq!((head.status, head.content.as_str()), (200, ""));
}

#[tokio::test]
async fn a_deleted_resource_is_not_found() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.accept(put("1")).await;
    scene.accept(write(Method::DELETE, "")).await;
    let reply = scene.get(ALICE).await;
    assert_eq!((reply.status, reply.content.as_str()), (404, ""));
    assert_eq!(reply.detail(), Some("pending"));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    assert_eq!(scene.origin.calls(), 0);
}

#[tokio::test]
async fn what_other_methods_will_leave_is_unknown() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.accept(put("1")).await;
    let mut part = put("2");
    part.headers
        .insert("content-range", "bytes 0-0/1".parse().expect("a value"));
    for other in [write(Method::PATCH, "2"), part] {
        scene.accept(other).await;
        let reply = scene.get(ALICE).await;
        assert_eq!(reply.content, "[]");
        assert_eq!(reply.detail(), Some("pending-unknown"));
    }
}

#[tokio::test]
async fn a_write_that_nobody_vouches_for_is_shown_to_its_user_only() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.accept(post("1")).await;
    let mut anonymous = post("2");
    anonymous.user = None;
    scene.accept(anonymous).await;
    for other in [BOB, None] {
        let reply = scene.get(other).await;
        assert_eq!((reply.content.as_str(), reply.detail()), ("[]", None));
    }
    assert_eq!(scene.get(ALICE).await.content, "[1]");
    scene.accept(vouched(post("3"))).await;
    assert_eq!(scene.get(BOB).await.content, "[3]");
    assert_eq!(scene.get(None).await.content, "[3]");
    assert_eq!(scene.get(ALICE).await.content, "[3,1]");
}

#[tokio::test]
async fn where_each_user_has_a_response_of_their_own_others_see_nothing() {
    let scene = Scene::new(route(PendingMode::Body).scope(Scope::User));
    let snapshot = scene.keep.engine().snapshot.load();
    let write = Arc::new(vouched(put("1")));
    let shown = |user| Overlay::of(&snapshot.plan.routes()[0], &[Arc::clone(&write)], user);
    assert_eq!(shown(BOB), Overlay::Nothing);
    assert_eq!(shown(None), Overlay::Nothing);
    assert_eq!(shown(ALICE), Overlay::Replaced(Arc::clone(&write)));
}

#[tokio::test]
async fn the_service_decides_who_reads_the_put_of_another_user() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.accept(vouched(put("1"))).await;
    for (status, content) in [(200, "1"), (404, "1"), (403, "no"), (500, "no")] {
        let scene = Scene::new(route(PendingMode::Body));
        scene.accept(vouched(put("1"))).await;
        scene.origin.set(status, &[], "no");
        let reply = scene.get(BOB).await;
        let expected = if content == "1" { 200 } else { status };
        assert_eq!((reply.status, reply.content.as_str()), (expected, content));
        assert_eq!(scene.origin.calls(), 1);
    }
    scene.origin.set(403, &[], "no");
    assert_eq!(scene.get(ALICE).await.content, "1");
}

const VALIDATORS: [(&str, &str); 8] = [
    ("content-type", "application/json"),
    ("etag", "\"1\""),
    ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ("cache-control", "max-age=60"),
    ("cdn-cache-control", "max-age=60"),
    ("repr-digest", "sha-256=:AA==:"),
    ("x-kept", "1"),
    ("accept-ranges", "bytes"),
];

#[tokio::test]
async fn nobody_stores_or_validates_what_is_shown() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.origin.set(200, &VALIDATORS, "[1]");
    assert_eq!(scene.get(ALICE).await.field("etag"), Some("\"1\""));
    scene.accept(post("2")).await;
    let conditional = || {
        Request::get("/items/1")
            .header("if-none-match", "\"1\"")
            .header("if-modified-since", "Mon, 01 Jan 2026 00:00:00 GMT")
            .header("range", "bytes=0-0")
            .header("accept-encoding", "gzip")
    };
    let reply = scene.send(ALICE, conditional()).await;
    assert_eq!((reply.status, reply.content.as_str()), (200, "[2,1]"));
    let fields: Vec<_> = reply.headers.keys().map(|name| name.as_str()).collect();
    for gone in [
        "etag",
        "last-modified",
        "age",
        "content-length",
        "cdn-cache-control",
        "repr-digest",
        "accept-ranges",
    ] {
        assert!(!fields.contains(&gone), "{gone} is among {fields:?}");
    }
    assert_eq!(reply.field("x-kept"), Some("1"));
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    // The cache below kept the service's own response.
    let status: Vec<_> = reply.headers.get_all("cache-status").iter().collect();
    assert!(
        status[0]
            .to_str()
            .expect("text")
            .starts_with("tower-keep; hit")
    );
    assert_eq!(status[1], "tower-keep; fwd=partial; detail=pending");

    let head = Request::head("/items/1").header("if-none-match", "\"1\"");
    let head = scene.send(ALICE, head).await;
    assert_eq!((head.status, head.detail()), (200, Some("pending")));
    assert_eq!(head.field("etag"), None);
    assert_eq!(head.field("content-length"), None);
}

#[tokio::test]
async fn the_service_is_asked_for_the_whole_without_a_coding() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.accept(post("2")).await;
    let request = Request::get("/items/1")
        .header("if-none-match", "\"1\"")
        .header("range", "bytes=0-0")
        .header("accept-encoding", "gzip");
    scene.send(ALICE, request).await;
    let asked = scene.origin.asked.lock().expect("whole");
    let (fields, _) = &asked[0];
    assert_eq!(fields["accept-encoding"], "identity");
    assert!(!fields.contains_key("if-none-match") && !fields.contains_key("range"));
}

#[tokio::test]
async fn a_response_without_the_array_is_passed_on_and_says_so() {
    let json = ("content-type", "application/json");
    let long: &'static str = Box::leak(format!("[{}]", " ".repeat(200)).into_boxed_str());
    let cases: [(u16, &[_], _); 7] = [
        (200, &[json], "{}"),
        (200, &[json], "[1"),
        (200, &[json], long),
        (200, &[("content-type", "text/html")], "[]"),
        (200, &[json, ("content-encoding", "br")], "[]"),
        (404, &[json], "[]"),
        (500, &[], "failed"),
    ];
    for (status, fields, content) in cases {
        let scene = Scene::new(route(PendingMode::Prepend).max_body(100));
        scene.origin.set(status, fields, content);
        scene.accept(post("2")).await;
        let reply = scene.get(ALICE).await;
        assert_eq!((reply.status, reply.content.as_str()), (status, content));
        assert_eq!(reply.detail(), Some("pending-unknown"), "{content}");
        assert_eq!(reply.field("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn without_pending_writes_nothing_changes() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.origin.set(200, &VALIDATORS, "[1]");
    let reply = scene.get(ALICE).await;
    assert_eq!(reply.field("etag"), Some("\"1\""));
    assert_eq!(reply.field("cache-control"), Some("max-age=60"));
    assert_eq!(reply.detail(), None);
    let request = Request::get("/items/1").header("if-none-match", "\"1\"");
    assert_eq!(scene.send(ALICE, request).await.status, 304);
}

fn applies(scene: &Scene, request: http::request::Builder, markers: LayerMarkers) -> bool {
    let engine = scene.keep.engine();
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    parts.extensions.insert(markers);
    PendingRead::of(engine, &engine.snapshot.load(), &parts).is_some()
}

#[tokio::test]
async fn only_plain_reads_show_pending_writes() {
    let scene = Scene::new(route(PendingMode::Body));
    let none = LayerMarkers::default();
    assert!(applies(&scene, Request::get("/items/1"), none));
    assert!(applies(&scene, Request::head("/items/1"), none));
    assert!(applies(&scene, Request::get("/items/1?"), none));
    assert!(!applies(&scene, Request::get("/items/1?page=2"), none));
    assert!(!applies(&scene, Request::options("/items/1"), none));
    assert!(!applies(&scene, Request::get("/items/1%2f2"), none));
    assert!(!applies(&scene, Request::get("/others/1"), none));
    let upgrade = Request::get("/items/1")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    assert!(!applies(&scene, upgrade, none));
    let refetch = LayerMarkers {
        refetch: true,
        ..none
    };
    assert!(!applies(&scene, Request::get("/items/1"), refetch));
    let below_cache = LayerMarkers {
        cache: scene.keep.engine().id(),
        ..none
    };
    assert!(!applies(&scene, Request::get("/items/1"), below_cache));
    let ignoring = Scene::new(route(PendingMode::Ignore));
    assert!(!applies(&ignoring, Request::get("/items/1"), none));
}

#[tokio::test]
async fn many_pending_writes_are_all_shown() {
    let scene = Scene::new(route(PendingMode::Append));
    for _ in 0..300 {
        scene.accept(post("1")).await;
    }
    let expected = format!("[{}]", vec!["1"; 300].join(","));
    for _ in 0..2 {
        let reply: Reply = scene.get(ALICE).await;
        assert_eq!(reply.content, expected);
    }
}
