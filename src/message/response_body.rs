//! The response body of all layers.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    deferred_end::{DeferredEnd, OnEnd},
    resumed_body::Resumed,
    shared_buffer::BodyReader,
};
use crate::error::BoxError;

pin_project! {
    /// The response body of all layers of this crate: the inner service's own body `B`, or a
    /// stored one.
    ///
    /// A stored body is not copied for a response; its chunks share the stored bytes.
    pub struct ResponseBody<B> {
        #[pin]
        kind: ResponseKind<B>,
    }
}

pin_project! {
    #[project = ResponseProj]
    enum ResponseKind<B> {
        Inner { #[pin] body: B },
        Full { bytes: Option<Bytes> },
        Chunks { chunks: VecDeque<Bytes>, trailers: Option<Box<HeaderMap>> },
        // The chunks that came before the inner body failed.
        Failed { chunks: VecDeque<Bytes>, error: Option<BoxError> },
        Shared { reader: BodyReader },
        Resumed { body: Resumed<B> },
        Deferred { #[pin] body: DeferredEnd<B> },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self {
            kind: ResponseKind::Inner { body },
        }
    }

    pub(crate) fn empty() -> Self {
        Self {
            kind: ResponseKind::Full { bytes: None },
        }
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|b| !b.is_empty());
        Self {
            kind: ResponseKind::Full { bytes },
        }
    }

    pub(crate) fn chunks(chunks: VecDeque<Bytes>, trailers: Option<HeaderMap>) -> Self {
        let trailers = trailers.map(Box::new);
        Self {
            kind: ResponseKind::Chunks { chunks, trailers },
        }
    }

    pub(crate) fn failed(chunks: VecDeque<Bytes>, error: BoxError) -> Self {
        let error = Some(error);
        Self {
            kind: ResponseKind::Failed { chunks, error },
        }
    }

    /// A body of which `chunks` have been read.
    pub(crate) fn resumed(chunks: VecDeque<Bytes>, rest: Pin<Box<B>>) -> Self {
        let read = chunks.into_iter().map(Frame::data).collect();
        Self {
            kind: ResponseKind::Resumed {
                body: Resumed::new(read, rest),
            },
        }
    }

    pub(crate) fn with_deferred_end(body: B, on_end: OnEnd) -> Self {
        Self {
            kind: ResponseKind::Deferred {
                body: DeferredEnd::new(body, on_end),
            },
        }
    }

    pub(crate) fn shared(reader: BodyReader) -> Self {
        Self {
            kind: ResponseKind::Shared { reader },
        }
    }

    /// Whether it is read from a fill in progress.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.kind, ResponseKind::Shared { .. })
    }
}

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().kind.project() {
            ResponseProj::Inner { body } => {
                let frame = ready!(body.poll_frame(cx));
                Poll::Ready(frame.map(|f| f.map_err(Into::into)))
            }
            ResponseProj::Full { bytes } => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            ResponseProj::Chunks { chunks, trailers } => Poll::Ready(
                chunks
                    .pop_front()
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(|t| Frame::trailers(*t)))
                    .map(Ok),
            ),
            ResponseProj::Failed { chunks, error } => Poll::Ready(
                chunks
                    .pop_front()
                    .map(|chunk| Ok(Frame::data(chunk)))
                    .or_else(|| error.take().map(Err)),
            ),
            ResponseProj::Shared { reader } => reader.poll_frame(cx),
            ResponseProj::Resumed { body } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|f| f.map_err(Into::into)))
            }
            ResponseProj::Deferred { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Inner { body } => body.is_end_stream(),
            ResponseKind::Full { bytes } => bytes.is_none(),
            ResponseKind::Chunks { chunks, trailers } => chunks.is_empty() && trailers.is_none(),
            ResponseKind::Failed { chunks, error } => chunks.is_empty() && error.is_none(),
            ResponseKind::Shared { reader } => reader.is_end_stream(),
            ResponseKind::Resumed { body } => body.is_end_stream(),
            ResponseKind::Deferred { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Inner { body } => body.size_hint(),
            ResponseKind::Full { bytes } => exact(bytes),
            ResponseKind::Chunks { chunks, trailers } => {
                let length = chunks.iter().map(|b| b.len() as u64).sum();
                let mut hint = SizeHint::with_exact(length);
                if trailers.is_some() {
                    // With an exact size a server sends Content-Length, and HTTP/1.1 then has no
                    // trailers.
                    hint = SizeHint::new();
                    hint.set_lower(length);
                }
                hint
            }
            ResponseKind::Failed { .. } => SizeHint::default(),
            ResponseKind::Shared { reader } => reader.size_hint(),
            ResponseKind::Resumed { body } => body.size_hint(),
            ResponseKind::Deferred { body } => body.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            ResponseKind::Inner { .. }
            | ResponseKind::Resumed { .. }
            | ResponseKind::Deferred { .. } => "inner",
            ResponseKind::Full { .. } | ResponseKind::Chunks { .. } => "stored",
            ResponseKind::Shared { .. } | ResponseKind::Failed { .. } => "shared",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

fn exact(bytes: &Option<Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
}
