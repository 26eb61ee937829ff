//! Storing a value.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{mark::Mark, value_json::NULL, value_options::KeyedValue};
use crate::store::{
    entry::{Content, Entry, LocalState, StoredValue},
    position::Position,
};

impl KeyedValue {
    /// Stores a value that took `cost` to make, unless it has been invalidated since `mark`. Returns its
    /// entry; `None` for a `null` that is not stored.
    pub(super) async fn store(
        &self,
        mark: Mark,
        json: Bytes,
        cost: Duration,
    ) -> Option<Arc<Entry>> {
        let mut entry = self.stored_entry(json, cost)?;
        entry.position = mark.0.position;
        entry.local.captured = mark.0.at;
        let entry = Arc::new(entry);
        let engine = self.keep.engine();
        let key = self.keep.full_key(&self.key);
        if self.keep.plain(&self.key).is_some() {
            self.store_plain(&entry).await;
        } else if engine.may_store(&mark.0, &entry, key.base()) {
            engine.tiers.put(key.as_str(), &entry).await;
        }
        Some(entry)
    }

    /// The entry to store, without a position; `None` for a `null` that is not stored.
    pub(super) fn stored_entry(&self, json: Bytes, cost: Duration) -> Option<Entry> {
        let engine = self.keep.engine();
        let terms = self.options.storage(engine, &self.key, &*json == NULL)?;
        let stored = engine.clock.now().wall;
        Some(Entry {
            content: Content::Value(StoredValue {
                json,
                lifetime: terms.lifetime,
                cost,
            }),
            position: Position::UNKNOWN,
            stored,
            expires: stored.after(terms.retention),
            entity: terms.entity,
            user: None,
            tags: self.options.tags.clone().into(),
            local: LocalState::default(),
        })
    }

    /// Stores the value of an entry as bare JSON, until it is stale.
    pub(super) async fn store_plain(&self, entry: &Entry) {
        let key = self.keep.full_key(&self.key);
        if let (Some(plain), Content::Value(value)) = (self.keep.plain(&self.key), &entry.content) {
            let ttl = value.lifetime.fresh;
            // A failure is logged and counted by the store.
            let _ = plain.put_plain(key.as_str(), &value.json, ttl).await;
        }
    }
}
