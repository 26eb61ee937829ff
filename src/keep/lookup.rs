//! Finding what is stored under a key, in the local tier and in the store behind it.

use std::sync::Arc;

use http::HeaderMap;

use super::Shared;
use crate::{
    clock::{Now, Timestamp},
    entry::{Content, Entry},
    fence::Verdict,
    key::KeyBuf,
    semantics::vary,
};

/// A stored entry that the fence lets pass.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Arc<Entry>,
    /// Never [`Verdict::Unusable`].
    pub(crate) verdict: Verdict,
}

impl Shared {
    /// What the local tier holds for this key and these request fields.
    pub(crate) fn find_local(&self, key: &KeyBuf, headers: &HeaderMap, now: Now) -> Option<Found> {
        let found = self.local_entry(key.as_bytes(), key, now)?;
        let Content::Variants(variants) = &found.entry.content else {
            return Some(found);
        };
        let variant = vary::choose(variants, headers)?;
        self.local_entry(key.varied(&variant.hash).as_bytes(), key, now)
    }

    /// What lies under `full`, which is `key` or one of its variants.
    #[inline(always)]
    pub(super) fn local_entry(&self, full: &[u8], key: &KeyBuf, now: Now) -> Option<Found> {
        let entry = self.local.get(full)?;
        if entry.expires <= now.wall {
            self.local.discard(full, &entry);
            return None;
        }
        match self.fence.check_named(&entry, || key.base(), now) {
            Verdict::Unusable => {
                self.metrics.fenced.increment(1);
                self.local.discard(full, &entry);
                None
            }
            verdict => Some(Found::new(entry, verdict)),
        }
    }

    /// What the store holds; a usable entry is copied into the local tier, with its times.
    pub(crate) async fn find_stored(&self, key: &KeyBuf, headers: &HeaderMap) -> Option<Found> {
        let found = self.stored_entry(key.as_str(), key.base()).await?;
        let Content::Variants(variants) = &found.entry.content else {
            return Some(found);
        };
        let variant = vary::choose(variants, headers)?;
        self.stored_entry(&key.varied(&variant.hash), key.base())
            .await
    }

    /// What the store holds if it was received after `than`; then it is copied into the local tier.
    pub(crate) async fn find_fresher(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
        than: Timestamp,
    ) -> Option<Found> {
        let mut full = key.as_str().to_owned();
        let mut found = self.usable_in_store(&full, key.base()).await?;
        if let Content::Variants(variants) = &found.entry.content {
            full = key.varied(&vary::choose(variants, headers)?.hash);
            found = self.usable_in_store(&full, key.base()).await?;
        }
        let fresher = found.entry.stored > than && found.verdict == Verdict::Usable;
        fresher.then(|| {
            self.keep_locally(&full, &found.entry);
            found
        })
    }

    /// A failure of the store is an event and a metric of the store's; to the request it is a miss.
    pub(super) async fn stored_entry(&self, key: &str, base: &str) -> Option<Found> {
        let found = self.usable(self.store.as_ref()?.get(key).await.ok()??, base)?;
        if let Some(here) = self.as_good_here(key, base, &found.entry) {
            return Some(here);
        }
        self.keep_locally(key, &found.entry);
        Some(found)
    }

    /// What the local tier holds, if it is what the store holds, or what the store has not taken:
    /// nothing goes back in time, and what this process knows of the entry is kept.
    fn as_good_here(&self, key: &str, base: &str, stored: &Entry) -> Option<Found> {
        let here = self.local.get(key.as_bytes())?;
        let now = self.clock.now();
        let (own, its) = (here.position, stored.position);
        let newer = here.stored >= stored.stored && own.epoch == its.epoch && own.n >= its.n;
        if !newer || matches!(here.content, Content::Variants(_)) || here.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check(&here, base, now);
        (verdict != Verdict::Unusable).then(|| Found::new(here, verdict))
    }

    async fn usable_in_store(&self, key: &str, base: &str) -> Option<Found> {
        self.usable(self.store.as_ref()?.get(key).await.ok()??, base)
    }

    fn usable(&self, entry: Arc<Entry>, base: &str) -> Option<Found> {
        let now = self.clock.now();
        if entry.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check(&entry, base, now);
        if verdict == Verdict::Unusable {
            self.metrics.fenced.increment(1);
            return None;
        }
        Some(Found::new(entry, verdict))
    }
}

impl Found {
    fn new(entry: Arc<Entry>, verdict: Verdict) -> Self {
        Self { entry, verdict }
    }
}
