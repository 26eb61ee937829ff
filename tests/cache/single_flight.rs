//! Many requests for one key at the same time.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::Request;
use http_body_util::Full;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_keep::{Table, cache::Cache, message::ResponseBody, table::Local};

use crate::common::{
    client::{
        eventually, get, next_chunk, read_text, request, run_other_tasks, send, send_for_head,
    },
    keeps::{engagements, engagements_with, new_keep},
    origin::{BodySender, Gate, Origin, OriginBody, OriginError, body_channel, cached, full, ok},
};

type Reply = Result<(String, String), String>;

/// Sends the request in a task of its own, which returns the body and `Cache-Status`.
fn ask(service: &Cache<Origin>, request: Request<Full<Bytes>>) -> JoinHandle<Reply> {
    let service = service.clone();
    tokio::spawn(async move {
        let response = service
            .oneshot(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.headers()["cache-status"].to_str().expect("text");
        let status = status.to_owned();
        let body = read_text(response.into_body()).await;
        body.map(|body| (body, status)).map_err(|e| e.to_string())
    })
}

fn cached_engagements(origin: &Origin) -> Cache<Origin> {
    cached(&new_keep(engagements()), origin)
}

fn spawn_requests(service: &Cache<Origin>, number: usize) -> Vec<JoinHandle<Reply>> {
    (0..number)
        .map(|_| ask(service, get("/engagements/1")))
        .collect()
}

/// Spawns requests, and waits until one has called the origin and the others can go no further.
async fn spawn_crowd(
    service: &Cache<Origin>,
    origin: &Origin,
    number: usize,
) -> Vec<JoinHandle<Reply>> {
    let crowd = spawn_requests(service, number);
    origin.called(1).await;
    run_other_tasks().await;
    crowd
}

async fn body_of(request: JoinHandle<Reply>) -> String {
    request.await.expect("no panic").expect("a response").0
}

async fn bodies(crowd: Vec<JoinHandle<Reply>>) -> Vec<String> {
    join_all(crowd.into_iter().map(body_of)).await
}

/// Sends a request and returns the body as soon as the head of the response is there.
async fn open_body(service: &Cache<Origin>) -> ResponseBody<OriginBody> {
    send_for_head(service, get("/engagements/1"))
        .await
        .into_body()
}

async fn chunk(body: &mut ResponseBody<OriginBody>) -> Bytes {
    next_chunk(body).await.expect("data").expect("no error")
}

/// Responds to the first call with a body that the test sends, and to later calls with their number.
fn channel_origin() -> (BodySender, Origin) {
    let (feed, body) = body_channel();
    let body = Mutex::new(Some(body));
    let origin = Origin::from_fn(move |_, call| {
        let body = body.lock().expect("no panic").take();
        let body = body.unwrap_or_else(|| full(format!("call {call}")));
        async move { Ok(ok(body, &[])) }
    });
    (feed, origin)
}

/// Responds with the number of the call once the gate admits it.
fn gated(gate: &Gate, fields: &'static [(&'static str, &'static str)]) -> Origin {
    let gate = gate.clone();
    Origin::from_fn(move |_, call| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok(ok(full(format!("call {call}")), fields))
        }
    })
}

#[tokio::test]
async fn ten_thousand_concurrent_misses_are_one_call() {
    let gate = Gate::closed();
    let origin = gated(&gate, &[]);
    let service = cached_engagements(&origin);
    let crowd = spawn_crowd(&service, &origin, 10_000).await;
    gate.open();
    let replies = join_all(crowd).await;
    let mut collapsed = 0;
    for reply in replies {
        let (body, status) = reply.expect("no panic").expect("a response");
        assert_eq!(body, "call 1");
        collapsed += usize::from(status.contains("collapsed"));
    }
    assert_eq!(collapsed, 9_999);
    assert_eq!(origin.calls(), 1);
}

/// Regression: released followers found nothing in the local tier and all called the origin.
#[tokio::test]
async fn concurrent_misses_share_one_call_without_a_local_tier() {
    let tables = [
        engagements().local(Local::new().size(0)),
        engagements_with(|route| route.tags(["engagement:{answer.id}"]))
            .local(Local::new().size(0)),
    ];
    for table in tables {
        for streamed in [false, true] {
            let gate = Gate::closed();
            let origin = Origin::gated(&gate, move |_, call| {
                let body = content(format!("{{\"id\":{call}}}"), streamed);
                Ok(ok(body, &[("content-type", "application/json")]))
            });
            let service = cached(&new_keep(table.clone()), &origin);
            let crowd = spawn_crowd(&service, &origin, 500).await;
            gate.open();
            for body in bodies(crowd).await {
                assert_eq!(body, "{\"id\":1}");
            }
            assert_eq!(origin.calls(), 1, "streamed: {streamed}");
        }
    }
}

fn content(text: String, streamed: bool) -> OriginBody {
    if streamed {
        byte_by_byte(text)
    } else {
        full(text)
    }
}

/// A body that arrives byte by byte after its head.
fn byte_by_byte(text: String) -> OriginBody {
    let (feed, body) = body_channel();
    tokio::spawn(async move {
        for byte in text.into_bytes() {
            tokio::task::yield_now().await;
            feed.data(vec![byte]).await;
        }
    });
    body
}

#[tokio::test]
async fn an_error_of_the_leader_reaches_only_its_own_client() {
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, move |_, call| match call {
        1 => Err(OriginError("down")),
        _ => Ok(ok(full(format!("call {call}")), &[])),
    });
    let service = cached_engagements(&origin);
    let crowd = spawn_crowd(&service, &origin, 100).await;
    gate.open();
    let replies: Vec<_> = join_all(crowd).await;
    let failed = replies.iter().filter(|reply| {
        let reply = reply.as_ref().expect("no panic");
        reply.as_ref().is_err_and(|error| error == "down")
    });
    assert_eq!(failed.count(), 1);
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_panicking_leader_releases_its_followers() {
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, move |_, call| {
        assert_ne!(call, 1, "the first call panics");
        Ok(ok(full(format!("call {call}")), &[]))
    });
    let service = cached_engagements(&origin);
    let crowd = spawn_crowd(&service, &origin, 100).await;
    gate.open();
    let replies = join_all(crowd).await;
    let panicked = replies.iter().filter(|reply| reply.is_err()).count();
    assert_eq!((panicked, origin.calls()), (1, 2));
}

/// Regression: after the second cancelled leader, all followers called at the same time.
#[tokio::test]
async fn cancelled_leaders_are_replaced_one_by_one() {
    let gate = Gate::closed();
    let (opened, leader) = (gate.clone(), Arc::new(Mutex::new(0)));
    let leads = Arc::clone(&leader);
    let origin = Origin::from_fn(move |request, call| {
        let number = request.headers()["x-number"].to_str().expect("text");
        *leads.lock().expect("no panic") = number.parse().expect("a number");
        let gate = opened.clone();
        async move {
            gate.pass().await;
            Ok(ok(full(format!("call {call}")), &[]))
        }
    });
    let service = cached_engagements(&origin);
    let mut crowd: HashMap<usize, _> = (0..100)
        .map(|number| {
            let fields = [("x-number", &*number.to_string())];
            (
                number,
                ask(&service, request("GET", "/engagements/1", &fields)),
            )
        })
        .collect();
    for gone in 1..=6 {
        origin.called(gone).await;
        run_other_tasks().await;
        assert_eq!(origin.calls(), gone);
        let leads = *leader.lock().expect("no panic");
        crowd.remove(&leads).expect("it has not left").abort();
    }
    origin.called(7).await;
    gate.open();
    for body in bodies(crowd.into_values().collect()).await {
        assert_eq!(body, "call 7");
    }
    assert_eq!(origin.calls(), 7);
}

#[tokio::test]
async fn a_fill_goes_on_when_its_client_leaves_after_the_head() {
    let (feed, origin) = channel_origin();
    let service = cached_engagements(&origin);
    let response = send_for_head(&service, get("/engagements/1")).await;
    let follower = ask(&service, get("/engagements/1"));
    feed.data("one ").await;
    drop(response);
    feed.data("two").await;
    drop(feed);
    assert_eq!(body_of(follower).await, "one two");
    let hit = send(&service, get("/engagements/1")).await;
    assert_eq!((hit.body.as_str(), origin.calls()), ("one two", 1));
    assert!(hit.cache_status().contains("hit"), "{hit:?}");
}

#[tokio::test]
async fn followers_never_get_an_uncacheable_response() {
    let unshareable: [&'static [(&str, &str)]; 6] = [
        &[("cache-control", "private")],
        &[("cache-control", "no-store")],
        &[("set-cookie", "session=1")],
        &[("vary", "*")],
        &[("content-length", "99999999")],
        &[("content-type", "text/event-stream")],
    ];
    for fields in unshareable {
        let gate = Gate::closed();
        let origin = gated(&gate, fields);
        let service = cached_engagements(&origin);
        let first = spawn_crowd(&service, &origin, 50).await;
        assert_eq!(origin.calls(), 1, "{fields:?}");
        // One response for the leader: its head releases the followers, which then do not wait.
        gate.admit(1);
        origin.called(50).await;
        gate.open();
        let distinct: HashSet<_> = bodies(first).await.into_iter().collect();
        assert_eq!(distinct.len(), 50, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_wait_for_a_key_known_as_uncacheable() {
    let gate = Gate::closed();
    gate.admit(1);
    let origin = gated(&gate, &[("cache-control", "private")]);
    let service = cached_engagements(&origin);
    send(&service, get("/engagements/1")).await;
    let at_once = spawn_requests(&service, 20);
    origin.called(21).await;
    gate.admit(20);
    bodies(at_once).await;

    tokio::time::advance(Duration::from_secs(11)).await;
    let later = spawn_requests(&service, 20);
    origin.called(22).await;
    run_other_tasks().await;
    assert_eq!(origin.calls(), 22, "the requests collapse again");
    gate.open();
    bodies(later).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_stalls_no_other() {
    let origin = Origin::from_fn(|_, _| async { Ok(ok(byte_by_byte("all of it".into()), &[])) });
    let service = cached_engagements(&origin);
    let idler = send_for_head(&service, get("/engagements/1")).await;
    let follower = send_for_head(&service, get("/engagements/1")).await;
    assert!(
        follower.headers()["cache-status"]
            .to_str()
            .is_ok_and(|s| s.contains("collapsed"))
    );
    let idle_follower = send_for_head(&service, get("/engagements/1")).await;
    assert_eq!(
        read_text(follower.into_body()).await.expect("whole"),
        "all of it"
    );
    let hit = send(&service, get("/engagements/1")).await;
    assert!(hit.cache_status().contains("hit"), "{hit:?}");
    for late in [idler, idle_follower] {
        assert_eq!(
            read_text(late.into_body()).await.expect("whole"),
            "all of it"
        );
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn beyond_the_cap_the_leader_paces_the_body() {
    let (feed, origin) = channel_origin();
    let table = engagements_with(|route| route.max_body(4));
    let service = cached(&new_keep(table), &origin);
    let mut leader = open_body(&service).await;
    feed.data("1234").await;
    feed.data("5678").await;
    run_other_tasks().await;
    // The channel holds one frame, which is not taken from it before the leader has read.
    assert!(feed.try_data(b"9"));
    run_other_tasks().await;
    assert!(!feed.try_data(b"never"));
    for expected in ["1234", "5678", "9"] {
        assert_eq!(chunk(&mut leader).await, expected);
    }
    // Other requests do not wait for a response that will not be stored.
    let other = send(&service, get("/engagements/1")).await;
    assert_eq!(other.body, "call 2");
    drop(feed);
    assert!(next_chunk(&mut leader).await.is_none());
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

#[tokio::test]
async fn a_follower_that_keeps_up_gets_a_body_beyond_the_cap() {
    let (feed, origin) = channel_origin();
    let service = cached(
        &new_keep(engagements_with(|route| route.max_body(4))),
        &origin,
    );
    let mut leader = open_body(&service).await;
    let mut follower = open_body(&service).await;
    for part in ["123", "456", "789"] {
        feed.data(part).await;
        for body in [&mut leader, &mut follower] {
            assert_eq!(chunk(body).await, part);
        }
    }
    drop(feed);
    assert!(next_chunk(&mut leader).await.is_none() && next_chunk(&mut follower).await.is_none());
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fill_without_readers_is_given_up() {
    let (feed, origin) = channel_origin();
    let service = cached_engagements(&origin);
    drop(send_for_head(&service, get("/engagements/1")).await);
    feed.closed().await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test]
async fn a_body_that_breaks_off_fails_all_readers_and_is_not_stored() {
    for at_once in [false, true] {
        let origin = Origin::from_fn(move |_, call| async move {
            if call > 1 {
                return Ok(ok(full("whole"), &[]));
            }
            let (feed, body) = body_channel();
            let work = async move {
                feed.data("par").await;
                feed.fail().await;
            };
            if at_once {
                let mut work = Box::pin(work);
                assert!(
                    (&mut work).now_or_never().is_none(),
                    "the feed holds one frame"
                );
                tokio::spawn(work);
            } else {
                tokio::spawn(async move {
                    run_other_tasks().await;
                    work.await;
                });
            }
            Ok(ok(body, &[]))
        });
        let service = cached_engagements(&origin);
        let leader = open_body(&service).await;
        let follower = open_body(&service).await;
        for mut body in [leader, follower] {
            assert_eq!(chunk(&mut body).await, "par");
            assert!(next_chunk(&mut body).await.expect("an end").is_err());
        }
        assert_eq!(send(&service, get("/engagements/1")).await.body, "whole");
    }
}

#[tokio::test]
async fn a_body_that_differs_from_its_content_length_is_not_stored() {
    for streamed in [false, true] {
        for length in ["8", "6"] {
            let origin = Origin::from_fn(move |_, call| async move {
                let body = content(format!("call {call}!"), streamed);
                Ok(ok(body, &[("content-length", length)]))
            });
            let service = cached_engagements(&origin);
            let first = send_for_head(&service, get("/engagements/1")).await;
            let _ = read_text(first.into_body()).await;
            run_other_tasks().await;
            let second = send_for_head(&service, get("/engagements/1")).await;
            assert_eq!(
                read_text(second.into_body()).await.expect("whole"),
                "call 2!"
            );
        }
    }
}

#[tokio::test]
async fn trailers_reach_every_reader() {
    let origin = Origin::from_fn(|_, _| async {
        let (feed, body) = body_channel();
        tokio::spawn(async move {
            feed.data("content").await;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-checksum", "7".parse().expect("a value"));
            feed.trailers(trailers).await;
        });
        Ok(ok(body, &[]))
    });
    let service = cached_engagements(&origin);
    for _ in 0..3 {
        let response = send_for_head(&service, get("/engagements/1")).await;
        let body: ResponseBody<OriginBody> = response.into_body();
        let collected = http_body_util::BodyExt::collect(body).await.expect("whole");
        let trailers = collected.trailers().cloned().expect("trailers");
        assert_eq!(trailers["x-checksum"], "7");
        assert_eq!(collected.to_bytes(), "content");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn uncacheable_responses_pass_through() {
    let origin = Origin::from_fn(|request, call| async move {
        let mut response = ok(full(format!("call {call}")), &[]);
        if request.headers().contains_key("upgrade") {
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        }
        if request.headers().contains_key("range") {
            *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    });
    let service = cached(&new_keep(Table::new()), &origin);
    let upgrade = || {
        request(
            "GET",
            "/a",
            &[("upgrade", "websocket"), ("connection", "upgrade")],
        )
    };
    for call in 1..=2 {
        let seen = send(&service, upgrade()).await;
        assert_eq!((seen.status, seen.body), (101, format!("call {call}")));
        assert!(!seen.headers.contains_key("cache-status"));
    }
    // Any client can name a protocol; it must not take the request past the cache.
    let offer = || request("GET", "/b", &[("upgrade", "x"), ("connection", "upgrade")]);
    let offered = send(&service, offer()).await;
    assert!(offered.headers.contains_key("cache-status"));
    // A 206 without Content-Range.
    let range = || request("GET", "/a", &[("range", "bytes=0-3")]);
    assert_eq!(send(&service, range()).await.body, "call 4");
    assert_eq!(send(&service, range()).await.body, "call 5");
}

#[tokio::test]
async fn requests_for_the_same_variant_share_one_call() {
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, move |request, call| {
        let language = request.headers()["accept-language"].to_str().expect("text");
        let body = full(format!("{language} {call}"));
        Ok(ok(body, &[("vary", "accept-language")]))
    });
    let service = cached_engagements(&origin);
    let crowd: Vec<_> = (0..300)
        .map(|n| {
            let language = ["de", "fr", "it"][n % 3];
            let fields = [("accept-language", language)];
            (
                language,
                ask(&service, request("GET", "/engagements/1", &fields)),
            )
        })
        .collect();
    origin.called(1).await;
    run_other_tasks().await;
    gate.open();
    for (language, reply) in crowd {
        let (body, _) = reply.await.expect("no panic").expect("a response");
        assert!(body.starts_with(language), "{language}: {body}");
    }
    assert_eq!(origin.calls(), 3);
}

/// Regression: every follower of an invalidated fill called the origin.
#[tokio::test]
async fn after_an_invalidation_one_request_fetches_for_all() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let origin = Origin::from_fn(move |request, call| {
        let gate = opened.clone();
        async move {
            if request.method() == http::Method::GET {
                gate.pass().await;
            }
            Ok(ok(full(format!("call {call}")), &[]))
        }
    });
    let service = cached_engagements(&origin);
    let before = ask(&service, get("/engagements/1"));
    origin.called(1).await;
    send(&service, request("PUT", "/engagements/1", &[])).await;
    let after = spawn_requests(&service, 50);
    run_other_tasks().await;
    assert_eq!(origin.calls(), 2);
    gate.open();
    assert_eq!(body_of(before).await, "call 1");
    for body in bodies(after).await {
        assert_eq!(body, "call 3");
    }
    assert_eq!(origin.calls(), 3);
    // The response of the first call is not stored.
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

#[tokio::test]
async fn cancelled_requests_leave_nothing_behind() {
    let gate = Gate::closed();
    let origin = gated(&gate, &[]);
    let service = cached_engagements(&origin);
    let crowd = spawn_requests(&service, 100);
    origin.called(1).await;
    crowd.iter().for_each(JoinHandle::abort);
    eventually("the crowd to leave", || {
        crowd.iter().all(JoinHandle::is_finished)
    })
    .await;
    gate.open();
    let calls = origin.calls();
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        format!("call {}", calls + 1)
    );
}
