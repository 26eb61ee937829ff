//! The request extension in which a layer marks the requests that it handles.

use http::Extensions;

/// A request extension that a layer sets on the requests it handles, for the layers inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerMarkers {
    /// The id of the keep whose `InvalidateLayer` handles this request; 0 for none.
    pub(crate) invalidate: usize,
    /// The id of the keep whose `CacheLayer` fetches the response; 0 for none.
    pub(crate) cache: usize,
    pub(crate) rate_limit: bool,
    /// The id of the keep whose `WriteBehindLayer` has passed this request on; 0 for none.
    pub(crate) write_behind: usize,
    /// Whether a layer has sent this request to store the result of a write: it waits for no other
    /// request's response.
    pub(crate) refetch: bool,
}

impl LayerMarkers {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    pub(crate) fn mark(extensions: &mut Extensions, change: impl FnOnce(&mut Self)) {
        change(extensions.get_or_insert_default());
    }
}
