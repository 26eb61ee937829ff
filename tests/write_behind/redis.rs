//! Accepting writes into a queue on Redis.

use futures_util::future::join_all;
use tower::Layer;
use tower_keep::{
    Keep, RedisStore, Table, WriteBehindLayer,
    table::Behind,
    write_behind::{Durability, WriteStatusService},
};

use super::{
    applied::Worker,
    kit::{accepted_id, json, origin, post, problem, queueing, table, waiting, write},
};
use crate::{
    common::{
        client::{as_user, get, send},
        keeps::{engagements, redis_keep},
        log::Log,
        origin::{Origin, response},
    },
    support::{RedisServer, Reply, proxy::Proxy, until},
};

#[tokio::test]
async fn processes_share_the_queue_its_bounds_and_its_idempotency_keys() {
    let server = RedisServer::start();
    let table = || table().behind(Behind::new().max_queue(37));
    let keeps = [
        redis_keep(server.url(), table()).await,
        redis_keep(server.url(), table()).await,
    ];
    let origin = origin();
    let services = keeps.each_ref().map(|keep| queueing(keep, &origin));

    let keyed = || {
        write(
            "POST",
            "/agents/0/activity",
            &[("idempotency-key", "\"1\"")],
            "{}",
        )
    };
    let first = accepted_id(&send(&services[0], keyed()).await);
    assert_eq!(accepted_id(&send(&services[1], keyed()).await), first);
    let service = WriteStatusService::new(&keeps[1]);
    let status = send(&service, get(&format!("/writes/{first}"))).await;
    assert_eq!(json(&status)["state"], "waiting");

    let sent = (0..100).map(|number| {
        let service = services[number % 2].clone();
        tokio::spawn(async move {
            let path = format!("/agents/{}/activity", number % 10);
            send(&service, write("POST", &path, &[], "{}")).await.status
        })
    });
    let statuses = join_all(sent)
        .await
        .into_iter()
        .map(|it| it.expect("no panic"));
    let accepted = statuses.filter(|status| *status == 202).count();
    assert_eq!(accepted, 36, "one was accepted before");
    assert_eq!(waiting(&keeps[0]).await, 37);
    let full = send(&services[0], post("{}")).await;
    assert_eq!(problem(&full), (503, "queue-full".into()));
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn without_its_redis_a_write_is_refused_and_never_applied_at_once() {
    let mut server = RedisServer::start();
    let (keep, origin) = (redis_keep(server.url(), table()).await, origin());
    let service = queueing(&keep, &origin);
    let id = accepted_id(&send(&service, post("1")).await);
    server.kill();
    let refused = send(&service, post("2")).await;
    assert_eq!(problem(&refused), (503, "store-unavailable".into()));
    assert_eq!(refused.headers["retry-after"], "5");
    assert!(
        refused.body.contains("may have been accepted"),
        "{}",
        refused.body
    );
    let keyed = write(
        "POST",
        "/agents/7/activity",
        &[("idempotency-key", "\"1\"")],
        "2",
    );
    let refused = send(&service, keyed).await;
    assert!(
        refused.body.contains("the same Idempotency-Key"),
        "{}",
        refused.body
    );
    let status = send(&service, get(&format!("/writes/{id}"))).await;
    assert_eq!(problem(&status), (503, "store-unavailable".into()));
    assert!(keep.queue().counts().await.is_err());
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_accepted_once() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("a proxy");
    let keep = redis_keep(proxy.url(), table()).await;
    let service = queueing(&keep, &origin());
    accepted_id(&send(&service, post("0")).await);
    // Each time, the connections are cut at another byte of the replies.
    for cut in 0..12 {
        let agent = 100 + cut;
        let calls = server.calls("evalsha");
        proxy.cut_after(cut * 3);
        let sent = tokio::spawn({
            let service = service.clone();
            async move {
                let keyed = [("idempotency-key", "\"1\"")];
                let path = format!("/agents/{agent}/activity");
                send(&service, write("POST", &path, &keyed, "{}")).await
            }
        });
        until("a call of a script", || async {
            (sent.is_finished() || server.calls("evalsha") > calls).then_some(())
        })
        .await;
        proxy.heal();
        let response = sent.await.expect("no panic");
        let id = match response.status {
            202 => accepted_id(&response),
            // As the text of the 503 says, the same key finds it.
            _ => {
                assert_eq!(problem(&response), (503, "store-unavailable".into()));
                let path = format!("/agents/{agent}/activity");
                until("the store", || async {
                    let keyed = [("idempotency-key", "\"1\"")];
                    let again = send(&service, write("POST", &path, &keyed, "{}")).await;
                    (again.status == 202).then(|| accepted_id(&again))
                })
                .await
            }
        };
        let key = tower_keep::Key::new("agent").id(agent).sub("activity");
        let pending = until("an answer", || async {
            keep.queue().pending(&key).await.ok()
        })
        .await;
        let ids: Vec<_> = pending.iter().map(|write| write.id.to_string()).collect();
        assert_eq!(ids, [id]);
    }
}

#[tokio::test]
async fn a_server_that_cannot_keep_accepted_writes_is_refused() {
    let connect = async |server: &RedisServer, table: Table| {
        let store = RedisStore::connect(server.url()).await.expect("a store");
        Keep::with_store(table, store).await
    };
    let evicting = RedisServer::builder()
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    let error = connect(&evicting, table()).await.expect_err("refused");
    assert!(error.to_string().contains("maxmemory-policy"), "{error}");
    connect(&evicting, engagements())
        .await
        .expect("a cache may be evicted");

    let server = RedisServer::start();
    connect(&server, table()).await.expect("a keep");
    for (durable, text) in [
        (Durability::Fsync, "appendonly"),
        (Durability::Replicas(1), "replicas"),
    ] {
        let table = table().behind(Behind::new().durable(durable));
        let error = connect(&server, table).await.expect_err("refused");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_was_away_at_the_start_is_checked_at_the_first_write() {
    let (log, _guard) = Log::start();
    let mut server = RedisServer::start();
    let set = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"];
    let keep = redis_keep(server.url(), engagements()).await;
    assert_eq!(server.command(&set), Reply::Status("OK".into()));
    keep.reload(&table()).expect("a valid table");
    let service = queueing(&keep, &origin());
    for content in ["1", "2"] {
        accepted_id(&send(&service, post(content)).await);
    }
    until("the log", || async {
        (log.count("may lose them") > 0).then_some(())
    })
    .await;
    assert_eq!(log.count("may lose them"), 1);

    server.kill();
    let store = RedisStore::connect(server.url())
        .await
        .expect("an outage is no error");
    Keep::with_store(table(), store)
        .await
        .expect("nor is it here");
}

#[tokio::test]
async fn a_client_that_waits_gets_the_answer_of_a_worker_in_another_process() {
    let server = RedisServer::start();
    let accepting = redis_keep(server.url(), table()).await;
    let applying = redis_keep(server.url(), table()).await;
    let origin = Origin::new(|_, _| response(201, &[("x-service", "yes")], "created"));
    let _worker = Worker::start(&applying, &origin);
    let service = WriteBehindLayer::new(&accepting).layer(origin.clone());
    let field = [("prefer", "wait=20")];
    let post = write("POST", "/agents/7/activity", &field, "{}");
    let answer = send(&service, as_user("alice", post)).await;
    assert_eq!((answer.status, &*answer.body), (201, "created"));
    assert_eq!(answer.headers["x-service"], "yes");
    assert_eq!(origin.calls(), 1);
}
