//! A response on its way into the tiers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{
    message::shared_buffer::{self, BodyEnd, SharedBody},
    semantics::stored::Variant,
    store::entry::{Content, Entry},
};

/// What the leader of a miss shares with its followers: the head, and the body as it grows.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// As it will be stored, but for the body.
    pub(crate) head: Arc<Entry>,
    /// Which variant of its key it is.
    pub(crate) variant: Option<Variant>,
    pub(crate) body: SharedBody,
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
        writer.finish(BodyEnd::Complete(response.trailers.clone()));
        Some(Self {
            head: Arc::clone(entry),
            variant: variant.cloned(),
            body,
        })
    }
}

/// What came in chunks, in one allocation of its own: a chunk may be a small slice of a large read
/// buffer, which the tier would then hold without counting it.
pub(crate) fn concatenate<'a>(chunks: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let mut whole = BytesMut::with_capacity(chunks.clone().map(Bytes::len).sum());
    chunks.for_each(|chunk| whole.extend_from_slice(chunk));
    whole.freeze()
}
