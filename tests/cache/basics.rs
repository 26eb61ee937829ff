use http::Response;
use http_body_util::Full;
use tower_keep::{
    Route, Scope, Table,
    table::{Unlisted, mins},
};

use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::{Origin, cached},
};

fn engagements() -> Table {
    Table::new().ttl("engagement", mins(30)).route(
        Route::new("/engagements/{id}")
            .key("engagement:{id}")
            .scope(Scope::Public),
    )
}

#[tokio::test]
async fn the_second_get_is_a_hit() {
    let keep = new_keep(engagements());
    let origin = Origin::with_fields(&[("content-type", "application/json")]);
    let service = cached(&keep, &origin);

    let first = send(&service, get("/engagements/42")).await;
    assert_eq!(first.cache_status(), "tower-keep; fwd=uri-miss; stored");
    let second = send(&service, get("/engagements/42")).await;
    assert!(
        second.cache_status().starts_with("tower-keep; hit; ttl="),
        "{second:?}"
    );
    assert_eq!(second.body, "call 1");
    assert_eq!(second.headers["age"], "0");
    assert_eq!(second.headers["content-length"], "6");
    assert!(second.headers.contains_key("date"));
    assert_eq!(origin.calls(), 1);

    let other = send(&service, get("/engagements/43")).await;
    assert_eq!(other.body, "call 2");
}

#[tokio::test]
async fn an_unlisted_path_is_stored_only_with_explicit_freshness() {
    let keep = new_keep(Table::new());
    let fresh = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&keep, &fresh);
    send(&service, get("/a")).await;
    assert_eq!(send(&service, get("/a")).await.body, "call 1");

    let keep = new_keep(Table::new());
    let silent = Origin::with_fields(&[]);
    let service = cached(&keep, &silent);
    send(&service, get("/a")).await;
    assert_eq!(send(&service, get("/a")).await.body, "call 2");
}

#[tokio::test]
async fn unlisted_paths_can_pass_through() {
    let keep = new_keep(Table::new().unlisted(Unlisted::Pass));
    let origin = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    let second = send(&service, get("/a")).await;
    assert_eq!(second.body, "call 2");
    assert!(!second.headers.contains_key("cache-status"));
}

#[tokio::test]
async fn a_stored_get_answers_head_and_conditions() {
    let keep = new_keep(engagements());
    let origin = Origin::with_fields(&[("etag", "\"one\"")]);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1")).await;

    let head = send(&service, request("HEAD", "/engagements/1", &[])).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers["content-length"], "6");
    let unmodified = request("GET", "/engagements/1", &[("if-none-match", "\"one\"")]);
    assert_eq!(send(&service, unmodified).await.status, 304);
    let range = request("GET", "/engagements/1", &[("range", "bytes=0-3")]);
    let part = send(&service, range).await;
    assert_eq!((part.status, part.body.as_str()), (206, "call"));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_head_is_never_stored() {
    let keep = new_keep(engagements());
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep, &origin);
    send(&service, request("HEAD", "/engagements/1", &[])).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test]
async fn variants_are_stored_apart() {
    let keep = new_keep(engagements());
    let origin = Origin::new(|parts, call| {
        let language = parts.headers["accept-language"].to_str().expect("text");
        Response::builder()
            .header("vary", "accept-language")
            .body(Full::from(format!("{language} {call}")))
            .expect("a response")
    });
    let service = cached(&keep, &origin);
    let speak = |language| request("GET", "/engagements/1", &[("accept-language", language)]);
    assert_eq!(send(&service, speak("de")).await.body, "de 1");
    assert_eq!(send(&service, speak("fr")).await.body, "fr 2");
    assert_eq!(send(&service, speak("de")).await.body, "de 1");
    assert_eq!(send(&service, speak("fr")).await.body, "fr 2");
}

#[tokio::test]
async fn a_successful_write_invalidates_the_stored_response() {
    let keep = new_keep(engagements());
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1?page=2")).await;
    send(&service, request("PUT", "/engagements/1", &[])).await;
    assert_eq!(
        send(&service, get("/engagements/1?page=2")).await.body,
        "call 3"
    );
}
