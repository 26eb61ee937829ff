//! Values stored by the application.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, future::join_all};
use serde_json::{Value, json};
use tokio::time::advance;
use tower_keep::{
    Keep, Key, Table,
    keep::{GetOrSetError, Invalidation},
    table::secs,
};

use crate::common::{
    client::{get, run_other_tasks, send},
    keeps::{engagements, new_keep},
    origin::{Gate, Origin, cached, full, ok},
};

fn keep() -> Keep {
    new_keep(Table::new().jitter(0.0).ttl("quote", secs(60)))
}

fn key() -> Key {
    Key::new("quote").id(1)
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn made(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Gets the value in a task of its own; `make` returns the number of its call.
fn spawn_get(
    keep: &Keep,
    calls: &Calls,
    gate: &Gate,
) -> tokio::task::JoinHandle<Result<usize, GetOrSetError<&'static str>>> {
    let (keep, calls, gate) = (keep.clone(), calls.clone(), gate.clone());
    tokio::spawn(async move {
        let make = || async {
            let call = calls.next();
            gate.pass().await;
            Ok(call)
        };
        keep.get_or_set(&key(), make).await
    })
}

#[tokio::test(start_paused = true)]
async fn a_value_lives_for_its_ttl() {
    let keep = keep();
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), None);
    keep.set(&key(), &7).await.expect("JSON");
    advance(secs(59)).await;
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), Some(7));
    advance(secs(1)).await;
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), None);

    keep.entry(key()).ttl(secs(5)).set(&8).await.expect("JSON");
    advance(secs(4)).await;
    assert_eq!(
        keep.entry(key()).get::<u32>().await.expect("no error"),
        Some(8)
    );
    advance(secs(1)).await;
    assert_eq!(
        keep.entry(key()).get::<u32>().await.expect("no error"),
        None
    );
}

#[tokio::test]
async fn null_values_are_not_stored() {
    let keep = keep();
    keep.set(&key(), &None::<u32>).await.expect("JSON");
    assert_eq!(keep.get::<Value>(&key()).await.expect("no error"), None);
    let calls = Calls::default();
    for _ in 0..2 {
        let none = keep
            .get_or_set(&key(), || async {
                calls.next();
                Ok::<_, Infallible>(None::<u32>)
            })
            .await;
        assert_eq!(none, Ok(None));
    }
    assert_eq!(calls.made(), 2);
}

#[tokio::test]
async fn a_thousand_concurrent_calls_make_the_value_once() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    let all: Vec<_> = (0..1000).map(|_| spawn_get(&keep, &calls, &gate)).collect();
    run_other_tasks().await;
    gate.open();
    for one in join_all(all).await {
        assert_eq!(one.expect("no panic"), Ok(1));
    }
    assert_eq!(calls.made(), 1);
}

/// Regression: all waiting calls made the value at the same time instead of one of them.
#[tokio::test]
async fn one_waiting_call_takes_over_from_a_cancelled_leader() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    let leader = {
        let (keep, calls) = (keep.clone(), calls.clone());
        tokio::spawn(async move {
            let make = || async {
                calls.next();
                pending::<Result<usize, &'static str>>().await
            };
            keep.get_or_set(&key(), make).await
        })
    };
    run_other_tasks().await;
    let rest: Vec<_> = (0..50).map(|_| spawn_get(&keep, &calls, &gate)).collect();
    run_other_tasks().await;
    assert_eq!(calls.made(), 1);
    leader.abort();
    run_other_tasks().await;
    assert_eq!(calls.made(), 2);
    gate.open();
    for one in join_all(rest).await {
        assert_eq!(one.expect("no panic"), Ok(2));
    }
}

#[tokio::test]
async fn calls_that_waited_for_a_failure_make_their_own_value() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    let failing = {
        let (keep, gate) = (keep.clone(), gate.clone());
        tokio::spawn(async move {
            let make = || async {
                gate.pass().await;
                Err::<usize, _>("down")
            };
            keep.get_or_set(&key(), make).await
        })
    };
    run_other_tasks().await;
    let rest: Vec<_> = (0..10).map(|_| spawn_get(&keep, &calls, &gate)).collect();
    run_other_tasks().await;
    assert_eq!(calls.made(), 0);
    gate.open();
    assert_eq!(
        failing.await.expect("no panic"),
        Err(GetOrSetError::Make("down"))
    );
    for one in join_all(rest).await {
        assert!(one.expect("no panic").is_ok());
    }
}

#[tokio::test]
async fn a_panic_reaches_only_its_own_caller() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    let panicking = {
        let (keep, gate) = (keep.clone(), gate.clone());
        tokio::spawn(async move {
            let make = || async {
                gate.pass().await;
                panic!("in the midst of it");
                #[allow(unreachable_code)]
                Ok::<usize, &'static str>(0)
            };
            keep.get_or_set(&key(), make).await
        })
    };
    run_other_tasks().await;
    let rest: Vec<_> = (0..10).map(|_| spawn_get(&keep, &calls, &gate)).collect();
    run_other_tasks().await;
    gate.open();
    assert!(panicking.await.is_err());
    for one in join_all(rest).await {
        assert!(one.expect("no panic").is_ok());
    }
}

#[tokio::test]
async fn a_condition_decides_what_is_stored() {
    let keep = keep();
    for (call, expected) in [(1, 1), (2, 2), (3, 2)] {
        let value = keep
            .entry(key())
            .condition(|call: &i32| *call > 1)
            .get_or_set(|| async { Ok::<_, Infallible>(call) })
            .await;
        assert_eq!(value, Ok(expected));
    }
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_to_get_and_is_replaced() {
    let keep = keep();
    keep.set(&key(), "text").await.expect("JSON");
    let error = keep
        .get::<u32>(&key())
        .await
        .expect_err("text is no number");
    assert!(error.to_string().contains("quote:1"), "{error}");
    let made = keep
        .get_or_set(&key(), || async { Ok::<_, Infallible>(7_u32) })
        .await;
    assert_eq!(made, Ok(7));
    assert_eq!(keep.get::<u32>(&key()).await.expect("a number"), Some(7));
}

#[tokio::test]
async fn a_value_read_before_an_invalidation_is_not_stored_after_it() {
    let keep = keep();
    let mark = keep.mark();
    keep.delete(&key()).await.expect("invalidated");
    keep.entry(key()).set_at(mark, &1).await.expect("JSON");
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), None);
    keep.entry(key())
        .set_at(keep.mark(), &2)
        .await
        .expect("JSON");
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), Some(2));
}

/// Regression: when the value was invalidated while it was made, every waiting call made its own.
#[tokio::test]
async fn after_an_invalidation_one_call_makes_the_value_for_all() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    let before = spawn_get(&keep, &calls, &gate);
    run_other_tasks().await;
    keep.delete(&key()).await.expect("invalidated");
    let after: Vec<_> = (0..50).map(|_| spawn_get(&keep, &calls, &gate)).collect();
    run_other_tasks().await;
    gate.open();
    assert_eq!(before.await.expect("no panic"), Ok(1));
    for one in join_all(after).await {
        assert_eq!(one.expect("no panic"), Ok(2));
    }
    assert_eq!(keep.get::<usize>(&key()).await.expect("no error"), Some(2));
}

#[tokio::test]
async fn invalidating_a_tag_invalidates_its_values() {
    let keep = keep();
    keep.entry(key()).tag("desk:7").set(&1).await.expect("JSON");
    keep.invalidate([Invalidation::tag("desk:8")])
        .await
        .expect("invalidated");
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), Some(1));
    keep.invalidate([Invalidation::tag("desk:7")])
        .await
        .expect("invalidated");
    assert_eq!(keep.get::<u32>(&key()).await.expect("no error"), None);
}

#[tokio::test]
async fn a_stored_json_response_can_be_read_as_a_value() {
    let origin = Origin::from_fn(|request, _| async move {
        let json = request.uri().path().ends_with("json");
        let kind = if json {
            "application/problem+json; charset=utf-8"
        } else {
            "text/plain"
        };
        Ok(ok(full("{\"name\":\"Open\"}"), &[("content-type", kind)]))
    });
    let keep = new_keep(engagements());
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/json")).await;
    send(&service, get("/engagements/text")).await;
    let of = |id| Key::new("engagement").id(id);
    let value: Option<Value> = keep.get(&of("json")).await.expect("JSON");
    assert_eq!(value, Some(json!({ "name": "Open" })));
    assert_eq!(
        keep.get::<Value>(&of("text")).await.expect("no error"),
        None
    );
    // And a value under a route's key is no response.
    keep.set(&of("value"), &1).await.expect("JSON");
    let seen = send(&service, get("/engagements/value")).await;
    assert!(seen.cache_status().contains("fwd="), "{seen:?}");
}

#[tokio::test]
async fn a_future_that_is_not_polled_blocks_no_other_call() {
    let (keep, calls, gate) = (keep(), Calls::default(), Gate::closed());
    gate.open();
    let key = key();
    let idler = keep.get_or_set(&key, || async { Ok::<_, Infallible>(0) });
    assert_eq!(
        spawn_get(&keep, &calls, &gate).await.expect("no panic"),
        Ok(1)
    );
    assert_eq!(idler.now_or_never().expect("it is there"), Ok(1));
}
