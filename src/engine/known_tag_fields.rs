//! The response fields from which any layer of a keep reads tags.

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};

use crate::semantics::cache_groups::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY};

/// The names of all response fields from which layers of the keep read tags.
#[derive(Debug)]
pub(crate) struct KnownTagFields(ArcSwap<Vec<HeaderName>>);

impl KnownTagFields {
    /// Adds a response field from which a layer reads tags.
    pub(crate) fn add(&self, name: &HeaderName) {
        self.0.rcu(|names| {
            let mut names = Vec::clone(names);
            if !names.contains(name) {
                names.push(name.clone());
            }
            names
        });
    }

    /// Whether a response has any of the fields.
    pub(crate) fn any_in(&self, headers: &HeaderMap) -> bool {
        let names = self.0.load();
        names.iter().any(|name| headers.contains_key(name))
    }
}

impl Default for KnownTagFields {
    fn default() -> Self {
        let names = vec![CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS];
        Self(ArcSwap::from_pointee(names))
    }
}
