//! Values in Redis that are not entries are counted as misses and replaced by the next put.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::{Config, RedisClient};
use crate::{
    clock::Clock,
    semantics::freshness::Lifetime,
    store::{
        contracts::{entries::Entries, plain::Plain},
        entry::{Content, Entry, LocalState, StoredValue},
        position::Position,
        redis::RedisEntries,
        wire::{self, KeyHash},
    },
    support::{RedisServer, unreadable},
};

fn entry(clock: &Clock) -> Arc<Entry> {
    let stored = clock.now().wall;
    Arc::new(Entry {
        content: Content::Value(StoredValue {
            json: Bytes::from_static(b"{}"),
            lifetime: Lifetime::default(),
            cost: Duration::ZERO,
        }),
        position: Position { epoch: 1, n: 1 },
        stored,
        expires: stored.after(Duration::from_secs(60)),
        entity: "e".into(),
        user: None,
        tags: [].into(),
        local: LocalState::default(),
    })
}

#[tokio::test]
async fn unreadable_values_are_counted_as_misses_and_replaced() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // The recorder is local to the thread, and the runtime has one thread only.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let server = RedisServer::start();
    let config = Config {
        deadline: Duration::from_secs(5),
        ..Config::default()
    };
    let client = RedisClient::connect(&server.url(), config)
        .await
        .expect("connects");
    let clock = Arc::new(Clock::boot());
    let entries = RedisEntries::new(client.clone(), "", Arc::clone(&clock), Arc::default());
    let entry = entry(&clock);
    let whole = wire::encode(&entry, KeyHash::of("", "k")).expect("small");

    for (kind, value) in unreadable(&whole, 40) {
        server.command(&[b"SET", b"k".as_slice(), &value]);
        let before = counted(&snapshotter, kind);
        assert!(entries.get("k").await.expect("a miss").is_none());
        assert_eq!(counted(&snapshotter, kind) + before, 1, "{kind}");
        assert!(
            entries.put("k", &entry).await.expect("put"),
            "{kind} is replaced"
        );
        assert!(entries.get("k").await.expect("asked").is_some());
    }

    // The position is later than that of the entry which replaces the copy.
    let mut later = Arc::into_inner(self::entry(&clock)).expect("not shared");
    later.position.n = u64::MAX;
    let later = Arc::new(later);
    assert!(entries.put("other", &later).await.expect("put"));
    server.command(&["COPY", "other", "copy"]);
    assert!(entries.get("copy").await.expect("a miss").is_none());
    assert_eq!(counted(&snapshotter, "misplaced"), 1);
    assert!(
        entries.put("copy", &entry).await.expect("put"),
        "a copy is replaced"
    );
    assert!(entries.get("copy").await.expect("asked").is_some());
    assert!(
        !entries.put("other", &entry).await.expect("put"),
        "the later entry stays"
    );

    server.command(&["DEL", "k"]);
    server.command(&["RPUSH", "k", "1"]);
    assert!(entries.get("k").await.expect("a miss").is_none());
    assert_eq!(entries.get_plain("k").await.expect("a miss"), None);
    assert_eq!(counted(&snapshotter, "foreign"), 2);
    assert!(
        entries.put("k", &entry).await.expect("put"),
        "a list is replaced"
    );
    assert!(client.healthy());
}

/// Returns how many unreadable values were counted since the last call.
fn counted(snapshotter: &metrics_util::debugging::Snapshotter, kind: &str) -> u64 {
    let values = snapshotter.snapshot().into_vec().into_iter();
    values
        .filter(|(key, ..)| key.key().name() == "tower_keep_store_corrupt_total")
        .filter(|(key, ..)| key.key().labels().any(|label| label.value() == kind))
        .map(|(.., value)| match value {
            DebugValue::Counter(count) => count,
            _ => 0,
        })
        .sum()
}
