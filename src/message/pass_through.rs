//! Passing a request on from a layer that is always ready.

use std::{
    future::ready,
    task::{Context, Poll, Waker},
};

use http::Request;
use tower::util::ServiceExt;

use super::{
    http_service::HttpService, response_body::ResponseBody, response_future::ResponseFuture,
};

/// The response future of a service in front of `S`.
pub(crate) type ServiceResponseFuture<S, B> = ResponseFuture<
    <S as HttpService<B>>::ServiceFuture,
    <S as HttpService<B>>::ResponseBody,
    <S as HttpService<B>>::ServiceError,
>;

/// Calls a clone of the inner service: at once if the clone is ready, otherwise in a boxed future.
#[inline]
pub(crate) fn pass_through<S, B>(inner: &S, request: Request<B>) -> ServiceResponseFuture<S, B>
where
    S: HttpService<B>,
    B: Send + 'static,
{
    let mut inner = inner.clone();
    match inner.poll_ready(&mut Context::from_waker(Waker::noop())) {
        // Constructed in place, because moving a large future is expensive.
        Poll::Ready(Ok(())) => ResponseFuture::inner(inner.call(request)),
        Poll::Ready(Err(error)) => ResponseFuture::boxed(ready(Err(error))),
        Poll::Pending => call_when_ready(inner, request),
    }
}

#[cold]
fn call_when_ready<S, B>(inner: S, request: Request<B>) -> ServiceResponseFuture<S, B>
where
    S: HttpService<B>,
    B: Send + 'static,
{
    ResponseFuture::boxed(async move { Ok(inner.oneshot(request).await?.map(ResponseBody::inner)) })
}
