//! Asking once more for what a write has changed, so that it is stored before anybody reads it.

use std::{future::poll_fn, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request};
use http_body::Body;
use tokio::{task::AbortHandle, time::timeout};
use tower::ServiceExt;
use tracing::Instrument;

use super::write::Write;
use crate::{
    message::{
        layer_markers::LayerMarkers, replay, request_body::ReplayableBody, service::HttpService,
    },
    table::{self, Through},
};

/// After this long the write is answered all the same, and nothing is stored.
const DEADLINE: Duration = Duration::from_secs(5);

/// A GET of the write's target, to be sent once the write has been appended.
pub(super) struct Refetch(BoxFuture<'static, ()>);

impl Write {
    /// Whether a success replaces what is stored, and by what.
    pub(super) fn through(&self) -> Option<Through> {
        let route = self.route.as_ref()?;
        let replaces = matches!(*self.changed.method(), Method::PUT | Method::PATCH);
        let through = route.write == table::Write::Through && replaces && !route.needs_body;
        (through && route.grpc.is_none()).then_some(route.through)
    }

    /// The request that fills the cache below once this one has been settled, if its route wants
    /// that.
    pub(super) fn refetch<S, B>(&self, inner: &S, request: &Request<B>) -> Option<Refetch>
    where
        S: HttpService<B>,
        B: ReplayableBody,
    {
        if self.through() != Some(Through::Refetch) {
            return None;
        }
        let mut parts = replay::as_get(request);
        LayerMarkers::mark(&mut parts.extensions, |passages| passages.refetch = true);
        let request = Request::from_parts(parts, B::from_bytes(Bytes::new()));
        let inner = inner.clone();
        Some(Refetch(Box::pin(async move {
            let Ok(response) = inner.oneshot(request).await else {
                return;
            };
            // To the end: then it has been stored.
            let mut body = pin!(response.into_body());
            while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
        })))
    }
}

impl Refetch {
    /// In a task of its own: if it panics, the write has succeeded all the same.
    pub(super) async fn run(self) {
        let task = tokio::spawn(self.0.in_current_span());
        let _end = Abort(task.abort_handle());
        if timeout(DEADLINE, task).await.is_err() {
            tracing::debug!("what was written is not stored: reading it again takes too long");
        }
    }
}

/// Ends the task when it is dropped.
struct Abort(AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}
