//! A response body whose end is held back until a task has finished.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::error::BoxError;

/// Called with the trailers, if any, once the body has ended. The end is passed on when the returned
/// task has finished. Dropped without a call if the body is not read to its end.
pub(crate) type OnEnd = Box<dyn FnOnce(Option<&HeaderMap>) -> JoinHandle<()> + Send + Sync>;

pin_project! {
    /// Passes data frames on as they come, and holds back the frame, error or end that is the last.
    pub(crate) struct DeferredEnd<B> {
        #[pin]
        body: B,
        state: DeferredEndState,
    }
}

enum DeferredEndState {
    Streaming(Option<OnEnd>),
    Waiting {
        task: JoinHandle<()>,
        last: Option<Result<Frame<Bytes>, BoxError>>,
    },
    Ended,
}

impl<B> DeferredEnd<B> {
    pub(crate) fn new(body: B, on_end: OnEnd) -> Self {
        Self {
            body,
            state: DeferredEndState::Streaming(Some(on_end)),
        }
    }
}

impl<B> DeferredEnd<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let DeferredEndState::Streaming(on_end) = this.state {
            let frame = ready!(this.body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
            if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                return Poll::Ready(frame);
            }
            let trailers = match &frame {
                Some(Ok(frame)) => frame.trailers_ref(),
                _ => None,
            };
            *this.state = match on_end.take() {
                Some(on_end) => DeferredEndState::Waiting {
                    task: on_end(trailers),
                    last: frame,
                },
                None => DeferredEndState::Ended,
            };
        }
        let DeferredEndState::Waiting { task, last } = this.state else {
            return Poll::Ready(None);
        };
        // A panic of the task does not change the response.
        let _ = ready!(Pin::new(task).poll(cx));
        let last = last.take();
        *this.state = DeferredEndState::Ended;
        Poll::Ready(last)
    }

    /// `false` until the end has been passed on: a server that knows the end does not poll for it.
    pub(crate) fn is_end_stream(&self) -> bool {
        matches!(self.state, DeferredEndState::Ended)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for DeferredEnd<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredEnd").finish_non_exhaustive()
    }
}
