//! The behaviour suite of the contracts for entries and application values, run on every store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{HeaderMap, StatusCode};

use super::Entries;
use crate::{
    clock::Clock,
    semantics::{freshness::Lifetime, stored_response::StoredResponse},
    store::{
        contracts::plain::{Plain, TimeLeft},
        entry::{Content, Entry, LocalState},
        position::Position,
    },
};

/// A store and its clock.
pub(in crate::store) struct Tested {
    pub(in crate::store) store: Arc<dyn EntriesAndPlain>,
    pub(in crate::store) clock: Arc<Clock>,
}

pub(in crate::store) trait EntriesAndPlain: Entries + Plain {}
impl<T: Entries + Plain> EntriesAndPlain for T {}

type EntriesBehaviour = for<'a> fn(&'a Tested) -> BoxFuture<'a, ()>;

/// Each behaviour uses keys of its own, so that all can run on one server.
const BEHAVIOURS: &[(&str, EntriesBehaviour)] = &[
    ("an unknown key is a miss", |on| Box::pin(missing(on))),
    ("a put entry is returned", |on| Box::pin(returned(on))),
    ("an earlier position does not replace a later one", |on| {
        Box::pin(later_kept(on))
    }),
    ("the latest of racing puts is kept", |on| {
        Box::pin(racing_puts(on))
    }),
    ("entries expire", |on| Box::pin(expiry(on))),
    ("removal returns a count and accepts any key", |on| {
        Box::pin(removal(on))
    }),
    ("a pattern removes what it matches", |on| {
        Box::pin(matching(on))
    }),
    ("a pattern removes any number of entries", |on| {
        Box::pin(many(on))
    }),
    ("many keys are read at once, in order", |on| {
        Box::pin(read_many(on))
    }),
    ("a lock has one holder", |on| Box::pin(locks(on))),
    ("locks expire", |on| Box::pin(lock_expiry(on))),
    ("plain values are no entries", |on| Box::pin(plain(on))),
    ("the time left of plain values is known", |on| {
        Box::pin(time_left(on))
    }),
    ("plain values expire", |on| Box::pin(plain_expiry(on))),
];

/// Runs all behaviours.
pub(in crate::store) async fn run(on: &Tested) {
    for (name, behaviour) in BEHAVIOURS {
        eprintln!("{on}: {name}", on = std::any::type_name_of_val(&*on.store));
        behaviour(on).await;
    }
}

async fn missing(on: &Tested) {
    assert!(on.get("missing").await.is_none());
    assert_eq!(
        on.store
            .remove(&["missing".into()])
            .await
            .expect("answered"),
        0
    );
    assert_eq!(on.store.remove(&[]).await.expect("answered"), 0);
    assert_eq!(
        on.store
            .remove_matching("missing*")
            .await
            .expect("answered"),
        0
    );
}

async fn returned(on: &Tested) {
    let put = on.entry(7, Duration::from_secs(60));
    assert!(on.store.put("back:1", &put).await.expect("put"));
    let got = on.get("back:1").await.expect("there");
    let shown = |entry: &Entry| {
        format!(
            "{:?}",
            (
                &entry.content,
                entry.position,
                entry.stored,
                entry.expires,
                &entry.tags
            )
        )
    };
    assert_eq!(shown(&got), shown(&put));
}

async fn later_kept(on: &Tested) {
    let key = "later:1";
    assert!(on.put(key, 5).await);
    assert!(!on.put(key, 4).await, "earlier");
    assert_eq!(on.n(key).await, Some(5));
    assert!(on.put(key, 5).await, "the same");
    assert!(on.put(key, 6).await, "later");
    // Beyond 2^53: neither a float nor one half of the number may be compared.
    for n in [(1 << 53) + 1, (1 << 53) + 2, 1 << 60, u64::MAX] {
        assert!(on.put(key, n).await, "{n}");
        assert!(!on.put(key, n - 1).await, "{n} - 1");
    }
    let mut other = Arc::into_inner(on.entry(1, Duration::from_secs(60))).expect("not shared");
    other.position.epoch += 1;
    assert!(
        on.store.put(key, &Arc::new(other)).await.expect("put"),
        "another epoch"
    );
    assert_eq!(on.n(key).await, Some(1));
}

async fn racing_puts(on: &Tested) {
    let key = "race:1";
    let mut positions: Vec<u64> = (1..=64).collect();
    fastrand::shuffle(&mut positions);
    join_all(positions.into_iter().map(|n| on.put(key, n))).await;
    assert_eq!(on.n(key).await, Some(64));
}

async fn expiry(on: &Tested) {
    let soon = on.entry(1, Duration::from_millis(100));
    assert!(on.store.put("expiry:1", &soon).await.expect("put"));
    on.wait_until_expired("expiry:1").await;
    assert_eq!(
        on.store
            .remove(&["expiry:1".into()])
            .await
            .expect("answered"),
        0
    );
    let past = on.entry(1, Duration::ZERO);
    assert!(
        !on.store.put("expiry:2", &past).await.expect("put"),
        "expired before it was put"
    );
    assert!(on.get("expiry:2").await.is_none());
}

const ODD: &[&str] = &[
    "odd:a*b",
    "odd:a?b",
    "odd:[ab]",
    r"odd:a\b",
    "odd:{tag}:x",
    "odd:a%2Ab",
    "odd:a b\r\n",
    "odd:ä€",
    "odd:a@user?q=1#v",
];

async fn removal(on: &Tested) {
    for key in ODD {
        on.put(key, 1).await;
    }
    on.put("odd:stays", 1).await;
    let mut keys: Vec<Box<str>> = ODD.iter().map(|key| (*key).into()).collect();
    keys.push("odd:missing".into());
    assert_eq!(
        on.store.remove(&keys).await.expect("removed"),
        ODD.len() as u64
    );
    for key in ODD {
        assert!(on.get(key).await.is_none(), "{key}");
    }
    assert!(on.get("odd:stays").await.is_some());
}

async fn matching(on: &Tested) {
    for (glob, matching, others) in [
        (
            "m:1*",
            &["m:1", "m:12", "m:1:a", "m:1?q"][..],
            &["m:2", "xm:1"][..],
        ),
        (
            "m:*:end",
            &["m:a:end", "m::end", "m:a:b:end"],
            &["m:a:end2", "m:end"],
        ),
        (r"m:\*", &["m:*"], &["m:a"]),
        ("m:?", &["m:a", "m:?", "m:*"], &["m:", "m:aa"]),
        ("m:[a-c]x", &["m:ax", "m:cx"], &["m:dx", "m:[a-c]x"]),
        ("m:[^a]", &["m:b"], &["m:a"]),
        (r"m:\[x\]", &["m:[x]"], &["m:x"]),
        (r"m:a\\b", &[r"m:a\b"], &["m:ab"]),
        ("m:{t}*", &["m:{t}", "m:{t}:1"], &["m:t"]),
    ] {
        for key in matching.iter().chain(others) {
            on.put(key, 1).await;
        }
        let removed = on.store.remove_matching(glob).await.expect("removed");
        assert_eq!(removed, matching.len() as u64, "{glob}");
        for key in matching {
            assert!(on.get(key).await.is_none(), "{glob} leaves {key}");
        }
        for key in others {
            assert!(on.get(key).await.is_some(), "{glob} removes {key}");
        }
        on.store.remove_matching("*m:*").await.expect("removed");
    }
}

async fn many(on: &Tested) {
    let entry = on.entry(1, Duration::from_secs(60));
    let keys: Vec<String> = (0..2_000).map(|n| format!("many:{n}")).collect();
    for keys in keys.chunks(100) {
        let puts = keys.iter().map(|key| on.store.put(key, &entry));
        for put in join_all(puts).await {
            assert!(put.expect("put"));
        }
    }
    let removed = on.store.remove_matching("many:*").await.expect("removed");
    assert_eq!(removed, 2_000);
}

async fn read_many(on: &Tested) {
    let json = Bytes::from_static(b"1");
    on.put("read:1", 1).await;
    on.put("read:3", 3).await;
    let put = on.store.put_plain("read:2", &json, Duration::from_secs(60));
    put.await.expect("put");
    let mut keys: Vec<Box<str>> = ["read:3", "read:2", "read:0", "read:1", "read:3"]
        .map(Into::into)
        .into();
    let found = on.store.get_many(&keys).await;
    let positions: Vec<_> = found
        .iter()
        .map(|entry| entry.as_ref().map(|entry| entry.position.n))
        .collect();
    assert_eq!(positions, [Some(3), None, None, Some(1), Some(3)]);
    let plain = on.store.get_plain_many(&keys).await;
    assert_eq!(plain, [None, Some(json), None, None, None]);
    assert!(on.store.get_many(&[]).await.is_empty());
    // More than one command of Redis reads.
    keys.extend((0..1_000).map(|n| format!("read:missing:{n}").into()));
    keys.push("read:1".into());
    let found = on.store.get_many(&keys).await;
    assert_eq!(found.len(), 1_006);
    assert!(found[1_005].is_some() && found[1_004].is_none());
}

async fn locks(on: &Tested) {
    let (key, lease) = ("lock:1", Duration::from_secs(60));
    let attempts = (1..=32).map(|token| async move {
        let taken = on
            .store
            .try_lock(key, token, lease)
            .await
            .expect("answered");
        taken.then_some(token)
    });
    let holders: Vec<u64> = join_all(attempts).await.into_iter().flatten().collect();
    let [holder] = holders[..] else {
        panic!("one holder: {holders:?}");
    };
    assert!(
        !on.store.unlock(key, holder + 100).await.expect("answered"),
        "not the holder"
    );
    assert!(
        !on.store
            .try_lock(key, holder, lease)
            .await
            .expect("answered"),
        "still held"
    );
    assert!(on.store.unlock(key, holder).await.expect("answered"));
    assert!(
        !on.store.unlock(key, holder).await.expect("answered"),
        "already released"
    );
    assert!(
        on.store
            .try_lock(key, u64::MAX, lease)
            .await
            .expect("answered")
    );
    assert!(on.get(key).await.is_none(), "a lock is no entry");
    assert!(on.put(key, 1).await, "and does not block an entry");
    assert!(on.store.unlock(key, u64::MAX).await.expect("answered"));
}

async fn lock_expiry(on: &Tested) {
    let (key, lease) = ("lock:2", Duration::from_millis(50));
    assert!(on.store.try_lock(key, 1, lease).await.expect("answered"));
    until("the lock to expire", || async {
        let minute = Duration::from_secs(60);
        let taken = on.store.try_lock(key, 2, minute).await.expect("answered");
        taken.then_some(())
    })
    .await;
    assert!(
        !on.store.unlock(key, 1).await.expect("answered"),
        "held by another token"
    );
}

async fn plain(on: &Tested) {
    let (json, minute) = (Bytes::from_static(b"\"text\""), Duration::from_secs(60));
    on.store
        .put_plain("plain:1", &json, minute)
        .await
        .expect("put");
    assert_eq!(
        on.store.get_plain("plain:1").await.expect("answered"),
        Some(json.clone())
    );
    assert!(on.get("plain:1").await.is_none(), "no entry");
    on.put("plain:2", 1).await;
    assert_eq!(
        on.store.get_plain("plain:2").await.expect("answered"),
        None,
        "not plain"
    );
    assert_eq!(
        on.store.remove_matching("plain:*").await.expect("removed"),
        1
    );
    assert_eq!(
        on.store
            .remove_plain_matching("plain:*")
            .await
            .expect("removed"),
        1
    );
    on.store
        .put_plain("plain:1", &json, minute)
        .await
        .expect("put");
    assert_eq!(
        on.store.remove(&["plain:1".into()]).await.expect("removed"),
        1
    );
    assert_eq!(on.store.get_plain("plain:1").await.expect("answered"), None);
}

async fn time_left(on: &Tested) {
    let (json, minute) = (Bytes::from_static(b"1"), Duration::from_secs(60));
    let left = async |key| on.store.plain_time_left(key).await.expect("answered");
    assert_eq!(left("left:1").await, TimeLeft::Missing);
    let put = on.store.put_plain("left:1", &json, minute);
    put.await.expect("put");
    let TimeLeft::Left(time) = left("left:1").await else {
        panic!("it has a TTL");
    };
    assert!(time <= minute && time > minute / 2, "{time:?}");
    on.put("left:2", 1).await;
    assert_eq!(left("left:2").await, TimeLeft::Missing, "an entry");
}

async fn plain_expiry(on: &Tested) {
    let (json, soon) = (Bytes::from_static(b"1"), Duration::from_millis(50));
    on.store
        .put_plain("plain:3", &json, soon)
        .await
        .expect("put");
    until("the value to expire", || async {
        let value = on.store.get_plain("plain:3").await.expect("answered");
        value.is_none().then_some(())
    })
    .await;
}

impl Tested {
    async fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.store.get(key).await.expect("answered")
    }

    /// The position of the stored entry.
    pub(in crate::store) async fn n(&self, key: &str) -> Option<u64> {
        self.get(key).await.map(|entry| entry.position.n)
    }

    pub(in crate::store) async fn put(&self, key: &str, n: u64) -> bool {
        let entry = self.entry(n, Duration::from_secs(60));
        self.store.put(key, &entry).await.expect("put")
    }

    async fn wait_until_expired(&self, key: &str) {
        let gone = || async { self.get(key).await.is_none().then_some(()) };
        until("the entry to expire", gone).await;
    }

    fn entry(&self, n: u64, ttl: Duration) -> Arc<Entry> {
        let stored = self.clock.now().wall;
        let mut headers = HeaderMap::new();
        headers.insert("etag", "\"1\"".parse().expect("a value"));
        Arc::new(Entry {
            content: Content::Response(StoredResponse {
                status: StatusCode::OK,
                headers,
                body: Bytes::from_static(b"body \0\xff"),
                trailers: None,
                lifetime: Lifetime {
                    fresh: ttl,
                    ..Lifetime::default()
                },
                part: None,
                cost: Duration::ZERO,
            }),
            position: Position {
                epoch: 0xfedc_ba98_7654_3210,
                n,
            },
            stored,
            expires: stored.after(ttl),
            entity: "engagement".into(),
            user: None,
            tags: ["org:1".into()].into(),
            local: LocalState::default(),
        })
    }
}

async fn until<F: Future<Output = Option<()>>>(what: &str, condition: impl Fn() -> F) {
    let waiting = async {
        while condition().await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, waiting).await.expect(what);
}
