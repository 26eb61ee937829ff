//! The response fields that hold tags.

use http::{HeaderMap, HeaderName};

use crate::semantics::cache_groups::{CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY};

/// The response fields whose members are tags.
#[derive(Clone, Debug)]
pub(super) struct TagFields {
    pub(super) names: Box<[HeaderName]>,
    /// Whether responses go to the client without these fields.
    pub(super) strip: bool,
}

impl TagFields {
    /// Copies a response's tag fields, and strips them off the response if that is configured.
    pub(super) fn take(&self, headers: &mut HeaderMap) -> HeaderMap {
        let mut taken = HeaderMap::new();
        for name in &self.names {
            for value in headers.get_all(name) {
                taken.append(name.clone(), value.clone());
            }
        }
        self.strip(headers);
        taken
    }

    /// Strips the tag fields off a response if that is configured.
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
