use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response, StatusCode, request};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    admission::{Asked, Asking},
    fields::Fields,
    service::Gate,
};
use crate::message::response_body::ResponseBody;

pin_project! {
    /// An answer on its way through a [`RateLimit`](super::RateLimit).
    ///
    /// Neither boxed nor spawned, except while the store is being asked.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the inner service is called, it takes no quota. Dropped later, the request
    /// counts.
    pub struct ResponseFuture<S, F, B, R> {
        #[pin]
        kind: Kind<S, F, B, R>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, F, B, R> {
        Passing { #[pin] future: F },
        Admitted { #[pin] future: F, after: Option<After> },
        Refused { response: Option<Response<ResponseBody<R>>> },
        Asking { asking: Asking, waiting: Option<Box<Waiting<S, B>>> },
    }
}

/// What waits while the store is asked: the ready service and the request.
pub(super) struct Waiting<S, B> {
    pub(super) inner: S,
    pub(super) gate: Gate,
    pub(super) parts: request::Parts,
    pub(super) body: B,
}

/// What is to be done with the answer of an admitted request.
pub(super) struct After {
    pub(super) fields: Option<Fields>,
    /// Of requests that may be given back.
    pub(super) asked: Option<Box<Asked>>,
}

impl<S, F, B, R> ResponseFuture<S, F, B, R> {
    pub(super) fn passing(future: F) -> Self {
        Self {
            kind: Kind::Passing { future },
        }
    }

    pub(super) fn admitted(future: F, after: After) -> Self {
        Self {
            kind: Kind::Admitted {
                future,
                after: Some(after),
            },
        }
    }

    pub(super) fn refused(response: Response<ResponseBody<R>>) -> Self {
        Self {
            kind: Kind::Refused {
                response: Some(response),
            },
        }
    }

    pub(super) fn asking(asking: Asking, waiting: Waiting<S, B>) -> Self {
        Self {
            kind: Kind::Asking {
                asking,
                waiting: Some(Box::new(waiting)),
            },
        }
    }
}

impl<S, F, B, R> Future for ResponseFuture<S, F, B, R>
where
    S: Service<Request<B>, Response = Response<R>, Future = F>,
    F: Future<Output = Result<Response<R>, S::Error>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().kind.project() {
            KindProj::Passing { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            _ => self.poll_limited(cx),
        }
    }
}

impl<S, F, B, R> ResponseFuture<S, F, B, R>
where
    S: Service<Request<B>, Response = Response<R>, Future = F>,
    F: Future<Output = Result<Response<R>, S::Error>>,
{
    // Inlined, it would be in the way of what passes.
    #[inline(never)]
    fn poll_limited(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResponseBody<R>>, S::Error>> {
        loop {
            let admitted = match self.as_mut().project().kind.project() {
                KindProj::Passing { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                KindProj::Admitted { future, after } => {
                    let answer = ready!(future.poll(cx));
                    let after = after.take().expect("not polled after it was ready");
                    return Poll::Ready(after.settle(answer));
                }
                KindProj::Refused { response } => {
                    let response = response.take().expect("not polled after it was ready");
                    return Poll::Ready(Ok(response));
                }
                KindProj::Asking { asking, waiting } => {
                    let (asked, admitted) = ready!(Pin::new(asking).poll(cx));
                    let waiting = waiting.take().expect("not polled after it was ready");
                    if !admitted {
                        // with the service goes the permit that it holds
                        return Poll::Ready(Ok(waiting.gate.refuse(&asked.claims, &waiting.parts)));
                    }
                    waiting.go_on(asked)
                }
            };
            self.as_mut().project().kind.set(admitted);
        }
    }
}

impl<S, B> Waiting<S, B> {
    /// Calls the inner service.
    fn go_on<F, R>(mut self, asked: Asked) -> Kind<S, F, B, R>
    where
        S: Service<Request<B>, Response = Response<R>, Future = F>,
    {
        let Asked {
            snapshot,
            mut claims,
            ..
        } = asked;
        let (request, after) = self
            .gate
            .admit(&snapshot, &mut claims, self.parts, self.body);
        Kind::Admitted {
            future: self.inner.call(request),
            after: Some(after),
        }
    }
}

impl After {
    fn settle<R, E>(self, answer: Result<Response<R>, E>) -> Result<Response<ResponseBody<R>>, E> {
        if let Some(asked) = self.asked {
            // an error becomes a 500 further out
            let status = answer
                .as_ref()
                .map_or(StatusCode::INTERNAL_SERVER_ERROR, Response::status);
            let limits = asked.snapshot.plan.limits();
            asked.give_back(|claim| limits.get(claim.limit).is_some_and(|l| l.refunds(status)));
        }
        let mut response = answer?.map(ResponseBody::inner);
        if let Some(fields) = self.fields {
            fields.put(response.headers_mut());
        }
        Ok(response)
    }
}

impl<S, F, B, R> fmt::Debug for ResponseFuture<S, F, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Passing { .. } => "passing",
            Kind::Admitted { .. } => "admitted",
            Kind::Refused { .. } => "refused",
            Kind::Asking { .. } => "asking",
        };
        f.debug_tuple("ResponseFuture").field(&kind).finish()
    }
}
