//! The proof of freshness: the journal's state, merged.

use std::time::Duration;

use super::{check::Fence, mirror::Staged};
use crate::{
    error::Error,
    store::{contracts::journal::StatePage, position::Position},
};

impl Fence {
    /// Applies everything that the journal knows. What was stored is trusted for `max_lag` from the
    /// moment that the last page was asked for.
    ///
    /// # Errors
    ///
    /// The journal did not answer: trust ends when the last proof is too old.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        let _alone = self.syncing.lock().await;
        let outcome = self.pages().await;
        if outcome.is_err() {
            self.metrics.sync_failures.increment(1);
        }
        self.observe_trust();
        outcome
    }

    async fn pages(&self) -> Result<(), Error> {
        let mut from = self.position();
        let mut staged: Option<Staged> = None;
        for _ in 0..MAX_PAGES {
            let sent = self.clock.mono();
            let page = self.journal.sync(from, PAGE).await?;
            self.follow_wall_clock(sent, &page);
            self.take(&mut staged, &page);
            match page.next {
                Some(n) => from = Position { n, ..page.head },
                None => {
                    self.prove(sent);
                    return Ok(());
                }
            }
        }
        Err(Error::unavailable("the journal's state has no end"))
    }

    /// Only here does the mirror change its epoch.
    fn take(&self, staged: &mut Option<Staged>, page: &StatePage) {
        let now = self.clock.mono();
        let epoch = page.head.epoch;
        if epoch == self.position().epoch {
            *staged = None;
            self.change(|mirror| mirror.merge(page, now));
            return;
        }
        let mut state = staged
            .take()
            .filter(|state| state.epoch() == epoch)
            .unwrap_or_else(|| Staged::new(epoch));
        state.merge(page);
        if page.next.is_some() {
            *staged = Some(state);
            return;
        }
        self.metrics.epochs.increment(1);
        tracing::info!(
            epoch,
            head = page.head.n,
            "following a new epoch of the journal"
        );
        self.change(|mirror| mirror.adopt(state, page, now));
        self.kick();
    }

    /// The journal's time is taken to be that of the middle between request and reply.
    fn follow_wall_clock(&self, sent: u64, page: &StatePage) {
        if let Some(time) = page.time {
            let received = self.clock.mono();
            self.clock
                .set_wall(sent + received.saturating_sub(sent) / 2, time);
        }
    }

    fn observe_trust(&self) {
        let now = self.clock.now();
        let lag = Duration::from_nanos(now.mono.saturating_sub(self.proved_at()));
        self.metrics.observe_trust(lag, self.trusted(now));
    }
}

/// Subjects a page.
const PAGE: usize = 2048;

/// More than any state that the cap on subjects allows.
const MAX_PAGES: usize = 1 << 16;
