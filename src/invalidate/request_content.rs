//! Reading the content of a request before its write is declared.

use http::{Request, Response};

use super::write_request::WriteRequest;
use crate::message::{
    content_refusal,
    replayable_body::ReplayableBody,
    request_content::{RequestContent, read_up_to},
    response_body::ResponseBody,
};

/// Reads the content of a request whose route has `before`, up to the route's `max_body`, and returns
/// the request with a body that yields it again. A client that does not send its content must not make
/// the declared targets uncacheable, also if it states that it will send more.
///
/// # Errors
///
/// The response to a request whose content ends early (400), is not there within `longest_write` (408),
/// or for which there is no room (503). The inner service is not called for it: it might take what there
/// is for the whole content.
pub(super) async fn read_to_declare<B: ReplayableBody, R>(
    write: &WriteRequest,
    request: Request<B>,
) -> Result<Request<B>, Response<ResponseBody<R>>> {
    let declared = write.routes.iter().filter(|route| route.before);
    let max = declared.map(|route| route.max_body).max();
    let Some(max) = max.filter(|_| !request.body().is_end_stream()) else {
        return Ok(request);
    };
    let (parts, body) = request.into_parts();
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let (longest, engine) = (write.config.longest_write, write.engine());
    let body = match read_up_to(body, max, longest, engine.buffers.permit()).await {
        RequestContent::Whole(content) => content.into_body(),
        RequestContent::Unsuitable { body, .. } => body,
        RequestContent::Broken => return Err(content_refusal::broken()),
        RequestContent::Late => return Err(content_refusal::late(longest)),
        RequestContent::NoRoom => {
            engine.metrics.busy_request.increment(1);
            return Err(content_refusal::no_room());
        }
    };
    Ok(Request::from_parts(parts, body))
}
