use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

use super::admission::Admission;
use crate::message::response_future::BoxFuture;

/// The future of the shared store's decision.
///
/// If it is dropped before the store has decided, a task waits for the decision and refunds the charges.
pub(super) struct StoreDecisionFuture(Option<BoxFuture<(Admission, bool)>>);

impl StoreDecisionFuture {
    pub(super) fn new(admission: Admission) -> Self {
        Self(Some(Box::pin(admission.decide())))
    }
}

impl Future for StoreDecisionFuture {
    type Output = (Admission, bool);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.0.as_mut().expect("not polled after it was ready");
        let decided = future.as_mut().poll(cx);
        if decided.is_ready() {
            self.0 = None;
        }
        decided
    }
}

impl Drop for StoreDecisionFuture {
    fn drop(&mut self) {
        let Some(future) = self.0.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let (admission, admitted) = future.await;
                if admitted {
                    admission.refund(|_| true);
                }
            });
        }
    }
}
