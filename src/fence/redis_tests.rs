//! Fences of two processes on a real Redis, with all their tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    config::FenceConfig,
    core::Fence,
    kit_for_tests::{
        KEY, LEASE, close, copied, declare, fill, key, now, pending, purge, purge_target, verdict,
        version_of,
    },
    verdict::Verdict,
};
use crate::{
    clock::Clock,
    key::purge::PurgeTarget,
    store::{
        contracts::journal::JournalLimits,
        entry::Entry,
        position::Position,
        redis::{
            Config, RedisClient,
            journal::{RedisChannel, RedisJournal},
        },
    },
    support::{RedisServer, until},
};

/// The fence of a process; its clock stands still unless it is moved.
async fn process(server: &RedisServer) -> (Arc<Fence>, Arc<AtomicU64>) {
    let config = Config {
        deadline: Duration::from_millis(500),
        ..Config::default()
    };
    let connections = RedisClient::connect(&server.url(), config)
        .await
        .expect("connects");
    let nanos = Arc::new(AtomicU64::new(1));
    let clock = Arc::new(Clock::manual(Arc::clone(&nanos)));
    let limits = JournalLimits::new(16 << 20, Duration::from_secs(3600));
    let config = FenceConfig::new(Duration::from_millis(800), limits);
    let journal = RedisJournal::new(connections.clone(), "", limits);
    let fence = Fence::new(Arc::new(journal), clock, config);
    let channel = RedisChannel::new(connections, "");
    fence.start(Some(Arc::new(channel))).await;
    (fence, nanos)
}

async fn becomes(fence: &Fence, entry: &Entry, wanted: Verdict) {
    let check = || async { (verdict(fence, entry) == wanted).then_some(()) };
    until(&format!("{wanted:?}"), check).await;
}

/// Waits until a fill that begins now is usable.
async fn fills_become_usable(fence: &Fence) {
    let check = || async { (verdict(fence, &fill(fence)) == Verdict::Usable).then_some(()) };
    until("fills to be usable", check).await;
}

async fn reaches(fence: &Fence, position: Position) {
    let check = || async { (fence.position() == position).then_some(()) };
    until(&format!("{position:?}"), check).await;
}

/// Waits until the journal has a purge of [`KEY`].
async fn has_purge(server: &RedisServer) {
    let check = || async {
        let score = server.command(&["ZSCORE", "cache:keep:{journal}:z", &format!("k:{KEY}")]);
        (!score.text().is_empty()).then_some(())
    };
    until("the purge to be appended", check).await;
}

#[tokio::test]
async fn an_invalidation_reaches_every_process() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    assert_eq!(here.position().epoch, there.position().epoch);
    let stored = fill(&there);
    let position = purge(&here, KEY).await;
    becomes(&there, &stored, Verdict::Unusable).await;
    reaches(&there, position).await;
    assert_eq!(verdict(&there, &fill(&there)), Verdict::Usable);

    let stored = fill(&there);
    let declaration = declare(&here, KEY).await;
    becomes(&there, &stored, Verdict::Unusable).await;
    close(declaration).await;
    fills_become_usable(&there).await;
    assert_eq!(verdict(&there, &stored), Verdict::Unusable);
}

/// Such names are not in the journal as a whole.
#[tokio::test]
async fn long_names_are_invalidated_in_every_process() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    let long = |end: &str| format!("a:{}:{end}", "é".repeat(200));
    let name = long("1");
    let beginning = &name[..name.len() - 1];
    let targets: [fn(Box<str>) -> PurgeTarget; 5] = [
        PurgeTarget::Key,
        PurgeTarget::Tag,
        PurgeTarget::User,
        PurgeTarget::Entity,
        PurgeTarget::Prefix,
    ];
    let filled = || {
        let mut entry = fill(&there);
        entry.entity = name.as_str().into();
        entry.user = Some(name.as_str().into());
        entry.tags = [name.as_str().into()].into();
        entry
    };
    let check = |entry: &Entry| there.check(entry, &name, now(&there));
    for target in targets {
        let stored = filled();
        assert_eq!(check(&stored), Verdict::Usable);
        purge_target(&here, PurgeTarget::Key(long("2").into())).await;
        let named = match target("".into()) {
            PurgeTarget::Prefix(_) => PurgeTarget::Prefix(beginning.into()),
            _ => {
                let other = purge_target(&here, target(long("2").into())).await;
                reaches(&there, other).await;
                assert_eq!(check(&stored), Verdict::Usable, "another name");
                target(name.as_str().into())
            }
        };
        let position = purge_target(&here, named).await;
        reaches(&there, position).await;
        assert_eq!(check(&stored), Verdict::Unusable);
        assert_eq!(check(&filled()), Verdict::Usable);
    }
}

#[tokio::test]
async fn a_process_that_starts_later_knows_earlier_invalidations() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let stored = fill(&here);
    for i in 0..50 {
        purge(&here, &i.to_string()).await;
    }
    let last = purge(&here, KEY).await;
    purge_target(&here, PurgeTarget::Version("engagement".into())).await;
    let (there, _) = process(&server).await;
    let mut copied = fill(&there);
    copied.position = Position {
        n: last.n - 1,
        ..last
    };
    assert_eq!(verdict(&there, &copied), Verdict::Unusable);
    copied.position = last;
    assert_eq!(verdict(&there, &copied), Verdict::Usable);
    assert_eq!(verdict(&there, &stored), Verdict::Unusable);
    let [version, expected] = [&there, &here].map(|fence| version_of(fence, "engagement"));
    assert_eq!(version, expected);
}

#[tokio::test]
async fn no_invalidation_is_lost_to_killed_connections_or_a_trimmed_feed() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    for i in 0..20 {
        let stored = fill(&there);
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        if i % 2 == 0 {
            server.command(&["XTRIM", "cache:keep:{journal}:s", "MAXLEN", "0"]);
        }
        let _ = here.invalidate(key(KEY), false).await;
        becomes(&there, &stored, Verdict::Unusable).await;
    }
    let end = || async {
        let same = here.position() == there.position();
        (same && pending(&here) == 0).then_some(())
    };
    until("both to agree", end).await;
    assert_eq!(verdict(&there, &fill(&there)), Verdict::Usable);
}

/// Rules 11 and 12 on a server that does not answer.
#[tokio::test]
async fn trust_ends_when_redis_stops_and_returns_with_it() {
    let server = RedisServer::start();
    let (here, nanos) = process(&server).await;
    let stored = copied(&here);
    assert_eq!(verdict(&here, &stored), Verdict::Usable);
    server.stop_signal();
    here.invalidate(key("another"), false)
        .await
        .expect_err("no answer");
    assert_eq!(verdict(&here, &stored), Verdict::Usable, "within max_lag");
    nanos.fetch_add(900_000_000, Ordering::Relaxed);
    assert_eq!(verdict(&here, &stored), Verdict::Untrusted);
    let check = |entry: &Entry| here.check(entry, "another", now(&here));
    assert_eq!(
        check(&fill(&here)),
        Verdict::Unusable,
        "its invalidation is queued"
    );
    server.continue_signal();
    becomes(&here, &stored, Verdict::Usable).await;
    let delivered = || async { (check(&fill(&here)) == Verdict::Usable).then_some(()) };
    until("the delivery", delivered).await;
}

/// Rules 8, 9 and 10 on a server that comes back empty.
#[tokio::test]
async fn recent_invalidations_are_appended_again_to_a_server_that_lost_everything() {
    let mut server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    let stored = fill(&there);
    purge(&here, KEY).await;
    let epoch = here.position().epoch;
    server.restart();
    has_purge(&server).await;
    let agreed = || async {
        let (here, there) = (here.position(), there.position());
        (here == there && here.epoch != epoch).then_some(())
    };
    until("both to follow the new epoch", agreed).await;
    assert_eq!(verdict(&there, &stored), Verdict::Unusable);
    fills_become_usable(&there).await;
}

/// The journal has fewer records than a process has applied, so its append starts a new epoch (see
/// "State in Redis").
#[tokio::test]
async fn a_server_that_lost_its_last_records_starts_a_new_epoch() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let before = fill(&here);
    let known = purge(&here, "a").await;
    // Loses the last record, as a failover without a new replication id would.
    let saved = ["m", "z", "s"].map(|end| {
        let name = format!("cache:keep:{{journal}}:{end}");
        let dump = server.command(&["DUMP", &name]);
        (name, dump)
    });
    purge(&here, KEY).await;
    for (name, dump) in &saved {
        let crate::support::Reply::Bulk(dump) = dump else {
            panic!("dumped");
        };
        let restore = [b"RESTORE", name.as_bytes(), b"0", dump, b"REPLACE"];
        assert_eq!(server.command(&restore).text(), "OK");
    }
    let other = || async { (here.position().epoch != known.epoch).then_some(()) };
    until("a new epoch", other).await;
    assert_eq!(verdict(&here, &before), Verdict::Unusable);
    has_purge(&server).await;
}

#[tokio::test]
async fn patterns_of_other_programs_are_appended_and_own_ones_published() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    let publish = |text: &[u8]| server.command(&[b"PUBLISH", b"cache:invalidate".as_slice(), text]);
    let listening = || async { (publish(b"nothing").text() == "2").then_some(()) };
    until("both to listen", listening).await;

    let stored = [fill(&here), fill(&there)];
    publish(b"engagement:42*");
    becomes(&here, &stored[0], Verdict::Unusable).await;
    becomes(&there, &stored[1], Verdict::Unusable).await;

    for hostile in [&[0xff; 9][..], b"eng\xff", &vec![b'['; 1 << 20], b"*"] {
        let stored = [fill(&here), fill(&there)];
        publish(hostile);
        becomes(&here, &stored[0], Verdict::Unusable).await;
        becomes(&there, &stored[1], Verdict::Unusable).await;
    }
    publish(b"");

    let agreed = || async {
        let agreed = here.position() == there.position() && pending(&here) + pending(&there) == 0;
        (agreed && verdict(&here, &fill(&here)) == Verdict::Usable).then_some(here.position())
    };
    let before = until("both to agree", agreed).await;
    let published = server.calls("publish");
    let names = vec![
        PurgeTarget::Key("a".into()),
        PurgeTarget::Prefix("b:".into()),
        PurgeTarget::Tag("never".into()),
        PurgeTarget::User("never".into()),
    ];
    let own = here.invalidate(names, false).await.expect("appended");
    assert_eq!(own.n, before.n + 1);
    let announced = || async { (server.calls("publish") == published + 4).then_some(()) };
    until("two announcements and two patterns", announced).await;
    // Both processes received the patterns, and neither appended them.
    let next = purge_target(&there, PurgeTarget::Tag("x".into())).await;
    assert_eq!(next.n, own.n + 1);
}

#[tokio::test]
async fn a_dropped_fence_ends_its_tasks_and_connections() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let weak = Arc::downgrade(&here.appender);
    drop(here);
    let gone = || async { weak.upgrade().is_none().then_some(()) };
    until("the tasks to end", gone).await;
    let alone = || async {
        let clients = server.command(&["CLIENT", "LIST"]).text();
        (clients.lines().count() == 1).then_some(())
    };
    until("the connections to be closed", alone).await;
}

/// The attempts of a worker are declared for as long as they go on.
#[tokio::test]
async fn a_renewed_declaration_blocks_every_process_beyond_its_first_lease() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    let (token, short) = (77, Duration::from_millis(300));
    let began = std::time::Instant::now();
    let declared = here.declare_as(token, key(KEY), short).await;
    let declaration = declared.expect("Redis answers");
    let renewed = declaration.renew(LEASE).await;
    renewed.expect("Redis answers");
    let first_lease_is_over = || async { (began.elapsed() > 2 * short).then_some(()) };
    until("the first lease to end", first_lease_is_over).await;
    there.sync().await.expect("Redis answers");
    for fence in [&here, &there] {
        assert_eq!(verdict(fence, &fill(fence)), Verdict::Unusable);
    }
    let until_answered = tokio::time::Instant::now() + LEASE;
    let closed = declaration.close_by(Vec::new(), until_answered).await;
    let position = closed.expect("Redis answers");
    reaches(&there, position).await;
    for fence in [&here, &there] {
        assert_eq!(verdict(fence, &fill(fence)), Verdict::Usable);
    }
}
