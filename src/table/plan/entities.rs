//! Entities of keys, with their TTLs and versions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::semantics::refresh_policy::ValuePolicy;

/// The entities that `[ttl]`, `[version]`, routes or values name.
#[derive(Debug)]
pub(crate) struct Entities {
    /// By first segment; each list in descending number of segments, then alphabetically.
    by_first: HashMap<Box<str>, Vec<EntitySettings>>,
    default: Duration,
}

#[derive(Debug)]
pub(super) struct EntitySettings {
    pub(super) entity: Arc<str>,
    pub(super) ttl: Option<Duration>,
    pub(super) version: Option<u64>,
    /// The TTL of values that code caches, in place of `ttl`.
    pub(super) value_ttl: Option<Duration>,
    /// Whether values that code caches are stored as bare JSON; `None` if no `[[value]]` names the
    /// entity.
    pub(super) plain: Option<bool>,
    /// How values are refreshed and used stale; set together with `plain`.
    pub(super) policy: Option<ValuePolicy>,
}

impl Entities {
    pub(super) fn new(default: Duration) -> Self {
        Self {
            by_first: HashMap::new(),
            default,
        }
    }

    /// Returns the settings of exactly this entity; adds it if it is new.
    pub(super) fn settings(&mut self, entity: &str) -> &mut EntitySettings {
        let list = self.by_first.entry(first(entity).into()).or_default();
        let order = |other: &EntitySettings| {
            let segments = |name: &str| std::cmp::Reverse(name.split(':').count());
            (segments(&other.entity), &*other.entity).cmp(&(segments(entity), entity))
        };
        let at = list.binary_search_by(order).unwrap_or_else(|at| {
            let entity = entity.into();
            list.insert(
                at,
                EntitySettings {
                    entity,
                    ttl: None,
                    version: None,
                    value_ttl: None,
                    plain: None,
                    policy: None,
                },
            );
            at
        });
        &mut list[at]
    }

    /// The TTL of an entity: its own, or that of the nearest name above it, or the default.
    pub(crate) fn ttl(&self, entity: &str) -> Duration {
        self.inherited(entity, |named| named.ttl)
            .unwrap_or(self.default)
    }

    /// The version of an entity: its own, or that of the nearest name above it, or 0 for none.
    pub(crate) fn version(&self, entity: &str) -> u64 {
        self.inherited(entity, |named| named.version).unwrap_or(0)
    }

    /// Whether the values of an entity are stored as bare JSON: as its own `[[value]]` says, or that of
    /// the nearest name above it.
    pub(crate) fn is_plain(&self, entity: &str) -> bool {
        self.inherited(entity, |named| named.plain).unwrap_or(false)
    }

    /// How the values of an entity are refreshed and used stale, as [`is_plain`](Self::is_plain).
    pub(crate) fn value_policy(&self, entity: &str) -> ValuePolicy {
        self.inherited(entity, |named| named.policy)
            .unwrap_or_default()
    }

    fn inherited<T>(&self, entity: &str, of: impl Fn(&EntitySettings) -> Option<T>) -> Option<T> {
        let list = self.by_first.get(first(entity))?;
        let mut name = entity;
        loop {
            if let Some(value) = list.iter().find(|n| *n.entity == *name).and_then(&of) {
                return Some(value);
            }
            name = name.rsplit_once(':')?.0;
        }
    }

    /// The entity of a key: the known name with the most segments, all of which occur in the key in
    /// this order, starting with the first segment. If there is none, the key's first segment.
    pub(crate) fn of_key<'a>(&'a self, key: &'a str) -> &'a str {
        self.in_key(key, |named| Some(&*named.entity))
            .unwrap_or(first(key))
    }

    pub(crate) fn ttl_of_key(&self, key: &str) -> Duration {
        self.in_key(key, |named| named.value_ttl.or(named.ttl))
            .unwrap_or(self.default)
    }

    fn in_key<'a, T>(
        &'a self,
        key: &str,
        of: impl Fn(&'a EntitySettings) -> Option<T>,
    ) -> Option<T> {
        let list = self.by_first.get(first(key))?;
        let mut in_key = list.iter().filter(|named| occurs_in(&named.entity, key));
        in_key.find_map(of)
    }
}

fn occurs_in(name: &str, key: &str) -> bool {
    let mut segments = key.split(':');
    name.split(':')
        .all(|wanted| segments.any(|segment| segment == wanted))
}

fn first(name: &str) -> &str {
    name.split_once(':').map_or(name, |(first, _)| first)
}
