//! Storing, in both tiers.

use std::sync::{Arc, atomic::Ordering};

use http::HeaderMap;

use super::{core::Engine, lookup::Found};
use crate::{
    key::KeyBuf,
    semantics::{
        stored::{Variant, Variants},
        vary,
    },
    store::entry::{Content, Entry},
};

/// How many variants of one key are kept; the oldest goes first.
const VARIANTS: usize = 16;

impl Engine {
    /// Stores an entry under its full key in both tiers.
    pub(crate) async fn put(&self, key: &str, entry: &Arc<Entry>) {
        self.keep_locally(key, entry);
        if let Some(store) = &self.store {
            // A failure is an event and a metric of the store's.
            let _ = store.put(key, entry).await;
        }
        if !matches!(entry.content, Content::Variants(_)) {
            self.metrics.stored.increment(1);
            self.stored.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Stores a response, as the newest variant of its key if it varies.
    pub(crate) async fn put_response(
        &self,
        key: &KeyBuf,
        variant: Option<&Variant>,
        entry: &Arc<Entry>,
    ) {
        let Some(variant) = variant else {
            return self.put(key.as_str(), entry).await;
        };
        // The variant first: the list never names what is not there yet.
        self.put(&key.varied(&variant.hash), entry).await;
        let known = self.variants(key).await;
        let list = Arc::new(listed(known.as_deref(), variant, entry));
        self.put(key.as_str(), &list).await;
    }

    /// Forgets one stored response, be it a variant; in this process what has replaced it stays.
    pub(crate) async fn forget(&self, key: &KeyBuf, request: &HeaderMap, entry: &Arc<Entry>) {
        let known = self.variants(key).await;
        let variant = known.as_deref().and_then(|known| match &known.content {
            Content::Variants(variants) => vary::choose(variants, request),
            _ => None,
        });
        let full: Box<str> = match variant {
            Some(variant) => key.varied(&variant.hash).into(),
            None => key.as_str().into(),
        };
        self.local.discard(full.as_bytes(), entry);
        if let Some(store) = &self.store {
            // A failure is an event and a metric of the store's.
            let _ = store.remove(&[full]).await;
        }
    }

    /// Whether variants of the key are known here.
    pub(crate) fn varies(&self, key: &KeyBuf) -> bool {
        let known = self.local.get(key.as_bytes());
        known.is_some_and(|known| matches!(known.content, Content::Variants(_)))
    }

    /// The list of variants under `key`, if it is still usable.
    async fn variants(&self, key: &KeyBuf) -> Option<Arc<Entry>> {
        let now = self.clock.now();
        let found = match self.local_entry(key.as_bytes(), key, now) {
            Some(found) => Some(found),
            None => self
                .stored_entry(key.as_str(), key)
                .await
                .map(|(found, _)| found),
        };
        found
            .map(|Found { entry, .. }| entry)
            .filter(|entry| matches!(entry.content, Content::Variants(_)))
    }

    /// A copy in the local tier, unless it would take more than its share.
    pub(crate) fn keep_locally(&self, key: &str, entry: &Arc<Entry>) {
        let largest = self.local.largest();
        if largest == 0 {
            return;
        }
        if entry.weight() <= largest {
            self.local.insert(key, Arc::clone(entry));
        } else {
            self.local.remove(key);
        }
    }
}

/// The list with `variant` in front. Its position is that of the latest entry, its life that of
/// the longest-lived one.
fn listed(known: Option<&Entry>, variant: &Variant, entry: &Entry) -> Entry {
    let others = known.and_then(|known| match &known.content {
        Content::Variants(Variants(list)) => Some(list),
        _ => None,
    });
    let others = others.into_iter().flatten().filter(|v| *v != variant);
    let list = std::iter::once(variant).chain(others).take(VARIANTS);
    let mut listed = entry.with(Content::Variants(Variants(list.cloned().collect())));
    if let Some(known) = known {
        listed.expires = listed.expires.max(known.expires);
    }
    listed
}
