//! What a request asks of the cache.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Method, Response, header, request};

use super::{
    answer::{self, Shape},
    fetch::Original,
    layer::Config,
};
use crate::{
    body::ResponseBody,
    clock::{Now, Timestamp},
    entry::{Content, Entry, StoredResponse, Variant},
    fence::{Capture, Verdict},
    keep::{Shared, Snapshot, lookup::Found},
    key::{Inputs, KeyBuf, url_key},
    origin::{self, Target},
    passage::Passages,
    semantics::{
        cache_control::RequestDirectives,
        cache_status::Forward,
        freshness::{self, Lifetime, Reason, Use},
        invalidation,
        no_vary_search::Rule,
        policy::{Policy, Scope},
        sharing::{self, Credentials},
        storable::Refusal,
        vary::VaryFields,
    },
    table::{self, Matched, RoutePlan, Unlisted},
};

/// What the cache has to do with a request.
pub(super) enum Ask<'p> {
    /// It passes, untouched.
    Nothing,
    /// It passes, and a success invalidates (RFC 9111 section 4.4).
    Invalidate,
    /// It is handled, but its answer neither comes from the store nor goes there.
    Bypass(Forward),
    /// Its key holds a hash of its body.
    Body,
    Stored(Glance<'p>),
}

/// A request and its key, while nothing of the request is owned.
pub(super) struct Glance<'p> {
    pub(super) traits: Traits,
    /// Written where it lies: it is too large to be moved about in a hit.
    pub(super) key: &'p mut KeyBuf,
    pub(super) route: Option<&'p Arc<RoutePlan>>,
    user: Option<Box<str>>,
    candidate: Option<Found>,
}

/// The same, for as long as the inner service takes.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) traits: Traits,
    pub(super) key: KeyBuf,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Whose request it is, where that matters.
    pub(super) user: Option<Box<str>>,
    /// Why nothing stored was found, if that is so.
    pub(super) missed: Forward,
    /// What is stored but could not be used as it is.
    pub(super) candidate: Option<Found>,
    pub(super) sent: Sent,
    /// By which rule the key was found, if not the query as it stands makes it.
    pub(super) search: Option<Arc<Rule>>,
}

/// How the request that goes to the inner service differs from the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    AsAsked,
    /// Without the client's preconditions and range.
    Whole,
    /// With those that validate the candidate in their place.
    Validating,
}

/// What the local tier says.
pub(super) enum Local<B> {
    Answer(Response<ResponseBody<B>>),
    /// An answer, and this caller is the one to refresh what is stored.
    Refresh(Response<ResponseBody<B>>),
    Nothing,
}

/// What of a request decides whether something stored answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) shape: Shape,
    pub(super) directives: RequestDirectives,
    pub(super) credentials: Credentials,
    pub(super) scope: Scope,
}

/// What to do with what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Fresh,
    /// Fresh, and due for a refresh behind the caller's back.
    Ahead,
    /// Stale, and allowed to be for now: refreshed behind the caller's back if `refresh`.
    Stale {
        refresh: bool,
    },
    /// Not without asking the inner service.
    Validate {
        reason: Reason,
        on_error: bool,
        on_disconnect: bool,
    },
    /// Not at all.
    Refused,
}

impl Judged {
    /// Whether the inner service need not be asked first.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Fresh | Self::Ahead | Self::Stale { .. })
    }

    pub(super) fn wants_refresh(self) -> bool {
        matches!(self, Self::Ahead | Self::Stale { refresh: true })
    }
}

impl<'p> Ask<'p> {
    /// Writes the key into `key`.
    pub(super) fn of(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        key: &'p mut KeyBuf,
    ) -> Self {
        let target = Target::of(parts);
        let Some(matched) = snapshot.plan.route(target.path, target.host) else {
            return Self::unlisted(config, snapshot, parts, target, key);
        };
        let route = matched.plan();
        let safe = route.is_safe(&parts.method);
        if is_another_protocol(parts, safe) {
            return Self::Nothing;
        }
        if !safe {
            return invalidate_below(config, parts, config.key.is_some());
        }
        if !has_method(&parts.method, route.needs_body) {
            return Self::Bypass(Forward::Method);
        }
        if route.key_names_host && origin::is_ambiguous(parts) {
            return Self::Bypass(Forward::Bypass);
        }
        if route.needs_body {
            return Self::Body;
        }
        Self::listed(config, snapshot, parts, target, &matched, None, key)
    }

    /// A request of a listed route, its body at hand where the key needs it.
    pub(super) fn listed(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        target: Target<'_>,
        matched: &Matched<'p, '_>,
        body: Option<&[u8]>,
        key: &'p mut KeyBuf,
    ) -> Self {
        let route = matched.plan();
        let scope = route.sharing();
        // Nobody asks who the user is where everybody gets the same answer.
        let user = match scope {
            Scope::Public if !route.key_names_user => None,
            _ => config.keep.shared().user(snapshot, parts),
        };
        let inputs = Inputs {
            host: target.host,
            path: target.path,
            query: target.query,
            headers: &parts.headers,
            user: user.as_ref().map(|user| user.id()),
            body,
        };
        if matched
            .key(&inputs, snapshot.version(route.id), key)
            .is_err()
        {
            return Self::Bypass(Forward::Bypass);
        }
        if let Some(derive) = &config.key {
            match derive(parts) {
                Some(own) => key.replace_base(own.as_str()),
                None => return Self::Bypass(Forward::Bypass),
            }
        }
        let obeys = route.request_directives == table::RequestDirectives::Obey;
        let traits = Traits {
            shape: Shape::of(&parts.method, &parts.headers),
            directives: directives(parts, obeys),
            credentials: snapshot.credentials(&parts.headers, user.is_some()),
            scope,
        };
        let user = user.map(|user| user.id().into());
        Self::Stored(Glance::new(traits, key, Some(route), user))
    }

    /// A path that no route names: RFC 9111 alone.
    fn unlisted(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        target: Target<'_>,
        key: &'p mut KeyBuf,
    ) -> Self {
        if snapshot.plan.unlisted == Unlisted::Pass {
            return Self::Nothing;
        }
        let safe = invalidation::is_safe(&parts.method);
        if is_another_protocol(parts, safe) {
            return Self::Nothing;
        }
        if safe && origin::is_ambiguous(parts) {
            return Self::Bypass(Forward::Bypass);
        }
        if invalidation::is_query(&parts.method) {
            return Self::Body;
        }
        if !has_method(&parts.method, false) {
            return match safe {
                true => Self::Nothing,
                false => invalidate_below(config, parts, false),
            };
        }
        Self::of_url(config, snapshot, parts, target, None, key)
    }

    /// The key of a URL, and of the content of a QUERY.
    pub(super) fn of_url(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        target: Target<'_>,
        body: Option<&[u8]>,
        key: &'p mut KeyBuf,
    ) -> Self {
        let user = config.keep.shared().user(snapshot, parts);
        let inputs = Inputs {
            host: target.host,
            path: target.path,
            query: target.query,
            headers: &parts.headers,
            user: None,
            body: None,
        };
        url_key(&inputs, None, key);
        if let Some(body) = body {
            key.push_content(&parts.headers, body);
        }
        let traits = Traits {
            shape: Shape::of(&parts.method, &parts.headers),
            directives: directives(parts, true),
            credentials: snapshot.credentials(&parts.headers, user.is_some()),
            scope: Scope::Standard,
        };
        Self::Stored(Glance::new(traits, key, None, None))
    }
}

/// What comes after such a request is not HTTP any more. A write is one all the same: some clients
/// offer an upgrade with every first request.
fn is_another_protocol(parts: &request::Parts, safe: bool) -> bool {
    parts.method == Method::CONNECT || (safe && parts.headers.contains_key(header::UPGRADE))
}

fn directives(parts: &request::Parts, obeyed: bool) -> RequestDirectives {
    if obeyed {
        RequestDirectives::parse(&parts.headers)
    } else {
        RequestDirectives::default()
    }
}

/// An `InvalidateLayer` above does it better, unless this layer has a key of its own; without one it
/// does what RFC 9111 section 4.4 asks.
fn invalidate_below<'p>(config: &Config, parts: &request::Parts, has_own_key: bool) -> Ask<'p> {
    let above = Passages::of(&parts.extensions).invalidate == config.keep.shared().id();
    if above && !has_own_key {
        Ask::Nothing
    } else {
        Ask::Invalidate
    }
}

/// GET and HEAD, and any safe method whose content is in the key.
fn has_method(method: &Method, content_in_key: bool) -> bool {
    matches!(*method, Method::GET | Method::HEAD) || content_in_key
}

impl<'p> Glance<'p> {
    fn new(
        traits: Traits,
        key: &'p mut KeyBuf,
        route: Option<&'p Arc<RoutePlan>>,
        user: Option<Box<str>>,
    ) -> Self {
        Self {
            traits,
            key,
            route,
            user,
            candidate: None,
        }
    }
}

impl Glance<'_> {
    /// What the local tier says; what cannot be used as it is, is left as the candidate.
    #[inline]
    pub(super) fn look<B>(&mut self, keep: &Shared, headers: &HeaderMap) -> Local<B> {
        let now = keep.clock.now();
        let Some(found) = keep.find_local(self.key, headers, now) else {
            return Local::Nothing;
        };
        let judged = judge(&self.traits, self.route.map(|r| &**r), &found, now);
        let answer = answer::judged(&self.traits, &found, judged, headers, now);
        let refresh = judged.wants_refresh() && found.entry.local.claim_refresh(now.mono);
        match answer {
            Some(answer) if refresh => {
                keep.metrics.hit_local.increment(1);
                self.candidate = Some(found);
                Local::Refresh(answer)
            }
            Some(answer) => {
                keep.metrics.hit_local.increment(1);
                Local::Answer(answer)
            }
            None => {
                self.candidate = Some(found);
                Local::Nothing
            }
        }
    }

    pub(super) fn own(self, snapshot: &Arc<Snapshot>) -> Asked {
        Asked {
            traits: self.traits,
            key: mem::take(self.key),
            route: self.route.map(Arc::clone),
            snapshot: Arc::clone(snapshot),
            user: self.user,
            missed: Forward::UriMiss,
            candidate: self.candidate,
            sent: Sent::AsAsked,
            search: None,
        }
    }
}

impl Asked {
    pub(super) fn judge(&self, found: &Found, now: Now) -> Judged {
        judge(&self.traits, self.route.as_deref(), found, now)
    }

    pub(super) fn with_candidate(&self, found: &Found) -> Self {
        Self {
            candidate: Some(found.clone()),
            ..self.clone()
        }
    }

    /// The stored response that could not be used as it is.
    pub(super) fn candidate_response(&self) -> Option<(&Arc<Entry>, &StoredResponse)> {
        let entry = &self.candidate.as_ref()?.entry;
        match &entry.content {
            Content::Response(response) => Some((entry, response)),
            _ => None,
        }
    }

    /// Why the inner service is asked.
    pub(super) fn forward_reason(&self) -> Forward {
        match self.candidate_response() {
            None => self.missed,
            Some((_, response)) if response.part.is_some() => Forward::Partial,
            Some(_) if self.traits.directives.no_cache => Forward::Request,
            Some(_) => Forward::Stale,
        }
    }

    /// The same, asked for everybody: the whole, and whatever the directives of one client.
    pub(super) fn for_everybody(mut self) -> Self {
        self.traits.shape = Shape::WHOLE;
        self.traits.directives = RequestDirectives::default();
        self
    }

    /// Ends what is stored, unless only this client is to have nothing of it.
    pub(super) async fn end(
        &self,
        keep: &Shared,
        entry: &Arc<Entry>,
        request: &HeaderMap,
        why: Refusal,
    ) {
        if why != Refusal::Credentials && self.speaks_for_others() {
            keep.forget(&self.key, request, entry).await;
        }
    }

    /// Whether this request may be answered with it at all, fresh or validated.
    pub(super) fn may_have(&self, response: &StoredResponse) -> bool {
        may_have(&self.traits, self.route.as_deref(), response)
    }

    /// Whether what this request is answered is what others would be.
    pub(super) fn speaks_for_others(&self) -> bool {
        sharing::may_collapse(self.traits.credentials, self.traits.scope)
            && !self.traits.directives.no_store
    }

    /// What the table says about the responses.
    pub(super) fn policy(&self) -> Policy<'_> {
        self.snapshot.policy(self.route.as_deref())
    }

    pub(super) fn entity(&self) -> &str {
        self.route.as_ref().map_or("", |route| &route.entity)
    }

    pub(super) fn table_vary(&self) -> &[HeaderName] {
        self.route.as_ref().map_or(&[], |route| &route.vary)
    }

    pub(super) fn max_body(&self) -> usize {
        let route = self.route.as_ref().map(|route| route.max_body);
        usize::try_from(route.unwrap_or(DEFAULT_MAX_BODY)).unwrap_or(usize::MAX)
    }

    pub(super) fn tags_need_answer(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| route.tags_need_answer())
    }

    pub(super) fn jittered(&self, lifetime: Lifetime) -> Lifetime {
        self.snapshot.jittered(lifetime)
    }

    pub(super) fn expiry(
        &self,
        lifetime: &Lifetime,
        received: Timestamp,
        has_validator: bool,
    ) -> Timestamp {
        self.snapshot.expiry(lifetime, received, has_validator)
    }

    /// Whether the fence lets what was captured then be stored now.
    pub(super) fn may_store(&self, keep: &Shared, capture: &Capture, entry: &Entry) -> bool {
        keep.may_store(capture, entry, self.key.base())
    }

    /// Stores a response whose body is whole.
    pub(super) async fn put(
        &self,
        keep: &Shared,
        capture: &Capture,
        entry: &Arc<Entry>,
        original: &Original,
    ) {
        let Content::Response(response) = &entry.content else {
            return;
        };
        let Ok(vary) = VaryFields::of(&response.headers, self.table_vary()) else {
            return;
        };
        if self.may_store(keep, capture, entry) {
            let request = &original.headers;
            let variant = (!vary.is_empty()).then(|| vary.variant(request, &response.headers));
            let mut asked = self.clone();
            asked.settle_key(keep, original, &response.headers);
            keep.put_response(&asked.key, variant.as_ref(), entry).await;
        }
    }

    /// Which variant of its key a stored response is, given the request that it answers.
    pub(super) fn variant(&self, entry: &Entry, request: &HeaderMap) -> Option<Variant> {
        let Content::Response(response) = &entry.content else {
            return None;
        };
        let vary = VaryFields::of(&response.headers, self.table_vary()).ok()?;
        (!vary.is_empty()).then(|| vary.variant(request, &response.headers))
    }

    /// Whether one answer may serve all who ask the same now.
    pub(super) fn collapses(&self) -> bool {
        let Traits {
            shape,
            directives,
            credentials,
            scope,
        } = &self.traits;
        let whole = self.route.is_some() || !(shape.conditional || shape.range);
        // Whether a query means the same can be told only once the answer is there.
        sharing::may_collapse(*credentials, *scope)
            && whole
            && self.search.is_none()
            && !shape.head
            && !directives.no_cache
            && !directives.no_store
    }
}

/// What an unlisted path's body, and a route's that says nothing, may have to be stored.
const DEFAULT_MAX_BODY: u64 = 1 << 20;

/// RFC 9111 section 4, and what the fence and the table add.
fn judge(traits: &Traits, route: Option<&RoutePlan>, found: &Found, now: Now) -> Judged {
    let Content::Response(response) = &found.entry.content else {
        return Judged::Refused;
    };
    if !may_have(traits, route, response) {
        return Judged::Refused;
    }
    let resident = now.wall.since(found.entry.stored);
    let judged = freshness::usable(&response.lifetime, resident, &traits.directives);
    match (found.verdict, judged) {
        (Verdict::Unusable, _) => Judged::Refused,
        // Nobody can tell whether it was invalidated: good only where an error is worse.
        (Verdict::Untrusted, judged) => Judged::Validate {
            reason: Reason::Stale,
            on_error: response.lifetime.stale_if_error > Duration::ZERO && excuses(judged),
            on_disconnect: false,
        },
        (Verdict::Stale, Use::Fresh { .. }) => Judged::Validate {
            reason: Reason::Stale,
            on_error: response.lifetime.stale_if_error > Duration::ZERO,
            on_disconnect: !response.lifetime.must_revalidate,
        },
        (_, Use::Fresh { ttl }) if due(route, response, ttl) => Judged::Ahead,
        (_, Use::Fresh { .. }) => Judged::Fresh,
        (_, Use::Stale { revalidate, .. }) => Judged::Stale {
            refresh: revalidate,
        },
        (
            _,
            Use::Validate {
                reason,
                on_error,
                on_disconnect,
            },
        ) => Judged::Validate {
            reason,
            on_error,
            on_disconnect,
        },
    }
}

/// RFC 9111 section 3.5, and what the table adds.
fn may_have(traits: &Traits, route: Option<&RoutePlan>, response: &StoredResponse) -> bool {
    let listed = route.is_some();
    sharing::may_serve(traits.credentials, traits.scope, listed, &response.lifetime)
}

/// Whether an error excuses the answer: within its window, and where nothing forbids it.
fn excuses(judged: Use) -> bool {
    !matches!(
        judged,
        Use::Validate {
            on_error: false,
            ..
        }
    )
}

/// Whether a fresh response is to be refreshed ahead of its end.
fn due(route: Option<&RoutePlan>, response: &StoredResponse, left: Duration) -> bool {
    let Some(route) = route else {
        return false;
    };
    route.refresh_ahead.is_some_and(|ahead| left < ahead)
        || route.early_refresh && is_early(response.cost, left, fastrand::f64())
}

/// Optimal probabilistic early expiration (XFetch): the dearer a response and the nearer its end,
/// the likelier one of many requests refreshes it before it ends. `chance` is at least 0, below 1.
fn is_early(cost: Duration, left: Duration, chance: f64) -> bool {
    left.as_secs_f64() < -cost.as_secs_f64() * (1.0 - chance).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearer_and_the_nearer_its_end_the_likelier_it_is_refreshed() {
        let refreshed = |cost, left| {
            let left = Duration::from_millis(left);
            let early = |n| is_early(Duration::from_millis(cost), left, f64::from(n) / 1000.0);
            (0..1000).filter(|n| early(*n)).count()
        };
        // The chance is e^(-left/cost).
        assert_eq!(refreshed(100, 100), 367);
        assert_eq!(refreshed(100, 200), 135);
        assert_eq!(refreshed(200, 200), 367);
        assert_eq!(refreshed(100, 10_000), 0);
        assert_eq!(refreshed(0, 1), 0);
    }
}
