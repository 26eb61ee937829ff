//! Answering a GET or HEAD with what it shows of pending writes.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    Extensions, Method, Request, Response, StatusCode,
    header::{CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use tower::ServiceExt;

use super::{
    base::PendingElements,
    fields::{Completeness, ContentSource, ask_for_whole, mark_pending, mark_unknown},
    json_array::{ArrayEnd, ArrayShape},
    overlay::{Overlay, is_own},
    pending_requests::PendingRequests,
};
use crate::{
    engine::{
        acceptance::offered_write::queue_key, core::Engine, required_position::RequiredPosition,
        snapshot::Snapshot,
    },
    identity::User,
    message::{
        http_service::HttpService, layer_markers::LayerMarkers, replayable_body::ReplayableBody,
        response_body::ResponseBody, target::has_ambiguous_host,
    },
    semantics::upgrade,
    table::RoutePlan,
    write_queue::request::QueuedRequest,
};

/// A GET or HEAD of a route that shows pending writes.
pub(in crate::write_behind) struct PendingRead {
    engine: Arc<Engine>,
    route: Arc<RoutePlan>,
    /// The key whose writes are applied in order.
    key: Box<str>,
    user: Option<Box<str>>,
}

impl PendingRead {
    /// The read of a request whose response shows pending writes; `None` for any other request.
    ///
    /// Not with query parameters, because a write is not on every page of a collection; and not the
    /// request by which a layer stores the result of a write.
    pub(in crate::write_behind) fn of(
        engine: &Arc<Engine>,
        snapshot: &Snapshot,
        parts: &request::Parts,
    ) -> Option<Self> {
        let plan = &snapshot.plan;
        if !plan.shows_pending || !matches!(parts.method, Method::GET | Method::HEAD) {
            return None;
        }
        let target = engine.target(parts);
        let has_query = target.query.is_some_and(|query| !query.is_empty());
        if has_query || plan.is_ambiguous(target.path) {
            return None;
        }
        let matched = plan.route(target.path, target.host)?;
        let route = matched.plan();
        if !route.shows_pending() || !reaches_service(engine, parts) {
            return None;
        }
        let uri = engine.uri(&parts.uri, &parts.extensions);
        if route.key_names_host && has_ambiguous_host(uri, &parts.headers) {
            return None;
        }
        let user = engine.user(snapshot, parts);
        let user = user.as_ref().map(User::id);
        // A write that lacks a value of the key was not accepted.
        let key = queue_key(&matched, target, &parts.headers, user).ok()?;
        Some(Self {
            engine: Arc::clone(engine),
            route: Arc::clone(route),
            key,
            user: user.map(Into::into),
        })
    }

    /// Demands of the cache below that the service's response is no older than the queue's answer.
    async fn demand_base(&self, pending: &PendingRequests, extensions: &mut Extensions) {
        if pending.completeness == Completeness::Unknown {
            RequiredPosition::FromService.demand(extensions);
            return;
        }
        let (fence, last_end) = (&self.engine.fence, pending.last_end);
        if !last_end.is_known() {
            return;
        }
        // What the cache stores is then recent enough for the next request, too. If the journal does not
        // answer, the cache asks the service each time.
        if fence.is_behind(last_end) {
            let _ = fence.catch_up(last_end).await;
        }
        RequiredPosition::Including(last_end).demand(extensions);
    }

    fn elements<'a>(
        &'a self,
        end: ArrayEnd,
        elements: &'a [Bytes],
        completeness: Completeness,
    ) -> PendingElements<'a> {
        let behind = self.route.behind.as_ref();
        PendingElements {
            shape: ArrayShape {
                field: behind.and_then(|behind| behind.pending_field.as_deref()),
                id: behind.and_then(|behind| behind.pending_id.as_deref()),
            },
            end,
            elements,
            max_base: self.route.max_body,
            completeness,
        }
    }
}

impl fmt::Debug for PendingRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingRead")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether this is an ordinary request of a client to the service.
fn reaches_service(engine: &Engine, parts: &request::Parts) -> bool {
    let markers = LayerMarkers::of(&parts.extensions);
    if markers.cache == engine.id() {
        // It would share what one user sees, and answers without asking the queue.
        engine.report_misuse(
            "a CacheLayer stands outside the WriteBehindLayer, so responses do not show pending writes: put the WriteBehindLayer outside the CacheLayer",
        );
        return false;
    }
    !markers.refetch && !upgrade::is_upgrade(parts.version, &parts.headers)
}

type PendingResult<S, B> = Result<
    Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>,
    <S as HttpService<B>>::ServiceError,
>;

/// Answers with what is pending, or with the response of `inner`, which is called at most once, and
/// not before the queue has answered.
///
/// If nothing is pending, the response is that of `inner`, no older than the key's last ended attempt.
///
/// # Cancel safety
///
/// If the future is dropped, so is the call of `inner`.
pub(in crate::write_behind) async fn answer<S: HttpService<B>, B: ReplayableBody>(
    read: PendingRead,
    inner: S,
    mut request: Request<B>,
) -> PendingResult<S, B> {
    let engine = &read.engine;
    let asked = PendingRequests::read(&*engine.queue, &engine.known_requests, &read.key);
    let Ok(pending) = asked.await else {
        RequiredPosition::FromService.demand(request.extensions_mut());
        return Ok(unknown(inner.oneshot(request).await?));
    };
    let (user, completeness) = (read.user.as_deref(), pending.completeness);
    let is_head = request.method() == Method::HEAD;
    let overlay = Overlay::of(&read.route, &pending.requests, user);
    if let Overlay::Replaced(write) = &overlay
        && is_own(write, user)
    {
        return Ok(replacement(write, is_head, completeness));
    }
    read.demand_base(&pending, request.extensions_mut()).await;
    match overlay {
        Overlay::Nothing if completeness == Completeness::Complete => {
            Ok(inner.oneshot(request).await?.map(ResponseBody::inner))
        }
        Overlay::Nothing | Overlay::Unknown => Ok(unknown(inner.oneshot(request).await?)),
        // Another user's: only the service knows whether this one may read the resource.
        Overlay::Replaced(write) => Ok(match ask_for_access(inner, request).await? {
            Ok(()) => replacement(&write, is_head, completeness),
            Err(refused) => unknown(refused),
        }),
        Overlay::Elements(end, elements) => {
            ask_for_whole(request.headers_mut());
            let base = inner.oneshot(request).await?;
            let elements = read.elements(end, &elements, completeness);
            match is_head {
                true => Ok(elements.add_to_head(base)),
                false => Ok(elements.add_to(base, engine.buffers.permit()).await),
            }
        }
    }
}

/// Calls the service to see whether it lets the client read the resource, which may not exist yet. If
/// it does not, returns its response.
async fn ask_for_access<S: HttpService<B>, B: ReplayableBody>(
    inner: S,
    mut request: Request<B>,
) -> Result<Result<(), Response<S::ResponseBody>>, S::ServiceError> {
    ask_for_whole(request.headers_mut());
    let base = inner.oneshot(request).await?;
    let is_allowed = match base.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => true,
        status => status.is_success(),
    };
    Ok(if is_allowed { Ok(()) } else { Err(base) })
}

/// The service's response, marked as one that may lack accepted writes.
fn unknown<R>(mut response: Response<R>) -> Response<ResponseBody<R>> {
    mark_unknown(response.headers_mut());
    response.map(ResponseBody::inner)
}

/// What a PUT or DELETE shows: its content, or that there is none.
fn replacement<R>(
    write: &QueuedRequest,
    is_head: bool,
    completeness: Completeness,
) -> Response<ResponseBody<R>> {
    let mut response = Response::new(ResponseBody::empty());
    mark_pending(response.headers_mut(), ContentSource::Queue, completeness);
    if write.method == Method::DELETE {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    for name in [CONTENT_TYPE, CONTENT_LANGUAGE] {
        if let Some(value) = write.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    let length = write.body.len().into();
    response.headers_mut().insert(CONTENT_LENGTH, length);
    if !is_head {
        *response.body_mut() = ResponseBody::full(write.body.clone());
    }
    response
}
