//! The fence itself: position, trust and the check of an entry.

use std::{
    fmt,
    sync::{
        self, Arc, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, Notify, watch},
    task::AbortHandle,
};

use super::{
    metrics::FenceMetrics,
    mirror::Mirror,
    names::{Names, subjects_of},
    news::Subscription,
    pending::nanos,
    programs::Programs,
};
use crate::{
    clock::{Clock, Now},
    store::{
        contracts::journal::Journal, entry::Entry, memory::journal::MemoryJournal,
        position::Position,
    },
};

/// How the fence is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How long after the last proof of freshness stored responses are used, to begin with.
    pub(crate) max_lag: Duration,
    /// How long reads may lag behind writes; zero if they do not.
    pub(crate) settle: Duration,
    /// How many subjects are kept apart; older ones raise the floor.
    pub(crate) subjects: usize,
    /// How many undelivered appends are kept apart; more become "everything".
    pub(crate) pending: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(2),
            settle: Duration::ZERO,
            subjects: 1 << 20,
            pending: 1024,
        }
    }
}

/// What the fence says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Usable,
    /// Purged softly: to be treated as stale whatever its freshness.
    Stale,
    /// Nothing known makes it unusable, but what is known is too old: it may be used only where a
    /// stale response may be used on error.
    Untrusted,
    /// Never to be used again.
    Unusable,
}

/// Where a fill, or a read that a value is computed from, began (rule 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    /// The contiguous position; unknown before the journal has been reached for the first time.
    pub(crate) position: Position,
    /// The monotonic clock, for [`LocalState::captured`](crate::store::entry::LocalState::captured).
    pub(crate) at: u64,
}

/// One per keep. Checks take no lock while nothing has changed.
pub(crate) struct Fence {
    stamp: AtomicU64,
    /// On the monotonic clock; written under the lock on `proved_at`.
    trusted_until: AtomicU64,
    /// In nanoseconds; written under the lock on `proved_at`.
    max_lag: AtomicU64,
    /// When the last proof was asked for; 0 if there is none.
    proved_at: sync::Mutex<u64>,
    /// Wakes the task that proves: what it waits for may be too long by now.
    pub(super) hurry: Arc<Notify>,
    mirror: RwLock<Mirror>,
    pub(super) options: Options,
    pub(super) clock: Arc<Clock>,
    pub(super) journal: Arc<dyn Journal>,
    pub(super) metrics: FenceMetrics,
    /// One sync at a time.
    pub(super) syncing: Mutex<()>,
    /// Wakes the task that appends again; without that task, whoever queues something does it.
    pub(super) undelivered: Arc<Notify>,
    /// Whether own appends are undelivered.
    delivering: watch::Sender<bool>,
    pub(super) programs: Programs,
    tasks: OnceLock<Box<[AbortHandle]>>,
    pub(super) me: Weak<Self>,
}

impl Fence {
    /// The fence of a keep that lives in one process: it needs no task and is always trusted.
    pub(crate) fn in_process(clock: Arc<Clock>, options: Options) -> Arc<Self> {
        let journal = MemoryJournal::new();
        let head = journal.head();
        Self::build(Arc::new(journal), head, u64::MAX, clock, options) // needs no proof
    }

    /// A fence that knows nothing yet; [`start`](Self::start) makes it follow the journal.
    pub(crate) fn new(journal: Arc<dyn Journal>, clock: Arc<Clock>, options: Options) -> Arc<Self> {
        Self::build(journal, Position::UNKNOWN, 0, clock, options)
    }

    fn build(
        journal: Arc<dyn Journal>,
        at: Position,
        proved_at: u64,
        clock: Arc<Clock>,
        options: Options,
    ) -> Arc<Self> {
        let mirror = Mirror::new(at, &options);
        let metrics = FenceMetrics::register();
        metrics.observe_trust(Duration::ZERO, proved_at > 0);
        Arc::new_cyclic(|me| Self {
            stamp: AtomicU64::new(mirror.revision()),
            // Without a proof 0, and with that of one process alone no end.
            trusted_until: AtomicU64::new(proved_at),
            max_lag: AtomicU64::new(nanos(options.max_lag)),
            proved_at: sync::Mutex::new(proved_at),
            hurry: Arc::default(),
            mirror: RwLock::new(mirror),
            options,
            clock,
            journal,
            metrics,
            syncing: Mutex::new(()),
            undelivered: Arc::default(),
            delivering: watch::Sender::default(),
            programs: Programs::default(),
            tasks: OnceLock::new(),
            me: Weak::clone(me),
        })
    }

    /// To be taken before the inner service is called.
    pub(crate) fn capture(&self) -> Capture {
        Capture {
            at: self.clock.mono(),
            position: self.position(),
        }
    }

    /// Every record up to here has been applied.
    pub(crate) fn position(&self) -> Position {
        self.read(Mirror::position)
    }

    /// Changes whenever a verdict could.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// Whether stored responses may be used at all (rule 12).
    pub(crate) fn trusted(&self, now: Now) -> bool {
        now.mono < self.trusted_until.load(Ordering::Acquire)
    }

    /// Whether this is our own fill and so young that its own request proves it: without the
    /// journal, fills are still shared for that long.
    pub(crate) fn is_young_fill(&self, entry: &Entry, now: Now) -> bool {
        let captured = entry.local.captured;
        captured != 0 && now.mono < captured.saturating_add(self.max_lag.load(Ordering::Acquire))
    }

    /// May the entry be used now? `key` is its key without variations.
    ///
    /// To be asked at every use: both tiers, followers, stale answers. `now` must have been read for
    /// this request. While nothing has changed since the entry was last checked: two loads.
    pub(crate) fn check(&self, entry: &Entry, key: &str, now: Now) -> Verdict {
        self.check_named(entry, || key, now)
    }

    /// The same for a key that is asked for only where something has changed.
    #[inline]
    pub(crate) fn check_named<'k>(
        &self,
        entry: &Entry,
        key: impl FnOnce() -> &'k str,
        now: Now,
    ) -> Verdict {
        // Trust is read before the stamp: whoever sees a new proof sees what it proved.
        let trusted = self.trusted(now);
        if trusted && entry.local.checked.load(Ordering::Relaxed) == self.stamp() {
            return Verdict::Usable;
        }
        self.look(entry, key, trusted || self.is_young_fill(entry, now))
    }

    #[cold]
    fn look<'k>(&self, entry: &Entry, key: impl FnOnce() -> &'k str, proved: bool) -> Verdict {
        // Before the look: what changes in between is looked for again.
        let stamp = self.stamp();
        let verdict = self
            .read(|mirror| mirror.verdict_on_all(entry.position))
            .unwrap_or_else(|| self.look_for_names(entry, key()));
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

    /// The names of what has been checked before are kept: most of what the store gives is used once.
    #[cold]
    fn look_for_names(&self, entry: &Entry, key: &str) -> Verdict {
        let subjects = || subjects_of(key, &entry.entity, entry.user.as_deref(), &entry.tags);
        let look = |hashes: &[u64]| {
            self.read(|mirror| mirror.verdict(entry.position, Names { key, hashes }))
        };
        if entry.local.checked.load(Ordering::Relaxed) == 0 {
            return look(&subjects());
        }
        look(
            entry
                .local
                .subjects
                .get_or_init(|| subjects().as_slice().into()),
        )
    }

    /// Whether a fill may be stored under these names: it is usable as things stand, and its read
    /// did not follow an invalidation of them so closely that it may have lagged behind (`settle`).
    pub(crate) fn may_store(&self, capture: &Capture, names: Names<'_>) -> bool {
        self.read(|mirror| {
            mirror.verdict(capture.position, names) == Verdict::Usable
                && !mirror.disturbs(capture.at, names)
        })
    }

    /// The run-time version of an entity's keys, 0 for none: a cell that follows the journal.
    ///
    /// No two epochs give the same version. Where the journal has lost one, what was stored under
    /// any version is of another epoch and unusable.
    pub(crate) fn version(&self, entity: &str) -> Arc<AtomicU64> {
        self.read(|mirror| mirror.known_version(entity))
            .unwrap_or_else(|| self.change(|mirror| mirror.version(entity)))
    }

    /// Invalidations as they are applied, for the application's own caches.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.read(|mirror| mirror.news.subscribe())
    }

    /// Everything up to what was asked for at `sent` has been applied.
    pub(super) fn prove(&self, sent: u64) {
        self.weigh_proof(|proved_at| *proved_at = sent.max(*proved_at));
    }

    /// From now on stored responses are used for so long after the last proof, which stays what it
    /// is.
    pub(crate) fn set_max_lag(&self, max_lag: Duration) {
        self.weigh_proof(|_| self.max_lag.store(nanos(max_lag), Ordering::Release));
        self.hurry.notify_one();
    }

    /// Changes the proof, or what it is worth.
    fn weigh_proof(&self, change: impl FnOnce(&mut u64)) {
        let mut proved_at = self.proof();
        change(&mut proved_at);
        if *proved_at > 0 {
            let until = proved_at.saturating_add(self.max_lag.load(Ordering::Acquire));
            self.trusted_until.store(until, Ordering::Release);
        }
    }

    /// When the last proof was asked for; 0 if there is none.
    pub(super) fn proved_at(&self) -> u64 {
        *self.proof()
    }

    fn proof(&self) -> sync::MutexGuard<'_, u64> {
        self.proved_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long after one proof of freshness the next is asked for: one may fail, or two.
    pub(super) fn pace(&self) -> Duration {
        let max_lag = Duration::from_nanos(self.max_lag.load(Ordering::Acquire));
        (max_lag / 4).max(Duration::from_millis(1))
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&Mirror) -> R) -> R {
        look(&self.mirror.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The stamp changes before the lock is given back: a verdict is never older than its stamp.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Mirror) -> R) -> R {
        let mut mirror = self.mirror.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut mirror);
        self.stamp.store(mirror.revision(), Ordering::Release);
        self.metrics.observe(&mirror);
        let undelivered = mirror.pending() > 0;
        self.delivering
            .send_if_modified(|was| std::mem::replace(was, undelivered) != undelivered);
        result
    }

    /// Waits until all own appends have been delivered, and other programs told.
    pub(crate) async fn flush(&self) {
        // It holds the sender.
        let _ = self.delivering.subscribe().wait_for(|busy| !busy).await;
        self.programs.told().await;
    }

    pub(super) fn own_tasks(&self, tasks: Box<[AbortHandle]>) {
        if let Err(surplus) = self.tasks.set(tasks) {
            surplus.iter().for_each(AbortHandle::abort);
        }
    }

    pub(super) fn has_tasks(&self) -> bool {
        self.tasks.get().is_some()
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        for task in self.tasks.get().into_iter().flatten() {
            task.abort();
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("position", &self.position())
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}
