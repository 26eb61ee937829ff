//! The response body that every layer of the crate shares.

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
    deferred_end::{AtEnd, Gate},
    shared_buffer::BodyReader,
};
use crate::error::BoxError;

pin_project! {
    /// The body of an answer: the inner service's own, or a stored one.
    ///
    /// A stored body is never copied: its chunks are slices of what the tier holds.
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
        // What came before the inner body failed.
        Failed { chunks: VecDeque<Bytes>, error: Option<BoxError> },
        Shared { reader: BodyReader },
        // Read in part before it was found too long to hold.
        Resumed { held: VecDeque<Bytes>, rest: Pin<Box<B>> },
        Gated { #[pin] gate: Gate<B> },
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

    pub(crate) fn resumed(held: VecDeque<Bytes>, rest: Pin<Box<B>>) -> Self {
        Self {
            kind: ResponseKind::Resumed { held, rest },
        }
    }

    pub(crate) fn gated(body: B, at_end: AtEnd) -> Self {
        Self {
            kind: ResponseKind::Gated {
                gate: Gate::new(body, at_end),
            },
        }
    }

    pub(crate) fn shared(reader: BodyReader) -> Self {
        Self {
            kind: ResponseKind::Shared { reader },
        }
    }

    /// Whether it is still on its way into the tiers.
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
            ResponseProj::Resumed { held, rest } => match held.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => {
                    let frame = ready!(rest.as_mut().poll_frame(cx));
                    Poll::Ready(frame.map(|f| f.map_err(Into::into)))
                }
            },
            ResponseProj::Gated { gate } => gate.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            ResponseKind::Inner { body } => body.is_end_stream(),
            ResponseKind::Full { bytes } => bytes.is_none(),
            ResponseKind::Chunks { chunks, trailers } => chunks.is_empty() && trailers.is_none(),
            ResponseKind::Failed { chunks, error } => chunks.is_empty() && error.is_none(),
            ResponseKind::Shared { reader } => reader.is_end_stream(),
            ResponseKind::Resumed { held, rest } => held.is_empty() && rest.is_end_stream(),
            ResponseKind::Gated { gate } => gate.is_end_stream(),
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
                    // A server that took this for the length would have no room for trailers.
                    hint = SizeHint::new();
                    hint.set_lower(length);
                }
                hint
            }
            ResponseKind::Failed { .. } => SizeHint::default(),
            ResponseKind::Shared { reader } => reader.size_hint(),
            ResponseKind::Resumed { held, rest } => {
                resumed_hint(held.iter().map(|b| b.len() as u64).sum(), rest.size_hint())
            }
            ResponseKind::Gated { gate } => gate.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            ResponseKind::Inner { .. }
            | ResponseKind::Resumed { .. }
            | ResponseKind::Gated { .. } => "inner",
            ResponseKind::Full { .. } | ResponseKind::Chunks { .. } => "stored",
            ResponseKind::Shared { .. } | ResponseKind::Failed { .. } => "shared",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}

/// The size of a body of which `held` bytes have been read already.
pub(super) fn resumed_hint(held: u64, rest: SizeHint) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(held));
    if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(held)) {
        hint.set_upper(upper);
    }
    hint
}

fn exact(bytes: &Option<Bytes>) -> SizeHint {
    SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
}
