//! Requests whose content is part of the key, for each type of body: the handler gets the content that
//! the layer has read, with its trailers.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer, service_fn};
use tower_keep::{
    CacheLayer, Route, Scope, Table,
    message::{ReplayableBody, RequestBody},
};

use crate::common::{
    client::{TestResponse, send},
    keeps::new_keep,
};

/// More content than the layer reads to make a key.
const TOO_LONG: usize = (1 << 20) + 1;

/// Sends each content in turn through one cache, by `method`.
async fn send_all<B>(method: &str, bodies: impl IntoIterator<Item = B>) -> Vec<TestResponse>
where
    B: ReplayableBody<Error: fmt::Debug>,
{
    let search = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public)
        .safe_methods(["POST"]);
    let calls = Arc::new(AtomicUsize::new(0));
    let service = CacheLayer::new(&new_keep(Table::new().route(search)));
    let service = service.layer(service_fn(move |request: Request<B>| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let content = request.into_body().collect().await.expect("the content");
            let sum = content.trailers().map(|trailers| trailers["x-sum"].clone());
            let bytes = content.to_bytes();
            let ends = [bytes.first(), bytes.last()].map(|byte| byte.map(|b| char::from(*b)));
            let text = format!("call {call}: {} {ends:?} {sum:?}", bytes.len());
            Ok::<_, Infallible>(Response::new(text))
        }
    }));
    let mut responses = Vec::new();
    for body in bodies {
        let request = Request::builder().method(method).uri("/search").body(body);
        responses.push(send(&service, request.expect("a request")).await);
    }
    responses
}

fn long() -> String {
    let mut content = "a".repeat(TOO_LONG - 1);
    content.push('z');
    content
}

/// Two frames, then trailers.
fn stream(content: &str) -> UnsyncBoxBody<Bytes, Infallible> {
    let (first, second) = content.split_at(content.len() / 2);
    let data = [first, second].map(|part| Frame::data(Bytes::from(part.to_owned())));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let frames = data.into_iter().chain([Frame::trailers(trailers)]);
    StreamBody::new(stream::iter(frames.map(Ok))).boxed_unsync()
}

/// Equal contents share a response, and the handler gets content of every length.
async fn check_content<B>(make: impl Fn(String) -> B)
where
    B: ReplayableBody<Error: fmt::Debug>,
{
    for method in ["POST", "QUERY"] {
        let contents = ["one", "two", "one"].map(|content| make(content.into()));
        let responses = send_all(method, contents).await;
        let bodies: Vec<_> = responses.iter().map(|r| r.body.as_str()).collect();
        let one = "call 1: 3 [Some('o'), Some('e')] None";
        let two = "call 2: 3 [Some('t'), Some('o')] None";
        assert_eq!(bodies, [one, two, one], "{method}");
        assert!(responses[2].cache_status().contains("; hit"), "{method}");

        for (index, response) in send_all(method, [long(), long()].map(&make))
            .await
            .iter()
            .enumerate()
        {
            let expected = format!("call {}: {TOO_LONG} [Some('a'), Some('z')] None", index + 1);
            assert_eq!(response.body, expected, "{method}");
            let status = response.cache_status();
            assert!(status.ends_with("detail=content-too-large"), "{status}");
        }
    }
}

/// The handler gets the trailers of content of every length.
async fn check_trailers<B>(make: impl Fn(UnsyncBoxBody<Bytes, Infallible>) -> B)
where
    B: ReplayableBody<Error: fmt::Debug>,
{
    for (content, length, detail) in [
        ("a short z", 9, "content-has-trailers"),
        (long().as_str(), TOO_LONG, "content-too-large"),
    ] {
        let responses = send_all("QUERY", [make(stream(content)), make(stream(content))]).await;
        for (index, response) in responses.iter().enumerate() {
            let expected = format!(
                "call {}: {length} [Some('a'), Some('z')] Some(\"7\")",
                index + 1
            );
            assert_eq!(response.body, expected);
            let status = response.cache_status();
            assert_eq!(status, format!("tower-keep; fwd=bypass; detail={detail}"));
        }
    }
}

#[tokio::test]
async fn strings_and_full_bodies() {
    check_content(|content| content).await;
    check_content(Full::<Bytes>::from).await;
}

#[tokio::test]
async fn an_empty_body_has_one_response() {
    let responses = send_all("QUERY", [Empty::<Bytes>::new(), Empty::new()]).await;
    assert_eq!(responses[1].body, "call 1: 0 [None, None] None");
    assert!(responses[1].cache_status().contains("; hit"));
}

#[tokio::test]
async fn boxed_bodies() {
    check_content(|content| Full::<Bytes>::from(content).boxed()).await;
    check_content(|content| Full::<Bytes>::from(content).boxed_unsync()).await;
    check_trailers(|body| body).await;
}

#[tokio::test]
async fn bodies_of_axum() {
    check_content(axum::body::Body::from).await;
    check_trailers(axum::body::Body::new).await;
}

#[cfg(feature = "tonic")]
#[tokio::test]
async fn bodies_of_tonic() {
    check_content(|content| tonic::body::Body::new(Full::<Bytes>::from(content))).await;
    check_trailers(tonic::body::Body::new).await;
}

#[tokio::test]
async fn wrapped_bodies() {
    let limited = |content| Limited::new(Full::<Bytes>::from(content), 2 * TOO_LONG);
    check_content(|content| RequestBody::new(limited(content))).await;
    check_trailers(|body| RequestBody::new(Limited::new(body, 2 * TOO_LONG))).await;
}
