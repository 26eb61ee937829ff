//! The names of the response fields that carry tags.

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};

use crate::semantics::cache_groups::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY};

/// Every response field from which some layer of the keep reads tags.
#[derive(Debug)]
pub(crate) struct TagFieldNames(ArcSwap<Vec<HeaderName>>);

impl TagFieldNames {
    /// Records that a layer reads tags from this response field.
    pub(crate) fn add(&self, name: &HeaderName) {
        self.0.rcu(|names| {
            let mut names = Vec::clone(names);
            if !names.contains(name) {
                names.push(name.clone());
            }
            names
        });
    }

    /// Whether a response has a field from which tags are read.
    pub(crate) fn are_in(&self, headers: &HeaderMap) -> bool {
        let names = self.0.load();
        names.iter().any(|name| headers.contains_key(name))
    }
}

impl Default for TagFieldNames {
    fn default() -> Self {
        let names = vec![CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS];
        Self(ArcSwap::from_pointee(names))
    }
}
