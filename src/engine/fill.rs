//! A response on its way into the tiers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH};

use crate::{
    message::{
        header_map,
        shared_buffer::{self, End, Source},
    },
    semantics::stored::{StoredResponse, Variant},
    store::entry::{Content, Entry, LocalState},
};

/// What the leader of a miss shares with its followers: the head, and the body as it grows.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// As it will be stored, but for the body.
    pub(crate) head: Arc<Entry>,
    /// Which variant of its key it is.
    pub(crate) variant: Option<Variant>,
    pub(crate) body: Source,
}

impl Fill {
    /// A response that is there already; `None` if it is a part of one.
    pub(crate) fn whole(entry: &Arc<Entry>, variant: Option<&Variant>) -> Option<Self> {
        let Content::Response(response) = &entry.content else {
            return None;
        };
        if response.part.is_some() {
            return None;
        }
        let (writer, body) = shared_buffer::channel(usize::MAX, Some(response.body.len() as u64));
        writer.push(response.body.clone());
        writer.finish(End::Complete(response.trailers.clone()));
        Some(Self {
            head: Arc::clone(entry),
            variant: variant.cloned(),
            body,
        })
    }
}

impl Entry {
    /// This response's head with a body.
    pub(crate) fn with_body(&self, body: Bytes, trailers: Option<HeaderMap>) -> Option<Self> {
        let Content::Response(head) = &self.content else {
            return None;
        };
        let mut response = head.clone();
        if !has_length(response.status) {
            response.headers.remove(CONTENT_LENGTH);
        } else if !response.headers.contains_key(CONTENT_LENGTH) && trailers.is_none() {
            let length = HeaderValue::from(body.len());
            response.headers.insert(CONTENT_LENGTH, length);
        }
        response.body = body;
        response.trailers = trailers;
        Some(self.with(Content::Response(response)))
    }

    /// The same entry, position, times and tags kept, with other content.
    pub(crate) fn with(&self, content: Content) -> Self {
        Self {
            content: content.compact(),
            position: self.position,
            stored: self.stored,
            expires: self.expires,
            entity: self.entity.clone(),
            user: self.user.clone(),
            tags: self.tags.clone(),
            local: LocalState::default(),
        }
    }
}

impl Content {
    fn compact(self) -> Self {
        match self {
            Self::Response(response) => Self::Response(StoredResponse {
                headers: header_map::fields(&response.headers),
                trailers: response.trailers.as_ref().map(header_map::fields),
                ..response
            }),
            other => other,
        }
    }
}

/// RFC 9110 section 8.6: no `Content-Length` in 1xx and 204.
fn has_length(status: http::StatusCode) -> bool {
    !status.is_informational() && status != http::StatusCode::NO_CONTENT
}

/// What came in chunks, in one allocation of its own: a chunk may be a small slice of a large read
/// buffer, which the tier would then hold without counting it.
pub(crate) fn concatenate<'a>(chunks: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let mut whole = BytesMut::with_capacity(chunks.clone().map(Bytes::len).sum());
    chunks.for_each(|chunk| whole.extend_from_slice(chunk));
    whole.freeze()
}
