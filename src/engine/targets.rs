//! What a successful unsafe request makes unusable by itself (RFC 9111 section 4.4).

use http::{HeaderName, Method, Response, Uri};

use super::{core::Engine, snapshot::Snapshot};
use crate::{
    key::{KeyBuf, KeyInputs, purge::PurgeTarget, url_key},
    message::{client_request::ClientRequest, target::Target},
    semantics::{cache_groups, invalidation, request_head::RequestHead, sharing::Credentials},
    table::RouteMatch,
};

/// A request that may change something, as far as its answer's invalidations need it.
#[derive(Debug)]
pub(crate) struct WriteTargets {
    request: ClientRequest,
    /// As it goes into keys, before encoding.
    user: Option<Box<str>>,
}

impl WriteTargets {
    pub(crate) fn by(request: ClientRequest, user: Option<&str>) -> Self {
        Self {
            request,
            user: user.map(Into::into),
        }
    }

    /// The keys of the target and of what `Location` and `Content-Location` name, all their
    /// variations included; none for an error.
    pub(crate) fn subjects<B>(&self, keep: &Engine, response: &Response<B>) -> Vec<PurgeTarget> {
        let snapshot = keep.snapshot.load();
        self.targets(response)
            .iter()
            .filter_map(|target| self.subject(&snapshot, target))
            .collect()
    }

    /// The same without the target's.
    pub(crate) fn locations<B>(
        &self,
        snapshot: &Snapshot,
        response: &Response<B>,
    ) -> Vec<PurgeTarget> {
        let targets = self.targets(response);
        let others = targets.iter().skip(1);
        others
            .filter_map(|target| self.subject(snapshot, target))
            .collect()
    }

    /// The groups that the answer invalidates (RFC 9875 section 3), whatever its status.
    pub(crate) fn groups<B>(&self, response: &Response<B>) -> Vec<PurgeTarget> {
        if invalidation::is_safe(&self.request.method)
            || !response.headers().contains_key(&INVALIDATION)
        {
            return Vec::new();
        }
        let Some(groups) = cache_groups::members(response.headers(), &INVALIDATION) else {
            tracing::debug!("a Cache-Group-Invalidation field that cannot be read is ignored");
            return Vec::new();
        };
        let host = self.request.target().host;
        // Those of this host, and those that are kept for every host alike.
        let tags = groups
            .iter()
            .flat_map(|group| [host, None].map(|host| cache_groups::tag(group, host)));
        tags.map(PurgeTarget::Tag).collect()
    }

    /// The target's own key, all its variations included.
    pub(crate) fn target(&self, snapshot: &Snapshot) -> PurgeTarget {
        let inputs = self.inputs();
        match self.route(snapshot) {
            Some(matched) => matched.target(&inputs),
            None => url(&inputs),
        }
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

    /// The request as it came.
    pub(crate) fn as_sent(&self, snapshot: &Snapshot) -> RequestHead<'_> {
        self.request
            .head(snapshot.credentials(&self.request.headers, self.user.is_some()))
    }

    /// The request as the GET whose answer this write's own answer is to be.
    pub(crate) fn as_get(&self, snapshot: &Snapshot) -> RequestHead<'_> {
        RequestHead {
            method: &Method::GET,
            ..self.as_sent(snapshot)
        }
    }

    /// Whether the answer could be another host's than the key says.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.request.is_ambiguous()
    }

    pub(crate) fn method(&self) -> &Method {
        &self.request.method
    }

    /// Whether the answer may be that of a later GET if it says so: a POST's, where no route says
    /// otherwise (RFC 9110 section 9.3.3).
    pub(crate) fn may_answer_get(&self, snapshot: &Snapshot) -> bool {
        self.request.method == Method::POST && self.route(snapshot).is_none()
    }

    fn targets<B>(&self, response: &Response<B>) -> Vec<String> {
        let request = self.request.head(Credentials::None);
        invalidation::targets(&request, response.status(), response.headers())
    }

    fn subject(&self, snapshot: &Snapshot, target: &str) -> Option<PurgeTarget> {
        let uri: Uri = target.parse().ok()?;
        let inputs = KeyInputs {
            path: uri.path(),
            query: uri.query(),
            ..self.inputs()
        };
        let subject = match snapshot.plan.route(inputs.path, inputs.host) {
            Some(matched) => matched.target(&inputs),
            None => url(&inputs),
        };
        Some(subject)
    }
}

fn url(inputs: &KeyInputs<'_>) -> PurgeTarget {
    let mut key = KeyBuf::new();
    url_key(inputs, None, &mut key);
    PurgeTarget::Key(key.base().into())
}

const INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
