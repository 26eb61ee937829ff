//! The targets that a write invalidates by the rules of HTTP (RFC 9111 section 4.4, RFC 9875).

use std::sync::Arc;

use http::{HeaderName, Method, Response, Uri};
use serde_json::Value;

use super::snapshot::Snapshot;
use crate::{
    key::{KeyBuf, KeyInputs, PathReadings, host, path, purge::PurgeTarget, url_key},
    message::{client_request::ClientRequest, target::Target},
    semantics::{cache_groups, invalidation, request_head::RequestHead, sharing::Credentials},
    table::{NoRoute, Plan, RouteMatch, RoutePlan, Unlisted},
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
    /// all their variations; none if the response is an error. A URI that has no key is left out.
    pub(crate) fn purge_targets<B>(
        &self,
        snapshot: &Snapshot,
        response: &Response<B>,
    ) -> Vec<PurgeTarget> {
        self.keys(snapshot, response, 0)
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

    /// The keys of the request's target, with all their variations: one for each reading of it; `None` for
    /// one whose values the request lacks.
    pub(crate) fn targets(&self, snapshot: &Snapshot) -> Vec<Option<PurgeTarget>> {
        self.targets_of(snapshot, self.request.target())
    }

    /// The targets that the `invalidates` of its routes name; `None` for one whose values the request
    /// lacks. `fields` are those of the response's content; without them, `{answer.FIELD}` matches every
    /// value.
    pub(crate) fn invalidates(
        &self,
        snapshot: &Snapshot,
        fields: Option<&Value>,
    ) -> Vec<Option<PurgeTarget>> {
        let mut targets = Vec::new();
        let target = self.request.target();
        let readings = PathReadings::of(target.path);
        let readings = (readings.of_stored(), target);
        for_each_reading(&snapshot.plan, readings, |matched, target| {
            let inputs = self.inputs_of(target);
            targets.extend(matched.map(|it| it.invalidates(&inputs, fields)));
        });
        targets.into_iter().flatten().collect()
    }

    /// The distinct routes of all readings of the request's target.
    pub(crate) fn routes(&self, snapshot: &Snapshot) -> Vec<Arc<RoutePlan>> {
        routes(&snapshot.plan, self.request.target())
    }

    /// The route whose stored response the write may replace; `None` if the inner service may serve
    /// another one.
    pub(crate) fn route<'p>(&self, snapshot: &'p Snapshot) -> Option<RouteMatch<'p>> {
        let Target { path, host, .. } = self.request.target();
        let matched = snapshot.plan.route(path, host)?;
        (!snapshot.plan.is_ambiguous(path)).then_some(matched)
    }

    pub(crate) fn inputs(&self) -> KeyInputs<'_> {
        self.inputs_of(self.request.target())
    }

    fn inputs_of<'a>(&'a self, target: Target<'a>) -> KeyInputs<'a> {
        KeyInputs {
            scheme: target.scheme,
            host: target.host,
            path: target.path,
            query: target.query,
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

    /// The authority that the request is for.
    pub(crate) fn host(&self) -> Option<&str> {
        self.request.target().host
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
        let Target { path, host, .. } = self.request.target();
        self.request.method == Method::POST
            && !snapshot.plan.is_ambiguous(path)
            && snapshot.plan.find_route(path, || host).err() == Some(NoRoute::Path)
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
        let uris = uris.iter().skip(skipped);
        let keys = uris.filter_map(|uri| uri.parse().ok()).map(|uri: Uri| {
            let target = Target {
                path: uri.path(),
                query: uri.query(),
                ..self.request.target()
            };
            self.targets_of(snapshot, target)
        });
        keys.flatten().flatten().collect()
    }

    fn targets_of(&self, snapshot: &Snapshot, target: Target<'_>) -> Vec<Option<PurgeTarget>> {
        let mut targets = Vec::new();
        let readings = PathReadings::of(target.path);
        let readings = (readings.of_stored(), target);
        for_each_reading(&snapshot.plan, readings, |matched, target| {
            let inputs = self.inputs_of(target);
            match matched {
                Some(matched) => targets.push(matched.target(&inputs)),
                // Nothing is stored under it.
                None if path::is_ambiguous(target.path) => {}
                None => targets.push(Some(target_of_url(&inputs))),
            }
        });
        distinct(targets)
    }
}

/// The distinct routes of all readings of a target; empty if no route names it.
pub(crate) fn routes(plan: &Plan, target: Target<'_>) -> Vec<Arc<RoutePlan>> {
    let mut routes: Vec<Arc<RoutePlan>> = Vec::new();
    let readings = PathReadings::of(target.path);
    for_each_reading(plan, (readings.iter(), target), |matched, _| {
        let found = matched.map(|matched| Arc::clone(matched.plan()));
        let is_new = |route: &Arc<RoutePlan>| routes.iter().all(|other| other.id != route.id);
        routes.extend(found.filter(is_new));
    });
    routes
}

/// Whether a request may change something: its method is not safe by one of the readings of its target.
/// Paths that the layers leave untouched do not count.
pub(crate) fn is_write(plan: &Plan, target: Target<'_>, method: &Method) -> bool {
    let mut is_write = false;
    let readings = PathReadings::of(target.path);
    for_each_reading(plan, (readings.iter(), target), |matched, _| {
        is_write |= match matched {
            Some(matched) => !matched.plan().is_safe(method),
            None => plan.unlisted != Unlisted::Pass && !invalidation::is_safe(method),
        };
    });
    is_write
}

/// Calls `visit` with the target by each of these readings of its path, and with each route of that
/// reading, or `None`. The authority is read as received, and with and without a
/// default port, because its scheme may be unknown.
fn for_each_reading<'r>(
    plan: &Plan,
    (readings, target): (impl Iterator<Item = &'r str>, Target<'_>),
    mut visit: impl FnMut(Option<RouteMatch<'_>>, Target<'_>),
) {
    let hosts = target.host.map(host::equivalents).unwrap_or_default();
    for path in readings {
        let received = Target { path, ..target };
        let mut routes = plan.written_routes(path, target.host).peekable();
        if routes.peek().is_none() {
            visit(None, received);
        }
        routes.for_each(|matched| visit(Some(matched), received));
        for host in &hosts {
            let host = Some(host.as_str());
            let equivalent = Target { host, ..received };
            match plan.find_route(path, || host) {
                Ok(matched) if matched.plan().key_names_host => visit(Some(matched), equivalent),
                Err(NoRoute::Path) => visit(None, equivalent),
                // The key of the authority as received, or a host for which nothing is stored.
                Ok(_) | Err(NoRoute::Host) => {}
            }
        }
    }
}

fn distinct(mut targets: Vec<Option<PurgeTarget>>) -> Vec<Option<PurgeTarget>> {
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn target_of_url(inputs: &KeyInputs<'_>) -> PurgeTarget {
    let mut key = KeyBuf::new();
    url_key(inputs, &mut key);
    PurgeTarget::Key(key.base().into())
}

const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
