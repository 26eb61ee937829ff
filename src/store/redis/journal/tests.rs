//! The journal on real servers.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;

use super::{RedisChannel, RedisJournal};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::{
            channel::{Channel, MAX_MESSAGE},
            journal::{
                AppendRequest, EpochCause, Journal, JournalLimits, RecordKind,
                suite::{BEHAVIOURS, append, keys, run, state},
            },
        },
        position::Position,
        redis::{Config, RedisClient},
    },
    support::{RedisCluster, RedisServer, wait_for},
};

async fn connect(url: &str) -> RedisClient {
    let config = Config {
        deadline: Duration::from_secs(5),
        ..Config::default()
    };
    RedisClient::connect(url, config).await.expect("connects")
}

async fn journal(server: &RedisServer) -> RedisJournal {
    RedisJournal::new(connect(&server.url()).await, "", LIMITS)
}

const LIMITS: JournalLimits = JournalLimits {
    bytes: 1 << 20,
    retention: Duration::from_secs(3600),
};

const META: &str = "cache:keep:{journal}:m";
const LATEST: &str = "cache:keep:{journal}:z";
const FEED: &str = "cache:keep:{journal}:s";

#[tokio::test]
async fn behaves_as_a_journal_on_one_server() {
    let server = RedisServer::start();
    let client = connect(&server.url()).await;
    for (index, (name, behaviour)) in BEHAVIOURS.iter().enumerate() {
        eprintln!("{name}");
        let namespace = format!("ns{index}:");
        behaviour(Arc::new(RedisJournal::new(
            client.clone(),
            &namespace,
            LIMITS,
        )))
        .await;
    }
    assert!(server.command(&["EXISTS", &format!("ns0:{META}")]).text() == "1");
}

#[tokio::test]
async fn behaves_as_a_journal_on_a_cluster() {
    let cluster = RedisCluster::start();
    let client = connect(&cluster.url()).await;
    for (index, (name, behaviour)) in BEHAVIOURS.iter().enumerate() {
        eprintln!("{name}");
        let namespace = format!("ns{index}:");
        behaviour(Arc::new(RedisJournal::new(
            client.clone(),
            &namespace,
            LIMITS,
        )))
        .await;
    }
}

/// Both scripts must begin a new epoch after `damage`.
async fn begins_a_new_epoch(what: &str, server: &RedisServer, damage: impl Fn()) {
    let journal = journal(server).await;
    for by_sync in [false, true] {
        let known = append(&journal, Position::UNKNOWN, &["a", "b"])
            .await
            .position;
        let known = append(&journal, known, &["a"]).await.position;
        damage();
        let after = if by_sync {
            let (page, all) = state(&journal, known).await;
            assert_eq!(all, [], "{what}");
            assert_ne!(page.cause, EpochCause::Lost, "{what}");
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
async fn a_partly_lost_or_damaged_journal_begins_a_new_epoch() {
    let server = RedisServer::start();
    let damages: &[&[&str]] = &[
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
        &["HSET", META, "floor", "1000"],
        &["HSET", META, "floor", "-1"],
        &["HSET", META, "size", "x"],
        &["HSET", META, "size", "3"],
        &["HSET", META, "aged", "1000"],
        &["HSET", META, "mark", "1000"],
        &["HSET", META, "marked", "inf"],
        &["HSET", META, "half", "-1"],
        &["HSET", META, "half_n", "1000"],
        &["HSET", META, "first", "1000"],
        &["ZADD", LATEST, "1000", "*"],
        &["ZADD", LATEST, "inf", "k:a"],
        &["XADD", FEED, "1000-0", "e", "1", "a", "i", "s", "*"],
        &["XADD", FEED, "9007199254740991-0", "x", "y"],
    ];
    for command in damages {
        begins_a_new_epoch(&command.join(" "), &server, || {
            server.command(command);
        })
        .await;
    }
}

#[tokio::test]
async fn foreign_records_in_the_stream_begin_a_new_epoch() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    server.command(&["XADD", FEED, "*", "s", "\u{ff}", "x", "y"]);
    let record = journal.feed().next(known).await.expect("reads");
    assert_eq!(record[0].position.epoch, 0, "its readers read the state");
    let page = journal.sync(known, 10).await.expect("syncs");
    assert_ne!(page.head.epoch, known.epoch);
    assert_eq!(page.cause, EpochCause::Damaged);
    let after = append(&journal, page.head, &["a"]).await.position;
    assert_eq!(after, Position { n: 1, ..page.head });
}

/// Regression: the replies and messages of RESP3, which have another form, were not understood.
#[tokio::test]
async fn feed_and_channel_work_if_the_url_asks_for_resp3() {
    let server = RedisServer::start();
    let client = connect(&(server.url() + "?protocol=resp3")).await;
    let journal = RedisJournal::new(client.clone(), "", LIMITS);
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    let after = append(&journal, known, &["b"]).await.position;
    let records = journal.feed().next(known).await.expect("reads");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].position, after);
    let mut messages = listen(&RedisChannel::new(client, ""));
    let publish = ["PUBLISH", "cache:invalidate", "a:*"];
    let listening = || async { (server.command(&publish).text() == "1").then_some(()) };
    crate::support::until("a listener", listening).await;
    assert_eq!(*receive(&mut messages, 1).await[0], *b"a:*");
}

/// Regression: a stream with the last possible id refuses further records.
#[tokio::test]
async fn foreign_records_at_the_end_of_the_id_range_begin_a_new_epoch() {
    let last = format!("{0}-{0}", u64::MAX);
    let damages: [&[&str]; 3] = [
        &["XADD", FEED, "5-0", "x", "y"],
        &["XADD", FEED, &last, "x", "y"],
        &["SET", FEED, "x"],
    ];
    for damage in damages {
        for records in [0, 1] {
            let server = RedisServer::start();
            let journal = journal(&server).await;
            let page = journal.sync(Position::UNKNOWN, 10).await.expect("syncs");
            let mut known = page.head;
            for _ in 0..records {
                known = append(&journal, known, &["a"]).await.position;
            }
            server.command(damage);
            let after = append(&journal, known, &["b"]).await.position;
            assert_ne!(after.epoch, known.epoch, "{damage:?}");
            assert_eq!(after.n, 1, "{damage:?}");
        }
    }
}

/// Regression: queued records were never appended if Redis was slower than the deadline.
#[tokio::test]
async fn queued_appends_may_take_longer_than_the_deadline() {
    let server = RedisServer::start();
    let config = Config {
        deadline: Duration::from_millis(100),
        ..Config::default()
    };
    let client = RedisClient::connect(&server.url(), config).await;
    let journal = RedisJournal::new(client.expect("connects"), "", LIMITS);
    append(&journal, Position::UNKNOWN, &["a"]).await;
    for queued in [false, true] {
        let request = AppendRequest {
            known: Position::UNKNOWN,
            kind: RecordKind::Invalidate,
            purges: keys(&["b"]),
            with_open: false,
            queued,
        };
        server.command(&["CLIENT", "PAUSE", "500"]);
        assert_eq!(journal.append(&request).await.is_ok(), queued);
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
    assert_ne!(page.epoch, known.epoch, "even though no data was lost");
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
        "the old primary does not know of the failover"
    );
}

#[tokio::test]
async fn records_between_are_all_or_none_after_a_trim() {
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

/// A journal whose sorted set may take `bytes`.
async fn bounded_journal(server: &RedisServer, bytes: u64) -> RedisJournal {
    let limits = JournalLimits {
        bytes: bytes * 4 / 3,
        ..LIMITS
    };
    RedisJournal::new(connect(&server.url()).await, "", limits)
}

fn number(server: &RedisServer, field: &str) -> u64 {
    let value = server.command(&["HGET", META, field]).text();
    value.parse().expect("a number")
}

#[tokio::test]
async fn the_oldest_targets_are_pruned_and_raise_the_floor() {
    let server = RedisServer::start();
    let most = 12_000;
    let journal = bounded_journal(&server, most).await;
    let mut known = Position::UNKNOWN;
    for i in 0..150 {
        let names: Vec<_> = (0..3).map(|j| format!("{i}:{j}")).collect();
        known = run(&journal, known, RecordKind::Invalidate, keys(&names))
            .await
            .position;
    }
    let appended = append(&journal, known, &["last"]).await;
    let (page, all) = state(&journal, Position::UNKNOWN).await;
    assert_eq!(page.floor, appended.floor);
    // The newest 30 records take about 10,600 bytes.
    assert!((110..=121).contains(&page.floor), "{}", page.floor);
    assert!(all.iter().all(|(_, n)| *n > page.floor));
    assert!((page.floor + 1..=page.head.n).all(|n| all.iter().any(|(_, m)| *m == n)));
    let sizes = all
        .iter()
        .map(|(purge, _)| purge.to_string().len() as u64 + 112);
    assert_eq!(number(&server, "size"), sizes.sum::<u64>());
    assert!(number(&server, "size") <= most);
}

#[tokio::test]
async fn a_record_larger_than_the_limit_is_kept() {
    let server = RedisServer::start();
    let journal = bounded_journal(&server, 1200).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    let names: Vec<_> = (0..50).map(|i| i.to_string()).collect();
    let appended = run(&journal, known, RecordKind::Invalidate, keys(&names)).await;
    assert_eq!(appended.floor, 1);
    let (page, all) = state(&journal, known).await;
    assert_eq!((page.head.n, all.len()), (2, 50));
}

/// A size that another program has set must not prune every record for ever.
#[tokio::test]
async fn a_wrong_size_is_measured_again() {
    let server = RedisServer::start();
    let journal = bounded_journal(&server, 12_000).await;
    let mut known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    server.command(&["HSET", META, "size", "9007199254740991"]);
    known = append(&journal, known, &["b"]).await.position;
    let after = append(&journal, known, &["c"]).await;
    assert!(after.floor < known.n, "{}", after.floor);
    assert_eq!(number(&server, "size"), 2 * (3 + 112));
}

#[tokio::test]
async fn long_names_are_stored_as_their_beginning_and_a_hash() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let long = "x".repeat(100_000);
    let targets = [
        PurgeTarget::Key(long.clone().into()),
        PurgeTarget::Tag(long.clone().into()),
        PurgeTarget::User(long.clone().into()),
        PurgeTarget::Entity(long.clone().into()),
        PurgeTarget::Prefix(long.clone().into()),
        PurgeTarget::Glob((long.clone() + "*" + &long).into()),
    ];
    for target in targets {
        run(
            &journal,
            Position::UNKNOWN,
            RecordKind::Invalidate,
            [Purge::hard(target)].into(),
        )
        .await;
    }
    let (_, all) = state(&journal, Position::UNKNOWN).await;
    assert_eq!(all.len(), 5, "the glob counts as its prefix");
    for (purge, _) in all {
        assert!(purge.to_string().len() <= 258, "{purge}");
    }
}

/// The stream had a bound on its records, but not on their size.
#[tokio::test]
async fn the_stream_is_bounded_in_bytes() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let mut known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    for i in 0..40 {
        let names: Vec<_> = (0..256).map(|j| format!("{i}:{j}:{:0100}", 0)).collect();
        known = run(&journal, known, RecordKind::Invalidate, keys(&names))
            .await
            .position;
    }
    // A quarter of the journal, and the record that fills each half.
    let bytes = server.command(&["MEMORY", "USAGE", FEED]).text();
    assert!(bytes.parse::<u64>().expect("a number") < 400_000, "{bytes}");
    let kept = server.command(&["XLEN", FEED]).text();
    assert!(kept.parse::<u64>().expect("a number") > 3, "{kept}");
    let record = journal
        .feed()
        .next(Position {
            n: known.n - 1,
            ..known
        })
        .await;
    assert_eq!(record.expect("reads")[0].position, known);
}

#[tokio::test]
async fn purges_that_nothing_stored_is_old_enough_for_are_pruned() {
    let server = RedisServer::start();
    let limits = JournalLimits {
        retention: Duration::from_millis(1),
        ..LIMITS
    };
    let journal = RedisJournal::new(connect(&server.url()).await, "", limits);
    let first = append(&journal, Position::UNKNOWN, &["old"]).await.position;
    let pruned = || async {
        append(&journal, first, &["new"]).await;
        let (_, all) = state(&journal, Position::UNKNOWN).await;
        (all.len() == 1).then_some(())
    };
    crate::support::until("the old purge to be pruned", pruned).await;
    let (page, _) = state(&journal, first).await;
    assert_eq!(page.head.epoch, first.epoch);
    assert!((first.n..page.head.n).contains(&page.floor));
}

/// The field with the earliest deadline was missing or no number, and no declaration was ever closed.
#[tokio::test]
async fn leases_end_whatever_other_programs_write() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    let known = append(&journal, Position::UNKNOWN, &["a"]).await.position;
    for damage in [&["HDEL", META, "due"][..], &["HSET", META, "due", "x"]] {
        let open = RecordKind::Open {
            token: 5,
            lease: Duration::from_millis(1),
        };
        run(&journal, known, open, keys(&["b"])).await;
        server.command(damage);
        let closed = || async {
            let (page, _) = state(&journal, known).await;
            page.open.is_empty().then_some(())
        };
        crate::support::until("the declaration to be closed", closed).await;
    }
    let day_and_hour = "redis.call('TIME')[1] * 1000 + 25 * 3600 * 1000";
    for deadline in ["1e18", "0/0", "math.huge", day_and_hour] {
        let script =
            format!("redis.call('HSET', KEYS[1], 'o:9', cmsgpack.pack({{ {deadline}, '*' }}))");
        server.command(&["EVAL", &script, "1", META]);
        let (page, _) = state(&journal, known).await;
        assert_eq!(page.open, [], "{deadline}");
    }
}

#[tokio::test]
async fn unreadable_declarations_purge_everything() {
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
    let before = state(&journal, known).await.0.head;
    server.command(&["HSET", META, "o:not a number", "x"]);
    let (page, all) = state(&journal, before).await;
    assert_eq!(page.open, []);
    assert_eq!(all.len(), 1, "everything again: {all:?}");
}

#[tokio::test]
async fn targets_are_any_bytes() {
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
        let tracked = Purge::hard(purge.target.tracked().into_owned());
        assert!(all.contains(&(tracked, appended.position.n)));
    }
    server.command(&[b"ZADD", LATEST.as_bytes(), b"1", b"\xff\xfe"]);
    let (_, all) = state(&journal, Position::UNKNOWN).await;
    assert!(
        all.iter()
            .any(|(purge, _)| *purge == Purge::hard(PurgeTarget::Everything))
    );
}

#[tokio::test]
async fn sync_and_append_fail_on_a_primary_that_refuses_writes() {
    let server = RedisServer::start();
    let journal = journal(&server).await;
    append(&journal, Position::UNKNOWN, &["a"]).await;
    for (name, bad, good) in [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0")] {
        server.command(&["CONFIG", "SET", name, bad]);
        journal.sync(Position::UNKNOWN, 10).await.expect_err(name);
        let request = AppendRequest {
            known: Position::UNKNOWN,
            kind: RecordKind::Invalidate,
            purges: keys(&["b"]),
            with_open: false,
            queued: false,
        };
        journal.append(&request).await.expect_err(name);
        server.command(&["CONFIG", "SET", name, good]);
        let (page, _) = state(&journal, Position::UNKNOWN).await;
        assert_eq!(page.head.n, 1, "{name}: nothing was appended");
    }
}

#[tokio::test]
async fn sync_returns_the_server_s_time() {
    let server = RedisServer::start();
    let page = journal(&server)
        .await
        .sync(Position::UNKNOWN, 10)
        .await
        .expect("syncs");
    let here = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    assert!(here.abs_diff(page.time.expect("a time")) < Duration::from_secs(10));
}

type Messages = tokio::sync::mpsc::UnboundedReceiver<Box<[u8]>>;

/// Listens in a task.
fn listen(channel: &RedisChannel) -> Messages {
    let (sender, messages) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = channel.listen();
    tokio::spawn(async move {
        while !sender.is_closed() {
            for message in listener.next().await.unwrap_or_default() {
                let _ = sender.send(message);
            }
        }
    });
    messages
}

async fn receive(receiver: &mut Messages, count: usize) -> Vec<Box<[u8]>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), receiver.recv()).await;
        messages.extend(next.expect("in time"));
    }
    messages
}

#[tokio::test]
async fn the_channel_delivers_foreign_patterns_only() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connect(&server.url()).await, "");
    let other = RedisChannel::new(connect(&server.url()).await, "");
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
    // Announced and never published: must not suppress the same pattern of another program later.
    server.command(&["PUBLISH", "cache:keep:published", "lost"]);
    publish(b"other");
    publish(b"lost");
    for listener in &mut listeners {
        let received = receive(listener, 5).await;
        let expected: [&[u8]; 5] = [b"a:*", &[0xff; 3], &[b'x'; MAX_MESSAGE], b"other", b"lost"];
        assert_eq!(received.iter().map(|m| &**m).collect::<Vec<_>>(), expected);
    }
}

/// Waits until `listeners` are subscribed to both channels.
async fn subscribed(server: &RedisServer, listeners: u32) {
    let all = || async {
        let names = ["cache:invalidate", "cache:keep:published"];
        let counts = names.map(|name| server.command(&["PUBSUB", "NUMSUB", name]).strings());
        let count = |reply: &Vec<String>| reply.get(1).is_some_and(|n| *n == listeners.to_string());
        counts.iter().all(count).then_some(())
    };
    crate::support::until("the listeners", all).await;
}

/// Whoever announced a pattern hid the next message with that pattern.
#[tokio::test]
async fn forged_and_repeated_announcements_hide_no_message() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connect(&server.url()).await, "");
    let mut messages = listen(&channel);
    subscribed(&server, 1).await;
    let mut observer = redis::Client::open(server.url())
        .expect("a client")
        .get_async_pubsub()
        .await
        .expect("connects");
    observer
        .subscribe("cache:keep:published")
        .await
        .expect("subscribes");
    channel
        .publish(&["a:*".to_owned()])
        .await
        .expect("publishes");
    let genuine = observer.on_message().next().await.expect("a message");
    let forged = ["a:*", "2", "2 x", "18446744073709551615 a:*", "-1 a:*", ""];
    let announcements = forged.map(str::as_bytes).into_iter();
    for announcement in announcements.chain([genuine.get_payload_bytes()]) {
        server.command(&[b"PUBLISH", &b"cache:keep:published"[..], announcement]);
        server.command(&["PUBLISH", "cache:invalidate", "a:*"]);
        let received = receive(&mut messages, 1).await;
        assert_eq!(*received[0], *b"a:*", "{announcement:?}");
    }
    channel
        .publish(&["a:*".to_owned()])
        .await
        .expect("publishes");
    server.command(&["PUBLISH", "cache:invalidate", "end"]);
    assert_eq!(
        *receive(&mut messages, 1).await[0],
        *b"end",
        "a valid announcement"
    );
}

#[tokio::test]
async fn announcements_are_recognised_again_after_redis_lost_everything() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connect(&server.url()).await, "");
    let mut messages = listen(&channel);
    subscribed(&server, 1).await;
    for field in ["secret", "published"] {
        server.command(&["HDEL", META, field]);
        let begin = std::time::Instant::now();
        loop {
            channel
                .publish(&["ours".to_owned()])
                .await
                .expect("publishes");
            server.command(&["PUBLISH", "cache:invalidate", "end"]);
            if *receive(&mut messages, 1).await[0] == *b"end" {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{field}");
        }
    }
}

#[tokio::test]
async fn a_cluster_delivers_announcements_in_order() {
    let cluster = RedisCluster::start();
    let channel = RedisChannel::new(connect(&cluster.url()).await, "");
    let mut messages = listen(&channel);
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
    let received = receive(&mut messages, 3).await;
    assert!(
        received.iter().all(|message| **message == *b"end"),
        "{received:?}"
    );
}

#[tokio::test]
async fn a_lost_subscription_is_renewed() {
    let server = RedisServer::start();
    let channel = RedisChannel::new(connect(&server.url()).await, "ns:");
    let mut listener = channel.listen();
    let listening = tokio::spawn(async move {
        let mut lost = 0;
        loop {
            match listener.next().await {
                Ok(patterns) if patterns.iter().any(|m| **m == *b"second") => return lost,
                Ok(_) => {}
                Err(_) => lost += 1,
            }
        }
    });
    let publish = |text: &str| {
        server
            .command(&["PUBLISH", "ns:cache:invalidate", text])
            .text()
    };
    crate::support::until("a listener", || async {
        (publish("first") == "1").then_some(())
    })
    .await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    crate::support::until("a listener", || async {
        (publish("second") == "1").then_some(())
    })
    .await;
    assert!(listening.await.expect("no panic") >= 1);
}
