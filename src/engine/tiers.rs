//! The tiers that hold entries: this process's memory and the shared store.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderMap;

use super::{
    key_globs::KeyGlobs,
    local_tier::LocalTier,
    variant_list::{UpdatedList, list_with},
};
use crate::{
    clock::{Clock, Now, Timestamp},
    error::Error,
    fence::{core::Fence, verdict::Verdict},
    key::{KeyBuf, purge::PurgeTarget},
    message::buffer_budget::BufferBudget,
    metrics::CacheMetrics,
    semantics::{stored_response::Variant, vary},
    store::{
        contracts::{entries::Entries, plain::Plain},
        entry::{Content, Entry},
        position::Position,
    },
};

/// The local tier and the shared store. The fence checks every entry that is looked up.
///
/// The store logs and counts its failures. To callers, a failed lookup is a miss, and an entry whose
/// storage failed is not stored.
pub(crate) struct Tiers {
    pub(super) local: LocalTier,
    /// The store that other processes share; `None` without Redis.
    pub(crate) store: Option<Arc<dyn Entries>>,
    /// Stores values as bare JSON, for other programs to read; `None` without Redis.
    pub(crate) plain: Option<Arc<dyn Plain>>,
    pub(super) clock: Arc<Clock>,
    pub(super) fence: Arc<Fence>,
    pub(super) metrics: CacheMetrics,
    /// Counts bodies of entries that clients hold longer than a tier does.
    pub(super) buffers: Arc<BufferBudget>,
    /// The number of responses and values stored so far.
    pub(super) stored: AtomicU64,
}

/// An entry that the fence allows to be used.
#[derive(Clone, Debug)]
pub(crate) struct FoundEntry {
    pub(crate) entry: Arc<Entry>,
    /// Never [`Verdict::Unusable`] as a lookup returns it; a later check may set that.
    pub(crate) verdict: Verdict,
}

/// The result of a lookup in the store.
#[derive(Debug)]
pub(crate) enum StoreLookup<T> {
    Found(T),
    /// A process has noted that others cannot use the key's result: do not wait for it.
    HitForMiss,
    Nothing,
}

impl Tiers {
    /// The entry in the local tier for this key and these request fields.
    pub(crate) fn lookup_local(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
        now: Now,
    ) -> Option<FoundEntry> {
        let found = self.usable_local(key.as_bytes(), key, now)?;
        let Content::Variants(variants) = &found.entry.content else {
            return Some(found);
        };
        let variant = vary::choose(variants, headers)?;
        let found = self.usable_local(key.variant_key(&variant.hash).as_bytes(), key, now)?;
        found.entry.local.note_use(now.wall);
        Some(found)
    }

    /// The local entry under `full_key`, which is `key` or one of its variants. An entry that has
    /// expired or was invalidated is removed.
    #[inline(always)]
    pub(crate) fn usable_local(
        &self,
        full_key: &[u8],
        key: &KeyBuf,
        now: Now,
    ) -> Option<FoundEntry> {
        let entry = self.local.get(full_key)?;
        let Some(verdict) = self.check(&entry, key, now) else {
            self.local.discard(full_key, &entry);
            return None;
        };
        Some(FoundEntry { entry, verdict })
    }

    /// The entry in the store for this key and these request fields, and when it was read. The
    /// entry is copied into the local tier.
    pub(crate) async fn lookup_in_store(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
    ) -> StoreLookup<(FoundEntry, Now)> {
        let Some((found, now)) = self.usable_in_store(key.as_str(), key).await else {
            return StoreLookup::Nothing;
        };
        let full_key = match &found.entry.content {
            Content::Variants(_) if is_hit_for_miss_note(&found.entry) => {
                return StoreLookup::HitForMiss;
            }
            Content::Variants(variants) => match vary::choose(variants, headers) {
                Some(variant) => key.variant_key(&variant.hash),
                None => return StoreLookup::Nothing,
            },
            _ => return StoreLookup::Found((found, now)),
        };
        // Dropped before the await, so that the future of every hit stays small.
        drop(found);
        match self.usable_in_store(&full_key, key).await {
            Some((variant, now)) => {
                variant.entry.local.note_use(now.wall);
                StoreLookup::Found((variant, now))
            }
            None => StoreLookup::Nothing,
        }
    }

    /// The entry in the store, if it was received after `newer_than`. It is copied into the local tier.
    pub(crate) async fn lookup_newer(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
        newer_than: Timestamp,
    ) -> Option<FoundEntry> {
        let StoreLookup::Found((found, _)) = self.lookup_in_store(key, headers).await else {
            return None;
        };
        (found.entry.stored > newer_than && found.verdict == Verdict::Usable).then_some(found)
    }

    /// The entry in the store under `full_key`, which is `key` or one of its variants, and when it was
    /// read. The entry is copied into the local tier, unless the local entry is at least as new.
    pub(crate) async fn usable_in_store(
        &self,
        full_key: &str,
        key: &KeyBuf,
    ) -> Option<(FoundEntry, Now)> {
        let entry = self.store.as_ref()?.get(full_key).await.ok()??;
        self.admit(full_key, key, entry).await
    }

    /// The entries in the store under these keys, as [`lookup_in_store`](Self::lookup_in_store) finds
    /// them for a request without fields.
    pub(crate) async fn lookup_many_in_store(
        &self,
        keys: &[KeyBuf],
    ) -> Vec<Option<(FoundEntry, Now)>> {
        let Some(store) = self.store.as_ref().filter(|_| !keys.is_empty()) else {
            return vec![None; keys.len()];
        };
        let full_keys: Vec<Box<str>> = keys.iter().map(|key| key.as_str().into()).collect();
        let mut found = Vec::with_capacity(keys.len());
        for (key, entry) in keys.iter().zip(store.get_many(&full_keys).await) {
            found.push(match entry {
                None => None,
                Some(list) if matches!(list.content, Content::Variants(_)) => {
                    match self.lookup_in_store(key, &HeaderMap::new()).await {
                        StoreLookup::Found(found) => Some(found),
                        StoreLookup::HitForMiss | StoreLookup::Nothing => None,
                    }
                }
                Some(entry) => self.admit(key.as_str(), key, entry).await,
            });
        }
        found
    }

    /// Checks an entry that was read from the store under `full_key`, and copies it into the local tier,
    /// unless the local entry is at least as new.
    async fn admit(
        &self,
        full_key: &str,
        key: &KeyBuf,
        mut entry: Arc<Entry>,
    ) -> Option<(FoundEntry, Now)> {
        if let Some(entry) = Arc::get_mut(&mut entry) {
            entry.count_body(&self.buffers);
        }
        if self.fence.is_behind(entry.position) {
            // Boxed, so that the future of every hit stays small.
            Box::pin(self.catch_up(full_key, entry.position)).await?;
        }
        let now = self.clock.now();
        let verdict = self.check(&entry, key, now)?;
        let found = FoundEntry { entry, verdict };
        if self.local.is_off() {
            return Some((found, now));
        }
        let local = self.local_unless_older(full_key, key, &found.entry, now);
        if local.is_none() {
            self.local.insert(full_key, &found.entry);
        }
        Some((local.unwrap_or(found), now))
    }

    /// Stores an entry under its full key in both tiers. Returns whether one of them keeps it.
    pub(crate) async fn put(&self, key: &str, entry: &Arc<Entry>) -> bool {
        let mut kept = self.local.insert(key, entry);
        if let Some(store) = &self.store {
            kept |= store.put(key, entry).await.is_ok();
        }
        if kept && !matches!(entry.content, Content::Variants(_)) {
            self.metrics.stored.increment(1);
            self.stored.fetch_add(1, Ordering::SeqCst);
        }
        kept
    }

    /// Stores a response; one that varies becomes the newest variant of its key. Returns whether a tier
    /// keeps it.
    pub(crate) async fn store_response(
        &self,
        key: &KeyBuf,
        variant: Option<&Variant>,
        entry: &Arc<Entry>,
    ) -> bool {
        let Some(variant) = variant else {
            return self.put(key.as_str(), entry).await;
        };
        // The variant is stored first, so that the list never names one that is not yet stored.
        let is_kept = self.put(&key.variant_key(&variant.hash), entry).await;
        let known = self.variants(key).await;
        let last_use = |variant: &Variant| {
            let used = self.local.peek(key.variant_key(&variant.hash).as_bytes());
            used.map_or(Timestamp(0), |used| used.local.last_use())
        };
        let UpdatedList { list, dropped } = list_with(known.as_deref(), variant, entry, last_use);
        let is_listed = self.put(key.as_str(), &Arc::new(list)).await;
        let dropped = dropped.iter().map(|variant| key.variant_key(&variant.hash));
        self.remove(&dropped.map(Into::into).collect::<Vec<_>>())
            .await;
        is_listed && is_kept
    }

    /// Removes one stored response, which may be a variant. An entry that has replaced it in the local
    /// tier is not removed.
    pub(crate) async fn remove_response(
        &self,
        key: &KeyBuf,
        request: &HeaderMap,
        entry: &Arc<Entry>,
    ) {
        let known = self.variants(key).await;
        let variant = match known.as_deref().map(|known| &known.content) {
            Some(Content::Variants(variants)) => vary::choose(variants, request),
            _ => None,
        };
        let full_key: Box<str> = match variant {
            Some(variant) => key.variant_key(&variant.hash).into(),
            None => key.as_str().into(),
        };
        self.local.discard(full_key.as_bytes(), entry);
        if let Some(store) = &self.store {
            let _ = store.remove(&[full_key]).await;
        }
    }

    /// Removes the entries of exact keys from both tiers, and all entries of the local tier if the targets
    /// include everything. For other targets, and for the variations of a key, the fence refuses the
    /// entries.
    pub(crate) async fn remove_targets<'a>(
        &self,
        targets: impl IntoIterator<Item = &'a PurgeTarget>,
    ) {
        let mut keys = Vec::new();
        for target in targets {
            match target {
                PurgeTarget::Key(key) => keys.push(key.clone()),
                PurgeTarget::Everything => self.local.clear(),
                _ => {}
            }
        }
        self.remove(&keys).await;
    }

    /// Removes full keys from both tiers.
    pub(crate) async fn remove(&self, keys: &[Box<str>]) {
        for key in keys {
            self.local.remove(key);
        }
        if let Some(store) = self.store.as_ref().filter(|_| !keys.is_empty()) {
            let _ = store.remove(keys).await;
        }
    }

    /// Removes all entries whose keys match. Returns how many were removed from the store, or without a
    /// store from the local tier.
    pub(super) async fn remove_matching(&self, globs: &KeyGlobs) -> Result<u64, Error> {
        let removed_local = self.local.remove_matching(globs, self.clock.now().wall);
        let Some(store) = &self.store else {
            return Ok(removed_local);
        };
        let mut removed = 0;
        for glob in &globs.entries {
            removed += store.remove_matching(glob).await?;
        }
        if let Some(plain) = &self.plain {
            for glob in &globs.plain {
                removed += plain.remove_plain_matching(glob).await?;
            }
        }
        Ok(removed)
    }

    /// Whether there is a tier that can keep entries.
    pub(crate) fn can_store(&self) -> bool {
        self.store.is_some() || !self.local.is_off()
    }

    /// Whether the local tier holds a note, copied from the store, that this key's result cannot be
    /// shared.
    pub(crate) fn has_hit_for_miss_note(&self, key: &KeyBuf) -> bool {
        let found = self.usable_local(key.as_bytes(), key, self.clock.now());
        found.is_some_and(|found| is_hit_for_miss_note(&found.entry))
    }

    /// Whether the local tier holds a list of the key's variants, and the request selects none of
    /// them.
    pub(crate) fn lacks_variant(&self, key: &KeyBuf, headers: &HeaderMap) -> bool {
        let known = self.usable_local(key.as_bytes(), key, self.clock.now());
        known.is_some_and(|known| match &known.entry.content {
            Content::Variants(variants) => {
                !is_hit_for_miss_note(&known.entry) && vary::choose(variants, headers).is_none()
            }
            _ => false,
        })
    }

    /// Removes all entries from the local tier.
    pub(crate) fn clear_local(&self) {
        self.local.clear();
    }

    /// The number of responses and values stored so far.
    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Ordering::SeqCst)
    }

    /// The local entry, unless it is older than the one in the store: so that the local copy never
    /// becomes older, and its `LocalState` is kept.
    fn local_unless_older(
        &self,
        full_key: &str,
        key: &KeyBuf,
        stored: &Entry,
        now: Now,
    ) -> Option<FoundEntry> {
        let entry = self.local.get(full_key.as_bytes())?;
        let (here, there) = (entry.position, stored.position);
        let newer = entry.stored >= stored.stored && here.epoch == there.epoch && here.n >= there.n;
        if !newer || matches!(entry.content, Content::Variants(_)) || entry.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check_with(&entry, || key.base(), now);
        (verdict != Verdict::Unusable).then_some(FoundEntry { entry, verdict })
    }

    /// The list of variants under `key`, if it is still usable.
    async fn variants(&self, key: &KeyBuf) -> Option<Arc<Entry>> {
        let now = self.clock.now();
        let found = match self.usable_local(key.as_bytes(), key, now) {
            Some(found) => found,
            None => self.usable_in_store(key.as_str(), key).await?.0,
        };
        matches!(found.entry.content, Content::Variants(_)).then_some(found.entry)
    }

    /// Reads the journal up to the position of a stored entry. If it does not reach the position, the
    /// entry is forged and is removed, as no process could replace it otherwise.
    async fn catch_up(&self, full_key: &str, position: Position) -> Option<()> {
        self.fence.catch_up(position).await.ok()?;
        if !self.fence.is_behind(position) {
            return Some(());
        }
        self.metrics.forged.increment(1);
        tracing::debug!(
            key = full_key,
            "a stored entry claims a position that the journal has not reached: removing it"
        );
        let _ = self.store.as_ref()?.remove(&[full_key.into()]).await;
        None
    }

    /// The fence's verdict; `None` if the entry has expired or was invalidated. Counts invalidated
    /// entries.
    #[inline(always)]
    fn check(&self, entry: &Entry, key: &KeyBuf, now: Now) -> Option<Verdict> {
        if entry.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check_with(entry, || key.base(), now);
        if verdict == Verdict::Unusable {
            self.metrics.fenced.increment(1);
            return None;
        }
        Some(verdict)
    }
}

/// Whether an entry is the note that [`FillLock`](super::fill_lock::FillLock) leaves: a list without
/// variants.
fn is_hit_for_miss_note(entry: &Entry) -> bool {
    matches!(&entry.content, Content::Variants(variants) if variants.0.is_empty())
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers")
            .field("local", &self.local)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        keep::handle::Keep,
        key::Key,
        table::{Local, Table, ValueSettings},
    };

    #[tokio::test]
    async fn without_a_store_and_a_local_tier_nothing_is_stored() {
        let plain = ValueSettings::new("config:*").plain(true);
        let table = Table::new().local(Local::new().size(0)).value(plain);
        let keep = Keep::new(table).expect("a valid table");
        for key in [Key::new("engagement").id(1), Key::new("config").id(1)] {
            keep.set(&key, "a value").await.expect("no error");
            assert_eq!(keep.get::<String>(&key).await.expect("a miss"), None);
        }
        assert_eq!(keep.delete_pattern("*").await.expect("no error"), 0);
        assert_eq!(keep.engine().tiers.stored(), 0);
    }

    #[tokio::test]
    async fn reloading_turns_the_local_tier_off_and_on() {
        let keep = Keep::default();
        let key = Key::new("engagement").id(1);
        for (size, stored) in [(0, None), (1 << 20, Some("a value"))] {
            keep.set(&key, "an older value").await.expect("no error");
            let local = Local::new().size(size);
            keep.reload(&Table::new().local(local))
                .expect("a valid table");
            keep.set(&key, "a value").await.expect("no error");
            let found = keep.get::<String>(&key).await.expect("readable");
            assert_eq!(found.as_deref(), stored);
        }
    }
}
