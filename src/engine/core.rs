//! The state of a keep, shared by all its clones and layers.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::{Extensions, Uri, request};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{
    acceptance::state::AcceptanceState,
    expiring_set::ExpiringSet,
    fill::Fill,
    known_tag_fields::KnownTagFields,
    limiter::Limiter,
    local_tier::LocalTier,
    pattern_removal::PatternRemovals,
    queue_metrics::QueueMetrics,
    reported_names::ReportedNames,
    request_extractors::RequestExtractors,
    search_variances::SearchVariances,
    single_flight::SingleFlight,
    snapshot::{self, Snapshot},
    tiers::Tiers,
    write_reports::WriteReports,
};
#[cfg(feature = "redis")]
use crate::store::redis::{
    RedisEntries, RedisStore,
    journal::{RedisChannel, RedisJournal},
    limits::RedisLimits,
    queue::RedisQueue,
};
use crate::{
    clock::Clock,
    error::{Error, ignore_poison},
    fence::{
        capture::Capture,
        config::FenceConfig,
        core::Fence,
        declaration::Declaration,
        entry_names::{EntryNames, target_hashes},
    },
    identity::{self, User},
    key::{
        KeyBuf,
        purge::{Purge, PurgeTarget},
    },
    message::{buffer_budget::BufferBudget, client_request::ClientRequest, target::Target},
    metrics::CacheMetrics,
    store::{
        contracts::{
            entries::Entries, journal::JournalLimits, limits::Limits, plain::Plain, queue::Queue,
        },
        entry::Entry,
        memory::queue::MemoryQueue,
        read_bounds::ReadBounds,
    },
    table::{Plan, Table},
};

/// The maximum number of refreshes that run at the same time in one process.
const MAX_REFRESHES: usize = 64;

/// The parts of the shared store; none in a single process.
#[derive(Default)]
struct StoreParts {
    entries: Option<Arc<dyn Entries>>,
    plain: Option<Arc<dyn Plain>>,
    limits: Option<Arc<dyn Limits>>,
    queue: Option<Arc<dyn Queue>>,
    bounds: Arc<ReadBounds>,
}

/// The state that all clones of a keep share.
pub(crate) struct Engine {
    /// The table in use. A request loads it once.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Locked while a table is replaced.
    reloading: Mutex<()>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) tiers: Arc<Tiers>,
    /// The bounds of entries from the store, which change with the table.
    read_bounds: Arc<ReadBounds>,
    /// Responses being fetched, by full key.
    pub(crate) fills: Arc<SingleFlight<Arc<Fill>>>,
    /// Application values being computed, by full key.
    pub(crate) values: Arc<SingleFlight<Arc<Entry>>>,
    /// The memory for bodies that are being read (`[local] fill_buffer`).
    pub(crate) buffers: Arc<BufferBudget>,
    pub(crate) removals: PatternRemovals,
    /// Hit-for-miss: keys whose last response others could not use without validating it, so their requests
    /// do not wait for each other.
    pub(crate) hit_for_miss: ExpiringSet,
    /// Keys of unlisted paths whose last response could be shared: their requests wait for each other.
    pub(crate) shareable: ExpiringSet,
    /// Keys for which the inner service has just failed while a stale response is served.
    pub(crate) origin_backoff: ExpiringSet,
    pub(crate) search_variances: SearchVariances,
    /// Limits the number of background refreshes and of a warm-up's requests.
    pub(crate) refreshes: Arc<Semaphore>,
    /// The writes in progress. Always closed, so that `wait` returns when there are none.
    pub(crate) writes: TaskTracker,
    pub(crate) write_reports: WriteReports,
    pub(crate) acceptance: AcceptanceState,
    /// Writes that were accepted and are applied later.
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) limiter: Limiter,
    pub(crate) extractors: RequestExtractors,
    pub(crate) tag_fields: KnownTagFields,
    pub(crate) metrics: CacheMetrics,
    pub(crate) queue_metrics: QueueMetrics,
    /// The paths of routes with a response that lacks the value of a tag.
    pub(crate) untagged_routes: ReportedNames,
    /// Whether a misplaced layer has been logged.
    has_warned_of_misuse: AtomicBool,
}

impl Engine {
    /// An engine without a store, whose only tier is the local one.
    pub(crate) fn in_process(plan: Plan, clock: Clock) -> Arc<Self> {
        let clock = Arc::new(clock);
        let options = FenceConfig::new(plan.max_lag, journal_limits(&plan));
        let fence = Fence::in_process(Arc::clone(&clock), options);
        Self::assemble(plan, clock, fence, StoreParts::default())
    }

    /// An engine without a store, whose fence follows a test's journal.
    #[cfg(test)]
    pub(crate) fn with_fence(plan: Plan, clock: Arc<Clock>, fence: Arc<Fence>) -> Arc<Self> {
        Self::assemble(plan, clock, fence, StoreParts::default())
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn on_redis(plan: Plan, store: &RedisStore) -> Arc<Self> {
        let clock = Arc::new(Clock::boot());
        let client = store.client(plan.deadline);
        let limits = journal_limits(&plan);
        let options = FenceConfig::new(plan.max_lag, limits);
        let namespace = &plan.namespace;
        let journal = RedisJournal::new(client.clone(), namespace, limits);
        let fence = Fence::new(Arc::new(journal), Arc::clone(&clock), options);
        let channel = RedisChannel::new(client.clone(), namespace);
        fence.start(Some(Arc::new(channel))).await;
        let limits = Arc::new(RedisLimits::new(client.clone(), namespace));
        let queue = Arc::new(RedisQueue::new(client.clone(), namespace));
        let bounds = Arc::new(ReadBounds::new(&plan));
        let entries = RedisEntries::new(client, namespace, Arc::clone(&clock), Arc::clone(&bounds));
        let entries = Arc::new(entries);
        let store = StoreParts {
            plain: Some(Arc::clone(&entries) as _),
            entries: Some(entries),
            limits: Some(limits),
            queue: Some(queue),
            bounds,
        };
        Self::assemble(plan, clock, fence, store)
    }

    fn assemble(plan: Plan, clock: Arc<Clock>, fence: Arc<Fence>, store: StoreParts) -> Arc<Self> {
        let metrics = CacheMetrics::register();
        let tiers = Tiers {
            local: LocalTier::new(plan.local_size),
            store: store.entries,
            plain: store.plain,
            clock: Arc::clone(&clock),
            fence: Arc::clone(&fence),
            metrics: metrics.clone(),
            stored: AtomicU64::new(0),
        };
        let buffers = BufferBudget::new(plan.fill_buffer);
        let limiter = Limiter::new(Arc::clone(&clock), store.limits);
        let snapshot = Snapshot::new(plan, &fence);
        limiter.register(snapshot.plan.limits());
        let writes = TaskTracker::new();
        writes.close();
        let queue = store.queue;
        let queue = queue.unwrap_or_else(|| Arc::new(MemoryQueue::new(Arc::clone(&clock))));
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            reloading: Mutex::default(),
            clock,
            fence,
            tiers: Arc::new(tiers),
            read_bounds: store.bounds,
            fills: SingleFlight::new(),
            values: SingleFlight::new(),
            buffers,
            removals: PatternRemovals::new(),
            hit_for_miss: ExpiringSet::new(),
            shareable: ExpiringSet::new(),
            origin_backoff: ExpiringSet::new(),
            search_variances: SearchVariances::new(),
            refreshes: Arc::new(Semaphore::new(MAX_REFRESHES)),
            writes,
            write_reports: WriteReports::register(),
            acceptance: AcceptanceState::default(),
            queue,
            limiter,
            extractors: RequestExtractors::default(),
            tag_fields: KnownTagFields::default(),
            metrics,
            queue_metrics: QueueMetrics::register(),
            untagged_routes: ReportedNames::default(),
            has_warned_of_misuse: AtomicBool::new(false),
        })
    }

    pub(crate) fn reload(&self, table: &Table) -> Result<(), Error> {
        let plan = snapshot::compile(table)?;
        let _reloading = ignore_poison(self.reloading.lock());
        let current = self.snapshot.load();
        let next = Snapshot::new(plan, &self.fence);
        if next.plan.namespace != current.plan.namespace {
            return Err(Error::config(format!(
                "the namespace cannot change while the keep is in use; write {:?}, or make a new keep",
                current.plan.namespace
            )));
        }
        self.tiers.local.resize(next.plan.local_size);
        self.read_bounds.set(&next.plan);
        self.buffers.resize(next.plan.fill_buffer);
        self.limiter.register(next.plan.limits());
        self.fence.set_max_lag(next.plan.max_lag);
        self.fence.set_journal_limits(journal_limits(&next.plan));
        self.snapshot.store(Arc::new(next));
        self.acceptance.check_again();
        Ok(())
    }

    /// Whether other processes may share the store.
    pub(crate) fn is_shared(&self) -> bool {
        self.tiers.store.is_some()
    }

    /// An id that no other live engine has; never 0.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Counts a request whose layers are wrong, because one is missing or applied twice, and logs the
    /// first one.
    pub(crate) fn report_misuse(&self, message: impl fmt::Display) {
        self.metrics.misuse.increment(1);
        if !self.has_warned_of_misuse.swap(true, Ordering::Relaxed) {
            tracing::warn!("{message}");
        }
    }

    /// The URI as received, before a router removed a prefix.
    #[inline]
    pub(crate) fn uri<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
        self.extractors.uri(uri, extensions)
    }

    /// The target of a request, by the URI as received.
    pub(crate) fn target<'a>(&self, parts: &'a request::Parts) -> Target<'a> {
        Target::new(self.uri(&parts.uri, &parts.extensions), &parts.headers)
    }

    pub(crate) fn client_request(&self, parts: &request::Parts) -> ClientRequest {
        ClientRequest {
            method: parts.method.clone(),
            uri: self.uri(&parts.uri, &parts.extensions).clone(),
            headers: parts.headers.clone(),
        }
    }

    /// The user of a request, if it has one.
    pub(crate) fn user<'a>(
        &self,
        snapshot: &Snapshot,
        parts: &'a request::Parts,
    ) -> Option<User<'a>> {
        let identity = &snapshot.plan.identity;
        let identify = || self.extractors.identify(parts);
        let query = self.uri(&parts.uri, &parts.extensions).query();
        identity::user(&parts.extensions, &parts.headers, query, identity, identify)
    }

    /// Whether an entry whose fill began at `capture` may be stored under this key: no target that names
    /// it has been invalidated since.
    pub(crate) fn may_store(&self, capture: &Capture, entry: &Entry, key: &str) -> bool {
        let hashes = &target_hashes(key, &entry.entity, entry.user.as_deref(), &entry.tags);
        self.fence.may_store(capture, EntryNames { key, hashes })
    }

    /// Makes the entries that the targets name unusable, in this process before it returns, and removes
    /// the entries of exact keys. With `soft`, they become stale, and none is removed.
    ///
    /// # Errors
    ///
    /// If the journal has not taken the invalidation. It is queued, and this process does not store the
    /// entries that it names until the journal has taken it.
    pub(crate) async fn invalidate(
        &self,
        targets: Vec<PurgeTarget>,
        soft: bool,
    ) -> Result<(), Error> {
        self.invalidate_all(Purge::of(targets, soft)).await
    }

    /// [`invalidate`](Self::invalidate) for hard and soft purges together.
    pub(crate) async fn invalidate_all(&self, purges: Vec<Purge>) -> Result<(), Error> {
        let appended = self.fence.purge(&purges).await;
        let hard = purges.iter().filter(|purge| !purge.soft);
        let targets = hard.map(|purge| &purge.target);
        self.tiers.remove_targets(targets).await;
        appended.map(|_| ())
    }

    /// Invalidates the targets of a write that began at `before`, then stores the write's response in
    /// `entry`, unless another write of this entry may have happened since `before`.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    pub(crate) async fn write_through(
        &self,
        before: &Capture,
        targets: Vec<PurgeTarget>,
        key: &KeyBuf,
        mut entry: Entry,
    ) -> Result<(), Error> {
        let (full, key) = (key.as_str(), key.base());
        let hashes = &target_hashes(key, &entry.entity, entry.user.as_deref(), &entry.tags);
        let names = EntryNames { key, hashes };
        let appended = (self.fence.write_through(before, targets.clone(), names)).await;
        self.tiers.remove_targets(&targets).await;
        if let Some(position) = appended? {
            entry.position = position;
            let _ = self.tiers.put(full, &Arc::new(entry)).await;
        }
        Ok(())
    }

    /// Closes a declared write that has changed `targets`, and removes the exact keys among `targets`
    /// and `declared`.
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    pub(crate) async fn close(
        &self,
        declaration: Declaration,
        declared: &[PurgeTarget],
        mut targets: Vec<PurgeTarget>,
    ) -> Result<(), Error> {
        targets.retain(|target| !declared.contains(target));
        let appended = declaration.close(targets.clone()).await;
        let removed = targets.iter().chain(declared);
        self.tiers.remove_targets(removed).await;
        appended
    }
}

fn journal_limits(plan: &Plan) -> JournalLimits {
    JournalLimits::new(plan.journal_size, plan.max_ttl)
}
