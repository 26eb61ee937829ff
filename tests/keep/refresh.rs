//! Values that are refreshed before they expire, or returned stale.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, future::join_all};
use tokio::time::advance;
use tower_keep::{
    Keep, Key, Table,
    keep::{GetOrSetError, Invalidation, ValueEntry},
    table::{ValueSettings, secs},
};

use crate::common::{client::run_other_tasks, keeps::new_keep, origin::Gate};

/// Returns the number of its call, or an error.
#[derive(Clone)]
struct Source {
    calls: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
    gate: Gate,
}

impl Source {
    fn open() -> Self {
        let source = Self::closed();
        source.gate.open();
        source
    }

    fn closed() -> Self {
        Self {
            calls: Arc::default(),
            fails: Arc::default(),
            gate: Gate::closed(),
        }
    }

    async fn make(self) -> Result<usize, &'static str> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.gate.pass().await;
        match self.fails.load(Ordering::SeqCst) {
            true => Err("down"),
            false => Ok(call),
        }
    }

    fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn keep() -> Keep {
    new_keep(Table::new().jitter(0.0).ttl("quote", secs(60)))
}

fn key() -> Key {
    Key::new("quote").id(1)
}

async fn in_place(
    entry: &ValueEntry,
    source: &Source,
) -> Result<usize, GetOrSetError<&'static str>> {
    entry.get_or_set(|| source.clone().make()).await
}

async fn in_background(
    entry: &ValueEntry,
    source: &Source,
) -> Result<usize, GetOrSetError<&'static str>> {
    let source = source.clone();
    entry.get_or_refresh(|| source.make()).await
}

#[tokio::test(start_paused = true)]
async fn one_caller_refreshes_ahead_and_the_others_do_not_wait() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).refresh_ahead(secs(10));
    assert_eq!(in_place(&entry, &source).await, Ok(1));
    advance(secs(50)).await;
    assert_eq!(in_place(&entry, &source).await, Ok(1), "not due yet");
    advance(secs(1)).await;
    let slow = Source {
        gate: Gate::closed(),
        ..source.clone()
    };
    let refreshing = tokio::spawn({
        let (entry, slow) = (entry.clone(), slow.clone());
        async move { in_place(&entry, &slow).await }
    });
    run_other_tasks().await;
    assert_eq!(source.calls(), 2);
    let others = join_all((0..10).map(|_| in_place(&entry, &source)));
    let others = others.now_or_never().expect("they do not wait");
    assert!(others.iter().all(|other| *other == Ok(1)));
    slow.gate.open();
    assert_eq!(refreshing.await.expect("no panic"), Ok(2));
    assert_eq!(in_place(&entry, &source).await, Ok(2));
    assert_eq!(source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_refresh_in_the_background() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).refresh_ahead(secs(10));
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    advance(secs(51)).await;
    for _ in 0..3 {
        let found = in_background(&entry, &source).now_or_never();
        assert_eq!(found.expect("it does not wait"), Ok(1));
    }
    run_other_tasks().await;
    assert_eq!(source.calls(), 2);
    assert_eq!(in_background(&entry, &source).await, Ok(2));
    advance(secs(40)).await;
    assert_eq!(in_background(&entry, &source).await, Ok(2), "fresh again");
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_refresh_the_value_stays_and_the_next_attempt_waits() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).refresh_ahead(secs(10));
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    source.fail(true);
    advance(secs(51)).await;
    assert_eq!(
        in_place(&entry, &source).await,
        Ok(1),
        "its own attempt failed"
    );
    for _ in 0..3 {
        assert_eq!(in_background(&entry, &source).await, Ok(1));
        run_other_tasks().await;
    }
    assert_eq!(source.calls(), 2);
    source.fail(false);
    advance(secs(1)).await;
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    run_other_tasks().await;
    assert_eq!(in_background(&entry, &source).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_refresh_leaves_the_value() {
    let keep = keep();
    let entry = keep.entry(key()).refresh_ahead(secs(10));
    entry.set(&1).await.expect("JSON");
    advance(secs(51)).await;
    let panics = || async { panic!("in the midst of it") };
    let found: Result<u32, GetOrSetError<Infallible>> = entry.get_or_refresh(panics).await;
    assert_eq!(found, Ok(1));
    run_other_tasks().await;
    let found = entry.get_or_refresh(|| async { Ok::<_, Infallible>(2) });
    assert_eq!(found.await, Ok(1));
    run_other_tasks().await;
    assert_eq!(entry.get::<u32>().await.expect("a number"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_returned_while_a_fresh_one_is_made() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).stale_while_revalidate(secs(30));
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    advance(secs(70)).await;
    assert_eq!(
        entry.get::<usize>().await.expect("a number"),
        None,
        "not fresh"
    );
    assert!(!keep.exists(&key()).await);
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    run_other_tasks().await;
    assert_eq!(in_background(&entry, &source).await, Ok(2));
    // Beyond the window it is missing.
    advance(secs(90)).await;
    assert_eq!(in_background(&entry, &source).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_replaces_an_error() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).stale_if_error(secs(100));
    assert_eq!(in_place(&entry, &source).await, Ok(1));
    source.fail(true);
    advance(secs(70)).await;
    for _ in 0..3 {
        assert_eq!(in_place(&entry, &source).await, Ok(1));
    }
    assert_eq!(source.calls(), 2, "the source is left alone for a second");
    advance(secs(1)).await;
    assert_eq!(in_place(&entry, &source).await, Ok(1));
    assert_eq!(source.calls(), 3);
    source.fail(false);
    advance(secs(1)).await;
    assert_eq!(in_place(&entry, &source).await, Ok(4));
    source.fail(true);
    advance(secs(160)).await;
    let error = Err(GetOrSetError::Make("down"));
    assert_eq!(in_place(&entry, &source).await, error, "after the window");
}

#[tokio::test(start_paused = true)]
async fn all_callers_that_waited_for_an_error_get_the_stale_value() {
    let (keep, source) = (keep(), Source::closed());
    let entry = keep.entry(key()).stale_if_error(secs(100));
    entry.set(&0).await.expect("JSON");
    advance(secs(70)).await;
    source.fail(true);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (entry, source) = (entry.clone(), source.clone());
            tokio::spawn(async move { in_place(&entry, &source).await })
        })
        .collect();
    run_other_tasks().await;
    source.gate.open();
    for caller in join_all(callers).await {
        assert_eq!(caller.expect("no panic"), Ok(0));
    }
    assert_eq!(source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_value_replaces_no_error() {
    let (keep, source) = (keep(), Source::open());
    let entry = keep.entry(key()).stale_if_error(secs(100)).tag("desk:7");
    source.fail(true);
    let error = Err(GetOrSetError::Make("down"));

    entry.set(&0).await.expect("JSON");
    let soft = Invalidation::key(&key()).soft();
    keep.invalidate([soft]).await.expect("invalidated");
    assert_eq!(entry.get::<usize>().await.expect("a number"), None);
    assert_eq!(in_place(&entry, &source).await, Ok(0), "soft");

    let hard = Invalidation::tag("desk:7");
    keep.invalidate([hard]).await.expect("invalidated");
    assert_eq!(in_place(&entry, &source).await, error, "hard");
}

/// The value is invalidated while its source is asked.
#[tokio::test(start_paused = true)]
async fn a_value_that_is_invalidated_meanwhile_replaces_no_error() {
    let (keep, source) = (keep(), Source::closed());
    let entry = keep.entry(key()).stale_if_error(secs(100));
    entry.set(&0).await.expect("JSON");
    advance(secs(70)).await;
    source.fail(true);
    let asking = tokio::spawn({
        let (entry, source) = (entry.clone(), source.clone());
        async move { in_place(&entry, &source).await }
    });
    run_other_tasks().await;
    assert_eq!(source.calls(), 1);
    keep.delete_pattern("quote:*").await.expect("removed");
    source.gate.open();
    let outcome = asking.await.expect("no panic");
    assert_eq!(outcome, Err(GetOrSetError::Make("down")));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_with_a_value_that_is_not_stored_ends_the_use_of_a_stale_one() {
    let keep = keep();
    let entry = keep
        .entry(key())
        .stale_while_revalidate(secs(100))
        .condition(|value: &u32| *value < 10);
    let ask = async |made: u32| {
        entry
            .get_or_set(|| async move { Ok::<_, Infallible>(made) })
            .await
    };
    assert_eq!(ask(1).await, Ok(1));
    advance(secs(70)).await;
    assert_eq!(ask(10).await, Ok(10));
    assert_eq!(ask(2).await, Ok(2), "the stale value is gone");
}

#[tokio::test(start_paused = true)]
async fn the_table_has_values_refreshed_and_used_stale() {
    let quotes = ValueSettings::new("quote:*")
        .ttl(secs(60))
        .refresh_ahead(secs(10))
        .stale_if_error(secs(100));
    let keep = new_keep(Table::new().jitter(0.0).value(quotes));
    let (entry, source) = (keep.entry(key()), Source::open());
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    advance(secs(51)).await;
    assert_eq!(in_background(&entry, &source).await, Ok(1));
    run_other_tasks().await;
    assert_eq!(in_background(&entry, &source).await, Ok(2));
    source.fail(true);
    advance(secs(70)).await;
    assert_eq!(in_background(&entry, &source).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn it_can_be_stored_that_there_is_no_value() {
    let keep = keep();
    let entry = keep
        .entry(key())
        .cache_none(secs(5))
        .stale_if_error(secs(100));
    let calls = AtomicUsize::new(0);
    let ask = async || {
        let none = || async {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(None::<u32>)
        };
        entry.get_or_set(none).await
    };
    assert_eq!((ask().await, ask().await), (Ok(None), Ok(None)));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(keep.exists(&key()).await);
    assert_eq!(
        keep.get::<Option<u32>>(&key()).await.expect("null"),
        Some(None)
    );
    assert_eq!(keep.get::<u32>(&key()).await.expect("no number"), None);
    let many = keep.get_many::<u32>([key()]).await.expect("no number");
    assert_eq!(many, [None]);
    advance(secs(5)).await;
    assert_eq!(ask().await, Ok(None));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    entry.set(&7).await.expect("JSON");
    advance(secs(50)).await;
    assert_eq!(ask().await, Ok(Some(7)), "for the value's own TTL");
}
