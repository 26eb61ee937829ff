//! Requests of strangers, which must not invalidate more than they name.

use http::Response;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower_keep::{Keep, Route, Scope, Table};

use super::stack::{Stack, hits, stack};
use crate::common::{
    client::{as_user, get, put, request, send},
    keeps::new_keep,
    log::Log,
    origin::Origin,
};

fn public(path: &str, key: &str) -> Route {
    Route::new(path).key(key).scope(Scope::Public)
}

fn keep() -> Keep {
    let table = Table::new()
        .route(public("/engagements", "engagements"))
        .route(public("/engagements/{id}/tasks", "engagement:{id}:tasks"))
        .route(public("/orgs/{org}/stats", "dashboard:{org}:stats"))
        .route(
            public("/engagements/{id}", "engagement:{id}")
                .invalidates(["engagement:{id}:*", "engagements"]),
        )
        .route(
            public("/tasks", "tasks:{query.org}")
                .query(["org"])
                .invalidates(["dashboard:{query.org}:stats", "engagements"]),
        )
        .route(
            Route::new("/me")
                .key("me:{user}")
                .scope(Scope::User)
                .invalidates(["dashboard:{user}:stats"]),
        );
    new_keep(table)
}

/// GET responds with 200; other methods with the fields and the status that the request names.
fn echo() -> Origin {
    Origin::with_head(|parts| {
        let mut response = Response::builder();
        for name in ["location", "content-location"] {
            if let Some(value) = parts.headers.get(name) {
                response = response.header(name, value);
            }
        }
        let status = parts
            .headers
            .get("x-status")
            .map_or("200", |status| status.to_str().expect("text"));
        response.status(status)
    })
}

const OTHERS: [&str; 4] = [
    "/engagements/1",
    "/engagements/1/tasks",
    "/orgs/7/stats",
    "/tasks?org=7",
];

async fn stored(keep: &Keep) -> Stack {
    let service = stack(keep, &echo());
    hits(&service, &OTHERS).await;
    hits(&service, &["/engagements"]).await;
    service
}

#[tokio::test]
async fn a_malformed_path_invalidates_no_other_entry() {
    for path in ["/engagements/%zz", "/engagements/%2", "/engagements/%zz%2A"] {
        let keep = keep();
        let service = stored(&keep).await;
        for method in ["PUT", "POST", "DELETE"] {
            send(&service, request(method, path, &[])).await;
        }
        assert_eq!(hits(&service, &OTHERS).await, [true; 4], "{path}");
        let named = hits(&service, &["/engagements"]).await;
        assert_eq!(named, [false], "the names that are known are invalidated");
    }
}

#[tokio::test]
async fn a_malformed_location_invalidates_no_other_entry() {
    for field in ["location", "content-location"] {
        for status in ["200", "201", "303"] {
            let keep = keep();
            let service = stored(&keep).await;
            let fields = [(field, "/engagements/%zz"), ("x-status", status)];
            send(&service, request("POST", "/unlisted", &fields)).await;
            assert_eq!(hits(&service, &OTHERS).await, [true; 4], "{field} {status}");
        }
    }
}

#[tokio::test]
async fn a_missing_or_repeated_parameter_invalidates_no_other_entry() {
    for path in [
        "/tasks",
        "/tasks?org=7&org=8",
        "/tasks?org=%zz",
        "/tasks?o=7",
    ] {
        let keep = keep();
        let service = stored(&keep).await;
        send(&service, request("POST", path, &[])).await;
        assert_eq!(hits(&service, &OTHERS).await, [true; 4], "{path}");
        assert_eq!(hits(&service, &["/engagements"]).await, [false], "{path}");
    }
    let keep = keep();
    let service = stored(&keep).await;
    send(&service, request("POST", "/tasks?org=7", &[])).await;
    let seen = hits(&service, &OTHERS).await;
    assert_eq!(seen, [true, true, false, false], "the named org");
}

#[tokio::test]
async fn a_write_without_a_user_invalidates_nobody_s_entry() {
    let keep = keep();
    let service = stored(&keep).await;
    let mine = || as_user("ada", get("/me"));
    send(&service, mine()).await;
    send(&service, put("/me")).await;
    assert!(send(&service, mine()).await.cache_status().contains("hit"));
    assert_eq!(hits(&service, &OTHERS).await, [true; 4]);
    send(&service, as_user("ada", put("/me"))).await;
    assert!(!send(&service, mine()).await.cache_status().contains("hit"));
}

/// A `CacheLayer` alone invalidates the request's target and the response's locations.
#[tokio::test]
async fn without_an_invalidate_layer_a_malformed_path_invalidates_no_other_entry() {
    let keep = keep();
    let service = stored(&keep).await;
    let alone = crate::common::origin::cached(&keep, &echo());
    send(&alone, put("/engagements/%zz")).await;
    let fields = [("location", "/engagements/%zz")];
    send(&alone, request("POST", "/unlisted", &fields)).await;
    assert_eq!(hits(&service, &OTHERS).await, [true; 4]);
    send(&alone, put("/engagements/1")).await;
    assert_eq!(hits(&service, &OTHERS).await, [false, true, true, true]);
}

#[tokio::test]
async fn skipped_targets_are_counted_and_logged_once() {
    let ((log, _guard), recorder) = (Log::start(), DebuggingRecorder::new());
    let keep = metrics::with_local_recorder(&recorder, keep);
    let service = stack(&keep, &echo());
    send(&service, request("POST", "/tasks", &[])).await;
    send(&service, put("/engagements/%zz")).await;
    let refused = [("x-status", "404")];
    send(&service, request("POST", "/tasks", &refused)).await;
    let counted = recorder.snapshotter().snapshot().into_vec();
    let counted = counted.into_iter().find_map(|(key, _, _, value)| {
        let skipped = key.key().name() == "tower_keep_invalidate_targets_skipped_total";
        skipped.then_some(value)
    });
    // Of each write its own key, and one name of its route; of the malformed path, which can be read in
    // two ways, the name of each.
    assert_eq!(counted, Some(DebugValue::Counter(5)));
    assert_eq!(log.count("a write does not invalidate a target"), 1);
}

#[tokio::test]
async fn of_the_redirections_only_303_counts_as_a_write() {
    for status in ["300", "301", "302", "303", "307", "308"] {
        let keep = keep();
        let service = stored(&keep).await;
        let fields = [("x-status", status), ("location", "/orgs/7/stats")];
        send(&service, request("PUT", "/engagements/1", &fields)).await;
        let is_other = status != "303";
        let seen = hits(&service, &OTHERS).await;
        assert_eq!(seen, [false, is_other, is_other, true], "{status}");
        assert_eq!(
            hits(&service, &["/engagements"]).await,
            [is_other],
            "{status}"
        );
    }
}
