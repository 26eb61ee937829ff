//! Invalidations by the application, in one process.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{FutureExt, StreamExt};
use http::Response;
use tower_keep::{
    Keep, Key, Route, Scope, Table,
    keep::Invalidation,
    table::{mins, secs},
};

use super::stack::{hits, stack};
use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::Origin,
};

fn key(text: &str) -> Key {
    Key::raw(text).expect("a key")
}

async fn filled(keys: &[&str]) -> Keep {
    let keep = new_keep(Table::new());
    fill(&keep, keys).await;
    keep
}

async fn fill(keep: &Keep, keys: &[&str]) {
    for name in keys {
        keep.set(&key(name), name).await.expect("a value");
    }
}

/// Which of these keys have a value.
async fn left<'a>(keep: &Keep, keys: &[&'a str]) -> Vec<&'a str> {
    let mut left = Vec::new();
    for name in keys {
        if keep
            .get::<String>(&key(name))
            .await
            .expect("a string")
            .is_some()
        {
            left.push(*name);
        }
    }
    left
}

const KEYS: [&str; 7] = [
    "engagement:42",
    "engagement:42:tasks",
    "engagement:421",
    "agent:1",
    "agent:1:status",
    "dashboard:org-456:engagement_list",
    "dashboard:org-456:stats",
];

#[tokio::test]
async fn keys_prefixes_patterns_entities_and_everything_can_be_invalidated() {
    let pattern = |text| Invalidation::pattern(text).expect("a pattern");
    for (invalidation, gone) in [
        (Invalidation::key(&key("engagement:42")), vec![0]),
        (pattern("engagement:42"), vec![0]),
        (pattern("engagement:42:*"), vec![1]),
        (pattern("engagement:42*"), vec![0, 1, 2]),
        (pattern("dashboard:*:engagement_list"), vec![5]),
        (pattern("*:1"), vec![3]),
        (pattern("agent:?"), vec![3]),
        (pattern("[de]*:*s"), vec![1, 6]),
        (Invalidation::prefix("engagement:42"), vec![0, 1, 2]),
        (Invalidation::prefix("engagement:*"), vec![]),
        (Invalidation::entity("agent"), vec![3, 4]),
        (Invalidation::everything(), (0..7).collect()),
        (pattern("*"), (0..7).collect()),
    ] {
        let keep = filled(&KEYS).await;
        keep.invalidate([invalidation.clone()])
            .await
            .expect("invalidated");
        let mut expected = KEYS.to_vec();
        expected.retain(|name| !gone.iter().any(|at| KEYS[*at] == *name));
        assert_eq!(left(&keep, &KEYS).await, expected, "{invalidation}");
        fill(&keep, &KEYS).await;
        assert_eq!(
            left(&keep, &KEYS).await,
            KEYS,
            "{invalidation}: it names what was there"
        );
    }
}

#[tokio::test]
async fn a_nested_entity_is_invalidated_by_the_name_the_table_gives_it() {
    let keep = new_keep(Table::new().ttl("agent:status", secs(60)));
    fill(&keep, &KEYS).await;
    keep.invalidate([Invalidation::entity("agent:status")])
        .await
        .expect("invalidated");
    assert_eq!(
        left(&keep, &["agent:1", "agent:1:status"]).await,
        ["agent:1"]
    );
    keep.invalidate([Invalidation::entity("agent")])
        .await
        .expect("invalidated");
    assert_eq!(left(&keep, &["agent:1"]).await, [""; 0]);
}

#[tokio::test]
async fn several_targets_are_one_invalidation() {
    let keys: Vec<String> = (0..1000).map(|n| format!("engagement:{n}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let keep = filled(&names).await;
    let all = names.iter().map(|name| Invalidation::key(&key(name)));
    keep.invalidate(all).await.expect("invalidated");
    assert_eq!(left(&keep, &names).await, [""; 0]);
    keep.invalidate([]).await.expect("nothing to do");
}

#[tokio::test]
async fn a_soft_invalidation_makes_entries_stale() {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let keep = new_keep(Table::new().route(route.stale_if_error(mins(1))));
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let origin = Origin::with_head(move |parts| {
        let response = Response::builder().header("etag", "\"1\"");
        let status = match parts.headers.contains_key("if-none-match") {
            _ if breaks.load(Ordering::SeqCst) => 503,
            true => 304,
            false => 200,
        };
        response.status(status)
    });
    let service = stack(&keep, &origin);
    let cache_status = async || {
        let seen = send(&service, get("/engagements/1")).await;
        assert_eq!(seen.body, "call 1", "the first response is still used");
        seen.headers["cache-status"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    assert!(cache_status().await.contains("stored"));
    for soft in [
        keep.invalidate([Invalidation::entity("engagement").soft()]),
        keep.invalidate([Invalidation::everything()]).soft(),
    ] {
        soft.await.expect("invalidated");
        let status = cache_status().await;
        assert!(status.contains("fwd=stale; fwd-status=304"), "{status}");
        let status = cache_status().await;
        assert!(status.contains("; hit"), "{status}");
    }
    broken.store(true, Ordering::SeqCst);
    keep.invalidate([Invalidation::entity("engagement")])
        .soft()
        .await
        .expect("invalidated");
    let status = cache_status().await;
    assert!(status.contains("stale-if-error"), "{status}");
    keep.invalidate([Invalidation::entity("engagement")])
        .await
        .expect("invalidated");
    assert_eq!(
        send(&service, get("/engagements/1")).await.status,
        503,
        "a hard one allows nothing"
    );
}

/// Regression: within `stale-while-revalidate`, or for a request with `max-stale`, the entry was used
/// as if it had not been invalidated.
#[tokio::test(start_paused = true)]
async fn a_softly_invalidated_entry_is_validated_before_it_is_served_stale() {
    let route = Route::new("/engagements/{id}").key("engagement:{id}");
    let route = route.scope(Scope::Public).ttl(secs(1));
    let keep = new_keep(Table::new().route(route.stale_while_revalidate(mins(1))));
    let origin = Origin::with_head(|parts| {
        let unchanged = parts.headers.contains_key("if-none-match");
        let status = if unchanged { 304 } else { 200 };
        Response::builder().header("etag", "\"1\"").status(status)
    });
    let service = stack(&keep, &origin);
    for (path, field) in [
        ("/engagements/1", ("accept", "*/*")),
        ("/engagements/2", ("cache-control", "max-stale=60")),
    ] {
        send(&service, get(path)).await;
        tokio::time::sleep(secs(2)).await;
        keep.invalidate([Invalidation::entity("engagement").soft()])
            .await
            .expect("invalidated");
        let seen = send(&service, request("GET", path, &[field])).await;
        let status = seen.headers["cache-status"].to_str().expect("text");
        assert!(status.contains("fwd=stale; fwd-status=304"), "{status}");
    }
}

#[tokio::test]
async fn a_new_version_invalidates_everything() {
    // The guide's third strategy.
    let route = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    let keep = new_keep(
        Table::new()
            .route(route("/engagements/{id}", "engagement:{id}"))
            .route(route("/agents/{id}/status", "agent:{id}:status")),
    );
    let service = stack(&keep, &Origin::with_fields(&[]));
    let paths = ["/engagements/1", "/agents/1/status"];
    let keys = ["engagement:2", "agent:2", "agent:2:status"];
    fill(&keep, &keys).await;
    hits(&service, &paths).await;
    keep.bump_version("engagement").await.expect("bumped");
    assert_eq!(hits(&service, &paths).await, [false, true]);
    assert_eq!(left(&keep, &keys).await, ["agent:2", "agent:2:status"]);
    keep.bump_version("agent").await.expect("bumped");
    assert_eq!(
        hits(&service, &paths).await,
        [true, false],
        "agent:status is below agent"
    );
    assert_eq!(left(&keep, &keys).await, [""; 0]);
    fill(&keep, &keys).await;
    assert_eq!(left(&keep, &keys).await, keys);
    keep.delete(&key("engagement:2")).await.expect("deleted");
    assert_eq!(left(&keep, &keys).await, ["agent:2", "agent:2:status"]);
}

#[tokio::test]
async fn a_write_in_code_invalidates_however_it_ends() {
    let changes = || [Invalidation::key(&key("engagement:42"))];
    let gone = async |keep: &Keep| left(keep, &["engagement:42"]).await.is_empty();

    let keep = filled(&KEYS).await;
    let result = keep.write(changes(), async { Ok::<_, io::Error>(7) }).await;
    assert_eq!(result.expect("no error"), 7);
    assert!(gone(&keep).await);

    let keep = filled(&KEYS).await;
    let failed = keep
        .write(changes(), async { Err::<(), _>("the reply was lost") })
        .await;
    assert_eq!(failed, Err("the reply was lost"));
    assert!(gone(&keep).await);

    let keep = filled(&KEYS).await;
    let panics = async { panic!("after the commit") };
    let write = AssertUnwindSafe(
        keep.write(changes(), panics)
            .map(|_: Result<(), io::Error>| ()),
    );
    assert!(write.catch_unwind().await.is_err());
    assert!(gone(&keep).await);

    let keep = filled(&KEYS).await;
    let mut write =
        Box::pin(keep.write(changes(), std::future::pending::<Result<(), io::Error>>()));
    assert!(write.as_mut().now_or_never().is_none());
    assert!(!gone(&keep).await);
    drop(write);
    assert!(gone(&keep).await);
    assert_eq!(left(&keep, &KEYS).await, KEYS[1..]);
}

#[tokio::test]
async fn delete_removes_the_value_and_everything_below_its_key() {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let keep = new_keep(Table::new().route(route));
    let service = stack(&keep, &Origin::with_fields(&[]));
    let paths = [
        "/engagements/42",
        "/engagements/42?page=2",
        "/engagements/43",
    ];
    hits(&service, &paths).await;
    keep.delete(&key("engagement:42")).await.expect("deleted");
    assert_eq!(hits(&service, &paths).await, [false, false, true]);
}

#[tokio::test]
async fn delete_by_pattern_returns_the_number_of_entries() {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let keep = new_keep(Table::new().route(route));
    let service = stack(&keep, &Origin::with_fields(&[]));
    hits(
        &service,
        &["/engagements/42?page=1", "/engagements/42?page=2"],
    )
    .await;
    fill(&keep, &KEYS).await;
    assert_eq!(
        keep.delete_pattern("engagement:42").await.expect("deleted"),
        3
    );
    assert_eq!(
        keep.delete_pattern("engagement:42").await.expect("deleted"),
        0
    );
    assert_eq!(
        keep.delete_pattern("dashboard:*:engagement_list")
            .await
            .expect("deleted"),
        1
    );
    assert_eq!(keep.delete_pattern("*").await.expect("deleted"), 5);
    assert!(
        keep.delete_pattern("")
            .await
            .expect_err("no pattern")
            .is_config()
    );
}

#[tokio::test]
async fn applications_receive_invalidation_events() {
    let keep = new_keep(Table::new());
    let heard = keep.invalidations();
    keep.invalidate([
        Invalidation::key(&key("engagement:42")),
        Invalidation::tag("org:7").soft(),
    ])
    .await
    .expect("invalidated");
    keep.bump_version("agent").await.expect("bumped");
    drop(keep);
    let heard: Vec<Invalidation> = heard.collect().await;
    assert!(heard[0].names(&key("engagement:42")) && !heard[0].is_soft());
    assert!(heard[1].is_soft());
    assert_eq!(heard[1].as_tag(), Some("org:7"));
    assert!(
        heard[2..]
            .iter()
            .all(|told| told.names(&key("agent:1:status")))
    );
    assert!(heard.len() > 2);
}

#[tokio::test]
async fn a_slow_receiver_of_events_is_told_that_everything_changed() {
    let keep = new_keep(Table::new());
    let mut heard = keep.invalidations();
    for n in 0..3000 {
        let one = Invalidation::key(&Key::new("engagement").id(n));
        keep.invalidate([one]).await.expect("invalidated");
    }
    assert!(heard.next().await.expect("news").is_everything());
}
