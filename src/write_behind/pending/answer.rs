//! Answering a GET or HEAD with what it shows of pending writes.

use std::sync::Arc;

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
    engine::{core::Engine, required_position::RequiredPosition},
    message::{
        http_service::HttpService, layer_markers::LayerMarkers, replayable_body::ReplayableBody,
        response_body::ResponseBody,
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
    /// Whether the response to a request that matches `route` shows pending writes.
    ///
    /// Not with query parameters, because a write is not on every page of a collection; and not the
    /// request by which a layer stores the result of a write.
    pub(in crate::write_behind) fn applies(
        engine: &Engine,
        route: &RoutePlan,
        parts: &request::Parts,
    ) -> bool {
        if !route.shows_pending() || !matches!(parts.method, Method::GET | Method::HEAD) {
            return false;
        }
        let query = engine.uri(&parts.uri, &parts.extensions).query();
        let markers = LayerMarkers::of(&parts.extensions);
        let is_below_cache = markers.cache == engine.id();
        if is_below_cache {
            // It could store what one user sees, and answers without asking the queue.
            engine.report_misuse(
                "a CacheLayer stands outside the WriteBehindLayer: responses do not show pending writes; put the CacheLayer inside",
            );
        }
        query.is_none_or(str::is_empty)
            && !is_below_cache
            && !markers.refetch
            && !upgrade::is_upgrade(parts.version, &parts.headers)
    }

    pub(in crate::write_behind) fn new(
        engine: Arc<Engine>,
        route: Arc<RoutePlan>,
        key: Box<str>,
        user: Option<Box<str>>,
    ) -> Self {
        Self {
            engine,
            route,
            key,
            user,
        }
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

type PendingResult<S, B> = Result<
    Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>,
    <S as HttpService<B>>::ServiceError,
>;

/// Answers a GET or HEAD for which [`PendingRead::applies`]. `inner` is called at most once, and not
/// before the queue has answered.
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
