//! The request extension by which a layer demands a recent response of the cache below it.

use http::Extensions;

use crate::store::position::Position;

/// A request extension: how recent the response must be. A `CacheLayer` obeys it on routes that show
/// pending writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredPosition {
    /// A stored or shared response answers only if its position [includes](Position::includes) this
    /// one.
    Including(Position),
    /// No stored or shared response answers, and the new one is not stored.
    FromService,
}

impl RequiredPosition {
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }

    /// Leaves the demand in a request.
    pub(crate) fn demand(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}
