//! A body that is made while it is read.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Makes each chunk when it is read, after a pause, and counts the bytes made.
pub(crate) struct GeneratedBody {
    left: u64,
    paused: bool,
    says_length: bool,
    produced: Arc<AtomicU64>,
}

impl GeneratedBody {
    pub(crate) const CHUNK: usize = 64 << 10;

    /// A body of `length` bytes, a multiple of [`CHUNK`](Self::CHUNK). `produced` is increased by the
    /// length of each chunk.
    pub(crate) fn new(length: u64, says_length: bool, produced: Arc<AtomicU64>) -> Self {
        Self {
            left: length,
            paused: false,
            says_length,
            produced,
        }
    }
}

impl Body for GeneratedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.paused = !self.paused;
        if self.paused {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.left -= Self::CHUNK as u64;
        self.produced
            .fetch_add(Self::CHUNK as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(vec![b'x'; Self::CHUNK].into()))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.says_length {
            true => SizeHint::with_exact(self.left),
            false => SizeHint::default(),
        }
    }
}
