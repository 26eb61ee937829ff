//! Stale responses in place of errors (RFC 9111 section 4.2.4, RFC 5861), and bodies that break off.

use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{CacheLayer, Table};

use crate::common::{
    client::{advance, get, read_text, request, run_other_tasks, send, send_for_head},
    keeps::new_keep,
    origin::{Origin, OriginError, body_channel, cached, full, ok, response},
};

#[tokio::test(start_paused = true)]
async fn a_stale_response_replaces_an_error_of_the_inner_service() {
    for (directives, served) in [
        ("max-age=1", true),
        ("max-age=1, must-revalidate", false),
        ("max-age=1, proxy-revalidate", false),
        ("max-age=1, no-cache", false),
        ("s-maxage=1", false),
    ] {
        let keep = new_keep(Table::new());
        let fields = [("cache-control", directives)];
        let origin = Origin::script(vec![
            Ok(response(200, &fields, "one")),
            Err(OriginError("unreachable")),
        ]);
        let service = cached(&keep, &origin);
        send(&service, get("/a")).await;
        advance(5).await;
        let second = service.clone().oneshot(get("/a")).await;
        assert_eq!(second.is_ok(), served, "{directives}");
        if let Ok(second) = second {
            assert_eq!(second.headers()["age"], "5");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_replaces_a_5xx_within_stale_if_error() {
    // RFC 5861 section 4.
    for (directives, seconds, body) in [
        ("max-age=1", 2, "error"),
        ("max-age=1, stale-if-error=10", 10, "one"),
        ("max-age=1, stale-if-error=10", 11, "error"),
        ("max-age=1, stale-if-error=10, must-revalidate", 2, "error"),
    ] {
        let keep = new_keep(Table::new());
        let fields = [("cache-control", directives)];
        let script = vec![
            Ok(response(200, &fields, "one")),
            Ok(response(503, &[], "error")),
        ];
        let service = cached(&keep, &Origin::script(script));
        send(&service, get("/a")).await;
        advance(seconds).await;
        assert_eq!(
            send(&service, get("/a")).await.body,
            body,
            "{directives} after {seconds} s"
        );
    }
    // The request may allow it, too.
    let keep = new_keep(Table::new());
    let fields = [("cache-control", "max-age=1")];
    let script = vec![
        Ok(response(200, &fields, "one")),
        Ok(response(503, &[], "error")),
    ];
    let service = cached(&keep, &Origin::script(script));
    send(&service, get("/a")).await;
    advance(5).await;
    let patient = request("GET", "/a", &[("cache-control", "stale-if-error=60")]);
    let second = send(&service, patient).await;
    assert_eq!(second.body, "one");
    assert!(
        second.cache_status().contains("fwd=stale; fwd-status=503"),
        "{second:?}"
    );
}

/// Regression: the second said that it had been forwarded.
#[tokio::test(start_paused = true)]
async fn after_an_error_stale_responses_are_hits_until_the_backoff_ends() {
    let fields = [("cache-control", "max-age=1, stale-if-error=60")];
    let origin = Origin::script(vec![
        Ok(response(200, &fields, "one")),
        Ok(response(503, &[], "error")),
        Err(OriginError("unreachable")),
    ]);
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    for (status, calls) in [
        (
            "fwd=stale; fwd-status=503; ttl=-4; detail=stale-if-error",
            2,
        ),
        ("hit; ttl=-4; detail=backoff", 2),
    ] {
        let seen = send(&service, get("/a")).await;
        assert_eq!(seen.cache_status(), format!("tower-keep; {status}"));
        assert_eq!((seen.body.as_str(), origin.calls()), ("one", calls));
    }
    advance(2).await;
    for (status, calls) in [
        ("fwd=stale; ttl=-6; detail=service-error", 3),
        ("hit; ttl=-6; detail=backoff", 3),
    ] {
        let seen = send(&service, get("/a")).await;
        assert_eq!(seen.cache_status(), format!("tower-keep; {status}"));
        assert_eq!((seen.body.as_str(), origin.calls()), ("one", calls));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_is_served_while_it_is_revalidated() {
    // RFC 5861 section 3.
    let keep = new_keep(Table::new());
    let fields = [("cache-control", "max-age=1, stale-while-revalidate=10")];
    let script = vec![
        Ok(response(200, &fields, "one")),
        Ok(response(200, &fields, "two")),
    ];
    let origin = Origin::script(script);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    // A HEAD request leads to a refresh by GET.
    send(&service, request("HEAD", "/a", &[])).await;
    while origin.calls() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    let next = send(&service, get("/a")).await;
    assert_eq!((next.body.as_str(), origin.calls()), ("two", 2));
    advance(12).await;
    assert_eq!(
        send(&service, get("/a")).await.headers["cache-status"],
        "tower-keep; fwd=stale; stored"
    );
}

type Chunks = Vec<Result<Frame<Bytes>, std::io::Error>>;

/// The first response is complete, later ones have the chunks of `then`; each has a length of six.
fn breaking(
    then: impl Fn() -> Chunks + Clone + Send + 'static,
) -> impl tower::Service<
    Request<Full<Bytes>>,
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
async fn a_stale_response_replaces_a_body_that_breaks_off() {
    let keep = new_keep(Table::new());
    let cut = || {
        vec![
            Ok(Frame::data("who".into())),
            Err(std::io::Error::other("cut")),
        ]
    };
    let service = CacheLayer::new(&keep).layer(breaking(cut));
    for _ in 0..3 {
        let response = service
            .clone()
            .oneshot(get("/a"))
            .await
            .expect("a response");
        let body = response.into_body().collect().await.expect("a whole body");
        assert_eq!(body.to_bytes(), "whole!");
        advance(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_replaces_a_body_that_never_begins() {
    // RFC 9111 section 4.2.4: once the head has been sent, no other response can replace it.
    for begun in [false, true] {
        let (feed, body) = body_channel();
        let body = Mutex::new(Some(body));
        let origin = Origin::from_fn(move |_, call| {
            let fields = [("cache-control", "max-age=1")];
            let body = match call {
                1 => full("whole"),
                _ => body.lock().expect("no panic").take().expect("two calls"),
            };
            async move { Ok(ok(body, &fields)) }
        });
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, get("/a")).await;
        advance(5).await;
        let second = tokio::spawn({
            let service = service.clone();
            async move { send_for_head(&service, get("/a")).await }
        });
        origin.called(2).await;
        run_other_tasks().await;
        assert!(!second.is_finished(), "the head waits");
        if begun {
            feed.data("be").await;
        }
        let waiting = second.is_finished();
        feed.fail().await;
        let second = second.await.expect("no panic");
        assert!(!waiting);
        let stale = second.headers().contains_key("age");
        let body = read_text(second.into_body()).await.ok();
        assert_eq!(
            (stale, body.as_deref()),
            (!begun, (!begun).then_some("whole"))
        );
    }
}

#[tokio::test]
async fn an_error_for_a_range_or_a_condition_is_not_stored() {
    // RFC 9110 section 14.2: the field is the client's own, and in no key.
    let keep = new_keep(Table::new());
    let origin = Origin::new(|parts, _| {
        let fields = [("cache-control", "max-age=60")];
        let asked = |name| parts.headers.contains_key(name);
        match asked("range") || asked("if-none-match") {
            true => response(403, &fields, "bad"),
            false => response(404, &fields, "gone"),
        }
    });
    let service = cached(&keep, &origin);
    for fields in [
        &[("range", "bytes=0-1")][..],
        &[("if-none-match", "\"a\""), ("if-match", "*")],
    ] {
        let refused = send(&service, request("GET", "/a", fields)).await;
        assert_eq!(refused.status, 403);
        assert_eq!(
            refused.cache_status(),
            "tower-keep; fwd=uri-miss; detail=status"
        );
    }
    assert_eq!(send(&service, get("/a")).await.body, "gone");
    assert_eq!(send(&service, get("/a")).await.headers["age"], "0");
    assert_eq!(origin.calls(), 3);
}

#[tokio::test]
async fn a_stored_response_with_trailers_has_no_content_length() {
    // RFC 9112 section 7.1.2: a length would leave none.
    let keep = new_keep(Table::new());
    let service = CacheLayer::new(&keep).layer(service_fn(|_: Request<Full<Bytes>>| async {
        let trailers = [("x-sum", "5"), ("set-cookie", "a=b"), ("x-mine", "me")];
        let trailers = trailers.map(|(name, value)| {
            (
                name.parse::<http::HeaderName>().expect("a name"),
                value.parse::<http::HeaderValue>().expect("a value"),
            )
        });
        let frames: Chunks = vec![
            Ok(Frame::data("whole".into())),
            Ok(Frame::trailers(trailers.into_iter().collect())),
        ];
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let response = Response::builder()
            .header("cache-control", "max-age=60, private=\"x-mine\"")
            .body(body);
        Ok::<_, Infallible>(response.expect("a response"))
    }));
    for hit in [false, true] {
        let response = service
            .clone()
            .oneshot(get("/a"))
            .await
            .expect("a response");
        assert_eq!(response.headers().contains_key("age"), hit);
        assert!(!response.headers().contains_key("content-length"));
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), None);
        let body = response.into_body().collect().await.expect("a body");
        // RFC 9111 section 5.2.2.7: a private field is private in the trailers, too.
        let trailers = body.trailers().expect("trailers");
        assert_eq!(
            (trailers.len(), &trailers["x-sum"]),
            (1, &"5".parse().expect("a value"))
        );
    }
}

#[tokio::test]
async fn a_204_has_no_content_length() {
    // RFC 9110 section 8.6.
    let keep = new_keep(Table::new());
    let fields = [("cache-control", "max-age=60"), ("content-length", "5")];
    let origin = Origin::script(vec![Ok(response(204, &fields, ""))]);
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    let second = send(&service, get("/a")).await;
    assert!(second.headers.contains_key("age") && !second.headers.contains_key("content-length"));
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_short_is_never_stored() {
    // RFC 9112 section 8: incomplete.
    let keep = new_keep(Table::new());
    let short = || vec![Ok(Frame::data("who".into()))];
    let service = CacheLayer::new(&keep).layer(breaking(short));
    let mut bodies = Vec::new();
    let mut said = Vec::new();
    for _ in 0..2 {
        let response = service
            .clone()
            .oneshot(get("/a"))
            .await
            .expect("a response");
        said.push(response.headers()["cache-status"].clone());
        let body = response
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        bodies.push(body);
        advance(5).await;
    }
    assert_eq!(bodies, ["whole!", "who"]);
    assert_eq!(said[1], "tower-keep; fwd=stale");
    let asked = request(
        "GET",
        "/a",
        &[("cache-control", "only-if-cached, max-stale")],
    );
    let response = service.clone().oneshot(asked).await.expect("a response");
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "whole!", "what was stored is still there");
}
