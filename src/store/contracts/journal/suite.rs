//! The behaviour suite of the contract for the journal, run on every store.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::*;
use crate::key::purge::PurgeTarget;

type JournalBehaviour = fn(Arc<dyn Journal>) -> BoxFuture<'static, ()>;

/// Each runs on a journal of its own.
pub(in crate::store) const BEHAVIOURS: &[(&str, JournalBehaviour)] = &[
    ("positions count up", |on| Box::pin(positions(on))),
    ("replies have the records in between", |on| {
        Box::pin(between(on))
    }),
    ("the state has the latest record of each target", |on| {
        Box::pin(latest(on))
    }),
    ("the state comes in pages", |on| Box::pin(pages(on))),
    ("the feed wakes its readers", |on| Box::pin(feed(on))),
    ("declarations open and close", |on| {
        Box::pin(declarations(on))
    }),
    (
        "closing a declaration invalidates all that was declared",
        |on| Box::pin(closing(on)),
    ),
    ("a lease that ends counts as an invalidation", |on| {
        Box::pin(leases(on))
    }),
    ("a journal that lost records starts a new epoch", |on| {
        Box::pin(lost(on))
    }),
];

pub(in crate::store) fn keys<T: AsRef<str>>(names: &[T]) -> Arc<[Purge]> {
    let keys = names
        .iter()
        .map(|name| PurgeTarget::Key(name.as_ref().into()));
    keys.map(Purge::hard).collect()
}

pub(in crate::store) async fn append(
    on: &dyn Journal,
    known: Position,
    names: &[&str],
) -> AppendReply {
    run(on, known, RecordKind::Invalidate, keys(names)).await
}

pub(in crate::store) async fn run(
    on: &dyn Journal,
    known: Position,
    kind: RecordKind,
    purges: Arc<[Purge]>,
) -> AppendReply {
    let request = AppendRequest {
        known,
        kind,
        purges,
        with_open: true,
        queued: false,
    };
    on.append(&request).await.expect("appends")
}

pub(in crate::store) async fn state(
    on: &dyn Journal,
    mut from: Position,
) -> (StatePage, Vec<(Purge, u64)>) {
    let mut all = Vec::new();
    loop {
        let page = on.sync(from, 10).await.expect("syncs");
        all.extend(page.latest.iter().cloned());
        match page.next {
            Some(n) => from = Position { n, ..page.head },
            None => return (page, all),
        }
    }
}

async fn positions(on: Arc<dyn Journal>) {
    let first = append(&*on, Position::UNKNOWN, &["a"]).await;
    assert!(first.position.is_known());
    for n in 1..5 {
        let next = append(&*on, Position::UNKNOWN, &["a", "b"]).await;
        assert_eq!(next.position.epoch, first.position.epoch);
        assert_eq!(next.position.n, first.position.n + n);
    }
}

async fn between(on: Arc<dyn Journal>) {
    let known = append(&*on, Position::UNKNOWN, &["a"]).await.position;
    append(&*on, known, &["b"]).await;
    append(&*on, known, &["c"]).await;
    let reply = append(&*on, known, &["d"]).await;
    assert!(reply.is_complete_since(known));
    let purges: Vec<_> = reply
        .between
        .iter()
        .map(|record| Arc::clone(&record.purges))
        .collect();
    assert_eq!(purges, [keys(&["b"]), keys(&["c"])]);
    assert_eq!(reply.between[1].position.n, known.n + 2);
    assert!(!reply.is_complete_since(Position { epoch: 7, ..known }));

    for _ in 0..MAX_BETWEEN {
        append(&*on, Position::UNKNOWN, &["e"]).await;
    }
    let too_many = append(&*on, known, &["f"]).await;
    assert!(too_many.between.is_empty());
    assert!(!too_many.is_complete_since(known));
}

async fn latest(on: Arc<dyn Journal>) {
    let first = append(&*on, Position::UNKNOWN, &["a", "b"]).await.position;
    let second = append(&*on, first, &["a"]).await.position;
    let soft: Arc<[Purge]> = [Purge {
        target: PurgeTarget::Everything,
        soft: true,
    }]
    .into();
    let third = run(&*on, second, RecordKind::Invalidate, Arc::clone(&soft))
        .await
        .position;

    let (page, all) = state(&*on, Position::UNKNOWN).await;
    assert_eq!(page.head, third);
    let of = |purge: &Purge| {
        all.iter()
            .filter(|(p, _)| p == purge)
            .map(|(_, n)| *n)
            .max()
    };
    assert_eq!(of(&keys(&["a"])[0]), Some(second.n));
    assert_eq!(of(&keys(&["b"])[0]), Some(first.n));
    assert_eq!(of(&soft[0]), Some(third.n));

    let (page, all) = state(&*on, second).await;
    assert_eq!((page.head, all), (third, vec![(soft[0].clone(), third.n)]));
    let (_, all) = state(&*on, third).await;
    assert_eq!(all, []);
}

async fn pages(on: Arc<dyn Journal>) {
    let mut expected = Vec::new();
    let mut known = Position::UNKNOWN;
    for i in 0..40 {
        // One record is larger than a page, and some pages end exactly with a record.
        let size = if i == 20 { 35 } else { 1 + i % 4 };
        let names: Vec<_> = (0..size).map(|j| format!("{i}:{j}")).collect();
        known = run(&*on, known, RecordKind::Invalidate, keys(&names))
            .await
            .position;
        expected.extend(keys(&names).iter().map(|purge| (purge.clone(), known.n)));
    }
    let (page, mut all) = state(&*on, Position::UNKNOWN).await;
    assert_eq!(page.head, known);
    all.sort_unstable_by_key(|(purge, n)| (*n, purge.to_string()));
    expected.sort_unstable_by_key(|(purge, n)| (*n, purge.to_string()));
    assert_eq!(all, expected);
}

async fn feed(on: Arc<dyn Journal>) {
    let first = append(&*on, Position::UNKNOWN, &["a"]).await.position;
    let mut feed = on.feed();
    let other = Arc::clone(&on);
    let writer = tokio::spawn(async move {
        append(&*other, first, &["b"]).await;
        let open = RecordKind::Open {
            token: 7,
            lease: Duration::from_secs(60),
        };
        run(&*other, first, open, keys(&["c"])).await;
        run(
            &*other,
            first,
            RecordKind::Close { token: 7 },
            keys::<&str>(&[]),
        )
        .await
    });
    let mut records = Vec::new();
    let mut after = first;
    while records.len() < 3 {
        let next = timeout(Duration::from_secs(20), feed.next(after)).await;
        records.extend(next.expect("in time").expect("reads"));
        after = records
            .last()
            .map_or(first, |record: &Record| record.position);
    }
    let last = writer.await.expect("appends").position;
    let positions: Vec<_> = records.iter().map(|record| record.position.n).collect();
    assert_eq!(positions, [first.n + 1, first.n + 2, first.n + 3]);
    assert_eq!(records[2].position, last);
    let actions: Vec<_> = records.iter().map(|record| record.action).collect();
    assert_eq!(
        actions,
        [
            RecordAction::Invalidate,
            RecordAction::Open(7),
            RecordAction::Close(7)
        ]
    );
    assert_eq!(records[2].purges, keys(&["c"]));
}

async fn declarations(on: Arc<dyn Journal>) {
    let lease = Duration::from_secs(60);
    let open = |token| RecordKind::Open { token, lease };
    let first = run(&*on, Position::UNKNOWN, open(1), keys(&["a"])).await;
    assert_eq!(first.open, [], "not its own");
    let second = run(&*on, first.position, open(2), keys(&["b"])).await;
    assert_eq!(
        second.open,
        [OpenDeclaration {
            token: 1,
            purges: keys(&["a"])
        }]
    );
    let (page, all) = state(&*on, Position::UNKNOWN).await;
    assert_eq!(page.open.len(), 2);
    assert_eq!(all, [], "an open declaration invalidates nothing");

    let close = run(
        &*on,
        second.position,
        RecordKind::Close { token: 1 },
        keys::<&str>(&[]),
    )
    .await;
    assert_eq!(
        close.open,
        [OpenDeclaration {
            token: 2,
            purges: keys(&["b"])
        }]
    );
    let (page, all) = state(&*on, Position::UNKNOWN).await;
    assert_eq!(page.open, close.open);
    assert_eq!(all, [(keys(&["a"])[0].clone(), close.position.n)]);
}

async fn closing(on: Arc<dyn Journal>) {
    let lease = Duration::from_secs(60);
    let open = RecordKind::Open { token: 1, lease };
    let opened = run(&*on, Position::UNKNOWN, open, keys(&["a", "b"])).await;
    let close = RecordKind::Close { token: 1 };
    let closed = run(&*on, opened.position, close, keys(&["b", "c"])).await;
    for known in [Position::UNKNOWN, opened.position] {
        let (_, all) = state(&*on, known).await;
        let mut names: Vec<_> = all.iter().map(|(purge, _)| purge.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["k:a", "k:b", "k:c"]);
        assert!(all.iter().all(|(_, n)| *n == closed.position.n));
    }
    // The reply to the first closing may have been lost.
    run(&*on, closed.position, close, keys(&["d"])).await;
    let (_, all) = state(&*on, closed.position).await;
    assert_eq!(all, [(keys(&["d"])[0].clone(), closed.position.n + 1)]);
}

async fn leases(on: Arc<dyn Journal>) {
    let open = |token, millis| RecordKind::Open {
        token,
        lease: Duration::from_millis(millis),
    };
    let long = run(&*on, Position::UNKNOWN, open(1, 60_000), keys(&["long"])).await;
    let short = run(&*on, long.position, open(2, 50), keys(&["short"]))
        .await
        .position;
    let over = async {
        loop {
            let (page, all) = state(&*on, short).await;
            if page.head != short {
                break (page, all);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (page, all) = timeout(Duration::from_secs(20), over)
        .await
        .expect("in time");
    assert_eq!(all, [(keys(&["short"])[0].clone(), short.n + 1)]);
    assert_eq!(
        page.open,
        [OpenDeclaration {
            token: 1,
            purges: keys(&["long"])
        }]
    );
    let next = append(&*on, short, &["x"]).await;
    assert_eq!(next.between[0].action, RecordAction::Close(2));
}

async fn lost(on: Arc<dyn Journal>) {
    let before = append(&*on, Position::UNKNOWN, &["a"]).await.position;
    let ahead = Position {
        n: before.n + 1,
        ..before
    };
    let page = on.sync(ahead, 10).await.expect("syncs");
    assert_ne!(page.head.epoch, before.epoch);
    assert_eq!(page.head.n, 0);

    let before = append(&*on, page.head, &["a"]).await.position;
    let ahead = Position {
        n: before.n + 1,
        ..before
    };
    let after = append(&*on, ahead, &["a"]).await.position;
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.n, 1);
}
