//! The journal of invalidations is bounded, whatever strangers write.

use futures_util::future::join_all;
use tower_keep::{
    Keep, Route, Scope, Table,
    keep::Invalidation,
    table::{Store, mins},
};

use super::stack::{Stack, hits, stack};
use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::Origin,
};

fn table() -> Table {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    Table::new().ttl("engagement", mins(30)).route(route)
}

/// A handler that allows everything to be stored for ten minutes.
fn origin() -> Origin {
    Origin::with_fields(&[("cache-control", "max-age=600")])
}

/// Writes to 41,000 distinct paths that no route names, each 230 bytes long. The first thousand writes are
/// requests; the others, for speed, are the invalidations that such requests cause.
async fn write_to_made_up_paths(keep: &Keep, service: &Stack) {
    for batch in (0..1000).collect::<Vec<_>>().chunks(50) {
        let writes = batch.iter().map(|i| async move {
            let path = format!("/{i:06}/{}", "x".repeat(222));
            let response = send(service, request("POST", &path, &[])).await;
            assert_eq!(response.status, 200);
        });
        join_all(writes).await;
    }
    for batch in (1000..41_000).collect::<Vec<_>>().chunks(250) {
        let keys = batch
            .iter()
            .map(|i| format!("url::%2F{i:06}%2F{}", "x".repeat(222)));
        let keys = keys.map(|key| Invalidation::pattern(&key).expect("a key"));
        keep.invalidate(keys).await.expect("invalidated");
    }
}

async fn is_hit(service: &Stack, path: &str) -> bool {
    hits(service, &[path]).await[0]
}

/// Each path took its name in the fence, and the floor rose over everything stored before.
#[tokio::test(flavor = "multi_thread")]
async fn writes_to_made_up_paths_do_not_displace_invalidations_in_one_process() {
    let keep = new_keep(table().store(Store::new().journal_size(1 << 20)));
    let service = stack(&keep, &origin());
    assert!(!is_hit(&service, "/engagements/1").await);
    write_to_made_up_paths(&keep, &service).await;
    assert!(is_hit(&service, "/engagements/1").await);
}

#[tokio::test]
async fn a_write_to_a_path_without_a_route_invalidates_it_and_few_others() {
    let keep = new_keep(table());
    let service = stack(&keep, &origin());
    let paths: Vec<String> = (0..100).map(|i| format!("/pages/{i}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    hits(&service, &paths).await;
    send(&service, request("POST", paths[7], &[])).await;
    let after = hits(&service, &paths).await;
    assert!(!after[7]);
    assert!(after.iter().filter(|hit| !**hit).count() < 5, "{after:?}");
}

async fn invalidate(keep: &Keep, pattern: &str) {
    let pattern = Invalidation::pattern(pattern).expect("a pattern");
    keep.invalidate([pattern]).await.expect("invalidated");
}

#[tokio::test]
async fn paths_without_a_route_are_invalidated_by_pattern() {
    let keep = new_keep(table());
    let service = stack(&keep, &origin());
    let paths = ["/pages/1", "/pages/2", "/other"];
    for (pattern, expected) in [
        ("url::%2Fpages%2F*", [false, false, true]),
        ("url:*:%2Fpages%2F2", [true, false, true]),
        ("url::%2Fother", [true, true, false]),
        ("url:*", [false, false, false]),
    ] {
        hits(&service, &paths).await;
        invalidate(&keep, pattern).await;
        assert_eq!(hits(&service, &paths).await, expected, "{pattern}");
    }
}

#[cfg(feature = "redis")]
mod on_redis {
    use super::*;
    use crate::{
        common::{keeps::redis_keep, subscriber::subscribe},
        support::{RedisServer, until},
    };

    const LATEST: &str = "cache:keep:{journal}:z";

    fn info(server: &RedisServer, section: &str, field: &str) -> u64 {
        let info = server.command(&["INFO", section]).text();
        let value = info.lines().find_map(|line| line.strip_prefix(field));
        let value = value.and_then(|value| value.strip_prefix(':'));
        value.expect("the field").trim().parse().expect("a number")
    }

    fn small_server() -> RedisServer {
        RedisServer::builder()
            .config("maxmemory", "16mb")
            .config("maxmemory-policy", "volatile-ttl")
            .start()
    }

    /// 34,200 such writes filled Redis with names that it never evicts: it evicted every response, then
    /// refused every command.
    #[tokio::test(flavor = "multi_thread")]
    async fn writes_to_made_up_paths_do_not_fill_redis() {
        let server = small_server();
        let [here, there] = [
            redis_keep(server.url(), table()).await,
            redis_keep(server.url(), table()).await,
        ];
        let origin = origin();
        let service = stack(&here, &origin);
        assert!(!is_hit(&service, "/engagements/1").await);
        write_to_made_up_paths(&here, &service).await;
        assert_eq!(info(&server, "stats", "evicted_keys"), 0);
        let used = info(&server, "memory", "used_memory");
        assert!(used < 8 << 20, "{used}");
        assert!(is_hit(&service, "/engagements/1").await);
        assert!(is_hit(&stack(&there, &origin), "/engagements/1").await);
    }

    /// Listed writes do raise the floor, but what Redis needs stays bounded.
    #[tokio::test(flavor = "multi_thread")]
    async fn writes_to_listed_paths_take_no_more_than_the_size_of_the_journal() {
        let server = small_server();
        let bounded = table().store(Store::new().journal_size(2 << 20));
        let keep = redis_keep(server.url(), bounded).await;
        let service = stack(&keep, &origin());
        // Without the buffers of connections, which depend on the load of the machine.
        let before = info(&server, "memory", "used_memory_dataset");
        for batch in (0..30_000).collect::<Vec<_>>().chunks(250) {
            let keys = batch.iter().map(|i| format!("engagement:{i}:{:0200}", 0));
            let keys = keys.map(|key| Invalidation::pattern(&key).expect("a key"));
            keep.invalidate(keys).await.expect("invalidated");
        }
        let used = info(&server, "memory", "used_memory_dataset") - before;
        assert!(used < 5 << 19, "{used}");
        assert!(!is_hit(&service, "/engagements/1").await);
        assert!(is_hit(&service, "/engagements/1").await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_to_a_path_without_a_route_invalidates_it_in_every_process() {
        let server = RedisServer::start();
        let [here, there] = [
            redis_keep(server.url(), table()).await,
            redis_keep(server.url(), table()).await,
        ];
        let origin = origin();
        let [here, there] = [stack(&here, &origin), stack(&there, &origin)];
        until("a hit", || async {
            is_hit(&there, "/pages/1?q=1").await.then_some(())
        })
        .await;
        send(&here, request("POST", "/pages/1", &[])).await;
        until("the invalidation", || async {
            (!is_hit(&there, "/pages/1?q=1").await).then_some(())
        })
        .await;
        let members = server.command(&["ZRANGE", LATEST, "0", "-1"]).strings();
        assert!(members.iter().all(|name| name.len() < 16), "{members:?}");
    }

    /// Each of the ways to read the path took a name, with each default port of the host.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_to_an_ambiguous_path_takes_few_names() {
        let server = RedisServer::start();
        let keep = redis_keep(server.url(), table()).await;
        let service = stack(&keep, &origin());
        for path in [
            "/a//b%2f..%5c;x/%253bc%20;y%3Fd",
            "/a/.//../;b//%252e%2f%3b%20c%23",
        ] {
            let uri = format!("http://example.com{path}");
            send(&service, request("POST", &uri, &[])).await;
            let members = server.command(&["ZRANGE", LATEST, "0", "-1"]).strings();
            assert!(members.len() <= 9, "{members:?}");
            server.command(&["FLUSHALL"]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn other_programs_get_the_path_of_a_write_without_its_query() {
        let server = RedisServer::start();
        let keep = redis_keep(server.url(), table()).await;
        let mut lines = subscribe(&server, "cache:invalidate");
        let service = stack(&keep, &origin());
        send(&service, get("/pages/1")).await;
        send(&service, request("POST", "/pages/1?token=secret", &[])).await;
        let heard = lines.find(|line| line.starts_with("url:"));
        assert_eq!(heard.as_deref(), Some("url::%2Fpages%2F1"));
    }
}
