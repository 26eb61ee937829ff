//! The adapter for request bodies that cannot be made from bytes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

use super::{replayable_body::ReplayableBody, resumed_body::ResumedBody};

pin_project! {
    /// Wraps a body that cannot be made from bytes, such as hyper's `Incoming`, so that it
    /// implements [`ReplayableBody`].
    ///
    /// Frames, errors and the size hint of the wrapped body are passed on unchanged. See
    /// [`ReplayableBody`] for an example.
    pub struct RequestBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Original { #[pin] body: B },
        Bytes { body: Full<Bytes> },
        Resumed { body: ResumedBody<RequestBody<B>> },
    }
}

impl<B> RequestBody<B> {
    /// Wraps `body`.
    pub fn new(body: B) -> Self {
        Self {
            kind: Kind::Original { body },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Original { body } => body.poll_frame(cx),
            KindProj::Bytes { body } => Pin::new(body).poll_frame(cx).map_err(|e| match e {}),
            KindProj::Resumed { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Original { body } => body.is_end_stream(),
            Kind::Bytes { body } => body.is_end_stream(),
            Kind::Resumed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Original { body } => body.size_hint(),
            Kind::Bytes { body } => body.size_hint(),
            Kind::Resumed { body } => body.size_hint(),
        }
    }
}

impl<B> ReplayableBody for RequestBody<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    fn from_bytes(bytes: Bytes) -> Self {
        let body = Full::new(bytes);
        Self {
            kind: Kind::Bytes { body },
        }
    }

    fn resume(body: ResumedBody<Self>) -> Self {
        Self {
            kind: Kind::Resumed { body },
        }
    }
}

impl<B> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}
