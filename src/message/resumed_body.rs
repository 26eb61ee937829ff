//! A partly read body that yields the read frames again.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::buffer_budget::BufferPermit;

/// A partly read body: yields the frames that were read, then the rest.
///
/// A layer makes it when it stops reading a request body, because the content is too long or has
/// trailers, and to notice when the content of a write ends early. [`ReplayableBody::resume`](super::ReplayableBody::resume) turns it into a `B`.
pub struct ResumedBody<B> {
    read: VecDeque<Frame<Bytes>>,
    /// Counts the bytes in `read`, until the rest is requested: a server may hold the last frame.
    permit: BufferPermit,
    rest: Pin<Box<B>>,
    end: Option<Arc<ContentEnd>>,
}

impl<B> ResumedBody<B> {
    pub(crate) fn new(read: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>>) -> Self {
        Self {
            read,
            permit: BufferPermit::default(),
            rest,
            end: None,
        }
    }

    /// Keeps the permit for the frames that were read.
    pub(crate) fn with_permit(self, permit: BufferPermit) -> Self {
        Self { permit, ..self }
    }

    /// Notes in `end` how far the body is read.
    pub(crate) fn reporting_end(mut self, end: Arc<ContentEnd>) -> Self {
        self.end = Some(end);
        self
    }
}

impl<B: Body<Data = Bytes>> ResumedBody<B> {
    fn next_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.permit.shrink_to(0);
        self.rest.as_mut().poll_frame(cx)
    }
}

/// How far the content of a request has been read.
#[derive(Debug, Default)]
pub(crate) struct ContentEnd {
    failed: AtomicBool,
    reached: AtomicBool,
}

impl ContentEnd {
    /// Notes that there is nothing to read, or nothing more.
    pub(crate) fn note_reached(&self) {
        self.reached.store(true, Ordering::Release);
    }

    /// Whether the body has failed before its end (RFC 9112 section 8).
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether the reader has seen the end: every frame, or as much content as the body has announced.
    pub(crate) fn is_whole(&self) -> bool {
        self.reached.load(Ordering::Acquire) && !self.has_failed()
    }

    /// Takes note of what the body has yielded: a frame, an error or its end.
    fn note<T, E>(&self, yielded: Option<&Result<T, E>>, is_at_end: impl FnOnce() -> bool) {
        match yielded {
            Some(Err(_)) => self.failed.store(true, Ordering::Release),
            Some(Ok(_)) if !is_at_end() => {}
            Some(Ok(_)) | None => self.note_reached(),
        }
    }
}

/// Whether the rest of the body has no content.
pub(crate) fn is_at_end<B: Body>(body: &B) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl<B: Body<Data = Bytes>> Body for ResumedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.next_frame(cx);
        if let (Some(end), Poll::Ready(yielded)) = (&self.end, &polled) {
            end.note(yielded.as_ref(), || is_at_end(&*self));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.iter().filter_map(Frame::data_ref);
        let read: u64 = read.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for ResumedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumedBody").finish_non_exhaustive()
    }
}
