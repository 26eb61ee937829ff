//! The fence: checks entries, and appends this process's invalidations.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{task::AbortHandle, time::Instant};

use super::{
    appender::Appender,
    capture::Capture,
    config::{self, FenceConfig},
    declaration::Declaration,
    entry_names::{EntryNames, target_hashes},
    journal_sync::JournalSync,
    mirror::{Mirror, own_record::OwnRecord},
    shared_mirror::SharedMirror,
    subscription::Subscription,
    tasks,
    trust::Trust,
    verdict::Verdict,
};
use crate::{
    clock::{Clock, Now},
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::{
            channel::Channel,
            journal::{Journal, JournalLimits, MAX_PURGES},
        },
        entry::Entry,
        memory::journal::MemoryJournal,
        position::Position,
    },
};

/// Decides which entries may be used, and appends this process's invalidations to the journal.
///
/// A check takes no lock while the mirror has not changed.
pub(crate) struct Fence {
    pub(super) appender: Arc<Appender>,
}

impl Fence {
    /// The fence of a keep in a single process: it is always trusted and needs no task.
    pub(crate) fn in_process(clock: Arc<Clock>, config: FenceConfig) -> Arc<Self> {
        let journal = MemoryJournal::new();
        let head = journal.head();
        let fence = Self::build(Arc::new(journal), head, clock, config);
        let state = fence.sync_state();
        state.trust.prove(u64::MAX);
        state.observe_trust();
        fence
    }

    /// A fence that has not read the journal yet; [`start`](Self::start) makes it follow the journal.
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        clock: Arc<Clock>,
        config: FenceConfig,
    ) -> Arc<Self> {
        Self::build(journal, Position::UNKNOWN, clock, config)
    }

    fn build(
        journal: Arc<dyn Journal>,
        position: Position,
        clock: Arc<Clock>,
        config: FenceConfig,
    ) -> Arc<Self> {
        let mirror = Mirror::new(position, &config);
        let sync = JournalSync::new(mirror, Trust::new(config.max_lag), journal, clock);
        let appender = Appender {
            sync,
            pubsub: Arc::default(),
            tasks: OnceLock::new(),
        };
        Arc::new(Self {
            appender: Arc::new(appender),
        })
    }

    /// Follows the journal, and the channel of other programs, until the fence is dropped. Returns
    /// after the first attempt to read the journal. If that fails, no stored entry is used until the
    /// journal can be read.
    pub(crate) async fn start(&self, channel: Option<Arc<dyn Channel>>) {
        if let Err(error) = self.sync().await {
            tracing::warn!(
                %error,
                "journal unavailable: stored responses are not used until it can be read"
            );
        }
        self.set_tasks(tasks::spawn(&self.appender, channel));
        self.appender.wake();
    }

    /// Takes the position and the time; call it before the inner service (rule 1).
    pub(crate) fn capture(&self) -> Capture {
        Capture {
            at: self.sync_state().clock.mono(),
            position: self.position(),
        }
    }

    /// The contiguous position: every record up to it has been applied.
    pub(crate) fn position(&self) -> Position {
        self.mirror().position()
    }

    /// Whether an entry of this position was filled after records that have not been applied here.
    pub(crate) fn is_behind(&self, position: Position) -> bool {
        self.position().is_before(position)
    }

    /// Applies the journal's state, unless this process is no longer [behind](Self::is_behind)
    /// `position` when the sync would begin.
    ///
    /// # Errors
    ///
    /// If the journal does not answer.
    pub(crate) async fn catch_up(&self, position: Position) -> Result<(), Error> {
        self.sync_state().sync_up_to(position).await
    }

    /// Whether stored responses may be used at all (rule 12).
    pub(crate) fn is_trusted(&self, now: Now) -> bool {
        self.sync_state().trust.holds(now.mono)
    }

    /// Whether this process filled the entry less than `max_lag` ago. Such an entry may be shared even
    /// while the journal cannot be read.
    pub(crate) fn is_young_fill(&self, entry: &Entry, now: Now) -> bool {
        let trust = &self.sync_state().trust;
        trust.covers(entry.local.captured, now.mono)
    }

    /// Whether the entry may be used; `key` is its key without variations.
    ///
    /// Call it at every use: for entries of both tiers, for followers and for stale responses.
    /// `now` must have been read for this request.
    pub(crate) fn check(&self, entry: &Entry, key: &str, now: Now) -> Verdict {
        self.check_with(entry, || key, now)
    }

    /// [`check`](Self::check) with a function for the key, which is called only if the mirror has
    /// changed since the entry's last check.
    #[inline]
    pub(crate) fn check_with<'k>(
        &self,
        entry: &Entry,
        key: impl FnOnce() -> &'k str,
        now: Now,
    ) -> Verdict {
        // Trust is loaded before the stamp, so that a new proof is seen together with the records
        // that it proved.
        let trusted = self.is_trusted(now);
        if trusted && entry.local.checked.load(Ordering::Relaxed) == self.mirror().stamp() {
            return Verdict::Usable;
        }
        self.check_mirror(entry, key, trusted || self.is_young_fill(entry, now))
    }

    #[cold]
    fn check_mirror<'k>(
        &self,
        entry: &Entry,
        key: impl FnOnce() -> &'k str,
        proved: bool,
    ) -> Verdict {
        // Loaded before the mirror is read, so that a change in between leads to another check.
        let stamp = self.mirror().stamp();
        let verdict = self
            .mirror()
            .read(|mirror| mirror.verdict_without_names(entry.position))
            .unwrap_or_else(|| self.check_names(entry, key()));
        if verdict == Verdict::Usable {
            entry.local.checked.store(stamp, Ordering::Relaxed);
        }
        match verdict {
            Verdict::Unusable => verdict,
            _ if proved => verdict,
            _ if entry.position.is_known() => Verdict::Untrusted,
            _ => Verdict::Unusable,
        }
    }

    #[cold]
    fn check_names(&self, entry: &Entry, key: &str) -> Verdict {
        let hashes = || target_hashes(key, &entry.entity, entry.user.as_deref(), &entry.tags);
        let verdict = |hashes: &[u64]| {
            let names = EntryNames { key, hashes };
            self.mirror()
                .read(|mirror| mirror.verdict(entry.position, names))
        };
        // The hashes are kept from the second check on: most entries from the store are used once.
        if entry.local.checked.load(Ordering::Relaxed) == 0 {
            return verdict(&hashes());
        }
        let kept = &entry.local.targets;
        verdict(kept.get_or_init(|| hashes().as_slice().into()))
    }

    /// Whether a fill may be stored under these names.
    pub(crate) fn may_store(&self, capture: &Capture, names: EntryNames<'_>) -> bool {
        self.mirror()
            .read(|mirror| mirror.verdict(capture.position, names) == Verdict::Usable)
    }

    /// The run-time version of an entity's keys, 0 for none. The returned cell is updated from the
    /// journal.
    ///
    /// No two epochs give the same version. If the journal has lost a version, the entries stored under
    /// it are of another epoch, and unusable.
    pub(crate) fn version(&self, entity: &str) -> Arc<AtomicU64> {
        self.mirror()
            .read(|mirror| mirror.versions.known_cell(entity))
            .unwrap_or_else(|| self.mirror().change(|mirror| mirror.versions.cell(entity)))
    }

    /// Subscribes to the invalidations that are applied from now on, for the application's own caches.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.mirror().read(|mirror| mirror.events.subscribe())
    }

    /// Changes how long stored responses are used after a proof of freshness, the last one included.
    pub(crate) fn set_max_lag(&self, max_lag: Duration) {
        self.sync_state().trust.set_max_lag(max_lag);
        self.sync_state().max_lag_changed.notify_one();
    }

    /// Changes how much memory the journal may take, and this process's copy of it.
    pub(crate) fn set_journal_limits(&self, limits: JournalLimits) {
        self.sync_state().journal.set_limits(limits);
        let max_targets = config::max_targets(limits);
        self.mirror()
            .change(|mirror| mirror.set_max_targets(max_targets));
    }

    /// Appends an invalidation and applies it here. From the first poll until it has been applied, this
    /// process neither uses nor stores the entries that it names.
    ///
    /// # Errors
    ///
    /// If the journal has not taken it, or the reply was lost. It is then queued and appended again
    /// until it has been applied; the caller need not do anything.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the invalidation is queued.
    pub(crate) async fn invalidate(
        &self,
        targets: Vec<PurgeTarget>,
        soft: bool,
    ) -> Result<Position, Error> {
        self.purge(&Purge::of(targets, soft)).await
    }

    /// Queues an invalidation without waiting. This process stops using and storing the entries that it
    /// names at once.
    pub(crate) fn invalidate_later(&self, targets: Vec<PurgeTarget>, soft: bool) {
        self.purge_later(&Purge::of(targets, soft));
    }

    /// [`invalidate`](Self::invalidate) for hard and soft purges together.
    pub(crate) async fn purge(&self, purges: &[Purge]) -> Result<Position, Error> {
        self.appender.purge(purges).await
    }

    /// [`invalidate_later`](Self::invalidate_later) for hard and soft purges together.
    pub(crate) fn purge_later(&self, purges: &[Purge]) {
        self.appender.queue(purges);
    }

    /// Appends the invalidation of a write that began at `before` and whose response is to be
    /// stored under the names `entry`. Returns the position to store the entry at, or `None` if
    /// another write of it may have happened since `before`, so that nothing may be stored (rule
    /// 15).
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate). In this case, nothing may be stored.
    pub(crate) async fn write_through(
        &self,
        before: &Capture,
        targets: Vec<PurgeTarget>,
        entry: EntryNames<'_>,
    ) -> Result<Option<Position>, Error> {
        let purges = Purge::of(targets, false);
        if purges.len() > MAX_PURGES {
            return self.purge(&purges).await.map(|_| None);
        }
        let append = self.appender.begin(OwnRecord::invalidation(purges.into()));
        append.deliver_through(before.position, entry).await
    }

    /// Declares a write. Until it is closed or `lease` has passed, no process uses or stores the entries
    /// that it names; then they are invalidated. The lease must exceed the longest possible write.
    ///
    /// # Errors
    ///
    /// If the journal has not taken the declaration. The write is not declared.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the declaration is withdrawn.
    pub(crate) async fn declare(
        &self,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Declaration, Error> {
        self.declare_as(Declaration::random_token(), targets, lease)
            .await
    }

    /// [`declare`](Self::declare) under a token that no other declaration has.
    pub(crate) async fn declare_as(
        &self,
        token: u64,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Declaration, Error> {
        Declaration::open(&self.appender, token, targets, lease).await
    }

    /// [`invalidate`](Self::invalidate) with one hard record, which is appended again after each
    /// failure until the time `until`. More than [`MAX_PURGES`] targets become a purge of everything.
    ///
    /// # Errors
    ///
    /// If the journal has not answered by then. The invalidation is queued.
    pub(crate) async fn invalidate_by(
        &self,
        targets: Vec<PurgeTarget>,
        until: Instant,
    ) -> Result<Position, Error> {
        let mut purges = Purge::of(targets, false);
        if purges.len() > MAX_PURGES {
            purges = vec![Purge::hard(PurgeTarget::Everything)];
        }
        let append = self.appender.begin(OwnRecord::invalidation(purges.into()));
        append.deliver_by(until).await
    }

    /// Applies the journal's whole state, which proves freshness (rule 12).
    ///
    /// # Errors
    ///
    /// If the journal does not answer.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        self.sync_state().sync().await
    }

    /// Waits until all own appends have been applied, and published to other programs.
    pub(crate) async fn flush(&self) {
        self.mirror().wait_until_delivered().await;
        self.appender.pubsub.wait_until_published().await;
    }

    pub(super) fn set_tasks(&self, tasks: Box<[AbortHandle]>) {
        if let Err(surplus) = self.appender.tasks.set(tasks) {
            surplus.iter().for_each(AbortHandle::abort);
        }
    }

    pub(super) fn sync_state(&self) -> &JournalSync {
        &self.appender.sync
    }

    pub(super) fn mirror(&self) -> &SharedMirror {
        &self.appender.sync.mirror
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        for task in self.appender.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("position", &self.position())
            .field("journal", &self.sync_state().journal)
            .finish_non_exhaustive()
    }
}
