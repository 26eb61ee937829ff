use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{Extensions, HeaderMap, HeaderName, Uri, request};
use tokio::sync::Semaphore;

use super::{
    busy::Busy,
    expiring_set::ExpiringSet,
    fill::Fill,
    limiter::Limiter,
    local_tier::LocalTier,
    query_rules::QueryVariationRules,
    single_flight::SingleFlight,
    snapshot::{self, Snapshot},
    sweep::Sweep,
};
#[cfg(feature = "redis")]
use crate::store::redis::{
    RedisEntries, RedisStore,
    journal::{RedisChannel, RedisJournal},
    limits::RedisLimits,
};
use crate::{
    clock::Clock,
    error::Error,
    fence::{
        self,
        capture::Capture,
        declaration::Declaration,
        entry_names::{EntryNames, target_hashes},
        fence::Fence,
    },
    identity::{self, User, UserId},
    key::{
        KeyBuf,
        purge::{Purge, PurgeTarget},
    },
    message::{
        client_request::ClientRequest,
        target::{self, Target},
    },
    metrics::CacheMetrics,
    semantics::cache_groups::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY},
    store::{
        contracts::{entries::Entries, plain::Plain},
        entry::Entry,
    },
    table::{Plan, Table},
};

/// How many refreshes a process has under way at most.
const MOST_REFRESHES: usize = 64;

type OriginalUri = dyn for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync;
type Identify = dyn Fn(&request::Parts) -> Option<UserId> + Send + Sync;

/// What every clone of a keep shares.
pub(crate) struct Engine {
    /// One table at a time; each request sees one whole.
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) local: LocalTier,
    /// What lies behind the local tier; without it that tier is all there is.
    pub(crate) store: Option<Arc<dyn Entries>>,
    /// Where values that other programs read lie, with a store that others reach.
    pub(crate) plain: Option<Arc<dyn Plain>>,
    pub(crate) fence: Arc<Fence>,
    /// Responses on their way into the tiers, by full key.
    pub(crate) fills: Arc<SingleFlight<Arc<Fill>>>,
    /// Application values being made, by full key.
    pub(crate) values: Arc<SingleFlight<Arc<Entry>>>,
    /// Removals under way, by pattern.
    pub(crate) sweeps: Arc<SingleFlight<Sweep>>,
    /// How many sweeps have been asked for, and have begun.
    pub(crate) swept: AtomicU64,
    /// Keys whose answers turned out not to be shareable: nobody waits for what will not be shared.
    pub(crate) uncacheable: ExpiringSet,
    /// Keys for which the inner service has just failed, while something stale serves.
    pub(crate) origin_backoff: ExpiringSet,
    /// Writes that are followed to their end, whoever waits for it.
    pub(crate) writes: Arc<Busy>,
    /// How many responses and values have been stored.
    pub(crate) stored: AtomicU64,
    /// Permits for refreshes behind callers' backs.
    pub(crate) refreshes: Arc<Semaphore>,
    /// Of two tables at once, the later is whole.
    reloading: Mutex<()>,
    /// Whether a misplaced layer has been reported.
    warned: AtomicBool,
    pub(crate) query_rules: QueryVariationRules,
    pub(crate) metrics: CacheMetrics,
    pub(crate) limiter: Limiter,
    identify: ArcSwapOption<Box<Identify>>,
    /// Finds the path as received, where a router other than axum's has changed it.
    original_uri: OnceLock<Box<OriginalUri>>,
    /// Every response field that some layer reads tags from.
    tag_fields: ArcSwap<Vec<HeaderName>>,
}

impl Engine {
    /// An engine without a store that others reach: the local tier is all there is.
    pub(crate) fn in_process(plan: Plan, clock: Clock) -> Arc<Self> {
        let clock = Arc::new(clock);
        let fence = Fence::in_process(Arc::clone(&clock), fence::config::FenceConfig::default());
        let limiter = Limiter::new(Arc::clone(&clock), None);
        Self::assemble(plan, clock, fence, limiter, None, None)
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn on_redis(plan: Plan, store: &RedisStore) -> Arc<Self> {
        let clock = Arc::new(Clock::boot());
        let connections = store.connections(plan.deadline);
        let options = fence::config::FenceConfig {
            max_lag: plan.max_lag,
            ..fence::config::FenceConfig::default()
        };
        let namespace = &plan.namespace;
        let journal = RedisJournal::new(connections.clone(), namespace, options.max_targets);
        let fence = Fence::new(Arc::new(journal), Arc::clone(&clock), options);
        let channel = RedisChannel::new(connections.clone(), namespace);
        fence.start(Some(Arc::new(channel))).await;
        let limits = RedisLimits::new(connections.clone(), namespace);
        let limiter = Limiter::new(Arc::clone(&clock), Some(Arc::new(limits)));
        let entries = Arc::new(RedisEntries::new(
            connections,
            namespace,
            Arc::clone(&clock),
        ));
        let plain = Arc::clone(&entries) as Arc<dyn Plain>;
        Self::assemble(plan, clock, fence, limiter, Some(entries), Some(plain))
    }

    fn assemble(
        plan: Plan,
        clock: Arc<Clock>,
        fence: Arc<Fence>,
        limiter: Limiter,
        store: Option<Arc<dyn Entries>>,
        plain: Option<Arc<dyn Plain>>,
    ) -> Arc<Self> {
        let snapshot = Snapshot::new(plan, &fence);
        limiter.register(snapshot.plan.limits());
        Arc::new(Self {
            local: LocalTier::new(snapshot.plan.local_size),
            snapshot: ArcSwap::from_pointee(snapshot),
            clock,
            store,
            plain,
            fence,
            fills: SingleFlight::new(),
            values: SingleFlight::new(),
            sweeps: SingleFlight::new(),
            swept: AtomicU64::new(0),
            uncacheable: ExpiringSet::new(),
            origin_backoff: ExpiringSet::new(),
            writes: Arc::default(),
            stored: AtomicU64::new(0),
            refreshes: Arc::new(Semaphore::new(MOST_REFRESHES)),
            reloading: Mutex::new(()),
            warned: AtomicBool::new(false),
            query_rules: QueryVariationRules::new(),
            metrics: CacheMetrics::register(),
            limiter,
            identify: ArcSwapOption::empty(),
            original_uri: OnceLock::new(),
            tag_fields: ArcSwap::from_pointee(vec![CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS]),
        })
    }

    pub(crate) fn reload(&self, table: &Table) -> Result<(), Error> {
        let plan = snapshot::compile(table)?;
        let _one = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let present = self.snapshot.load();
        let next = Snapshot::new(plan, &self.fence);
        if next.plan.namespace != present.plan.namespace {
            return Err(Error::config(format!(
                "the namespace cannot change while the keep is in use; write {:?}, or start anew",
                present.plan.namespace
            )));
        }
        self.local.resize(next.plan.local_size);
        self.limiter.register(next.plan.limits());
        self.fence.set_max_lag(next.plan.max_lag);
        self.snapshot.store(Arc::new(next));
        Ok(())
    }

    /// Counts a layer that stands where it has no effect; warns of the first.
    pub(crate) fn misused(&self, what: &'static str) {
        self.metrics.misuse.increment(1);
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("{what}");
        }
    }

    /// Tells keeps apart, while both are there; never 0.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// A layer reads tags from this response field.
    pub(crate) fn add_tag_field(&self, name: &HeaderName) {
        self.tag_fields.rcu(|names| {
            let mut names = Vec::clone(names);
            if !names.contains(name) {
                names.push(name.clone());
            }
            names
        });
    }

    /// Whether a response has tags of its own.
    pub(crate) fn has_tags(&self, headers: &HeaderMap) -> bool {
        self.tag_fields
            .load()
            .iter()
            .any(|name| headers.contains_key(name))
    }

    /// The URI as received: what the application's function finds, else axum's `OriginalUri`, else
    /// the request's own.
    #[inline]
    pub(crate) fn uri<'a>(&self, uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
        self.original_uri
            .get()
            .and_then(|find| find(extensions))
            .unwrap_or_else(|| target::uri(uri, extensions))
    }

    /// What the request asks for, by the URI as received.
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

    /// The first function stays.
    pub(crate) fn set_original_uri(&self, find: Box<OriginalUri>) -> bool {
        self.original_uri.set(find).is_ok()
    }

    pub(crate) fn set_identify(&self, identify: Box<Identify>) {
        self.identify.store(Some(Arc::new(identify)));
    }

    /// Whether the fence lets what was captured then be stored now under this key.
    pub(crate) fn may_store(&self, capture: &Capture, entry: &Entry, key: &str) -> bool {
        let user = entry.user.as_deref();
        let hashes = target_hashes(key, &entry.entity, user, &entry.tags);
        self.fence.may_store(
            capture,
            EntryNames {
                key,
                hashes: &hashes,
            },
        )
    }

    /// Makes what the subjects name unusable, here before this returns; removes exact keys.
    ///
    /// # Errors
    ///
    /// The journal has not taken it: it is queued, and what it names uncacheable here until then.
    pub(crate) async fn invalidate(
        &self,
        subjects: Vec<PurgeTarget>,
        soft: bool,
    ) -> Result<(), Error> {
        self.invalidate_all(Purge::of(subjects, soft)).await
    }

    /// The same where some may become stale only.
    pub(crate) async fn invalidate_all(&self, purges: Vec<Purge>) -> Result<(), Error> {
        let hard = purges.iter().filter(|purge| !purge.soft);
        let keys = exact_keys(hard.clone().map(|purge| &purge.target));
        let everything = hard.clone().any(|p| p.target == PurgeTarget::Everything);
        let appended = self.fence.purge(&purges).await;
        if everything {
            self.local.clear();
        }
        self.remove(&keys).await;
        appended.map(|_| ())
    }

    /// As [`invalidate`](Self::invalidate), and stores the write's own answer in both tiers unless
    /// another write may have come between (since `before`, where this one began).
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub(crate) async fn write_through(
        &self,
        before: &Capture,
        subjects: Vec<PurgeTarget>,
        key: &KeyBuf,
        mut entry: Entry,
    ) -> Result<(), Error> {
        let keys = exact_keys(&subjects);
        let user = entry.user.as_deref();
        let hashes = target_hashes(key.base(), &entry.entity, user, &entry.tags);
        let names = EntryNames {
            key: key.base(),
            hashes: &hashes,
        };
        let appended = self.fence.write_through(before, subjects, names).await;
        self.remove(&keys).await;
        if let Some(position) = appended? {
            entry.position = position;
            self.put(key.as_str(), &Arc::new(entry)).await;
        }
        Ok(())
    }

    /// Closes a declared write, which wrote `subjects`, and removes the exact keys among them.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate).
    pub(crate) async fn close(
        &self,
        declaration: Declaration,
        declared: &[PurgeTarget],
        mut subjects: Vec<PurgeTarget>,
    ) -> Result<(), Error> {
        subjects.retain(|subject| !declared.contains(subject));
        let mut keys = exact_keys(&subjects);
        keys.append(&mut exact_keys(declared));
        let appended = declaration.close(subjects).await;
        self.remove(&keys).await;
        appended.map(|_| ())
    }

    /// Removes full keys from both tiers. What they held is unusable by now.
    pub(crate) async fn remove(&self, keys: &[Box<str>]) {
        for key in keys {
            self.local.remove(key);
        }
        if let Some(store) = &self.store
            && !keys.is_empty()
        {
            // A failure is an event and a metric of the store's.
            let _ = store.remove(keys).await;
        }
    }

    /// Whose request it is, as far as anybody has established.
    pub(crate) fn user<'a>(
        &self,
        snapshot: &Snapshot,
        parts: &'a request::Parts,
    ) -> Option<User<'a>> {
        identity::user(
            &parts.extensions,
            &parts.headers,
            &snapshot.plan.identity,
            || {
                self.identify
                    .load()
                    .as_ref()
                    .and_then(|identify| identify(parts))
            },
        )
    }
}

/// What can be removed at once: the fence sees to the rest, and to the variations of these.
fn exact_keys<'a>(subjects: impl IntoIterator<Item = &'a PurgeTarget>) -> Vec<Box<str>> {
    let exact = subjects.into_iter().filter_map(|subject| match subject {
        PurgeTarget::Key(key) => Some(key.clone()),
        _ => None,
    });
    exact.collect()
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep")
            .field("local", &self.local)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
