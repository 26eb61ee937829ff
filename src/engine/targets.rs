//! What a successful unsafe request makes unusable by itself (RFC 9111 section 4.4).

use http::{HeaderMap, HeaderName, Method, Response, Uri, request};

use super::{core::Shared, snapshot::Snapshot};
use crate::{
    key::{Inputs, KeyBuf, purge::Subject, url_key},
    message::target::{self, Target},
    semantics::{cache_groups, invalidation, sharing::Credentials, storable::RequestHead},
    table::Matched,
};

/// A request that may change something, as far as its answer's invalidations need it.
#[derive(Debug)]
pub(crate) struct Changed {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// As it goes into keys, before encoding.
    user: Option<Box<str>>,
}

impl Changed {
    pub(crate) fn by(parts: &request::Parts, user: Option<&str>) -> Self {
        Self {
            method: parts.method.clone(),
            uri: target::uri(&parts.uri, &parts.extensions).clone(),
            headers: parts.headers.clone(),
            user: user.map(Into::into),
        }
    }

    /// The keys of the target and of what `Location` and `Content-Location` name, all their
    /// variations included; none for an error.
    pub(crate) fn subjects<B>(&self, keep: &Shared, response: &Response<B>) -> Vec<Subject> {
        let snapshot = keep.snapshot.load();
        self.targets(response)
            .iter()
            .filter_map(|target| self.subject(&snapshot, target))
            .collect()
    }

    /// The same without the target's.
    pub(crate) fn locations<B>(&self, snapshot: &Snapshot, response: &Response<B>) -> Vec<Subject> {
        let targets = self.targets(response);
        let others = targets.iter().skip(1);
        others
            .filter_map(|target| self.subject(snapshot, target))
            .collect()
    }

    /// The groups that the answer invalidates (RFC 9875 section 3), whatever its status.
    pub(crate) fn groups<B>(&self, response: &Response<B>) -> Vec<Subject> {
        if invalidation::is_safe(&self.method) || !response.headers().contains_key(&INVALIDATION) {
            return Vec::new();
        }
        let Some(groups) = cache_groups::members(response.headers(), &INVALIDATION) else {
            tracing::debug!("a Cache-Group-Invalidation field that cannot be read is ignored");
            return Vec::new();
        };
        let host = target::authority(&self.uri, &self.headers);
        // Those of this host, and those that are kept for every host alike.
        let tags = groups
            .iter()
            .flat_map(|group| [host, None].map(|host| cache_groups::tag(group, host)));
        tags.map(Subject::Tag).collect()
    }

    /// The target's own key, all its variations included.
    pub(crate) fn target(&self, snapshot: &Snapshot) -> Subject {
        let inputs = self.inputs();
        match self.route(snapshot) {
            Some(matched) => matched.target(&inputs),
            None => url(&inputs),
        }
    }

    pub(crate) fn route<'p>(&self, snapshot: &'p Snapshot) -> Option<Matched<'p>> {
        let Target { path, host, .. } = Target::new(&self.uri, &self.headers);
        snapshot.plan.route(path, host)
    }

    pub(crate) fn inputs(&self) -> Inputs<'_> {
        let Target { path, query, host } = Target::new(&self.uri, &self.headers);
        Inputs {
            host,
            path,
            query,
            headers: &self.headers,
            user: self.user.as_deref(),
            body: None,
        }
    }

    /// The request as it came.
    pub(crate) fn as_sent(&self, snapshot: &Snapshot) -> RequestHead<'_> {
        self.head(snapshot.credentials(&self.headers, self.user.is_some()))
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
        target::names_hosts(&self.uri, &self.headers)
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether the answer may be that of a later GET if it says so: a POST's, where no route says
    /// otherwise (RFC 9110 section 9.3.3).
    pub(crate) fn may_answer_get(&self, snapshot: &Snapshot) -> bool {
        self.method == Method::POST && self.route(snapshot).is_none()
    }

    fn targets<B>(&self, response: &Response<B>) -> Vec<String> {
        let request = self.head(Credentials::None);
        invalidation::targets(&request, response.status(), response.headers())
    }

    fn head(&self, credentials: Credentials) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            headers: &self.headers,
            credentials,
            authority: target::authority(&self.uri, &self.headers),
            target: self
                .uri
                .path_and_query()
                .map_or("/", |target| target.as_str()),
        }
    }

    fn subject(&self, snapshot: &Snapshot, target: &str) -> Option<Subject> {
        let uri: Uri = target.parse().ok()?;
        let inputs = Inputs {
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

fn url(inputs: &Inputs<'_>) -> Subject {
    let mut key = KeyBuf::new();
    url_key(inputs, None, &mut key);
    Subject::Key(key.base().into())
}

const INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
