//! Refreshing behind the caller's back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use http_body_util::Full;
use tower::Layer;
use tower_keep::{CacheLayer, Keep, Route, Scope, Table, table::mins};

use super::kit::{Answer, Origin, cached, get, request, send};
use crate::support::until;

/// What is stored is due for a refresh from the first moment on.
fn due() -> Route {
    Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public)
        .refresh_ahead(mins(30) - Duration::from_millis(1))
}

fn keep(route: Route) -> Keep {
    Keep::new(Table::new().ttl("engagement", mins(30)).route(route))
}

/// Good once, then as `later` says.
fn good_then(later: impl Fn() -> Answer + Send + Sync + 'static) -> Origin {
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
async fn a_hit_that_is_due_is_answered_at_once_and_refreshed() {
    let keep = keep(due());
    let origin = Origin::with(&[]);
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
async fn nothing_worse_replaces_what_is_stored() {
    let refused = [
        (StatusCode::INTERNAL_SERVER_ERROR, None),
        (StatusCode::SERVICE_UNAVAILABLE, None),
        (StatusCode::UNAUTHORIZED, None),
        (StatusCode::FORBIDDEN, None),
        (StatusCode::TOO_MANY_REQUESTS, None),
        (StatusCode::OK, Some("no-store")),
    ];
    for (status, directive) in refused {
        // The table wants even these to be stored.
        let keep = keep(match status {
            StatusCode::OK => due(),
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
async fn a_panic_harms_nobody() {
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
async fn the_application_trims_what_is_sent_again() {
    let keep = keep(due());
    let marked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&marked);
    let origin = Origin::new(move |parts, call| {
        if call > 1 {
            assert!(!parts.headers.contains_key("x-trace"));
            assert!(!parts.headers.contains_key("range"));
            assert_eq!(parts.headers["authorization"], "me");
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Response::new(Full::from("good"))
    });
    let service = CacheLayer::new(&keep)
        .refresh_parts(|parts| drop(parts.headers.remove("x-trace")))
        .layer(origin.clone());
    let fields = [
        ("x-trace", "1"),
        ("authorization", "me"),
        ("range", "bytes=0-1"),
    ];
    send(&service, request("GET", "/engagements/1", &fields)).await;
    send(&service, request("GET", "/engagements/1", &fields)).await;
    until("the refresh", || async {
        (marked.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
}
