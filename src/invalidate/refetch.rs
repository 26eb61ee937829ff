//! Write-through by a GET, which fetches the new version so that the `CacheLayer` below stores it.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, request};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use tracing::Instrument;

use super::write_request::WriteRequest;
use crate::{
    message::{
        drain::drain, http_service::HttpService, layer_markers::LayerMarkers,
        matched_route::MatchedRoute, replayable_body::ReplayableBody, response_future::BoxFuture,
        unconditional_get,
    },
    table::Through,
};

/// A GET of the write's target, to be sent once the write has been settled.
pub(super) struct Refetch(BoxFuture<()>);

impl Refetch {
    /// `None` unless the write's route has `through = "refetch"` and a service is known that answers
    /// GETs: the write's own handler must not be called twice.
    pub(super) fn of<S: HttpService<B>, B: ReplayableBody>(
        write: &WriteRequest,
        inner: &S,
        request: &Request<B>,
    ) -> Option<Self> {
        let route = write.route.as_deref()?;
        if write.through() != Some(Through::Refetch) {
            return None;
        }
        let mut parts = unconditional_get::from_request(request);
        LayerMarkers::mark(&mut parts.extensions, |markers| markers.refetch = true);
        let sent = match MatchedRoute::of(request.extensions()) {
            Some(matched) => {
                let host = route.key_names_host.then(|| write.changed.host());
                write.config.get_services.get(&matched, host, parts)
            }
            None => write
                .inner_answers_get
                .then(|| send_get(inner.clone(), parts)),
        };
        if sent.is_none() {
            write.engine().write_reports.refetch_skipped(&route.path);
        }
        sent.map(Self)
    }

    /// Sends the GET in its own task: if that panics, the write has succeeded nevertheless.
    pub(super) async fn run(self) {
        let task = AbortOnDropHandle::new(tokio::spawn(self.0.in_current_span()));
        if timeout(TIMEOUT, task).await.is_err() {
            tracing::debug!(
                timeout = ?TIMEOUT,
                "write-through: the GET after a write timed out; nothing is stored"
            );
        }
    }
}

/// Sends a GET without content, and reads the response to its end: then the `CacheLayer` below has
/// stored it.
pub(super) fn send_get<S: HttpService<B>, B: ReplayableBody>(
    inner: S,
    parts: request::Parts,
) -> BoxFuture<()> {
    Box::pin(async move {
        let request = Request::from_parts(parts, B::from_bytes(Bytes::new()));
        if let Ok(response) = inner.oneshot(request).await {
            let _ = drain(response.into_body()).await;
        }
    })
}

/// The longest time for which the write's response waits for the GET.
const TIMEOUT: Duration = Duration::from_secs(5);
