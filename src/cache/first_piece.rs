//! Waiting for the first piece of a response body that is not stored.

use std::{collections::VecDeque, future::poll_fn};

use tokio::task::yield_now;

use crate::{
    error::BoxError,
    message::{http_service::ServiceBody, response_body::ResponseBody, resumed_body::ResumedBody},
};

/// Waits until the first piece of `body`, or its end, has arrived. The body that is returned yields
/// that piece again.
///
/// # Errors
///
/// If the body fails before that.
pub(super) async fn wait<B: ServiceBody>(body: B) -> Result<ResponseBody<B>, BoxError> {
    if body.is_end_stream() {
        return Ok(ResponseBody::inner(body));
    }
    let mut body = Box::pin(body);
    loop {
        // Not `while let`: an error that is not `Send` would be held across an await.
        let frame = match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(ResponseBody::empty()),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(frame)) => frame,
        };
        if frame.data_ref().is_some_and(|data| data.is_empty()) {
            yield_now().await;
        } else {
            let read = VecDeque::from([frame]);
            return Ok(ResponseBody::resumed_frames(ResumedBody::new(read, body)));
        }
    }
}
