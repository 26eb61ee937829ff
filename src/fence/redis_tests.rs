//! Fences of two processes on one real Redis, with all their tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    tests::{KEY, entry, key, verdict},
    *,
};
use crate::{
    clock::Clock,
    key::purge::PurgeTarget,
    store::{
        entry::Entry,
        position::Position,
        redis::{
            Config, Connections,
            journal::{RedisChannel, RedisJournal},
        },
    },
    support::{RedisServer, until},
};

/// A process's fence; its clock stands still unless it is moved.
async fn process(server: &RedisServer) -> (Arc<Fence>, Arc<AtomicU64>) {
    let config = Config {
        deadline: Duration::from_millis(500),
        ..Config::default()
    };
    let connections = Connections::connect(&server.url(), config)
        .await
        .expect("connects");
    let nanos = Arc::new(AtomicU64::new(1));
    let clock = Arc::new(Clock::manual(Arc::clone(&nanos)));
    let options = Options {
        max_lag: Duration::from_millis(800),
        ..Options::default()
    };
    let journal = RedisJournal::new(connections.clone(), "", options.subjects);
    let fence = Fence::new(Arc::new(journal), clock, options);
    let channel = RedisChannel::new(connections, "");
    fence.start(Some(Arc::new(channel))).await;
    (fence, nanos)
}

async fn becomes(fence: &Fence, entry: &Entry, wanted: Verdict) {
    let look = || async { (verdict(fence, entry) == wanted).then_some(()) };
    until(&format!("{wanted:?}"), look).await;
}

async fn reaches(fence: &Fence, position: Position) {
    let look = || async { (fence.position() == position).then_some(()) };
    until(&format!("{position:?}"), look).await;
}

/// What a fill that begins now would give.
fn fill(fence: &Fence) -> Entry {
    entry(&fence.capture())
}

#[tokio::test]
async fn an_invalidation_reaches_every_process() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    assert_eq!(here.position().epoch, there.position().epoch);
    let stored = fill(&there);
    let position = here.invalidate(key(KEY), false).await.expect("appended");
    becomes(&there, &stored, Verdict::Unusable).await;
    reaches(&there, position).await;
    assert_eq!(verdict(&there, &fill(&there)), Verdict::Usable);

    let stored = fill(&there);
    let lease = Duration::from_secs(60);
    let declaration = here.open(key(KEY), lease).await.expect("declared");
    becomes(&there, &stored, Verdict::Unusable).await;
    declaration.close(Vec::new()).await.expect("closed");
    let usable = || async { (verdict(&there, &fill(&there)) == Verdict::Usable).then_some(()) };
    until("the declaration to end", usable).await;
    assert_eq!(verdict(&there, &stored), Verdict::Unusable);
}

#[tokio::test]
async fn a_process_that_starts_later_knows_what_was_invalidated() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let stored = fill(&here);
    for i in 0..50 {
        here.invalidate(key(&i.to_string()), false)
            .await
            .expect("appended");
    }
    let last = here.invalidate(key(KEY), false).await.expect("appended");
    let cell = here.version("engagement");
    let bump = vec![PurgeTarget::Version("engagement".into())];
    here.invalidate(bump, false).await.expect("appended");
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
    let version = there.version("engagement").load(Ordering::Relaxed);
    assert_eq!(version, cell.load(Ordering::Relaxed));
}

#[tokio::test]
async fn killed_connections_and_a_trimmed_feed_lose_nothing() {
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
        (same && here.read(|mirror| mirror.pending()) == 0).then_some(())
    };
    until("both to agree", end).await;
    assert_eq!(verdict(&there, &fill(&there)), Verdict::Usable);
}

/// Rule 12 and rule 11 on a server that does not answer.
#[tokio::test]
async fn trust_ends_when_redis_is_stopped_and_comes_back_with_it() {
    let server = RedisServer::start();
    let (here, nanos) = process(&server).await;
    let mut stored = fill(&here);
    stored.local.captured = 0;
    assert_eq!(verdict(&here, &stored), Verdict::Usable);
    server.stop_signal();
    here.invalidate(key("another"), false)
        .await
        .expect_err("no answer");
    assert_eq!(verdict(&here, &stored), Verdict::Usable, "within max_lag");
    nanos.fetch_add(900_000_000, Ordering::Relaxed);
    assert_eq!(verdict(&here, &stored), Verdict::Untrusted);
    let check = |entry: &Entry| here.check(entry, "another", here.clock.now());
    assert_eq!(check(&fill(&here)), Verdict::Unusable, "undelivered");
    server.continue_signal();
    becomes(&here, &stored, Verdict::Usable).await;
    let delivered = || async { (check(&fill(&here)) == Verdict::Usable).then_some(()) };
    until("the delivery", delivered).await;
}

/// Rules 8, 9 and 10 on a server that comes back empty.
#[tokio::test]
async fn a_server_that_lost_everything_is_told_what_was_done_lately() {
    let mut server = RedisServer::start();
    let (here, _) = process(&server).await;
    let (there, _) = process(&server).await;
    let stored = fill(&there);
    here.invalidate(key(KEY), false).await.expect("appended");
    let epoch = here.position().epoch;
    server.restart();
    let told = || async {
        let score = server.command(&["ZSCORE", "cache:keep:{journal}:z", &format!("k:{KEY}")]);
        (!score.text().is_empty()).then_some(())
    };
    until("the invalidation again", told).await;
    let agreed = || async {
        let (here, there) = (here.position(), there.position());
        (here == there && here.epoch != epoch).then_some(())
    };
    until("both to follow the new epoch", agreed).await;
    assert_eq!(verdict(&there, &stored), Verdict::Unusable);
    let usable = || async { (verdict(&there, &fill(&there)) == Verdict::Usable).then_some(()) };
    until("fills to be usable", usable).await;
}

/// Rule 6: less than what we have applied.
#[tokio::test]
async fn a_server_that_lost_the_last_appends_is_found_out() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let before = fill(&here);
    let known = here.invalidate(key("a"), false).await.expect("appended");
    // Everything but the last append, as after a failover that nobody noticed.
    let saved = ["m", "z", "s"].map(|end| {
        let name = format!("cache:keep:{{journal}}:{end}");
        let dump = server.command(&["DUMP", &name]);
        (name, dump)
    });
    here.invalidate(key(KEY), false).await.expect("appended");
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
    let told = || async {
        let score = server.command(&["ZSCORE", "cache:keep:{journal}:z", &format!("k:{KEY}")]);
        (!score.text().is_empty()).then_some(())
    };
    until("the invalidation again", told).await;
}

#[tokio::test]
async fn what_other_programs_publish_is_appended_and_ours_is_published() {
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
        let settled = here.position() == there.position()
            && here.read(|mirror| mirror.pending()) + there.read(|mirror| mirror.pending()) == 0;
        (settled && verdict(&here, &fill(&here)) == Verdict::Usable).then_some(here.position())
    };
    let before = until("peace", agreed).await;
    let published = server.calls("publish");
    let names = vec![
        PurgeTarget::Key("a".into()),
        PurgeTarget::Prefix("b:".into()),
        PurgeTarget::Tag("never".into()),
        PurgeTarget::User("never".into()),
    ];
    let own = here.invalidate(names, false).await.expect("appended");
    assert_eq!(own.n, before.n + 1);
    let told = || async { (server.calls("publish") == published + 4).then_some(()) };
    until("two announcements and two patterns", told).await;
    // Heard by both, appended by neither: the next position is the next.
    let next = there
        .invalidate(vec![PurgeTarget::Tag("x".into())], false)
        .await
        .expect("appended");
    assert_eq!(next.n, own.n + 1);
}

#[tokio::test]
async fn a_fence_that_is_dropped_leaves_nothing_behind() {
    let server = RedisServer::start();
    let (here, _) = process(&server).await;
    let weak = Arc::downgrade(&here);
    drop(here);
    let gone = || async { weak.upgrade().is_none().then_some(()) };
    until("the fence to be gone", gone).await;
    let alone = || async {
        let clients = server.command(&["CLIENT", "LIST"]).text();
        (clients.lines().count() == 1).then_some(())
    };
    until("the connections to be closed", alone).await;
}
