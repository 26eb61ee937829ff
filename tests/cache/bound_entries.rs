//! Entries that somebody has changed, copied or forged in Redis.

use tower::Layer;
use tower_keep::{
    InvalidateLayer, Keep, Key, Route, Scope, Table,
    keep::Invalidation,
    table::{hours, mins},
};

use crate::{
    common::{
        client::{as_user, get, request, send},
        keeps::{engagements, redis_keep},
        origin::{Origin, cached, response},
        subscriber::subscribe,
    },
    support::{RedisServer, Reply, until},
};

/// The keys of entries and values.
fn keys(server: &RedisServer) -> Vec<String> {
    let mut keys = server.command(&["KEYS", "*"]).strings();
    keys.retain(|key| !key.starts_with("cache:keep:") && !key.starts_with('~'));
    keys.sort();
    keys
}

async fn stored_under(server: &RedisServer, key: &str) -> Vec<u8> {
    until("the entry in Redis", || async {
        match server.command(&["GET", key]) {
            Reply::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    })
    .await
}

/// Replaces eight bytes of an entry, and corrects its checksum.
fn forge(server: &RedisServer, key: &str, mut entry: Vec<u8>, fields: &[(usize, u64)]) {
    for (at, number) in fields {
        entry[*at..at + 8].copy_from_slice(&number.to_be_bytes());
    }
    let checksum = crc32fast::hash(&entry[8..]);
    entry[4..8].copy_from_slice(&checksum.to_be_bytes());
    server.command(&[b"SET", key.as_bytes(), &entry]);
}

fn number(entry: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"))
}

const N: usize = 24;
const STORED: usize = 32;
const EXPIRES: usize = 40;
const FRESH: usize = 48;

/// Regression: whoever could write to Redis could answer Bob with what was stored for Alice.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_copied_to_another_users_key_is_a_miss() {
    let server = RedisServer::start();
    let route = Route::new("/me").key("profile").scope(Scope::User);
    let table = Table::new().route(route);
    let origin = Origin::with_fields(&[]);
    let one = cached(&redis_keep(server.url(), table.clone()).await, &origin);
    let alices = send(&one, as_user("alice", get("/me"))).await;
    assert_eq!(alices.body, "call 1");
    stored_under(&server, "profile@alice").await;
    server.command(&["COPY", "profile@alice", "profile@bob"]);

    let other = cached(&redis_keep(server.url(), table).await, &origin);
    let bobs = send(&other, as_user("bob", get("/me"))).await;
    assert_eq!(bobs.body, "call 2", "{bobs:?}");
    let alices = send(&other, as_user("alice", get("/me"))).await;
    assert_eq!(alices.body, "call 1", "the original is still used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_value_is_a_miss() {
    let server = RedisServer::start();
    let keep = || async { redis_keep(server.url(), Table::new()).await };
    let [mine, theirs] = ["mine", "theirs"].map(|id| Key::new("balance").id(id));
    keep().await.set(&theirs, &1_000_000).await.expect("stored");
    server.command(&["COPY", theirs.as_str(), mine.as_str()]);
    let other = keep().await;
    assert_eq!(other.get::<u64>(&mine).await.expect("readable"), None);
    assert_eq!(
        other.get::<u64>(&theirs).await.expect("readable"),
        Some(1_000_000)
    );
}

/// Regression: an entry with a position that no invalidation has reached was used for ever, and no
/// process could replace it.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_position_is_a_miss_and_is_replaced() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let keep = || async { redis_keep(server.url(), engagements()).await };
    let first = keep().await;
    first
        .invalidate([Invalidation::tag("other")])
        .await
        .expect("appended");
    send(&cached(&first, &origin), get("/engagements/1")).await;
    let entry = stored_under(&server, "engagement:1").await;
    for n in [u64::MAX, number(&entry, N) + 1_000_000] {
        forge(&server, "engagement:1", entry.clone(), &[(N, n)]);
        let calls = origin.calls();
        let seen = send(&cached(&keep().await, &origin), get("/engagements/1")).await;
        assert_eq!(origin.calls(), calls + 1, "{seen:?}");
        until("an entry that a new process can use", || async {
            let seen = send(&cached(&keep().await, &origin), get("/engagements/1")).await;
            (seen.cache_status().contains("; hit")).then_some(())
        })
        .await;
        assert_eq!(origin.calls(), calls + 1, "the forged entry was replaced");
    }
}

/// A process that has not heard of the latest invalidations asks before it refuses an entry that was
/// stored after them.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stored_after_unknown_invalidations_is_a_hit() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let one = redis_keep(server.url(), engagements()).await;
    let other = redis_keep(server.url(), engagements()).await;
    let (here, there) = (cached(&one, &origin), cached(&other, &origin));
    for round in 0..50 {
        let path = format!("/engagements/{round}");
        let key = Key::new("engagement").id(round);
        one.delete(&key).await.expect("appended");
        let first = send(&here, get(&path)).await;
        let seen = send(&there, get(&path)).await;
        assert_eq!(seen.body, first.body, "{seen:?}");
    }
    assert_eq!(origin.calls(), 50);
}

/// Regression: a forged lifetime outlived `[ttl] max`, until which the journal keeps invalidations.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_lifetime_ends_with_the_longest_of_the_table() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let keep = || async {
        let table = engagements().max_ttl(hours(1)).ttl("engagement", mins(30));
        redis_keep(server.url(), table).await
    };
    send(&cached(&keep().await, &origin), get("/engagements/1")).await;
    let entry = stored_under(&server, "engagement:1").await;
    let (stored, for_ever) = (number(&entry, STORED), 1 << 62);
    let long = [(FRESH, for_ever), (EXPIRES, for_ever)];

    forge(&server, "engagement:1", entry.clone(), &long);
    let seen = send(&cached(&keep().await, &origin), get("/engagements/1")).await;
    let ttl = seen.cache_status().rsplit_once("ttl=").expect("a hit").1;
    assert!(ttl.parse::<u64>().expect("seconds") <= 3600, "{seen:?}");

    let two_hours = 2 * 3600 * 1000;
    for stored in [0, stored - two_hours, stored + two_hours, u64::MAX] {
        let calls = origin.calls();
        let times = [&long[..], &[(STORED, stored)]].concat();
        forge(&server, "engagement:1", entry.clone(), &times);
        let seen = send(&cached(&keep().await, &origin), get("/engagements/1")).await;
        assert_eq!(origin.calls(), calls + 1, "stored at {stored}: {seen:?}");
    }
}

/// Regression: queries of paths that no route names, which may be secret, were readable in keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_an_unlisted_path_is_hashed_and_its_path_is_readable() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[("cache-control", "max-age=600")]);
    let keep: Keep = redis_keep(server.url(), Table::new()).await;
    let service = cached(&keep, &origin);
    let asked = |path: &str| {
        let mut request = get(path);
        let host = "example.com".parse().expect("a value");
        request.headers_mut().insert("host", host);
        request
    };
    for query in ["", "?", "?diagnosis=1", "?diagnosis=2"] {
        send(&service, asked(&format!("/reset{query}"))).await;
    }
    let path = "url:example.com:%2Freset";
    until("four entries", || async {
        (keys(&server).len() == 4).then_some(())
    })
    .await;
    for key in keys(&server) {
        let query = key.strip_prefix(path).expect("a readable path");
        assert!(!query.contains("diagnosis"), "{query}");
        assert!(query.is_empty() || query.len() == 2 + 32, "{query}");
    }
    assert_eq!(
        keep.delete_pattern(&format!("{path}*"))
            .await
            .expect("removed"),
        4
    );
    assert_eq!(keys(&server), [""; 0]);
    let seen = send(&service, asked("/reset?diagnosis=1")).await;
    assert_eq!(seen.body, "call 5");
}

/// Other programs on the channel learn which paths have changed, but not the queries of the requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_of_an_unlisted_path_is_never_published() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), Table::new().host("example.com")).await;
    let fields = [("content-location", "/reset/done?secret=3")];
    let origin = Origin::new(move |_, _| response(200, &fields, "done"));
    let service = InvalidateLayer::new(&keep).layer(cached(&keep, &origin));
    let mut published = subscribe(&server, "cache:invalidate");
    for target in ["/reset?secret=1", "/reset/a;b?secret=2"] {
        let host = [("host", "example.com")];
        send(&service, request("POST", target, &host)).await;
    }
    keep.delete(&Key::new("the-end")).await.expect("appended");
    let mut seen: Vec<String> = published
        .by_ref()
        .filter(|line| line.starts_with("url:") || line.starts_with("the-end"))
        .take_while(|line| line != "the-end")
        .collect();
    seen.sort();
    seen.dedup();
    // Some servers read `/reset/a;b` as `/reset/a`.
    let paths = [
        "%2Freset",
        "%2Freset%2Fa",
        "%2Freset%2Fa%3Bb",
        "%2Freset%2Fdone",
    ];
    assert_eq!(seen, paths.map(|path| format!("url:example.com:{path}")));
}
