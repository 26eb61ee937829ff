//! The settings of a value.

use std::time::Duration;

use super::handle::Keep;
use crate::{
    engine::core::Engine,
    key::Key,
    semantics::{freshness::Lifetime, refresh_policy::ValuePolicy},
};

/// The key of an application value, and the value's settings.
#[derive(Clone, Debug)]
pub(super) struct KeyedValue {
    pub(super) keep: Keep,
    pub(super) key: Key,
    pub(super) options: ValueOptions,
}

/// What an entry sets in place of the table's settings.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueOptions {
    pub(super) ttl: Option<Duration>,
    /// How long it stays known that there is no value.
    pub(super) none_ttl: Option<Duration>,
    pub(super) refresh_ahead: Option<Duration>,
    pub(super) early_refresh: Option<bool>,
    pub(super) stale_while_revalidate: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
    pub(super) tags: Vec<Box<str>>,
}

/// How a value is stored.
pub(super) struct StorageTerms {
    pub(super) entity: Box<str>,
    pub(super) lifetime: Lifetime,
    /// The time after which the value can no longer be used, not even stale.
    pub(super) retention: Duration,
}

impl ValueOptions {
    /// The policy for `key`: the table's, except where the entry sets its own.
    pub(super) fn policy(&self, engine: &Engine, key: &Key) -> ValuePolicy {
        let plan = &engine.snapshot.load().plan;
        let mut policy = plan.value_policy(plan.ttl_for_raw_key(key.as_str()).0);
        let refresh = &mut policy.refresh;
        refresh.ahead = self.refresh_ahead.or(refresh.ahead);
        refresh.early = self.early_refresh.unwrap_or(refresh.early);
        let windows = [
            (
                &mut policy.stale_while_revalidate,
                self.stale_while_revalidate,
            ),
            (&mut policy.stale_if_error, self.stale_if_error),
        ];
        for (window, own) in windows {
            *window = own.unwrap_or(*window);
        }
        policy
    }

    /// How a value is stored, with jitter; `None` if it is not. `is_null`: whether its JSON is `null`.
    pub(super) fn storage(
        &self,
        engine: &Engine,
        key: &Key,
        is_null: bool,
    ) -> Option<StorageTerms> {
        let policy = self.policy(engine, key);
        let snapshot = engine.snapshot.load();
        let max = snapshot.plan.max_ttl;
        let (entity, ttl) = snapshot.plan.ttl_for_raw_key(key.as_str());
        let lifetime = match is_null {
            true => Lifetime {
                fresh: self.none_ttl?.min(max),
                ..Lifetime::default()
            },
            false => Lifetime {
                fresh: self.ttl.unwrap_or(ttl).min(max),
                stale_while_revalidate: policy.stale_while_revalidate,
                stale_if_error: policy.stale_if_error,
                ..Lifetime::default()
            },
        };
        let windows = policy.stale_while_revalidate.max(policy.stale_if_error);
        let windows = if is_null { Duration::ZERO } else { windows };
        let lifetime = snapshot.with_jitter(lifetime);
        Some(StorageTerms {
            entity: entity.into(),
            lifetime,
            retention: lifetime.fresh.saturating_add(windows).min(max),
        })
    }
}
