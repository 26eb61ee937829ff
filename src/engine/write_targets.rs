//! The targets that a write invalidates by the rules of HTTP (RFC 9111 section 4.4, RFC 9875).

use http::{HeaderName, Method, Response, Uri};

use super::{core::Engine, snapshot::Snapshot};
use crate::{
    key::{KeyBuf, KeyInputs, purge::PurgeTarget, url_key},
    message::{client_request::ClientRequest, target::Target},
    semantics::{cache_groups, invalidation, request_head::RequestHead, sharing::Credentials},
    table::RouteMatch,
};

/// An unsafe request, and the targets that its response invalidates.
#[derive(Debug)]
pub(crate) struct WriteTargets {
    request: ClientRequest,
    /// The user's name in keys, before encoding.
    user: Option<Box<str>>,
}

impl WriteTargets {
    pub(crate) fn new(request: ClientRequest, user: Option<&str>) -> Self {
        Self {
            request,
            user: user.map(Into::into),
        }
    }

    /// The keys of the request's target and of the URIs in `Location` and `Content-Location`, with
    /// all their variations; none if the response is an error.
    pub(crate) fn purge_targets<B>(
        &self,
        engine: &Engine,
        response: &Response<B>,
    ) -> Vec<PurgeTarget> {
        self.keys(&engine.snapshot.load(), response, 0)
    }

    /// The keys of [`purge_targets`](Self::purge_targets) without that of the request's target.
    pub(crate) fn locations<B>(
        &self,
        snapshot: &Snapshot,
        response: &Response<B>,
    ) -> Vec<PurgeTarget> {
        self.keys(snapshot, response, 1)
    }

    /// The cache groups that the response invalidates (RFC 9875 section 3), whatever its status.
    pub(crate) fn groups<B>(&self, response: &Response<B>) -> Vec<PurgeTarget> {
        if invalidation::is_safe(&self.request.method)
            || !response.headers().contains_key(&CACHE_GROUP_INVALIDATION)
        {
            return Vec::new();
        }
        let Some(groups) = cache_groups::members(response.headers(), &CACHE_GROUP_INVALIDATION)
        else {
            tracing::debug!("ignoring an invalid Cache-Group-Invalidation field");
            return Vec::new();
        };
        let host = self.request.target().host;
        // The group's tags: for this host, and for responses stored for all hosts.
        let tags = groups
            .iter()
            .flat_map(|group| [host, None].map(|host| cache_groups::tag(group, host)));
        tags.map(PurgeTarget::Tag).collect()
    }

    /// The key of the request's target, with all its variations.
    pub(crate) fn target(&self, snapshot: &Snapshot) -> PurgeTarget {
        target_of(snapshot, &self.inputs())
    }

    pub(crate) fn route<'p>(&self, snapshot: &'p Snapshot) -> Option<RouteMatch<'p>> {
        let Target { path, host, .. } = self.request.target();
        snapshot.plan.route(path, host)
    }

    pub(crate) fn inputs(&self) -> KeyInputs<'_> {
        let Target { path, query, host } = self.request.target();
        KeyInputs {
            host,
            path,
            query,
            headers: &self.request.headers,
            user: self.user.as_deref(),
            body: None,
        }
    }

    /// The request as the client sent it.
    pub(crate) fn as_sent(&self, snapshot: &Snapshot) -> RequestHead<'_> {
        let (headers, query) = (&self.request.headers, self.request.uri.query());
        let credentials = snapshot.credentials(headers, query, self.user.is_some());
        self.request.head(credentials)
    }

    /// The request as a GET, for storing the write's response as the response to a GET.
    pub(crate) fn as_get(&self, snapshot: &Snapshot) -> RequestHead<'_> {
        RequestHead {
            method: &Method::GET,
            ..self.as_sent(snapshot)
        }
    }

    /// Whether the inner service might read another host from the request than the key contains.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.request.is_ambiguous()
    }

    pub(crate) fn method(&self) -> &Method {
        &self.request.method
    }

    /// Whether a response with explicit freshness may answer a later GET: only the response to a POST
    /// for a path without a route (RFC 9110 section 9.3.3).
    pub(crate) fn may_answer_get(&self, snapshot: &Snapshot) -> bool {
        self.request.method == Method::POST && self.route(snapshot).is_none()
    }

    /// The keys of the URIs that the response invalidates, without the first `skipped`.
    fn keys<B>(
        &self,
        snapshot: &Snapshot,
        response: &Response<B>,
        skipped: usize,
    ) -> Vec<PurgeTarget> {
        let request = self.request.head(Credentials::None);
        let uris = invalidation::targets(&request, response.status(), response.headers());
        let keys = uris.iter().skip(skipped).filter_map(|uri| {
            let uri: Uri = uri.parse().ok()?;
            let inputs = KeyInputs {
                path: uri.path(),
                query: uri.query(),
                ..self.inputs()
            };
            Some(target_of(snapshot, &inputs))
        });
        keys.collect()
    }
}

/// The key of a request with these inputs: by its route, or by its URL if no route matches.
fn target_of(snapshot: &Snapshot, inputs: &KeyInputs<'_>) -> PurgeTarget {
    if let Some(matched) = snapshot.plan.route(inputs.path, inputs.host) {
        return matched.target(inputs);
    }
    let mut key = KeyBuf::new();
    url_key(inputs, &mut key);
    PurgeTarget::Key(key.base().into())
}

const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
