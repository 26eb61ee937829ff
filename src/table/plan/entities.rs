//! Which entity a key belongs to, and what the table says of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

/// The table's `[ttl]` and `[version]` names, and the routes' entities.
#[derive(Debug)]
pub(crate) struct Entities {
    /// By first segment; those with the most segments first, then alphabetically.
    names: HashMap<Box<str>, Vec<Named>>,
    default: Duration,
}

#[derive(Debug)]
struct Named {
    entity: Arc<str>,
    ttl: Option<Duration>,
    version: Option<u64>,
}

impl Entities {
    pub(super) fn new(default: Duration) -> Self {
        Self {
            names: HashMap::new(),
            default,
        }
    }

    pub(super) fn set_ttl(&mut self, entity: &str, ttl: Duration) {
        self.named(entity).ttl = Some(ttl);
    }

    pub(super) fn set_version(&mut self, entity: &str, version: u64) {
        self.named(entity).version = Some(version);
    }

    /// Makes the name known, and hands out its one copy.
    pub(super) fn intern(&mut self, entity: &str) -> Arc<str> {
        Arc::clone(&self.named(entity).entity)
    }

    fn named(&mut self, entity: &str) -> &mut Named {
        let list = self.names.entry(first(entity).into()).or_default();
        let order = |other: &Named| {
            let segments = |name: &str| std::cmp::Reverse(name.split(':').count());
            (segments(&other.entity), &*other.entity).cmp(&(segments(entity), entity))
        };
        let at = match list.binary_search_by(order) {
            Ok(at) => at,
            Err(at) => {
                list.insert(
                    at,
                    Named {
                        entity: entity.into(),
                        ttl: None,
                        version: None,
                    },
                );
                at
            }
        };
        &mut list[at]
    }

    /// The TTL of an entity: its own, else that of the nearest name above it, else the default.
    pub(crate) fn ttl(&self, entity: &str) -> Duration {
        self.inherited(entity, |named| named.ttl)
            .unwrap_or(self.default)
    }

    /// The version that the table gives an entity or the nearest name above it; 0 is none.
    pub(crate) fn version(&self, entity: &str) -> u64 {
        self.inherited(entity, |named| named.version).unwrap_or(0)
    }

    fn inherited<T>(&self, entity: &str, of: impl Fn(&Named) -> Option<T>) -> Option<T> {
        let list = self.names.get(first(entity))?;
        let mut name = entity;
        loop {
            if let Some(value) = list.iter().find(|n| *n.entity == *name).and_then(&of) {
                return Some(value);
            }
            name = name.rsplit_once(':')?.0;
        }
    }

    /// The known name with the most segments that stand in the key in order, from the first on;
    /// else the key's first segment.
    pub(crate) fn of_key<'a>(&'a self, key: &'a str) -> &'a str {
        self.in_key(key, |_| true)
            .map_or(first(key), |named| &named.entity)
    }

    pub(crate) fn ttl_of_key(&self, key: &str) -> Duration {
        self.in_key(key, |named| named.ttl.is_some())
            .and_then(|named| named.ttl)
            .unwrap_or(self.default)
    }

    fn in_key(&self, key: &str, counts: impl Fn(&Named) -> bool) -> Option<&Named> {
        self.names
            .get(first(key))?
            .iter()
            .find(|named| counts(named) && stands_in(&named.entity, key))
    }
}

fn stands_in(name: &str, key: &str) -> bool {
    let mut segments = key.split(':');
    name.split(':')
        .all(|wanted| segments.any(|segment| segment == wanted))
}

fn first(name: &str) -> &str {
    name.split_once(':').map_or(name, |(first, _)| first)
}
