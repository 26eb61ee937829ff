//! The service's response, to which pending elements are added.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    response,
};

use super::{
    fields::{Completeness, ContentSource, mark_pending, mark_unknown},
    json_array::{ArrayEnd, ArrayShape, with_elements},
};
use crate::{
    engine::fill::concatenate,
    message::{
        buffer_budget::BufferPermit, capped_read::CappedRead, http_service::ServiceBody,
        media_type::is_json, response_body::ResponseBody,
    },
};

/// Elements to add to the array in a response.
pub(super) struct PendingElements<'a> {
    pub(super) shape: ArrayShape<'a>,
    pub(super) end: ArrayEnd,
    pub(super) elements: &'a [Bytes],
    /// The longest content of a base, in bytes.
    pub(super) max_base: u64,
    /// Whether these are the elements of all pending writes.
    pub(super) completeness: Completeness,
}

impl PendingElements<'_> {
    /// Adds the elements to the service's response. A response to which they cannot be added is passed
    /// on, and says so.
    pub(super) async fn add_to<R: ServiceBody>(
        &self,
        response: Response<R>,
        permit: BufferPermit,
    ) -> Response<ResponseBody<R>> {
        let (mut head, body) = response.into_parts();
        let may_fit = is_plain_json(&head) && body.size_hint().lower() <= self.max_base;
        let (body, has_elements) = match may_fit {
            true => self.add_to_body(body, permit).await,
            false => (ResponseBody::inner(body), false),
        };
        self.mark(&mut head, has_elements);
        Response::from_parts(head, body)
    }

    /// Makes the response to a HEAD that of a GET whose response would get the elements.
    pub(super) fn add_to_head<R>(&self, response: Response<R>) -> Response<ResponseBody<R>> {
        let (mut head, body) = response.into_parts();
        let may_fit = is_plain_json(&head);
        self.mark(&mut head, may_fit);
        Response::from_parts(head, ResponseBody::inner(body))
    }

    fn mark(&self, head: &mut response::Parts, has_elements: bool) {
        match has_elements {
            true => mark_pending(&mut head.headers, ContentSource::Base, self.completeness),
            false => mark_unknown(&mut head.headers),
        }
    }

    /// Adds the elements to the body; returns whether that was possible.
    async fn add_to_body<R: ServiceBody>(
        &self,
        body: R,
        permit: BufferPermit,
    ) -> (ResponseBody<R>, bool) {
        let cap = usize::try_from(self.max_base).unwrap_or(usize::MAX);
        let mut body = Box::pin(body);
        let mut reader = CappedRead::sharing(cap).counted_by(permit);
        let end = reader.read_to_end(body.as_mut()).await;
        let mut permit = reader.take_permit();
        let (chunks, trailers) = reader.into_parts();
        match end {
            Ok(true) => match self.added(&chunks, &mut permit) {
                Some(content) => {
                    let chunks = VecDeque::from([content]);
                    (ResponseBody::buffered(chunks, None, permit), true)
                }
                None => (ResponseBody::buffered(chunks, trailers, permit), false),
            },
            Ok(false) => (ResponseBody::resumed(chunks, permit, body), false),
            Err(error) => (ResponseBody::failed(chunks, error.into()), false),
        }
    }

    /// The content with the elements; `None` if it is not of this shape, or if there is no room.
    fn added(&self, chunks: &VecDeque<Bytes>, permit: &mut BufferPermit) -> Option<Bytes> {
        let base = concatenate(chunks.iter());
        let more: usize = self.elements.iter().map(|element| element.len() + 1).sum();
        if !permit.try_grow_to(base.len() + more) {
            return None;
        }
        with_elements(&base, self.shape, self.end, self.elements).map(Bytes::from)
    }
}

fn is_plain_json(head: &response::Parts) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE);
    let is_plain = head
        .headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    head.status == StatusCode::OK
        && is_plain
        && content_type.is_some_and(|kind| is_json(kind.as_bytes()))
}
