//! A call of the service.

use std::{
    any::Any,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use http::{Request, Response};
use tokio::{task::JoinHandle, time::timeout};
use tower::ServiceExt;
use tracing::Instrument;

use super::answer;
use crate::{
    error::BoxError,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    write_queue::answer::QueuedAnswer,
};

/// How a call of the service has ended.
#[derive(Debug)]
pub(super) enum CallResult {
    Answered(Box<CallResponse>),
    /// There is no response, for this reason.
    Failed(Box<str>),
}

/// A response of the service.
#[derive(Debug)]
pub(super) struct CallResponse {
    pub(super) head: Response<()>,
    /// What the queue keeps of it.
    pub(super) answer: QueuedAnswer,
}

/// A call of the service in a task of its own, so that a handler that blocks its thread does not keep
/// the lease from being renewed. If it is dropped, the call is cancelled.
#[derive(Debug)]
pub(super) struct RunningCall(JoinHandle<CallResult>);

impl RunningCall {
    /// Calls the service; the call fails after `longest`. Up to `keep` bytes of the response's body are
    /// read.
    pub(super) fn start<S, B>(
        service: S,
        request: Request<B>,
        longest: Duration,
        keep: usize,
    ) -> Self
    where
        S: HttpService<B, ServiceError: Into<BoxError>>,
        B: ReplayableBody,
    {
        let call = async move {
            let response = match timeout(longest, service.oneshot(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => {
                    let error: BoxError = error.into();
                    // Clients may read the reason: the details are for the log.
                    tracing::warn!(error, "the service failed to apply a queued write");
                    return CallResult::Failed("the service failed".into());
                }
                Err(_) => {
                    let message = format!("the service did not answer within {longest:?}");
                    return CallResult::Failed(message.into());
                }
            };
            let (head, body) = response.into_parts();
            let answer = answer::read(&head, body, keep).await;
            CallResult::Answered(Box::new(CallResponse {
                head: Response::from_parts(head, ()),
                answer,
            }))
        };
        Self(tokio::spawn(call.in_current_span()))
    }
}

impl Future for RunningCall {
    type Output = CallResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CallResult> {
        self.0.poll_unpin(cx).map(|result| {
            result.unwrap_or_else(|error| {
                let message = match error.try_into_panic() {
                    Ok(panic) => {
                        let panic = panic_message(&*panic);
                        tracing::error!(
                            panic,
                            "the service panicked while it applied a queued write"
                        );
                        "the service panicked"
                    }
                    Err(_) => "the call was cancelled",
                };
                CallResult::Failed(message.into())
            })
        })
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let owned = || panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(owned).unwrap_or("no message")
}
