//! What a successful unsafe request makes unusable by itself (RFC 9111 section 4.4).

use http::{HeaderMap, Method, Response, Uri, request};

use super::{Shared, Snapshot};
use crate::{
    key::{Inputs, KeyBuf, url_key},
    origin::{self, Target},
    semantics::{invalidation, sharing::Credentials, storable::RequestHead},
    store::journal::Subject,
};

/// A request that may change something, as far as its answer's invalidations need it.
#[derive(Debug)]
pub(crate) struct Changed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Changed {
    pub(crate) fn by(parts: &request::Parts) -> Self {
        Self {
            method: parts.method.clone(),
            uri: origin::uri(&parts.uri, &parts.extensions).clone(),
            headers: parts.headers.clone(),
        }
    }

    /// The keys of the target and of what `Location` and `Content-Location` name, all their
    /// variations included; none for an error.
    pub(crate) fn subjects<B>(&self, keep: &Shared, response: &Response<B>) -> Vec<Subject> {
        let request = RequestHead {
            method: &self.method,
            headers: &self.headers,
            credentials: Credentials::None,
            authority: origin::authority(&self.uri, &self.headers),
            target: self.uri.path_and_query().map_or("/", |target| target.as_str()),
        };
        let snapshot = keep.snapshot.load();
        invalidation::targets(&request, response.status(), response.headers())
            .iter()
            .filter_map(|target| self.subject(&snapshot, target))
            .collect()
    }

    fn subject(&self, snapshot: &Snapshot, target: &str) -> Option<Subject> {
        let uri: Uri = target.parse().ok()?;
        let Target { path, query, .. } = Target::new(&uri, &self.headers);
        let host = origin::authority(&self.uri, &self.headers);
        let inputs = Inputs {
            host,
            path,
            query,
            headers: &self.headers,
            user: None,
            body: None,
        };
        let mut key = KeyBuf::new();
        let Some(matched) = snapshot.plan.route(path, host) else {
            url_key(&inputs, None, &mut key);
            return Some(Subject::Key(key.base().into()));
        };
        Some(matched.target(&inputs))
    }
}
