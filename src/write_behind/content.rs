//! Reading the content of a write.

use http::{Response, StatusCode};

use super::problem;
use crate::{
    engine::core::Engine,
    message::{
        content_refusal,
        replayable_body::ReplayableBody,
        request_content::{
            BufferedContent, CONTENT_TIMEOUT, RequestContent, TOO_LARGE, read_content,
        },
        response_body::ResponseBody,
    },
    table::BehindPlan,
};

/// Reads the whole content of a write.
///
/// # Errors
///
/// The response if it is longer than the table's `max_body` (413), has trailers (400), ends early (400),
/// is not there within 30 seconds (408), or if there is no room for it (503).
pub(super) async fn read<B: ReplayableBody, R>(
    engine: &Engine,
    plan: &BehindPlan,
    body: B,
) -> Result<BufferedContent, Response<ResponseBody<R>>> {
    let max = usize::try_from(plan.max_body).unwrap_or(usize::MAX);
    match read_content(body, max, engine.buffers.permit()).await {
        RequestContent::Whole(content) => Ok(content),
        RequestContent::Broken => Err(content_refusal::broken()),
        RequestContent::Late => Err(content_refusal::late(CONTENT_TIMEOUT)),
        RequestContent::NoRoom => {
            engine.metrics.busy_request.increment(1);
            Err(content_refusal::no_room())
        }
        RequestContent::Unsuitable {
            detail: TOO_LARGE, ..
        } => Err(problem::of_request(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("The content of a write may have up to {max} bytes."),
        )),
        RequestContent::Unsuitable { .. } => Err(problem::of_request(
            StatusCode::BAD_REQUEST,
            "Trailer fields cannot be kept with a write; send the content without them.",
        )),
    }
}
