//! A body whose end waits for something.

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

/// Called with the trailers, if there are any, once the body has ended; the end is passed on when
/// the task that it answers with is over. Dropped uncalled when nobody reads to the end.
pub(crate) type AtEnd = Box<dyn FnOnce(Option<&HeaderMap>) -> JoinHandle<()> + Send + Sync>;

pin_project! {
    /// Passes the data on as it comes, and holds back what ends the body.
    pub(crate) struct Gate<B> {
        #[pin]
        body: B,
        state: State,
    }
}

enum State {
    Open(Option<AtEnd>),
    Closing {
        task: JoinHandle<()>,
        last: Option<Result<Frame<Bytes>, BoxError>>,
    },
    Closed,
}

impl<B> Gate<B> {
    pub(crate) fn new(body: B, at_end: AtEnd) -> Self {
        Self {
            body,
            state: State::Open(Some(at_end)),
        }
    }
}

impl<B> Gate<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let State::Open(at_end) = this.state {
            let frame = ready!(this.body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
            if matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
                return Poll::Ready(frame);
            }
            let trailers = match &frame {
                Some(Ok(frame)) => frame.trailers_ref(),
                _ => None,
            };
            *this.state = match at_end.take() {
                Some(at_end) => State::Closing {
                    task: at_end(trailers),
                    last: frame,
                },
                None => State::Closed,
            };
        }
        let State::Closing { task, last } = this.state else {
            return Poll::Ready(None);
        };
        // However the task ended: there is nothing more to wait for.
        let _ = ready!(Pin::new(task).poll(cx));
        let last = last.take();
        *this.state = State::Closed;
        Poll::Ready(last)
    }

    /// Only once the end has been passed on: whoever is told so earlier does not ask for it.
    pub(crate) fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for Gate<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
