//! Requests whose content is part of the key: `{#body}` in a route's key, and QUERY
//! (the HTTP QUERY method makes the content part of every cache key).

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Request, Response, request};
use http_body::Frame;
use http_body_util::BodyExt;
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
        request_body::{ReplayableBody, Resumed},
        response_body::ResponseBody,
        service::HttpService,
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
    // In one piece: what a client sends in crumbs costs no more than that.
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Content::Broken;
        };
        match frame.into_data() {
            Ok(data) if content.len() + data.len() <= LONGEST => content.extend_from_slice(&data),
            Ok(data) => return Content::too_long(content, Frame::data(data), body),
            Err(trailers) => return Content::too_long(content, trailers, body),
        }
    }
    Content::Whole(content.freeze())
}

impl<B: ReplayableBody> Content<B> {
    fn too_long(content: BytesMut, next: Frame<Bytes>, rest: Pin<Box<B>>) -> Self {
        let read = Some(Frame::data(content.freeze()));
        let read = read.filter(|read| read.data_ref().is_some_and(|data| !data.is_empty()));
        let held: VecDeque<_> = read.into_iter().chain([next]).collect();
        Self::TooLong(B::resume(Resumed::new(held, rest)))
    }
}
