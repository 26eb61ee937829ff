use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response, request};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    admission::Admission,
    config::Config,
    post_process::{self, PostProcess},
    refusal::refuse,
    store_decision::StoreDecisionFuture,
};
use crate::message::response_body::ResponseBody;

pin_project! {
    /// The response future of [`RateLimit`](super::RateLimit).
    ///
    /// It allocates only if the shared store has to decide.
    ///
    /// # Cancel safety
    ///
    /// A request that is dropped before the inner service is called is not counted; one that is
    /// dropped later is.
    pub struct ResponseFuture<S, F, B, R> {
        #[pin]
        phase: Phase<S, F, B, R>,
    }
}

pin_project! {
    #[project = PhaseProj]
    enum Phase<S, F, B, R> {
        Calling { #[pin] future: F, post_process: Option<PostProcess> },
        Refused { response: Option<Response<ResponseBody<R>>> },
        Deciding { decision: StoreDecisionFuture, waiting: Option<Box<WaitingRequest<S, B>>> },
    }
}

/// A request that waits for the decision of the store, and the ready service to call with it.
pub(super) struct WaitingRequest<S, B> {
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
    pub(super) parts: request::Parts,
    pub(super) body: B,
}

impl<S, F, B, R> ResponseFuture<S, F, B, R> {
    /// Without `post_process`, the response is passed on unchanged.
    pub(super) fn calling(future: F, post_process: Option<PostProcess>) -> Self {
        Self {
            phase: Phase::Calling {
                future,
                post_process,
            },
        }
    }

    pub(super) fn refused(response: Response<ResponseBody<R>>) -> Self {
        Self {
            phase: Phase::Refused {
                response: Some(response),
            },
        }
    }

    pub(super) fn deciding(decision: StoreDecisionFuture, waiting: WaitingRequest<S, B>) -> Self {
        Self {
            phase: Phase::Deciding {
                decision,
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

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let calling = match self.as_mut().project().phase.project() {
                PhaseProj::Calling {
                    future,
                    post_process,
                } => {
                    let result = ready!(future.poll(cx));
                    return Poll::Ready(match post_process.take() {
                        None => result.map(|response| response.map(ResponseBody::inner)),
                        Some(post_process) => post_process.apply(result),
                    });
                }
                PhaseProj::Refused { response } => {
                    let response = response.take().expect("not polled after it was ready");
                    return Poll::Ready(Ok(response));
                }
                PhaseProj::Deciding { decision, waiting } => {
                    let (admission, admitted) = ready!(Pin::new(decision).poll(cx));
                    let waiting = waiting.take().expect("not polled after it was ready");
                    if !admitted {
                        // Dropping the service releases the permit that it may hold.
                        return Poll::Ready(Ok(waiting.refuse(&admission)));
                    }
                    waiting.call(admission)
                }
            };
            self.as_mut().project().phase.set(calling);
        }
    }
}

impl<S, B> WaitingRequest<S, B> {
    fn call<F, R>(mut self, admission: Admission) -> Phase<S, F, B, R>
    where
        S: Service<Request<B>, Response = Response<R>, Future = F>,
    {
        let Admission {
            snapshot, limits, ..
        } = admission;
        let post_process = post_process::admit(&self.config, &snapshot, limits, &mut self.parts);
        let request = Request::from_parts(self.parts, self.body);
        Phase::Calling {
            future: self.inner.call(request),
            post_process: Some(post_process),
        }
    }

    fn refuse<R>(self, admission: &Admission) -> Response<ResponseBody<R>> {
        refuse(&self.config, &admission.limits, &self.parts)
    }
}

impl<S, F, B, R> fmt::Debug for ResponseFuture<S, F, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Calling { post_process, .. } if post_process.is_none() => "passing",
            Phase::Calling { .. } => "admitted",
            Phase::Refused { .. } => "refused",
            Phase::Deciding { .. } => "deciding",
        };
        f.debug_tuple("ResponseFuture").field(&phase).finish()
    }
}
