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
    /// Set when `rest` fails.
    failed: Option<Arc<AtomicBool>>,
}

impl<B> ResumedBody<B> {
    pub(crate) fn new(read: VecDeque<Frame<Bytes>>, rest: Pin<Box<B>>) -> Self {
        Self {
            read,
            permit: BufferPermit::default(),
            rest,
            failed: None,
        }
    }

    /// Keeps the permit for the frames that were read.
    pub(crate) fn with_permit(self, permit: BufferPermit) -> Self {
        Self { permit, ..self }
    }

    /// Sets `failed` when the body fails before its end.
    pub(crate) fn reporting_failure(mut self, failed: Arc<AtomicBool>) -> Self {
        self.failed = Some(failed);
        self
    }
}

impl<B: Body<Data = Bytes>> Body for ResumedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.permit.shrink_to(0);
        let polled = self.rest.as_mut().poll_frame(cx);
        if let (Poll::Ready(Some(Err(_))), Some(failed)) = (&polled, &self.failed) {
            failed.store(true, Ordering::Release);
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
