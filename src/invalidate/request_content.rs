//! Reading the content of a request before its write is declared.

use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::write_request::WriteRequest;
use crate::message::{
    capped_read::CappedRead, replayable_body::ReplayableBody, response_body::ResponseBody,
    resumed_body::ResumedBody,
};

/// Reads the content of a request whose route has `before`, up to the route's `max_body`, and returns
/// the request with a body that yields it again. A client that does not send its content must not make
/// the declared targets uncacheable.
///
/// # Errors
///
/// The response to a request whose content ends early (400) or is not there within `longest_write`
/// (408). The inner service is not called for it: it might take what there is for the whole content.
pub(super) async fn read_to_declare<B: ReplayableBody, R>(
    write: &WriteRequest,
    request: Request<B>,
) -> Result<Request<B>, Response<ResponseBody<R>>> {
    let route = write.route.as_ref().filter(|route| route.before);
    let Some(route) = route.filter(|_| !request.body().is_end_stream()) else {
        return Ok(request);
    };
    let (parts, body) = request.into_parts();
    let mut body = Box::pin(body);
    let mut read = CappedRead::copying(usize::try_from(route.max_body).unwrap_or(usize::MAX));
    let end = timeout(write.config.longest_write, read.read_to_end(body.as_mut())).await;
    // The error of a body need not be `Send`.
    let body = match end.map(Result::ok) {
        Ok(Some(true)) if !read.has_trailers() => B::from_bytes(read.into_content()),
        Ok(Some(_)) => B::resume(ResumedBody::new(read.into_frames(), body)),
        Ok(None) => return Err(refusal(StatusCode::BAD_REQUEST)),
        Err(_) => return Err(refusal(StatusCode::REQUEST_TIMEOUT)),
    };
    Ok(Request::from_parts(parts, body))
}

fn refusal<R>(status: StatusCode) -> Response<ResponseBody<R>> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = status;
    response
}
