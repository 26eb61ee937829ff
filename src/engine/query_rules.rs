//! Which queries of a path mean the same, as its responses have said (`No-Vary-Search`).

use std::{fmt, hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

use crate::semantics::no_vary_search::QueryVariationRule;

const PATHS: usize = 4 * 1024;
/// How many rules are remembered of one path, the most recent first.
const RULES: usize = 4;

/// A bounded memory of hints: whoever finds a response by one asks that response whether it is so.
pub(crate) struct QueryVariationRules {
    rules: Cache<u64, Arc<[Arc<QueryVariationRule>]>>,
    hasher: RandomState,
}

impl QueryVariationRules {
    pub(crate) fn new() -> Self {
        Self {
            rules: Cache::new(PATHS),
            hasher: RandomState::default(),
        }
    }

    /// The rules of a key without its variations.
    pub(crate) fn of(&self, key: &str) -> Option<Arc<[Arc<QueryVariationRule>]>> {
        if self.rules.is_empty() {
            return None;
        }
        self.rules.get(&self.hasher.hash_one(key))
    }

    pub(crate) fn learn(&self, key: &str, rule: &Arc<QueryVariationRule>) {
        let known = self.of(key).unwrap_or_default();
        if known.first() == Some(rule) {
            return;
        }
        let others = known.iter().filter(|known| *known != rule);
        let rules = std::iter::once(rule).chain(others).take(RULES);
        self.rules
            .insert(self.hasher.hash_one(key), rules.cloned().collect());
    }
}

impl fmt::Debug for QueryVariationRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryVariationRules")
            .field("len", &self.rules.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_recent_rules_are_remembered_once_each() {
        let searches = QueryVariationRules::new();
        assert!(searches.of("url:h:/").is_none());
        let rule = |name: &str| {
            Arc::new(
                QueryVariationRule::parse(format!("params=(\"{name}\")").as_bytes())
                    .expect("a rule"),
            )
        };
        for name in ["a", "b", "c", "d", "e", "c"] {
            searches.learn("url:h:/", &rule(name));
        }
        let known = searches.of("url:h:/").expect("rules");
        let expected: Vec<_> = ["c", "e", "d", "b"].into_iter().map(rule).collect();
        assert_eq!(known.as_ref(), expected);
        assert!(searches.of("url:h:/other").is_none());
    }
}
