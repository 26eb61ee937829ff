//! Which layers of the crate a request has come through.

use http::Extensions;

/// Left in a request that a layer handles, for those below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerMarkers {
    /// The keep whose `InvalidateLayer` sees to the invalidations of this request; 0 for none.
    pub(crate) invalidate: usize,
    /// The keep of the `CacheLayer` that fetches the answer; 0 for none.
    pub(crate) cache: usize,
    pub(crate) rate_limit: bool,
    /// It is a layer's own, to store what a write has changed: it waits for no other request.
    pub(crate) refetch: bool,
}

impl LayerMarkers {
    /// One look-up; an empty map costs a comparison.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    pub(crate) fn mark(extensions: &mut Extensions, change: impl FnOnce(&mut Self)) {
        change(extensions.get_or_insert_default());
    }
}
