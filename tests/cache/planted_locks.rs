//! Another program makes locks where this crate looks for its own.

use std::time::{Duration, Instant};

use crate::{
    common::{
        client::{get, send},
        keeps::{engagements, redis_keep},
        origin::{Gate, Origin, cached, ok_text},
    },
    support::{RedisServer, until},
};

/// Each miss waited ten seconds for a process that does not exist.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_lock_does_not_delay_a_miss() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), engagements()).await;
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |_, _| ok_text("an engagement"));
    let service = cached(&keep, &origin);

    // A fill shows the name of the lock.
    let filling = tokio::spawn({
        let service = service.clone();
        async move { send(&service, get("/engagements/1")).await }
    });
    let lock = until("the lock", || async {
        let keys = server.command(&["KEYS", "*lock*engagement:1*"]).strings();
        keys.into_iter().next()
    })
    .await;
    gate.open();
    filling.await.expect("a response");

    let planted = lock.replace("engagement:1", "engagement:2");
    assert_ne!(planted, lock);
    assert_eq!(server.command(&["SET", &planted, "1"]).text(), "OK");
    let begin = Instant::now();
    send(&service, get("/engagements/2")).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert_eq!(origin.calls(), 2);
}
