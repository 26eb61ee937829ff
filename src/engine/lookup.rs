//! Finding what is stored under a key, in the local tier and in the store behind it.

use std::sync::Arc;

use http::HeaderMap;

use super::core::Engine;
use crate::{
    clock::{Now, Timestamp},
    fence::verdict::Verdict,
    key::KeyBuf,
    semantics::vary,
    store::entry::{Content, Entry},
};

/// A stored entry that the fence lets pass.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) entry: Arc<Entry>,
    /// Never [`Verdict::Unusable`].
    pub(crate) verdict: Verdict,
}

impl Engine {
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
    pub(crate) fn local_entry(&self, full: &[u8], key: &KeyBuf, now: Now) -> Option<Found> {
        let entry = self.local.get(full)?;
        if entry.expires <= now.wall {
            self.local.discard(full, &entry);
            return None;
        }
        match self.fence.check_with(&entry, || key.base(), now) {
            Verdict::Unusable => {
                self.metrics.fenced.increment(1);
                self.local.discard(full, &entry);
                None
            }
            verdict => Some(Found::new(entry, verdict)),
        }
    }

    /// What the store holds, and when that was read; a usable entry is copied into the local tier,
    /// with its times.
    pub(crate) async fn find_stored(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
    ) -> Option<(Found, Now)> {
        let (found, now) = self.stored_entry(key.as_str(), key).await?;
        let full = match &found.entry.content {
            Content::Variants(variants) => key.varied(&vary::choose(variants, headers)?.hash),
            _ => return Some((found, now)),
        };
        // It would take room in the future of every hit.
        drop(found);
        self.stored_entry(&full, key).await
    }

    /// What the store holds if it was received after `than`; then it is copied into the local tier.
    pub(crate) async fn find_fresher(
        &self,
        key: &KeyBuf,
        headers: &HeaderMap,
        than: Timestamp,
    ) -> Option<Found> {
        let mut full = key.as_str().to_owned();
        let mut found = self.usable_in_store(&full, key).await?;
        if let Content::Variants(variants) = &found.entry.content {
            full = key.varied(&vary::choose(variants, headers)?.hash);
            found = self.usable_in_store(&full, key).await?;
        }
        let fresher = found.entry.stored > than && found.verdict == Verdict::Usable;
        fresher.then(|| {
            self.keep_locally(&full, &found.entry);
            found
        })
    }

    /// What the store holds under `full`, which is `key` or one of its variants, and when that was
    /// read. A failure of the store is an event and a metric of the store's; to the request it is a
    /// miss.
    pub(crate) async fn stored_entry(&self, full: &str, key: &KeyBuf) -> Option<(Found, Now)> {
        let entry = self.store.as_ref()?.get(full).await.ok()??;
        let (found, now) = self.usable(entry, key)?;
        if self.local.largest() == 0 {
            return Some((found, now));
        }
        let here = self.as_good_here(full, key, &found.entry, now);
        if here.is_none() {
            self.keep_locally(full, &found.entry);
        }
        Some((here.unwrap_or(found), now))
    }

    /// What the local tier holds, if it is what the store holds, or what the store has not taken:
    /// nothing goes back in time, and what this process knows of the entry is kept.
    fn as_good_here(&self, full: &str, key: &KeyBuf, stored: &Entry, now: Now) -> Option<Found> {
        let here = self.local.get(full.as_bytes())?;
        let (own, its) = (here.position, stored.position);
        let newer = here.stored >= stored.stored && own.epoch == its.epoch && own.n >= its.n;
        if !newer || matches!(here.content, Content::Variants(_)) || here.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check_with(&here, || key.base(), now);
        (verdict != Verdict::Unusable).then(|| Found::new(here, verdict))
    }

    async fn usable_in_store(&self, full: &str, key: &KeyBuf) -> Option<Found> {
        let entry = self.store.as_ref()?.get(full).await.ok()??;
        self.usable(entry, key).map(|(found, _)| found)
    }

    fn usable(&self, entry: Arc<Entry>, key: &KeyBuf) -> Option<(Found, Now)> {
        let now = self.clock.now();
        if entry.expires <= now.wall {
            return None;
        }
        let verdict = self.fence.check_with(&entry, || key.base(), now);
        if verdict == Verdict::Unusable {
            self.metrics.fenced.increment(1);
            return None;
        }
        Some((Found::new(entry, verdict), now))
    }
}

impl Found {
    fn new(entry: Arc<Entry>, verdict: Verdict) -> Self {
        Self { entry, verdict }
    }
}
