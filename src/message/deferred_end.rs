//! A response body whose end is held back until a task has finished.

use std::{
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
/// task has finished. If the body is not read to its end, it is dropped without being called.
pub(crate) type OnEnd = Box<dyn FnOnce(Option<&HeaderMap>) -> JoinHandle<()> + Send + Sync>;

pin_project! {
    /// Passes data frames on unchanged, and holds back the trailers, the error or the end that follows
    /// them.
    pub(crate) struct DeferredEnd<B> {
        #[pin]
        body: B,
        // Until the body has ended.
        on_end: Option<OnEnd>,
        // The task to wait for, and the frame or error to pass on afterwards.
        held_back: Option<(JoinHandle<()>, Option<Result<Frame<Bytes>, BoxError>>)>,
    }
}

impl<B> DeferredEnd<B> {
    pub(crate) fn new(body: B, on_end: OnEnd) -> Self {
        Self {
            body,
            on_end: Some(on_end),
            held_back: None,
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
        if this.on_end.is_some() {
            let frame = ready!(this.body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
            if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                return Poll::Ready(frame);
            }
            let trailers = match &frame {
                Some(Ok(frame)) => frame.trailers_ref(),
                _ => None,
            };
            let task = this.on_end.take().map(|on_end| on_end(trailers));
            *this.held_back = task.map(|task| (task, frame));
        }
        if let Some((task, _)) = this.held_back {
            // A panic of the task does not change the response.
            let _ = ready!(Pin::new(task).poll(cx));
        }
        Poll::Ready(this.held_back.take().and_then(|(_, last)| last))
    }

    /// `false` until the end has been passed on: a server that knows the end does not poll for it.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.on_end.is_none() && self.held_back.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
