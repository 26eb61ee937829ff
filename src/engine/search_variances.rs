//! The `No-Vary-Search` rules of the recent responses of each path.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

use crate::semantics::no_vary_search::SearchVariance;

/// The number of paths whose rules are kept.
const MAX_PATHS: usize = 4 * 1024;
/// How many rules are kept for one path.
const RULES_PER_PATH: usize = 4;

/// The rules of each path, the most recent first. They are hints: a response that is found under a
/// rule's key must have that rule in its own `No-Vary-Search`.
pub(crate) struct SearchVariances {
    rules: Cache<u64, Arc<[Arc<SearchVariance>]>>,
    hasher: RandomState,
}

impl SearchVariances {
    pub(crate) fn new() -> Self {
        Self {
            rules: Cache::new(MAX_PATHS),
            hasher: RandomState::default(),
        }
    }

    /// The rules for a key without its variations.
    pub(crate) fn of(&self, key: &str) -> Option<Arc<[Arc<SearchVariance>]>> {
        if self.rules.is_empty() {
            return None;
        }
        self.rules.get(&self.hasher.hash_one(key))
    }

    /// Adds the rule of a response that is stored under `key`, without its variations.
    pub(crate) fn learn(&self, key: &str, rule: &Arc<SearchVariance>) {
        let known = self.of(key).unwrap_or_default();
        if known.first() == Some(rule) {
            return;
        }
        let others = known.iter().filter(|known| *known != rule);
        let rules = std::iter::once(rule).chain(others).take(RULES_PER_PATH);
        self.rules
            .insert(self.hasher.hash_one(key), rules.cloned().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recent_rules_are_kept_once_each() {
        let rules = SearchVariances::new();
        assert!(rules.of("url:h:/").is_none());
        let rule = |name: &str| {
            Arc::new(
                SearchVariance::parse(format!("params=(\"{name}\")").as_bytes()).expect("a rule"),
            )
        };
        for name in ["a", "b", "c", "d", "e", "c"] {
            rules.learn("url:h:/", &rule(name));
        }
        let known = rules.of("url:h:/").expect("rules");
        let expected: Vec<_> = ["c", "e", "d", "b"].into_iter().map(rule).collect();
        assert_eq!(known.as_ref(), expected);
        assert!(rules.of("url:h:/other").is_none());
    }
}
