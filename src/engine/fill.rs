//! A response that is being stored, and that the requests which wait for it receive as well.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::{Bytes, BytesMut};

use crate::{
    message::{
        buffer_budget::BufferPermit,
        shared_buffer::{self, BodyEnd, SharedBody},
    },
    semantics::stored_response::Variant,
    store::entry::Entry,
};

/// A response that the leader of a miss shares with its followers: its head, and its body while it
/// arrives.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// The entry that will be stored, without its body.
    pub(crate) head: Arc<Entry>,
    /// The variant; `None` if the response does not vary.
    pub(crate) variant: Option<Variant>,
    pub(crate) body: SharedBody,
}

impl Fill {
    /// A fill whose body is complete already, counted by `permit`; `None` if it has no room, or if
    /// the entry holds a partial response.
    pub(crate) fn whole(
        entry: &Arc<Entry>,
        variant: Option<&Variant>,
        mut permit: BufferPermit,
    ) -> Option<Self> {
        let response = entry.response().filter(|whole| whole.part.is_none())?;
        let length = response.body.len();
        if !permit.try_grow_to(length) {
            return None;
        }
        let (writer, body) = shared_buffer::channel(usize::MAX, Some(length as u64), permit);
        writer.push(response.body.clone());
        writer.finish(BodyEnd::Complete(response.trailers.clone()));
        Some(Self {
            head: Arc::clone(entry),
            variant: variant.cloned(),
            body,
        })
    }
}

/// Whether a response has been stored. A response that is sent before that is known has it as an
/// extension; it is final once the body has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredMark(Arc<AtomicBool>);

impl StoredMark {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Copies the chunks into one allocation: a chunk may be a small slice of a large read buffer,
/// which the tier would then keep alive without counting its size.
pub(crate) fn concatenate<'a>(chunks: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let mut whole = BytesMut::with_capacity(chunks.clone().map(Bytes::len).sum());
    chunks.for_each(|chunk| whole.extend_from_slice(chunk));
    whole.freeze()
}
