//! The bounds of the queue.

use futures_util::future::join_all;
use http_body_util::Full;
use tower_keep::table::Behind;

use super::kit::{accepted_id, origin, post, problem, queueing, table, waiting, write};
use crate::common::{client::send, keeps::new_keep};

#[tokio::test]
async fn a_full_queue_refuses_writes_and_says_which_bound_is_reached() {
    let bounds = [
        (Behind::new().max_queue(1), "queue-full"),
        (Behind::new().max_bytes(600), "queue-bytes-full"),
        (Behind::new().max_per_key(1), "key-full"),
    ];
    for (behind, anchor) in bounds {
        let (keep, origin) = (new_keep(table().behind(behind.volatile(true))), origin());
        let service = queueing(&keep, &origin);
        accepted_id(&send(&service, post("1")).await);
        let big = "x".repeat(500);
        let full = send(&service, post("").map(|_| Full::from(big))).await;
        assert_eq!(problem(&full), (503, anchor.into()));
        assert_eq!(full.headers["retry-after"], "5");
        assert_eq!(waiting(&keep).await, 1);
        assert_eq!(origin.calls(), 0);
    }
}

#[tokio::test]
async fn a_full_key_does_not_affect_others() {
    let keep = new_keep(table().behind(Behind::new().volatile(true).max_per_key(1)));
    let service = queueing(&keep, &origin());
    accepted_id(&send(&service, post("1")).await);
    assert_eq!(send(&service, post("2")).await.status, 503);
    let other = write("POST", "/agents/8/activity", &[], "1");
    accepted_id(&send(&service, other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_writes_exactly_as_many_are_accepted_as_there_is_room() {
    let keep = new_keep(table().behind(Behind::new().volatile(true).max_queue(37)));
    let service = queueing(&keep, &origin());
    let sent = (0..100).map(|number| {
        let service = service.clone();
        tokio::spawn(async move {
            let path = format!("/agents/{}/activity", number % 10);
            send(&service, write("POST", &path, &[], "{}")).await.status
        })
    });
    let statuses: Vec<_> = join_all(sent)
        .await
        .into_iter()
        .map(|it| it.expect("no panic"))
        .collect();
    let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(202), count(503)), (37, 63));
    assert_eq!(waiting(&keep).await, 37);
}
