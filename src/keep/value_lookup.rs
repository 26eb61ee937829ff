//! Looking up application values.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::future::join;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::{
    handle::Keep,
    value_decision::{ValueUse, decide},
    value_json::{decode, json_of},
};
use crate::{
    clock::Now,
    engine::{
        core::Engine,
        tiers::{FoundEntry, StoreLookup},
    },
    error::Error,
    fence::verdict::Verdict,
    key::{Key, KeyBuf},
    semantics::{freshness::Lifetime, refresh_policy::RefreshPolicy},
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

/// A value that was found, and how it may be used.
#[derive(Clone, Debug)]
pub(super) struct FoundValue {
    pub(super) json: Bytes,
    pub(super) usage: ValueUse,
    /// Its entry; `None` if it is stored as bare JSON.
    entry: Option<FoundEntry>,
}

/// The result of a lookup of a value to be made if it is missing.
#[derive(Debug, Default)]
pub(super) struct ValueLookup {
    pub(super) found: Option<FoundValue>,
    /// A process has noted that others cannot use the key's value: do not wait for it.
    pub(super) is_hit_for_miss: bool,
}

impl FoundValue {
    fn of(found: FoundEntry, refresh: &RefreshPolicy, now: Now) -> Option<Self> {
        let usage = decide(&found, refresh, now)?;
        Some(Self {
            json: json_of(&found.entry)?,
            usage,
            entry: Some(found),
        })
    }

    /// The value, if it may still replace an error: it may have been invalidated since it was found.
    pub(super) fn still_usable(&self, engine: &Engine, key: &KeyBuf) -> Option<&Self> {
        let found = self.entry.as_ref()?;
        let now = engine.clock.now();
        let verdict = engine.fence.check(&found.entry, key.base(), now);
        let found = FoundEntry {
            verdict,
            ..found.clone()
        };
        decide(&found, &RefreshPolicy::default(), now).map(|_| self)
    }

    /// Whether the value may still be used: bare JSON, which nothing invalidates, always.
    pub(super) fn is_still_usable(&self, engine: &Engine, key: &KeyBuf) -> bool {
        self.entry.is_none() || self.still_usable(engine, key).is_some()
    }

    /// Whether the value has been refreshed since `earlier` was found.
    pub(super) fn is_refresh_of(&self, earlier: &Self) -> bool {
        match (&self.entry, &earlier.entry) {
            (Some(new), Some(old)) => self.usage.is_hit() && new.entry.stored > old.entry.stored,
            _ => self.usage == ValueUse::Fresh,
        }
    }
}

impl Keep {
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        match self.json(key).await {
            Some(json) => decode(key, &json),
            None => Ok(None),
        }
    }

    async fn json(&self, key: &Key) -> Option<Bytes> {
        let full = self.full_key(key);
        if let Some(plain) = self.plain(key) {
            // A failure is logged and counted by the store.
            return plain.get_plain(full.as_str()).await.ok().flatten();
        }
        self.fresh(&full).await.map(|value| value.json)
    }

    /// How long the value under `key` can still be used.
    pub(super) async fn time_left(&self, key: &Key) -> TimeLeft {
        let full = self.full_key(key);
        if let Some(plain) = self.plain(key) {
            let left = plain.plain_time_left(full.as_str()).await;
            return left.unwrap_or(TimeLeft::Missing);
        }
        let value = self.fresh(&full).await;
        value.map_or(TimeLeft::Missing, |value| TimeLeft::Left(value.left))
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
    async fn fresh(&self, key: &KeyBuf) -> Option<FreshValue> {
        if let Some(value) = self.fresh_local(key) {
            return Some(value);
        }
        let tiers = &self.engine().tiers;
        match tiers.lookup_in_store(key, &HeaderMap::new()).await {
            StoreLookup::Found((found, now)) => fresh_value(&found, now),
            StoreLookup::HitForMiss | StoreLookup::Nothing => None,
        }
    }

    fn fresh_local(&self, key: &KeyBuf) -> Option<FreshValue> {
        let shared = self.engine();
        let now = shared.clock.now();
        let found = shared.tiers.lookup_local(key, &HeaderMap::new(), now)?;
        fresh_value(&found, now)
    }

    /// Looks for a value that a caller could make: a hit in the local tier, or else what the store has.
    pub(super) async fn lookup_to_make(
        &self,
        key: &Key,
        full: &KeyBuf,
        refresh: &RefreshPolicy,
    ) -> ValueLookup {
        if let Some(plain) = self.plain(key) {
            return plain_lookup(plain, full.as_str(), refresh).await;
        }
        let engine = self.engine();
        let now = engine.clock.now();
        let local = engine.tiers.lookup_local(full, &HeaderMap::new(), now);
        let local = local.and_then(|found| FoundValue::of(found, refresh, now));
        if local.as_ref().is_some_and(|local| local.usage.is_hit()) {
            return ValueLookup {
                found: local,
                is_hit_for_miss: false,
            };
        }
        let mut lookup = self.lookup_stored(full, refresh).await;
        lookup.found = lookup.found.or(local);
        lookup
    }

    /// [`lookup_to_make`](Self::lookup_to_make) past the local tier.
    pub(super) async fn lookup_stored(
        &self,
        full: &KeyBuf,
        refresh: &RefreshPolicy,
    ) -> ValueLookup {
        let tiers = &self.engine().tiers;
        match tiers.lookup_in_store(full, &HeaderMap::new()).await {
            StoreLookup::Found((found, now)) => ValueLookup {
                found: FoundValue::of(found, refresh, now),
                is_hit_for_miss: false,
            },
            StoreLookup::HitForMiss => ValueLookup {
                found: None,
                is_hit_for_miss: true,
            },
            StoreLookup::Nothing => ValueLookup::default(),
        }
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

/// Bare JSON is fresh as long as it exists. Its remaining time is asked for only if it matters.
async fn plain_lookup(plain: &dyn Plain, key: &str, refresh: &RefreshPolicy) -> ValueLookup {
    // Failures are logged and counted by the store.
    let (text, is_due) = match refresh.ahead {
        None => (plain.get_plain(key).await, false),
        Some(ahead) => {
            let (text, left) = join(plain.get_plain(key), plain.plain_time_left(key)).await;
            let left = left.ok().and_then(TimeLeft::duration);
            (text, left.is_some_and(|left| left < ahead))
        }
    };
    let usage = match is_due {
        true => ValueUse::Refresh { is_stale: false },
        false => ValueUse::Fresh,
    };
    let found = text.ok().flatten().map(|json| FoundValue {
        json,
        usage,
        entry: None,
    });
    ValueLookup {
        found,
        is_hit_for_miss: false,
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
