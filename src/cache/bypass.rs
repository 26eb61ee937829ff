//! A request of a handled route whose answer neither comes from the store nor goes there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower::ServiceExt;

use super::{answer, layer::Config, miss::Answer};
use crate::{
    message::{
        body::{RequestBody, ResponseBody},
        service::HttpService,
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
    S: HttpService<RequestBody<B>>,
    B: Body<Data = Bytes> + Send + 'static,
{
    config.keep.shared().metrics.bypass.increment(1);
    let request = Request::from_parts(parts, RequestBody::original(body));
    let (mut head, body) = inner.oneshot(request).await?.into_parts();
    config.tag_fields.pass(&mut head.headers);
    answer::label(&mut head, reason, false, None);
    Ok(Response::from_parts(head, ResponseBody::inner(body)))
}
