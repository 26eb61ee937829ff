//! Something stale in the place of an error (RFC 9111 section 4.2.4, RFC 5861), and bodies that
//! break off.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{CacheLayer, Keep, Table, keep::RequestBody};

use super::kit::{Gone, Origin, after, answer, cached, get, request, send};

#[tokio::test(start_paused = true)]
async fn what_is_stale_answers_for_an_origin_that_is_gone() {
    for (directives, served) in [
        ("max-age=1", true),
        ("max-age=1, must-revalidate", false),
        ("max-age=1, proxy-revalidate", false),
        ("max-age=1, no-cache", false),
        ("s-maxage=1", false),
    ] {
        let keep = Keep::new(Table::new());
        let fields = [("cache-control", directives)];
        let origin = Origin::script(vec![Ok(answer(200, &fields, "one")), Err(Gone)]);
        let service = cached(&keep, &origin);
        send(&service, get("/a")).await;
        after(5).await;
        let second = service.clone().oneshot(get("/a")).await;
        assert_eq!(second.is_ok(), served, "{directives}");
        if let Ok(second) = second {
            assert_eq!(second.headers()["age"], "5");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_answers_for_an_error_for_as_long_as_it_says() {
    // RFC 5861 section 4.
    for (directives, seconds, body) in [
        ("max-age=1", 2, "error"),
        ("max-age=1, stale-if-error=10", 10, "one"),
        ("max-age=1, stale-if-error=10", 11, "error"),
        ("max-age=1, stale-if-error=10, must-revalidate", 2, "error"),
    ] {
        let keep = Keep::new(Table::new());
        let fields = [("cache-control", directives)];
        let script = vec![
            Ok(answer(200, &fields, "one")),
            Ok(answer(503, &[], "error")),
        ];
        let service = cached(&keep, &Origin::script(script));
        send(&service, get("/a")).await;
        after(seconds).await;
        assert_eq!(
            send(&service, get("/a")).await.body,
            body,
            "{directives} after {seconds} s"
        );
    }
    // The request may allow it as well.
    let keep = Keep::new(Table::new());
    let fields = [("cache-control", "max-age=1")];
    let script = vec![
        Ok(answer(200, &fields, "one")),
        Ok(answer(503, &[], "error")),
    ];
    let service = cached(&keep, &Origin::script(script));
    send(&service, get("/a")).await;
    after(5).await;
    let patient = request("GET", "/a", &[("cache-control", "stale-if-error=60")]);
    let second = send(&service, patient).await;
    assert_eq!(second.body, "one");
    assert!(
        second.cache_status().contains("fwd=stale; fwd-status=503"),
        "{second:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_answers_while_it_is_refreshed() {
    // RFC 5861 section 3.
    let keep = Keep::new(Table::new());
    let fields = [("cache-control", "max-age=1, stale-while-revalidate=10")];
    let script = vec![
        Ok(answer(200, &fields, "one")),
        Ok(answer(200, &fields, "two")),
    ];
    let origin = Origin::script(script);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    after(5).await;
    // Asked for by HEAD, refreshed for GET.
    send(&service, request("HEAD", "/a", &[])).await;
    while origin.calls() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let next = send(&service, get("/a")).await;
    assert_eq!((next.body.as_str(), origin.calls()), ("two", 2));
    after(12).await;
    assert_eq!(
        send(&service, get("/a")).await.headers["cache-status"],
        "tower-keep; fwd=stale; stored"
    );
}

type Chunks = Vec<Result<Frame<Bytes>, std::io::Error>>;

/// A service whose first answer is whole, and whose others are `then`, with a length of six.
fn breaking(
    then: impl Fn() -> Chunks + Clone + Send + 'static,
) -> impl tower::Service<
    Request<RequestBody<Full<Bytes>>>,
    Response = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    service_fn(move |_| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let chunks = if call == 0 {
            vec![Ok(Frame::data("whole!".into()))]
        } else {
            then()
        };
        let body = StreamBody::new(stream::iter(chunks)).boxed_unsync();
        let response = Response::builder()
            .header("cache-control", "max-age=1")
            .header("content-length", "6")
            .body(body);
        async move { Ok(response.expect("a response")) }
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_answers_for_a_body_that_breaks_off() {
    let keep = Keep::new(Table::new());
    let cut = || {
        vec![
            Ok(Frame::data("who".into())),
            Err(std::io::Error::other("cut")),
        ]
    };
    let service = CacheLayer::new(&keep).layer(breaking(cut));
    for _ in 0..3 {
        let response = service.clone().oneshot(get("/a")).await.expect("an answer");
        let body = response.into_body().collect().await.expect("a whole body");
        assert_eq!(body.to_bytes(), "whole!");
        after(5).await;
    }
}

#[tokio::test]
async fn trailers_are_stored_and_leave_room_for_themselves() {
    // RFC 9112 section 7.1.2: a length would leave none.
    let keep = Keep::new(Table::new());
    let service =
        CacheLayer::new(&keep).layer(service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
            let trailers = [(
                "x-sum".parse().expect("a name"),
                "5".parse().expect("a value"),
            )];
            let frames: Chunks = vec![
                Ok(Frame::data("whole".into())),
                Ok(Frame::trailers(trailers.into_iter().collect())),
            ];
            let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .body(body);
            Ok::<_, Infallible>(response.expect("a response"))
        }));
    for hit in [false, true] {
        let response = service.clone().oneshot(get("/a")).await.expect("an answer");
        assert_eq!(response.headers().contains_key("age"), hit);
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().expect("trailers")["x-sum"], "5");
    }
}

#[tokio::test]
async fn a_204_has_no_content_whatever_it_says() {
    // RFC 9110 section 8.6.
    let keep = Keep::new(Table::new());
    let fields = [("cache-control", "max-age=60"), ("content-length", "5")];
    let origin = Origin::script(vec![Ok(answer(204, &fields, ""))]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    let second = send(&service, get("/a")).await;
    assert!(second.headers.contains_key("age") && !second.headers.contains_key("content-length"));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_short_is_never_stored() {
    // RFC 9112 section 8: incomplete.
    let keep = Keep::new(Table::new());
    let short = || vec![Ok(Frame::data("who".into()))];
    let service = CacheLayer::new(&keep).layer(breaking(short));
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let response = service.clone().oneshot(get("/a")).await.expect("an answer");
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        bodies.push(body);
        after(5).await;
    }
    assert_eq!(bodies, ["whole!", "who"]);
    let asked = request(
        "GET",
        "/a",
        &[("cache-control", "only-if-cached, max-stale")],
    );
    let response = service.clone().oneshot(asked).await.expect("an answer");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "whole!", "what was stored is still there");
}
