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
use tower_keep::{Keep, Table, cache::Cache, message::ResponseBody, table::Local};

use super::{
    kit::{get, request, send},
    stage::{
        Gate, Stage, StageBody, answer, chunk, engagement, engagements, eventually, feed, full,
        head, idle, whole,
    },
};

type Reply = Result<(String, String), String>;

/// Sends it in a task of its own; answers body and `Cache-Status`.
fn ask(service: &Cache<Stage>, request: Request<Full<Bytes>>) -> JoinHandle<Reply> {
    let service = service.clone();
    tokio::spawn(async move {
        let response = service.oneshot(request).await.map_err(str::to_owned)?;
        let status = response.headers()["cache-status"].to_str().expect("text");
        let status = status.to_owned();
        let body = whole(response.into_body()).await;
        body.map(|body| (body, status)).map_err(|e| e.to_string())
    })
}

fn crowd(service: &Cache<Stage>, number: usize) -> Vec<JoinHandle<Reply>> {
    (0..number)
        .map(|_| ask(service, get("/engagements/1")))
        .collect()
}

async fn bodies(crowd: Vec<JoinHandle<Reply>>) -> Vec<String> {
    let replies = join_all(crowd).await.into_iter();
    replies
        .map(|reply| reply.expect("no panic").expect("an answer").0)
        .collect()
}

/// Answers with the number of the call once the gate lets it.
fn gated(gate: &Gate, fields: &'static [(&'static str, &'static str)]) -> Stage {
    let gate = gate.clone();
    Stage::new(move |_, call| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Ok(answer(full(format!("call {call}")), fields))
        }
    })
}

#[tokio::test]
async fn ten_thousand_misses_are_one_call() {
    let gate = Gate::closed();
    let stage = gated(&gate, &[]);
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let crowd = crowd(&service, 10_000);
    stage.called(1).await;
    idle().await;
    gate.open();
    let replies = join_all(crowd).await;
    let mut collapsed = 0;
    for reply in replies {
        let (body, status) = reply.expect("no panic").expect("an answer");
        assert_eq!(body, "call 1");
        collapsed += usize::from(status.contains("collapsed"));
    }
    assert_eq!(collapsed, 9_999);
    assert_eq!(stage.calls(), 1);
}

/// The local tier held nothing to find for who was released; the whole crowd called.
#[tokio::test]
async fn a_crowd_needs_no_local_tier_to_share_one_call() {
    let tables = [
        engagements().local(Local::new().size(0)),
        engagement(|route| route.tags(["engagement:{answer.id}"])).local(Local::new().size(0)),
    ];
    for table in tables {
        for streamed in [false, true] {
            let gate = Gate::closed();
            let stage = Stage::gated(&gate, move |_, call| {
                let json = format!("{{\"id\":{call}}}");
                let body = if streamed { trickled(json) } else { full(json) };
                Ok(answer(body, &[("content-type", "application/json")]))
            });
            let service = stage.cached(&Keep::new(table.clone()).expect("a valid table"));
            let crowd = crowd(&service, 500);
            stage.called(1).await;
            idle().await;
            gate.open();
            for body in bodies(crowd).await {
                assert_eq!(body, "{\"id\":1}");
            }
            assert_eq!(stage.calls(), 1, "streamed: {streamed}");
        }
    }
}

/// Comes later than its head.
fn trickled(text: String) -> StageBody {
    let (feed, body) = feed();
    tokio::spawn(async move {
        for byte in text.into_bytes() {
            tokio::task::yield_now().await;
            feed.data(vec![byte]).await;
        }
    });
    body
}

#[tokio::test]
async fn a_leader_that_fails_takes_nobody_along() {
    let gate = Gate::closed();
    let stage = Stage::gated(&gate, move |_, call| match call {
        1 => Err("down"),
        _ => Ok(answer(full(format!("call {call}")), &[])),
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let crowd = crowd(&service, 100);
    stage.called(1).await;
    idle().await;
    gate.open();
    let replies: Vec<_> = join_all(crowd).await;
    let failed = replies.iter().filter(|reply| {
        let reply = reply.as_ref().expect("no panic");
        reply.as_ref().is_err_and(|error| error == "down")
    });
    assert_eq!(failed.count(), 1);
    assert_eq!(stage.calls(), 2);
}

#[tokio::test]
async fn a_leader_that_panics_releases_everyone() {
    let gate = Gate::closed();
    let stage = Stage::gated(&gate, move |_, call| {
        assert_ne!(call, 1, "the first call panics");
        Ok(answer(full(format!("call {call}")), &[]))
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let crowd = crowd(&service, 100);
    stage.called(1).await;
    idle().await;
    gate.open();
    let replies = join_all(crowd).await;
    let panicked = replies.iter().filter(|reply| reply.is_err()).count();
    assert_eq!((panicked, stage.calls()), (1, 2));
}

/// With the second leader that left, all who waited called at once.
#[tokio::test]
async fn leaders_that_leave_are_replaced_one_by_one() {
    let gate = Gate::closed();
    let (opened, leader) = (gate.clone(), Arc::new(Mutex::new(0)));
    let leads = Arc::clone(&leader);
    let stage = Stage::new(move |request, call| {
        let number = request.headers()["x-number"].to_str().expect("text");
        *leads.lock().expect("no panic") = number.parse().expect("a number");
        let gate = opened.clone();
        async move {
            gate.pass().await;
            Ok(answer(full(format!("call {call}")), &[]))
        }
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
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
        stage.called(gone).await;
        idle().await;
        assert_eq!(stage.calls(), gone);
        let leads = *leader.lock().expect("no panic");
        crowd.remove(&leads).expect("it has not left").abort();
    }
    stage.called(7).await;
    gate.open();
    for body in bodies(crowd.into_values().collect()).await {
        assert_eq!(body, "call 7");
    }
    assert_eq!(stage.calls(), 7);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_head_leaves_the_fill_to_go_on() {
    let (feed, body) = feed();
    let body = Mutex::new(Some(body));
    let stage = Stage::new(move |_, _| {
        let body = body.lock().expect("no panic").take().expect("one call");
        async move { Ok(answer(body, &[])) }
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let response = head(&service, get("/engagements/1")).await;
    let follower = ask(&service, get("/engagements/1"));
    feed.data("one ").await;
    drop(response);
    feed.data("two").await;
    drop(feed);
    assert_eq!(
        follower.await.expect("no panic").expect("an answer").0,
        "one two"
    );
    let hit = send(&service, get("/engagements/1")).await;
    assert_eq!((hit.body.as_str(), stage.calls()), ("one two", 1));
    assert!(hit.cache_status().contains("hit"), "{hit:?}");
}

#[tokio::test]
async fn nobody_gets_an_answer_that_is_not_shareable() {
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
        let stage = gated(&gate, fields);
        let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
        let first = crowd(&service, 50);
        stage.called(1).await;
        idle().await;
        assert_eq!(stage.calls(), 1, "{fields:?}");
        // The leader's answer alone: its head releases the rest, who wait for nobody.
        gate.admit(1);
        stage.called(50).await;
        gate.open();
        let distinct: HashSet<_> = bodies(first).await.into_iter().collect();
        assert_eq!(distinct.len(), 50, "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn for_what_was_not_shareable_nobody_queues_for_a_while() {
    let gate = Gate::closed();
    gate.admit(1);
    let stage = gated(&gate, &[("cache-control", "private")]);
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    let at_once = crowd(&service, 20);
    stage.called(21).await;
    gate.admit(20);
    bodies(at_once).await;

    tokio::time::advance(Duration::from_secs(11)).await;
    let later = crowd(&service, 20);
    stage.called(22).await;
    idle().await;
    assert_eq!(stage.calls(), 22, "they wait for one again");
    gate.open();
    bodies(later).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_stalls_nobody() {
    let stage = Stage::new(|_, _| async { Ok(answer(trickled("all of it".into()), &[])) });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let idler = head(&service, get("/engagements/1")).await;
    let follower = head(&service, get("/engagements/1")).await;
    assert!(
        follower.headers()["cache-status"]
            .to_str()
            .is_ok_and(|s| s.contains("collapsed"))
    );
    let idle_follower = head(&service, get("/engagements/1")).await;
    assert_eq!(
        whole(follower.into_body()).await.expect("whole"),
        "all of it"
    );
    let hit = send(&service, get("/engagements/1")).await;
    assert!(hit.cache_status().contains("hit"), "{hit:?}");
    for late in [idler, idle_follower] {
        assert_eq!(whole(late.into_body()).await.expect("whole"), "all of it");
    }
    assert_eq!(stage.calls(), 1);
}

#[tokio::test]
async fn beyond_the_cap_the_leader_sets_the_pace() {
    let (feed, body) = feed();
    let body = Mutex::new(Some(body));
    let stage = Stage::new(move |_, call| {
        let body = body.lock().expect("no panic").take();
        async move {
            Ok(answer(
                body.unwrap_or_else(|| full(format!("call {call}"))),
                &[],
            ))
        }
    });
    let table = engagement(|route| route.max_body(4));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    let mut leader = head(&service, get("/engagements/1")).await.into_body();
    feed.data("1234").await;
    feed.data("5678").await;
    idle().await;
    // One frame in the feed, and none is taken from it until the leader has read.
    assert!(feed.offer(b"9"));
    idle().await;
    assert!(!feed.offer(b"never"));
    for expected in ["1234", "5678", "9"] {
        let data = chunk(&mut leader).await.expect("data").expect("no error");
        assert_eq!(data, expected);
    }
    // Nobody waits for what will not be stored.
    let other = send(&service, get("/engagements/1")).await;
    assert_eq!(other.body, "call 2");
    drop(feed);
    assert!(chunk(&mut leader).await.is_none());
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

#[tokio::test]
async fn a_follower_that_reads_along_gets_a_body_beyond_the_cap_whole() {
    let (feed, body) = feed();
    let body = Mutex::new(Some(body));
    let stage = Stage::new(move |_, _| {
        let body = body.lock().expect("no panic").take().expect("one call");
        async move { Ok(answer(body, &[])) }
    });
    let service =
        stage.cached(&Keep::new(engagement(|route| route.max_body(4))).expect("a valid table"));
    let mut leader = head(&service, get("/engagements/1")).await.into_body();
    let mut follower = head(&service, get("/engagements/1")).await.into_body();
    for part in ["123", "456", "789"] {
        feed.data(part).await;
        for body in [&mut leader, &mut follower] {
            assert_eq!(chunk(body).await.expect("data").expect("no error"), part);
        }
    }
    drop(feed);
    assert!(chunk(&mut leader).await.is_none() && chunk(&mut follower).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_nobody_reads_is_not_awaited_for_ever() {
    let (feed, body) = feed();
    let body = Mutex::new(Some(body));
    let stage = Stage::new(move |_, call| {
        let body = body.lock().expect("no panic").take();
        async move {
            Ok(answer(
                body.unwrap_or_else(|| full(format!("call {call}"))),
                &[],
            ))
        }
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    drop(head(&service, get("/engagements/1")).await);
    feed.given_up().await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_to_all_and_is_not_stored() {
    for at_once in [false, true] {
        let stage = Stage::new(move |_, call| async move {
            if call > 1 {
                return Ok(answer(full("whole"), &[]));
            }
            let (feed, body) = feed();
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
                    idle().await;
                    work.await;
                });
            }
            Ok(answer(body, &[]))
        });
        let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
        let leader = head(&service, get("/engagements/1")).await.into_body();
        let follower = head(&service, get("/engagements/1")).await.into_body();
        for mut body in [leader, follower] {
            assert_eq!(
                chunk(&mut body).await.expect("data").expect("no error"),
                "par"
            );
            assert!(chunk(&mut body).await.expect("an end").is_err());
        }
        assert_eq!(send(&service, get("/engagements/1")).await.body, "whole");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_it_says_is_not_stored() {
    for streamed in [false, true] {
        for length in ["8", "6"] {
            let stage = Stage::new(move |_, call| async move {
                let text = format!("call {call}!");
                let body = if streamed { trickled(text) } else { full(text) };
                Ok(answer(body, &[("content-length", length)]))
            });
            let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
            let first = head(&service, get("/engagements/1")).await;
            let _ = whole(first.into_body()).await;
            idle().await;
            let second = head(&service, get("/engagements/1")).await;
            assert_eq!(whole(second.into_body()).await.expect("whole"), "call 2!");
        }
    }
}

#[tokio::test]
async fn trailers_are_kept() {
    let stage = Stage::new(|_, _| async {
        let (feed, body) = feed();
        tokio::spawn(async move {
            feed.data("content").await;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-checksum", "7".parse().expect("a value"));
            feed.trailers(trailers).await;
        });
        Ok(answer(body, &[]))
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    for _ in 0..3 {
        let response = head(&service, get("/engagements/1")).await;
        let body: ResponseBody<StageBody> = response.into_body();
        let collected = http_body_util::BodyExt::collect(body).await.expect("whole");
        let trailers = collected.trailers().cloned().expect("trailers");
        assert_eq!(trailers["x-checksum"], "7");
        assert_eq!(collected.to_bytes(), "content");
    }
    assert_eq!(stage.calls(), 1);
}

#[tokio::test]
async fn what_cannot_be_stored_passes() {
    let stage = Stage::new(|request, call| async move {
        let mut response = answer(full(format!("call {call}")), &[]);
        if request.headers().contains_key("upgrade") {
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        }
        if request.headers().contains_key("range") {
            *response.status_mut() = http::StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    });
    let service = stage.cached(&Keep::new(Table::new()).expect("a valid table"));
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
    // A 206 that does not say which part it is.
    let range = || request("GET", "/a", &[("range", "bytes=0-3")]);
    assert_eq!(send(&service, range()).await.body, "call 3");
    assert_eq!(send(&service, range()).await.body, "call 4");
}

#[tokio::test]
async fn requests_for_the_same_variant_wait_together() {
    let gate = Gate::closed();
    let stage = Stage::gated(&gate, move |request, call| {
        let language = request.headers()["accept-language"].to_str().expect("text");
        let body = full(format!("{language} {call}"));
        Ok(answer(body, &[("vary", "accept-language")]))
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
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
    stage.called(1).await;
    idle().await;
    gate.open();
    for (language, reply) in crowd {
        let (body, _) = reply.await.expect("no panic").expect("an answer");
        assert!(body.starts_with(language), "{language}: {body}");
    }
    assert_eq!(stage.calls(), 3);
}

/// Every follower of an invalidated fill called by itself.
#[tokio::test]
async fn after_an_invalidation_one_fetches_anew_for_all() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let stage = Stage::new(move |request, call| {
        let gate = opened.clone();
        async move {
            if request.method() == http::Method::GET {
                gate.pass().await;
            }
            Ok(answer(full(format!("call {call}")), &[]))
        }
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let before = ask(&service, get("/engagements/1"));
    stage.called(1).await;
    send(&service, request("PUT", "/engagements/1", &[])).await;
    let after = crowd(&service, 50);
    idle().await;
    assert_eq!(stage.calls(), 2);
    gate.open();
    assert_eq!(
        before.await.expect("no panic").expect("an answer").0,
        "call 1"
    );
    for body in bodies(after).await {
        assert_eq!(body, "call 3");
    }
    assert_eq!(stage.calls(), 3);
    // What the first call brought is not what is stored.
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

#[tokio::test]
async fn nothing_is_left_of_a_crowd_that_left() {
    let gate = Gate::closed();
    let stage = gated(&gate, &[]);
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let crowd = crowd(&service, 100);
    stage.called(1).await;
    crowd.iter().for_each(JoinHandle::abort);
    eventually("the crowd to leave", || {
        crowd.iter().all(JoinHandle::is_finished)
    })
    .await;
    gate.open();
    let calls = stage.calls();
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        format!("call {}", calls + 1)
    );
}
