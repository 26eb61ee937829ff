//! Fences of several processes on one faulty journal.

mod renewals;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    config::FenceConfig,
    core::Fence,
    declaration::Declaration,
    kit_for_tests::{
        KEY, LEASE, close, copied, declare, fill, key, now, pending, purge, purge_target, verdict,
        version_of, write_through,
    },
    mirror::own_record::OwnRecord,
    subscription::AppliedEvent,
    verdict::Verdict,
};
use crate::{
    clock::Clock,
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::{
            StoreFuture,
            journal::{AppendReply, AppendRequest, Feed, Journal, Record, RecordKind, StatePage},
        },
        entry::{Entry, LocalState},
        memory::journal::MemoryJournal,
        position::Position,
    },
};

/// A memory journal whose replies can be lost or changed on their way.
#[derive(Debug)]
struct FaultyJournal {
    /// Replaced to begin a new epoch.
    journal: Mutex<Arc<MemoryJournal>>,
    /// Records are appended, but the replies are lost.
    lose_replies: AtomicBool,
    /// Replies to appends leave out the records in between.
    hide_between: AtomicBool,
    /// The next reply to an append has another epoch.
    wrong_epoch: AtomicBool,
    /// The floor in replies to appends.
    floor: AtomicU64,
    /// The manual clock.
    nanos: Arc<AtomicU64>,
    /// How far a sync moves the clock.
    sync_takes: AtomicU64,
}

impl FaultyJournal {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            journal: Mutex::new(Arc::new(MemoryJournal::new())),
            lose_replies: AtomicBool::default(),
            hide_between: AtomicBool::default(),
            wrong_epoch: AtomicBool::default(),
            floor: AtomicU64::default(),
            nanos: Arc::new(AtomicU64::new(1)),
            sync_takes: AtomicU64::default(),
        })
    }

    fn inner(&self) -> Arc<MemoryJournal> {
        Arc::clone(&self.journal.lock().expect("no panic"))
    }

    fn begin_epoch(&self) {
        *self.journal.lock().expect("no panic") = Arc::new(MemoryJournal::new());
    }

    fn set_lose_replies(&self, lose: bool) {
        self.lose_replies.store(lose, Ordering::Relaxed);
    }

    fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("short");
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Invalidates a key as another process.
    async fn purge(&self, name: &str) {
        let request = AppendRequest {
            known: Position::UNKNOWN,
            kind: RecordKind::Invalidate,
            purges: [Purge::hard(PurgeTarget::Key(name.into()))].into(),
            with_open: false,
            queued: false,
        };
        self.inner().append(&request).await.expect("in process");
    }

    async fn records_after(&self, position: Position) -> Vec<Record> {
        let records = self.feed().next(position).await;
        records.expect("in process")
    }

    async fn state(&self) -> StatePage {
        let state = self.sync(Position::UNKNOWN, 100).await;
        state.expect("in process")
    }

    async fn last_purge(&self) -> String {
        let state = self.state().await;
        state.latest.last().expect("a purge").0.to_string()
    }

    async fn has_declaration(&self) -> bool {
        !self.state().await.open.is_empty()
    }
}

impl Journal for FaultyJournal {
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            let mut reply = self.inner().append(request).await?;
            reply.floor = self.floor.load(Ordering::Relaxed);
            if self.wrong_epoch.swap(false, Ordering::Relaxed) {
                reply.position.epoch ^= 1;
            }
            if self.hide_between.load(Ordering::Relaxed) {
                reply.between.clear();
            }
            if self.lose_replies.load(Ordering::Relaxed) {
                return Err(Error::unavailable("the reply is lost"));
            }
            Ok(reply)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let page = self.inner().sync(from, page).await;
            let takes = self.sync_takes.load(Ordering::Relaxed);
            self.nanos.fetch_add(takes, Ordering::Relaxed);
            page
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        self.inner().feed()
    }
}

/// A fence that has synced. It has no tasks: queued records wait until the test delivers them.
async fn process() -> (Arc<Fence>, Arc<FaultyJournal>) {
    let journal = FaultyJournal::new();
    (process_on(&journal).await, journal)
}

async fn process_on(journal: &Arc<FaultyJournal>) -> Arc<Fence> {
    let fence = unsynced(journal);
    sync(&fence).await;
    fence
}

fn unsynced(journal: &Arc<FaultyJournal>) -> Arc<Fence> {
    let config = FenceConfig {
        max_queued: 4,
        ..FenceConfig::default()
    };
    let fence = Fence::new(Arc::clone(journal) as _, clock(journal), config);
    fence.set_tasks(Box::from([]));
    fence
}

fn clock(journal: &FaultyJournal) -> Arc<Clock> {
    Arc::new(Clock::manual(Arc::clone(&journal.nanos)))
}

async fn sync(fence: &Fence) {
    fence.sync().await.expect("the journal answers");
}

async fn deliver(fence: &Fence) {
    let delivered = fence.appender.deliver_queued().await;
    delivered.expect("the journal answers");
}

async fn purge_in_vain(fence: &Fence, name: &str) {
    let outcome = fence.invalidate(key(name), false).await;
    outcome.expect_err("the reply is lost");
}

fn apply(fence: &Fence, records: &[Record]) -> bool {
    fence.mirror().apply(records)
}

fn merge(fence: &Fence, page: &StatePage) {
    fence.mirror().change(|mirror| mirror.merge(page));
}

/// Rule 2: a record of another process may still be on its way.
#[tokio::test]
async fn an_own_append_does_not_move_the_position_over_missing_records() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.hide_between.store(true, Ordering::Relaxed);
    journal.purge(KEY).await;
    let own = purge(&fence, "another").await;
    assert_eq!(own.n, 2);
    assert_eq!(fence.position().n, 0);
    // Rule 3: the check counts up to the contiguous position only.
    assert_eq!(verdict(&fence, &before), Verdict::Usable);
    let filled = fill(&fence);
    assert_eq!(verdict(&fence, &filled), Verdict::Usable);
    let records = journal.records_after(fence.position()).await;
    apply(&fence, &records);
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(
        verdict(&fence, &filled),
        Verdict::Unusable,
        "its read may be older than the write"
    );
}

/// Rule 2: its targets count at once.
#[tokio::test]
async fn an_own_append_invalidates_before_the_missing_records_arrive() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.hide_between.store(true, Ordering::Relaxed);
    journal.purge("another").await;
    purge(&fence, KEY).await;
    assert_eq!(fence.position(), before.position);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

#[tokio::test]
async fn an_own_append_moves_the_position_if_its_reply_is_complete() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.purge(KEY).await;
    purge(&fence, "another").await;
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

/// Rule 6.
#[tokio::test]
async fn a_gap_in_the_feed_needs_a_sync() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.purge(KEY).await;
    journal.purge("another").await;
    let records = journal.records_after(fence.position()).await;
    assert!(!apply(&fence, &records[1..]));
    assert_eq!(fence.position().n, 0);
    sync(&fence).await;
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

/// Rule 6.
#[tokio::test]
async fn a_record_of_another_epoch_needs_a_sync() {
    let (fence, journal) = process().await;
    let known = fence.position();
    journal.begin_epoch();
    journal.purge(KEY).await;
    let records = journal.records_after(Position { n: 0, ..known }).await;
    assert!(!apply(&fence, &records));
    assert_eq!(fence.position(), known);
}

/// Rule 7.
#[tokio::test]
async fn an_older_state_takes_nothing_back() {
    let (fence, journal) = process().await;
    let declaration = declare(&fence, KEY).await;
    purge(&fence, "twice").await;
    let old = journal.state().await;
    let before = fill(&fence);
    purge(&fence, "twice").await;
    close(declaration).await;
    let after = fill(&fence);
    let position = fence.position();
    merge(&fence, &old);
    assert_eq!(fence.position(), position);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(
        verdict(&fence, &after),
        Verdict::Usable,
        "the declaration stays closed"
    );
    let twice = Entry {
        local: LocalState::default(),
        ..before
    };
    let verdict = fence.check(&twice, "twice", now(&fence));
    assert_eq!(verdict, Verdict::Unusable);
}

/// Rule 7.
#[tokio::test]
async fn an_older_state_does_not_end_a_later_declaration() {
    let (fence, journal) = process().await;
    let old = journal.state().await;
    journal.purge("a").await;
    let elsewhere = process_on(&journal).await;
    let declaration = declare(&elsewhere, KEY).await;
    let records = journal.records_after(fence.position()).await;
    assert!(!apply(&fence, &records[1..]));
    merge(&fence, &old);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
    close(declaration).await;
}

/// Rule 8.
#[tokio::test]
async fn entries_of_another_epoch_are_unusable() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    purge_target(&fence, PurgeTarget::Version("engagement".into())).await;
    let version = version_of(&fence, "engagement");
    let after = fill(&fence);
    let mut events = fence.subscribe();

    journal.begin_epoch();
    sync(&fence).await;
    assert_eq!(events.next().await, Some(AppliedEvent::Everything));
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(
        verdict(&fence, &fill(&fence)),
        Verdict::Unusable,
        "the bump is pending"
    );
    deliver(&fence).await;
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
    for stored in [before, after] {
        assert_eq!(
            verdict(&fence, &stored),
            Verdict::Unusable,
            "whatever its n"
        );
    }
    let repeated = version_of(&fence, "engagement");
    assert!(
        repeated != 0 && repeated != version,
        "no version is used twice"
    );
}

/// Rule 8.
#[tokio::test]
async fn entries_from_before_the_floor_are_unusable() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.purge("a").await;
    sync(&fence).await;
    let after = fill(&fence);
    let mut page = journal.state().await;
    page.floor = 1;
    merge(&fence, &page);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(verdict(&fence, &after), Verdict::Usable);
}

/// Rule 10: a failed primary may have lost them.
#[tokio::test]
async fn recent_purges_and_declarations_are_repeated_in_a_new_epoch() {
    let (fence, journal) = process().await;
    purge(&fence, KEY).await;
    let declaration = declare(&fence, "declared").await;
    journal.begin_epoch();
    sync(&fence).await;
    // Another process may have filled it meanwhile.
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
    deliver(&fence).await;
    let state = journal.state().await;
    let purges = state.latest.iter().map(|(purge, _)| purge.to_string());
    assert_eq!(purges.collect::<Vec<_>>(), [format!("k:{KEY}")]);
    assert_eq!(state.open.len(), 1);
    assert_eq!(pending(&fence), 0);
    close(declaration).await;
    assert!(!journal.has_declaration().await);
}

#[tokio::test]
async fn old_purges_are_not_repeated_in_a_new_epoch() {
    let (fence, journal) = process().await;
    purge(&fence, KEY).await;
    journal.advance(Duration::from_secs(3600));
    journal.begin_epoch();
    sync(&fence).await;
    assert_eq!(pending(&fence), 0);
}

/// Rule 10.
#[tokio::test]
async fn an_append_answered_from_another_epoch_is_sent_again_after_the_sync() {
    let (fence, journal) = process().await;
    let before = fence.position();
    journal.begin_epoch();
    let position = purge(&fence, KEY).await;
    assert_ne!(position.epoch, before.epoch);
    assert_eq!(position.n, 2, "appended twice");
    assert_eq!(fence.position().epoch, position.epoch);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// Rule 6: the journal has lost records that were applied here.
#[tokio::test]
async fn a_reply_that_is_not_beyond_what_was_applied_is_refused() {
    let (fence, _journal) = process().await;
    let known = purge(&fence, "a").await;
    let purge = Purge::hard(PurgeTarget::Key(KEY.into()));
    let sent = OwnRecord::invalidation([purge].into());
    let applied = |n| {
        let reply = AppendReply {
            position: Position { n, ..known },
            floor: 0,
            between: Vec::new(),
            open: Vec::new(),
        };
        let mirror = fence.mirror();
        mirror.change(|mirror| mirror.apply_reply(known, (&[], &sent), &reply, 0))
    };
    assert!(!applied(known.n - 1));
    assert!(!applied(known.n));
    assert!(applied(known.n + 1));
}

/// Rule 11.
#[tokio::test]
async fn an_append_whose_reply_is_lost_keeps_its_targets_uncacheable() {
    let (fence, journal) = process().await;
    let before = fill(&fence);
    journal.set_lose_replies(true);
    purge_in_vain(&fence, KEY).await;
    for _ in 0..3 {
        let delivered = fence.appender.deliver_queued().await;
        delivered.expect_err("the reply is lost");
        // Fills from after the record are blocked, too.
        sync(&fence).await;
        assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
        let verdict = fence.check(&fill(&fence), "another", now(&fence));
        assert_eq!(verdict, Verdict::Usable);
    }
    journal.set_lose_replies(false);
    deliver(&fence).await;
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

#[tokio::test]
async fn a_dropped_invalidation_is_queued() {
    let (fence, journal) = process().await;
    let mut dropped = Box::pin(fence.invalidate(key(KEY), false));
    // The memory journal answers at once, but the sync that a new epoch needs can be held up.
    let syncing = fence.sync_state().sync_lock.lock().await;
    journal.begin_epoch();
    assert!((&mut dropped).now_or_never().is_none(), "it waits to sync");
    drop(dropped);
    assert_eq!(pending(&fence), 1);
    drop(syncing);
    deliver(&fence).await;
    assert_eq!(journal.last_purge().await, format!("k:{KEY}"));
}

/// The replies to appends are lost until this future ends; then the queued ones are delivered.
async fn deliver_after<F: Future<Output = ()>>(
    (fence, journal): (&Fence, &FaultyJournal),
    appends: F,
) -> Vec<String> {
    let before = journal.state().await.head;
    journal.set_lose_replies(true);
    appends.await;
    let stale = journal.records_after(before).await.len();
    assert!(pending(fence) <= 4);
    journal.set_lose_replies(false);
    deliver(fence).await;
    assert_eq!(pending(fence), 0);
    let records = journal.records_after(before).await;
    let purges = records
        .iter()
        .skip(stale)
        .flat_map(|record| record.purges.iter());
    purges.map(ToString::to_string).collect()
}

#[tokio::test]
async fn too_many_queued_appends_become_one_record() {
    let (fence, journal) = process().await;
    let appends = async {
        let foreign = Box::from("foreign".as_bytes());
        fence.appender.receive(&[foreign]);
        for i in [0, 1, 1, 2] {
            assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
            purge_in_vain(&fence, &i.to_string()).await;
        }
        assert_eq!(pending(&fence), 2);
        purge_in_vain(&fence, KEY).await;
        assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
    };
    let delivered = deliver_after((&fence, &journal), appends).await;
    assert_eq!(
        delivered,
        ["k:foreign", "k:0", "k:1", "k:2", &format!("k:{KEY}")]
    );
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// Anybody could otherwise make everything unusable by writing to paths that do not exist.
#[tokio::test]
async fn too_many_queued_urls_become_their_prefix() {
    let (fence, journal) = process().await;
    let appends = async {
        purge_in_vain(&fence, "task:1").await;
        for i in 0..40 {
            purge_in_vain(&fence, &format!("url::%2F{i}")).await;
            assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
        }
    };
    let delivered = deliver_after((&fence, &journal), appends).await;
    assert!(delivered.len() < 16, "{delivered:?}");
    for purge in ["k:task:1", "p:url:"] {
        assert!(delivered.iter().any(|it| it == purge), "{delivered:?}");
    }
}

#[tokio::test]
async fn too_many_queued_tags_become_a_purge_of_everything() {
    let (fence, journal) = process().await;
    let appends = async {
        for i in 0..20 {
            let tag = vec![PurgeTarget::Tag(i.to_string().into())];
            let outcome = fence.invalidate(tag, false).await;
            outcome.expect_err("the reply is lost");
        }
        assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
    };
    let delivered = deliver_after((&fence, &journal), appends).await;
    assert_eq!(delivered[0], "*");
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// The journal may never have had their openings.
#[tokio::test]
async fn too_many_queued_closings_become_invalidations() {
    let (fence, journal) = process().await;
    let appends = async {
        for i in 0..6 {
            let declared = fence.declare(key(&format!("{i}")), LEASE).await;
            declared.expect_err("the reply is lost");
        }
    };
    let mut delivered = deliver_after((&fence, &journal), appends).await;
    // The last one is closed, which names what it declared once more.
    delivered.dedup();
    let expected: Vec<_> = (0..6).map(|i| format!("k:{i}")).collect();
    assert_eq!(delivered, expected);
}

/// Rule 12.
#[tokio::test]
async fn trust_counts_from_when_the_sync_was_sent() {
    let (fence, journal) = process().await;
    let stored = copied(&fence);
    journal.advance(Duration::from_millis(1999));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    journal.advance(Duration::from_millis(1));
    assert_eq!(
        verdict(&fence, &stored),
        Verdict::Untrusted,
        "although it was checked"
    );

    journal.sync_takes.store(1_500_000_000, Ordering::Relaxed);
    sync(&fence).await;
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    journal.advance(Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    purge(&fence, KEY).await;
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
}

#[tokio::test]
async fn a_new_max_lag_applies_to_the_last_proof_and_to_own_fills() {
    let (fence, journal) = process().await;
    let stored = copied(&fence);
    journal.advance(Duration::from_millis(500));
    fence.set_max_lag(Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    fence.set_max_lag(Duration::from_millis(501));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);

    // Also to later proofs.
    journal.advance(Duration::from_secs(1));
    sync(&fence).await;
    let own = fill(&fence);
    journal.advance(Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    journal.advance(Duration::from_millis(1));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    assert_eq!(verdict(&fence, &own), Verdict::Untrusted);
    fence.set_max_lag(Duration::from_secs(2));
    assert_eq!(verdict(&fence, &own), Verdict::Usable);

    let unproved = unsynced(&journal);
    unproved.set_max_lag(Duration::from_secs(60));
    assert!(!unproved.is_trusted(now(&unproved)), "there is no proof");
}

/// The wait for the next proof ends at once.
#[tokio::test(start_paused = true)]
async fn a_shorter_max_lag_is_proved_more_often_at_once() {
    let journal = FaultyJournal::new();
    let config = FenceConfig {
        max_lag: Duration::from_secs(4000),
        ..FenceConfig::default()
    };
    let fence = Fence::new(Arc::clone(&journal) as _, clock(&journal), config);
    fence.start(None).await;
    let proved_at = || fence.sync_state().trust.proved_at();
    let mut last = proved_at();
    fence.set_max_lag(Duration::from_secs(4));
    for _ in 0..5 {
        journal.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1) + Duration::from_millis(1)).await;
        assert!(proved_at() > last, "a proof each second");
        last = proved_at();
    }
}

#[tokio::test]
async fn own_fills_are_used_for_max_lag_during_an_outage() {
    let (fence, journal) = process().await;
    journal.advance(Duration::from_secs(60));
    let (own, copied) = (fill(&fence), copied(&fence));
    assert_eq!(verdict(&fence, &own), Verdict::Usable);
    assert_eq!(verdict(&fence, &copied), Verdict::Untrusted);
    journal.advance(Duration::from_secs(2));
    assert_eq!(verdict(&fence, &own), Verdict::Untrusted);
}

#[tokio::test]
async fn before_the_first_sync_only_own_fills_are_used() {
    let journal = FaultyJournal::new();
    let fence = unsynced(&journal);
    let own = fill(&fence);
    assert!(!own.position.is_known());
    assert_eq!(verdict(&fence, &own), Verdict::Usable);
    assert_eq!(verdict(&fence, &copied(&fence)), Verdict::Unusable);

    journal.set_lose_replies(true);
    purge_in_vain(&fence, KEY).await;
    assert_eq!(verdict(&fence, &own), Verdict::Unusable);
    journal.set_lose_replies(false);
    sync(&fence).await;
    deliver(&fence).await;
    assert_eq!(
        verdict(&fence, &own),
        Verdict::Unusable,
        "records may have been missed"
    );
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// Rule 14.
#[tokio::test]
async fn a_declaration_of_another_process_makes_its_targets_uncacheable() {
    let (fence, journal) = process().await;
    let stored = fill(&fence);
    let elsewhere = process_on(&journal).await;
    let declaration = declare(&elsewhere, KEY).await;
    sync(&fence).await;
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
    let during = fill(&fence);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    close(declaration).await;
    let records = journal.records_after(fence.position()).await;
    apply(&fence, &records);
    assert_eq!(
        verdict(&fence, &during),
        Verdict::Unusable,
        "its read may be older than the write"
    );
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// Rule 15: what the first attempt met is unknown.
#[tokio::test]
async fn a_write_through_that_was_sent_twice_is_not_stored() {
    let (fence, journal) = process().await;
    for again in [false, true] {
        let before = fence.capture();
        journal.wrong_epoch.store(again, Ordering::Relaxed);
        let position = write_through(&fence, &before, "another").await;
        assert_eq!(position.expect("appended").is_none(), again);
    }
    let before = fence.capture();
    journal.set_lose_replies(true);
    let outcome = write_through(&fence, &before, KEY).await;
    outcome.expect_err("the reply is lost");
}

/// Rule 15.
#[tokio::test]
async fn a_write_through_from_before_the_floor_is_not_stored() {
    let (fence, journal) = process().await;
    for (above, stored) in [(0, true), (1, false)] {
        let before = fence.capture();
        let floor = before.position.n + above;
        journal.floor.store(floor, Ordering::Relaxed);
        let position = write_through(&fence, &before, "another").await;
        assert_eq!(position.expect("appended").is_some(), stored);
    }
}

/// It was opened again after its closing, and stayed open until its lease ended.
#[tokio::test]
async fn a_declaration_that_is_being_closed_is_not_repeated_in_a_new_epoch() {
    let (fence, journal) = process().await;
    let declaration = declare(&fence, KEY).await;
    journal.set_lose_replies(true);
    let closed = declaration.close(Vec::new()).await;
    closed.expect_err("the reply is lost");
    journal.begin_epoch();
    journal.set_lose_replies(false);
    sync(&fence).await;
    deliver(&fence).await;
    assert!(!journal.has_declaration().await);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// As above, where the write ends while it is being declared again.
#[tokio::test]
async fn a_declaration_repeated_after_its_closing_is_closed_again() {
    let (fence, journal) = process().await;
    let declaration = declare(&fence, KEY).await;
    journal.begin_epoch();
    sync(&fence).await;
    close(declaration).await;
    deliver(&fence).await;
    assert!(!journal.has_declaration().await);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// The journal kept it until its lease ended.
#[tokio::test]
async fn a_declaration_whose_reply_is_lost_is_withdrawn() {
    let (fence, journal) = process().await;
    journal.set_lose_replies(true);
    let declared = fence.declare(key(KEY), LEASE).await;
    declared.expect_err("the reply is lost");
    assert!(journal.has_declaration().await);
    journal.set_lose_replies(false);
    deliver(&fence).await;
    assert!(!journal.has_declaration().await);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// More than one record may name.
#[tokio::test]
async fn a_write_may_declare_any_number_of_targets() {
    let (fence, journal) = process().await;
    let names = (0..600).map(|i| PurgeTarget::Key(format!("task:{i}").into()));
    let targets: Vec<_> = key(KEY).into_iter().chain(names).collect();
    let declared = fence.declare(targets.clone(), LEASE).await;
    let declaration = declared.expect("the journal answers");
    assert_eq!(declaration.targets(), targets);
    assert_eq!(journal.state().await.open.len(), 3);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
    let during = fill(&fence);
    close(declaration).await;
    assert!(!journal.has_declaration().await);
    assert_eq!(pending(&fence), 0);
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Usable);
}

/// Nothing else closes it here, if no other process follows the journal.
#[tokio::test(start_paused = true)]
async fn an_own_declaration_ends_with_its_lease() {
    let (fence, journal) = process().await;
    for is_kept_open in [false, true] {
        let mut declaration = Some(declare(&fence, KEY).await);
        if is_kept_open {
            declaration
                .take()
                .into_iter()
                .for_each(Declaration::keep_open);
        }
        tokio::time::sleep(LEASE - Duration::from_secs(1)).await;
        assert_eq!(pending(&fence), 0);
        assert_eq!(verdict(&fence, &fill(&fence)), Verdict::Unusable);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pending(&fence), 1, "it is closed");
        deliver(&fence).await;
        let stored = fill(&fence);
        assert_eq!(verdict(&fence, &stored), Verdict::Usable);
        assert!(!journal.has_declaration().await);
        // A write that ends later still invalidates.
        if let Some(declaration) = declaration {
            close(declaration).await;
            assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
        }
    }
}

/// Listening stopped while the journal was slow.
#[tokio::test]
async fn a_published_pattern_is_queued_without_waiting_for_the_journal() {
    let (fence, journal) = process().await;
    let stored = fill(&fence);
    let before = journal.inner().head();
    fence.appender.receive(&[Box::from(KEY.as_bytes())]);
    assert_eq!(journal.inner().head(), before);
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
    deliver(&fence).await;
    assert_eq!(journal.inner().head().n, before.n + 1);
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
}
