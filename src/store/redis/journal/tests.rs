//! The journal on real servers, in good times and bad.

use std::{sync::Arc, time::Duration};

use super::{RedisChannel, RedisJournal};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::{
            channel::{CUT, Channel},
            journal::{
                AppendRequest, Journal, RecordKind,
                contract::{BEHAVIOURS, append, keys, run, state},
            },
        },
        position::Position,
        redis::{Config, Connections},
    },
    support::{RedisCluster, RedisServer, wait_for},
};

async fn connections(url: &str) -> Connections {
    let config = Config {
        deadline: Duration::from_secs(5),
        ..Config::default()
    };
    Connections::connect(url, config).await.expect("connects")
}

async fn journal(server: &RedisServer) -> RedisJournal {
    RedisJournal::new(connections(&server.url()).await, "", 1000)
}

const META: &str = "cache:keep:{journal}:m";
const LATEST: &str = "cache:keep:{journal}:z";
const FEED: &str = "cache:keep:{journal}:s";

#[tokio::test]
async fn behaves_on_one_server() {
    let server = RedisServer::start();
    let connections = connections(&server.url()).await;
    for (index, (name, behaviour)) in BEHAVIOURS.iter().enumerate() {
        eprintln!("{name}");
        let namespace = format!("ns{index}:");
        behaviour(Arc::new(RedisJournal::new(
            connections.clone(),
            &namespace,
            1000,
        )))
        .await;
    }
    assert!(server.command(&["EXISTS", &format!("ns0:{META}")]).text() == "1");
}

#[tokio::test]
async fn behaves_on_a_cluster() {
    let cluster = RedisCluster::start();
    let connections = connections(&cluster.url()).await;
    for (index, (name, behaviour)) in BEHAVIOURS.iter().enumerate() {
        eprintln!("{name}");
        let namespace = format!("ns{index}:");
        behaviour(Arc::new(RedisJournal::new(
            connections.clone(),
            &namespace,
            1000,
        )))
        .await;
    }
}

/// Something happens to the server: both scripts must begin a new epoch afterwards.
async fn begins_anew(what: &str, server: &RedisServer, meddle: impl Fn()) {
    let journal = journal(server).await;
    for by_sync in [false, true] {
        let known = append(&journal, Position::UNKNOWN, &["a", "b"])
            .await
            .position;
        let known = append(&journal, known, &["a"]).await.position;
        meddle();
        let after = if by_sync {
            let (page, all) = state(&journal, known).await;
            assert_eq!(all, [], "{what}");
            page.head
        } else {
            append(&journal, known, &["c"]).await.position
        };
        assert_ne!(after.epoch, known.epoch, "{what}, by sync: {by_sync}");
        assert_eq!(after.n, u64::from(!by_sync), "{what}");
        let next = append(&journal, after, &["d"]).await;
        assert_eq!(
            next.position,
            Position {
                n: after.n + 1,
                ..after
            },
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_journal_that_was_lost_or_damaged_in_part_is_lost() {
    let server = RedisServer::start();
    let meddling: &[&[&str]] = &[
        &["DEL", META],
        &["DEL", LATEST],
        &["DEL", FEED],
        &["FLUSHALL"],
        &["SET", META, "x"],
        &["SET", LATEST, "x"],
        &["SET", FEED, "x"],
        &["ZREM", LATEST, "!"],
        &["ZADD", LATEST, "7", "!"],
        &["ZADD", LATEST, "inf", "!"],
        &["HDEL", META, "head"],
        &["HSET", META, "head", "nan"],
        &["HSET", META, "head", "-1"],
        &["HSET", META, "head", "1e300"],
        &["HSET", META, "floor", "1.5"],
        &["HSET", META, "epoch", "0"],
        &["HSET", META, "epoch", "99999999999999999999"],
        &["HSET", META, "epoch", "x"],
        &["HSET", META, "server", "another"],
    ];
    for command in meddling {
        begins_anew(&command.join(" "), &server, || {
            server.command(command);
        })
        .await;
    }
}

#[tokio::test]
async fn what_another_wrote_into_the_stream_does_no_harm() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    server.command(&["XADD", FEED, "*", "s", "\u{ff}", "x", "y"]);
    let page = journal.sync(known, 10).await.expect("syncs");
    assert_eq!(page.head, known);
    let record = journal.feed().next(known).await.expect("reads");
    assert_eq!(
        record[0].position.epoch, 0,
        "whoever meets it reads the state"
    );
    let after = append(&journal, known, &["a"]).await.position;
    assert_ne!(after.epoch, known.epoch);
    assert_eq!(after.n, 1);
}

/// RESP3 has another form for what the feed reads: nothing was heard, and nothing said.
#[tokio::test]
async fn the_feed_is_heard_whatever_protocol_the_url_asks_for() {
    let server = RedisServer::start();
    let connections = connections(&(server.url() + "?protocol=resp3")).await;
    let journal = RedisJournal::new(connections.clone(), "", 1000);
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    let after = append(&journal, known, &["b"]).await.position;
    let records = journal.feed().next(known).await.expect("reads");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].position, after);
    let mut heard = listen(&RedisChannel::new(connections, ""));
    let publish = ["PUBLISH", "cache:invalidate", "a:*"];
    let listening = || async { (server.command(&publish).text() == "1").then_some(()) };
    crate::support::until("a listener", listening).await;
    assert_eq!(*hear(&mut heard, 1).await[0], *b"a:*");
}

/// No record could be appended any more.
#[tokio::test]
async fn what_another_wrote_before_the_first_record_or_behind_every_other_does_no_harm() {
    let last = format!("{0}-{0}", u64::MAX);
    let meddling: [&[&str]; 3] = [
        &["XADD", FEED, "5-0", "x", "y"],
        &["XADD", FEED, &last, "x", "y"],
        &["SET", FEED, "x"],
    ];
    for meddle in meddling {
        for records in [0, 1] {
            let server = RedisServer::start();
            let journal = journal(&server).await;
            let page = journal.sync(Position::UNKNOWN, 10).await.expect("syncs");
            let mut known = page.head;
            for _ in 0..records {
                known = append(&journal, known, &["a"]).await.position;
            }
            server.command(meddle);
            let after = append(&journal, known, &["b"]).await.position;
            assert_ne!(after.epoch, known.epoch, "{meddle:?}");
            assert_eq!(after.n, 1, "{meddle:?}");
        }
    }
}

/// With a Redis slower than a request may wait, what was queued was never taken.
#[tokio::test]
async fn what_is_queued_has_time_to_be_taken() {
    let server = RedisServer::start();
    let config = Config {
        deadline: Duration::from_millis(100),
        ..Config::default()
    };
    let connections = Connections::connect(&server.url(), config).await;
    let journal = RedisJournal::new(connections.expect("connects"), "", 1000);
    append(&journal, Position::UNKNOWN, &["a"]).await;
    for queued in [false, true] {
        let draft = AppendRequest {
            known: Position::UNKNOWN,
            kind: RecordKind::Invalidate,
            purges: keys(&["b"]),
            with_open: false,
            queued,
        };
        server.command(&["CLIENT", "PAUSE", "500"]);
        assert_eq!(journal.append(&draft).await.is_ok(), queued);
        server.command(&["CLIENT", "UNPAUSE"]);
    }
}

#[tokio::test]
async fn a_restart_begins_a_new_epoch() {
    let mut server = RedisServer::builder().config("save", "3600 1").start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    server.command(&["SAVE"]);
    server.restart();
    let page = until_synced(&journal, known).await;
    assert_ne!(page.epoch, known.epoch, "even with all its data");
}

async fn until_synced(journal: &RedisJournal, known: Position) -> Position {
    let synced = || async { journal.sync(known, 10).await.ok() };
    crate::support::until("a sync", synced).await.head
}

#[tokio::test]
async fn a_failover_begins_a_new_epoch() {
    let primary = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&primary).start();
    wait_for("the replica", || {
        replica
            .command(&["INFO", "replication"])
            .text()
            .contains("master_link_status:up")
    });
    let known = append(&journal(&primary).await, Position::UNKNOWN, &["a"])
        .await
        .position;
    let open = RecordKind::Open {
        token: 5,
        lease: Duration::from_secs(60),
    };
    run(&journal(&primary).await, known, open, keys(&["b"])).await;
    wait_for("the replica", || {
        replica.command(&["HGET", META, "head"]).text() == "2"
    });
    replica.command(&["REPLICAOF", "NO", "ONE"]);

    let (page, all) = state(&journal(&replica).await, known).await;
    assert_ne!(page.head.epoch, known.epoch);
    assert_eq!(all, []);
    assert_eq!(page.open.len(), 1, "declarations outlive the epoch");
    let (page, _) = state(&journal(&primary).await, known).await;
    assert_eq!(
        page.head.epoch, known.epoch,
        "the old one knows nothing of it"
    );
}

#[tokio::test]
async fn a_trimmed_feed_tells_nothing_rather_than_a_part() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    append(&journal, known, &["b"]).await;
    append(&journal, known, &["c"]).await;
    server.command(&["XTRIM", FEED, "MAXLEN", "1"]);
    let appended = append(&journal, known, &["d"]).await;
    assert_eq!(appended.between, []);
    assert!(!appended.is_complete_since(known));
    let (page, all) = state(&journal, known).await;
    assert_eq!((page.head, all.len()), (appended.position, 3));
}

#[tokio::test]
async fn the_oldest_subjects_are_pruned_and_raise_the_floor() {
    let server = RedisServer::start();
    let journal = RedisJournal::new(connections(&server.url()).await, "", 100);
    let mut known = Position::UNKNOWN;
    for i in 0..150 {
        let names: Vec<_> = (0..3).map(|j| format!("{i}:{j}")).collect();
        known = run(&journal, known, RecordKind::Invalidate, keys(&names))
            .await
            .position;
    }
    let appended = append(&journal, known, &["last"]).await;
    assert_eq!(appended.floor, 151 - 34, "34 records have 100 subjects");
    let (page, all) = state(&journal, Position::UNKNOWN).await;
    assert_eq!(page.floor, appended.floor);
    assert!(all.len() <= 100);
    assert!(all.iter().all(|(_, n)| *n > page.floor));
    assert!((page.floor + 1..=page.head.n).all(|n| all.iter().any(|(_, m)| *m == n)));
}

#[tokio::test]
async fn one_record_above_the_cap_is_kept() {
    let server = RedisServer::start();
    let journal = RedisJournal::new(connections(&server.url()).await, "", 10);
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    let names: Vec<_> = (0..50).map(|i| i.to_string()).collect();
    let appended = run(&journal, known, RecordKind::Invalidate, keys(&names)).await;
    assert_eq!(appended.floor, 1);
    let (page, all) = state(&journal, known).await;
    assert_eq!((page.head.n, all.len()), (2, 50));
}

#[tokio::test]
async fn declarations_that_cannot_be_read_close_as_everything() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    for damaged in [&b"x"[..], b"", b"\xc1", b"\x93\x00\xc0\xc0"] {
        let damaged = [b"HSET", META.as_bytes(), b"o:9", damaged, b"due", b"1"];
        server.command(&damaged);
        let (page, all) = state(&journal, known).await;
        assert!(page.open.is_empty());
        assert!(
            all.iter()
                .any(|(purge, _)| purge.target == PurgeTarget::Everything)
        );
    }
    server.command(&["HSET", META, "o:not a number", "x"]);
    let (page, _) = state(&journal, known).await;
    assert_eq!(page.open[0].purges[0].target, PurgeTarget::Everything);
}

#[tokio::test]
async fn what_is_named_is_taken_as_bytes() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let names = [
        "",
        "!",
        "~",
        "k:\0\r\n",
        "ü",
        "*",
        "[",
        &"x".repeat(100_000),
    ];
    let appended = append(&journal, Position::UNKNOWN, &names).await;
    let (_, all) = state(&journal, Position::UNKNOWN).await;
    assert_eq!(all.len(), names.len());
    for purge in keys(&names).iter() {
        assert!(all.contains(&(purge.clone(), appended.position.n)));
    }
    server.command(&[b"ZADD", LATEST.as_bytes(), b"1", b"\xff\xfe"]);
    let (_, all) = state(&journal, Position::UNKNOWN).await;
    assert!(
        all.iter()
            .any(|(purge, _)| *purge == Purge::hard(PurgeTarget::Everything))
    );
}

#[tokio::test]
async fn a_primary_that_may_not_write_proves_nothing() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    append(&journal, Position::UNKNOWN, &["a"]).await;
    for (name, bad, good) in [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")] {
        server.command(&["CONFIG", "SET", name, bad]);
        journal.sync(Position::UNKNOWN, 10).await.expect_err(name);
        let draft = AppendRequest {
            known: Position::UNKNOWN,
            kind: RecordKind::Invalidate,
            purges: keys(&["b"]),
            with_open: false,
            queued: false,
        };
        journal.append(&draft).await.expect_err(name);
        server.command(&["CONFIG", "SET", name, good]);
        let (page, _) = state(&journal, Position::UNKNOWN).await;
        assert_eq!(page.head.n, 1, "{name}: nothing was done by half");
    }
}

#[tokio::test]
async fn the_wall_clock_comes_along() {
    let server = RedisServer::start();
    let page = journal(&server)
        .await
        .sync(Position::UNKNOWN, 10)
        .await
        .expect("syncs");
    let here = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    assert!(here.abs_diff(page.time.expect("told")) < Duration::from_secs(10));
}

type Heard = tokio::sync::mpsc::UnboundedReceiver<Box<[u8]>>;

/// Listens in a task of its own.
fn listen(channel: &RedisChannel) -> Heard {
    let (said, heard) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = channel.listen();
    tokio::spawn(async move {
        while !said.is_closed() {
            for message in listener.next().await.unwrap_or_default() {
                let _ = said.send(message);
            }
        }
    });
    heard
}

async fn hear(heard: &mut Heard, count: usize) -> Vec<Box<[u8]>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
        messages.extend(next.expect("in time"));
    }
    messages
}

#[tokio::test]
async fn we_hear_others_and_never_ourselves() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connections(&server.url()).await, "");
    let other = RedisChannel::new(connections(&server.url()).await, "");
    let mut listeners = [listen(&channel), listen(&other)];
    let publish = |text: &[u8]| server.command(&[b"PUBLISH", b"cache:invalidate".as_slice(), text]);
    let subscribed = |name: &str| {
        let reply = server.command(&["PUBSUB", "NUMSUB", name]);
        reply.strings().get(1).is_some_and(|count| count == "2")
    };
    let both = || async {
        (subscribed("cache:invalidate") && subscribed("cache:keep:published")).then_some(())
    };
    crate::support::until("both to subscribe", both).await;
    channel
        .publish(&["a:*".to_owned(), "b".to_owned()])
        .await
        .expect("publishes");
    publish(b"a:*");
    other.publish(&["a:*".to_owned()]).await.expect("publishes");
    publish(&[0xff; 3]);
    publish(&[b'x'; 1 << 20]);
    // Announced and never published: it must not swallow what somebody else says later.
    server.command(&["PUBLISH", "cache:keep:published", "lost"]);
    publish(b"other");
    publish(b"lost");
    for listener in &mut listeners {
        let heard = hear(listener, 5).await;
        let expected: [&[u8]; 5] = [b"a:*", &[0xff; 3], &[b'x'; CUT], b"other", b"lost"];
        assert_eq!(heard.iter().map(|m| &**m).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_cluster_carries_announcements_in_order() {
    let cluster = RedisCluster::start();
    let channel = RedisChannel::new(connections(&cluster.url()).await, "");
    let mut heard = listen(&channel);
    let subscribed = |name: &str| {
        let count = |node: &RedisServer| {
            let reply = node.command(&["PUBSUB", "NUMSUB", name]);
            reply.strings().get(1).is_some_and(|count| count == "1")
        };
        cluster.nodes().iter().any(count)
    };
    let listening = || async {
        (subscribed("cache:invalidate") && subscribed("cache:keep:published")).then_some(())
    };
    crate::support::until("a listener", listening).await;
    for i in 0..200 {
        let patterns = [format!("a{i}"), format!("b{i}")];
        channel.publish(&patterns).await.expect("publishes");
    }
    for node in cluster.nodes() {
        node.command(&["PUBLISH", "cache:invalidate", "end"]);
    }
    let heard = hear(&mut heard, 3).await;
    assert!(
        heard.iter().all(|message| **message == *b"end"),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_lost_subscription_is_renewed() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connections(&server.url()).await, "ns:");
    let mut listener = channel.listen();
    let listening = tokio::spawn(async move {
        let mut lost = 0;
        loop {
            match listener.next().await {
                Ok(heard) if heard.iter().any(|m| **m == *b"second") => return lost,
                Ok(_) => {}
                Err(_) => lost += 1,
            }
        }
    });
    let said = |text: &str| {
        server
            .command(&["PUBLISH", "ns:cache:invalidate", text])
            .text()
    };
    crate::support::until("a listener", || async {
        (said("first") == "1").then_some(())
    })
    .await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    crate::support::until("a listener", || async {
        (said("second") == "1").then_some(())
    })
    .await;
    assert!(listening.await.expect("hears") >= 1);
}
