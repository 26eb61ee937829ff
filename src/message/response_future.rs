//! The response future of `CacheLayer`, `InvalidateLayer` and `WriteBehindLayer`.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use pin_project_lite::pin_project;

use super::{prebuilt_head::PrebuiltResponse, response_body::ResponseBody};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response future of [`CacheLayer`](crate::CacheLayer),
    /// [`InvalidateLayer`](crate::InvalidateLayer) and [`WriteBehindLayer`](crate::WriteBehindLayer).
    ///
    /// `F` is the inner service's future, `B` its response body, and `E` its error, which is passed
    /// on unchanged.
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        kind: Kind<F, B, E>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, E> {
        Prebuilt { response: Option<PrebuiltResponse> },
        Ready { response: Option<Response<ResponseBody<B>>> },
        Inner { #[pin] future: F },
        Boxed { future: BoxFuture<Result<Response<ResponseBody<B>>, E>> },
    }
}

impl<F, B, E> ResponseFuture<F, B, E> {
    pub(crate) fn prebuilt(response: PrebuiltResponse) -> Self {
        Self {
            kind: Kind::Prebuilt {
                response: Some(response),
            },
        }
    }

    pub(crate) fn ready(response: Response<ResponseBody<B>>) -> Self {
        Self {
            kind: Kind::Ready {
                response: Some(response),
            },
        }
    }

    pub(crate) fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
        }
    }

    pub(crate) fn boxed<W>(work: W) -> Self
    where
        W: Future<Output = Result<Response<ResponseBody<B>>, E>> + Send + 'static,
    {
        Self {
            kind: Kind::Boxed {
                future: Box::pin(work),
            },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProj::Prebuilt { response } => {
                let response = response.take().expect("polled after it was ready");
                Poll::Ready(Ok(response.into_response()))
            }
            KindProj::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after it was ready")))
            }
            KindProj::Inner { future } => {
                (future.poll(cx)).map_ok(|response| response.map(ResponseBody::inner))
            }
            KindProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}

impl<F, B, E> fmt::Debug for ResponseFuture<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Prebuilt { .. } | Kind::Ready { .. } => "ready",
            Kind::Inner { .. } => "inner",
            Kind::Boxed { .. } => "boxed",
        };
        f.debug_tuple("ResponseFuture").field(&kind).finish()
    }
}
