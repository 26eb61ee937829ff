//! The response body that all layers share.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

use super::{
    buffer_budget::BufferPermit,
    deferred_end::{DeferredEnd, OnEnd},
    resumed_body::ResumedBody,
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
        Full { body: Full<Bytes> },
        // The trailers follow the chunks, or the error of an inner body that failed after them.
        // The permit counts the chunks until the body is dropped: a server may hold the last one.
        Chunks {
            chunks: VecDeque<Bytes>,
            last: Option<Result<Box<HeaderMap>, BoxError>>,
            permit: BufferPermit,
        },
        Shared { reader: BodyReader },
        Resumed { body: ResumedBody<B> },
        // Boxed, because it is large and seldom used, and a response is moved several times.
        Deferred { body: Pin<Box<DeferredEnd<B>>> },
    }
}

impl<B> ResponseBody<B> {
    fn of(kind: ResponseKind<B>) -> Self {
        Self { kind }
    }

    pub(crate) fn inner(body: B) -> Self {
        Self::of(ResponseKind::Inner { body })
    }

    pub(crate) fn empty() -> Self {
        Self::full(Bytes::new())
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        let body = Full::new(bytes);
        Self::of(ResponseKind::Full { body })
    }

    pub(crate) fn chunks(chunks: VecDeque<Bytes>, trailers: Option<HeaderMap>) -> Self {
        Self::buffered(chunks, trailers, BufferPermit::default())
    }

    /// [`chunks`](Self::chunks) that count towards a budget until they have been read.
    pub(crate) fn buffered(
        chunks: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
        permit: BufferPermit,
    ) -> Self {
        Self::of(ResponseKind::Chunks {
            chunks,
            last: trailers.map(|trailers| Ok(Box::new(trailers))),
            permit,
        })
    }

    /// Takes over the permit of `other`, whose bytes this body contains in part.
    pub(crate) fn with_permit_of(mut self, other: Self) -> Self {
        if let ResponseKind::Chunks { permit, .. } = &mut self.kind
            && let ResponseKind::Chunks { permit: taken, .. } = other.kind
        {
            *permit = taken;
        }
        self
    }

    /// The chunks that came before the inner body failed, and its error.
    pub(crate) fn failed(chunks: VecDeque<Bytes>, error: BoxError) -> Self {
        Self::of(ResponseKind::Chunks {
            chunks,
            last: Some(Err(error)),
            permit: BufferPermit::default(),
        })
    }

    /// A partly read body: yields the read `chunks`, then the rest.
    pub(crate) fn resumed(
        chunks: VecDeque<Bytes>,
        permit: BufferPermit,
        rest: Pin<Box<B>>,
    ) -> Self {
        let read = chunks.into_iter().map(Frame::data).collect();
        Self::resumed_frames(ResumedBody::new(read, rest).with_permit(permit))
    }

    /// A partly read body.
    pub(crate) fn resumed_frames(body: ResumedBody<B>) -> Self {
        Self::of(ResponseKind::Resumed { body })
    }

    pub(crate) fn with_deferred_end(body: B, on_end: OnEnd) -> Self {
        let body = Box::pin(DeferredEnd::new(body, on_end));
        Self::of(ResponseKind::Deferred { body })
    }

    pub(crate) fn shared(reader: BodyReader) -> Self {
        Self::of(ResponseKind::Shared { reader })
    }

    /// Whether the body is read from a fill in progress.
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
            ResponseProj::Inner { body } => body.poll_frame(cx).map_err(Into::into),
            ResponseProj::Full { body } => Pin::new(body).poll_frame(cx).map_err(Into::into),
            ResponseProj::Chunks { chunks, last, .. } => {
                let chunk = chunks.pop_front().map(|chunk| Ok(Frame::data(chunk)));
                let last = || Some(last.take()?.map(|trailers| Frame::trailers(*trailers)));
                Poll::Ready(chunk.or_else(last))
            }
            ResponseProj::Shared { reader } => reader.poll_frame(cx),
            ResponseProj::Resumed { body } => Pin::new(body).poll_frame(cx).map_err(Into::into),
            ResponseProj::Deferred { body } => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Inner { body } => body.is_end_stream(),
            ResponseKind::Full { body } => body.is_end_stream(),
            ResponseKind::Chunks { chunks, last, .. } => chunks.is_empty() && last.is_none(),
            ResponseKind::Shared { reader } => reader.is_end_stream(),
            ResponseKind::Resumed { body } => body.is_end_stream(),
            ResponseKind::Deferred { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            ResponseKind::Inner { body } => body.size_hint(),
            ResponseKind::Full { body } => body.size_hint(),
            ResponseKind::Chunks { chunks, last, .. } => {
                let mut hint = SizeHint::default();
                hint.set_lower(chunks.iter().map(|chunk| chunk.len() as u64).sum());
                // With an exact size a server sends Content-Length, and HTTP/1.1 then has no trailers.
                if last.is_none() {
                    hint.set_upper(hint.lower());
                }
                hint
            }
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
            ResponseKind::Shared { .. } => "shared",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

/// A response with this status, these fields and this body.
pub(crate) fn response<B>(
    status: StatusCode,
    fields: HeaderMap,
    body: ResponseBody<B>,
) -> Response<ResponseBody<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
