//! The response fields that hold tags, and removing them from responses.

use http::{HeaderMap, HeaderName};

use crate::semantics::cache_groups::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY};

/// The response fields whose members are tags.
#[derive(Clone, Debug)]
pub(super) struct TagFields {
    pub(super) names: Box<[HeaderName]>,
    /// Whether these fields are removed from responses.
    pub(super) strip: bool,
}

impl TagFields {
    /// Copies a response's tag fields, and removes them from the response if `strip` is set.
    pub(super) fn read_and_strip(&self, headers: &mut HeaderMap) -> HeaderMap {
        let mut copy = HeaderMap::new();
        for name in &self.names {
            for value in headers.get_all(name) {
                copy.append(name.clone(), value.clone());
            }
        }
        self.strip(headers);
        copy
    }

    /// Removes the tag fields from a response if `strip` is set.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        if self.strip {
            for name in &self.names {
                headers.remove(name);
            }
        }
    }
}

impl Default for TagFields {
    fn default() -> Self {
        Self {
            names: [CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS].into(),
            strip: false,
        }
    }
}
