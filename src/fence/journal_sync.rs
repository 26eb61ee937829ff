//! Reading the journal's state, which proves that no record has been missed.

use std::{mem, sync::Arc, time::Duration};

use tokio::sync::{Mutex, Notify};

use super::{
    mirror::{Mirror, new_epoch_state::NewEpochState},
    shared_mirror::SharedMirror,
    trust::Trust,
};
use crate::{
    clock::Clock,
    error::Error,
    store::{
        contracts::journal::{EpochCause, Journal, StatePage},
        position::Position,
    },
};

/// The mirror, the journal that it follows, and the trust in it.
pub(super) struct JournalSync {
    pub(super) mirror: SharedMirror,
    pub(super) trust: Trust,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) clock: Arc<Clock>,
    /// Wakes the task that delivers queued appends.
    pub(super) wake_delivery: Arc<Notify>,
    /// Ends the wait for the next proof when `max_lag` changes.
    pub(super) max_lag_changed: Arc<Notify>,
    /// Locked during a sync.
    pub(super) sync_lock: Mutex<()>,
}

impl JournalSync {
    pub(super) fn new(
        mirror: Mirror,
        trust: Trust,
        journal: Arc<dyn Journal>,
        clock: Arc<Clock>,
    ) -> Self {
        let mirror = SharedMirror::new(mirror);
        mirror.metrics.observe_trust(Duration::ZERO, false);
        Self {
            mirror,
            trust,
            journal,
            clock,
            wake_delivery: Arc::default(),
            max_lag_changed: Arc::default(),
            sync_lock: Mutex::default(),
        }
    }

    /// Applies what the journal's state has after the mirror's position, or all of it after a new epoch.
    /// After a success, entries are trusted for `max_lag` from the time at which the last page was
    /// requested (rule 12).
    ///
    /// # Errors
    ///
    /// If the journal does not answer. The last proof stays valid until it is too old.
    pub(super) async fn sync(&self) -> Result<(), Error> {
        let _syncing = self.sync_lock.lock().await;
        self.sync_alone().await
    }

    /// [`sync`](Self::sync), unless the record at `position` has been applied by the time that no other
    /// sync is running.
    pub(super) async fn sync_up_to(&self, position: Position) -> Result<(), Error> {
        let _syncing = self.sync_lock.lock().await;
        if !self.mirror.position().is_before(position) {
            return Ok(());
        }
        self.sync_alone().await
    }

    /// Call it with `running` locked.
    async fn sync_alone(&self) -> Result<(), Error> {
        let outcome = self.read_pages().await;
        if outcome.is_err() {
            self.mirror.metrics.sync_failures.increment(1);
        }
        self.observe_trust();
        outcome
    }

    async fn read_pages(&self) -> Result<(), Error> {
        let mut from = self.mirror.position();
        let mut new_epoch = NewEpochState::default();
        for _ in 0..MAX_PAGES {
            let sent = self.clock.mono();
            let page = self.journal.sync(from, PAGE).await?;
            self.set_wall_clock(sent, &page);
            if page.head.epoch != from.epoch {
                new_epoch = NewEpochState::default();
            }
            self.apply_page(&mut new_epoch, &page);
            match page.next {
                Some(n) => from = Position { n, ..page.head },
                None => {
                    self.trust.prove(sent);
                    return Ok(());
                }
            }
        }
        Err(Error::unavailable(
            "the journal's state has too many pages to be read",
        ))
    }

    /// Applies a page of the state. Only here does the mirror change its epoch.
    fn apply_page(&self, new_epoch: &mut NewEpochState, page: &StatePage) {
        let epoch = page.head.epoch;
        if epoch == self.mirror.position().epoch {
            self.mirror.change(|mirror| mirror.merge(page));
            return;
        }
        new_epoch.merge(page);
        if page.next.is_some() {
            return;
        }
        let is_first = !self.mirror.position().is_known();
        let cause = (!is_first).then_some(page.cause);
        self.mirror.metrics.count_epoch(cause);
        match cause {
            Some(EpochCause::Damaged) => tracing::warn!(
                epoch,
                "the journal was damaged, perhaps by another program, and begins a new epoch: \
                 entries stored before are unusable"
            ),
            _ => tracing::info!(
                epoch,
                head = page.head.n,
                cause = cause.map(EpochCause::as_str),
                "the journal has a new epoch: entries stored before are unusable"
            ),
        }
        let now = self.clock.mono();
        self.mirror
            .change(|mirror| mirror.adopt(mem::take(new_epoch), page, now));
        self.wake_delivery.notify_one();
    }

    /// Sets the wall clock: the page's time counts as the middle between request and reply.
    fn set_wall_clock(&self, sent: u64, page: &StatePage) {
        if let Some(time) = page.time {
            let received = self.clock.mono();
            self.clock
                .set_wall(sent + received.saturating_sub(sent) / 2, time);
        }
    }

    pub(super) fn observe_trust(&self) {
        let now = self.clock.mono();
        let metrics = &self.mirror.metrics;
        metrics.observe_trust(self.trust.lag(now), self.trust.holds(now));
    }
}

/// The number of targets in a page.
const PAGE: usize = 2048;

/// More pages than the cap on targets allows.
const MAX_PAGES: usize = 1 << 16;
