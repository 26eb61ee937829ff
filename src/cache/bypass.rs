//! A request of a handled route whose answer neither comes from the store nor goes there.

use std::sync::Arc;

use http::{Request, Response, request};
use tower::ServiceExt;

use super::{answer, layer::Config, miss::Answer};
use crate::{
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, response_body::ResponseBody,
    },
    semantics::cache_status::Forward,
};

pub(super) async fn run<S, B>(
    config: Arc<Config>,
    inner: S,
    parts: request::Parts,
    body: B,
    reason: Forward,
) -> Result<Answer<S, B>, S::ServiceError>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    config.keep.engine().metrics.bypass.increment(1);
    let request = Request::from_parts(parts, body);
    let (mut head, body) = inner.oneshot(request).await?.into_parts();
    config.tag_fields.pass(&mut head.headers);
    answer::label(&mut head, reason, false, None);
    Ok(Response::from_parts(head, ResponseBody::inner(body)))
}
