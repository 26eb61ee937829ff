//! Fences of several processes on one journal: a meddled one, and a real Redis.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    tests::{KEY, entry, key, verdict},
    *,
};
use crate::{
    clock::Clock,
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::{
            StoreFuture,
            journal::{AppendRequest, Appended, Feed, Journal, StatePage},
        },
        entry::{Entry, LocalState},
        memory::journal::MemoryJournal,
        position::Position,
    },
};

/// A journal with what can happen on the way to it.
#[derive(Debug)]
struct Meddled {
    /// Another one from time to time: a new epoch.
    journal: Mutex<Arc<MemoryJournal>>,
    /// Appended, and nobody hears of it.
    lose_replies: AtomicBool,
    /// Answers to appends leave out what came between.
    hide_between: AtomicBool,
    /// The next answer to an append comes from another server.
    wrong_epoch: AtomicBool,
    /// What answers to appends say of the floor.
    floor: AtomicU64,
    /// What a sync costs, on the manual clock.
    nanos: Arc<AtomicU64>,
    sync_takes: AtomicU64,
}

impl Meddled {
    fn inner(&self) -> Arc<MemoryJournal> {
        Arc::clone(&self.journal.lock().expect("no panic"))
    }

    fn new_epoch(&self) {
        *self.journal.lock().expect("no panic") = Arc::new(MemoryJournal::new());
    }

    /// Another process invalidates.
    async fn other(&self, name: &str) -> Position {
        let draft = AppendRequest {
            known: Position::UNKNOWN,
            kind: crate::store::contracts::journal::RecordKind::Invalidate,
            purges: [Purge::hard(PurgeTarget::Key(name.into()))].into(),
            with_open: false,
            queued: false,
        };
        self.inner()
            .append(&draft)
            .await
            .expect("in process")
            .position
    }
}

impl Journal for Meddled {
    fn append<'a>(&'a self, draft: &'a AppendRequest) -> StoreFuture<'a, Appended> {
        Box::pin(async move {
            let mut reply = self.inner().append(draft).await?;
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

/// A fence without tasks: the test does what they would.
async fn meddled() -> (Arc<Fence>, Arc<Meddled>) {
    process(&journal()).await
}

/// Another process on the same journal.
async fn process(journal: &Arc<Meddled>) -> (Arc<Fence>, Arc<Meddled>) {
    let fence = unreached(journal);
    fence.sync().await.expect("in process");
    (fence, Arc::clone(journal))
}

fn journal() -> Arc<Meddled> {
    Arc::new(Meddled {
        journal: Mutex::new(Arc::new(MemoryJournal::new())),
        lose_replies: AtomicBool::default(),
        hide_between: AtomicBool::default(),
        wrong_epoch: AtomicBool::default(),
        floor: AtomicU64::default(),
        nanos: Arc::new(AtomicU64::new(1)),
        sync_takes: AtomicU64::default(),
    })
}

fn unreached(journal: &Arc<Meddled>) -> Arc<Fence> {
    let clock = Arc::new(Clock::manual(Arc::clone(&journal.nanos)));
    let options = Options {
        pending: 4,
        ..Options::default()
    };
    let fence = Fence::new(Arc::clone(journal) as _, clock, options);
    fence.own_tasks(Box::from([])); // queued is queued, until the test drains it
    fence
}

fn pass(journal: &Meddled, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).expect("short");
    journal.nanos.fetch_add(nanos, Ordering::Relaxed);
}

/// Rule 2: another's record before ours may still be on its way.
#[tokio::test]
async fn an_own_append_does_not_skip_what_came_before_it() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.hide_between.store(true, Ordering::Relaxed);
    journal.other(KEY).await;
    let own = fence
        .invalidate(key("another"), false)
        .await
        .expect("appended");
    assert_eq!(own.n, 2);
    assert_eq!(fence.position().n, 0);
    // Rule 3: it is checked now, and remembered as checked up to what is known, no further.
    assert_eq!(verdict(&fence, &before), Verdict::Usable);
    let filled = entry(&fence.capture());
    assert_eq!(verdict(&fence, &filled), Verdict::Usable);
    let records = journal
        .feed()
        .next(fence.position())
        .await
        .expect("in process");
    fence.feed(&records);
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(
        verdict(&fence, &filled),
        Verdict::Unusable,
        "its read may be older than the write"
    );
}

/// What counts is the latest record that is known, not the contiguous position behind it.
#[tokio::test]
async fn an_own_append_counts_before_what_came_before_it_has_come() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.hide_between.store(true, Ordering::Relaxed);
    journal.other("another").await;
    fence.invalidate(key(KEY), false).await.expect("appended");
    assert_eq!(fence.position(), before.position);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

#[tokio::test]
async fn an_own_append_is_followed_at_once_when_its_answer_tells_all() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.other(KEY).await;
    fence
        .invalidate(key("another"), false)
        .await
        .expect("appended");
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

/// Rule 6: records that nobody told us of are not followed over.
#[tokio::test]
async fn a_gap_in_the_feed_is_noticed() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.other(KEY).await;
    journal.other("another").await;
    let records = journal
        .feed()
        .next(fence.position())
        .await
        .expect("in process");
    assert_eq!(fence.feed(&records[1..]), super::mirror::Step::Lost);
    assert_eq!(fence.position().n, 0);
    fence.sync().await.expect("in process");
    assert_eq!(fence.position().n, 2);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

/// Rule 6: so is another epoch in a record.
#[tokio::test]
async fn a_record_of_another_epoch_is_not_followed() {
    let (fence, journal) = meddled().await;
    let known = fence.position();
    journal.new_epoch();
    journal.other(KEY).await;
    let records = journal
        .feed()
        .next(Position { n: 0, ..known })
        .await
        .expect("in process");
    assert_eq!(fence.feed(&records), super::mirror::Step::Lost);
    assert_eq!(fence.position(), known);
}

/// Rule 7: a state that is older than what the feed brought takes nothing back.
#[tokio::test]
async fn an_older_state_is_ignored() {
    let (fence, journal) = meddled().await;
    let lease = Duration::from_secs(60);
    let declaration = fence.open(key(KEY), lease).await.expect("declared");
    fence
        .invalidate(key("twice"), false)
        .await
        .expect("appended");
    let old = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    let before = entry(&fence.capture());
    fence
        .invalidate(key("twice"), false)
        .await
        .expect("appended");
    declaration.close(Vec::new()).await.expect("closed");
    let after = entry(&fence.capture());
    let position = fence.position();
    fence.change(|mirror| mirror.merge(&old, 0));
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
    assert_eq!(
        fence.check(&twice, "twice", fence.clock.now()),
        Verdict::Unusable
    );
}

/// Rule 7: nor does it end a declaration that is later than it.
#[tokio::test]
async fn an_older_state_ends_no_later_declaration() {
    let (fence, journal) = meddled().await;
    let old = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    journal.other("a").await;
    let (elsewhere, _) = process(&journal).await;
    let lease = Duration::from_secs(60);
    let declaration = elsewhere.open(key(KEY), lease).await.expect("declared");
    let records = journal
        .feed()
        .next(fence.position())
        .await
        .expect("in process");
    assert_eq!(fence.feed(&records[1..]), super::mirror::Step::Lost);
    fence.change(|mirror| mirror.merge(&old, 0));
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Unusable);
    declaration.close(Vec::new()).await.expect("closed");
}

/// Rule 8: what an earlier epoch stored is of no use.
#[tokio::test]
async fn entries_of_another_epoch_are_unusable() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    let cell = fence.version("engagement");
    let bump = vec![PurgeTarget::Version("engagement".into())];
    fence.invalidate(bump, false).await.expect("appended");
    let version = cell.load(Ordering::Relaxed);
    let after = entry(&fence.capture());
    let mut heard = fence.subscribe();

    journal.new_epoch();
    fence.sync().await.expect("in process");
    assert_eq!(heard.next().await, Some(News::Everything));
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(
        verdict(&fence, &entry(&fence.capture())),
        Verdict::Unusable,
        "the bump is pending"
    );
    fence.drain().await.expect("in process");
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
    for stored in [before, after] {
        assert_eq!(
            verdict(&fence, &stored),
            Verdict::Unusable,
            "whatever its number"
        );
    }
    let repeated = cell.load(Ordering::Relaxed);
    assert!(
        repeated != 0 && repeated != version,
        "no version comes back"
    );
}

/// Rule 8: so is what is stored from before the floor.
#[tokio::test]
async fn entries_from_before_the_floor_are_unusable() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.other("a").await;
    fence.sync().await.expect("in process");
    let after = entry(&fence.capture());
    let mut page = journal
        .sync(fence.position(), 10)
        .await
        .expect("in process");
    page.floor = 1;
    fence.change(|mirror| mirror.merge(&page, 0));
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
    assert_eq!(verdict(&fence, &after), Verdict::Usable);
}

/// Rule 10: an old primary may take our invalidations and declarations to its grave.
#[tokio::test]
async fn a_new_epoch_is_told_what_we_did_lately() {
    let (fence, journal) = meddled().await;
    fence.invalidate(key(KEY), false).await.expect("appended");
    let declaration = fence
        .open(key("declared"), Duration::from_secs(60))
        .await
        .expect("declared");
    journal.new_epoch();
    fence.sync().await.expect("in process");
    // Until it has been told, nothing that another process may have filled meanwhile is used here.
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Unusable);
    fence.drain().await.expect("in process");
    let page = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    let named: Vec<_> = page
        .latest
        .iter()
        .map(|(purge, _)| purge.to_string())
        .collect();
    assert_eq!(named, [format!("k:{KEY}")]);
    assert_eq!(page.open.len(), 1);
    assert_eq!(fence.read(|mirror| mirror.pending()), 0);
    declaration.close(Vec::new()).await.expect("closed");
    let page = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    assert_eq!(page.open, []);
}

#[tokio::test]
async fn what_was_long_ago_is_not_told_again() {
    let (fence, journal) = meddled().await;
    fence.invalidate(key(KEY), false).await.expect("appended");
    pass(&journal, Duration::from_secs(3600));
    journal.new_epoch();
    fence.sync().await.expect("in process");
    assert_eq!(fence.read(|mirror| mirror.pending()), 0);
}

/// Rule 10: an append that another epoch answered counts for nothing before the sync.
#[tokio::test]
async fn an_append_to_a_new_epoch_is_sent_again() {
    let (fence, journal) = meddled().await;
    let before = fence.position();
    journal.new_epoch();
    let position = fence.invalidate(key(KEY), false).await.expect("appended");
    assert_ne!(position.epoch, before.epoch);
    assert_eq!(position.n, 2, "appended twice");
    assert_eq!(fence.position().epoch, position.epoch);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// Rule 6: the journal has lost what we have applied.
#[tokio::test]
async fn an_answer_that_is_not_beyond_what_was_applied_is_not_believed() {
    let (fence, journal) = meddled().await;
    let known = fence.invalidate(key("a"), false).await.expect("appended");
    let batch = super::pending::Batch {
        ids: Vec::new(),
        kind: crate::store::contracts::journal::RecordKind::Invalidate,
        purges: [Purge::hard(PurgeTarget::Key(KEY.into()))].into(),
        public: false,
    };
    let reply = |n| Appended {
        position: Position { n, ..known },
        floor: 0,
        between: Vec::new(),
        open: Vec::new(),
    };
    let applied = |n| fence.change(|mirror| mirror.own(known, &batch, &reply(n), 0));
    assert!(!applied(known.n - 1));
    assert!(!applied(known.n));
    assert!(applied(known.n + 1));
    drop(journal);
}

/// Rule 11: until the reply has been applied, its subjects are uncacheable here.
#[tokio::test]
async fn a_lost_reply_keeps_its_subjects_uncacheable() {
    let (fence, journal) = meddled().await;
    let before = entry(&fence.capture());
    journal.lose_replies.store(true, Ordering::Relaxed);
    fence.invalidate(key(KEY), false).await.expect_err("lost");
    for _ in 0..3 {
        fence.drain().await.expect_err("lost");
        // Even a fill that the record itself would not name.
        fence.sync().await.expect("in process");
        assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Unusable);
        let elsewhere = entry(&fence.capture());
        assert_eq!(
            fence.check(&elsewhere, "another", fence.clock.now()),
            Verdict::Usable
        );
    }
    journal.lose_replies.store(false, Ordering::Relaxed);
    fence.drain().await.expect("delivered");
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
    assert_eq!(verdict(&fence, &before), Verdict::Unusable);
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_take_the_invalidation_along() {
    let (fence, journal) = meddled().await;
    let mut leaving = Box::pin(fence.invalidate(key(KEY), false));
    // The journal of one process answers at once; the sync that a new epoch needs can be held up.
    let gate = fence.syncing.lock().await;
    journal.new_epoch();
    assert!(
        (&mut leaving).now_or_never().is_none(),
        "it waits for the sync"
    );
    drop(leaving);
    assert_eq!(fence.read(|mirror| mirror.pending()), 1);
    drop(gate);
    fence.drain().await.expect("delivered");
    let page = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    assert_eq!(
        page.latest.last().expect("appended").0.to_string(),
        format!("k:{KEY}")
    );
}

#[tokio::test]
async fn too_many_undelivered_appends_become_everything() {
    let (fence, journal) = meddled().await;
    journal.lose_replies.store(true, Ordering::Relaxed);
    for i in 0..4 {
        fence
            .invalidate(key(&i.to_string()), false)
            .await
            .expect_err("lost");
    }
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
    fence.invalidate(key("4"), false).await.expect_err("lost");
    assert_eq!(fence.read(|mirror| mirror.pending()), 1);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Unusable);
    journal.lose_replies.store(false, Ordering::Relaxed);
    fence.drain().await.expect("delivered");
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
    let page = journal
        .sync(Position::UNKNOWN, 100)
        .await
        .expect("in process");
    assert_eq!(
        page.latest.last().expect("appended").0,
        Purge::hard(PurgeTarget::Everything)
    );
}

/// Rule 12: a proof is as old as the question, however long the answer took.
#[tokio::test]
async fn trust_counts_from_when_the_question_was_sent() {
    let (fence, journal) = meddled().await;
    let stored = entry(&Capture {
        at: 0,
        ..fence.capture()
    });
    pass(&journal, Duration::from_millis(1999));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    pass(&journal, Duration::from_millis(1));
    assert_eq!(
        verdict(&fence, &stored),
        Verdict::Untrusted,
        "even though it was checked"
    );

    journal.sync_takes.store(1_500_000_000, Ordering::Relaxed);
    fence.sync().await.expect("in process");
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    pass(&journal, Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    fence.invalidate(key(KEY), false).await.expect("appended");
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
}

#[tokio::test]
async fn another_max_lag_weighs_the_last_proof_anew() {
    let (fence, journal) = meddled().await;
    let stored = entry(&Capture {
        at: 0,
        ..fence.capture()
    });
    pass(&journal, Duration::from_millis(500));
    fence.set_max_lag(Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    fence.set_max_lag(Duration::from_millis(501));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);

    // Proofs to come are worth that much, too, as are own fills.
    pass(&journal, Duration::from_secs(1));
    fence.sync().await.expect("in process");
    let own = entry(&fence.capture());
    pass(&journal, Duration::from_millis(500));
    assert_eq!(verdict(&fence, &stored), Verdict::Usable);
    pass(&journal, Duration::from_millis(1));
    assert_eq!(verdict(&fence, &stored), Verdict::Untrusted);
    assert_eq!(verdict(&fence, &own), Verdict::Untrusted);
    fence.set_max_lag(Duration::from_secs(2));
    assert_eq!(verdict(&fence, &own), Verdict::Usable);

    // Where nothing was ever proved, there is nothing to weigh.
    let unproved = unreached(&journal);
    unproved.set_max_lag(Duration::from_secs(60));
    assert!(!unproved.trusted(unproved.clock.now()));
}

/// It does not wait for the next proof as long as the one before allowed.
#[tokio::test(start_paused = true)]
async fn a_shorter_max_lag_is_proved_more_often_at_once() {
    let journal = journal();
    let options = Options {
        max_lag: Duration::from_secs(4000),
        ..Options::default()
    };
    let clock = Arc::new(Clock::manual(Arc::clone(&journal.nanos)));
    let fence = Fence::new(Arc::clone(&journal) as _, clock, options);
    fence.start(None).await;
    let mut last = fence.proved_at();
    fence.set_max_lag(Duration::from_secs(4));
    for _ in 0..5 {
        pass(&journal, Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1) + Duration::from_millis(1)).await;
        assert!(fence.proved_at() > last, "a second later there is a proof");
        last = fence.proved_at();
    }
}

#[tokio::test]
async fn an_outage_is_no_stampede() {
    let (fence, journal) = meddled().await;
    pass(&journal, Duration::from_secs(60));
    let own = entry(&fence.capture());
    let copied = entry(&Capture {
        at: 0,
        ..fence.capture()
    });
    assert_eq!(
        verdict(&fence, &own),
        Verdict::Usable,
        "its own read is the proof"
    );
    assert_eq!(verdict(&fence, &copied), Verdict::Untrusted);
    pass(&journal, Duration::from_secs(2));
    assert_eq!(verdict(&fence, &own), Verdict::Untrusted);
}

#[tokio::test]
async fn before_the_journal_was_ever_reached_only_own_fills_are_used() {
    let journal = journal();
    let fence = unreached(&journal);
    let own = entry(&fence.capture());
    assert!(!own.position.is_known());
    assert_eq!(verdict(&fence, &own), Verdict::Usable);
    let mut copied = entry(&fence.capture());
    copied.local.captured = 0;
    assert_eq!(verdict(&fence, &copied), Verdict::Unusable);

    journal.lose_replies.store(true, Ordering::Relaxed);
    fence.invalidate(key(KEY), false).await.expect_err("lost");
    assert_eq!(verdict(&fence, &own), Verdict::Unusable);
    journal.lose_replies.store(false, Ordering::Relaxed);
    fence.sync().await.expect("in process");
    fence.drain().await.expect("delivered");
    assert_eq!(
        verdict(&fence, &own),
        Verdict::Unusable,
        "nobody can say what it missed"
    );
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// Rule 14: a declaration of another process blocks here, too.
#[tokio::test]
async fn a_declaration_elsewhere_makes_its_subjects_uncacheable_here() {
    let (fence, journal) = meddled().await;
    let stored = entry(&fence.capture());
    let (elsewhere, _) = process(&journal).await;
    let lease = Duration::from_secs(60);
    let declaration = elsewhere.open(key(KEY), lease).await.expect("declared");
    fence.sync().await.expect("in process");
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
    let during = entry(&fence.capture());
    assert_eq!(verdict(&fence, &during), Verdict::Unusable);
    declaration.close(Vec::new()).await.expect("closed");
    let records = journal
        .feed()
        .next(fence.position())
        .await
        .expect("in process");
    fence.feed(&records);
    assert_eq!(
        verdict(&fence, &during),
        Verdict::Unusable,
        "its read may be older than the write"
    );
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// Rule 15: after a retry nobody knows what the first attempt met.
#[tokio::test]
async fn a_write_through_that_was_sent_twice_is_not_stored() {
    let (fence, journal) = meddled().await;
    let hashes = subjects_of::<&str>(KEY, "", None, &[]);
    let target = Names {
        key: KEY,
        hashes: &hashes,
    };
    for again in [false, true] {
        let before = fence.capture();
        journal.wrong_epoch.store(again, Ordering::Relaxed);
        let at = fence
            .write_through(&before, key("another"), target)
            .await
            .expect("appended");
        assert_eq!(at.is_none(), again);
    }
    let before = fence.capture();
    journal.lose_replies.store(true, Ordering::Relaxed);
    fence
        .write_through(&before, key(KEY), target)
        .await
        .expect_err("lost");
}

#[tokio::test]
async fn a_write_through_from_before_the_floor_is_not_stored() {
    let (fence, journal) = meddled().await;
    let hashes = subjects_of::<&str>(KEY, "", None, &[]);
    let target = Names {
        key: KEY,
        hashes: &hashes,
    };
    for (above, stored) in [(0, true), (1, false)] {
        let before = fence.capture();
        journal
            .floor
            .store(before.position.n + above, Ordering::Relaxed);
        let at = fence
            .write_through(&before, key(KEY), target)
            .await
            .expect("appended");
        assert_eq!(at.is_some(), stored);
    }
}

const LEASE: Duration = Duration::from_secs(60);

/// Whether the journal holds a declaration that nobody is going to close.
async fn is_declared(journal: &Meddled) -> bool {
    let page = journal.sync(Position::UNKNOWN, 10).await;
    !page.expect("in process").open.is_empty()
}

/// It was closed, then opened again behind its closing, and stayed so until its lease had ended.
#[tokio::test]
async fn a_write_that_is_over_is_not_declared_to_a_new_epoch() {
    let (fence, journal) = meddled().await;
    let declaration = fence.open(key(KEY), LEASE).await.expect("declared");
    journal.lose_replies.store(true, Ordering::Relaxed);
    declaration.close(Vec::new()).await.expect_err("lost");
    journal.new_epoch();
    journal.lose_replies.store(false, Ordering::Relaxed);
    fence.sync().await.expect("in process");
    fence.drain().await.expect("in process");
    assert!(!is_declared(&journal).await);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// The same where the write ends while it is being declared once more.
#[tokio::test]
async fn a_declaration_that_arrives_after_its_closing_is_closed_again() {
    let (fence, journal) = meddled().await;
    let declaration = fence.open(key(KEY), LEASE).await.expect("declared");
    journal.new_epoch();
    fence.sync().await.expect("in process");
    declaration.close(Vec::new()).await.expect("closed");
    fence.drain().await.expect("in process");
    assert!(!is_declared(&journal).await);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// The journal had it all the same, until its lease ended.
#[tokio::test]
async fn a_declaration_whose_reply_was_lost_is_withdrawn() {
    let (fence, journal) = meddled().await;
    journal.lose_replies.store(true, Ordering::Relaxed);
    fence.open(key(KEY), LEASE).await.expect_err("lost");
    assert!(is_declared(&journal).await);
    journal.lose_replies.store(false, Ordering::Relaxed);
    fence.drain().await.expect("in process");
    assert!(!is_declared(&journal).await);
    assert_eq!(verdict(&fence, &entry(&fence.capture())), Verdict::Usable);
}

/// Who listened waited for the journal, while more and more came in.
#[tokio::test]
async fn what_other_programs_say_waits_for_no_journal() {
    let (fence, journal) = meddled().await;
    let stored = entry(&fence.capture());
    let before = journal.inner().head();
    fence.hear(&[Box::from(KEY.as_bytes())]);
    assert_eq!(journal.inner().head(), before, "it is queued");
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
    fence.drain().await.expect("in process");
    assert_eq!(journal.inner().head().n, before.n + 1);
    assert_eq!(verdict(&fence, &stored), Verdict::Unusable);
}
