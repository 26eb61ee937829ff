//! Write-through by a GET, which fetches the new version so that the `CacheLayer` below stores it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use tracing::Instrument;

use super::write_request::WriteRequest;
use crate::{
    message::{
        drain::drain, http_service::HttpService, layer_markers::LayerMarkers,
        replayable_body::ReplayableBody, unconditional_get,
    },
    table::Through,
};

/// A GET of the write's target, to be sent once the write has been settled.
pub(super) struct Refetch(BoxFuture<'static, ()>);

impl Refetch {
    /// `None` unless the write's route has `through = "refetch"`.
    pub(super) fn of<S: HttpService<B>, B: ReplayableBody>(
        write: &WriteRequest,
        inner: &S,
        request: &Request<B>,
    ) -> Option<Self> {
        if write.through() != Some(Through::Refetch) {
            return None;
        }
        let mut parts = unconditional_get::from_request(request);
        LayerMarkers::mark(&mut parts.extensions, |markers| markers.refetch = true);
        let request = Request::from_parts(parts, B::from_bytes(Bytes::new()));
        let inner = inner.clone();
        Some(Self(Box::pin(async move {
            let Ok(response) = inner.oneshot(request).await else {
                return;
            };
            // The `CacheLayer` below has stored the response once its body has ended.
            let _ = drain(response.into_body()).await;
        })))
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

/// The longest time for which the write's response waits for the GET.
const TIMEOUT: Duration = Duration::from_secs(5);
