//! The head of a request as the client sent it.

use http::{HeaderMap, Method, Uri};

use super::target::{self, Target};
use crate::semantics::{request_head::RequestHead, sharing::Credentials};

/// The head of a request as the client sent it; the request to the inner service may differ.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) method: Method,
    /// The URI as received, before a router removed a prefix.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl ClientRequest {
    pub(crate) fn target(&self) -> Target<'_> {
        Target::new(&self.uri, &self.headers)
    }

    /// Whether the inner service might read another host from the request than [`Target::host`].
    pub(crate) fn is_ambiguous(&self) -> bool {
        target::has_ambiguous_host(&self.uri, &self.headers)
    }

    pub(crate) fn head(&self, credentials: Credentials) -> RequestHead<'_> {
        let target = self.uri.path_and_query();
        RequestHead {
            method: &self.method,
            headers: &self.headers,
            credentials,
            authority: target::authority(&self.uri, &self.headers),
            target: target.map_or("/", |target| target.as_str()),
        }
    }
}
