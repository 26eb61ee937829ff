//! Values and responses whose own making requests them.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
};

use futures_util::FutureExt;
use tokio::time::Instant;
use tower_keep::{Keep, Key, cache::Cache, keep::GetOrSetError};

use crate::common::{
    client::{advance, get, request, run_other_tasks, send},
    keeps::{engagements, new_keep},
    origin::{Gate, Origin, cached, ok_text},
};

type Made = Result<String, GetOrSetError<Infallible>>;

fn key(id: u32) -> Key {
    Key::new("engagement").id(id)
}

/// Gets the value of a key; a call that has to make it makes "other".
async fn get_or_other(keep: &Keep, key: &Key) -> Made {
    let make = async || Ok("other".to_owned());
    keep.get_or_set(key, make).await
}

fn is_self_wait(made: &Made, expected: &Key) -> bool {
    matches!(made, Err(GetOrSetError::SelfWait { key }) if **key == *expected.as_str())
}

#[tokio::test]
async fn a_value_that_waits_for_itself_is_an_error_that_names_the_key() {
    let keep = new_keep(engagements());
    let first = key(1);
    let outer = keep.get_or_set(&first, async || {
        let inner = get_or_other(&keep, &key(1)).await;
        assert!(is_self_wait(&inner, &key(1)), "{inner:?}");
        let message = inner.expect_err("an error").to_string();
        assert!(message.contains("`engagement:1`"), "{message}");
        Ok::<_, Infallible>("outer".to_owned())
    });
    let made: Made = outer.now_or_never().expect("it does not wait");
    assert_eq!(made, Ok("outer".to_owned()));
    let stored = keep.get::<String>(&key(1)).await.expect("no error");
    assert_eq!(stored.as_deref(), Some("outer"));
}

#[tokio::test]
async fn a_value_that_waits_for_itself_through_another_one_is_an_error() {
    let keep = new_keep(engagements());
    let first = key(1);
    let outer = keep.get_or_set(&first, async || {
        keep.get_or_set(&key(2), async || {
            let inner = get_or_other(&keep, &key(1)).await;
            assert!(is_self_wait(&inner, &key(1)), "{inner:?}");
            inner
        })
        .await
    });
    let made = outer.now_or_never().expect("it does not wait");
    let Err(GetOrSetError::Make(GetOrSetError::Make(inner))) = made else {
        panic!("{made:?}");
    };
    assert!(is_self_wait(&Err(inner), &key(1)));
}

#[tokio::test]
async fn other_values_and_calls_beside_it_are_made_as_usual() {
    let keep = new_keep(engagements());
    let gate = Gate::closed();
    let make = async || {
        let other = get_or_other(&keep, &key(2)).await?;
        gate.pass().await;
        Ok::<_, GetOrSetError<Infallible>>(format!("made of {other}"))
    };
    let first_key = key(1);
    let (first, second, ()) = tokio::join!(
        keep.get_or_set(&first_key, make),
        get_or_other(&keep, &first_key),
        async { gate.open() },
    );
    assert_eq!(first.expect("no error"), "made of other");
    assert_eq!(
        second,
        Ok("made of other".to_owned()),
        "the same task follows"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_itself_through_a_spawned_task_ends_after_ten_seconds() {
    let keep = new_keep(engagements());
    let first = key(1);
    let start = Instant::now();
    let made = keep.get_or_set(&first, async || {
        let keep = keep.clone();
        let other = tokio::spawn(async move { get_or_other(&keep, &key(1)).await });
        other.await.expect("no panic")
    });
    assert_eq!(made.await.expect("no error"), "other");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_waiting_request_takes_over_from_one_that_is_late() {
    let keep = new_keep(engagements());
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |_, call| ok_text(format!("call {call}")));
    let service = cached(&keep, &origin);
    let mut all = Vec::new();
    for _ in 0..5 {
        let service = service.clone();
        all.push(tokio::spawn(async move {
            send(&service, get("/engagements/1")).await.body
        }));
    }
    origin.called(1).await;
    for (seconds, calls) in [(9, 1), (2, 2), (7, 2), (2, 5)] {
        run_other_tasks().await;
        advance(seconds).await;
        run_other_tasks().await;
        assert_eq!(origin.calls(), calls);
    }
    gate.open();
    for one in all {
        assert!(one.await.expect("no panic").starts_with("call "));
    }
}

/// An origin that answers by its own response to another request for the same path.
fn calling_itself(spawns: bool) -> (Arc<OnceLock<Cache<Origin>>>, Origin) {
    let service: Arc<OnceLock<Cache<Origin>>> = Arc::default();
    let own = Arc::clone(&service);
    let origin = Origin::from_fn(move |received, _| {
        let service = own.get().expect("it is set").clone();
        async move {
            if received.headers().contains_key("x-inner") {
                return ok_text("inner");
            }
            let inner = request("GET", "/engagements/1", &[("x-inner", "1")]);
            let sending = async move { send(&service, inner).await.body };
            let inner = match spawns {
                true => tokio::spawn(sending).await.expect("no panic"),
                false => sending.await,
            };
            ok_text(format!("outer of {inner}"))
        }
    });
    (service, origin)
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_requests_its_own_path_does_not_wait_for_itself() {
    for (spawns, seconds) in [(false, 0), (true, 10)] {
        let keep = new_keep(engagements());
        let (service, origin) = calling_itself(spawns);
        let cache = service.get_or_init(|| cached(&keep, &origin));
        let start = Instant::now();
        let response = send(cache, get("/engagements/1")).await;
        assert_eq!(response.body, "outer of inner");
        assert_eq!(start.elapsed().as_secs(), seconds, "{spawns}");
        assert_eq!(origin.calls(), 2);
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_handler_may_make_the_value_of_its_own_key() {
    let server = crate::support::RedisServer::start();
    let keep = crate::common::keeps::redis_keep(server.url(), engagements()).await;
    let values = keep.clone();
    let origin = Origin::from_fn(move |_, _| {
        let keep = values.clone();
        async move { ok_text(get_or_other(&keep, &key(1)).await.expect("no error")) }
    });
    let service = cached(&keep, &origin);
    let start = std::time::Instant::now();
    assert_eq!(send(&service, get("/engagements/1")).await.body, "other");
    // The lease of a lock is four seconds.
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
    let second = send(&service, get("/engagements/1")).await;
    assert!(second.cache_status().contains("hit"), "{second:?}");
}

#[test]
fn a_call_may_wait_outside_of_a_runtime() {
    let keep = new_keep(engagements());
    let first = key(1);
    let stuck = keep.get_or_set(&first, std::future::pending::<Result<String, Infallible>>);
    let mut stuck = Box::pin(stuck);
    assert!(stuck.as_mut().now_or_never().is_none());
    let mut waiting = Box::pin(get_or_other(&keep, &first));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(stuck);
    assert_eq!(waiting.now_or_never(), Some(Ok("other".to_owned())));
}
