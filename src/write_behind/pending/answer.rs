//! Answering a GET or HEAD with what it shows of pending writes.

use std::sync::Arc;

use http::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use tower::ServiceExt;

use super::{
    base::PendingElements,
    fields::{ContentSource, ask_for_whole, mark_pending, mark_unknown},
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
    store::position::Position,
    table::RoutePlan,
    write_queue::request::QueuedRequest,
};

/// A GET or HEAD of a route that shows pending writes.
#[derive(Clone, Debug)]
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

    /// Waits until this process knows the key's last ended attempt, so that what the cache stores is
    /// recent enough for the next request, too.
    async fn catch_up(&self, last_end: Position) {
        let fence = &self.engine.fence;
        if fence.is_behind(last_end) {
            // If the journal does not answer, the cache asks the inner service.
            let _ = fence.catch_up(last_end).await;
        }
    }

    /// Adds the elements to the inner service's response.
    async fn add_elements<S: HttpService<B>, B: ReplayableBody>(
        &self,
        inner: S,
        mut request: Request<B>,
        end: ArrayEnd,
        elements: &[bytes::Bytes],
    ) -> PendingResult<S, B> {
        ask_for_whole(request.headers_mut());
        let is_head = request.method() == Method::HEAD;
        let mut response = inner.oneshot(request).await?;
        if is_head {
            mark_pending(response.headers_mut(), ContentSource::Base);
            return Ok(response.map(ResponseBody::inner));
        }
        let behind = self.route.behind.as_ref();
        let elements = PendingElements {
            shape: ArrayShape {
                field: behind.and_then(|behind| behind.pending_field.as_deref()),
                id: behind.and_then(|behind| behind.pending_id.as_deref()),
            },
            end,
            elements,
            max_base: self.route.max_body,
        };
        Ok(elements
            .add_to(response, self.engine.buffers.permit())
            .await)
    }

    /// Answers with what a write shows in place of the inner service's response. Another user's write
    /// is shown only to those whom the service answers.
    async fn replace<S: HttpService<B>, B: ReplayableBody>(
        &self,
        inner: S,
        mut request: Request<B>,
        write: &QueuedRequest,
        shown: impl FnOnce(bool) -> Response<ResponseBody<S::ResponseBody>>,
    ) -> PendingResult<S, B> {
        let is_head = request.method() == Method::HEAD;
        if !is_own(write, self.user.as_deref()) {
            ask_for_whole(request.headers_mut());
            let base = inner.oneshot(request).await?;
            if !is_allowed(base.status()) {
                return Ok(unknown(base));
            }
        }
        Ok(shown(is_head))
    }
}

type PendingResult<S, B> = Result<
    Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>,
    <S as HttpService<B>>::ServiceError,
>;

/// Answers a GET or HEAD for which [`PendingRead::applies`].
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
    let asked =
        PendingRequests::read(&*engine.queue, &engine.known_requests, &read.key).await;
    let Ok(pending) = asked else {
        RequiredPosition::FromService.demand(request.extensions_mut());
        return Ok(unknown(inner.oneshot(request).await?));
    };
    if pending.is_incomplete {
        RequiredPosition::FromService.demand(request.extensions_mut());
    } else if pending.last_end.is_known() {
        read.catch_up(pending.last_end).await;
        RequiredPosition::Including(pending.last_end).demand(request.extensions_mut());
    }
    match Overlay::of(&read.route, &pending.requests, read.user.as_deref()) {
        Overlay::Nothing if !pending.is_incomplete => {
            Ok(inner.oneshot(request).await?.map(ResponseBody::inner))
        }
        Overlay::Nothing | Overlay::Unknown => Ok(unknown(inner.oneshot(request).await?)),
        Overlay::Content(write) => {
            read.replace(inner, request, &write, |is_head| content(&write, is_head))
                .await
        }
        Overlay::NoContent(write) => read.replace(inner, request, &write, |_| no_content()).await,
        Overlay::Elements(end, elements) => {
            read.add_elements(inner, request, end, &elements).await
        }
    }
}

/// The service's response, marked as one that may lack accepted writes.
fn unknown<R>(mut response: Response<R>) -> Response<ResponseBody<R>> {
    mark_unknown(response.headers_mut());
    response.map(ResponseBody::inner)
}

/// Whether the service lets the client read the resource, which may not exist yet.
fn is_allowed(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// The content of a PUT as a response.
fn content<R>(write: &QueuedRequest, is_head: bool) -> Response<ResponseBody<R>> {
    let mut response = match is_head {
        true => Response::new(ResponseBody::empty()),
        false => Response::new(ResponseBody::full(write.body.clone())),
    };
    let headers = response.headers_mut();
    mark_pending(headers, ContentSource::Queue);
    for name in [CONTENT_TYPE, CONTENT_LANGUAGE] {
        if let Some(value) = write.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(CONTENT_LENGTH, write.body.len().into());
    response
}

/// The response after a DELETE.
fn no_content<R>() -> Response<ResponseBody<R>> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    mark_pending(response.headers_mut(), ContentSource::Queue);
    response
}
