//! Futures that are ready at once.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// The output of a future that is ready when it is first polled.
///
/// # Panics
///
/// If it is not.
pub(crate) fn poll_ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready at once"),
    }
}
