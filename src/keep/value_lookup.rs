//! Looking up application values.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::future::join;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::{
    handle::Keep,
    value_json::{decode, json_of},
};
use crate::{
    clock::Now,
    engine::tiers::{FoundEntry, StoreLookup},
    error::Error,
    fence::verdict::Verdict,
    key::{Key, KeyBuf},
    semantics::freshness::Lifetime,
    store::{
        contracts::plain::{Plain, TimeLeft},
        entry::{Content, Entry},
    },
};

/// A value that is fresh and has not been invalidated.
#[derive(Debug)]
pub(super) struct FreshValue {
    pub(super) json: Bytes,
    /// How long it stays fresh.
    pub(super) left: Duration,
}

impl Keep {
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        match self.json(key).await {
            StoreLookup::Found(json) => decode(key, &json).map(Some),
            StoreLookup::HitForMiss | StoreLookup::Nothing => Ok(None),
        }
    }

    pub(super) async fn json(&self, key: &Key) -> StoreLookup<Bytes> {
        let full = self.full_key(key);
        if let Some(plain) = self.plain(key) {
            // A failure is logged and counted by the store.
            let text = plain.get_plain(full.as_str()).await.ok().flatten();
            return text.map_or(StoreLookup::Nothing, StoreLookup::Found);
        }
        match self.fresh(&full).await {
            StoreLookup::Found(value) => StoreLookup::Found(value.json),
            StoreLookup::HitForMiss => StoreLookup::HitForMiss,
            StoreLookup::Nothing => StoreLookup::Nothing,
        }
    }

    /// How long the value under `key` can still be used.
    pub(super) async fn time_left(&self, key: &Key) -> TimeLeft {
        let full = self.full_key(key);
        if let Some(plain) = self.plain(key) {
            let left = plain.plain_time_left(full.as_str()).await;
            return left.unwrap_or(TimeLeft::Missing);
        }
        match self.fresh(&full).await {
            StoreLookup::Found(value) => TimeLeft::Left(value.left),
            StoreLookup::HitForMiss | StoreLookup::Nothing => TimeLeft::Missing,
        }
    }

    /// The JSON under each key. What the local tier does not have is read from the store at once.
    pub(super) async fn json_of_many(&self, keys: &[Key]) -> Vec<Option<Bytes>> {
        let mut texts = vec![None; keys.len()];
        let (mut plain, mut fenced) = (Vec::new(), Vec::new());
        for (index, key) in keys.iter().enumerate() {
            let full = self.full_key(key);
            if self.plain(key).is_some() {
                plain.push((index, Box::from(full.as_str())));
            } else if let Some(value) = self.fresh_local(&full) {
                texts[index] = Some(value.json);
            } else {
                fenced.push((index, full));
            }
        }
        let (plain_at, plain): (Vec<_>, Vec<_>) = plain.into_iter().unzip();
        let (fenced_at, fenced): (Vec<_>, Vec<_>) = fenced.into_iter().unzip();
        let (plain, fenced) = join(self.plain_texts(&plain), self.stored_texts(&fenced)).await;
        let read = plain_at.into_iter().zip(plain);
        for (index, text) in read.chain(fenced_at.into_iter().zip(fenced)) {
            texts[index] = text;
        }
        texts
    }

    async fn plain_texts(&self, keys: &[Box<str>]) -> Vec<Option<Bytes>> {
        match &self.engine().tiers.plain {
            Some(plain) if !keys.is_empty() => plain.get_plain_many(keys).await,
            _ => vec![None; keys.len()],
        }
    }

    async fn stored_texts(&self, keys: &[KeyBuf]) -> Vec<Option<Bytes>> {
        let found = self.engine().tiers.lookup_many_in_store(keys).await;
        let json = |found: Option<(FoundEntry, Now)>| {
            let (found, now) = found?;
            Some(fresh_value(&found, now)?.json)
        };
        found.into_iter().map(json).collect()
    }

    /// The fresh value under a full key. A local value that is not fresh may have been replaced in the
    /// store.
    async fn fresh(&self, key: &KeyBuf) -> StoreLookup<FreshValue> {
        if let Some(value) = self.fresh_local(key) {
            return StoreLookup::Found(value);
        }
        let tiers = &self.engine().tiers;
        match tiers.lookup_in_store(key, &HeaderMap::new()).await {
            StoreLookup::Found((found, now)) => {
                fresh_value(&found, now).map_or(StoreLookup::Nothing, StoreLookup::Found)
            }
            StoreLookup::HitForMiss => StoreLookup::HitForMiss,
            StoreLookup::Nothing => StoreLookup::Nothing,
        }
    }

    fn fresh_local(&self, key: &KeyBuf) -> Option<FreshValue> {
        let shared = self.engine();
        let now = shared.clock.now();
        let found = shared.tiers.lookup_local(key, &HeaderMap::new(), now)?;
        fresh_value(&found, now)
    }

    pub(super) fn full_key(&self, key: &Key) -> KeyBuf {
        let shared = self.engine();
        let plan = &shared.snapshot.load().plan;
        let (entity, _) = plan.ttl_for_raw_key(key.as_str());
        let bumped = shared.fence.version(entity).load(Ordering::Acquire);
        KeyBuf::of(key.as_str(), plan.version_of_entity(entity), bumped)
    }

    /// The store of bare JSON, if the table stores the key's entity in this form (`[[value]] plain`).
    pub(super) fn plain(&self, key: &Key) -> Option<&dyn Plain> {
        let shared = self.engine();
        let plan = &shared.snapshot.load().plan;
        let (entity, _) = plan.ttl_for_raw_key(key.as_str());
        let plain = plan.is_plain(entity);
        shared.tiers.plain.as_deref().filter(|_| plain)
    }
}

fn fresh_value(found: &FoundEntry, now: Now) -> Option<FreshValue> {
    let resident = now.wall.since(found.entry.stored);
    let left = lifetime(&found.entry)?.remaining(resident)?;
    let json = json_of(&found.entry).filter(|_| found.verdict == Verdict::Usable)?;
    Some(FreshValue { json, left })
}

fn lifetime(entry: &Entry) -> Option<&Lifetime> {
    match &entry.content {
        Content::Response(response) => Some(&response.lifetime),
        Content::Value(value) => Some(&value.lifetime),
        Content::Variants(_) => None,
    }
}
