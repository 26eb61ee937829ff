//! Requests whose content is part of the key: `{#body}` in a route's key, and QUERY
//! (the HTTP QUERY method makes the content part of every cache key).

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, request};
use tower::ServiceExt;

use super::{
    answer,
    ask::{Ask, Local},
    layer::Config,
    miss::{Answer, Miss},
};
use crate::{
    engine::snapshot::Snapshot,
    key::KeyBuf,
    message::{
        http_service::HttpService, read::CappedRead, replayable_body::ReplayableBody,
        response_body::ResponseBody, resumed_body::Resumed,
    },
    semantics::cache_status::Forward,
};

/// The most content that is held to make a key of; with more the request passes by the cache.
const LONGEST: usize = 1 << 20;

/// Reads the content, then goes the way of every request.
pub(super) async fn run<S, B>(
    config: Arc<Config>,
    inner: S,
    snapshot: Arc<Snapshot>,
    parts: request::Parts,
    body: B,
) -> Result<Answer<S, B>, S::ServiceError>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let content = match read(body).await {
        Content::Whole(content) => content,
        Content::Broken => return Ok(answer::bad_request()),
        Content::TooLong(resumed) => {
            let request = Request::from_parts(parts, resumed);
            let (mut head, body) = inner.oneshot(request).await?.into_parts();
            config.tag_fields.pass(&mut head.headers);
            answer::label(&mut head, Forward::Bypass, false, Some("content-too-large"));
            return Ok(Response::from_parts(head, ResponseBody::inner(body)));
        }
    };
    let keep = config.keep.engine();
    let mut key = KeyBuf::new();
    let asked = Ask::with_content(&config, &snapshot, &parts, &content, &mut key);
    let body = B::from_bytes(content.clone());
    let Ask::Stored(mut asked) = asked else {
        let request = Request::from_parts(parts, body);
        let (mut head, body) = inner.oneshot(request).await?.into_parts();
        config.tag_fields.pass(&mut head.headers);
        answer::label(&mut head, Forward::Bypass, false, None);
        return Ok(Response::from_parts(head, ResponseBody::inner(body)));
    };
    match asked.look(keep, &parts.headers) {
        Local::Hit(hit) => Ok(hit.response()),
        // Only GETs without content are refreshed behind the caller's back.
        Local::Answer(answer) | Local::Refresh(answer) => Ok(answer),
        Local::Nothing => {
            let miss = Miss::new(Arc::clone(&config), inner, asked.own(&snapshot));
            miss.with_content(content).run(parts, body).await
        }
    }
}

/// What a request brings.
enum Content<B> {
    Whole(Bytes),
    /// What was read of it is put back in front.
    TooLong(B),
    /// It ended in an error: nobody knows what the whole would have been.
    Broken,
}

async fn read<B: ReplayableBody>(body: B) -> Content<B> {
    let mut body = Box::pin(body);
    let mut read = CappedRead::copying(LONGEST);
    match read.read_to_end(body.as_mut()).await {
        Ok(true) if !read.has_trailers() => Content::Whole(read.into_content()),
        Ok(_) => Content::TooLong(B::resume(Resumed::new(read.into_frames(), body))),
        Err(_) => Content::Broken,
    }
}
