//! Refreshes in the background.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::{sync::watch, time::Instant};
use tower::{Layer, service_fn};
use tower_keep::{
    CacheLayer, Keep, Route, Scope, Table,
    table::{mins, secs},
};

use crate::{
    common::{
        client::{advance, get, request, send},
        keeps::new_keep,
        origin::{FullResponse, Origin, cached},
    },
    support::until,
};

/// Entries are due for a refresh from the beginning.
fn due() -> Route {
    Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public)
        .refresh_ahead(mins(30) - Duration::from_millis(1))
}

fn keep(route: Route) -> Keep {
    new_keep(Table::new().ttl("engagement", mins(30)).route(route))
}

/// The first response is good, the others are those of `later`.
fn good_then(later: impl Fn() -> FullResponse + Send + Sync + 'static) -> Origin {
    Origin::new(move |_, call| match call {
        1 => Response::new(Full::from("good")),
        _ => later(),
    })
}

async fn called(origin: &Origin, times: usize) {
    until("the refresh", || async {
        (origin.calls() >= times).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hit_due_for_refresh_is_answered_at_once_and_refreshed() {
    let keep = keep(due());
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1")).await;
    let hit = send(&service, get("/engagements/1")).await;
    assert_eq!(hit.body, "call 1");
    assert!(hit.cache_status().contains("hit"), "{hit:?}");
    called(&origin, 2).await;
    until("what was refreshed", || async {
        let seen = send(&service, get("/engagements/1")).await;
        (seen.body != "call 1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_stored_response() {
    let refused = [
        (StatusCode::INTERNAL_SERVER_ERROR, None),
        (StatusCode::SERVICE_UNAVAILABLE, None),
        (StatusCode::UNAUTHORIZED, None),
        (StatusCode::FORBIDDEN, None),
        (StatusCode::TOO_MANY_REQUESTS, None),
        (StatusCode::OK, Some("no-store")),
    ];
    for (status, directive) in refused {
        // The table stores even these.
        let keep = keep(match status {
            StatusCode::OK => due(),
            StatusCode::TOO_MANY_REQUESTS => due(),
            _ => due().negative(status, mins(1)),
        });
        let origin = good_then(move || {
            let mut response = Response::new(Full::from("worse"));
            *response.status_mut() = status;
            if let Some(directive) = directive {
                let value = directive.parse().expect("a value");
                response.headers_mut().insert("cache-control", value);
            }
            response
        });
        let service = cached(&keep, &origin);
        send(&service, get("/engagements/1")).await;
        send(&service, get("/engagements/1")).await;
        called(&origin, 2).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
            let seen = send(&service, get("/engagements/1")).await;
            assert_eq!(seen.body, "good", "{status} {directive:?}");
        }
    }
}

#[tokio::test]
async fn a_panic_during_a_refresh_keeps_the_stored_response() {
    let keep = keep(due());
    let origin = good_then(|| panic!("on purpose"));
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1")).await;
    send(&service, get("/engagements/1")).await;
    called(&origin, 2).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert_eq!(send(&service, get("/engagements/1")).await.body, "good");
    }
}

#[tokio::test]
async fn refresh_parts_can_remove_fields_of_the_refresh_request() {
    let keep = keep(due());
    let marked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&marked);
    let origin = Origin::new(move |parts, call| {
        if call > 1 {
            assert!(!parts.headers.contains_key("x-trace"));
            assert!(!parts.headers.contains_key("range"));
            assert!(!parts.headers.contains_key("authorization"));
            assert_eq!(parts.headers["accept"], "text/html");
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Response::new(Full::from("good"))
    });
    let service = CacheLayer::new(&keep)
        .refresh_request(|parts| drop(parts.headers.remove("x-trace")))
        .layer(origin.clone());
    let fields = [
        ("x-trace", "1"),
        ("authorization", "me"),
        ("accept", "text/html"),
        ("range", "bytes=0-1"),
    ];
    send(&service, request("GET", "/engagements/1", &fields)).await;
    send(&service, request("GET", "/engagements/1", &fields)).await;
    until("the refresh", || async {
        (marked.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
}

/// Counts calls that are in progress.
struct InProgress(Arc<AtomicUsize>);

impl InProgress {
    fn count(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_given_up_after_30_seconds() {
    let keep = keep(due());
    let (calls, in_progress) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (calling, hanging) = (Arc::clone(&calls), Arc::clone(&in_progress));
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let (call, hanging) = (
            calling.fetch_add(1, Ordering::SeqCst) + 1,
            Arc::clone(&hanging),
        );
        async move {
            if call == 2 {
                let _in_progress = InProgress::count(&hanging);
                pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Full::from(format!("call {call}"))))
        }
    });
    let service = CacheLayer::new(&keep).layer(handler);
    let seen = async || send(&service, get("/engagements/1")).await.body;
    let in_progress = || in_progress.load(Ordering::SeqCst);
    let calls = || calls.load(Ordering::SeqCst);

    seen().await;
    let start = Instant::now();
    assert_eq!(seen().await, "call 1");
    until("the refresh", async || (in_progress() == 1).then_some(())).await;
    // Meanwhile there is no other refresh, and no request waits.
    for _ in 0..29 {
        advance(1).await;
        assert_eq!((seen().await.as_str(), calls()), ("call 1", 2));
    }
    assert_eq!(in_progress(), 1);
    until("the refresh to be given up", async || {
        (in_progress() == 0).then_some(())
    })
    .await;
    let took = start.elapsed();
    assert!(took >= secs(30) && took < secs(31), "{took:?}");
    // The next attempt comes after a pause.
    assert_eq!((seen().await.as_str(), calls()), ("call 1", 2));
    advance(2).await;
    until("the next refresh", async || {
        (seen().await != "call 1").then_some(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_most_64_refreshes_run_at_the_same_time() {
    const STORED: usize = 70;
    const MOST: usize = 64;
    let keep = keep(due());
    let gate = watch::Sender::new(true);
    let in_progress = Arc::<AtomicUsize>::default();
    let refreshed = Arc::<Mutex<HashSet<String>>>::default();
    let (open, counted, asked) = (
        gate.subscribe(),
        Arc::clone(&in_progress),
        Arc::clone(&refreshed),
    );
    let handler = service_fn(move |request: Request<Full<Bytes>>| {
        let (mut open, counted) = (open.clone(), Arc::clone(&counted));
        if !*open.borrow() {
            let path = request.uri().path().to_owned();
            asked.lock().expect("whole").insert(path);
        }
        async move {
            let _in_progress = InProgress::count(&counted);
            let _ = open.wait_for(|open| *open).await;
            Ok::<_, Infallible>(Response::new(Full::from("good")))
        }
    });
    let service = CacheLayer::new(&keep).layer(handler);
    let paths: Vec<_> = (0..STORED).map(|id| format!("/engagements/{id}")).collect();
    let ask_all = async || {
        for path in &paths {
            assert_eq!(send(&service, get(path)).await.body, "good");
        }
    };
    let refreshed = || refreshed.lock().expect("whole").len();

    ask_all().await;
    gate.send_replace(false);
    ask_all().await;
    until("the refreshes", async || {
        (refreshed() >= MOST).then_some(())
    })
    .await;
    // Requests for the others try again, without success.
    for _ in 0..5 {
        advance(2).await;
        ask_all().await;
    }
    assert_eq!(
        (refreshed(), in_progress.load(Ordering::SeqCst)),
        (MOST, MOST)
    );
    gate.send_replace(true);
    until("room", async || {
        (in_progress.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    gate.send_replace(false);
    advance(2).await;
    // The entries that were left out come first, as the others have just been refreshed.
    for path in paths.iter().rev() {
        send(&service, get(path)).await;
    }
    until("those that were left out", async || {
        (refreshed() == STORED).then_some(())
    })
    .await;
}

/// Nobody refreshed such a response, so it was served until the end of `stale_while_revalidate`.
#[tokio::test(start_paused = true)]
async fn a_response_to_content_is_validated_when_it_is_stale() {
    let route = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public)
        .safe_methods("POST")
        .ttl(secs(10))
        .refresh_ahead(secs(5))
        .stale_while_revalidate(mins(60));
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep(route), &origin);
    let ask = || {
        let mut request = request("POST", "/search", &[]);
        *request.body_mut() = Full::from("query");
        request
    };
    for (seconds, calls) in [(0, 1), (7, 1), (10, 2), (0, 2), (600, 3)] {
        advance(seconds).await;
        let response = send(&service, ask()).await;
        assert_eq!(
            response.body,
            format!("call {calls}"),
            "{}",
            response.cache_status()
        );
    }
}
