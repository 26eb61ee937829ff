//! From what is stored, or under way, to an answer.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode, header, response};

use super::{
    asked::Asked,
    judge::{Judged, Traits},
};
use crate::{
    clock::{Now, Timestamp},
    engine::{
        core::Engine,
        fill::Fill,
        hit::{Hit, Times},
        tiers::Found,
    },
    message::{response_body::ResponseBody, static_values},
    semantics::{
        byteranges,
        cache_report::NAME,
        cache_status::{CACHE_STATUS, CacheOutcome, CacheStatus, Forward},
        conditional,
        freshness::Lifetime,
        range::{self, Selection},
        stored::StoredResponse,
    },
    store::entry::{Content, Entry},
};

/// What of a request, beyond its key, decides the form of the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) head: bool,
    pub(super) conditional: bool,
    pub(super) range: bool,
}

impl Shape {
    pub(super) const WHOLE: Self = Self {
        head: false,
        conditional: false,
        range: false,
    };

    fn is_plain(self) -> bool {
        !self.head && self.is_unconditional()
    }

    /// Neither a range nor a precondition.
    pub(super) fn is_unconditional(self) -> bool {
        !(self.conditional || self.range)
    }
}

/// What a stored response makes of a request that it answers.
pub(super) enum Served<B> {
    /// A plain hit of these times.
    Plain(Times),
    Made(Response<ResponseBody<B>>),
}

impl<B> Served<B> {
    /// Made of the entry that it is served from.
    pub(super) fn response(self, entry: &Arc<Entry>) -> Response<ResponseBody<B>> {
        match self {
            Self::Plain(times) => Hit::new(Arc::clone(entry), times).response(),
            Self::Made(response) => response,
        }
    }
}

/// A stored answer, if what was judged allows one without asking the inner service.
#[inline]
pub(super) fn judged<B>(
    traits: &Traits,
    entry: &Entry,
    judged: Judged,
    headers: &HeaderMap,
    now: Now,
) -> Option<Served<B>> {
    if !judged.serves() {
        return None;
    }
    let times = traits.shape.is_plain().then(|| Times::of(entry, now));
    match times.flatten() {
        Some(times) => Some(Served::Plain(times)),
        None => stored(traits, entry, headers, now, None).map(Served::Made),
    }
}

/// An answer from a stored response, with a head made for this request alone; `status` where it is
/// not a hit.
pub(super) fn stored<B>(
    traits: &Traits,
    entry: &Entry,
    headers: &HeaderMap,
    now: Now,
    status: Option<&CacheStatus<'_>>,
) -> Option<Response<ResponseBody<B>>> {
    let Content::Response(stored) = &entry.content else {
        return None;
    };
    let resident = now.wall.since(entry.stored);
    let mut fields = stored.headers.clone();
    describe(&mut fields, &stored.lifetime, resident, status);
    shaped(traits, entry, stored, headers, fields)
}

/// Says how old it is, and that it is a hit unless `status` says something else.
fn describe(
    fields: &mut HeaderMap,
    lifetime: &Lifetime,
    resident: Duration,
    status: Option<&CacheStatus<'_>>,
) {
    fields.insert(
        header::AGE,
        static_values::age(lifetime.age(resident).as_secs()),
    );
    let status = match status {
        Some(status) => status.to_value(NAME),
        None => static_values::hit(lifetime.ttl(resident)),
    };
    fields.append(CACHE_STATUS, status);
}

/// A plain hit on what nobody else holds: its head is moved where others have to copy it.
pub(super) fn taken<B>(
    traits: &Traits,
    found: &mut Found,
    judged: Judged,
    now: Now,
) -> Option<Response<ResponseBody<B>>> {
    let entry = Arc::get_mut(&mut found.entry)?;
    let Content::Response(stored) = &mut entry.content else {
        return None;
    };
    let whole = stored.part.is_none() && stored.trailers.is_none();
    if judged != Judged::Fresh || !traits.shape.is_plain() || !whole {
        return None;
    }
    let resident = now.wall.since(entry.stored);
    let mut fields = mem::take(&mut stored.headers);
    describe(&mut fields, &stored.lifetime, resident, None);
    let body = ResponseBody::full(mem::take(&mut stored.body));
    Some(with(stored.status, fields, body))
}

/// As the request wants it: not modified, a range, the head alone, or the whole.
fn shaped<B>(
    traits: &Traits,
    entry: &Entry,
    stored: &StoredResponse,
    request: &HeaderMap,
    mut fields: HeaderMap,
) -> Option<Response<ResponseBody<B>>> {
    let shape = traits.shape;
    let unmodified =
        || conditional::evaluate(request, stored.status, &stored.headers, entry.stored);
    if shape.conditional
        && stored.part.is_none()
        && unmodified() == conditional::PreconditionResult::NotModified
    {
        conditional::not_modified(&mut fields);
        return Some(with(
            StatusCode::NOT_MODIFIED,
            fields,
            ResponseBody::empty(),
        ));
    }
    if shape.head {
        let whole = stored.part.is_none();
        return whole.then(|| with(stored.status, fields, ResponseBody::empty()));
    }
    match range::select(request, stored) {
        Selection::Whole => {
            let body = stored.body.clone();
            let body = match &stored.trailers {
                None => ResponseBody::full(body),
                trailers => ResponseBody::chunks([body].into(), trailers.clone()),
            };
            Some(with(stored.status, fields, body))
        }
        Selection::Spans(spans) => {
            let boundary = format!("{:032x}", fastrand::u128(..));
            let pieces = byteranges::partial_content(&spans, stored, &boundary, &mut fields);
            let body = ResponseBody::chunks(pieces.into_iter().collect(), None);
            Some(with(StatusCode::PARTIAL_CONTENT, fields, body))
        }
        Selection::Unsatisfiable(complete) => {
            let mut refusal = byteranges::unsatisfiable(complete);
            for name in [header::DATE, header::AGE, CACHE_STATUS] {
                for value in fields.get_all(&name) {
                    refusal.append(&name, value.clone());
                }
            }
            let body = ResponseBody::empty();
            Some(with(StatusCode::RANGE_NOT_SATISFIABLE, refusal, body))
        }
        Selection::Missing => None,
    }
}

/// An answer from another request's fill, which is one for this request too; `None` if its first
/// byte is no longer held.
pub(super) fn followed<B>(
    asked: &Asked,
    fill: &Fill,
    headers: &HeaderMap,
    keep: &Engine,
) -> Option<Response<ResponseBody<B>>> {
    let Content::Response(stored) = &fill.head.content else {
        return None;
    };
    let body = ResponseBody::shared(fill.body.reader()?);
    let status = CacheStatus {
        outcome: CacheOutcome::Forward {
            reason: asked.missed,
            status: None,
            stored: false,
            collapsed: Some(true),
        },
        ..CacheStatus::forward(asked.missed)
    };
    let mut fields = stored.headers.clone();
    let resident = keep.clock.now().wall.since(fill.head.stored);
    describe(&mut fields, &stored.lifetime, resident, Some(&status));
    keep.metrics.collapsed.increment(1);
    let mut response = Response::new(body);
    *response.status_mut() = stored.status;
    *response.headers_mut() = fields;
    Some(conditionally(asked, headers, response, fill.head.stored))
}

/// What a client whose preconditions were not sent on gets of a full answer.
pub(super) fn conditionally<B>(
    asked: &Asked,
    request: &HeaderMap,
    mut response: Response<ResponseBody<B>>,
    received: Timestamp,
) -> Response<ResponseBody<B>> {
    if !asked.traits.shape.conditional {
        return response;
    }
    let outcome = conditional::evaluate(request, response.status(), response.headers(), received);
    if outcome == conditional::PreconditionResult::NotModified {
        conditional::not_modified(response.headers_mut());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = ResponseBody::empty();
    }
    response
}

/// Says in `Cache-Status` that the request went forward.
pub(super) fn label(
    head: &mut response::Parts,
    reason: Forward,
    stored: bool,
    detail: Option<&'static str>,
) {
    let status = CacheStatus {
        detail,
        ..forwarded(reason, stored)
    };
    status.append(NAME, &mut head.headers);
}

pub(super) fn forwarded(reason: Forward, stored: bool) -> CacheStatus<'static> {
    let outcome = CacheOutcome::Forward {
        reason,
        status: None,
        stored,
        collapsed: None,
    };
    CacheStatus {
        outcome,
        ..CacheStatus::forward(reason)
    }
}

/// Something stale in the place of an error, whose status is `instead_of`.
pub(super) fn stale<B>(
    traits: &Traits,
    found: &Found,
    headers: &HeaderMap,
    now: Now,
    instead_of: Option<StatusCode>,
) -> Option<Response<ResponseBody<B>>> {
    let Content::Response(response) = &found.entry.content else {
        return None;
    };
    let resident = now.wall.since(found.entry.stored);
    let status = CacheStatus {
        outcome: CacheOutcome::Forward {
            reason: Forward::Stale,
            status: instead_of,
            stored: false,
            collapsed: None,
        },
        ttl: Some(response.lifetime.ttl(resident)),
        key: None,
        detail: Some(if instead_of.is_some() {
            "stale-if-error"
        } else {
            "disconnected"
        }),
    };
    stored(traits, &found.entry, headers, now, Some(&status))
}

/// RFC 9111 section 5.2.1.7: `only-if-cached`, and nothing is stored.
pub(super) fn not_cached<B>(reason: Forward) -> Response<ResponseBody<B>> {
    let mut response = with(
        StatusCode::GATEWAY_TIMEOUT,
        HeaderMap::new(),
        ResponseBody::empty(),
    );
    let status = CacheStatus {
        detail: Some("only-if-cached"),
        ..CacheStatus::forward(reason)
    };
    status.append(NAME, response.headers_mut());
    response
}

/// A request whose content broke off.
pub(super) fn bad_request<B>() -> Response<ResponseBody<B>> {
    with(
        StatusCode::BAD_REQUEST,
        HeaderMap::new(),
        ResponseBody::empty(),
    )
}

fn with<B>(
    status: StatusCode,
    fields: HeaderMap,
    body: ResponseBody<B>,
) -> Response<ResponseBody<B>> {
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    head.headers = fields;
    Response::from_parts(head, body)
}
