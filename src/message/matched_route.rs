//! The route of an axum router that a request has matched.

use http::Extensions;

#[cfg(feature = "axum")]
type Matched = axum::extract::MatchedPath;
#[cfg(not(feature = "axum"))]
type Matched = std::convert::Infallible;

/// The route of an axum router that a request has matched (feature `axum`).
///
/// A layer in such a router wraps the handler of one method, unless the route is a whole service.
#[derive(Clone, Debug)]
pub(crate) struct MatchedRoute(Matched);

impl MatchedRoute {
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        #[cfg(feature = "axum")]
        return extensions.get().cloned().map(Self);
        #[cfg(not(feature = "axum"))]
        {
            let _ = extensions;
            None
        }
    }

    /// The path of the route, with the paths of the routers around it.
    pub(crate) fn path(&self) -> &str {
        #[cfg(feature = "axum")]
        return self.0.as_str();
        #[cfg(not(feature = "axum"))]
        match self.0 {}
    }

    /// Whether both requests have matched the same route of the same router, not only of a router with
    /// an equal path. Of routers inside `nest_service` this is not known, and `false` is returned.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // A router shares the path with all requests. An address is not used again while one of the two
        // requests keeps the path alive.
        std::ptr::eq(self.path(), other.path())
    }
}

/// Whether a router of axum has passed the request on (feature `axum`). The service that receives it
/// may then be the handler of its method alone.
pub(crate) fn was_routed(extensions: &Extensions) -> bool {
    #[cfg(feature = "axum")]
    return extensions.get::<axum::extract::OriginalUri>().is_some();
    #[cfg(not(feature = "axum"))]
    {
        let _ = extensions;
        false
    }
}
